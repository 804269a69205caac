"""A GNSS receiver that only sends NMEA, behind a wire or a radio modem.

Written from the NMEA 0183 sentence tables of the u-blox receiver description. Shares nothing with the driver.
"""

from __future__ import annotations

import datetime
import math
from collections.abc import Mapping
from typing import Any

from firmware_bridge.emulators.base import Emulator
from firmware_bridge.emulators.physics import Fix

GEOID_M = 48.0
QUALITY = {0: 0, 2: 1, 3: 1, 4: 5, 5: 4}


class NmeaEmulator(Emulator):
    """Options of the driver read here: rate_hz, latency_ms. Of its own: sentences ("GGA RMC GST PUBX"), talker,
    epoch_s (GPS seconds of week at host time zero), radio_delay_ms."""

    def __init__(self, physics: Any, options: Mapping[str, object] | None = None) -> None:
        super().__init__(physics, options)
        self.step_ns = int(1e9 / float(str(self.options.get("rate_hz", 5.0))))
        delays = float(str(self.options.get("latency_ms", 100.0))) + float(str(self.options.get("radio_delay_ms", 0.0)))
        self.latency_ns = int(1e6 * delays)
        self.epoch_ms = int(1e3 * float(str(self.options.get("epoch_s", 345_600.0))))
        self.sentences = str(self.options.get("sentences", "RMC GGA")).split()
        self.talker = str(self.options.get("talker", "GN"))

    def power_up(self, now_ns: int) -> None:
        self._next = (now_ns // self.step_ns + 1) * self.step_ns

    def next_ns(self) -> int:
        return self._next

    def feed(self, data: bytes, now_ns: int) -> None:
        """It listens to nothing."""

    def service(self, now_ns: int) -> None:
        while self._next <= now_ns:
            t_ns = self._next
            self._next += self.step_ns
            fix = self.physics.fix(t_ns)
            if fix is not None:
                measured_ns = fix.t_ns if fix.t_ns >= 0 else t_ns
                self._epoch(fix, utc(measured_ns, self.epoch_ms), max(t_ns, measured_ns + self.latency_ns))

    def _epoch(self, fix: Fix, now: datetime.datetime, t_ns: int) -> None:
        bodies = {"GGA": gga(self.talker, fix, now), "RMC": rmc(self.talker, fix, now),
                  "GST": gst(self.talker, fix, now), "PUBX": pubx(fix, now)}  # fmt: skip
        for name in self.sentences:
            self.send(line(bodies[name]), t_ns)


def utc(t_ns: int, epoch_ms: int) -> datetime.datetime:
    """A Sunday's midnight plus the time of week; UTC is 18 s behind GPS since 2017."""
    ms = (t_ns // 1_000_000 + epoch_ms) % 604_800_000
    return datetime.datetime(2026, 1, 4) + datetime.timedelta(milliseconds=ms - 18_000)


def line(body: str) -> bytes:
    total = 0
    for byte in body.encode():
        total ^= byte
    return f"${body}*{total:02X}\r\n".encode()


def gga(talker: str, fix: Fix, now: datetime.datetime) -> str:
    where = f"{_minutes(fix.lat_deg, 2, 'NS')},{_minutes(fix.lon_deg, 3, 'EW')}" if fix.fix else ",,,"
    return (f"{talker}GGA,{_clock(now)},{where},{QUALITY.get(fix.fix, 0)},12,0.80,{fix.height_m - GEOID_M:.1f},M,"
            f"{GEOID_M:.1f},M,,")  # fmt: skip


def rmc(talker: str, fix: Fix, now: datetime.datetime) -> str:
    knots = math.hypot(fix.vel_N[0], fix.vel_N[1]) / 0.514444
    where = f"{_minutes(fix.lat_deg, 2, 'NS')},{_minutes(fix.lon_deg, 3, 'EW')}" if fix.fix else ",,,"
    state = "A" if fix.fix else "V"
    return f"{talker}RMC,{_clock(now)},{state},{where},{knots:.3f},{_course(fix):.2f},{now:%d%m%y},,,{state}"


def gst(talker: str, fix: Fix, now: datetime.datetime) -> str:
    s = f"{fix.pos_std_m:.2f}"
    return f"{talker}GST,{_clock(now)},{s},,,,{s},{s},{fix.pos_std_m * 1.5:.2f}"


def pubx(fix: Fix, now: datetime.datetime) -> str:
    kmh = math.hypot(fix.vel_N[0], fix.vel_N[1]) * 3.6
    return (f"PUBX,00,{_clock(now)},{_minutes(fix.lat_deg, 2, 'NS')},{_minutes(fix.lon_deg, 3, 'EW')},"
            f"{fix.height_m:.3f},G3,{fix.pos_std_m:.1f},{fix.pos_std_m * 1.5:.1f},{kmh:.3f},{_course(fix):.2f},"
            f"{fix.vel_N[2]:.3f},,0.80,1.10,0.80,12,0,0")  # fmt: skip


def _course(fix: Fix) -> float:
    return math.degrees(math.atan2(fix.vel_N[1], fix.vel_N[0])) % 360.0


def _clock(now: datetime.datetime) -> str:
    return f"{now:%H%M%S}.{now.microsecond // 10000:02d}"


def _minutes(angle_deg: float, width: int, signs: str) -> str:
    units = round(abs(angle_deg) * 60 * 100_000)  # so that 59.999999 minutes round to a whole degree
    whole, rest = divmod(units, 60 * 100_000)
    return f"{whole:0{width}d}{rest // 100_000:02d}.{rest % 100_000:05d},{signs[angle_deg < 0]}"
