"""The rigid three-joint chain on a base with prescribed rotation and acceleration.

Kane's method: each stage's partial velocities (joint axis A, velocity of a point per joint rate V) are carried from
base to camera in stage axes, and every stage adds its share to ``M(q) q'' + h(q, q') = torque``. Gravity and the
base's acceleration enter as one: the specific force of the base. Source: T. R. Kane and D. A. Levinson, Dynamics:
Theory and Applications, McGraw-Hill 1985, ch. 6. This is the plant's own reading of the kinematics.

With a flexible structure each joint has a motor side too: a rotor with inertia about the joint's axis only, which
turns with its parent plus the motor's angle. Its inertia is taken off the stage, so that the rigid sum stays.
"""

from __future__ import annotations

import math

from gimbal.kernels.build import kernel
from gimbal.kernels.quat import add3, cross3, load3, q_mul, scale3, store3
from gimbal.plant.spline import dot6, place, vector3, weights, weights1, weights2


@kernel
def into_stage(k, c, s, v):
    """The vector v of the parent's axes in axes turned by (cos c, sin s) about coordinate axis k."""
    if k == 0:
        return (v[0], c * v[1] + s * v[2], c * v[2] - s * v[1])
    if k == 1:
        return (c * v[0] - s * v[2], v[1], c * v[2] + s * v[0])
    return (c * v[0] + s * v[1], c * v[1] - s * v[0], v[2])


@kernel
def along(k, x):
    """Vector x along coordinate axis k."""
    return (x if k == 0 else 0.0, x if k == 1 else 0.0, x if k == 2 else 0.0)


@kernel
def unrotate(q, v):
    """v of N in axes of q (N from those axes), q = (w, x, y, z)."""
    tx = 2.0 * (q[3] * v[1] - q[2] * v[2])
    ty = 2.0 * (q[1] * v[2] - q[3] * v[0])
    tz = 2.0 * (q[2] * v[0] - q[1] * v[1])
    return (
        v[0] + q[0] * tx - (q[2] * tz - q[3] * ty),
        v[1] + q[0] * ty - (q[3] * tx - q[1] * tz),
        v[2] + q[0] * tz - (q[1] * ty - q[2] * tx),
    )


@kernel
def evaluate_base(p, s, tab):
    """Attitude, rates and accelerations of the base at the state's time, as derivatives of one spline."""
    table = p["base"]
    i, f, inside = place(table, float(s["t_ns"] - p["t0_ns"]) * 1e-9)
    n = table["channels"]
    at = table["at"] + (i - 2) * n
    w = weights(f)
    w1 = weights1(f, table["rate_hz"] * inside)
    w2 = weights2(f, table["rate_hz"] * inside)
    q = (dot6(tab, at, n, w), dot6(tab, at + 1, n, w), dot6(tab, at + 2, n, w), dot6(tab, at + 3, n, w))
    d = (dot6(tab, at, n, w1), dot6(tab, at + 1, n, w1), dot6(tab, at + 2, n, w1), dot6(tab, at + 3, n, w1))
    e = (dot6(tab, at, n, w2), dot6(tab, at + 1, n, w2), dot6(tab, at + 2, n, w2), dot6(tab, at + 3, n, w2))
    # q = |q| q_NB: with r = q* q' / |q|², omega = 2 vec(r) and alpha = 2 vec(q* q'') / |q|² - 2 scalar(r) omega
    g = 1.0 / (q[0] * q[0] + q[1] * q[1] + q[2] * q[2] + q[3] * q[3])
    inverse = (q[0] * g, -q[1] * g, -q[2] * g, -q[3] * g)
    r = q_mul(inverse, d)
    r2 = q_mul(inverse, e)
    n1 = math.sqrt(g)
    s["q_NB"][0] = q[0] * n1
    s["q_NB"][1] = q[1] * n1
    s["q_NB"][2] = q[2] * n1
    s["q_NB"][3] = q[3] * n1
    store3(s["omega_NB_B"], (2.0 * r[1], 2.0 * r[2], 2.0 * r[3]))
    a = 4.0 * r[0]
    store3(s["alpha_NB_B"], (2.0 * r2[1] - a * r[1], 2.0 * r2[2] - a * r[2], 2.0 * r2[3] - a * r[3]))
    store3(s["pos_N"], vector3(tab, at + 4, n, w))
    store3(s["vel_N"], vector3(tab, at + 4, n, w1))
    store3(s["acc_N"], vector3(tab, at + 4, n, w2))


