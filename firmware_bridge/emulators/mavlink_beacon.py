"""An autopilot on a telemetry radio: HEARTBEAT at 1 Hz and the position message at rate_hz, in MAVLink 2.

Written from the MAVLink common message definitions, bytes by hand. Shares nothing with the driver.
"""

from __future__ import annotations

import math
import struct
from collections.abc import Mapping
from typing import Any

from firmware_bridge.emulators.mavlink_stream import MavlinkStream
from firmware_bridge.emulators.physics import Fix


class MavlinkBeaconEmulator(MavlinkStream):
    """Options of the driver read here: system_id, message, latency_ms, geoid_m. Of its own: rate_hz, clock_ppm,
    stranger (another system's position as well), twin (another sender under the same system id)."""

    EXTRA = {0: 50, 33: 104, 144: 127}

    def __init__(self, physics: Any, options: Mapping[str, object] | None = None) -> None:
        super().__init__(physics, options)
        self.system = int(str(self.options.get("system_id", 0))) or 42
        self.follow = self.options.get("message") == "follow_target"
        self.latency_ns = int(1e6 * float(str(self.options.get("latency_ms", 100.0))))
        self.step_ns = int(1e9 / float(str(self.options.get("rate_hz", 5.0))))
        self.geoid_m = float(str(self.options.get("geoid_m", 0.0)))
        self.rate = 1.0 + 1e-6 * float(str(self.options.get("clock_ppm", 0.0)))
        self.stranger, self.twin = bool(self.options.get("stranger", True)), bool(self.options.get("twin"))

    def tell(self, t_ns: int) -> None:
        fix = self.physics.fix(t_ns)
        if fix is None or not fix.fix:
            return
        measured_ns = fix.t_ns if fix.t_ns >= 0 else t_ns
        out_ns = max(t_ns, measured_ns + self.latency_ns)
        ms = int((measured_ns - self._start_ns) * self.rate / 1e6)
        make = self._follow if self.follow else self._global
        kind = 144 if self.follow else 33
        self.say(kind, make(fix, ms), out_ns)
        far = Fix(fix.lat_deg + 0.1, fix.lon_deg, fix.height_m, (0.0, 0.0, 0.0))
        if self.stranger:
            self.say(kind, make(far, ms + 777), out_ns, system=self.system % 255 + 1)
        if self.twin:
            self.say(kind, make(far, ms), out_ns)

    def _global(self, fix: Fix, ms: int) -> bytes:
        course = math.degrees(math.atan2(fix.vel_N[1], fix.vel_N[0])) % 360
        height = round((fix.height_m - self.geoid_m) * 1000)
        where = round(fix.lat_deg * 1e7), round(fix.lon_deg * 1e7), height, height - 500_000
        return struct.pack("<IiiiihhhH", ms, *where, *(round(v * 100) for v in fix.vel_N), round(course * 100) % 36000)

    def _follow(self, fix: Fix, ms: int) -> bytes:
        return struct.pack("<QQiif3f3f4f3f3fB", ms, 0, round(fix.lat_deg * 1e7), round(fix.lon_deg * 1e7),
                           fix.height_m - self.geoid_m, *fix.vel_N, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0,
                           fix.pos_std_m, fix.pos_std_m, fix.pos_std_m * 1.5, 3)  # fmt: skip
