"""An autopilot that tells its attitude: HEARTBEAT at 1 Hz, ATTITUDE or ATTITUDE_QUATERNION at rate_hz, in MAVLink 2.

Written from the MAVLink common message definitions, bytes by hand. Shares nothing with the driver.
"""

from __future__ import annotations

import math
import struct
from collections.abc import Mapping
from typing import Any

from firmware_bridge.emulators.mavlink_stream import MavlinkStream


class MavlinkAttitudeEmulator(MavlinkStream):
    """Options of the driver read here: system_id, latency_ms. Of its own: rate_hz, quaternion (its form), clock_ppm,
    gimbal (a gimbal of the same system sends attitudes too), stranger (so does another system)."""

    EXTRA = {0: 50, 30: 39, 31: 246}

    def __init__(self, physics: Any, options: Mapping[str, object] | None = None) -> None:
        super().__init__(physics, options)
        self.system = int(str(self.options.get("system_id", 0))) or 1
        self.latency_ns = int(1e6 * float(str(self.options.get("latency_ms", 20.0))))
        self.step_ns = int(1e9 / float(str(self.options.get("rate_hz", 25.0))))
        self.rate = 1.0 + 1e-6 * float(str(self.options.get("clock_ppm", 0.0)))
        self.quaternion, self.gimbal = bool(self.options.get("quaternion")), bool(self.options.get("gimbal", True))
        self.stranger = bool(self.options.get("stranger"))

    def tell(self, t_ns: int) -> None:
        now = self.physics.attitude(t_ns)
        ms = int((t_ns - self._start_ns) * self.rate / 1e6)
        out_ns = t_ns + self.latency_ns
        if self.quaternion:
            self.say(31, struct.pack("<I4f3f", ms, *_quaternion(now.euler_rad), *now.rate_rad_s), out_ns)
        else:
            self.say(30, struct.pack("<I3f3f", ms, *now.euler_rad, *now.rate_rad_s), out_ns)
        other = struct.pack("<I6f", ms, 0, 1.0, 3.0, 0, 0, 0)
        if self.gimbal:
            self.say(30, other, out_ns, component=154)
        if self.stranger:
            self.say(30, other, out_ns, system=self.system % 255 + 1)


def _quaternion(euler: tuple[float, float, float]) -> tuple[float, float, float, float]:
    """Of yaw, then pitch, then roll, scalar first."""
    (cr, sr), (cp, sp), (cy, sy) = ((math.cos(a / 2), math.sin(a / 2)) for a in euler)
    return (cr * cp * cy + sr * sp * sy, sr * cp * cy - cr * sp * sy,
            cr * sp * cy + sr * cp * sy, cr * cp * sy - sr * sp * cy)  # fmt: skip
