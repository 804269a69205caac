"""A FLARM's data port as the subject's beacon: PFLAA is relative to the FLARM's own antenna, whose GGA comes on the
same line; together they make a place on earth.

1 Hz, whole metres, and the FLARM doesn't tell when the other measured: ``age_ms`` is what it is taken to be. Good for
finding a subject, not for framing one closely.
"""

from __future__ import annotations

import math
from typing import ClassVar

from firmware_bridge.clock_sync import TowSync
from firmware_bridge.drivers import nmea_codec as codec
from firmware_bridge.errors import OptionError
from firmware_bridge.framing import line_time_s
from firmware_bridge.interface import Capabilities, Identity, Option
from firmware_bridge.position_row import GATE_OPTIONS, GatedPosition

_BYTES = 250  # own GGA and RMC, PFLAU, one PFLAA
_STALE_NS = 3_000_000_000
_A, _E2 = 6_378_137.0, 6.694379990141e-3  # WGS 84


def moved(lat_deg: float, lon_deg: float, height_m: float, north_m: float, east_m: float) -> tuple[float, float]:
    """Latitude and longitude that many metres away, by the ellipsoid's radii of curvature; good to 1e-4 in 10 km."""
    s2 = math.sin(math.radians(lat_deg)) ** 2
    w = math.sqrt(1 - _E2 * s2)
    meridian, normal = _A * (1 - _E2) / w**3 + height_m, _A / w + height_m
    lat = lat_deg + math.degrees(north_m / meridian)
    # Half way is where the parallel's radius is nearest to the way's mean.
    radius = normal * math.cos(math.radians((lat_deg + lat) / 2))
    return lat, lon_deg + math.degrees(east_m / radius) if radius > 1.0 else lon_deg


class Flarm(GatedPosition):
    NAME = "flarm"
    OPTIONS: ClassVar = {
        "id": Option(str, "", "the subject's FLARM or ICAO id, six hexadecimal digits: only this one is taken"),
        "age_ms": Option(float, 1000.0, "age of the other's position at the FLARM's own fix", 0.0, 5000.0),
        "latency_ms": Option(float, 200.0, "least delay from the FLARM's own fix to the first byte", 0.0, 5000.0),
        "pos_std_m": Option(float, 10.0, "accuracy given to each row", 0.5, 500.0),
        "vel_std_m_s": Option(float, 2.0, "accuracy given to each row", 0.1, 50.0),
        "geoid_m": Option(float, 0.0, "geoid above the ellipsoid, where GGA leaves it out", -110.0, 90.0),
        "leap_s": Option(int, 18, "GPS time less UTC", 0, 60),
        **GATE_OPTIONS,
    }

    def setup(self) -> None:
        self.ident = self.options["id"].upper()
        if len(self.ident) != 6 or any(c not in "0123456789ABCDEF" for c in self.ident):
            raise OptionError(f"driver 'flarm', option 'id': {self.options['id']!r} is no identity. Give the six "
                              "hexadecimal digits of the subject's device, such as \"DD8F12\": the air is full of "
                              "others.")  # fmt: skip
        self.start(codec.NmeaFramer(), 32)
        self.start_gate()
        line_s = line_time_s(80, self.transport.baud)
        self.tow_sync = TowSync(int(1e6 * self.options["latency_ms"] + 1e9 * line_s))
        self._start_over()

    def _start_over(self) -> None:
        self.epochs = codec.Epochs()
        self.heard = 0
        self.others: set[str] = set()
        self._own: tuple[int, int, int, codec.Gga] | None = None  # time of week, host time, arrival, place

    @property
    def capabilities(self) -> Capabilities:
        rate = 1 / line_time_s(_BYTES, self.transport.baud)
        text = f"{_BYTES} bytes a second, 10 bits each, at {self.transport.baud:.0f} baud; the FLARM: 1 Hz."
        return Capabilities(max_rate_hz=min(1.0, rate), budget=text)

    def identify(self, timeout_s: float = 1.0) -> Identity:
        self.heard = 0
        if self.options["must_hear"]:
            self.hear("FLARM", max(timeout_s, 3.5), lambda: self.heard >= 2,
                      "Check power, baud (PFLAC,S,BAUD) and that its data port sends PFLAU and PFLAA.")  # fmt: skip
        return Identity("flarm", f"for {self.ident}")

    def configure(self) -> None:
        super().configure()
        self.tow_sync.reset()
        self._start_over()

    def take(self, frame: list[str], arrival_ns: int) -> None:
        if frame[0] in ("PFLAA", "PFLAU"):
            self.heard += 1
        if frame[0] == "PFLAA":
            self._take_target(codec.read_pflaa(frame), arrival_ns)
            return
        for epoch in self.epochs.feed(frame, arrival_ns):
            gga = epoch.gga
            if gga is None or gga.fix < 2:
                self._own = None
                continue
            tow_ms = codec.tow_ms(epoch.day_ms, self.epochs.date, self.options["leap_s"])
            self._own = (tow_ms, self.tow_sync.to_host(tow_ms, epoch.first_ns), epoch.last_ns, gga)

    def _take_target(self, target: codec.Pflaa | None, arrival_ns: int) -> None:
        if target is None:
            self.counters.unknown_frames += 1
            return
        if target.ident != self.ident:
            self.counters.other_identity += 1
            if len(self.others) < 64:
                self.others.add(target.ident)
            return
        if self._own is None or arrival_ns - self._own[2] > _STALE_NS:
            self.counters.bad_values += 1  # nothing to add it to
            return
        tow_ms, own_ns, _, own = self._own
        age_ms = round(self.options["age_ms"])
        height = own.height_m + (0.0 if own.has_separation else self.options["geoid_m"])
        lat, lon = moved(own.lat_deg, own.lon_deg, height, target.north_m, target.east_m)
        self.give(own_ns - age_ms * 1_000_000, arrival_ns, (tow_ms - age_ms) % codec.WEEK_MS,
                  (lat, lon, height + target.up_m), target.vel_N or (0.0, 0.0, 0.0), target.vel_N is not None,
                  self.options["pos_std_m"], self.options["vel_std_m_s"], 3, int(self.ident, 16))  # fmt: skip
