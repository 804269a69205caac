"""The modes: from what the operator asked for and what is known to one GOAL, with a stated reason when they differ.

Every mode ends in an attitude goal and its rate, so that one profile and one controller serve all and a change of
mode never re-references the picture. Ladder when input fails in TRACK: fused -> camera -> beacon -> prediction ->
held in the world (LOCK) -> held against the gyro (RATE), each with its reason in GOAL.
"""

from __future__ import annotations

import math

import numpy as np

from gimbal.faults import Code
from gimbal.kernels.build import kernel
from gimbal.kernels.joints import q_from_joints
from gimbal.kernels.quat import (
    add3,
    cross3,
    dot3,
    load3,
    load4,
    norm3,
    q_axis,
    q_conj,
    q_integrate,
    q_level,
    q_mul,
    q_rotate,
    q_unrotate,
    q_yaw,
    scale3,
    store3,
    store4,
    sub3,
)
from gimbal.records import Mode, TargetSource, TargetStatus
from gimbal.targeting.framing import FRAMING_PARAMS, FRAMING_STATE, banked, frame_goal, framing_start, framing_turn
from gimbal.targeting.path import PATH_STATE, path_begin, path_first, path_goal, path_record, path_start, path_turn
from gimbal.targeting.search import SEARCH_PARAMS, SEARCH_STATE, search, search_reset, searching
from gimbal.targeting.slew import SLEW_STATE, angles_of, apart, slew, slew_start
from gimbal.targeting.stops import STOPS_PARAMS, STOPS_STATE, yield_to_stops

NEAR_M, FARTHEST = 20.0, 4.0  # m, times: the range at which bandwidth_track holds, and up to which it grows
DOUBT = 0.06  # rad at NEAR_M, of the line of sight: more is the beginning, or a gap
FAR, FAR_TRACK = 0.06, 0.35  # rad off the camera's direction: a point, a subject so far is panned to

