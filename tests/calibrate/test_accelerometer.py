"""Six positions: what was put in comes out within three sigma; bad recordings are refused with the reason."""

from __future__ import annotations

import numpy as np
import pytest

from gimbal.calibrate.accelerometer import resting_means, six_positions
from gimbal.errors import UsageError

G, RATE, NOISE = 9.80665, 100.0, 0.02
UPS = [(0, 0, 1), (0, 0, -1), (0, 1, 0), (0, -1, 0), (1, 0, 0), (-1, 0, 0), (1, 1, 1), (-1, 1, -1), (1, -1, -1)]
BIAS, SCALE = np.array([0.04, -0.03, 0.05]), np.array([1.004, 0.997, 1.002])


def record(ups: list[tuple[int, int, int]], seed: int = 1, shake: float = 0.0) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    n = int(2 * RATE)
    force = np.concatenate([np.tile(np.array(u) / np.linalg.norm(u) * G, (n, 1)) for u in ups])
    accel = force / SCALE + BIAS + rng.normal(0, NOISE, force.shape)
    return rng.normal(0, 0.001 + shake, force.shape), accel


@pytest.mark.parametrize("seed", range(5))
def test_recovered(seed: int) -> None:
    means = resting_means(*record(UPS, seed), RATE)
    assert len(means) == len(UPS)
    found = six_positions(means, G, NOISE / np.sqrt(2 * RATE))
    assert (np.abs(found.bias - BIAS) < 3.5 * found.bias_std).all()
    assert (np.abs(found.scale - SCALE) < 3.5 * found.scale_std).all()
    assert (found.bias_std < 0.005).all()


def test_few_positions() -> None:
    with pytest.raises(UsageError, match="2 resting positions"):
        six_positions(resting_means(*record(UPS[:2]), RATE), G, 0.002)


def test_moving() -> None:
    with pytest.raises(UsageError, match="0 resting positions"):
        six_positions(resting_means(*record(UPS, shake=0.1), RATE), G, 0.002)


def test_unexplained() -> None:
    means = resting_means(*record(UPS), RATE)
    means[::2] *= 1.03
    with pytest.raises(UsageError, match="No bias and scale explain"):
        six_positions(means, G, 0.002)
