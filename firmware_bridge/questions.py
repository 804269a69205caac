"""When what a reply answers was asked: on a line that is slower than the loop, several questions are under way.

A device answers in order, and most replies do not say what to: so each answers the oldest question still open. Where a
reply was lost, those after it seem to take a period longer: the oldest is passed over once bytes were damaged, or once
that has gone on for a while, until when readings are dated too old by what was lost. Where one came twice, those after
it seem to take a period less: the last one answered is taken again. Replies that take long or short by turns are
neither: the line wavers, and may go on doing either for good. One that becomes slower or faster by a period at once,
and for good, is taken for the one or other.
"""

from __future__ import annotations

from collections import deque

_DEPTH = 32
_LONG_NS = 60_000_000  # what is open for longer is not answered any more
_PAUSE_NS = 20_000_000  # without a question: what replies take is learned anew
_SOME = 5  # replies in which what they take is the soonest's, where bytes were damaged
_LEARN = 50  # replies, of the newer half of which it is the median: after a pause the first are often slow
_SHARE = 0.6  # of the time between two questions, by which a reply is out of the usual, where bytes were damaged,
_SURE = 0.85  # and where not: those that just miss a look at the line are seen most of a period later
_LATE, _EARLY = 50, 12  # replies that are, until
_OVER = 3  # in a row are not
_WAVER = 1.6  # periods: a line that stood still for longer tells nothing of its wavering
_SMOOTH, _FORGET = 1.0 / 32.0, 1e-4
_WINDOW, _FRAME = 64, 1.15  # replies that all take so many periods longer than any one did: no frame is that long


class Questions:
    """Of one axis. Times are ns of the host's clock."""

    def __init__(self) -> None:
        self._open: deque[int] = deque(maxlen=_DEPTH)
        self._answered: deque[int] = deque(maxlen=_DEPTH)
        self._asked_ns = 0
        self._usual_ns = 0.0  # what a reply takes,
        self._more_ns = self._less_ns = 0.0  # and how far it wavers
        self._first: list[int] = []  # what it is learned of
        self._late = self._early = 0  # replies in a row,
        self._good = 0  # and of them since
        self._off_ns = 0.0  # the least of the first beyond the usual
        self._period_ns = 0.0
        self._least_ns = self._low_ns = _LONG_NS  # that a reply took, since the pause and in this window
        self._seen = 0  # of the window

    def ask(self, t_ns: int, replies: int = 1) -> None:
        if t_ns - self._asked_ns > _PAUSE_NS:
            self._late = self._early = self._seen = 0
            self._period_ns, self._least_ns, self._low_ns = 0.0, _LONG_NS, _LONG_NS
            self._first.clear()
            self._open.clear()
            self._answered.clear()
        else:
            spacing = t_ns - self._asked_ns
            self._period_ns += _SMOOTH * (spacing - self._period_ns) if self._period_ns else spacing
        self._asked_ns = t_ns
        for _ in range(replies):
            self._open.append(t_ns)

    def answer(self, arrival_ns: int, lost: bool) -> int:
        """When the question of a reply that came at ``arrival_ns`` was asked. lost: bytes were damaged lately."""
        waiting, answered = self._open, self._answered
        while len(waiting) > 1 and arrival_ns - waiting[0] > _LONG_NS:
            waiting.popleft()
        if not waiting:
            return min(answered[-1], arrival_ns) if answered else arrival_ns
        late, early = self._is_late(arrival_ns, lost), self._is_early(arrival_ns)
        self._follow_waver(arrival_ns, late, early)
        if late and (lost or self._late >= _LATE):
            while self._is_late(arrival_ns, lost):
                waiting.popleft()
            self._late = 0
        elif self._early >= _EARLY:
            waiting.appendleft(answered.pop())
            self._early = 0
        if self._all_took_long(arrival_ns - waiting[0]) and len(waiting) > 1:
            waiting.popleft()
        asked_ns = waiting.popleft()
        answered.append(asked_ns)
        return asked_ns

    def _all_took_long(self, took_ns: int) -> bool:
        """Once a window: what was lost unseen while the line wavered adds up to more than it can waver by."""
        self._least_ns, self._low_ns = min(self._least_ns, took_ns), min(self._low_ns, took_ns)
        self._seen += 1
        if self._seen < _WINDOW:
            return False
        long = self._low_ns > self._least_ns + _FRAME * self._period_ns
        self._seen, self._low_ns = 0, _LONG_NS
        return long

    def _is_late(self, arrival_ns: int, lost: bool) -> bool:
        """A reply to the oldest question would have taken unusually long, and the next one has been asked."""
        waiting, known = self._open, len(self._first)
        if len(waiting) < 2 or known < (_SOME if lost else _LEARN) or arrival_ns <= waiting[1]:
            return False
        off = arrival_ns - waiting[0] - self._usual_ns
        share, more_ns = (_SHARE, 0.0) if lost else (_SURE, self._more_ns)
        return off - more_ns > share * (waiting[1] - waiting[0])

    def _is_early(self, arrival_ns: int) -> bool:
        waiting, answered = self._open, self._answered
        if not answered or len(self._first) < _LEARN:
            return False
        off = self._usual_ns - (arrival_ns - waiting[0])
        return off - self._less_ns > _SHARE * (waiting[0] - answered[-1])

    def _follow_waver(self, arrival_ns: int, late: bool, early: bool) -> None:
        """Count replies out of the usual; those that end by themselves were in their order, and become usual."""
        took = arrival_ns - self._open[0]
        off = abs(took - self._usual_ns)
        if late or early:
            self._off_ns = min(self._off_ns, off) if self._late or self._early else off
            self._late, self._early, self._good = (self._late + 1, 0, 0) if late else (0, self._early + 1, 0)
            return
        self._good += 1
        if (self._late or self._early) and self._good < _OVER:
            return
        if (self._late or self._early) and self._answered:
            period = self._open[0] - self._answered[-1]
            if self._late and self._off_ns < _WAVER * period:
                self._more_ns = max(self._more_ns, self._off_ns)
            elif self._early and self._off_ns < _WAVER * period:
                self._less_ns = max(self._less_ns, self._off_ns)
        self._late = self._early = 0
        if len(self._first) < _LEARN:
            self._first.append(took)
            whole = len(self._first) == _LEARN
            self._usual_ns = sorted(self._first[_LEARN // 2 :])[_LEARN // 4] if whole else min(self._first)
            return
        self._usual_ns += _SMOOTH * (took - self._usual_ns)
        self._more_ns -= _FORGET * self._more_ns
        self._less_ns -= _FORGET * self._less_ns
