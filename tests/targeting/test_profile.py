"""The setpoint's promises: within its limits, no lag behind a steady goal, no overshoot, no step."""

from __future__ import annotations

import numpy as np
import pytest

from gimbal.kernels.quat import q_axis, q_conj, q_exp, q_log, q_mul
from gimbal.targeting.profile import PROFILE_PARAMS, PROFILE_STATE, profile, profile_reset

DT = 0.001
DEG = np.pi / 180
LEVEL = (1.0, 0.0, 0.0, 0.0)


@pytest.fixture
def p():
    p = np.zeros(1, PROFILE_PARAMS)
    p["max_rate"], p["max_accel"], p["max_jerk"] = 120 * DEG, 800 * DEG, 16000 * DEG
    return p[0]


def follow(p, goal_at, seconds, bandwidth=15.0, start=LEVEL, damping=1.0, accel_at=lambda t: (0.0, 0.0, 0.0),
           swerve=(0.0, 0.0)):  # fmt: skip
    """Setpoint attitude, rate, acceleration (n, ...) for goal_at(t) -> (q, rate_C)."""
    s = np.zeros(1, PROFILE_STATE)[0]
    profile_reset(s, start, (0.0, 0.0, 0.0))
    out = []
    for k in range(round(seconds / DT)):
        q, rate = goal_at((k + 1) * DT)
        profile(p, s, q, rate, accel_at(k * DT), (bandwidth, damping, *swerve), DT)
        out.append((s["q_NC_sp"].copy(), s["rate_C"].copy(), s["accel_C"].copy()))
    return [np.array(x) for x in zip(*out, strict=True)]


def angle_to(q, goal):
    return np.linalg.norm(q_log(q_mul(q_conj(tuple(q)), goal)))


@pytest.mark.parametrize("size_deg", [0.01, 1.0, 20.0, 170.0])
def test_a_jump_is_reached_within_limits_and_without_overshoot(p, size_deg):
    goal = q_exp((0.0, 0.6 * size_deg * DEG, 0.8 * size_deg * DEG))
    q, rate, accel = follow(p, lambda t: (goal, (0.0, 0.0, 0.0)), 4.0)
    left = np.array([angle_to(x, goal) for x in q[::10]])
    assert left[-1] < 1e-3 * size_deg * DEG
    assert np.linalg.norm(rate, axis=1).max() <= 120 * DEG * 1.02
    assert np.linalg.norm(accel, axis=1).max() <= 800 * DEG * (1 + 1e-9)
    jerk = np.linalg.norm(np.diff(accel, axis=0), axis=1) / DT
    assert jerk.max() <= 16000 * DEG * (1 + 1e-6)
    assert angle_to(q[0], LEVEL) < 2e-5 * size_deg * DEG + 1e-7  # no step at the start
    travelled = np.array([angle_to(x, LEVEL) for x in q[::10]])
    assert travelled.max() <= size_deg * DEG * 1.03


def test_a_goal_that_speeds_up_is_followed_closer_with_its_acceleration_known(p):
    accel = 20 * DEG

    def goal(t):
        return q_axis(2, 0.5 * accel * t * t), (0.0, 0.0, accel * t)

    left = []
    for known in (0.0, 1.0):
        q, _, _ = follow(p, goal, 3.0, bandwidth=4.0, accel_at=lambda t, k=known: (0.0, 0.0, k * accel))
        left.append(angle_to(q[-1], goal(3.0)[0]))
    assert left[0] == pytest.approx(accel / 16.0, rel=0.1)  # a / bandwidth²
    assert left[1] < 0.02 * left[0]


def test_low_damping_meets_a_jump_without_ringing(p):
    goal = q_axis(2, 20 * DEG)
    q, _, _ = follow(p, lambda t: (goal, (0.0, 0.0, 0.0)), 4.0, bandwidth=5.0, damping=0.5)
    past = max(angle_to(x, LEVEL) for x in q[::10]) - 20 * DEG
    assert 0.0 < past < 1.5 * DEG  # of 20; a damping of a half all through would go 3.3 past
    assert angle_to(q[-1], goal) < 0.01 * DEG


def test_a_goal_that_turns_steadily_is_followed_without_lag(p):
    rate = 40 * DEG
    q, w, _ = follow(p, lambda t: (q_axis(2, rate * t), (0.0, 0.0, rate)), 4.0, bandwidth=8.0)
    assert angle_to(q[-1], q_axis(2, rate * 4.0)) < 2e-4
    assert w[-1][2] == pytest.approx(rate, abs=1e-4)


def test_noise_of_the_goal_is_smoothed(p):
    rng = np.random.default_rng(3)
    noise = 1e-3 * rng.normal(size=4000)
    q, _, _ = follow(p, lambda t: (q_axis(2, noise[round(t / DT) - 1]), (0.0, 0.0, 0.0)), 4.0, bandwidth=7.5)
    heading = np.array([2 * np.arctan2(x[3], x[0]) for x in q[1000:]])
    assert 1e-6 < heading.std() < 1e-4  # 1 mrad of white noise leaves a tenth at most


def test_a_swerve_is_followed_harder_and_noise_is_not(p):
    """The goal begins to turn at 20 degrees/s² and says its rate: the error is less by a third, and
    white noise of the goal passes as little as before."""
    rng = np.random.default_rng(3)
    noise = 4e-3 * np.repeat(rng.normal(size=134), 30)
    swerve, turn = (0.024, 0.049), 20 * DEG

    def noisy(t):
        return q_axis(2, noise[round(t / DT) - 1]), (0.0, 0.0, 0.0)

    def swerving(t):
        late = max(t - 1.0, 0.0)
        return q_axis(2, 0.5 * turn * late * late), (0.0, 0.0, turn * late)

    left, passed = [], []
    for how in ((0.0, 0.0), swerve):
        q, _, _ = follow(p, swerving, 2.5, bandwidth=3.6, damping=0.5, swerve=how)
        left.append(max(angle_to(q[k], swerving((k + 1) * DT)[0]) for k in range(0, 2500, 10)))
        q, _, _ = follow(p, noisy, 4.0, bandwidth=3.6, damping=0.5, swerve=how)
        passed.append(np.std([2 * np.arctan2(x[3], x[0]) for x in q]))
    assert 0.1 * left[0] < left[1] < 0.75 * left[0]
    assert passed[1] < 1.1 * passed[0]


def test_a_swerve_does_not_outlive_the_goal_it_was_of(p):
    s = np.zeros(1, PROFILE_STATE)[0]
    profile_reset(s, LEVEL, (0.0, 0.0, 0.0))
    goal, swerve = q_axis(2, 5 * DEG), (3.6, 0.5, 0.024, 0.049)
    for _ in range(100):
        profile(p, s, goal, (0.0, 0.0, 0.5), (0.0, 0.0, 0.0), swerve, DT)
    assert s["swerve"] > 0.5 and s["slow_err"].any() and s["slow_rate"].any()
    profile(p, s, goal, (0.0, 0.0, 0.0), (0.0, 0.0, 0.0), (15.0, 1.0, 0.0, 0.0), DT)  # the hand takes over
    assert s["swerve"] == 0.0 and not s["slow_err"].any() and not s["slow_rate"].any()
