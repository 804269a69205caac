"""At which moment of their own time the devices are met: what the loop moves its deadlines by.

A line that carries in frames (USB, 1 ms) holds a command and its reply up to a frame longer where the loop writes just
about when a frame begins: two commands in one, none in the next, and readings in every other tick. The torque acts by
turns a millisecond late, which no margin is made for. Away from there it is steady, so the loop moves.
"""

from __future__ import annotations

from collections.abc import Sequence

_SHARE = 1.0 / 200.0  # of a tick in what is lately
_WAVERS = 0.02  # share of the ticks that begin to miss
_MOST = 2400  # ticks of moving without rest, 1.2 periods at 500 ppm: then it is no border, the line wavers by itself
_REST = 0.1  # of them forgotten with each tick at rest: slower than a lock to the IMU leads back; then it tries again
_EVEN = 0.002  # share that begin to miss on a line that doesn't waver
_MUCH = 1000  # where so many ended it, the phase is the motors'


def in_step(imu_hz: float, loop_hz: float) -> bool:
    """The IMU's samples come at one phase of the loop's period, or the loop at one of theirs."""
    ratio = max(imu_hz, loop_hz) / max(min(imu_hz, loop_hz), 1.0)
    return imu_hz > 0.0 and abs(ratio - round(ratio)) < 0.01


class Replies:
    """Of the motor controllers, tick by tick. A dropout begins once, and counts as little."""

    def __init__(self) -> None:
        self._missed = False
        self._begun = 0.0
        self._moved = 0.0  # ticks
        self._by_itself = False  # it wavered wherever it was met
        self.owns_phase = False  # moving away from a border helped; a lock to something else would lead back there

    def tick(self, valid: Sequence[int], axes: Sequence[int]) -> None:
        """``valid``: whether each axis index has a new reading this tick; ``axes``: those on a line in frames."""
        missed = False
        for axis in axes:
            if not valid[axis]:
                missed = True
        self._begun += _SHARE * ((missed and not self._missed) - self._begun)
        self._missed = missed
        if self._by_itself or self._begun <= _WAVERS:
            self._moved = max(self._moved - _REST, 0.0)
            self._by_itself = self._by_itself and self._moved > 0.0
        else:
            self._moved += 1
            self._by_itself = self._moved >= _MOST
        if self._begun < _EVEN and self._moved > _MUCH and not self._by_itself:
            self.owns_phase = True

    @property
    def waver(self) -> bool:
        return self._begun > _WAVERS and not self._by_itself
