"""Joint angles and rates from the encoders, and the base's attitude through the kinematic chain.

R_BC is the product of the joints' rotations, outer (base) to inner (camera), in the order of the config: by default
Rz(yaw) Rx(roll) Ry(pitch). Rates come from a third-order fading-memory tracker of the angle (Morrison, "Introduction
to Sequential Smoothing and Prediction", 1969): no lag at constant acceleration, quantisation is averaged.
"""

from __future__ import annotations

import math

from gimbal.kernels.build import kernel
from gimbal.kernels.quat import load3, q_axis, q_mul, q_rotate, q_unrotate, sub3

PREDICT_S = 0.02  # an older reading is held, its rate is not believed
RESTART_S = 0.2
HALF_TURN = math.pi  # farther than that between two readings, a motion can't be told from one the other way round


@kernel
def track_joint(p, s, i, angle, t_ns):
    """Take in a new reading of joint i."""
    state = s["joint"]
    T = (t_ns - s["joint_ns"][i]) * 1e-9
    x, v, a = state[i, 0], state[i, 1], state[i, 2]
    lost = abs(T * (v + 0.5 * T * a)) > HALF_TURN
    if not s["joint_seen"][i] or T > RESTART_S or T < 0.0 or lost:
        x, v, a = angle, 0.0, 0.0
    elif T > 0.0:
        x += T * (v + 0.5 * T * a)
        v += T * a
        r = angle - x
        r -= 2.0 * math.pi * math.floor((r + math.pi) / (2.0 * math.pi))  # the shorter way round
        m = math.exp(-p["joint_bandwidth"] * T)
        x += (1.0 - m * m * m) * r
        v += 1.5 * (1.0 - m * m) * (1.0 - m) * r / T
        a += (1.0 - m) ** 3 * r / (T * T)
    state[i, 0] = x
    state[i, 1] = v
    state[i, 2] = a
    s["joint_seen"][i] = 1
    s["joint_ns"][i] = t_ns


@kernel
def joints_at(s, nav, t_ns):
    """Angles and rates predicted to t_ns, in NAV."""
    state = s["joint"]
    for i in range(3):
        age = (t_ns - s["joint_ns"][i]) * 1e-9
        fresh = 1.0 if s["joint_seen"][i] and age < PREDICT_S else 0.0
        age *= fresh
        nav["joint_rate_est"][i] = fresh * (state[i, 1] + age * state[i, 2])
        nav["joint_angle_est"][i] = state[i, 0] + age * (state[i, 1] + 0.5 * age * state[i, 2])


@kernel
def chain(p, angle, rate):
    """From the joint angles and rates: q_BC; the rate of C against B in C (rad/s), each joint's carried inward; and
    where the antenna on the base is from the IMU on the camera (m, in B), through the stages' origins."""
    q = (1.0, 0.0, 0.0, 0.0)
    w = (0.0, 0.0, 0.0)
    arm = load3(p["antenna_B"])
    for k in range(3):
        arm = sub3(arm, q_rotate(q, load3(p["origin_m"][k])))
        i = p["order"][k]
        turn = q_axis(i, angle[i])
        q = q_mul(q, turn)
        w = q_unrotate(turn, w)
        r = rate[i]
        w = (w[0] + (r if i == 0 else 0.0), w[1] + (r if i == 1 else 0.0), w[2] + (r if i == 2 else 0.0))
    return q, w, sub3(arm, q_rotate(q, load3(p["imu_C"])))
