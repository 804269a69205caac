"""The horizon yields to the joints: before a level picture would take a joint to its stop or to the singularity, the
picture leans about the line of sight by what is missing, and comes level again as soon as it can.

Where the subject is seen is not touched: only how the picture stands. For a given boresight each limit of a joint is a
limit of the angle, about that boresight, between the picture and the base's own level.
"""

from __future__ import annotations

import math

import numpy as np

from gimbal.kernels.build import kernel
from gimbal.kernels.quat import q_conj, q_exp, q_mul, q_rotate, scale3

NOTHING = 1e-6  # rad
AHEAD_S = 0.15  # what the lean's own filter and the setpoint lag behind
PULL_1_S = 12.0  # rad/s, of that filter, critically damped
ROLL, PITCH, YAW = 0, 1, 2
HALF_TURN = 2.6  # rad: so far off the side once taken is kept

STOPS_PARAMS = np.dtype(
    [
        ("roll", "f8"),  # rad, most that the roll joint and the pitch joint are to turn; 0: no limit
        ("pitch", "f8"),
        ("max_spin", "f8"),  # rad/s, rad/s²: of the lean
        ("max_spin_accel", "f8"),
    ],
    align=True,
)
STOPS_STATE = np.dtype([("lean", "f8"), ("rate", "f8")], align=True)


@kernel
def room(p, order, x_down, across):
    """How far (rad) the picture may stand off the base's level, for a boresight whose share along the base's down is
    x_down and whose share across it is ``across``; pi: any way.

    With R_BC = Rz(yaw) Rx(roll) Ry(pitch) the base's down axis is, in the camera, (-cos r sin p, sin r, cos r cos p).
    """
    if order[0] != YAW or p["roll"] <= 0.0:
        return math.pi
    if order[1] == PITCH:  # the roll joint is the innermost: it turns about the boresight itself
        return p["roll"]
    most = math.sin(p["roll"])
    if most < across:
        return math.asin(most / across)
    behind = 0.0  # beyond the side: the pitch joint over its top
    if p["pitch"] > 0.5 * math.pi:
        k = -abs(x_down) / math.tan(p["pitch"]) / max(across, 1e-9)
        behind = math.asin(min(k, 1.0)) if p["pitch"] < math.pi else 0.5 * math.pi
    return 0.5 * math.pi + behind * min((most - across) / 0.05, 1.0)


@kernel
def lean_wanted(p, order, lean, q_BC):
    """Lean (rad, right side down) that brings the attitude q_BC within the joints' reach; near upside down it keeps to
    the side of ``lean``, the present one."""
    down = q_rotate(q_conj(q_BC), (0.0, 0.0, 1.0))
    across = math.sqrt(down[1] * down[1] + down[2] * down[2])
    if across < 1e-3:
        return 0.0
    off = math.atan2(down[1], down[2])
    if off * lean > 0.0 and abs(off) > HALF_TURN:
        off -= math.copysign(2.0 * math.pi, off)
    most = room(p, order, down[0], across)
    return -(off - min(max(off, -most), most)) if abs(off) > most else 0.0


@kernel
def yield_to_stops(p, order, s, q_NB, omega_B, q, rate_C, asks, dt_s):
    """One step of the lean for the goal q, rate_C on a base at q_NB turning at omega_B; back to none where the joints
    may not ask for one (``asks`` False). Returns (lean, its rate)."""
    want = 0.0
    if asks:
        base = q_mul(q_NB, q_exp(scale3(omega_B, AHEAD_S)))
        camera = q_mul(q, q_exp(scale3(rate_C, AHEAD_S)))
        want = lean_wanted(p, order, s["lean"], q_mul(q_conj(base), camera))
    accel = PULL_1_S * (PULL_1_S * (want - s["lean"]) - 2.0 * s["rate"])
    s["rate"] += min(max(accel, -p["max_spin_accel"]), p["max_spin_accel"]) * dt_s
    s["rate"] = min(max(s["rate"], -p["max_spin"]), p["max_spin"])
    s["lean"] += s["rate"] * dt_s
    if want == 0.0 and abs(s["lean"]) < NOTHING and abs(s["rate"]) < PULL_1_S * NOTHING:
        s["lean"] = s["rate"] = 0.0  # a picture held, or turned at no rate, has none to the last digit
    return s["lean"], s["rate"]
