"""The three-joint chain as the controller models it: axes, mass matrix and the torque that known motion needs.

Index k is the place in the chain, 0 outer (base) to 2 inner (camera); ``order[k]`` is the axis index it turns about.
All vectors are in base axes B. Recursive Newton-Euler on a moving base (J. Y. S. Luh, M. W. Walker, R. P. C. Paul,
J. Dyn. Sys. Meas. Control 102(2), 1980), written out for three joints.
"""

from __future__ import annotations

import math

import numpy as np

from gimbal.kernels.build import kernel
from gimbal.kernels.quat import (
    add3,
    cross3,
    dot3,
    load3,
    load4,
    q_axis,
    q_mul,
    q_rotate,
    q_unrotate,
    store3,
    store4,
    sub3,
)

CHAIN_PARAMS = np.dtype(
    [
        ("order", "i8", 3),
        ("mass", "f8", 3),  # kg, by place in the chain
        ("inertia", "f8", (3, 3)),  # kg m², principal, about the stage's centre of mass
        ("com", "f8", (3, 3)),  # m, in the stage
        ("origin", "f8", (3, 3)),  # m, in the stage before
    ],
    align=True,
)
CHAIN_STATE = np.dtype(
    [
        ("axis_B", "f8", (3, 3)),  # joint axes
        ("origin_B", "f8", (3, 3)),
        ("com_B", "f8", (3, 3)),
        ("q_B", "f8", (3, 4)),  # stage -> B
        ("M", "f8", (3, 3)),  # joint-space mass matrix, by place in the chain
        ("torque", "f8", 3),  # N m, by place, what known motion needs
        ("margin", "f8"),  # |det J|
    ],
    align=True,
)


@kernel
def place_chain(p, s, angle):
    """Joint axes, origins and centres of mass in B for joint angles (by axis index)."""
    q = (1.0, 0.0, 0.0, 0.0)
    o = (0.0, 0.0, 0.0)
    for k in range(3):
        a = p["order"][k]
        o = add3(o, q_rotate(q, load3(p["origin"][k])))
        axis = q_rotate(q, (1.0 if a == 0 else 0.0, 1.0 if a == 1 else 0.0, 1.0 if a == 2 else 0.0))
        q = q_mul(q, q_axis(a, angle[a]))
        store3(s["origin_B"][k], o)
        store3(s["axis_B"][k], axis)
        store3(s["com_B"][k], add3(o, q_rotate(q, load3(p["com"][k]))))
        store4(s["q_B"][k], q)
    s["margin"] = abs(dot3(load3(s["axis_B"][0]), cross3(load3(s["axis_B"][1]), load3(s["axis_B"][2]))))


@kernel
def _lever(s, i, b):
    """Velocity of stage b's centre of mass per rate of joint i, m, and the stage's rotation per that rate, in it."""
    axis = load3(s["axis_B"][i])
    return cross3(axis, sub3(load3(s["com_B"][b]), load3(s["origin_B"][i]))), q_unrotate(load4(s["q_B"][b]), axis)


@kernel
def _carried(total, mass, inertia, h_i, h_j, w_i, w_j):
    """``total`` and what one stage adds to the mass matrix at i, j."""
    total += mass * dot3(h_i, h_j)
    for c in range(3):
        total += inertia[c] * w_i[c] * w_j[c]
    return total


@kernel
def mass_matrix(p, s):
    """Joint-space mass matrix M, by place in the chain: sum over the stages beyond both joints."""
    M = s["M"]
    m00 = m01 = m02 = m11 = m12 = m22 = 0.0
    for b in range(3):
        m, inertia = p["mass"][b], load3(p["inertia"][b])
        h0, w0 = _lever(s, 0, b)
        m00 = _carried(m00, m, inertia, h0, h0, w0, w0)
        if b > 0:
            h1, w1 = _lever(s, 1, b)
            m01 = _carried(m01, m, inertia, h0, h1, w0, w1)
            m11 = _carried(m11, m, inertia, h1, h1, w1, w1)
        if b > 1:
            h2, w2 = _lever(s, 2, b)
            m02 = _carried(m02, m, inertia, h0, h2, w0, w2)
            m12 = _carried(m12, m, inertia, h1, h2, w1, w2)
            m22 = _carried(m22, m, inertia, h2, h2, w2, w2)
    store3(M[0], (m00, m01, m02))
    store3(M[1], (m01, m11, m12))
    store3(M[2], (m02, m12, m22))


