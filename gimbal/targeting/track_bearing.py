"""Camera bearings into the filter: two scalars across the line of sight, and the biases that only they see."""

from __future__ import annotations

import math

from gimbal.kernels.build import kernel
from gimbal.kernels.quat import cross3, norm3, scale3, store3

ACCEPTED, GATED = 0, 1


@kernel
def take_gain(f, c, innovation, weight):
    """One scalar measurement: c = P h (17,), weight = 1 / innovation variance."""
    x = f["x"]
    P = f["P"]
    n = f["n"]
    for i in range(n):
        g = c[i] * weight
        x[i] += g * innovation
        for j in range(i + 1):
            m = P[i, j] - g * c[j]
            P[i, j] = m
            P[j, i] = m


@kernel
def bearing_row(f, n, u, r, delay, row, c):
    """Row of n·u over the state (p_s, v, b, d, h) in row, P row in c; returns row P row."""
    x = f["x"]
    P = f["P"]
    nu = n[0] * u[0] + n[1] * u[1] + n[2] * u[2]
    along = 0.0
    for i in range(3):
        g = (n[i] - nu * u[i]) / r
        row[i] = g
        row[3 + i] = g * delay
        row[6 + i] = 0.0
        row[9 + i] = 0.0
        row[12 + i] = -g
        along += g * x[3 + i]
    row[15] = along
    row[16] = n[1] * u[0] - n[0] * u[1]
    s = 0.0
    for i in range(17):
        a = 0.0
        for j in range(17):
            a += P[i, j] * row[j]
        c[i] = a
        s += row[i] * a
    return s


@kernel
def begin_biases(p, f, heading_std):
    """The first bearing, or bearings that fit no longer: biases, delay and heading with what is known beforehand."""
    P = f["P"]
    for i in range(12, 17):
        f["x"][i] = 0.0
        for j in range(17):
            P[i, j] = P[j, i] = 0.0
        P[i, i] = (heading_std if i == 16 else bias_std(p, i)) ** 2
    f["n"] = 17
    f["bad_bearing"] = 0.0


@kernel
def bias_std(p, i):
    """Of state i, 12 to 15, before any bearing."""
    return p["delay_std_s"] if i == 15 else (p["bias_v_m"] if i == 14 else p["bias_h_m"])


@kernel
def judge_biases(p, f, heading_std):
    """Biases that no receiver has come of boxes on somebody else: forget them."""
    for i in range(12, 15):
        if abs(f["x"][i]) > p["bias_most"] * bias_std(p, i):
            begin_biases(p, f, heading_std)
            return False
    return True


@kernel
def turned(v, c, s):
    """v turned about down by the angle of cosine c and sine s."""
    return (c * v[0] - s * v[1], s * v[0] + c * v[1], v[2])


@kernel
def take_bearing(p, f, m):
    """Camera bearing m into filter f, already at its time: two scalars across the measured line of sight."""
    heading_std = m["std"][2]
    if f["n"] == 12 or f["bad_bearing"] > p["bearings_bad"]:
        begin_biases(p, f, heading_std)
    f["heading_std"] = heading_std
    x = f["x"]
    delay = x[15]
    d = (
        x[0] + delay * x[3] - x[12] - m["camera_N"][0],
        x[1] + delay * x[4] - x[13] - m["camera_N"][1],
        x[2] + delay * x[5] - x[14] - m["camera_N"][2],
    )
    r = max(norm3(d), 1.0)
    u = scale3(d, 1.0 / r)
    z = turned((m["z"][0], m["z"][1], m["z"][2]), math.cos(x[16]), -math.sin(x[16]))
    if z[0] * u[0] + z[1] * u[1] + z[2] * u[2] < 0.3:
        f["bad_bearing"] += 1.0
        return GATED
    n1 = cross3(z, (0.0, 0.0, 1.0) if abs(z[2]) < 0.9 else (1.0, 0.0, 0.0))
    n1 = scale3(n1, 1.0 / norm3(n1))
    n2 = cross3(z, n1)
    variance = max(m["std"][0], p["bearing_floor_rad"]) ** 2 + (m["std"][1] / r) ** 2
    row, c1, c2 = f["row"], f["gain1"], f["gain2"]
    s11 = bearing_row(f, n1, u, r, delay, row, c1) + variance
    s22 = bearing_row(f, n2, u, r, delay, row, c2) + variance
    s12 = 0.0
    for i in range(17):
        s12 += row[i] * c1[i]
    i1 = -(n1[0] * u[0] + n1[1] * u[1] + n1[2] * u[2])
    i2 = -(n2[0] * u[0] + n2[1] * u[1] + n2[2] * u[2])
    share = s12 / s11
    i2 -= share * i1
    s22 -= share * s12
    wide = 1.0 + 1.5 * f["bad_bearing"] / p["bearings_bad"]
    if i1 * i1 / s11 + i2 * i2 / s22 > p["gate_bearing"] * wide * wide:
        f["bad_bearing"] += 1.0
        return GATED
    for i in range(17):
        c2[i] -= share * c1[i]
    first = 1.0 / s11
    take_gain(f, c1, i1, first)
    take_gain(f, c2, i2, 1.0 / s22)
    f["bad_bearing"] = 0.0
    if not judge_biases(p, f, heading_std):
        return GATED
    f["use_t"] = f["bearing_t"] = m["t"]
    store3(f["seen_N"], u)
    return ACCEPTED
