"""Joint angles and rates from the encoders, and the base's attitude through the kinematic chain.

R_BC is the product of the joints' rotations, outer (base) to inner (camera), in the order of the config: by default
Rz(yaw) Rx(roll) Ry(pitch). Rates come from a third-order fading-memory tracker of the angle (Morrison, "Introduction
to Sequential Smoothing and Prediction", 1969): no lag at constant acceleration, quantisation is averaged.
"""

from __future__ import annotations

import math

from gimbal.kernels.build import kernel
from gimbal.kernels.quat import q_axis, q_mul, q_unrotate

PREDICT_S = 0.02  # an older reading is held, its rate is not believed


@kernel
def track_joint(p, s, i, angle, t_ns):
    """Take in a new reading of joint i."""
    T = (t_ns - s["joint_t_ns"][i]) * 1e-9
    if not s["joint_seen"][i] or T > 0.2 or T <= 0.0:
        if T != 0.0 or not s["joint_seen"][i]:
            s["joint_angle"][i] = angle
            s["joint_rate"][i] = 0.0
            s["joint_acc"][i] = 0.0
        s["joint_seen"][i] = 1
        s["joint_t_ns"][i] = t_ns
        return
    x = s["joint_angle"][i] + T * (s["joint_rate"][i] + 0.5 * T * s["joint_acc"][i])
    v = s["joint_rate"][i] + T * s["joint_acc"][i]
    r = angle - x
    r -= 2.0 * math.pi * math.floor((r + math.pi) / (2.0 * math.pi))  # the shorter way round
    m = math.exp(-p["joint_bandwidth"] * T)
    s["joint_angle"][i] = x + (1.0 - m * m * m) * r
    s["joint_rate"][i] = v + 1.5 * (1.0 - m * m) * (1.0 - m) * r / T
    s["joint_acc"][i] += (1.0 - m) ** 3 * r / (T * T)
    s["joint_t_ns"][i] = t_ns


@kernel
def joints_at(s, nav, t_ns):
    """Angles and rates predicted to t_ns, in NAV."""
    for i in range(3):
        age = (t_ns - s["joint_t_ns"][i]) * 1e-9
        fresh = s["joint_seen"][i] and age < PREDICT_S
        nav["joint_rate_est"][i] = s["joint_rate"][i] + age * s["joint_acc"][i] if fresh else 0.0
        step = age * (s["joint_rate"][i] + 0.5 * age * s["joint_acc"][i]) if fresh else 0.0
        nav["joint_angle_est"][i] = s["joint_angle"][i] + step


@kernel
def q_base_camera(p, angle):
    """q_BC from the joint angles."""
    q = (1.0, 0.0, 0.0, 0.0)
    for k in range(3):
        axis = p["order"][k]
        q = q_mul(q, q_axis(axis, angle[axis]))
    return q


@kernel
def joint_rate_C(p, angle, rate):
    """Rate of C against B (rad/s, in C): each joint's rate about its axis, carried inward."""
    w = (0.0, 0.0, 0.0)
    for k in range(3):
        axis = p["order"][k]
        w = q_unrotate(q_axis(axis, angle[axis]), w)
        w = (
            w[0] + (rate[axis] if axis == 0 else 0.0),
            w[1] + (rate[axis] if axis == 1 else 0.0),
            w[2] + (rate[axis] if axis == 2 else 0.0),
        )
    return w
