"""THE tick: SENSE -> sensors -> estimation -> targeting -> control -> supervisor -> COMMAND, read top to bottom.

No clock, no I/O, no allocation, no exception: the same inputs give the same bytes. The TICK row holds every input,
so that a log replayed through this very function must give every output again.
"""

from __future__ import annotations

import math

import numpy as np

from gimbal.control.allocation import (
    ALLOCATION_PARAMS,
    ALLOCATION_STATE,
    allocate,
    allocation_reset,
    learn,
    model_chain,
    remember_torque,
)
from gimbal.control.disturbance import OBSERVER_PARAMS, OBSERVER_STATE, observe, observer_reset, remember
from gimbal.control.feasible import FEASIBLE_PARAMS, FEASIBLE_STATE, feasible, feasible_reset
from gimbal.control.handover import HANDOVER_PARAMS, HANDOVER_STATE, handover, handover_reset
from gimbal.control.joint_kinematics import camera_acceleration
from gimbal.control.late import LATE_STATE, make_up, remember_sent
from gimbal.control.limits import LIMITS_PARAMS, limit_torque
from gimbal.control.pointing import POINTING_PARAMS, POINTING_STATE, hold_attitude, point
from gimbal.control.rate_output import CAMERA_RATE, OUTPUT_STATE, TORQUE, output_reset, rate_output, tell_carrier
from gimbal.control.rate_pid import PID_PARAMS, PID_STATE, pid_reset, pid_unwind, rate_pid
from gimbal.control.reach import REACH_PARAMS, reachable
from gimbal.control.ring import RING_STATE, listen, ring_reset
from gimbal.control.supervisor import (
    SUPERVISOR_PARAMS,
    SUPERVISOR_STATE,
    authority,
    supervise_command,
    supervise_state,
)
from gimbal.control.thermal import THERMAL_PARAMS, THERMAL_STATE, derate
from gimbal.control.watch import steady
from gimbal.estimation.carrier import CARRIER_PARAMS, CARRIER_STATE, carrier
from gimbal.estimation.estimate import ESTIMATION_PARAMS, ESTIMATION_STATE, estimate
from gimbal.estimation.layout import FALLBACK
from gimbal.faults import Code
from gimbal.kernels.build import kernel
from gimbal.kernels.quat import load3, load4, q_axis, q_unrotate, store3, store4, sub3
from gimbal.records import MEAS, TARGET, Arm, Mode
from gimbal.sensors.encoders import ENCODER_PARAMS, ENCODER_STATE, measure_joints
from gimbal.sensors.imu import IMU_PARAMS, IMU_STATE, measure_carrier, measure_field, measure_imu
from gimbal.targeting.arbiter import ARBITER_PARAMS, ARBITER_STATE, arbitrate
from gimbal.targeting.lens import LENS_PARAMS, advise
from gimbal.targeting.modes import MODES_PARAMS, MODES_STATE, choose_goal, modes_turn, pursuit
from gimbal.targeting.profile import PROFILE_PARAMS, PROFILE_STATE, profile, profile_reset, profile_turn
from gimbal.targeting.tracker import TRACKER_PARAMS, TRACKER_STATE, track, tracker_turned

TAKEN_ALONG = 0.05  # rad: while the ramp gives too little to hold, the setpoint goes with the camera

