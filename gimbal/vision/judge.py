"""Is what is followed the subject? It must move as the beacon says that the subject does.

Where the subject is, the beacon knows to metres only; how it moves, by its Doppler velocity, to a tenth of a metre a
second. What is followed is therefore judged by its motion in the world: a piece of ground that the window has caught
stays where it is while the line of sight goes on. The largest single step is left out of the sum, so that a turn of the
attitude's north is not taken for a motion of the subject.
"""

from __future__ import annotations

from collections import deque

import numpy as np

WINDOW_S = 0.6  # over which the two motions are compared
SIGMAS = 4.2  # of the difference of two boxes' places: three of each
SPEED_M_S = 1.0  # that the beacon's velocity and the rig's own may be wrong by,
SHARE = 0.15  # and, of the way the line of sight has gone, what its range may
DOUBTS = 2  # disagreeing frames in a row
SURE_FRAMES = 4  # a new lock is told nobody before it has agreed in so many


class Judge:
    """Compares what is followed with the motion that is predicted, frame by frame."""

    def __init__(self) -> None:
        self.begin()

    def begin(self) -> None:
        """A new lock."""
        self.steps: deque[tuple[float, np.ndarray, np.ndarray]] = deque()  # interval, step beyond the predicted, that
        self.last: tuple[float, np.ndarray] | None = None
        self.doubts = self.agreed = 0

    def agrees(self, t_s: float, found_N: np.ndarray, los_rate_N: np.ndarray, range_m: float, std_rad: float) -> bool:
        """One frame, exposed at t_s: found_N is the unit vector to what is followed, los_rate_N (rad/s) the predicted
        angular velocity of the line of sight, std_rad the error of a box. False: it isn't the subject."""
        if self.last is not None:
            dt = t_s - self.last[0]
            if not 0.0 < dt < WINDOW_S:
                self.begin()
            else:
                way = dt * np.cross(los_rate_N, self.last[1])
                self.steps.append((dt, found_N - self.last[1] - way, way))
        self.last = (t_s, found_N)
        while self.steps and sum(step[0] for step in self.steps) > WINDOW_S:
            self.steps.popleft()
        if not self.steps:
            return True
        seconds = sum(step[0] for step in self.steps)
        beyond = np.array([step[1] for step in self.steps])
        gone = float(np.linalg.norm(np.sum([step[2] for step in self.steps], axis=0)))
        total = beyond.sum(axis=0)
        off = float(np.linalg.norm(total))
        if len(beyond) > 2:
            off = min(off, float(np.linalg.norm(total - beyond[np.argmax(np.linalg.norm(beyond, axis=1))])))
        most = SIGMAS * std_rad + seconds * SPEED_M_S / max(range_m, 1.0) + SHARE * gone
        if off > most:
            self.doubts, self.agreed = self.doubts + 1, 0
        else:
            self.doubts, self.agreed = 0, self.agreed + 1
        return self.doubts < DOUBTS

    @property
    def sure(self) -> bool:
        return self.agreed >= SURE_FRAMES
