"""The subject's beacon as a MAVLink vehicle: GLOBAL_POSITION_INT or FOLLOW_TARGET of one system.

Both carry milliseconds since the sender's boot, which are brought to the host's clock; heights are above the sea, so
``geoid_m`` is to be set. Needs pymavlink (``pip install gimbal-host[mavlink]``).
"""

from __future__ import annotations

import math
from typing import Any, ClassVar

from firmware_bridge.clock_sync import ClockSync
from firmware_bridge.drivers import mavlink_codec as codec
from firmware_bridge.framing import line_time_s
from firmware_bridge.interface import Capabilities, Identity, Option
from firmware_bridge.position_row import GATE_OPTIONS, GatedPosition

_BYTES = {"global_position_int": 40, "follow_target": 105, "either": 105}


class MavlinkBeacon(GatedPosition):
    NAME = "mavlink_beacon"
    OPTIONS: ClassVar = {
        "system_id": Option(int, 0, "the subject's MAVLink system; 0: the only one heard at opening", 0, 255),
        "message": Option(str, "either", "what to take; either: the kind that is heard first",
                          choices=("either", "global_position_int", "follow_target")),
        "latency_ms": Option(float, 100.0, "least delay from measurement to the first byte", 0.0, 5000.0),
        "geoid_m": Option(float, 0.0, "geoid above the ellipsoid here: MAVLink heights are above the sea",
                          -110.0, 90.0),
        "pos_std_m": Option(float, 3.0, "accuracy where the message tells none", 0.1, 500.0),
        "vel_std_m_s": Option(float, 0.3, "accuracy given to each row", 0.01, 50.0),
        **GATE_OPTIONS,
    }  # fmt: skip

    def setup(self) -> None:
        self.mavlink = codec.load("mavlink_beacon")
        self.start(codec.framer(), 32)
        self.start_gate()
        # A radio link delays by chance, for seconds: no step is a restart unless it is one of many seconds.
        self.clock = ClockSync(window_ns=2_000_000_000,
                               step_ns=1_000_000_000)  # fmt: skip
        baud, latency_ms = self.transport.baud, self.options["latency_ms"]
        self._latency_ns = {
            codec.GLOBAL_POSITION_INT: int(1e6 * latency_ms + 1e9 * line_time_s(40, baud)),
            codec.FOLLOW_TARGET: int(1e6 * latency_ms + 1e9 * line_time_s(105, baud)),
        }
        self._found = 0
        self._start_over()

    def _start_over(self) -> None:
        self.system_id = self.options["system_id"] or self._found
        self.kind = {"global_position_int": codec.GLOBAL_POSITION_INT,
                     "follow_target": codec.FOLLOW_TARGET}.get(self.options["message"], 0)  # fmt: skip
        self.others: set[int] = set()
        self.senders = set()
        self._last: tuple[int, int] | None = None  # device ms, host ns

    @property
    def capabilities(self) -> Capabilities:
        n = _BYTES[self.options["message"]]
        text = f"{n} bytes a message, 10 bits each, at {self.transport.baud:.0f} baud; autopilots send up to 50 Hz."
        return Capabilities(max_rate_hz=min(50.0, 1 / line_time_s(n, self.transport.baud)), budget=text)

    def identify(self, timeout_s: float = 1.0) -> Identity:
        wanted = "GLOBAL_POSITION_INT or FOLLOW_TARGET"
        self._found = self.one_sender("positions", "system", wanted, max(timeout_s, 2.5))
        return Identity("mavlink_beacon", f"system {self._found}" if self._found else "listening")

    def configure(self) -> None:
        super().configure()
        self.clock.reset()
        self._start_over()

    def take(self, frame: bytes, arrival_ns: int) -> None:
        message_id, _, system, _ = codec.head(frame)
        if message_id not in (codec.GLOBAL_POSITION_INT, codec.FOLLOW_TARGET):
            self.counters.unknown_frames += 1
            return
        self.senders.add(system)
        if system != (self.system_id or system):
            self.counters.other_identity += 1
            self.others.add(system)
            return
        if message_id != (self.kind or message_id):
            return
        message = codec.decode(frame)
        if message is None:
            self.counters.bad_values += 1
            return
        self.system_id, self.kind = system, message_id
        self.clock.latency_ns = self._latency_ns[message_id]
        if message_id == codec.GLOBAL_POSITION_INT:
            self._take_global(message, arrival_ns)
        else:
            self._take_follow(message, arrival_ns)

    def _take_global(self, m: Any, arrival_ns: int) -> None:
        self._give(m.time_boot_ms, arrival_ns, (m.lat * 1e-7, m.lon * 1e-7, m.alt * 1e-3),
                   (m.vx * 0.01, m.vy * 0.01, m.vz * 0.01), True, math.nan)  # fmt: skip

    def _take_follow(self, m: Any, arrival_ns: int) -> None:
        if not m.est_capabilities & 1:
            self.counters.bad_values += 1  # it doesn't know where it is
            return
        std = float(m.position_cov[0])
        self._give(m.timestamp, arrival_ns, (m.lat * 1e-7, m.lon * 1e-7, float(m.alt)),
                   tuple(float(v) for v in m.vel), bool(m.est_capabilities & 2), std)  # fmt: skip

    def _give(self, ms: int, arrival_ns: int, place: tuple[float, float, float], vel: tuple[float, ...], has_vel: bool,
              std: float) -> None:  # fmt: skip
        if ms >= 1 << 42:  # a hundred years
            self.counters.bad_values += 1
            return
        last = self._last
        if last is not None and 0 <= last[0] - ms < 10_000:
            t_ns = last[1] - (last[0] - ms) * 1_000_000  # repeated or late: the clock is not asked
        else:
            t_ns = self.clock.to_host(ms * 1_000_000, arrival_ns)
            if last is not None and 0 < ms - last[0] < 10_000:
                t_ns = max(t_ns, last[1] + 1)
            self._last = (ms, t_ns)
        north, east, down = vel if has_vel else (0.0, 0.0, 0.0)
        std = std if 0 < std < 1e4 else self.options["pos_std_m"]
        height = place[2] + self.options["geoid_m"]
        self.give(t_ns, arrival_ns, 0, (place[0], place[1], height), (north, east, down), has_vel, std,
                  self.options["vel_std_m_s"], 3, self.system_id)  # fmt: skip
