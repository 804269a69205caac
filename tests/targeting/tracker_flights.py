"""A smooth simulated flight with exact derivatives: sums of sines about a straight glide, wing-like accelerations."""

from __future__ import annotations

import numpy as np


class Flight:
    def __init__(self, seed: int, speed_m_s: float = 20.0) -> None:
        rng = np.random.default_rng(seed)
        self.v0 = np.array([speed_m_s, 0.0, 7.0])
        self.w = rng.uniform(0.3, 1.2, (3, 3))  # rad/s
        self.phase = rng.uniform(0, 2 * np.pi, (3, 3))
        accel = np.array([1.0, 3.0, 1.5])[:, None] * rng.uniform(0.5, 1.2, (3, 3))
        self.amp = accel / self.w**2

    def at(self, t: float) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Position, velocity, acceleration at t (s), each (3,)."""
        a, s, c = self.amp, np.sin(self.w * t + self.phase), np.cos(self.w * t + self.phase)
        return (
            self.v0 * t + (a * s).sum(1),
            self.v0 + (a * self.w * c).sum(1),
            -(a * self.w**2 * s).sum(1),
        )
