"""The supervisor: arming, the latch, and the last word on COMMAND.

Boot -> self-test -> idle -> armed -> safe, latched until an operator acknowledges. Nothing re-arms by itself.
Every stop path ends in ``_still``, which can't fail: brake (shorted phases) or off, as configured.
docs/safety.md has the table.
"""

from __future__ import annotations

import numpy as np

from gimbal.control.rate_output import CAMERA_RATE, JOINT_ANGLE, OUTPUT_PARAMS, TORQUE, hold_output, output_command
from gimbal.control.watch import (
    WATCH_PARAMS,
    WATCH_STATE,
    watch_base,
    watch_excuse,
    watch_follow,
    watch_inputs,
    watch_motion,
    watch_rest,
    watch_silence,
    watch_turning,
)
from gimbal.faults import Blocker, Code
from gimbal.kernels.build import kernel
from gimbal.records import Arm, JointMode

# A controller whose watchdog ran out while nothing was commanded stands still; arming clears it (firmware_bridge
# reports it by this code), so it is a fault only once the ramp is on its way.
WATCHDOG_EXPIRED = 0x10000
LAST_TICK_NS = 1_000_000
UNREAD_S = 0.01  # since a motor was read

SUPERVISOR_PARAMS = np.dtype(
    [
        ("self_test_ns", "i8"),
        ("imu_predict_ns", "i8"),
        ("imu_hold_ns", "i8"),
        ("imu_safe_ns", "i8"),
        ("joint_safe_ns", "i8"),
        ("overspeed", "f8", 3),  # rad/s, each joint's
        ("arm_rate_max", "f8"),  # rad/s: no arming while a joint turns faster
        ("tilt_most", "f8"),  # rad of tilt_std: no arming beyond, whatever was known before
        ("rough_tilt", "u1"),  # arms although the tilt isn't known well yet
        ("carrier_rate", "f8"),  # rad/s: gyro and encoders farther than this from the carrier's gyro
        ("hot_degC", "f8"),
        ("ramp_s", "f8"),
        ("safe_mode", "i4"),  # JointMode
        ("start_armed", "u1"),
        ("output", OUTPUT_PARAMS),
        ("hold_damping", "f8", 3),  # N m s/rad, joints held on encoders
        ("hold_stiffness", "f8", 3),  # N m/rad
        ("watch", WATCH_PARAMS),
    ],
    align=True,
)
SUPERVISOR_STATE = np.dtype(
    [
        ("arm", "i4"),
        ("fault", "i4"),
        ("since_ns", "i8"),
        ("test_ns", "i8"),  # how long the self-test has been good
        ("ramp", "f8"),
        ("holding", "u1"),
        ("hold_angle", "f8", 3),
        ("armed_now", "u1"),  # became armed this tick
        ("watch", WATCH_STATE),
    ],
    align=True,
)


@kernel
def _blockers(p, s, sense, meas, nav, fault):
    bits = 0
    if fault != 0:
        bits |= 1 << Blocker.FAULT
    if meas["imu_age_ns"] > p["imu_hold_ns"] or meas["imu_status"] & 4:
        bits |= 1 << Blocker.IMU
    for a in range(3):
        if not meas["joint_valid"][a] or meas["joint_age_ns"][a] > p["joint_safe_ns"]:
            bits |= 1 << Blocker.JOINTS
        if abs(nav["joint_rate_est"][a]) > p["arm_rate_max"]:
            bits |= 1 << Blocker.MOVING
    known = nav["settled"] and nav["tilt_std"] < p["tilt_most"]
    if not nav["valid"] or not (known or p["rough_tilt"]):
        bits |= 1 << Blocker.ESTIMATOR
    if sense["wired_stop_open"]:
        bits |= 1 << Blocker.WIRED_STOP
    if s["fault"] != 0:
        bits |= 1 << Blocker.LATCHED
    return bits


@kernel
def _judge(p, s, sense, meas, nav):
    """The first fault that holds, 0 if none. Motion-critical causes first."""
    watched = watch_inputs(p["watch"], s["watch"], sense, meas)
    if sense["wired_stop_open"] or watched == Code.WIRED_STOP.value:
        return Code.WIRED_STOP.value
    if sense["link_lost"] & 1:
        return Code.IMU_LINK_LOST.value
    if sense["link_lost"] & 2:
        return Code.MOTOR_LINK_LOST.value
    dt_ns = min(p["watch"]["dt_ns"], LAST_TICK_NS)  # acts in the last tick before an age is over its limit
    if meas["imu_age_ns"] + dt_ns > p["imu_safe_ns"]:
        return Code.IMU_SILENT.value
    if meas["imu_status"] & 4:
        return Code.IMU_FROZEN.value
    for a in range(3):
        if not meas["joint_valid"][a] or meas["joint_age_ns"][a] + dt_ns > p["joint_safe_ns"]:
            return Code.MOTOR_SILENT.value
        code = sense["motor_fault"][a] if sense["joint_valid"][a] else 0
        if code != 0 and (code != WATCHDOG_EXPIRED or s["ramp"] > 0.1):
            return Code.MOTOR_FAULT.value
        if sense["motor_temp_degC"][a] > p["hot_degC"]:
            return Code.MOTOR_OVERHEAT.value
        if abs(nav["joint_rate_est"][a]) > p["overspeed"][a]:
            return Code.OVERSPEED.value
    if not nav["valid"]:
        return Code.ESTIMATOR_FAILED.value
    if nav["carrier_rate_off"] > p["carrier_rate"]:
        return Code.IMU_DISAGREES.value
    return watched


