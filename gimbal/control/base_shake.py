"""The base's angular acceleration at the moment the torque acts, in base axes.

The base turns by what the camera turns (gyro) less what the joints do (encoders, the structure's stretch taken off).
Differentiated and low-passed it is foreseen by filters learned in flight (:mod:`gimbal.control.foresight`), and
believed where that is better than the joints' Kalman filters (:mod:`gimbal.control.motion_ahead`). In base axes
buffeting keeps its spectrum at every pose, and the joints' share in it, which grows with 1/cos of the middle one, is
kinematics at the pose that will be.
"""

from __future__ import annotations

import numpy as np

from gimbal.control.foresight import FORESIGHT_PARAMS, FORESIGHT_STATE, foresee
from gimbal.kernels.build import kernel
from gimbal.kernels.filters import biquad
from gimbal.kernels.quat import add3, cross3, load3, q_axis, q_mul, q_rotate, scale3, store3, sub3

SHAKE_PARAMS = np.dtype(
    [
        ("foresight", FORESIGHT_PARAMS),
        ("calm", "f8", 5),  # section: low-pass of what the Kalman filters say
        ("most", "f8"),  # rad/s² that a change of readings can mean
    ],
    align=True,
)
SHAKE_STATE = np.dtype(
    [
        ("seen", "u1"),
        ("axes", "f8", (3, 3)),  # the joints' axes now, by place, in B as all below
        ("rate", "f8", 3),  # rad/s, the base's
        ("calm", "f8", (3, 2)),
        ("now", "f8", 3),  # rad/s²: the base's acceleration as read,
        ("instead", "f8", 3),  # and as the Kalman filters expect it
        ("foresight", FORESIGHT_STATE),
        ("trust", "f8"),  # share of what is foreseen in it, least of the axes
        ("alpha_B", "f8", 3),  # rad/s², when the torque acts
    ],
    align=True,
)


@kernel
def turning(a0, a1, a2, r0, r1, r2):
    """Angular acceleration that joint rates r alone make by turning each other's axes (tuples), outer to inner."""
    u = scale3(a0, r0)
    v = scale3(a1, r1)
    return add3(cross3(u, v), cross3(add3(u, v), scale3(a2, r2)))


@kernel
def _axes(s, order, link):
    """Joint axes in B at the angles ``link`` (by axis index) into ``axes``; returns q_BC."""
    q = (1.0, 0.0, 0.0, 0.0)
    for k in range(3):
        a = order[k]
        store3(s["axes"][k], q_rotate(q, (1.0 if a == 0 else 0.0, 1.0 if a == 1 else 0.0, 1.0 if a == 2 else 0.0)))
        q = q_mul(q, q_axis(a, link[a]))
    return q


@kernel
def shake(p, s, order, ahead, rate_C, doubted, dt_s):
    """One tick: fill ``alpha_B``.

    Args:
        order: (3,) axis index of each joint, outer to inner.
        ahead: AHEAD_STATE of this tick. rate_C: the camera's rate by the gyro, rad/s (tuple), when the
            readings changed.
        doubted: the structure rings by what is fed forward: the Kalman filters alone, which are too slow for that.
    """
    link, step, kalman_rate, kalman_accel = ahead["link"], ahead["step"], ahead["rate"], ahead["accel"]
    q_BC = _axes(s, order, link)
    a0, a1, a2 = load3(s["axes"][0]), load3(s["axes"][1]), load3(s["axes"][2])
    i, j, k = order[0], order[1], order[2]
    joints = add3(add3(scale3(a0, step[i]), scale3(a1, step[j])), scale3(a2, step[k]))
    rate = sub3(q_rotate(q_BC, rate_C), scale3(joints, 1.0 / dt_s))
    if not abs(rate[0]) + abs(rate[1]) + abs(rate[2]) < 1e4:  # what is no number must not stay
        s["seen"] = 0
        return
    for c in range(3):
        raw = (rate[c] - s["rate"][c]) / dt_s if s["seen"] else 0.0
        s["now"][c] = min(max(raw, -p["most"]), p["most"])
    store3(s["rate"], rate)
    s["seen"] = 1
    own = turning(a0, a1, a2, kalman_rate[i], kalman_rate[j], kalman_rate[k])
    joints = add3(add3(scale3(a0, kalman_accel[i]), scale3(a1, kalman_accel[j])), scale3(a2, kalman_accel[k]))
    joints = add3(joints, own)
    for c in range(3):
        s["instead"][c] = -biquad(p["calm"], s["calm"][c], joints[c])
    foreseen = foresee(p["foresight"], s["foresight"], load3(s["now"]), load3(s["instead"]))
    store3(s["alpha_B"], load3(s["instead"]) if doubted else foreseen)
    share = s["foresight"]["share"]
    s["trust"] = 0.0 if doubted else min(share[0], share[1], share[2])
