"""When what a reply answers was asked: on a line that is slower than the loop, several questions are under way.

Most replies do not say to which they belong. Counting them goes wrong with everything that is lost, comes twice or
stands still, and stays wrong. But none comes sooner than the line can carry it: so a reply answers the newest question
that is old enough. What is asked once in a period then finds its own wherever a reply takes up to a period longer than
the soonest, as in USB's frames, and after any disturbance the next one does again. Behind a line that stood still, or
is slower than when it was opened, readings are dated too young by that: the bytes may as well have waited on their way
out, as behind an adapter they do.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable

_DEPTH = 32
_TURNS, _APART_NS = 10, 130_000  # by which the line is learned
_QUIET_NS, _ANSWERED_NS = 5_000_000, 50_000_000  # nothing more comes; whatever was asked has been answered
_SHARE = 0.95  # of the soonest that was seen: the sooner ones were perhaps not
_FRAMED_NS = 300_000  # a line that once took so much longer than the soonest holds bytes back by turns, as frames do:
_FORGOTTEN_NS = 60_000_000  # no older one in place of the newest: motors are silent by then, and safe
_BEFORE = 0.25  # of the time since the look before, by which bytes came before they were seen, as is likely


class Questions:
    """Of one line. Times are ns of the host's clock."""

    def __init__(self) -> None:
        self.soonest_ns = 0  # that a reply took, with one question under way; 0: not known, it was the newest
        self._longest_ns = 0
        self._asked: deque[int] = deque(maxlen=_DEPTH)

    def ask(self, t_ns: int) -> None:
        self._asked.append(t_ns)

    def learn(self, took_ns: int) -> None:
        """A reply to a question asked by itself took so long."""
        self.soonest_ns = min(self.soonest_ns or took_ns, took_ns)
        self._longest_ns = max(self._longest_ns, took_ns)

    def answer(self, arrival_ns: int, looked_ns: int = 0) -> int:
        """When the question of a reply was asked that was seen at ``arrival_ns`` and not yet at ``looked_ns`` (0: it
        isn't known); ``arrival_ns`` when none was."""
        framed = looked_ns and self._longest_ns - self.soonest_ns > _FRAMED_NS
        unseen_ns = max(arrival_ns - looked_ns, 0) if framed else 0
        latest = arrival_ns - int(_BEFORE * unseen_ns + _SHARE * self.soonest_ns)
        told_ns = self._asked[-1] if self._asked else arrival_ns
        for asked_ns in reversed(self._asked):
            if arrival_ns - asked_ns > _FORGOTTEN_NS:
                break
            told_ns = asked_ns
            if asked_ns <= latest:
                break
        return told_ns

    def learn_line(self, clock: Callable[[], int], wait: Callable[[int], None], ask: Callable[[int], int]) -> None:
        """How soon replies come: questions one at a time, each at another moment of the line's frames.

        Args:
            wait: reads what comes for so many ns.
            ask: asks, waits for so many ns at most, and returns when the first answer came; 0: none did.
        """
        quiet_ns = _ANSWERED_NS
        for turn in range(_TURNS):
            wait(quiet_ns + turn * _APART_NS)
            asked_ns = clock()
            if arrival_ns := ask(_ANSWERED_NS):
                self.learn(arrival_ns - asked_ns)
            quiet_ns = _QUIET_NS if arrival_ns else _ANSWERED_NS