@kernel
def _to_safe(s, fault, now_ns):
    if s["arm"] != Arm.SAFE:
        s["since_ns"] = now_ns
    s["arm"] = Arm.SAFE
    if s["fault"] == 0:
        s["fault"] = fault
    s["ramp"] = 0.0


@kernel
def _still(mode, command):
    """Every joint in this mode, and no number left from the tick before."""
    for a in range(3):
        command["mode"][a] = mode
        command["joint_torque_cmd"][a] = 0.0
        command["joint_rate_cmd"][a] = 0.0
        command["joint_angle_cmd"][a] = 0.0
        command["camera_rate_cmd_C"][a] = 0.0
    for i in range(4):
        command["q_NC_cmd"][i] = 0.0


@kernel
def _hold_on_encoders(p, s, nav, max_torque, command):
    """No IMU for a moment: freeze the joints where they are, on their encoders."""
    if not s["holding"]:
        s["holding"] = 1
        for a in range(3):
            s["hold_angle"][a] = nav["joint_angle_est"][a]
    if p["output"]["kind"] != TORQUE:
        hold_output(p["output"], nav, s["hold_angle"], command)
        return
    for a in range(3):
        x = p["hold_stiffness"][a] * (s["hold_angle"][a] - nav["joint_angle_est"][a])
        x -= p["hold_damping"][a] * nav["joint_rate_est"][a]
        most = s["watch"]["share"] * max_torque[a]  # a sagging supply has no more
        command["joint_torque_cmd"][a] = min(max(x, -most), most)


@kernel
def supervise_state(p, s, sense, meas, nav, arbiter, dt_s, health):
    """Advance the state machine (before the command is made); fills HEALTH but its limits."""
    now_ns = sense["t_ns"]
    s["armed_now"] = 0
    fault = _judge(p, s, sense, meas, nav)
    if s["arm"] == Arm.BOOT:
        s["arm"] = Arm.SELF_TEST
        s["since_ns"] = now_ns
        s["test_ns"] = 0
    blockers = _blockers(p, s, sense, meas, nav, fault)
    if s["arm"] == Arm.SELF_TEST:
        blockers |= 1 << Blocker.SELF_TEST
        s["test_ns"] = s["test_ns"] + int(1e9 * dt_s) if blockers == 1 << Blocker.SELF_TEST else 0
        if s["test_ns"] >= p["self_test_ns"]:
            s["arm"] = Arm.IDLE
            blockers = 0
            if p["start_armed"]:
                arbiter["want_arm"] = 1
    if arbiter["want_stop"]:
        _to_safe(s, Code.OPERATOR_STOP.value, now_ns)
    elif s["arm"] == Arm.ARMED:
        if fault != 0:
            _to_safe(s, fault, now_ns)
        elif arbiter["want_disarm"]:
            s["arm"] = Arm.IDLE
    elif s["arm"] == Arm.SAFE:
        if arbiter["want_ack"] and fault == 0:
            s["arm"] = Arm.IDLE if s["test_ns"] >= p["self_test_ns"] else Arm.SELF_TEST
            s["fault"] = 0
    elif s["arm"] == Arm.IDLE and arbiter["want_arm"]:
        if blockers == 0:
            s["arm"] = Arm.ARMED
            s["armed_now"] = 1
            s["ramp"] = 0.0
        else:
            arbiter["refused"] += 1
    if s["arm"] == Arm.ARMED:
        s["ramp"] = min(1.0, s["ramp"] + dt_s / p["ramp_s"])
    else:
        s["ramp"] = 0.0
    health["arm"] = s["arm"]
    health["fault"] = s["fault"]
    health["fault_now"] = fault
    health["blockers"] = blockers
    health["imu_age_ns"] = meas["imu_age_ns"]
    health["ramp"] = s["ramp"]
    health["last_seq"] = arbiter["last_seq"]
    health["commands_refused"] = arbiter["refused"]
    for a in range(3):
        health["joint_age_ns"][a] = meas["joint_age_ns"][a]


@kernel
def authority(s):
    """Smooth 0..1 gain on torque after arming."""
    r = s["ramp"]
    return r * r * (3.0 - 2.0 * r)


