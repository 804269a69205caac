"""Where the camera must look to show the subject at the framing point, and how fast that turns: line of sight first,
horizon second.

The camera's side axis is carried along with the line of sight without any turn about it; what keeps the horizon level
is a turn about the line of sight of its own, with a limited rate and acceleration. Near straight down (or up) a level
horizon would ask for half a turn within an instant: there it is given up, and taken up again once the subject is past.
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
    norm3,
    q_axis,
    q_from_axes,
    q_mul,
    q_rotate,
    q_unrotate,
    scale3,
    store3,
    sub3,
)

LEVEL_1_S = 3.0  # how hard a tilted horizon is levelled
STEP_S = 0.005
NO_LEVEL2 = 0.011  # squared cosine of the tilt, 84 degrees: level means little beyond
HALF_TURN = 2.6  # rad: so far off the horizon the way round already begun is kept

FRAMING_PARAMS = np.dtype([("max_spin", "f8"), ("max_spin_accel", "f8")], align=True)  # rad/s, rad/s²
FRAMING_STATE = np.dtype([("side_N", "f8", 3), ("spin", "f8"), ("lean", "f8")], align=True)


@kernel
def framing_start(s, q_NC):
    """Begin with the picture as it stands at attitude q_NC."""
    store3(s["side_N"], q_rotate(q_NC, (0.0, 1.0, 0.0)))
    s["spin"] = s["lean"] = 0.0


@kernel
def framing_turn(s, q_turn):
    """N itself was turned by q_turn."""
    store3(s["side_N"], q_rotate(q_turn, load3(s["side_N"])))


@kernel
def _axes(x, side):
    """Side and down axes (y, z) of a camera that looks along x: y is the part of ``side`` across it."""
    y = sub3(side, scale3(x, dot3(side, x)))
    n = norm3(y)
    if n < 0.05:  # it looks along its old side axis, after a jump: any will do
        y = cross3(x, (0.0, 0.0, -1.0) if abs(x[2]) < 0.9 else (1.0, 0.0, 0.0))
        n = norm3(y)
    y = scale3(y, 1.0 / n)
    return y, cross3(x, y)


@kernel
def boresight_for(line_of_sight_N, side_N, right, down):
    """Boresight that puts line_of_sight_N ``right`` and ``down`` (rad) of the picture's centre, the camera's side axis
    being the part of side_N across it. Two fixed-point steps: the axes turn a little with the offset."""
    r = math.tan(right)
    d = math.tan(down)
    aim = scale3(line_of_sight_N, math.sqrt(1.0 + r * r + d * d))  # = x + r y + d z
    x = line_of_sight_N
    for _ in range(2):
        y, z = _axes(x, side_N)
        x = sub3(aim, add3(scale3(y, r), scale3(z, d)))
        x = scale3(x, 1.0 / max(norm3(x), 1e-9))
    return x


@kernel
def _level_spin(x, los, los_rate):
    """Turn about the boresight x (rad/s) that keeps a level picture level while ``los`` turns at los_rate."""
    h2 = max(x[0] * x[0] + x[1] * x[1], 1e-12)
    h = math.sqrt(h2)
    ahead = (x[0] / h, x[1] / h, 0.0)
    away = dot3(los, ahead)
    about_los = -dot3(los_rate, ahead) * away / max(away * away, NO_LEVEL2)
    return about_los * dot3(los, x) + dot3(los_rate, x)


@kernel
def _ahead(x, rate_N):
    """Direction x after STEP_S of turning at rate_N."""
    x = add3(x, scale3(cross3(rate_N, x), STEP_S))
    return scale3(x, 1.0 / max(norm3(x), 1e-9))


@kernel
def _lean(s, x, y, z):
    """Angle (rad) of the side axis y from level, right side down positive; beyond half a turn it keeps its sign."""
    h = math.sqrt(x[0] * x[0] + x[1] * x[1])
    if h < 1e-6:
        return s["lean"]
    level = (-x[1] / h, x[0] / h, 0.0)
    lean = math.atan2(-dot3(level, z), dot3(level, y))
    if abs(lean) > HALF_TURN and lean * s["lean"] < 0.0 and abs(s["lean"]) > 0.5 * HALF_TURN:
        lean += 2.0 * math.pi if lean < 0.0 else -2.0 * math.pi
    return lean


@kernel
def frame_goal(p, s, los, los_rate, los_acc, right, down, dt_s):
    """Attitude q_NC, rate and acceleration in C of a camera that frames ``los`` at the offset (right, down), rad.

    Args:
        p, s: FRAMING_PARAMS, FRAMING_STATE (changed).
        los, los_rate, los_acc: unit vector to the subject in N, the angular velocity of the line of sight (rad/s, N)
            and its derivative.
    """
    side = load3(s["side_N"])
    x = boresight_for(los, side, right, down)
    y, z = _axes(x, side)
    lean = _lean(s, x, y, z)
    s["lean"] = lean
    level2 = x[0] * x[0] + x[1] * x[1]
    share = level2 / (level2 + NO_LEVEL2)
    brake = min(LEVEL_1_S * abs(lean), math.sqrt(p["max_spin_accel"] * abs(lean)))
    level, most = _level_spin(x, los, los_rate), p["max_spin_accel"]
    want = min(max(level - math.copysign(share * brake, lean), -p["max_spin"]), p["max_spin"])
    s["spin"] += min(max(want - s["spin"], -most * dt_s), most * dt_s)
    spin_accel = 0.0
    if abs(want) < p["max_spin"]:
        next_x, next_los = _ahead(x, los_rate), _ahead(los, los_rate)
        later = _level_spin(next_x, next_los, add3(los_rate, scale3(los_acc, STEP_S)))
        spin_accel = min(max((later - level) / STEP_S, -most), most)
    y = add3(y, scale3(z, s["spin"] * dt_s))
    y, z = _axes(x, y)
    store3(s["side_N"], y)
    q = q_from_axes(x, y, z)
    about_los = (s["spin"] - dot3(los_rate, x)) / max(dot3(los, x), 0.2)
    rate_N = add3(los_rate, scale3(los, about_los))
    accel_N = add3(los_acc, scale3(cross3(los_rate, los), about_los))
    accel_N = add3(accel_N, scale3(los, spin_accel))
    return q, q_unrotate(q, rate_N), q_unrotate(q, accel_N)


@kernel
def banked(q, rate_C, bank, bank_rate):
    """A level attitude and its rate, leaned to the right by ``bank`` (rad) about the boresight."""
    lean = q_axis(0, bank)
    w = q_unrotate(lean, rate_C)
    return q_mul(q, lean), (w[0] + bank_rate, w[1], w[2])
