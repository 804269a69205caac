"""When what a reply answers was asked: on a line that is slower than the loop, several questions are under way.

A device answers in order, and most replies do not say what to: so each answers the oldest question still open. Where a
reply was lost, those after it seem to take a period longer: the oldest is passed over once bytes were damaged, or once
that has gone on for a while, until when readings are dated too old by what was lost. Never too young: that is not
noticed by itself, and what pairs them anew must not do it after a stall. A line that becomes slower by a period or more
is taken for a loss.
"""

from __future__ import annotations

from collections import deque

_DEPTH = 32
_LONG_NS = 60_000_000  # what is open for longer is not answered any more
_SHARE = 0.6  # of the time between two questions, by which a reply comes later than usual, before it answers the next
_PATIENCE = 50  # replies in a row that come so late with nothing seen to be lost
_SMOOTH = 1.0 / 32.0


class Questions:
    """Of one axis. Times are ns of the host's clock."""

    def __init__(self) -> None:
        self._open: deque[int] = deque(maxlen=_DEPTH)
        self._usual_ns = -1.0  # what a reply takes
        self._late = 0
        self._last_ns = 0

    def ask(self, t_ns: int, replies: int = 1) -> None:
        for _ in range(replies):
            self._open.append(t_ns)

    def answer(self, arrival_ns: int, lost: bool) -> int:
        """When the question of a reply that came at ``arrival_ns`` was asked. lost: bytes were damaged lately."""
        waiting = self._open
        while len(waiting) > 1 and arrival_ns - waiting[0] > _LONG_NS:
            waiting.popleft()
        if not waiting:
            return min(self._last_ns or arrival_ns, arrival_ns)
        late = self._is_late(arrival_ns)
        self._late = self._late + 1 if late else 0
        while late and (lost or self._late >= _PATIENCE):
            waiting.popleft()
            late = self._is_late(arrival_ns)
            self._late = _PATIENCE if late else 0
        self._last_ns = waiting.popleft()
        took = arrival_ns - self._last_ns
        if self._usual_ns < 0.0:
            self._usual_ns = took
        elif not late:
            self._usual_ns += _SMOOTH * (took - self._usual_ns)
        return self._last_ns

    def _is_late(self, arrival_ns: int) -> bool:
        """A reply to the oldest question would have taken unusually long, and the next one has been asked."""
        waiting = self._open
        if len(waiting) < 2 or self._usual_ns < 0.0 or arrival_ns <= waiting[1]:
            return False
        return arrival_ns - waiting[0] - self._usual_ns > _SHARE * (waiting[1] - waiting[0])