@kernel
def _shown(s, sense):
    """Limit bits of what is watched whether armed or not."""
    bits = 0
    if sense["link_lost"] & 4:
        bits |= 1 << Code.GNSS_LOST
    if s["watch"]["sagging"]:
        bits |= 1 << Code.SUPPLY_LOW
    if s["watch"]["overrun_ns"] > 0:
        bits |= 1 << Code.LOOP_OVERRUN
    return bits


@kernel
def _torques(off, torque, share, max_torque, command):
    """COMMAND of an armed rig in torque; False where a value is NaN or beyond the limits: never to the wire."""
    for a in range(3):
        command["mode"][a] = JointMode.OFF if off else JointMode.TORQUE
        x = 0.0 if off else torque[a]
        if not abs(x) <= max_torque[a] * 1.001:
            return False
        most = share * max_torque[a]
        command["joint_torque_cmd"][a] = min(max(x, -most), most)
    return True


@kernel
def _judge_motion(p, s, meas, nav, control, push_C, limits, command):
    """What the camera and the joints do with what they are asked. A fault code, or 0."""
    watch, kind = s["watch"], p["output"]["kind"]
    late = meas["imu_age_ns"] > p["watch"]["imu_late_ns"]
    stop = limits & (1 << Code.END_STOP) != 0
    ramping = s["ramp"] < 1.0
    fault = 0
    excused = watch_excuse(p["watch"], watch, stop or late or limits & (1 << Code.SINGULARITY) != 0)
    if kind == TORQUE:
        fault = watch_base(p["watch"], watch, nav["omega_NB_B_est"], excused)
    if fault == 0:
        fault = watch_follow(p["watch"], watch, control, ramping, excused)
    if fault != 0:
        return fault
    if kind == TORQUE:
        unread = watch_silence(watch, meas) > UNREAD_S  # a motor that is silent may not act: that is judged by its age
        motion = nav["omega_NC_C_est"]
        return watch_motion(p["watch"], watch, motion, control, push_C, excused or ramping or unread)
    if kind < CAMERA_RATE:
        return watch_turning(p["watch"], watch, command["joint_rate_cmd"], nav["joint_rate_est"], excused)
    return watch_turning(p["watch"], watch, command["camera_rate_cmd_C"], nav["omega_NC_C_est"], excused)


@kernel
def _sent(kind, command, a):
    """What the device of joint a was told: N m, rad/s or rad; a board: the rate about the camera's axis a."""
    if kind == TORQUE:
        return command["joint_torque_cmd"][a]
    if kind >= CAMERA_RATE:
        return command["camera_rate_cmd_C"][a]
    return command["joint_angle_cmd"][a] if kind == JOINT_ANGLE else command["joint_rate_cmd"][a]


@kernel
def supervise_command(p, s, sense, meas, nav, control, push_C, limits, max_torque, off, rates, q_NC_sp, command):
    """SAFETY: the last word. Nothing but this writes COMMAND. Returns limit bits.

    Args:
        control: CONTROL; its torque_lim counts where the rig's output is torque, ``rates`` (OUTPUT_STATE) and the
            setpoint where it is not.
        push_C: rad/s², the acceleration that the loops' part of the limited torque should make.
        limits: bits that act already. off: mode off, no torque.
    """
    watch, fault = s["watch"], 0
    bits = _shown(s, sense)
    in_torque = p["output"]["kind"] == TORQUE
    if s["arm"] != Arm.ARMED:
        s["holding"] = 0
        watch_rest(watch, nav["omega_NC_C_est"])
        _still(p["safe_mode"] if s["arm"] == Arm.SAFE else JointMode.OFF.value, command)
        return bits
    if in_torque:
        good = _torques(off, control["torque_lim"], watch["share"], max_torque, command)
    else:
        good = output_command(p["output"], rates, off, q_NC_sp, command)
    if not good:
        fault = Code.CONTROL_FAILED.value
    elif off or meas["imu_age_ns"] > p["imu_hold_ns"]:
        watch_rest(watch, nav["omega_NC_C_est"])
    else:
        fault = _judge_motion(p, s, meas, nav, control, push_C, limits, command)
    if fault != 0:  # found after the state machine has run: safe in this very tick
        _to_safe(s, fault, nav["t_ns"])
        _still(p["safe_mode"], command)
        return bits
    if s["ramp"] < 1.0:
        bits |= 1 << Code.ARM_RAMP
    if meas["imu_age_ns"] > p["imu_hold_ns"] and not off:
        _hold_on_encoders(p, s, nav, max_torque, command)
        bits |= 1 << Code.IMU_HOLD
    else:
        s["holding"] = 0
        if meas["imu_age_ns"] > p["imu_predict_ns"]:
            bits |= 1 << Code.IMU_PREDICTED
    for a in range(3):
        watch["sent"][a] = _sent(p["output"]["kind"], command, a)
    return bits
