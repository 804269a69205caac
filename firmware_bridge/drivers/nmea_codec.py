"""NMEA 0183: sentences, GGA, RMC, GST, u-blox's PUBX,00 and FLARM's PFLAA. Pure: no port, no clock.

Sources: samples of the u-blox receiver description; FLARM Dataport ICD FTD-012, version 7.19 (field list).
"""

from __future__ import annotations

import datetime
import math
from typing import NamedTuple

from firmware_bridge.framing import xor8

MAX_LINE = 128  # the standard says 82; receivers with high precision send more
KNOT_M_S = 1852 / 3600
WEEK_MS, DAY_MS = 604_800_000, 86_400_000
# Quality of GGA -> FIX_ROW.fix. Estimated (6), manual (7) and simulated (8) positions are none.
_FIX = {"1": 3, "2": 3, "3": 3, "4": 5, "5": 4}


def sentence(body: str) -> bytes:
    """ "GPGGA,…" -> the line with its checksum."""
    raw = body.encode("ascii")
    return b"$%s*%02X\r\n" % (raw, xor8(raw))


def read(line: bytes) -> list[str] | None:
    """Fields of a line whose checksum is right; None otherwise. What precedes the dollar is not looked at."""
    start, star = line.rfind(b"$"), line.rfind(b"*")
    if start < 0 or star < start or len(line) - star != 3:
        return None
    body = line[start + 1 : star]
    if line[star + 1 :].upper() != b"%02X" % xor8(body) or not body.isascii():
        return None
    return body.decode("ascii").split(",")


class NmeaFramer:
    """Sentences with right checksums as lists of fields; the rest is counted.

    A sentence begins at the last dollar of its line, however long what comes before it is: the first one after garbage
    without a line's end is found too.
    """

    def __init__(self) -> None:
        self.bad_crc = self.garbage_bytes = 0
        self._tail = b""

    def feed(self, data: bytes) -> list[list[str]]:
        lines = (self._tail + data).replace(b"\r", b"\n").split(b"\n")
        self._tail = self._begun(lines.pop())
        found = []
        for line in lines:
            begun = self._begun(line)
            words = read(begun) if begun else None
            if words is not None:
                found.append(words)
            elif begun:
                self.bad_crc += b"*" in begun
                self.garbage_bytes += len(begun)
        return found

    def _begun(self, line: bytes) -> bytes:
        """From the last dollar on, where that may still be a sentence; the rest counts as garbage."""
        start = line.rfind(b"$")
        kept = line[start:] if start >= 0 and len(line) - start <= MAX_LINE else b""
        self.garbage_bytes += len(line) - len(kept)
        return kept

    def reset(self) -> None:
        self._tail = b""


class Gga(NamedTuple):
    lat_deg: float
    lon_deg: float
    height_m: float  # above the ellipsoid where the sentence gives the separation, else above the sea
    has_separation: bool
    hdop: float
    fix: int


class Rmc(NamedTuple):
    date: datetime.date | None
    vel_N: tuple[float, float] | None
    valid: bool


def time_of_day_ms(text: str) -> int:
    """hhmmss.sss; -1 when it is none."""
    if len(text) < 6 or not text[:6].isdigit():
        return -1
    hours, minutes, seconds = int(text[:2]), int(text[2:4]), _number(text[4:])
    if hours > 23 or minutes > 59 or not 0 <= seconds < 61:
        return -1
    return (hours * 60 + minutes) * 60_000 + round(seconds * 1000)


def angle_deg(text: str, sign: str) -> float:
    """dddmm.mmmm and N, S, E or W; NaN when it is none."""
    point = text.find(".") if "." in text else len(text)
    if point < 3 or not text[: point - 2].isdigit() or sign not in ("N", "S", "E", "W"):
        return math.nan
    minutes = _number(text[point - 2 :])
    if not 0 <= minutes < 60:
        return math.nan
    angle = int(text[: point - 2]) + minutes / 60
    return -angle if sign in "SW" else angle


def read_gga(words: list[str]) -> Gga | None:
    """None when fields are missing; fix 0 without a position."""
    if len(words) < 12:
        return None
    fix = _FIX.get(words[6], 0)
    if not fix:
        return Gga(0.0, 0.0, 0.0, False, 0.0, 0)
    lat, lon = angle_deg(words[2], words[3]), angle_deg(words[4], words[5])
    height, separation, hdop = _number(words[9]), _number(words[11]), _number(words[8])
    if not math.isfinite(lat + lon + height):
        return None
    known = math.isfinite(separation)
    return Gga(lat, lon, height + (separation if known else 0.0), known, hdop if hdop < 100 else 99.9, fix)


def read_rmc(words: list[str]) -> Rmc | None:
    if len(words) < 10:
        return None
    speed, course = _number(words[7]) * KNOT_M_S, math.radians(_number(words[8]))
    if speed < 0.1 and not math.isfinite(course):
        course = 0.0  # receivers leave the course empty at rest
    vel = (speed * math.cos(course), speed * math.sin(course)) if math.isfinite(speed + course) else None
    return Rmc(_date(words[9]), vel, words[2] == "A")


