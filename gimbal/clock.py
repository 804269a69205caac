"""The loop's sense of time: absolute deadlines on CLOCK_MONOTONIC, or the simulator's own time.

A clock hands out one deadline per tick. After an overrun it passes over whole periods, keeps the phase and says how
many it skipped; it never makes up lost ticks in a burst.
"""

from __future__ import annotations

import time
from typing import Protocol

SPIN_NS = 120_000  # awake this long before the deadline: a timer's lateness, spun away; 12 % of one core at 1 kHz
PREFETCH_NS = 100_000  # and at first this much earlier where the loop works before the deadline
EARLY_SHARE = 0.45  # never awake early for more than this part of a period
_SPARE_NS = 40_000  # work before the deadline must end this long before it,
_RAISE_NS, _LOWER_NS = 20_000, 100  # or the next wake-up is earlier; the ratio leaves 0.5 % of them short
_LATER, _SLEW, _EARLIER = 0.02, 5e-4, 1e-4  # of a period, phase lock: 0.5 % of the samples late; 100 ppm followed
_SHORTEST_SLEEP_NS = 5_000  # a sleep shorter than this costs more (23 us) than it waits


class Clock(Protocol):
    """What the loop needs of time. ``wait`` returns the tick's deadline; the fields describe that wait."""

    period_ns: int
    deadline_ns: int
    woke_ns: int  # when wait returned
    skipped: int  # whole periods passed over just before this tick

    def wait(self) -> int: ...

    def now_ns(self) -> int: ...


def spin_lead_ns(period_ns: int, prefetch: bool) -> int:
    """How long before the deadline to wake, for a loop that may spin."""
    return min(SPIN_NS + (PREFETCH_NS if prefetch else 0), int(period_ns * EARLY_SHARE))


class MonotonicClock:
    """Absolute deadlines ``start + k * period`` on CLOCK_MONOTONIC.

    ``time.sleep`` of Python 3.11 and newer is ``clock_nanosleep`` with an absolute time, so it neither drifts nor
    restarts after a signal. An expired sleep still costs about 25 us: the deadline is compared first.

    Args:
        period_ns: tick period, ns.
        spin_ns: wake this long before the deadline and spin; 0 never spins. Only sensible under SCHED_FIFO on a
            machine with a second CPU: unprivileged spinning loses periods.
    """

    def __init__(self, period_ns: int, spin_ns: int = 0) -> None:
        if period_ns <= 0 or not 0 <= spin_ns < period_ns:
            raise ValueError(f"period_ns {period_ns} must be positive and spin_ns {spin_ns} within it")
        self.period_ns = period_ns
        self.spin_ns = self._least_ns = spin_ns
        self._most_ns = max(spin_ns, int(period_ns * EARLY_SHARE))
        self.skipped = 0
        self._owed_ns = 0
        self._later_ns, self._slew_ns, self._earlier_ns = (
            round(share * period_ns) for share in (_LATER, _SLEW, _EARLIER)
        )
        self.deadline_ns = self.woke_ns = time.monotonic_ns()

    def start(self) -> None:
        """The first deadline is one period from now: called last before the loop."""
        self.deadline_ns = self.woke_ns = time.monotonic_ns()
        self.skipped = 0

    def now_ns(self) -> int:
        return time.monotonic_ns()

    def doze(self) -> None:
        """Sleep until the spin tail begins: the time from here to the deadline is the caller's, then ``wait``."""
        idle = self.deadline_ns + self.period_ns - self.spin_ns - time.monotonic_ns()
        if idle > _SHORTEST_SLEEP_NS:
            time.sleep(idle * 1e-9)

    def adapt(self) -> None:
        """Told that the work before the deadline is done: wake earlier from now on if that was nearly too late."""
        if self.deadline_ns + self.period_ns - time.monotonic_ns() < _SPARE_NS:
            self.spin_ns = min(self.spin_ns + _RAISE_NS, self._most_ns)
        elif self.spin_ns > self._least_ns:
            self.spin_ns -= _LOWER_NS

    def follow(self, late: bool) -> None:
        """A soft phase lock to whatever comes in: told whether this tick's sample came after the last look before the
        deadline. Each that did puts the deadlines ahead later, by at most 500 ppm; each tick that they are not,
        they come a little earlier, so that no sample ages in its line."""
        if late and not self._owed_ns:
            self._owed_ns = self._later_ns
        later = min(self._owed_ns, self._slew_ns)
        self._owed_ns -= later
        self.deadline_ns += later or -self._earlier_ns

    def creep(self) -> None:
        """All deadlines ahead 500 ppm of a period later: told each tick while the loop meets its lines at a moment at
        which they waver."""
        self.deadline_ns += self._slew_ns

    def wait(self, monotonic_ns=time.monotonic_ns) -> int:  # type: ignore[no-untyped-def]
        """Sleep until the next deadline and return it, ns. Late by a period or more: skip to the newest one."""
        deadline = self.deadline_ns + self.period_ns
        if monotonic_ns() < deadline:
            self.doze()
        now = monotonic_ns()
        while now < deadline:  # the spin tail; without one, the rare early return of a sleep
            now = monotonic_ns()
        self.skipped = (now - deadline) // self.period_ns
        if self.skipped:
            deadline += self.skipped * self.period_ns
        self.deadline_ns = deadline
        self.woke_ns = now
        return deadline


class SimulatedClock:
    """Time that advances by one period a tick and never waits: lock-step simulation and tests."""

    def __init__(self, period_ns: int, t0_ns: int = 0) -> None:
        if period_ns <= 0:
            raise ValueError(f"period_ns {period_ns} must be positive")
        self.period_ns = period_ns
        self.deadline_ns = self.woke_ns = t0_ns
        self.skipped = 0
        self._to_skip = 0

    def now_ns(self) -> int:
        return self.woke_ns

    def wait(self) -> int:
        self.skipped, self._to_skip = self._to_skip, 0
        self.deadline_ns += (1 + self.skipped) * self.period_ns
        self.woke_ns = self.deadline_ns
        return self.deadline_ns

    def pass_over(self, periods: int) -> None:
        """Lose ``periods`` periods before the next tick, as a stalled machine would."""
        self._to_skip = periods