PARAMS = np.dtype(
    [
        ("dt_s", "f8"),
        ("act_delay_ns", "i8"),  # sample to torque: targets are predicted to the moment the command acts
        ("unwind_1_s", "f8"),
        ("imu", IMU_PARAMS),
        ("encoders", ENCODER_PARAMS),
        ("estimation", ESTIMATION_PARAMS),
        ("carrier_imu", IMU_PARAMS),
        ("carrier", CARRIER_PARAMS),
        ("tracker", TRACKER_PARAMS),
        ("arbiter", ARBITER_PARAMS),
        ("modes", MODES_PARAMS),
        ("lens", LENS_PARAMS),
        ("profile", PROFILE_PARAMS),
        ("pointing", POINTING_PARAMS),
        ("feasible", FEASIBLE_PARAMS),
        ("handover", HANDOVER_PARAMS),
        ("pid", PID_PARAMS),
        ("observer", OBSERVER_PARAMS),
        ("allocation", ALLOCATION_PARAMS),
        ("reach", REACH_PARAMS),
        ("limits", LIMITS_PARAMS),
        ("thermal", THERMAL_PARAMS),
        ("supervisor", SUPERVISOR_PARAMS),
    ],
    align=True,
)
STATE = np.dtype(
    [
        ("tick", "u8"),
        ("meas", MEAS),
        ("imu", IMU_STATE),
        ("encoders", ENCODER_STATE),
        ("estimation", ESTIMATION_STATE),
        ("carrier_imu", IMU_STATE),
        ("carrier", CARRIER_STATE),
        ("tracker", TRACKER_STATE),
        ("arbiter", ARBITER_STATE),
        ("modes", MODES_STATE),
        ("profile", PROFILE_STATE),
        ("pointing", POINTING_STATE),
        ("feasible", FEASIBLE_STATE),
        ("handover", HANDOVER_STATE),
        ("pid", PID_STATE),
        ("observer", OBSERVER_STATE),
        ("allocation", ALLOCATION_STATE),
        ("ring", RING_STATE),
        ("late", LATE_STATE),
        ("output", OUTPUT_STATE),
        ("supervisor", SUPERVISOR_STATE),
        ("target", TARGET),
        ("thermal", THERMAL_STATE),
        ("cut", "u1"),  # the tick before, a limit took torque away
        ("feedforward_off", "u1"),  # a term of it has the wrong sign, or rings
        ("limits", "u8"),  # of the tick before
        ("demand_C", "f8", 3),
        ("fast_C", "f8", 3),
        ("push_C", "f8", 3),
        ("torque", "f8", 3),
        ("scratch", "f8", 3),
    ],
    align=True,
)


@kernel
def _loops_reset(s):
    feasible_reset(s["feasible"])
    handover_reset(s["handover"])
    pid_reset(s["pid"])
    observer_reset(s["observer"])
    allocation_reset(s["allocation"])
    ring_reset(s["ring"])
    output_reset(s["output"])


@kernel
def _start_from(s, q_NC, rate_C):
    """Arming: everything with memory starts from where the camera is."""
    profile_reset(s["profile"], q_NC, rate_C)
    _loops_reset(s)
    s["modes"]["held"] = 0


@kernel
def _apart(a, b):
    """Angle between two attitudes, rad, small or not."""
    d = a[0] * b[0] + a[1] * b[1] + a[2] * b[2] + a[3] * b[3]
    return 2.0 * math.acos(min(abs(d), 1.0))


@kernel
def _finite(v):
    return abs(v[0]) + abs(v[1]) + abs(v[2]) < 1e9


