"""A device's clock to the host's: delays only ever add, so the least delayed arrivals tell the truth.

The lower hull method in a cheap form: the smallest (arrival - device time) of each of a row of short windows, and a
straight line through those minima for drift (S. B. Moon, P. Skelly, D. Towsley: Estimation and removal of clock skew
from network delay measurements, INFOCOM 1999, doi 10.1109/INFCOM.1999.749287, uses the same idea).
"""

from __future__ import annotations

from collections import deque

_MAX_DRIFT = 300e-6  # a crystal is better than this; beyond, the line is not believed


class ClockSync:
    """Device ns -> host ns. ``latency_ns``: the least possible delay from sample to arrival, known of the device.

    A step of the device clock (a reboot, or going back) starts it anew. Memory is bounded.
    """

    def __init__(self, latency_ns: int = 0, window_ns: int = 500_000_000, windows: int = 20,
                 step_ns: int = 100_000_000, max_drift: float = _MAX_DRIFT) -> None:  # fmt: skip
        self.latency_ns, self.window_ns, self.step_ns = latency_ns, window_ns, step_ns
        self.max_drift = max_drift
        self.restarts = 0
        self._minima: deque[tuple[int, int]] = deque(maxlen=windows)
        self.reset()

    def reset(self) -> None:
        """Forget everything, as after a reconnection."""
        self._minima.clear()
        self._last_ns = -1
        self._start_ns = 0
        self._best = (0, 0)
        self._line = (0, 0, 0.0)  # device time, offset, drift

    def to_host(self, device_ns: int, arrival_ns: int) -> int:
        """Host time of a sample stamped device_ns that was read at arrival_ns; never later than its arrival."""
        offset = arrival_ns - device_ns
        if self._last_ns < 0 or device_ns <= self._last_ns or offset < self._predicted(device_ns) - self.step_ns:
            self._restart(device_ns, offset)
        elif offset - self._predicted(device_ns) > 10 * self.step_ns:
            self._restart(device_ns, offset)  # a second late: the device's clock has jumped back
        self._last_ns = device_ns
        if device_ns - self._start_ns >= self.window_ns:
            self._close_window(device_ns, offset)
        elif offset < self._best[1]:
            self._best = (device_ns, offset)
        predicted = self._predicted(device_ns)
        if offset < predicted:  # less delayed than ever seen: the line moves down to it at once
            self._line = (device_ns, offset, self._line[2])
            predicted = offset
        return min(device_ns + int(predicted) - self.latency_ns, arrival_ns)

    def _predicted(self, device_ns: int) -> float:
        t0, offset, drift = self._line
        return offset + (device_ns - t0) * drift

    def _restart(self, device_ns: int, offset: int) -> None:
        self.restarts += self._last_ns >= 0
        self.reset()
        self._start_ns = device_ns
        self._best = (device_ns, offset)
        self._line = (device_ns, offset, 0.0)

    def _close_window(self, device_ns: int, offset: int) -> None:
        self._minima.append(self._best)
        self._start_ns = device_ns
        self._best = (device_ns, offset)
        if len(self._minima) >= 4:
            self._fit()

    def _fit(self) -> None:
        """The line below all minima with the least sum of distances: the edge of their lower convex hull under their
        mean time. A window in which every arrival was late (a stall, a start) lies above it and doesn't tilt it, as it
        would a mean square fit."""
        hull: list[tuple[int, int]] = []
        for point in self._minima:
            while len(hull) > 1 and _turns_down(hull[-2], hull[-1], point):
                hull.pop()
            hull.append(point)
        mean_t = sum(t for t, _ in self._minima) / len(self._minima)
        (t0, o0), (t1, o1) = next(edge for edge in zip(hull, hull[1:]) if edge[1][0] >= mean_t)
        drift = (o1 - o0) / (t1 - t0)
        if abs(drift) > self.max_drift:  # not believed: the newest of the two still is
            drift = max(-self.max_drift, min(self.max_drift, drift))
            t0, o0 = t1, o1
        self._line = (t0, o0, drift)


def _turns_down(a: tuple[int, int], b: tuple[int, int], c: tuple[int, int]) -> bool:
    """b does not lie below the line from a to c."""
    return (b[1] - a[1]) * (c[0] - a[0]) >= (c[1] - a[1]) * (b[0] - a[0])


class TowSync:
    """GPS time of week -> host ns: the smallest (arrival - time of week) seen, less what the receiver itself takes.

    The offset may rise again by at most ``creep`` (crystal drift), so one early arrival does not hold for ever.
    """

    WEEK_MS = 604_800_000

    def __init__(self, latency_ns: int = 0, creep: float = 50e-6, step_ns: int = 5_000_000_000) -> None:
        self.latency_ns, self.creep, self.step_ns = latency_ns, creep, step_ns
        self.reset()

    def reset(self) -> None:
        self._offset: int | None = None
        self._last_arrival_ns = 0

    def to_host(self, tow_ms: int, arrival_ns: int, sub_ms_ns: int = 0) -> int:
        """Host time of the measurement made at tow_ms (+ sub_ms_ns); not later than arrival - latency."""
        offset = arrival_ns - tow_ms * 1_000_000 - sub_ms_ns
        if self._offset is None or abs(offset - self._offset) > self.step_ns:
            self._offset = offset  # the first, a week's end, or a receiver that has only now found its time
        else:
            crept = self._offset + int((arrival_ns - self._last_arrival_ns) * self.creep)
            self._offset = min(offset, crept)
        self._last_arrival_ns = arrival_ns
        return tow_ms * 1_000_000 + sub_ms_ns + self._offset - self.latency_ns
