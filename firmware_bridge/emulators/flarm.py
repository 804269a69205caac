"""A PowerFLARM's data port: its own RMC and GGA, PFLAU, and a PFLAA for each aircraft it hears, at 1 Hz.

Written from the FLARM data port specification (FTD-012). Shares nothing with the driver. ``physics`` is the subject's;
the FLARM itself is where physics.own_fix(t_ns) says, else at the place of the options own_lat_deg, own_lon_deg,
own_height_m. It always hears one stranger as well; the option ``twin`` adds a second sender under the subject's id.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

from firmware_bridge.emulators import nmea
from firmware_bridge.emulators.base import Emulator
from firmware_bridge.emulators.physics import Fix

STEP_NS = 1_000_000_000
M_PER_DEG = 111_132.95  # of latitude at 45 degrees


class FlarmEmulator(Emulator):
    """Options of the driver read here: id, age_ms, latency_ms."""

    def __init__(self, physics: Any, options: Mapping[str, object] | None = None) -> None:
        super().__init__(physics, options)
        self.age_ns = int(1e6 * float(str(self.options.get("age_ms", 1000.0))))
        self.latency_ns = int(1e6 * float(str(self.options.get("latency_ms", 200.0))))
        self.ident = str(self.options.get("id", "DD8F12"))
        self.own = Fix(self._given("own_lat_deg", 46.495), self._given("own_lon_deg", 7.905),
                       self._given("own_height_m", 1450.0))  # fmt: skip
        self.twin = bool(self.options.get("twin", False))
        self.epoch_ms = int(1e3 * float(str(self.options.get("epoch_s", 345_600.0))))

    def _given(self, key: str, default: float) -> float:
        return float(str(self.options.get(key, default)))

    def power_up(self, now_ns: int) -> None:
        self._next = (now_ns // STEP_NS + 1) * STEP_NS

    def next_ns(self) -> int:
        return self._next

    def feed(self, data: bytes, now_ns: int) -> None:
        """PFLAC and its kin are answered by newer ones; nothing here asks."""

    def service(self, now_ns: int) -> None:
        while self._next <= now_ns:
            self._second(self._next)
            self._next += STEP_NS

    def _second(self, t_ns: int) -> None:
        own_fix = getattr(self.physics, "own_fix", None)
        own: Fix = own_fix(t_ns) if own_fix else self.own
        now = nmea.utc(t_ns, self.epoch_ms)
        bodies = [nmea.rmc("GP", own, now), nmea.gga("GP", own, now)]
        other = self.physics.fix(max(0, t_ns - self.age_ns))
        count = 1
        if other is not None and other.fix:
            bodies.append(self._pflaa(own, other, self.ident))
            count += 1
            if self.twin:
                far = Fix(other.lat_deg + 0.05, other.lon_deg, other.height_m, other.vel_N)
                bodies.append(self._pflaa(own, far, self.ident))
        bodies.append(
            self._pflaa(own, Fix(own.lat_deg + 0.01, own.lon_deg - 0.02, 2000.0, (30.0, 10.0, 0.5)), "A4F2EE")
        )
        bodies.append("PFLAA,0,2500,,300,1,4B1234,,,,,8")  # heard without a bearing
        bodies.append(f"PFLAU,{count},1,2,1,0,,0,,")
        for body in bodies:
            self.send(nmea.line(body), t_ns + self.latency_ns)

    def _pflaa(self, own: Fix, other: Fix, ident: str) -> str:
        north = (other.lat_deg - own.lat_deg) * M_PER_DEG
        east = (other.lon_deg - own.lon_deg) * M_PER_DEG * 1.0034 * math.cos(math.radians(own.lat_deg))
        track = math.degrees(math.atan2(other.vel_N[1], other.vel_N[0])) % 360
        speed = math.hypot(other.vel_N[0], other.vel_N[1])
        return (f"PFLAA,0,{north:.0f},{east:.0f},{other.height_m - own.height_m:.0f},2,{ident},{track:.0f},,"
                f"{speed:.0f},{-other.vel_N[2]:.1f},7")  # fmt: skip