@kernel
def chain_torque(p, s, rate, accel, omega_B, alpha_B, force_B, with_inertia, with_imbalance):
    """Joint torques (``torque``, by place) that the known motion needs: Newton-Euler from the camera outwards.

    The camera's motion is what is wanted, the joints' is known: together they give every stage's, and the base's
    rotation is never needed.

    Args:
        rate, accel: of the joints by axis index, rad/s and rad/s².
        omega_B, alpha_B: of the camera relative to N, in base axes.
        force_B: specific force at the camera stage's origin, in base axes, m/s².
    """
    omega = omega_B
    alpha = alpha_B
    for k in range(3):
        s["torque"][k] = 0.0
    for b in range(2, -1, -1):
        m = p["mass"][b]
        inertia = load3(p["inertia"][b])
        q = load4(s["q_B"][b])
        w = q_unrotate(q, omega)
        a = q_unrotate(q, alpha)
        Iw = (inertia[0] * w[0], inertia[1] * w[1], inertia[2] * w[2])
        Ia = (inertia[0] * a[0], inertia[1] * a[1], inertia[2] * a[2])
        spin_torque = q_rotate(q, add3(Ia, cross3(w, Iw)))
        com = load3(s["com_B"][b])
        for i in range(b + 1):
            axis = load3(s["axis_B"][i])
            if with_imbalance:
                arm = sub3(com, load3(s["origin_B"][i]))
                s["torque"][i] += m * dot3(axis, cross3(arm, force_B))
            if with_inertia:
                s["torque"][i] += dot3(axis, spin_torque)
        axis = load3(s["axis_B"][b])
        j = p["order"][b]
        spin = (axis[0] * rate[j], axis[1] * rate[j], axis[2] * rate[j])
        omega = sub3(omega, spin)
        turn = cross3(omega, spin)
        alpha = (
            alpha[0] - axis[0] * accel[j] - turn[0],
            alpha[1] - axis[1] * accel[j] - turn[1],
            alpha[2] - axis[2] * accel[j] - turn[2],
        )


@kernel
def joint_acceleration(s, alpha_B, boresight_B, floor, out):
    """Joint accelerations (by place) that turn the camera at alpha_B (rad/s², in B).

    Exact where ``margin`` > floor. Below it the damped weighted least squares of the chain's axes (Y. Nakamura,
    H. Hanafusa, J. Dyn. Sys. Meas. Control 108(3), 1986): rotation about the boresight (the horizon) yields before
    the line of sight, and the accelerations stay finite.
    """
    a0 = load3(s["axis_B"][0])
    a1 = load3(s["axis_B"][1])
    a2 = load3(s["axis_B"][2])
    det = dot3(a0, cross3(a1, a2))
    if abs(det) >= floor:
        k = 1.0 / det
        out[0] = k * dot3(alpha_B, cross3(a1, a2))
        out[1] = k * dot3(alpha_B, cross3(a2, a0))
        out[2] = k * dot3(alpha_B, cross3(a0, a1))
        return
    ratio = det / floor
    damping = 0.05 * (1.0 - ratio * ratio)
    roll_weight = 1.0 - 0.9 * (1.0 - ratio * ratio)  # squared weight of rotation about the boresight
    # normal equations G x = r with G = J' W J + damping I, W = I - (1 - roll_weight) b b'
    b0 = dot3(a0, boresight_B)
    b1 = dot3(a1, boresight_B)
    b2 = dot3(a2, boresight_B)
    br = dot3(alpha_B, boresight_B)
    w = 1.0 - roll_weight
    g00 = 1.0 - w * b0 * b0 + damping
    g11 = 1.0 - w * b1 * b1 + damping
    g22 = 1.0 - w * b2 * b2 + damping
    g01 = dot3(a0, a1) - w * b0 * b1
    g02 = dot3(a0, a2) - w * b0 * b2
    g12 = dot3(a1, a2) - w * b1 * b2
    r0 = dot3(a0, alpha_B) - w * b0 * br
    r1 = dot3(a1, alpha_B) - w * b1 * br
    r2 = dot3(a2, alpha_B) - w * b2 * br
    c00 = g11 * g22 - g12 * g12
    c01 = g02 * g12 - g01 * g22
    c02 = g01 * g12 - g02 * g11
    k = 1.0 / (g00 * c00 + g01 * c01 + g02 * c02)
    out[0] = k * (c00 * r0 + c01 * r1 + c02 * r2)
    out[1] = k * (c01 * r0 + (g00 * g22 - g02 * g02) * r1 + (g01 * g02 - g00 * g12) * r2)
    out[2] = k * (c02 * r0 + (g01 * g02 - g00 * g12) * r1 + (g00 * g11 - g01 * g01) * r2)