def read_gst(words: list[str]) -> float:
    """Standard deviation of the horizontal position, m; NaN when not given."""
    return math.hypot(_number(words[6]), _number(words[7])) / math.sqrt(2) if len(words) > 7 else math.nan


def read_pubx_down(words: list[str]) -> float:
    """Vertical velocity, m/s down, of PUBX,00; NaN when not given."""
    return _number(words[13]) if len(words) > 13 else math.nan


class Pflaa(NamedTuple):
    """A target of the FLARM's, relative to the FLARM's own antenna."""

    ident: str
    north_m: float
    east_m: float
    up_m: float
    vel_N: tuple[float, float, float] | None


def read_pflaa(words: list[str]) -> Pflaa | None:
    """None when a field needed for a position is empty or no number (no bearing: a transponder heard without one)."""
    if len(words) < 12:
        return None
    north, east, up = _number(words[2]), _number(words[3]), _number(words[4])
    if not math.isfinite(north + east + up):
        return None
    track, speed, climb = math.radians(_number(words[7])), _number(words[9]), _number(words[10])
    vel = (speed * math.cos(track), speed * math.sin(track), -climb) if math.isfinite(track + speed + climb) else None
    return Pflaa(words[6].split("!")[0].upper(), north, east, up, vel)


def tow_ms(day_ms: int, date: datetime.date | None, leap_s: int) -> int:
    """GPS time of week from UTC; without a date, of the first day of a week."""
    days = (date - datetime.date(1980, 1, 6)).days if date else 0
    return (days * DAY_MS + day_ms + leap_s * 1000) % WEEK_MS


def _date(text: str) -> datetime.date | None:
    if len(text) != 6 or not text.isdigit():
        return None
    try:
        return datetime.date(2000 + int(text[4:]), int(text[2:4]), int(text[:2]))
    except ValueError:
        return None


def _number(text: str) -> float:
    try:
        value = float(text)
    except ValueError:
        return math.nan
    return value if math.isfinite(value) else math.nan


class Epoch:
    """The sentences of one measurement, gathered by their time."""

    def __init__(self, day_ms: int, arrival_ns: int) -> None:
        self.day_ms, self.first_ns, self.last_ns = day_ms, arrival_ns, arrival_ns
        self.kinds: set[str] = set()
        self.gga: Gga | None = None
        self.rmc: Rmc | None = None
        self.down_m_s = math.nan


class Epochs:
    """Sentences in, whole epochs out: once all kinds that the last epoch had have come, or at the next's first."""

    def __init__(self) -> None:
        self.pos_std_m = math.nan  # of the newest GST
        self.date: datetime.date | None = None
        self._open: Epoch | None = None
        self._closed = Epoch(-1, 0)
        self._expected = {"GGA", "RMC"}

    def feed(self, words: list[str], arrival_ns: int) -> list[Epoch]:
        """Epochs that this sentence completes: none, one, or two."""
        kind = "PUBX" if words[:2] == ["PUBX", "00"] else words[0][-3:] if len(words[0]) == 5 else ""
        if kind == "GST":
            self.pos_std_m = read_gst(words)
        if kind not in ("GGA", "RMC", "PUBX") or len(words) < 3:
            return []
        day_ms = time_of_day_ms(words[2 if kind == "PUBX" else 1])
        if day_ms < 0:
            return []
        done = []
        epoch = self._open
        if epoch is not None and (epoch.day_ms != day_ms or kind in epoch.kinds):
            done.append(self._close(epoch))
            epoch = None
        if epoch is None and day_ms == self._closed.day_ms and kind not in self._closed.kinds:
            self._closed.kinds.add(kind)  # too late for its own epoch: the next ones wait for it
            self._expected = set(self._closed.kinds)
            return []
        if epoch is None:
            epoch = self._open = Epoch(day_ms, arrival_ns)
        self._add(epoch, kind, words)
        epoch.last_ns = arrival_ns
        if self._expected <= epoch.kinds:
            done.append(self._close(epoch))
        return [epoch for epoch in done if epoch.gga is not None]

    def _add(self, epoch: Epoch, kind: str, words: list[str]) -> None:
        epoch.kinds.add(kind)
        if kind == "GGA":
            epoch.gga = read_gga(words)
        elif kind == "RMC":
            epoch.rmc = read_rmc(words)
            if epoch.rmc is not None and epoch.rmc.date is not None:
                self.date = epoch.rmc.date
        else:
            epoch.down_m_s = read_pubx_down(words)

    def _close(self, epoch: Epoch) -> Epoch:
        self._open, self._closed = None, epoch
        if "GGA" in epoch.kinds:
            self._expected = set(epoch.kinds)
        return epoch
