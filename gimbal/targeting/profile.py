"""Jerk-limited setpoint: follows the goal without a step in attitude, rate or acceleration.

Second-order pursuit with rate feed-forward: a goal that turns at a constant rate is followed without lag, a jump is
met with a braking curve (v² = 2 a s) so that the setpoint never overshoots its limits. The camera's share of a
goal's noise falls with the square of frequency above the bandwidth. That is low while what is left of the error is
noise; where error and rate go on agreeing that the goal has swerved it grows, at once, and falls again slowly.
"""

from __future__ import annotations

import math

import numpy as np

from gimbal.kernels.build import kernel
from gimbal.kernels.quat import load3, load4, norm3, q_conj, q_integrate, q_log, q_mul, q_rotate, store3, store4

LARGE = 0.1  # rad: an error so large is met critically damped
EAGER = 1.6  # times: most that a swerve adds to the bandwidth
EAGER_S = 0.4  # over which an error is taken together to tell a swerve from noise

PROFILE_PARAMS = np.dtype(
    [("max_rate", "f8"), ("max_accel", "f8"), ("max_jerk", "f8"), ("bandwidth", "f8")],  # rad/s, ², ³; rad/s
    align=True,
)
PROFILE_STATE = np.dtype(
    [
        ("q_NC_sp", "f8", 4),
        ("rate_C", "f8", 3),
        ("accel_C", "f8", 3),
        ("slow_err", "f8", 2),  # error and rate error across the boresight, over EAGER_S
        ("slow_rate", "f8", 2),
        ("swerve", "f8"),  # of them, in units of what a swerve is
        ("limited", "u1"),
    ],
    align=True,
)


@kernel
def profile_reset(s, q_NC, rate_C):
    """Start from where the camera is and how it turns: no lurch."""
    store4(s["q_NC_sp"], q_NC)
    store3(s["rate_C"], rate_C)
    store3(s["accel_C"], (0.0, 0.0, 0.0))
    for i in range(2):
        s["slow_err"][i] = s["slow_rate"][i] = 0.0
    s["swerve"] = 0.0
    s["limited"] = 0


@kernel
def profile_turn(s, q_turn):
    """N itself was turned by q_turn (north was found): what is held in N turns along."""
    store4(s["q_NC_sp"], q_mul(q_turn, load4(s["q_NC_sp"])))


@kernel
def _clip_norm(v, limit):
    n = norm3(v)
    if n <= limit or n == 0.0:
        return v, False
    k = limit / n
    return (v[0] * k, v[1] * k, v[2] * k), True


@kernel
def _eagerness(s, err, rate_err, swerve_err, swerve_rate, dt_s):
    """How many times harder than at rest the goal is pursued: 1 while what is off is noise, 1 + EAGER in a swerve.

    swerve_err (rad), swerve_rate (rad/s): half of that is reached where either, taken over EAGER_S, is so large.
    """
    if swerve_err <= 0.0:  # and what was found so far is of another goal
        for i in range(2):
            s["slow_err"][i] = s["slow_rate"][i] = 0.0
        s["swerve"] = 0.0
        return 1.0
    k = dt_s / EAGER_S
    size2 = 0.0
    for i in range(2):
        s["slow_err"][i] += k * (err[1 + i] - s["slow_err"][i])
        s["slow_rate"][i] += k * (rate_err[1 + i] - s["slow_rate"][i])
        size2 += (s["slow_err"][i] / swerve_err) ** 2 + (s["slow_rate"][i] / swerve_rate) ** 2
    size = math.sqrt(size2)
    s["swerve"] = size if size > s["swerve"] else s["swerve"] + k * (size - s["swerve"])
    cube = min(s["swerve"], 100.0) ** 3
    return 1.0 + EAGER * cube / (1.0 + cube)


@kernel
def profile(p, s, q_goal, rate_goal_C, accel_goal_C, pursuit, dt_s):
    """Advance the setpoint by dt_s towards q_goal (q_NC), which turns at rate_goal_C and accel_goal_C (goal's axes).

    ``pursuit`` is how hard it follows: bandwidth, rad/s (low for noisy goals, high for the operator's hand), damping,
    and the error (rad) and rate error (rad/s) that tell a swerve of the goal; 0: always the same.
    """
    q = load4(s["q_NC_sp"])
    rate = load3(s["rate_C"])
    q_err = q_mul(q_conj(q), q_goal)
    err = q_log(q_err)
    want = q_rotate(q_err, rate_goal_C)  # the goal's rate in the setpoint's axes
    err = (err[0] - dt_s * want[0], err[1] - dt_s * want[1], err[2] - dt_s * want[2])  # the goal is of this step's end
    e = norm3(err)
    bandwidth, damping, swerve_err, swerve_rate = pursuit
    damping += max(1.0 - damping, 0.0) * min(e / LARGE, 1.0)  # a jump is met without ringing
    off = (want[0] - rate[0], want[1] - rate[1], want[2] - rate[2])
    eager = _eagerness(s, err, off, swerve_err, swerve_rate, dt_s)
    # pursue the error, but never faster than can be braked at half the acceleration limit
    most = math.sqrt(p["max_accel"] / max(e, 1e-12))
    k = min(0.5 * eager * bandwidth / damping, most)
    about = min(0.5 * bandwidth / damping, most)  # the horizon is in no hurry
    want = (want[0] + about * err[0], want[1] + k * err[1], want[2] + k * err[2])
    want, limited = _clip_norm(want, p["max_rate"])
    about = 2.0 * bandwidth * damping
    k = eager * about
    ahead = q_rotate(q_err, accel_goal_C)
    accel = (
        about * (want[0] - rate[0]) + ahead[0],
        k * (want[1] - rate[1]) + ahead[1],
        k * (want[2] - rate[2]) + ahead[2],
    )
    accel, _ = _clip_norm(accel, p["max_accel"])
    old = load3(s["accel_C"])
    step = (accel[0] - old[0], accel[1] - old[1], accel[2] - old[2])
    step, _ = _clip_norm(step, p["max_jerk"] * dt_s)
    accel = (old[0] + step[0], old[1] + step[1], old[2] + step[2])
    mean = (rate[0] + 0.5 * dt_s * accel[0], rate[1] + 0.5 * dt_s * accel[1], rate[2] + 0.5 * dt_s * accel[2])
    store4(s["q_NC_sp"], q_integrate(q, mean, dt_s))
    store3(s["rate_C"], (rate[0] + dt_s * accel[0], rate[1] + dt_s * accel[1], rate[2] + dt_s * accel[2]))
    store3(s["accel_C"], accel)
    s["limited"] = 1 if limited else 0