@kernel
def joint_motion(s, vector_B, floor, out):
    """Joint rates or accelerations (by place) that turn the camera at vector_B, outer joint first.

    The axes of the last two joints are orthogonal at every pose: they always make their two directions of the camera,
    whatever the outer joint does. That one alone makes the third, asked for no more than at ``floor`` of |det J|.
    """
    a0 = load3(s["axis_B"][0])
    a1 = load3(s["axis_B"][1])
    a2 = load3(s["axis_B"][2])
    third = cross3(a1, a2)
    det = dot3(a0, third)
    x = dot3(vector_B, third) / (max(abs(det), floor) * (1.0 if det >= 0.0 else -1.0))
    out[0] = x
    out[1] = dot3(vector_B, a1)
    out[2] = dot3(vector_B, a2) - dot3(a0, a2) * x


@kernel
def camera_acceleration(s, joint_torque, out_q):
    """Camera angular acceleration in B (tuple) that a small extra joint torque (by place) gives: J M^-1 tau."""
    M = s["M"]
    c00 = M[1, 1] * M[2, 2] - M[1, 2] * M[1, 2]
    c01 = M[0, 2] * M[1, 2] - M[0, 1] * M[2, 2]
    c02 = M[0, 1] * M[1, 2] - M[0, 2] * M[1, 1]
    det = M[0, 0] * c00 + M[0, 1] * c01 + M[0, 2] * c02
    if not math.fabs(det) > 0.0:
        return (0.0, 0.0, 0.0)
    t = joint_torque
    out_q[0] = (c00 * t[0] + c01 * t[1] + c02 * t[2]) / det
    out_q[1] = (
        c01 * t[0] + (M[0, 0] * M[2, 2] - M[0, 2] * M[0, 2]) * t[1] + (M[0, 1] * M[0, 2] - M[0, 0] * M[1, 2]) * t[2]
    ) / det
    out_q[2] = (
        c02 * t[0] + (M[0, 1] * M[0, 2] - M[0, 0] * M[1, 2]) * t[1] + (M[0, 0] * M[1, 1] - M[0, 1] * M[0, 1]) * t[2]
    ) / det
    a0 = load3(s["axis_B"][0])
    a1 = load3(s["axis_B"][1])
    a2 = load3(s["axis_B"][2])
    return (
        a0[0] * out_q[0] + a1[0] * out_q[1] + a2[0] * out_q[2],
        a0[1] * out_q[0] + a1[1] * out_q[1] + a2[1] * out_q[2],
        a0[2] * out_q[0] + a1[2] * out_q[1] + a2[2] * out_q[2],
    )
