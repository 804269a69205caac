"""Quaternions and 3-vectors as tuples: they live in registers, so a kernel that uses them allocates nothing.

Hamilton, scalar first ``(w, x, y, z)``; ``q_NC`` takes C-vectors to N (conventions in docs/conventions.md).
``load3``/``load4`` read a tuple from an array field, ``store3``/``store4`` write one back.
"""

from __future__ import annotations

import math

from gimbal.kernels.build import kernel


@kernel
def load3(a):
    return (a[0], a[1], a[2])


@kernel
def load4(a):
    return (a[0], a[1], a[2], a[3])


@kernel
def store3(a, v):
    a[0] = v[0]
    a[1] = v[1]
    a[2] = v[2]


@kernel
def store4(a, q):
    a[0] = q[0]
    a[1] = q[1]
    a[2] = q[2]
    a[3] = q[3]


@kernel
def add3(a, b):
    return (a[0] + b[0], a[1] + b[1], a[2] + b[2])


@kernel
def sub3(a, b):
    return (a[0] - b[0], a[1] - b[1], a[2] - b[2])


@kernel
def scale3(a, s):
    return (a[0] * s, a[1] * s, a[2] * s)


@kernel
def dot3(a, b):
    return a[0] * b[0] + a[1] * b[1] + a[2] * b[2]


@kernel
def cross3(a, b):
    return (a[1] * b[2] - a[2] * b[1], a[2] * b[0] - a[0] * b[2], a[0] * b[1] - a[1] * b[0])


@kernel
def norm3(a):
    return math.sqrt(a[0] * a[0] + a[1] * a[1] + a[2] * a[2])


@kernel
def q_mul(a, b):
    """a ⊗ b: rotate by b, then by a (both on the left of a vector)."""
    return (
        a[0] * b[0] - a[1] * b[1] - a[2] * b[2] - a[3] * b[3],
        a[0] * b[1] + a[1] * b[0] + a[2] * b[3] - a[3] * b[2],
        a[0] * b[2] - a[1] * b[3] + a[2] * b[0] + a[3] * b[1],
        a[0] * b[3] + a[1] * b[2] - a[2] * b[1] + a[3] * b[0],
    )


@kernel
def q_conj(q):
    return (q[0], -q[1], -q[2], -q[3])


@kernel
def q_normalize(q):
    n = math.sqrt(q[0] * q[0] + q[1] * q[1] + q[2] * q[2] + q[3] * q[3])
    s = 1.0 / n if n > 0.0 else 0.0
    return (q[0] * s, q[1] * s, q[2] * s, q[3] * s)


@kernel
def q_rotate(q, v):
    """q v q*: a C-vector in N, for q = q_NC."""
    tx = 2.0 * (q[2] * v[2] - q[3] * v[1])
    ty = 2.0 * (q[3] * v[0] - q[1] * v[2])
    tz = 2.0 * (q[1] * v[1] - q[2] * v[0])
    return (
        v[0] + q[0] * tx + q[2] * tz - q[3] * ty,
        v[1] + q[0] * ty + q[3] * tx - q[1] * tz,
        v[2] + q[0] * tz + q[1] * ty - q[2] * tx,
    )


@kernel
def q_unrotate(q, v):
    """q* v q: an N-vector in C, for q = q_NC."""
    return q_rotate((q[0], -q[1], -q[2], -q[3]), v)


@kernel
def q_exp(phi):
    """Quaternion of the rotation vector phi (rad)."""
    a2 = phi[0] * phi[0] + phi[1] * phi[1] + phi[2] * phi[2]
    if a2 < 1e-4:  # series: error below 2e-17
        s = 0.5 + a2 * (a2 * (1.0 / 3840.0) - 1.0 / 48.0)
        c = 1.0 + a2 * (a2 * (1.0 / 384.0) - 0.125)
    else:
        a = math.sqrt(a2)
        s = math.sin(0.5 * a) / a
        c = math.cos(0.5 * a)
    return (c, s * phi[0], s * phi[1], s * phi[2])