@kernel
def _control(p, s, row, q_NC, rate_C):
    """Attitude error -> rate -> acceleration -> joint torque before limits into state["torque"]; returns limit bits."""
    nav, setpoint, control = row["nav"], row["setpoint"], row["control"]
    dt_s = p["dt_s"]
    gain = authority(s["supervisor"]) * steady(p["supervisor"]["watch"], s["supervisor"]["watch"])
    point(p["pointing"], q_NC, setpoint, gain, control)
    allocation = s["allocation"]
    armed = s["supervisor"]["arm"] == Arm.ARMED and not s["supervisor"]["holding"]
    allocation["whole"] = 1 if gain >= 1.0 and armed and not s["cut"] else 0
    model_chain(p["allocation"], allocation, s["meas"], nav, dt_s)
    order, rate_sp_C = p["allocation"]["chain"]["order"], load3(setpoint["rate_sp_C"])
    bits = feasible(p["feasible"], s["feasible"], allocation["chain"], nav, order, rate_sp_C, gain, control)
    margin = allocation["chain"]["margin"]
    rate_err_C = sub3(load3(control["rate_cmd_C"]), rate_C)
    limits, lost_ns = s["limits"], s["supervisor"]["watch"]["lost_ns"]
    handover(p["handover"], s["handover"], limits, lost_ns, control["attitude_err_C"], rate_err_C, margin, dt_s)
    rings = listen(s["ring"], rate_err_C, allocation["dynamics"], p["limits"], gain >= 1.0, margin, dt_s)
    allocation["faded"], allocation["doubted"] = s["ring"]["faded"], s["ring"]["doubted"]
    share = s["handover"]["share"]
    control["fast_share"] = share
    rate_pid(p["pid"], s["pid"], rate_C, control, share, gain, dt_s, s["demand_C"], s["fast_C"])
    observe(p["observer"], s["observer"], rate_C, dt_s)
    for k in range(3):
        s["demand_C"][k] -= s["observer"]["estimate"][k]
        control["disturbance_est"][k] = s["observer"]["estimate"][k]
    accel_sp_C = load3(setpoint["accel_sp_C"])
    demand_C, fast_C, force_C = load3(s["demand_C"]), load3(s["fast_C"]), load3(nav["accel_C_meas"])
    allocate(p["allocation"], allocation, demand_C, fast_C, share, rate_sp_C, accel_sp_C, force_C, dt_s)
    for a in range(3):
        s["torque"][a] = gain * (s["allocation"]["feedback"][a] + s["allocation"]["feedforward"][a])
        control["ff"][a] = s["allocation"]["feedforward"][a]
    make_up(s["late"], row["sense"]["sent_ns"], dt_s, s["torque"])
    if gain >= 1.0 and s["supervisor"]["arm"] == Arm.ARMED and not s["cut"] and _finite(s["torque"]):
        s["feedforward_off"] = 1 if learn(p["allocation"], allocation, dt_s) or rings else 0
    control["singularity_margin"] = margin
    return bits


@kernel
def _control_rates(p, s, row, q_NC):
    """Attitude error -> rates that the devices' own loops follow, within limits, into state["output"]."""
    nav, control, allocation = row["nav"], row["control"], s["allocation"]
    point(p["pointing"], q_NC, row["setpoint"], 1.0, control)
    model_chain(p["allocation"], allocation, s["meas"], nav, p["dt_s"])
    control["singularity_margin"] = allocation["chain"]["margin"]
    floor, order = p["allocation"]["singularity_cos"], p["allocation"]["chain"]["order"]
    return rate_output(
        p["supervisor"]["output"],
        s["output"],
        allocation["chain"],
        allocation["ahead"],
        order,
        nav,
        control,
        floor,
        authority(s["supervisor"]),
        p["dt_s"],
    )


@kernel
def _limit(p, s, row, dt_s):
    """Limits, and what they took back out of the integrators and the observer's memory."""
    nav, control = row["nav"], row["control"]
    share = s["thermal"]["share"]
    bits = limit_torque(p["limits"], nav, s["torque"], share, control["torque_lim"], control["saturated"])
    bits |= derate(p["thermal"], s["thermal"], row["sense"], control["torque_lim"], dt_s)
    if s["feedforward_off"]:
        bits |= 1 << Code.FEEDFORWARD_OFF
    if control["singularity_margin"] < p["allocation"]["singularity_cos"]:
        bits |= 1 << Code.SINGULARITY
    cut = False
    order = p["allocation"]["chain"]["order"]
    for k in range(3):
        a = order[k]
        s["scratch"][k] = control["torque_lim"][a] - s["torque"][a]
        cut = cut or control["saturated"][a] != 0
    s["cut"] = 1 if cut else 0
    if cut:
        lost_B = camera_acceleration(s["allocation"]["chain"], load3(s["scratch"]), s["allocation"]["joint_accel"])
        lost_C = q_unrotate(load4(s["allocation"]["chain"]["q_B"][2]), lost_B)
        pid_unwind(p["pid"], s["pid"], lost_C, dt_s, p["unwind_1_s"])
        for k in range(3):
            s["demand_C"][k] += lost_C[k]
    if _finite(s["torque"]):  # what is no number is refused by the supervisor, and must not outlive this tick
        remember(s["observer"], load3(s["demand_C"]))
        remember_torque(s["allocation"], control["torque_lim"])
    return bits


