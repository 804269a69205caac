"""The way to a far setpoint: heading, tilt and bank each at a limited rate and acceleration, so that the horizon stays
level on the way and the camera never turns over the top. The jerk-limited profile rounds the corners."""

from __future__ import annotations

import math

import numpy as np

from gimbal.kernels.build import kernel
from gimbal.kernels.quat import cross3, norm3, q_from_euler, q_rotate, q_unrotate

RAMP_S = 0.5  # to full rate and back
NEAR_1_S = 4.0  # how hard the last of the way is closed
ARRIVED = 0.005  # rad

SLEW_STATE = np.dtype([("angle", "f8", 3), ("rate", "f8", 3), ("arrived", "u1")], align=True)  # heading, tilt, bank


@kernel
def angles_of(q):
    """Heading, tilt (up positive) and bank of attitude q_NC, rad."""
    x = q_rotate(q, (1.0, 0.0, 0.0))
    y = q_rotate(q, (0.0, 1.0, 0.0))
    h = math.sqrt(x[0] * x[0] + x[1] * x[1])
    if h < 1e-6:
        return math.atan2(-y[0], y[1]), -math.copysign(0.5 * math.pi, x[2]), 0.0
    level = (-x[1] / h, x[0] / h, 0.0)
    down = cross3(x, level)
    bank = math.atan2(y[0] * down[0] + y[1] * down[1] + y[2] * down[2], y[0] * level[0] + y[1] * level[1])
    return math.atan2(x[1], x[0]), math.atan2(-x[2], h), bank


@kernel
def slew_start(s, q_now):
    """The way begins at attitude q_now, at rest."""
    angles = angles_of(q_now)
    for i in range(3):
        s["angle"][i] = angles[i]
        s["rate"][i] = 0.0
    s["arrived"] = 0


@kernel
def slew(s, want, want_rate, max_rate, dt_s):
    """One step towards ``want`` (heading, tilt, bank, rad), which itself moves at want_rate. Returns q_NC and its rate
    in C, and sets ``arrived``."""
    most = max_rate / RAMP_S
    left = 0.0
    for i in range(3):
        away = want[i] - s["angle"][i]
        away -= 2.0 * math.pi * math.floor(away / (2.0 * math.pi) + 0.5)
        speed = min(max_rate, NEAR_1_S * abs(away), math.sqrt(most * abs(away)))
        rate = min(max(want_rate[i] + math.copysign(speed, away), -max_rate), max_rate)
        change = rate - s["rate"][i]
        s["rate"][i] += min(max(change, -most * dt_s), most * dt_s)
        s["angle"][i] += s["rate"][i] * dt_s
        left = max(left, abs(away))
    s["arrived"] = 1 if left < ARRIVED else 0
    heading, tilt, bank = s["angle"][0], s["angle"][1], s["angle"][2]
    q = q_from_euler(bank, tilt, heading)
    turn = q_unrotate(q, (0.0, 0.0, s["rate"][0]))
    c, sn = math.cos(bank), math.sin(bank)
    return q, (turn[0] + s["rate"][2], turn[1] + c * s["rate"][1], turn[2] - sn * s["rate"][1])


@kernel
def apart(u, v):
    """Angle between two directions, rad; neither needs to be of length one."""
    return math.atan2(norm3(cross3(u, v)), u[0] * v[0] + u[1] * v[1] + u[2] * v[2])
