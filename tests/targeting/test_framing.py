"""Framing geometry against numbers made another way; a pass straight below asks for no kick."""

from __future__ import annotations

import numpy as np
import pytest

from gimbal.kernels.quat import q_conj, q_level, q_log, q_mul, q_rotate, q_unrotate
from gimbal.targeting.framing import FRAMING_PARAMS, FRAMING_STATE, boresight_for, frame_goal, framing_start

DEG = np.pi / 180
ZERO = (0.0, 0.0, 0.0)


def unit(v):
    v = np.asarray(v, float)
    return tuple(float(x) for x in v / np.linalg.norm(v))


@pytest.fixture
def p():
    p = np.zeros(1, FRAMING_PARAMS)
    p["max_spin"], p["max_spin_accel"] = 108 * DEG, 360 * DEG
    return p[0]


def started(q):
    s = np.zeros(1, FRAMING_STATE)[0]
    framing_start(s, q)
    return s


@pytest.mark.parametrize("right,down", [(0.0, 0.0), (4.0, 0.0), (-3.0, 5.0), (10.0, -6.0)])
@pytest.mark.parametrize("direction", [(1, 0, 0), (1, 2, 0.5), (-1, 0.3, -0.8)])
def test_the_subject_stands_at_the_framing_point(p, direction, right, down):
    los = unit(direction)
    q, _, _ = frame_goal(p, started(q_level(los, 0.0)), los, ZERO, ZERO, right * DEG, down * DEG, 1e-3)
    x, y, z = q_unrotate(q, los)
    assert np.degrees(np.arctan2(y, x)) == pytest.approx(right, abs=0.12)
    assert np.degrees(np.arctan2(z, x)) == pytest.approx(down, abs=0.12)


def fly_past(p, position, velocity, seconds, right=0.0, down=0.0, noise_deg=0.0):
    """A subject in straight flight past a resting camera: lines of sight, attitudes, rates, accelerations."""
    rng = np.random.default_rng(5)
    dt, rows, s = 1e-3, [], None
    for k in range(round(seconds / dt)):
        d = np.asarray(position, float) + np.asarray(velocity, float) * k * dt
        d += noise_deg * DEG * np.linalg.norm(d) * rng.normal(size=3)
        los = unit(d)
        rate = np.cross(d, velocity) / (d @ d)
        turn = -2.0 * (d @ velocity) / (d @ d) * rate
        if s is None:
            s = started(q_level(los, 0.0))
        q, w, a = frame_goal(p, s, los, tuple(rate), tuple(turn), right * DEG, down * DEG, dt)
        rows.append((los, q, w, a))
    return [np.array(x) for x in zip(*rows, strict=True)]


@pytest.mark.parametrize("right,down", [(0.0, 0.0), (5.0, -4.0)])
def test_rate_and_acceleration_are_derivatives_of_the_attitude(p, right, down):
    _, q, rate, accel = fly_past(p, (30.0, -22.0, 9.0), (-2.0, 22.0, 4.0), 2.0, right, down)
    for k in range(500, 2000, 250):  # after the first turn into level
        numeric = np.array(q_log(q_mul(q_conj(tuple(q[k - 1])), tuple(q[k])))) / 1e-3
        assert np.allclose(rate[k], numeric, atol=8e-3), k  # of 0.7
        assert np.allclose(accel[k], (rate[k + 5] - rate[k - 5]) / 1e-2, atol=0.05), k  # of 0.5


def lean_deg(q):
    return np.degrees([np.arcsin(q_rotate(tuple(x), (0.0, 1.0, 0.0))[2]) for x in q])


def test_an_ordinary_pass_is_level(p):
    _, q, _, _ = fly_past(p, (25.0, -40.0, 12.0), (0.0, 25.0, 0.0), 3.0)
    assert np.abs(lean_deg(q)).max() < 0.2


@pytest.mark.parametrize("aside", [0.0, 0.01, 0.5, 2.0])
@pytest.mark.parametrize("noise_deg", [0.0, 0.2])
def test_straight_below_the_line_of_sight_comes_first_and_the_horizon_without_a_kick(p, aside, noise_deg):
    los, q, rate, _ = fly_past(p, (-50.0, aside, 20.0), (25.0, 0.0, 0.0), 7.0, noise_deg=noise_deg)
    boresight = np.array([q_rotate(tuple(x), (1.0, 0.0, 0.0)) for x in q])
    assert np.abs(boresight - los).max() < 1e-9
    across = np.linalg.norm(rate[:, 1:], axis=1)
    about = rate[:, 0]
    assert np.abs(about).max() <= p["max_spin"] * (1 + 1e-9)
    assert np.abs(np.diff(about)).max() <= p["max_spin_accel"] * 1e-3 * (1 + 1e-6)
    assert across.max() < 25.0 / 20.0 * 1.05  # the line of sight's own
    if noise_deg == 0.0:  # the attitude really turns so
        turned = np.array([q_log(q_mul(q_conj(tuple(a)), tuple(b))) for a, b in zip(q[::10], q[10::10], strict=False)])
        assert np.abs(turned[:, 0]).max() / 1e-2 < 1.02 * p["max_spin"]
    after = lean_deg(q[5500:])  # 3.5 s past
    assert np.abs(after).max() < 2.0
    if aside > 0.0 or noise_deg > 0.0:
        spun = np.sum(np.abs(np.diff(np.unwrap(np.cumsum(about) * 1e-3))))
        assert spun < 1.25 * np.pi  # half a turn, not to and fro


def test_straight_down_stays_finite(p):
    s = started((1.0, 0.0, 0.0, 0.0))
    for los in ((0.0, 0.0, 1.0), (0.0, 0.0, -1.0), (0.0, 1.0, 0.0)):
        q, rate, accel = frame_goal(p, s, los, (0.2, 0.1, 0.0), (0.1, 0.0, 0.0), 0.1, 0.1, 1e-3)
        assert np.isfinite(q).all() and np.isfinite(rate).all() and np.isfinite(accel).all()
        assert np.linalg.norm(rate) < 10.0
    assert np.isfinite(boresight_for((0.0, 0.0, 1.0), (0.0, 1.0, 0.0), 0.1, 0.1)).all()
