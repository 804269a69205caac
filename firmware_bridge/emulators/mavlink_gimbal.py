"""A MAVLink gimbal device (component 154 as shipped) as its bytes look to its manager.

Written from mavlink-devguide services/gimbal_v2.md and the message definitions, with its own packing: no pymavlink,
nothing of the driver. No watchdog: a rate goes on until the next message, as the protocol leaves it.
"""

from __future__ import annotations

import math
import struct
from collections.abc import Mapping
from typing import Any

from firmware_bridge.emulators.base import Emulator
from firmware_bridge.emulators.gimbal_physics import ANGLE, SPEED, AngleCommand, angles_of
from firmware_bridge.emulators.mavlink_stream import x25

# message id -> (CRC extra, full payload size)
KNOWN = {0: (50, 9), 76: (152, 33), 75: (158, 35), 77: (143, 10), 283: (74, 149), 284: (99, 32), 285: (137, 49),
         286: (210, 57)}  # fmt: skip
RETRACT, NEUTRAL, YAW_LOCK, VEHICLE, EARTH = 1, 2, 16, 32, 64
SECOND_NS = 1_000_000_000


class MavlinkGimbalEmulator(Emulator):
    """``physics`` is a GimbalPhysics. Options: system, component as the driver's; of its own: status_hz (20 until
    told), knows_interval (SET_MESSAGE_INTERVAL; True), twins (two of them have this address)."""

    def __init__(self, physics: Any, options: Mapping[str, object] | None = None) -> None:
        super().__init__(physics, options)
        self.system = int(str(self.options.get("system", 1)))
        self.component = int(str(self.options.get("component", 154)))
        self.first_period_ns = int(1e9 / float(str(self.options.get("status_hz", 20))))
        self.knows_interval = bool(self.options.get("knows_interval", True))
        self.uids = (0x1234, 0x1235) if self.options.get("twins") else (0x1234,)
        self.limits = (-0.8, 0.8, -1.57, 1.57, -3.14159, 3.14159)
        self.power_up(0)

    def power_up(self, now_ns: int) -> None:
        self.start_ns = now_ns
        self.sequence = 0
        self.period_ns = self.first_period_ns
        self.status_ns, self.beat_ns = now_ns + self.period_ns, now_ns
        self.flags = RETRACT  # motors without current until the first command
        self.failed = False
        self.manager: tuple[int, int] | None = None
        self.autopilot: dict[str, tuple[float, ...]] = {}
        self._tail = b""
        self.physics.drive(None, now_ns)

    def next_ns(self) -> int:
        return min(self.status_ns, self.beat_ns)

    def service(self, now_ns: int) -> None:
        if self.beat_ns <= now_ns:
            self.beat_ns += SECOND_NS * ((now_ns - self.beat_ns) // SECOND_NS + 1)
            self._say(0, struct.pack("<IBBBBB", 0, 26, 8, 0, 4, 3), now_ns)
        if self.status_ns <= now_ns:
            self.status_ns += self.period_ns * ((now_ns - self.status_ns) // self.period_ns + 1)
            self._status(now_ns)

    def _say(self, number: int, payload: bytes, now_ns: int) -> None:
        payload = payload.rstrip(b"\0") or b"\0"
        head = struct.pack("<BBBBBBHB", len(payload), 0, 0, self.sequence, self.system, self.component,
                           number & 0xFFFF, number >> 16)  # fmt: skip
        self.sequence = (self.sequence + 1) % 256
        check = x25(head + payload + bytes((KNOWN[number][0],)))
        self.send(b"\xfd" + head + payload + struct.pack("<H", check), now_ns)

    # Bytes in.

    def feed(self, data: bytes, now_ns: int) -> None:
        buffer = self._tail + data
        at = 0
        while (at := buffer.find(0xFD, at)) >= 0:
            if len(buffer) - at < 12:
                break
            size, flags = buffer[at + 1], buffer[at + 2]
            end = at + 12 + size + (13 if flags & 1 else 0)
            if flags > 1:
                at += 1
                continue
            if end > len(buffer):
                break
            number = int.from_bytes(buffer[at + 7 : at + 10], "little")
            extra, full = KNOWN.get(number, (0, 0))
            body = buffer[at + 1 : at + 10 + size]
            if (
                not full
                or size > full
                or x25(body + bytes((extra,))) != int.from_bytes(buffer[at + 10 + size : at + 12 + size], "little")
            ):
                at += 1
                continue
            sender = (buffer[at + 5], buffer[at + 6])
            self._message(number, body[9:].ljust(full, b"\0"), sender, now_ns)
            at = end
        self._tail = buffer[at:] if at >= 0 else b""

    def _message(self, number: int, payload: bytes, sender: tuple[int, int], now_ns: int) -> None:
        if number == 76:
            *p, command, system, component, _ = struct.unpack("<7fHBBB", payload)
            if self._for_me(system, component):
                self._command(command, p[0], p[1], sender, now_ns)
        elif number == 75:
            p1, p2, _, _, _, _, _, command, system, component, _, _, _ = struct.unpack("<4fiifHBBBBB", payload)
            if self._for_me(system, component):
                self._command(command, p1, p2, sender, now_ns)
        elif number == 284:
            q0, q1, q2, q3, wx, wy, wz, flags, system, component = struct.unpack("<4f3fHBB", payload)
            if self._for_me(system, component) and self.manager in (None, sender):
                self.manager = sender
                self._set_attitude((q0, q1, q2, q3), (wx, wy, wz), flags, now_ns)
        elif number == 286:
            values = struct.unpack("<Q4fI3fIfHBBBf", payload)
            self.autopilot = {"q": values[1:5], "q_delay_us": (values[5],), "velocity": values[6:9],
                              "v_delay_us": (values[9],), "yaw_rate": (values[-1],)}  # fmt: skip

    def _for_me(self, system: int, component: int) -> bool:
        return system in (0, self.system) and component in (0, self.component)

    def _command(self, command: int, p1: float, p2: float, sender: tuple[int, int], now_ns: int) -> None:
        result = 3
        if command == 512 and p1 == 283:
            result = 0
        elif command == 511 and p1 == 285 and self.knows_interval:
            result = 0 if p2 >= 0 and math.isfinite(p2) else 2
            if p2 > 0 and result == 0:
                self.period_ns = max(5_000_000, int(1000 * p2))
                self.status_ns = now_ns + self.period_ns
        self._say(77, struct.pack("<HBBiBB", command, result, 0, 0, *sender), now_ns)
        if command == 512 and result == 0:
            self._information(now_ns)

    def _information(self, now_ns: int) -> None:
        for uid in self.uids:
            self._say(283, struct.pack(
                "<QIII6fHH32s32s32sBI", uid, self._ms(now_ns), 0x00030201, 1, *self.limits, 0x0FFF, 0, b"EMULATED",
                b"Three axes", b"", 0, 0x0FFF), now_ns)  # fmt: skip

    def _ms(self, now_ns: int) -> int:
        return (now_ns - self.start_ns) // 1_000_000 & 0xFFFFFFFF

    # Motion.

    def _set_attitude(self, q: tuple[float, ...], w: tuple[float, ...], flags: int, now_ns: int) -> None:
        self.failed = self.failed and self.physics.state(now_ns).fault != 0
        self.flags = flags
        if flags & RETRACT or self.failed:
            return self.physics.drive(None, now_ns)
        if flags & NEUTRAL:
            return self.physics.drive(tuple(AngleCommand(ANGLE, 0.0, 0.0) for _ in range(3)), now_ns)
        if all(math.isfinite(x) for x in q):
            angles = angles_of(q)
            if angles is not None:
                return self.physics.drive(tuple(AngleCommand(ANGLE, 0.0, a) for a in angles), now_ns)
        rates = [x if math.isfinite(x) else 0.0 for x in w]
        state = self.physics.state(now_ns)
        roll, pitch, _ = state.inner_rad or state.euler_rad
        cos_pitch = max(0.05, math.cos(pitch))
        yaw = (rates[1] * math.sin(roll) + rates[2] * math.cos(roll)) / cos_pitch
        turned = (
            rates[0] + yaw * math.sin(pitch), rates[1] * math.cos(roll) - rates[2] * math.sin(roll), yaw
        )  # fmt: skip
        self.physics.drive(tuple(AngleCommand(SPEED, max(-20.0, min(20.0, x))) for x in turned), now_ns)

    def _status(self, now_ns: int) -> None:
        state = self.physics.state(now_ns)
        if state.fault and not self.failed:
            self.failed = True
            self.physics.drive(None, now_ns)
        frame = EARTH if self.flags & YAW_LOCK else VEHICLE
        failure = (32 if self.failed else 0) | (0 if self.manager else 512)
        halves = [a / 2 for a in state.euler_rad]
        (cr, cp, cy), (sr, sp, sy) = map(math.cos, halves), map(math.sin, halves)
        q = (cy * cp * cr + sy * sp * sr, cy * cp * sr - sy * sp * cr, cy * sp * cr + sy * cp * sr,
             sy * cp * cr - cy * sp * sr)  # fmt: skip
        self._say(285, struct.pack("<I4f3fIHBBffB", self._ms(now_ns), *q, *state.rate_C, failure,
                                   (self.flags & 31) | frame, 0, 0, math.nan, math.nan, 0), now_ns)  # fmt: skip