@kernel
def chain(p, s):
    """Fill M, h (chain index) and the camera's partial velocities from the state; the base must be evaluated.

    Leaves in s: omega_NC_C, force_C and alpha0_C (both for zero joint acceleration), A and V at the camera stage's
    origin in C, ``couple[i, j]`` = joint axis i along axis j, ``motor_alpha`` = parent's acceleration about axis i.
    """
    M, h, A, V, W = s["M"], s["h"], s["A"], s["V"], s["W"]
    q = s["q_NB"]
    a_N = s["acc_N"]
    f = unrotate((q[0], q[1], q[2], q[3]), (a_N[0], a_N[1], a_N[2] - p["gravity_m_s2"]))
    w = load3(s["omega_NB_B"])
    al = load3(s["alpha_NB_B"])
    for i in range(3):
        h[i] = 0.0
        for j in range(3):
            M[i, j] = 0.0
    for l in range(3):
        k = p["order"][l]
        r = load3(p["origin_m"][l])
        f = add3(f, add3(cross3(al, r), cross3(w, cross3(w, r))))
        c = math.cos(s["angle"][k])
        sn = math.sin(s["angle"][k])
        s["sine"][k], s["cosine"][k] = sn, c
        w = into_stage(k, c, sn, w)
        al = into_stage(k, c, sn, al)
        f = into_stage(k, c, sn, f)
        for j in range(l):
            a = load3(A[j])
            store3(V[j], into_stage(k, c, sn, add3(load3(V[j]), cross3(a, r))))
            store3(A[j], into_stage(k, c, sn, a))
        store3(A[l], along(k, 1.0))
        store3(V[l], (0.0, 0.0, 0.0))
        turn = cross3(w, along(k, 1.0))
        if p["flexible"]:
            spin = p["motor_inertia"][k] * (w[k] + s["motor_rate"][k])
            for j in range(l):
                h[j] += spin * (turn[0] * A[j, 0] + turn[1] * A[j, 1] + turn[2] * A[j, 2])
                s["couple"][l, j] = A[j, k]
            s["motor_alpha"][l] = al[k]
        rate = s["rate"][k]
        al = add3(al, scale3(turn, rate))
        w = add3(w, along(k, rate))
        m = p["mass_kg"][l]
        I = p["inertia"][l]
        com = load3(p["com_m"][l])
        ac = add3(f, add3(cross3(al, com), cross3(w, cross3(w, com))))
        gyro = cross3(w, (I[0] * w[0], I[1] * w[1], I[2] * w[2]))
        n = (I[0] * al[0] + gyro[0], I[1] * al[1] + gyro[1], I[2] * al[2] + gyro[2])
        for j in range(l + 1):
            a = load3(A[j])
            v = add3(load3(V[j]), cross3(a, com))
            store3(W[j], v)
            h[j] += m * (v[0] * ac[0] + v[1] * ac[1] + v[2] * ac[2]) + a[0] * n[0] + a[1] * n[1] + a[2] * n[2]
            for i in range(j + 1):
                M[i, j] += (
                    m * (W[i, 0] * v[0] + W[i, 1] * v[1] + W[i, 2] * v[2])
                    + A[i, 0] * I[0] * a[0]
                    + A[i, 1] * I[1] * a[1]
                    + A[i, 2] * I[2] * a[2]
                )
    store3(s["omega_NC_C"], w)
    store3(s["alpha0_C"], al)
    store3(s["force_C"], f)


@kernel
def solve_symmetric(M, b):
    """x of M x = b for the upper half of a positive definite 3 x 3 matrix (LDL')."""
    d0 = M[0, 0]
    l1 = M[0, 1] / d0
    l2 = M[0, 2] / d0
    d1 = M[1, 1] - l1 * M[0, 1]
    m12 = M[1, 2] - l2 * M[0, 1]
    l3 = m12 / d1
    d2 = M[2, 2] - l2 * M[0, 2] - l3 * m12
    y1 = b[1] - l1 * b[0]
    y2 = b[2] - l2 * b[0] - l3 * y1
    x2 = y2 / d2
    x1 = y1 / d1 - l3 * x2
    return (b[0] / d0 - l1 * x1 - l2 * x2, x1, x2)


@kernel
def accelerate(p, s, u, ext):
    """Joint accelerations from the torques u on the motor side and ext on the stages (axis index tuples).

    Sets accel and motor_accel, and completes force_C; ``chain`` must have run.
    """
    h, A, V = s["h"], s["A"], s["V"]
    o = p["order"]
    b = s["W"][0]  # free after chain
    for l in range(3):
        k = o[l]
        if p["flexible"]:
            stretch = s["motor_angle"][k] - s["angle"][k]
            elastic = p["flex_Nm_rad"][k] * stretch + p["flex_Nm_s_rad"][k] * (s["motor_rate"][k] - s["rate"][k])
            b[l] = elastic + ext[k] - h[l]
            s["motor_accel"][k] = u[k] - elastic  # torque on the rotor, for now
        else:
            b[l] = u[k] + ext[k] - h[l]
    if p["flexible"]:
        for l in range(1, 3):
            for j in range(l):  # the rotor's torque reacts on the stages that carry it
                b[j] -= s["couple"][l, j] * s["motor_accel"][o[l]]
    x = solve_symmetric(s["M"], load3(b))
    for l in range(3):
        k = o[l]
        s["accel"][k] = x[l]
        if p["flexible"]:
            carried = s["motor_alpha"][l]
            for j in range(l):
                carried += s["couple"][l, j] * x[j]
            s["motor_accel"][k] = s["motor_accel"][k] / p["motor_inertia"][k] - carried
        else:
            s["motor_accel"][k] = x[l]
        for i in range(3):
            s["force_C"][i] += V[l, i] * x[l]
            s["alpha0_C"][i] += A[l, i] * x[l]  # from here on the camera's true angular acceleration
