"""A recorded move: the setpoint's attitude every STEP_S, played back on its own time base at any speed.

Before the move begins the camera goes to where it starts; at its end it stays. Attitudes between two kept ones are on
the shorter great circle; the jerk-limited profile rounds the corners.
"""

from __future__ import annotations

import math

import numpy as np

from gimbal.kernels.build import kernel
from gimbal.kernels.quat import load4, norm3, q_conj, q_exp, q_log, q_mul, scale3, store4

KEYS, STEP_S = 240, 0.25  # one minute
NEAR = 0.01  # rad from its first attitude the move begins

PATH_STATE = np.dtype(
    [
        ("n", "i8"),
        ("recording", "u1"),
        ("since", "f8"),  # s since the last kept attitude
        ("moving", "u1"),  # 0: on the way to the first attitude
        ("t", "f8"),  # s into the move
        ("speed", "f8"),
        ("q_NC", "f8", (KEYS, 4)),
    ],
    align=True,
)


@kernel
def path_record(s, verb, q_now, dt_s):
    """Verb 1 begins a recording (the old move is gone), 2 ends it; in between the setpoint is kept."""
    if verb == 1:
        s["recording"], s["n"], s["since"] = 1, 0, STEP_S
    elif verb == 2:
        s["recording"] = 0
    if s["recording"] == 0:
        return
    s["since"] += dt_s
    if s["since"] < STEP_S - 0.5 * dt_s:
        return
    s["since"] = 0.0
    store4(s["q_NC"][s["n"]], q_now)
    s["n"] += 1
    if s["n"] == KEYS:
        s["recording"] = 0


@kernel
def path_turn(s, q_turn):
    """N itself was turned by q_turn: the kept attitudes with it."""
    for k in range(s["n"]):
        store4(s["q_NC"][k], q_mul(q_turn, load4(s["q_NC"][k])))


@kernel
def path_start(s, speed):
    """Play from the start at this speed (0: as recorded)."""
    s["moving"], s["t"] = 0, 0.0
    s["speed"] = speed if speed > 0.0 else 1.0


@kernel
def path_first(s):
    """The attitude at which the move begins."""
    return load4(s["q_NC"][0])


@kernel
def path_begin(s, arrived, q_now):
    """Time runs once the goal has arrived at the first attitude and the setpoint with it."""
    if arrived and norm3(q_log(q_mul(q_conj(q_now), load4(s["q_NC"][0])))) < NEAR:
        s["moving"] = 1


@kernel
def path_goal(s, dt_s):
    """(q_NC, rate in C) of the move now."""
    s["t"] += s["speed"] * dt_s
    place = s["t"] / STEP_S
    k = int(math.floor(place))
    if k >= s["n"] - 1:
        return load4(s["q_NC"][s["n"] - 1]), (0.0, 0.0, 0.0)
    a = load4(s["q_NC"][k])
    turn = q_log(q_mul(q_conj(a), load4(s["q_NC"][k + 1])))
    return q_mul(a, q_exp(scale3(turn, place - k))), scale3(turn, s["speed"] / STEP_S)
