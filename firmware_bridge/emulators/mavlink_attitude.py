"""An autopilot that tells its attitude: HEARTBEAT at 1 Hz, ATTITUDE or ATTITUDE_QUATERNION at rate_hz, in MAVLink 2.

Written from the MAVLink common message definitions, bytes by hand. Shares nothing with the driver.
"""

from __future__ import annotations

import math
import struct
from collections.abc import Mapping
from typing import Any

from firmware_bridge.emulators.base import Emulator

EXTRA = {0: 50, 30: 39, 31: 246}


class MavlinkAttitudeEmulator(Emulator):
    """Options of the driver read here: system_id, latency_ms. Of its own: rate_hz, quaternion (its form), clock_ppm,
    gimbal (a gimbal of the same system sends attitudes too), stranger (so does another system)."""

    def __init__(self, physics: Any, options: Mapping[str, object] | None = None) -> None:
        super().__init__(physics, options)
        self.system = int(str(self.options.get("system_id", 0))) or 1
        self.latency_ns = int(1e6 * float(str(self.options.get("latency_ms", 20.0))))
        self.step_ns = int(1e9 / float(str(self.options.get("rate_hz", 25.0))))
        self.rate = 1.0 + 1e-6 * float(str(self.options.get("clock_ppm", 0.0)))
        self.quaternion, self.gimbal = bool(self.options.get("quaternion")), bool(self.options.get("gimbal", True))
        self.stranger = bool(self.options.get("stranger"))

    def power_up(self, now_ns: int) -> None:
        self._start_ns, self._count, self._seq = now_ns - 8_765_000_000, 0, 0
        self._next = now_ns + self.step_ns

    def next_ns(self) -> int:
        return self._next

    def feed(self, data: bytes, now_ns: int) -> None:
        """Nobody commands it here."""

    def service(self, now_ns: int) -> None:
        while self._next <= now_ns:
            self._tell(self._next)
            self._next += self.step_ns

    def _tell(self, t_ns: int) -> None:
        if self._count % max(1, round(1e9 / self.step_ns)) == 0:
            self._send(0, struct.pack("<IBBBBB", 0, 2, 3, 81, 4, 3), self.system, 1, t_ns)
        self._count += 1
        now = self.physics.attitude(t_ns)
        ms = int((t_ns - self._start_ns) * self.rate / 1e6)
        out_ns = t_ns + self.latency_ns
        if self.quaternion:
            self._send(
                31, struct.pack("<I4f3f", ms, *_quaternion(now.euler_rad), *now.rate_rad_s), self.system, 1, out_ns
            )
        else:
            self._send(30, struct.pack("<I3f3f", ms, *now.euler_rad, *now.rate_rad_s), self.system, 1, out_ns)
        if self.gimbal:
            self._send(30, struct.pack("<I6f", ms, 0, 1.0, 3.0, 0, 0, 0), self.system, 154, out_ns)
        if self.stranger:
            self._send(30, struct.pack("<I6f", ms, 0, 1.0, 3.0, 0, 0, 0), self.system % 255 + 1, 1, out_ns)

    def _send(self, kind: int, payload: bytes, system: int, component: int, t_ns: int) -> None:
        payload = payload.rstrip(b"\0") or b"\0"  # version 2 leaves trailing zeros out
        head = bytes([len(payload), 0, 0, self._seq, system, component]) + kind.to_bytes(3, "little")
        self._seq = self._seq + 1 & 255
        crc = _x25(head + payload + bytes([EXTRA[kind]]))
        self.send(b"\xfd" + head + payload + crc.to_bytes(2, "little"), t_ns)


def _quaternion(euler: tuple[float, float, float]) -> tuple[float, float, float, float]:
    """Of yaw, then pitch, then roll, scalar first."""
    (cr, sr), (cp, sp), (cy, sy) = ((math.cos(a / 2), math.sin(a / 2)) for a in euler)
    return (cr * cp * cy + sr * sp * sy, sr * cp * cy - cr * sp * sy,
            cr * sp * cy + sr * cp * sy, cr * cp * sy - sr * sp * cy)  # fmt: skip


def _x25(data: bytes) -> int:
    crc = 0xFFFF
    for byte in data:
        x = byte ^ crc & 0xFF
        x ^= x << 4 & 0xFF
        crc = crc >> 8 ^ x << 8 ^ x << 3 ^ x >> 4
        crc &= 0xFFFF
    return crc
