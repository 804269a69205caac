"""Is what is followed the subject? It must move as the beacon says that the subject does.

Where the subject is, the beacon knows to metres only; how it moves, by its Doppler velocity, to a tenth of a metre a
second. What is followed is therefore judged by its motion in the world: a piece of ground that the window has caught
stays where it is while the line of sight goes on.
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
        self.steps: deque[tuple[float, np.ndarray, np.ndarray]] = deque()  # when, step beyond the predicted, predicted
        self.doubts = self.agreed = 0

    def agrees(self, t_s: float, beyond: np.ndarray, way: np.ndarray, range_m: float, std_rad: float) -> bool:
        """One frame, exposed at t_s: ``way`` (3,) is how far the line of sight has turned since the last frame, and
        ``beyond`` what the place that is followed has moved besides, both rad, in N; std_rad the error of a box.
        False: it isn't the subject."""
        self.steps.append((t_s, beyond, way))
        while t_s - self.steps[0][0] > WINDOW_S:
            self.steps.popleft()
        seconds = t_s - self.steps[0][0]
        off = float(np.linalg.norm(np.sum([step[1] for step in self.steps], axis=0)))
        gone = float(np.linalg.norm(np.sum([step[2] for step in self.steps], axis=0)))
        most = SIGMAS * std_rad + seconds * SPEED_M_S / max(range_m, 1.0) + SHARE * gone
        if off > most:
            self.doubts, self.agreed = self.doubts + 1, 0
        else:
            self.doubts, self.agreed = 0, self.agreed + 1
        return self.doubts < DOUBTS

    @property
    def sure(self) -> bool:
        return self.agreed >= SURE_FRAMES
