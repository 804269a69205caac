"""Camera rates that the joints can make: what is asked beyond is not asked of the loops at all.

The rate command of the attitude loop is taken apart into joint rates, held to each joint's limits, and put together
again. So near the singularity and at the stops the loops inside follow a command that can be followed: nothing winds
up, and what is lost comes back as the limits leave it, without a step. Joint rates are those that the base's motion
makes (AHEAD) and those that the command makes: the loops themselves stay on the gyro.

Axes of the last two joints and their cross product are an orthogonal base at every pose; only the outer joint's share
of that product (|det J|) vanishes in the singularity, and with it the outer joint's rate grows.
"""

from __future__ import annotations

import math

import numpy as np

from gimbal.faults import Code
from gimbal.kernels.build import kernel
from gimbal.kernels.quat import cross3, dot3, load3, load4, q_rotate, q_unrotate, store3

HORIZON = 0.1  # squared weight of rotation about the boresight against that of the line of sight
STOPPED = 0.035  # rad/s that a stop takes of a joint's rate: no more than noise, and it isn't told
STRETCH = 4.0  # at most, of the outer joint's rate against what this pose would have

FEASIBLE_PARAMS = np.dtype(
    [
        ("max_rate", "f8", 3),  # rad/s, by axis index
        ("stop_min", "f8", 3),  # rad: where motion outwards ends
        ("stop_max", "f8", 3),
        ("continuous", "u1", 3),
        ("brake", "f8", 3),  # rad/s²: a stop, or the outer joint's goal, is approached as fast as this can end
        ("gain", "f8", 3),  # 1/s, of the attitude loop about the camera's axes: and at this times the way, close to it
        ("floor", "f8"),  # |det J| taken as no smaller
        ("near", "f8"),  # |det J| under which the outer joint's way is found by angles instead of rates,
        ("within", "f8"),  # and under which by them alone
        ("slew", "f8"),  # rad/s a tick, of the outer joint's speed on that way
        ("slow", "f8"),  # of the low-pass on the base's rate, per tick,
        ("smooth", "f8"),  # and on what is taken: the structure must close no loop through either
    ],
    align=True,
)
FEASIBLE_STATE = np.dtype(
    [
        ("base_B", "f8", 3),  # rad/s, the base's rate, low-passed
        ("speed", "f8"),  # rad/s, at which the outer joint closes the error
        ("taken_C", "f8", 3),  # rad/s of the rate command, low-passed
    ],
    align=True,
)


@kernel
def feasible_reset(s):
    """Nothing is taken: the loops start anew."""
    store3(s["base_B"], (0.0, 0.0, 0.0))
    s["speed"] = 0.0
    store3(s["taken_C"], (0.0, 0.0, 0.0))


@kernel
def _approach(brake, pull, left):
    """Speed at which a joint may go towards a place ``left`` rad ahead; beyond it, back."""
    close = brake / (pull * pull)
    if left < close:
        return pull * max(left, -close)
    return math.sqrt(2.0 * brake * (left - 0.5 * close))


@kernel
def _held(p, a, angle, rate):
    """The rate that joint a may have of the one asked for, and limit bits."""
    most = p["max_rate"][a]
    held = min(max(rate, -most), most)
    bits = 1 << Code.RATE_LIMIT if held != rate else 0
    if not p["continuous"][a]:
        free = held
        held = min(held, _approach(p["brake"][a], p["gain"][a], p["stop_max"][a] - angle))
        held = max(held, -_approach(p["brake"][a], p["gain"][a], angle - p["stop_min"][a]))
        if abs(held - free) > STOPPED:
            bits |= 1 << Code.END_STOP
    return held, bits


@kernel
def _outer_way(p, a, pull, det, along, err_1, err_l, rate):
    """Rate at which the outer joint closes the error, and how much faster than at this pose it has to follow the base.

    The pose that is wanted may be much nearer to the singularity than the one that is, where a stop or a lag keeps
    the joints from it: the way there is an angle, by the inverse kinematics, and not the error over |det J|.
    """
    sign = 1.0 if det >= 0.0 else -1.0
    there = sign * (det * math.cos(err_1) - along * math.sin(err_1))  # |det J| without the error about the middle axis
    way = math.atan2(sign * err_l, there)
    if abs(way) > 2.0 and way * rate < 0.0:  # half a turn either way: on in the direction it has
        way += 2.0 * math.pi if rate > 0.0 else -2.0 * math.pi
    speed = _approach(p["brake"][a], pull, abs(way))
    stretch = max(abs(det), p["floor"]) / max(there, p["floor"])
    return speed if way > 0.0 else -speed, min(max(stretch, 1.0 / STRETCH), STRETCH)


