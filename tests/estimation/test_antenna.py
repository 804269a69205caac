"""The antenna sits on the base, the IMU on the camera: its own velocity, from the joints, must not look like tilt."""

from __future__ import annotations

import numpy as np
import pytest

from gimbal.estimation.joints import chain
from gimbal.estimation.profiles import default_params

STAGES = [(0.0, 0.0, 0.0), (0.0, 0.0, 0.1), (0.02, 0.0, 0.0)]


def turned(axis: int, angle: float) -> np.ndarray:
    c, s, i, j = np.cos(angle), np.sin(angle), (axis + 1) % 3, (axis + 2) % 3
    R = np.eye(3)
    R[i, i] = R[j, j] = c
    R[i, j], R[j, i] = -s, s
    return R


@pytest.mark.parametrize("angle", [(0.0, 0.0, 0.0), (0.3, -0.8, 2.1)])
def test_arm_follows_the_joints(angle: tuple[float, float, float]) -> None:
    p = default_params(
        "flight", 1e-3, antenna_B=(0.2, -0.1, -0.4), origin_m=STAGES, imu_C=(0.03, 0.01, -0.02), order=(2, 0, 1)
    )
    R, at = np.eye(3), np.zeros(3)
    for stage, axis in zip(STAGES, (2, 0, 1), strict=True):
        at = at + R @ np.array(stage)
        R = R @ turned(axis, angle[axis])
    expected = np.array([0.2, -0.1, -0.4]) - at - R @ np.array([0.03, 0.01, -0.02])
    assert np.allclose(chain(p[0], np.array(angle), np.zeros(3))[2], expected, atol=1e-12)