@kernel
def q_log(q):
    """Rotation vector (rad), the shorter way round: |phi| <= pi."""
    s = 1.0 if q[0] >= 0.0 else -1.0
    n2, w2 = q[1] * q[1] + q[2] * q[2] + q[3] * q[3], q[0] * q[0]
    if n2 < 1e-4 * w2:  # series: error below 2e-17
        t2 = n2 / w2
        k = 2.0 / q[0] * (1.0 - t2 * (1.0 / 3.0 - t2 * (0.2 - t2 * (1.0 / 7.0))))
    else:
        n = math.sqrt(n2)
        k = 2.0 * s * math.atan2(n, s * q[0]) / n if n > 0.0 else 0.0
    return (k * q[1], k * q[2], k * q[3])


@kernel
def q_integrate(q, omega_C, dt_s):
    """q_NC after turning at omega_NC_C (rad/s) for dt_s, exact for a constant rate."""
    return q_normalize(q_mul(q, q_exp((omega_C[0] * dt_s, omega_C[1] * dt_s, omega_C[2] * dt_s))))


@kernel
def q_axis(axis, angle):
    """Rotation about coordinate axis 0, 1, 2 (x, y, z) by angle (rad)."""
    c = math.cos(0.5 * angle)
    s = math.sin(0.5 * angle)
    return (c, s if axis == 0 else 0.0, s if axis == 1 else 0.0, s if axis == 2 else 0.0)


@kernel
def q_from_euler(roll, pitch, yaw):
    """Intrinsic Z-Y-X (aerospace) angles in rad: q = qz(yaw) qy(pitch) qx(roll)."""
    return q_mul(q_mul(q_axis(2, yaw), q_axis(1, pitch)), q_axis(0, roll))


@kernel
def q_yaw(q):
    """Heading of the x axis, rad."""
    return math.atan2(2.0 * (q[1] * q[2] + q[0] * q[3]), 1.0 - 2.0 * (q[2] * q[2] + q[3] * q[3]))


@kernel
def q_from_axes(x, y, z):
    """Quaternion whose rotated x, y, z axes are the given orthonormal N-vectors (Shepperd, 1978)."""
    trace = x[0] + y[1] + z[2]
    if trace > 0.0:
        s = 2.0 * math.sqrt(trace + 1.0)
        q = (0.25 * s, (y[2] - z[1]) / s, (z[0] - x[2]) / s, (x[1] - y[0]) / s)
    elif x[0] > y[1] and x[0] > z[2]:
        s = 2.0 * math.sqrt(1.0 + x[0] - y[1] - z[2])
        q = ((y[2] - z[1]) / s, 0.25 * s, (y[0] + x[1]) / s, (z[0] + x[2]) / s)
    elif y[1] > z[2]:
        s = 2.0 * math.sqrt(1.0 + y[1] - x[0] - z[2])
        q = ((z[0] - x[2]) / s, (y[0] + x[1]) / s, 0.25 * s, (z[1] + y[2]) / s)
    else:
        s = 2.0 * math.sqrt(1.0 + z[2] - x[0] - y[1])
        q = ((x[1] - y[0]) / s, (z[0] + x[2]) / s, (z[1] + y[2]) / s, 0.25 * s)
    return q_normalize(q)


@kernel
def q_level(line_of_sight_N, bank):
    """Attitude whose x axis lies along line_of_sight_N with the horizon level, then banked about it (rad).

    Straight down or up, where level has no meaning, the heading is taken as north.
    """
    n = norm3(line_of_sight_N)
    x = scale3(line_of_sight_N, 1.0 / n) if n > 0.0 else (1.0, 0.0, 0.0)
    h = math.sqrt(x[0] * x[0] + x[1] * x[1])
    y = (-x[1] / h, x[0] / h, 0.0) if h > 1e-9 else (0.0, 1.0, 0.0)
    z = cross3(x, y)
    return q_mul(q_from_axes(x, y, z), q_axis(0, bank))
