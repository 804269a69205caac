"""The carrier's own attitude, from its autopilot: MAVLink ATTITUDE or ATTITUDE_QUATERNION of one system.

It is another estimator's word, dated by its milliseconds since boot, which are brought to the host's clock. Needs
pymavlink (``pip install gimbal-host[mavlink]``).
"""

from __future__ import annotations

import math
from typing import Any, ClassVar

from firmware_bridge.angles import Quat, quat_of, unit
from firmware_bridge.clock_sync import ClockSync
from firmware_bridge.drivers import mavlink_codec as codec
from firmware_bridge.framing import line_time_s
from firmware_bridge.interface import AttitudeDriver, Capabilities, Identity, Option
from firmware_bridge.row_driver import RowDriver

_KINDS = {codec.ATTITUDE: 40, codec.ATTITUDE_QUATERNION: 60}  # bytes of a frame
_AUTOPILOT = 1  # MAV_COMP_ID_AUTOPILOT1: gimbals and cameras send attitudes of their own
_UNIT = 0.02  # a quaternion's norm may be so far from one


class MavlinkAttitude(RowDriver, AttitudeDriver):
    NAME = "mavlink_attitude"
    OPTIONS: ClassVar = {
        "system_id": Option(int, 0, "the autopilot's MAVLink system; 0: the only one heard at opening", 0, 255),
        "latency_ms": Option(float, 20.0, "least delay from the estimate's moment to the first byte", 0.0, 1000.0),
        "must_hear": Option(bool, True, "refuse to start in silence; false: it may be switched on later"),
    }

    def setup(self) -> None:
        codec.load("mavlink_attitude")
        self.start(codec.framer(), 32)
        self.clock = ClockSync(window_ns=1_000_000_000)
        self._found = 0
        self._start_over()

    def _start_over(self) -> None:
        self.system_id, self.kind = self.options["system_id"] or self._found, 0
        self.senders = set()
        self._last_ms = -1

    @property
    def capabilities(self) -> Capabilities:
        n = _KINDS[codec.ATTITUDE_QUATERNION]
        text = f"{n} bytes a message, 10 bits each, at {self.transport.baud:.0f} baud; autopilots send up to 100 Hz."
        return Capabilities(max_rate_hz=min(100.0, 1 / line_time_s(n, self.transport.baud)), budget=text)

    def identify(self, timeout_s: float = 1.0) -> Identity:
        self._found = self.one_sender("attitudes", "autopilot", "ATTITUDE or ATTITUDE_QUATERNION", max(timeout_s, 1.5))
        return Identity("mavlink_attitude", f"system {self._found}" if self._found else "listening")

    def configure(self) -> None:
        self.forget()
        self.clock.reset()
        self._start_over()

    def take(self, frame: bytes, arrival_ns: int) -> None:
        kind, _, system, component = codec.head(frame)
        if kind not in _KINDS or component != _AUTOPILOT:
            self.counters.unknown_frames += 1
            return
        self.senders.add(system)
        if system != (self.system_id or system):
            self.counters.other_identity += 1
            return
        if kind != (self.kind or kind):
            return  # the same estimate in its other form
        message = codec.decode(frame)
        q = None if message is None else _attitude(message, kind)
        if q is None:
            self.counters.bad_values += 1
            return
        self.system_id, self.kind = system, kind
        ms = int(message.time_boot_ms)
        if ms == self._last_ms:
            self.counters.duplicates += 1
            return
        self._last_ms = ms
        baud = self.transport.baud
        self.clock.latency_ns = int(1e6 * self.options["latency_ms"] + 1e9 * line_time_s(_KINDS[kind], baud))
        t_ns = self.clock.to_host(ms * 1_000_000, arrival_ns)
        self.queue((t_ns, arrival_ns, ms * 1_000_000, q, system))


def _attitude(message: Any, kind: int) -> Quat | None:
    """q_NA; None when it is none."""
    if kind == codec.ATTITUDE:
        euler = float(message.roll), float(message.pitch), float(message.yaw)
        return quat_of(euler) if all(abs(a) <= 2 * math.pi for a in euler) else None
    q = float(message.q1), float(message.q2), float(message.q3), float(message.q4)
    norm = math.sqrt(sum(x * x for x in q))
    return unit(q) if abs(norm - 1.0) < _UNIT else None
