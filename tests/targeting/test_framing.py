"""Framing geometry against numbers made another way."""

from __future__ import annotations

import numpy as np
import pytest

from gimbal.kernels.quat import q_conj, q_log, q_mul, q_rotate, q_unrotate
from gimbal.targeting.framing import boresight_for, level_goal

DEG = np.pi / 180


def unit(v):
    v = np.asarray(v, float)
    return tuple(v / np.linalg.norm(v))


@pytest.mark.parametrize("right,down", [(0.0, 0.0), (4.0, 0.0), (-3.0, 5.0), (10.0, -6.0)])
@pytest.mark.parametrize("direction", [(1, 0, 0), (1, 2, 0.5), (-1, 0.3, -0.8)])
def test_the_subject_stands_at_the_framing_point(direction, right, down):
    los = unit(direction)
    q, _, _ = level_goal(los, (0.0, 0.0, 0.0), (0.0, 0.0, 0.0), right * DEG, down * DEG)
    x, y, z = q_unrotate(q, los)
    assert np.degrees(np.arctan2(y, x)) == pytest.approx(right, abs=0.12)
    assert np.degrees(np.arctan2(z, x)) == pytest.approx(down, abs=0.12)
    assert abs(q_rotate(q, (0.0, 1.0, 0.0))[2]) < 1e-9  # level


def test_the_rate_is_the_derivative_of_the_attitude():
    position, velocity, dt = np.array([30.0, 12.0, 9.0]), np.array([-5.0, 22.0, 4.0]), 1e-5
    q, rates = [], []
    for t in (-dt, 0.0, dt):
        d = position + velocity * t
        los = unit(d)
        rate = tuple(np.cross(d, velocity) / (d @ d))
        turn = tuple(-2.0 * (d @ velocity) / (d @ d) * np.array(rate))
        attitude, rate_C, accel_C = level_goal(los, rate, turn, 0.0, 0.0)
        q.append(attitude)
        rates.append(rate_C)
        if t == 0.0:
            want, want_accel = rate_C, accel_C
    numeric = np.array(q_log(q_mul(q_conj(q[0]), q[2]))) / (2 * dt)
    assert np.allclose(want, numeric, atol=1e-6)
    assert np.allclose(want_accel, (np.array(rates[2]) - rates[0]) / (2 * dt), atol=6e-3)  # of 0.9: a step of 5 ms


def test_straight_down_stays_finite():
    q, rate, accel = level_goal((0.0, 0.0, 1.0), (0.2, 0.1, 0.0), (0.1, 0.0, 0.0), 0.0, 0.0)
    assert np.isfinite(q).all() and np.isfinite(rate).all() and np.isfinite(accel).all()
    assert np.linalg.norm(rate) < 10.0
    assert np.isfinite(boresight_for((0.0, 0.0, 1.0), 0.1, 0.1)).all()