MODES_PARAMS = np.dtype(
    [
        ("order", "i8", 3),
        ("stow", "f8", 3),  # joint angles, rad
        ("follow_window", "f8", 2),  # rad, heading and tilt: the base may turn so far before the camera follows
        ("follow_s", "f8"),  # s, how softly it does
        ("lead_room", "f8"),  # rad, the subject this far off the centre, away from where it flies
        ("lead_s", "f8"),  # s, how softly that changes
        ("bank_share", "f8"),  # of the base's bank that the picture takes on; 0 = horizon level
        ("bank_s", "f8"),
        ("framing_right", "f8"),
        ("framing_down", "f8"),
        ("bandwidth_hand", "f8"),  # rad/s, profile pursuit for attitude goals
        ("bandwidth_track", "f8"),  # rad/s, for goals made of fixes, at NEAR_M
        ("damping_track", "f8"),  # 1 = no overshoot; less follows a swerve sooner at the same noise
        ("swerve_err", "f8"),  # rad, rad/s at NEAR_M: off by so much for a while, the subject has swerved
        ("swerve_rate", "f8"),
        ("slew_rate", "f8"),  # rad/s, on the way to a point or a path's beginning
        ("framing", FRAMING_PARAMS),
        ("search", SEARCH_PARAMS),
        ("stops", STOPS_PARAMS),
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
        ("follow", "f8", 2),  # heading and tilt held against the base's, rad
        ("follow_off", "f8", 2),  # camera less base when FOLLOW began
        ("lead", "f8"),  # -1 to 1, where the subject flies to across the picture
        ("lean", "f8"),  # rad, bank taken on, its rate
        ("lean_rate", "f8"),
        ("path", PATH_STATE),
        ("framing", FRAMING_STATE),
        ("search", SEARCH_STATE),
        ("slew", SLEW_STATE),
        ("stops", STOPS_STATE),
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
    """As profile_turn, for all that is kept in N: the direction held, followed, panned to, and the recorded path."""
    store4(s["q_hold"], q_mul(q_turn, load4(s["q_hold"])))
    framing_turn(s["framing"], q_turn)
    path_turn(s["path"], q_turn)
    s["slew"]["angle"][0] += q_yaw(q_turn)
    s["follow"][0] += q_yaw(q_turn)


@kernel
def _operator_rate(s, rate_C, dt_s):
    """Turn the held attitude by the operator's rates about the camera's own axes; roll is kept as a bank."""
    bank = s["bank"] + rate_C[0] * dt_s
    s["bank"] = bank - 2.0 * math.pi * math.floor(bank / (2.0 * math.pi) + 0.5)
    q = q_integrate(load4(s["q_hold"]), (0.0, rate_C[1], rate_C[2]), dt_s)
    _hold(s, q)


@kernel
def _ladder(asked, arbiter, nav, target, path, looks):
    """(mode in force, reason) of what is asked for."""
    if asked == Mode.OFF:
        return asked, 0
    if nav["valid"] == 0 and asked != Mode.STOW and asked != Mode.HOME:
        return Mode.RATE.value, Code.ESTIMATOR_FALLBACK.value
    if asked == Mode.TRACK:
        status, source = target["status"], target["source"]
        if not nav["heading_valid"]:
            return Mode.LOCK.value, Code.HEADING_UNKNOWN.value
        if status == TargetStatus.NONE or status == TargetStatus.LOST:
            return Mode.LOCK.value, Code.TARGET_LOST.value
        if status == TargetStatus.COASTING or source == TargetSource.PREDICTED:
            return asked, Code.TARGET_COASTING.value
        if source == TargetSource.CAMERA:
            return asked, Code.BEACON_SILENT.value
        if source == TargetSource.GNSS and (target["seen"] or looks):
            return asked, Code.CAMERA_BLIND.value
    elif asked == Mode.POINT and (not nav["heading_valid"] or not arbiter["point_set"]):
        return Mode.LOCK.value, Code.HEADING_UNKNOWN.value
    elif asked == Mode.PATH and path["n"] < 2:
        return Mode.LOCK.value, Code.NO_MOVE.value
    elif asked == Mode.RATE and arbiter["resume"] != Mode.OFF:
        return asked, Code.STICK.value
    return asked, 0


@kernel
def _angles(x):
    """Heading and tilt (up positive) of a direction, rad."""
    return math.atan2(x[1], x[0]), math.atan2(-x[2], math.sqrt(x[0] * x[0] + x[1] * x[1]))


@kernel
def _wrap(a):
    return a - 2.0 * math.pi * math.floor(a / (2.0 * math.pi) + 0.5)


@kernel
def _start_follow(s, nav, q_now):
    base = _angles(q_rotate(load4(nav["q_NB_est"]), (1.0, 0.0, 0.0)))
    camera = _angles(q_rotate(q_now, (1.0, 0.0, 0.0)))
    for i in range(2):
        s["follow"][i] = camera[i]
        s["follow_off"][i] = camera[i] - base[i]


@kernel
def _follow(p, s, nav, dt_s):
    """Heading and tilt of the base, beyond the windows and softened, carried over to the camera."""
    base = _angles(q_rotate(load4(nav["q_NB_est"]), (1.0, 0.0, 0.0)))
    rate_N = (0.0, 0.0, 0.0)
    for i in range(2):
        away = _wrap(base[i] + s["follow_off"][i] - s["follow"][i])
        window = p["follow_window"][i]
        over = away - min(max(away, -window), window)
        rate = over / p["follow_s"]
        s["follow"][i] += rate * dt_s
        if i == 0:
            rate_N = (0.0, 0.0, rate)
        else:
            s["follow"][1] = min(max(s["follow"][1], -1.4), 1.4)
    c = math.cos(s["follow"][1])
    x = (c * math.cos(s["follow"][0]), c * math.sin(s["follow"][0]), -math.sin(s["follow"][1]))
    q = q_level(x, s["bank"])
    return q, q_unrotate(q, rate_N)


@kernel
def _lead(p, s, target, dt_s):
    """Room ahead of the subject: the offset to the right (rad) that its flight across the picture asks for."""
    v, u = load3(target["vel_N"]), load3(target["los_N"])
    speed = math.sqrt(v[0] * v[0] + v[1] * v[1] + v[2] * v[2])
    across = (u[0] * v[1] - u[1] * v[0]) / math.sqrt(u[0] * u[0] + u[1] * u[1] + 1e-6)
    s["lead"] += dt_s / p["lead_s"] * (across / max(speed, 5.0) - s["lead"])
    return -p["lead_room"] * s["lead"]


@kernel
def _lean(p, s, nav, dt_s):
    """The bank that the picture takes on from the base, softened."""
    side = q_rotate(load4(nav["q_NB_est"]), (0.0, 1.0, 0.0))
    want = p["bank_share"] * math.asin(min(max(side[2], -1.0), 1.0))
    pull = 1.0 / p["bank_s"]
    s["lean_rate"] += dt_s * pull * (pull * (want - s["lean"]) - 2.0 * s["lean_rate"])
    s["lean"] += dt_s * s["lean_rate"]


@kernel
def _yield(p, s, nav, q, rate, asks, dt_s):
    """The goal, leaned as far as the joints ask for; where they may not ask, what it leans is taken back."""
    q_NB, omega_B = load4(nav["q_NB_est"]), load3(nav["omega_NB_B_est"])
    lean, lean_rate = yield_to_stops(p["stops"], p["order"], s["stops"], q_NB, omega_B, q, rate, asks, dt_s)
    if lean == 0.0 and lean_rate == 0.0:
        return q, rate
    return banked(q, rate, lean, lean_rate)


@kernel
def _leaning(s, mode):
    """What is added to a framed goal's level picture, rad: the bank taken on, and what the joints asked for."""
    return s["stops"]["lean"] + (s["lean"] if mode == Mode.TRACK else 0.0)


@kernel
def _carry_lean(s, mode, q_now):
    """The mode changes to ``mode``: how the picture stands at q_now is kept, and levelled from there. A framed picture
    is levelled by the framing, less what it goes on leaning; any other leans by all that it is off, and comes back."""
    before = s["mode"]
    if before == Mode.OFF or before == Mode.PATH or before == Mode.STOW or before == Mode.HOME:
        s["stops"]["lean"] = s["stops"]["rate"] = 0.0
    if before == Mode.OFF:
        return
    if mode == Mode.LOCK or mode == Mode.RATE or mode == Mode.FOLLOW:
        level = q_level(q_rotate(q_now, (1.0, 0.0, 0.0)), s["bank"] + (s["lean"] if mode == Mode.FOLLOW else 0.0))
        off = q_mul(q_conj(level), q_now)  # a turn about the boresight
        s["stops"]["lean"] = _wrap(2.0 * math.atan2(off[1], off[0]))


@kernel
def _pan_to(s, u, rate_N, max_rate, dt_s):
    """On the way to direction u, which turns at rate_N: the goal, horizon level."""
    later = add3(u, scale3(cross3(rate_N, u), dt_s))
    heading, tilt = _angles(u)
    next_heading, next_tilt = _angles(later)
    moves = (_wrap(next_heading - heading) / dt_s, (next_tilt - tilt) / dt_s, 0.0)
    q, rate = slew(s["slew"], (heading, tilt, 0.0), moves, max_rate, dt_s)
    framing_start(s["framing"], q)
    return q, rate, (0.0, 0.0, 0.0)


@kernel
def _point_goal(p, s, arbiter, nav, q_now, dt_s):
    """A place on the map, from a rig that moves; from afar the camera pans and tilts there at the slew rate."""
    d = sub3(load3(arbiter["point_N"]), load3(nav["pos_N_est"]))
    r = max(norm3(d), 1.0)
    u, turn = scale3(d, 1.0 / r), scale3(cross3(load3(nav["vel_N_est"]), d), 1.0 / (r * r))
    if s["slew"]["arrived"] != 0 and apart(u, q_rotate(q_now, (1.0, 0.0, 0.0))) > FAR:
        slew_start(s["slew"], q_mul(q_now, q_axis(0, -_leaning(s, Mode.POINT))))
    if s["slew"]["arrived"] == 0:
        return _pan_to(s, u, turn, p["slew_rate"], dt_s)
    return frame_goal(p["framing"], s["framing"], u, turn, (0.0, 0.0, 0.0), 0.0, 0.0, dt_s)


@kernel
def _path_goal(p, s, q_now, dt_s):
    """The recorded move, after the way to where it begins."""
    first = path_first(s["path"])
    if s["path"]["moving"] == 0:
        q, rate = slew(s["slew"], angles_of(first), (0.0, 0.0, 0.0), p["slew_rate"], dt_s)
        path_begin(s["path"], s["slew"]["arrived"] != 0, q_now)
        return q, rate
    return path_goal(s["path"], dt_s)


@kernel
def _track_goal(p, s, arbiter, nav, target, q_now, lead, dt_s):
    """The subject, framed; from afar the camera pans and tilts there. Of the line of sight's acceleration only what the
    geometry of the pass makes is fed forward: it is known well, the subject's own is mostly noise."""
    los, los_rate = load3(target["los_N"]), load3(target["los_rate_N"])
    away = apart(los, q_rotate(q_now, (1.0, 0.0, 0.0)))
    if s["slew"]["arrived"] != 0 and away > FAR_TRACK:
        slew_start(s["slew"], q_mul(q_now, q_axis(0, -_leaning(s, Mode.TRACK))))
    elif away < FAR:
        s["slew"]["arrived"] = 1
    unseen = target["source"] == TargetSource.GNSS and s["slew"]["arrived"] != 0
    right, down = search(p["search"], s["search"], unseen, target["los_std"], dt_s)
    if s["slew"]["arrived"] == 0:
        return _pan_to(s, los, los_rate, p["framing"]["max_spin"], dt_s)
    closing = dot3(los, sub3(load3(target["vel_N"]), load3(nav["vel_N_est"])))
    passing = scale3(los_rate, -2.0 * closing / max(target["range_m"], 1.0))
    return frame_goal(
        p["framing"],
        s["framing"],
        los,
        los_rate,
        passing,
        p["framing_right"] + arbiter["trim"][0] + lead + right,
        p["framing_down"] + arbiter["trim"][1] + down,
        dt_s,
    )


@kernel
def choose_goal(p, s, arbiter, nav, target, q_now, stick_C, dt_s, goal):
    """Fill GOAL. ``q_now`` is the present setpoint (or the measured attitude while disarmed), ``stick_C`` the
    operator's rate as far as the joints can make it."""
    asked = arbiter["mode"]
    mode, reason = _ladder(asked, arbiter, nav, target, s["path"], searching(s["search"]))
    if mode != Mode.TRACK:
        search_reset(s["search"])
    if arbiter["mode_changed"] or mode != s["mode"] or not s["held"]:
        if asked == Mode.LOCK or asked == Mode.TRACK:
            s["bank"] = 0.0
        _hold(s, q_now)
        _start_follow(s, nav, q_now)
        path_start(s["path"], arbiter["path_speed"])
        _carry_lean(s, mode, q_now)
        framed = mode == Mode.TRACK or mode == Mode.POINT
        bare = q_mul(q_now, q_axis(0, -_leaning(s, mode))) if framed else q_now
        framing_start(s["framing"], bare)
        slew_start(s["slew"], bare)
        if mode == Mode.TRACK and apart(load3(target["los_N"]), q_rotate(q_now, (1.0, 0.0, 0.0))) < FAR_TRACK:
            s["slew"]["arrived"] = 1
    path_record(s["path"], arbiter["path_verb"], q_now, dt_s)
    s["mode"] = mode
    s["reason"] = reason
    goal["mode"] = mode
    goal["owner"] = arbiter["owner"]
    goal["reason"] = reason
    goal["joint_space"] = 0
    store3(goal["joint_goal"], (0.0, 0.0, 0.0))
    rate = (0.0, 0.0, 0.0)
    accel = (0.0, 0.0, 0.0)
    lead = _lead(p, s, target, dt_s) if target["status"] != TargetStatus.NONE else 0.0
    _lean(p, s, nav, dt_s)
    if mode == Mode.TRACK:
        q, rate, accel = _track_goal(p, s, arbiter, nav, target, q_now, lead, dt_s)
        q, rate = banked(q, rate, s["lean"], s["lean_rate"])
    elif mode == Mode.POINT:
        q, rate, accel = _point_goal(p, s, arbiter, nav, q_now, dt_s)
    elif mode == Mode.FOLLOW:
        q, rate = _follow(p, s, nav, dt_s)
        q, rate = banked(q, rate, s["lean"], s["lean_rate"])
    elif mode == Mode.PATH:
        q, rate = _path_goal(p, s, q_now, dt_s)
    elif mode == Mode.STOW or mode == Mode.HOME:
        joints = load3(p["stow"]) if mode == Mode.STOW else (0.0, 0.0, 0.0)
        goal["joint_space"] = 1
        store3(goal["joint_goal"], joints)
        q_BC = q_from_joints(p["order"], joints)
        q = q_mul(load4(nav["q_NB_est"]), q_BC)
        rate = q_unrotate(q_BC, load3(nav["omega_NB_B_est"]))
    else:
        if mode == Mode.RATE:
            rate = stick_C
            _operator_rate(s, rate, dt_s)
        q = load4(s["q_hold"])
    if goal["joint_space"] == 0 and mode != Mode.PATH and mode != Mode.OFF:
        q, rate = _yield(p, s, nav, q, rate, mode != Mode.LOCK and mode != Mode.RATE, dt_s)
    store4(goal["q_NC_goal"], q)
    store3(goal["rate_goal_C"], rate)
    store3(goal["accel_goal_C"], accel)


@kernel
def pursuit(p, mode, range_m, los_std):
    """How hard the profile pursues this mode's goal, rad/s, its damping, and what it takes for a swerve (rad, rad/s).

    What is noise in metres is less of an angle from afar: there the setpoint follows harder at the same twitching.
    While the line of sight is in doubt (los_std, rad: north is being found) its motion is no swerve of the subject's.
    """
    if mode != Mode.TRACK:
        return p["bandwidth_hand"], 1.0, 0.0, 0.0
    far = min(max(range_m / NEAR_M, 1.0), FARTHEST)
    swerve = (p["swerve_err"] / far, p["swerve_rate"] / far) if los_std * far < DOUBT else (0.0, 0.0)
    return p["bandwidth_track"] * math.sqrt(far), p["damping_track"], swerve[0], swerve[1]
