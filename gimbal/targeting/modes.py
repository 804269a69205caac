"""The modes: from what the operator asked for and what is known to one GOAL, with a stated reason when they differ.

Every mode ends in an attitude goal and its rate, so that one profile and one controller serve all and a change of
mode never re-references the picture. Ladder when input fails: track -> hold the last direction in the world.
"""

from __future__ import annotations

import math

import numpy as np

from gimbal.faults import Code
from gimbal.kernels.build import kernel
from gimbal.kernels.joints import q_from_joints
from gimbal.kernels.quat import (
    load3,
    load4,
    q_integrate,
    q_level,
    q_mul,
    q_rotate,
    q_unrotate,
    scale3,
    store3,
    store4,
    sub3,
)
from gimbal.records import Mode, TargetStatus
from gimbal.targeting.framing import level_goal

MODES_PARAMS = np.dtype(
    [
        ("order", "i8", 3),
        ("stow", "f8", 3),  # joint angles, rad
        ("framing_right", "f8"),
        ("framing_down", "f8"),
        ("bandwidth_hand", "f8"),  # rad/s, profile pursuit for attitude goals
        ("bandwidth_track", "f8"),  # rad/s, for goals made of fixes
        ("accel_share", "f8"),  # of the line of sight's acceleration that is fed forward: half of it is noise
    ],
    align=True,
)
MODES_STATE = np.dtype(
    [
        ("mode", "i4"),  # in force
        ("reason", "i4"),
        ("held", "u1"),  # q_hold is set
        ("q_hold", "f8", 4),
        ("bank", "f8"),
    ],
    align=True,
)


@kernel
def _hold(s, q):
    """Hold the direction q looks in, horizon level (plus the operator's bank)."""
    x = q_rotate(q, (1.0, 0.0, 0.0))
    store4(s["q_hold"], q_level(x, s["bank"]))
    s["held"] = 1


@kernel
def modes_turn(s, q_turn):
    """As profile_turn, for the direction that is held."""
    store4(s["q_hold"], q_mul(q_turn, load4(s["q_hold"])))


@kernel
def _operator_rate(s, rate_C, dt_s):
    """Turn the held attitude by the operator's rates about the camera's own axes; roll is kept as a bank."""
    bank = s["bank"] + rate_C[0] * dt_s
    s["bank"] = bank - 2.0 * math.pi * math.floor(bank / (2.0 * math.pi) + 0.5)
    q = q_integrate(load4(s["q_hold"]), (0.0, rate_C[1], rate_C[2]), dt_s)
    _hold(s, q)


@kernel
def choose_goal(p, s, arbiter, nav, target, q_now, dt_s, goal):
    """Fill GOAL. ``q_now`` is the present setpoint (or the measured attitude while disarmed)."""
    asked = arbiter["mode"]
    mode = asked
    reason = 0
    if asked == Mode.TRACK:
        if not nav["heading_valid"]:
            mode = Mode.LOCK.value
            reason = Code.HEADING_UNKNOWN.value
        elif target["status"] == TargetStatus.NONE or target["status"] == TargetStatus.LOST:
            mode = Mode.LOCK.value
            reason = Code.TARGET_LOST.value
        elif target["status"] == TargetStatus.COASTING:
            reason = Code.TARGET_COASTING.value
    elif asked == Mode.POINT and (not nav["heading_valid"] or not arbiter["point_set"]):
        mode = Mode.LOCK.value
        reason = Code.HEADING_UNKNOWN.value
    if arbiter["mode_changed"] or mode != s["mode"] or not s["held"]:
        if asked == Mode.LOCK or asked == Mode.TRACK:
            s["bank"] = 0.0
        _hold(s, q_now)
    s["mode"] = mode
    s["reason"] = reason
    goal["mode"] = mode
    goal["owner"] = arbiter["owner"]
    goal["reason"] = reason
    goal["joint_space"] = 0
    store3(goal["joint_goal"], (0.0, 0.0, 0.0))
    rate = (0.0, 0.0, 0.0)
    accel = (0.0, 0.0, 0.0)
    if mode == Mode.TRACK:
        q, rate, accel = level_goal(
            load3(target["los_N"]),
            load3(target["los_rate_N"]),
            scale3(load3(target["los_acc_N"]), p["accel_share"]),
            p["framing_right"] + arbiter["trim"][0],
            p["framing_down"] + arbiter["trim"][1],
        )
    elif mode == Mode.POINT:
        q, rate, accel = level_goal(
            sub3(load3(arbiter["point_N"]), load3(nav["pos_N_est"])), (0.0, 0.0, 0.0), (0.0, 0.0, 0.0), 0.0, 0.0
        )
    elif mode == Mode.STOW or mode == Mode.HOME:
        joints = load3(p["stow"]) if mode == Mode.STOW else (0.0, 0.0, 0.0)
        goal["joint_space"] = 1
        store3(goal["joint_goal"], joints)
        q_BC = q_from_joints(p["order"], joints)
        q = q_mul(load4(nav["q_NB_est"]), q_BC)
        rate = q_unrotate(q_BC, load3(nav["omega_NB_B_est"]))
    else:
        if mode == Mode.RATE:
            rate = load3(arbiter["rate_C"])
            _operator_rate(s, rate, dt_s)
        q = load4(s["q_hold"])
    store4(goal["q_NC_goal"], q)
    store3(goal["rate_goal_C"], rate)
    store3(goal["accel_goal_C"], accel)


@kernel
def pursuit(p, mode):
    """How hard the profile pursues this mode's goal, rad/s."""
    return p["bandwidth_track"] if mode == Mode.TRACK else p["bandwidth_hand"]