@kernel
def _push(p, s, row):
    """Angular acceleration of the camera (rad/s², C) that the loops' part of the limited torque should make."""
    control = row["control"]
    order = p["allocation"]["chain"]["order"]
    for k in range(3):
        a = order[k]
        s["scratch"][k] = control["torque_lim"][a] - control["ff"][a]
    push_B = camera_acceleration(s["allocation"]["chain"], load3(s["scratch"]), s["allocation"]["joint_accel"])
    store3(s["push_C"], q_unrotate(load4(s["allocation"]["chain"]["q_B"][2]), push_B))


@kernel
def step(params, state, sense, inbox, command, row):
    """One tick.

    Args:
        params, state: (1,) PARAMS, read only, and STATE, changed in place.
        sense, inbox, command: (1,) SENSE, INBOX: the inputs; COMMAND: the output.
        row: (1,) TICK: everything, for telemetry and replay; ``timing`` is left alone.
    """
    p, s, r = params[0], state[0], row[0]
    nav, goal, setpoint, health = r["nav"], r["goal"], r["setpoint"], r["health"]
    target = s["target"]  # kept in STATE: the row is output only, what was in it before must not matter
    dt_s = p["dt_s"]
    r["sense"] = sense[0]
    r["inbox"] = inbox[0]
    r["tick"] = s["tick"]
    r["t_ns"] = sense[0]["t_ns"]
    now_ns = sense[0]["t_ns"]
    s["tick"] += 1

    # sensors: calibrated, in camera axes, with their age
    meas = s["meas"]
    measure_imu(p["imu"], s["imu"], r["sense"], meas)
    measure_field(p["imu"], r["sense"], meas)
    measure_carrier(p["carrier_imu"], s["carrier_imu"], r["sense"], meas)
    measure_joints(p["encoders"], s["encoders"], r["sense"], meas)

    # estimation: attitude, rates, velocity, base motion
    estimate(p["estimation"], s["estimation"], r["sense"], meas, nav)
    carrier(p["carrier"], s["carrier"], p["estimation"], s["estimation"], r["sense"], meas, nav)
    hold_attitude(p["pointing"], s["pointing"], meas, nav)
    q_NC = load4(s["pointing"]["out"])
    rate_C = load3(s["pointing"]["rate"])
    if nav["heading_step"] != 0.0:  # north was found: what is held in N turns with it, the camera doesn't
        profile_turn(s["profile"], q_axis(2, nav["heading_step"]))
        modes_turn(s["modes"], q_axis(2, nav["heading_step"]))
        tracker_turned(s["tracker"], q_axis(2, nav["heading_step"]))
    if s["pointing"]["snapped"]:  # control's attitude was taken anew: the camera doesn't jump after it
        profile_turn(s["profile"], load4(s["pointing"]["snap_N"]))
        modes_turn(s["modes"], load4(s["pointing"]["snap_N"]))
        tracker_turned(s["tracker"], load4(s["pointing"]["snap_N"]))

    # targeting: who asks for what, where the target will be, and a setpoint without jumps
    arbitrate(p["arbiter"], s["arbiter"], now_ns, r["inbox"])
    track(p["tracker"], s["tracker"], r["sense"], nav, q_NC, now_ns + p["act_delay_ns"], target)
    trim = s["arbiter"]["trim"]
    advise(p["lens"], target, abs(p["modes"]["framing_down"] + trim[1]), dt_s)
    r["target"] = target
    # SAFETY: the state machine, before anything is commanded
    supervise_state(p["supervisor"], s["supervisor"], r["sense"], meas, nav, s["arbiter"], dt_s, health)
    armed = s["supervisor"]["arm"] == Arm.ARMED
    if s["supervisor"]["armed_now"] or not armed:
        _start_from(s, q_NC, rate_C)
        s["pointing"]["started"] = 1 if armed else 0  # nothing is seen: control holds against the estimate itself
    elif s["supervisor"]["ramp"] < 1.0 and _apart(load4(s["profile"]["q_NC_sp"]), q_NC) > TAKEN_ALONG:
        profile_reset(s["profile"], q_NC, rate_C)
        s["modes"]["held"] = 0
    order = p["allocation"]["chain"]["order"]
    stick_C, reached = reachable(p["reach"], s["allocation"], order, nav, load3(s["arbiter"]["rate_C"]))
    q_sp = load4(s["profile"]["q_NC_sp"])
    choose_goal(p["modes"], s["modes"], s["arbiter"], nav, target, q_sp, stick_C, dt_s, goal)
    if armed and goal["mode"] == Mode.OFF:  # no torque: what comes after starts from where the camera is by then
        _start_from(s, q_NC, rate_C)
        s["supervisor"]["ramp"] = 0.0
    elif armed:
        profile(
            p["profile"],
            s["profile"],
            load4(goal["q_NC_goal"]),
            load3(goal["rate_goal_C"]),
            load3(goal["accel_goal_C"]),
            pursuit(p["modes"], goal["mode"], target["range_m"], target["los_std"]),
            dt_s,
        )
    store4(setpoint["q_NC_sp"], load4(s["profile"]["q_NC_sp"]))
    store3(setpoint["rate_sp_C"], load3(s["profile"]["rate_C"]))
    store3(setpoint["accel_sp_C"], load3(s["profile"]["accel_C"]))

    # control: torque for each joint, or rates for devices with their own loops, within limits
    output = p["supervisor"]["output"]["kind"]
    if output == TORQUE:
        limits = _control(p, s, r, q_NC, rate_C)
        limits |= _limit(p, s, r, dt_s)
        _push(p, s, r)
    else:
        limits = _control_rates(p, s, r, q_NC)

    # SAFETY: the supervisor has the last word
    limits |= supervise_command(
        p["supervisor"],
        s["supervisor"],
        r["sense"],
        meas,
        nav,
        r["control"],
        s["push_C"],
        limits,
        p["limits"]["max_torque"],
        goal["mode"] == Mode.OFF,
        s["output"],
        load4(setpoint["q_NC_sp"]),
        r["command"],
    )
    remember_sent(s["late"], r["command"]["joint_torque_cmd"])
    if output >= CAMERA_RATE:
        tell_carrier(nav, q_NC, r["command"]["carrier"])
    health["arm"] = s["supervisor"]["arm"]
    health["fault"] = s["supervisor"]["fault"]
    if s["supervisor"]["holding"]:  # the loops ran on nothing: they start anew when samples come again
        _loops_reset(s)
    if goal["reason"] != 0 and goal["reason"] < 64:
        limits |= 1 << goal["reason"]
    if s["arbiter"]["rate_expired"]:
        limits |= 1 << Code.COMMAND_EXPIRED
    if s["profile"]["limited"] and armed:
        limits |= 1 << Code.RATE_LIMIT
    if armed and goal["mode"] == Mode.RATE:
        limits |= reached
    if nav["status"] & FALLBACK:
        limits |= 1 << Code.ESTIMATOR_FALLBACK
    if meas["imu_status"] & 1:
        limits |= 1 << Code.IMU_CLIPPED
    health["limits"] = limits
    s["limits"] = limits
    command[0] = r["command"]


def new_state(params: np.ndarray) -> np.ndarray:
    """A zeroed STATE with the estimator, tracker and mode as ``params`` asks: what a run starts from."""
    from gimbal.estimation.carrier import carrier_reset
    from gimbal.estimation.estimate import estimate_reset
    from gimbal.targeting.tracker import tracker_reset

    state = np.zeros(1, STATE)
    estimate_reset(params[0]["estimation"], state[0]["estimation"])
    carrier_reset(params[0]["carrier"], state[0]["carrier"])
    tracker_reset(params[0]["tracker"], state[0]["tracker"])
    state["profile"]["q_NC_sp"][0, 0] = 1.0
    state["modes"]["q_hold"][0, 0] = 1.0
    return state