@kernel
def feasible(p, s, chain, nav, order, rate_sp_C, authority, control):
    """Hold CONTROL.rate_cmd_C to what the joints can do; returns limit bits.

    What the outer joint can't turn is lost about one axis of the camera: the middle joint then keeps the line of
    sight, and the horizon yields.

    Args:
        chain: CHAIN_STATE placed for this tick. nav: NAV, for the angles at the stops.
        order: axis index by place.
        rate_sp_C: the setpoint's own rate, rad/s, camera axes.
        authority: 0 to 1, of the attitude loop's gain.
    """
    for k in range(3):
        s["base_B"][k] += p["slow"] * (nav["omega_NB_B_est"][k] - s["base_B"][k])
    o, m, i = order[0], order[1], order[2]
    a0, a1, a2 = load3(chain["axis_B"][0]), load3(chain["axis_B"][1]), load3(chain["axis_B"][2])
    lost_axis = cross3(a1, a2)
    det, along = dot3(a0, lost_axis), dot3(a0, a2)
    firm = max(abs(det), p["floor"]) * (1.0 if det >= 0.0 else -1.0)
    q_BC = load4(chain["q_B"][2])
    asked = q_rotate(q_BC, load3(control["rate_cmd_C"]))
    c_l, c_1, c_2 = dot3(asked, lost_axis), dot3(asked, a1), dot3(asked, a2)
    base_B = load3(s["base_B"])
    base_l, base_1, base_2 = -dot3(base_B, lost_axis), -dot3(base_B, a1), -dot3(base_B, a2)  # for a camera at rest
    outer = (base_l + c_l) / firm
    own = dot3(q_rotate(q_BC, rate_sp_C), lost_axis)
    near = min(max((p["near"] - abs(det)) / (p["near"] - p["within"]), 0.0), 1.0)
    if near > 0.0:
        err = q_rotate(q_BC, load3(control["attitude_err_C"]))
        l_C = q_unrotate(q_BC, lost_axis)
        pull = p["gain"][0] * l_C[0] * l_C[0] + p["gain"][1] * l_C[1] * l_C[1] + p["gain"][2] * l_C[2] * l_C[2]
        pull *= max(authority, 0.1)
        speed, stretch = _outer_way(p, o, pull, det, along, dot3(err, a1), dot3(err, lost_axis), outer)
        s["speed"] += min(max(speed - s["speed"], -p["slew"]), p["slew"])
        outer += near * (stretch * (base_l + own) / firm + s["speed"] - outer)
    else:
        s["speed"] = (c_l - own) / firm
    held_outer, bits = _held(p, o, nav["joint_angle_est"][o], outer)
    new_l = firm * held_outer - base_l
    new_1 = c_1
    if held_outer != outer:
        boresight = q_rotate(q_BC, (1.0, 0.0, 0.0))
        b_1, b_l = dot3(boresight, a1), dot3(boresight, lost_axis)
        w = 1.0 - HORIZON
        new_1 -= w * b_1 * b_l / (1.0 - w * b_1 * b_1) * firm * (outer - held_outer)
    middle = base_1 + new_1
    held, more = _held(p, m, nav["joint_angle_est"][m], middle)
    new_1 += held - middle
    bits |= more
    inner = base_2 + c_2 - along * held_outer
    held, more = _held(p, i, nav["joint_angle_est"][i], inner)
    new_2 = c_2 + held - inner
    bits |= more
    d_l, d_1, d_2 = c_l - new_l, c_1 - new_1, c_2 - new_2
    taken = q_unrotate(
        q_BC,
        (
            d_l * lost_axis[0] + d_1 * a1[0] + d_2 * a2[0],
            d_l * lost_axis[1] + d_1 * a1[1] + d_2 * a2[1],
            d_l * lost_axis[2] + d_1 * a1[2] + d_2 * a2[2],
        ),
    )
    for k in range(3):
        s["taken_C"][k] += p["smooth"] * (taken[k] - s["taken_C"][k])
        control["rate_cmd_C"][k] -= s["taken_C"][k]
    return bits
