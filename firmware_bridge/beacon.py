"""The subject's beacon: whose fix it is, whether it can be true, and how late it came.

A fix that the last one can't have led to is not given on. If such fixes form a track of their own while the first
goes on, two senders use one identity, and that is named.
"""

from __future__ import annotations

import enum
import math
from collections.abc import Sequence

_EARTH_M = 6_378_137.0


class Verdict(enum.IntEnum):
    GOOD = 0
    REPEATED = 1  # the same measurement again, or an older one
    IMPOSSIBLE = 2  # too far from the last
    TWO_SENDERS = 3  # too far from the last, and near the others that were


class Place:
    """A fix in metres about its own latitude: enough for differences over seconds."""

    __slots__ = ("height_m", "lat_deg", "lon_deg", "t_ns")

    def __init__(self, t_ns: int, lat_deg: float, lon_deg: float, height_m: float) -> None:
        self.t_ns, self.lat_deg, self.lon_deg, self.height_m = t_ns, lat_deg, lon_deg, height_m

    def offset_N(self, other: Place) -> tuple[float, float, float]:
        """From ``other`` to here, metres north, east, down."""
        north = math.radians(self.lat_deg - other.lat_deg) * _EARTH_M
        lon = (self.lon_deg - other.lon_deg + 180.0) % 360.0 - 180.0
        east = math.radians(lon) * _EARTH_M * math.cos(math.radians(self.lat_deg))
        return north, east, other.height_m - self.height_m


class BeaconGate:
    """One sender's fixes, in order of arrival."""

    def __init__(self, max_speed_m_s: float, slack_m: float = 50.0, hold_s: float = 10.0,
                 max_accel_m_s2: float = math.inf) -> None:  # fmt: skip
        """slack_m: jump that a receiver may make. hold_s: after so long without a good fix any is taken;
        sooner where two in a row disprove the last.

        max_accel_m_s2: also hold each velocity against the way since the last fix, for protocols without a checksum.
        """
        self.max_speed_m_s, self.slack_m, self.hold_ns = max_speed_m_s, slack_m, int(hold_s * 1e9)
        self.max_accel_m_s2 = max_accel_m_s2
        self.reset()

    def reset(self) -> None:
        self._last: Place | None = None
        self._before: Place | None = None  # the one that the last followed
        self._alone = True  # nothing has followed the last yet: it may be a false one
        self._aside: Place | None = None  # the newest that should have and did not
        self._other: Place | None = None
        self._others = 0
        self.two_senders = False

    def check(self, place: Place, vel_N: Sequence[float] | None = None) -> Verdict:
        """Whether to give the fix on. vel_N: m/s, north east down, where the beacon tells it."""
        last = self._last
        if last is None or place.t_ns - last.t_ns > self.hold_ns or last.t_ns - place.t_ns > self.hold_ns:
            self.reset()
            self._last = place
            return Verdict.GOOD
        near = self._near(place, last)
        if near and self._follows(place, last, vel_N):
            self._take(place, last)
            return Verdict.GOOD
        if self._alone and place.t_ns != last.t_ns and self._disproves_last(place, vel_N):
            return Verdict.GOOD
        if not near:
            return self._impossible(place)
        return Verdict.REPEATED if place.t_ns <= last.t_ns else Verdict.IMPOSSIBLE

    def _disproves_last(self, place: Place, vel_N: Sequence[float] | None) -> bool:
        """Two in a row that go on from each other and from what was before: the one fix between was false (an 8-bit sum
        lets one damaged sentence in 256 through)."""
        aside, before = self._aside, self._before
        self._aside = place
        if aside is None or not (self._near(place, aside) and self._follows(place, aside, vel_N)):
            return False
        if before is not None and not (self._near(place, before) and self._follows(place, before, vel_N)):
            return False
        self._take(place, aside)
        return True

    def _take(self, place: Place, before: Place) -> None:
        self._last, self._before, self._alone, self._aside = place, before, True, None

    def _near(self, place: Place, other: Place) -> bool:
        dt_s = abs(place.t_ns - other.t_ns) * 1e-9
        return math.dist((0, 0, 0), place.offset_N(other)) <= self.max_speed_m_s * dt_s + self.slack_m

    def _follows(self, place: Place, last: Place, vel_N: Sequence[float] | None) -> bool:
        dt_s = (place.t_ns - last.t_ns) * 1e-9
        return dt_s > 0 and (vel_N is None or self._led_here(place, last, vel_N, dt_s))

    def _led_here(self, place: Place, last: Place, vel_N: Sequence[float], dt_s: float) -> bool:
        limit = 3.0 + self.max_accel_m_s2 * dt_s
        moved = place.offset_N(last)
        return all(abs(v - m / dt_s) <= limit + 3.0 / dt_s for v, m in zip(vel_N, moved))

    def _impossible(self, place: Place) -> Verdict:
        other, self._other = self._other, place
        if other is None:
            return Verdict.IMPOSSIBLE
        if not self._near(place, other):
            self._others = 0
            return Verdict.IMPOSSIBLE
        self._others += 1
        self.two_senders = self.two_senders or self._others >= 2
        return Verdict.TWO_SENDERS if self.two_senders else Verdict.IMPOSSIBLE


class DelayMeter:
    """Time from measurement to arrival: the least seen and a running mean over some sixteen fixes."""

    def __init__(self) -> None:
        self.reset()

    def reset(self) -> None:
        self.least_ns = self.mean_ns = 0
        self._count = 0

    def add(self, delay_ns: int) -> None:
        self._count = min(self._count + 1, 16)
        self.least_ns = delay_ns if self._count == 1 else min(self.least_ns, delay_ns)
        self.mean_ns += (delay_ns - self.mean_ns) // self._count
