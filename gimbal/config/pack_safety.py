"""The supervisor's part of PARAMS: times, hold on encoders, what is watched, and the output of rigs without torque."""

from __future__ import annotations

import math

import numpy as np

from gimbal.config.pack_control import carried
from gimbal.config.schema import Rig
from gimbal.control.rate_output import CAMERA_ANGLE, CAMERA_RATE, JOINT_ANGLE, JOINT_RATE, TORQUE
from gimbal.control.watch import BASE_LINE
from gimbal.frames import AXES
from gimbal.kernels.filters import lowpass_coefficients
from gimbal.records import JointMode
from gimbal.units import DEG, MS

HOLD_PHASE, HOLD_DAMPING = 0.03, 0.7  # rad of phase that the delay takes at the hold's bandwidth; damping ratio


def pack_supervisor(p: np.void, rig: Rig, start_armed: bool) -> None:
    safety = rig.safety
    p["self_test_ns"] = 100 * MS
    p["imu_predict_ns"] = int(safety.imu_predict_ms * MS)
    p["imu_hold_ns"] = int(safety.imu_hold_ms * MS)
    p["imu_safe_ns"] = int(safety.imu_safe_ms * MS)
    p["joint_safe_ns"] = int(safety.motor_safe_ms * MS)
    for a, name in enumerate(AXES):  # acts before 1.2 of the joint's own limit
        p["overspeed"][a] = min(safety.runaway_rate_deg_s, 1.1 * getattr(rig.joints, name).max_rate_deg_s) * DEG
    p["arm_rate_max"] = 200.0 * DEG
    p["tilt_most"] = 5.0 * DEG
    p["rough_tilt"] = start_armed or safety.accept_rough_tilt
    p["carrier_rate"] = 20.0 * DEG
    p["hot_degC"] = rig.thermal.limit_degC
    p["ramp_s"] = rig.limits.arm_ramp_s
    p["safe_mode"] = JointMode.BRAKE if safety.safe_action == "brake" else JointMode.OFF
    p["start_armed"] = start_armed
    _pack_hold(p, rig)
    _pack_watch(p["watch"], rig)
    _pack_output(p["output"], rig)


def _pack_hold(p: np.void, rig: Rig) -> None:
    """A joint held on its encoder: J s² + d s + k with a damping ratio of its own, so slow against the loop's delay
    that its phase margin stays, with room for the structure's mode."""
    delay_s = (rig.delay.sample_to_torque_ms + rig.encoder.delay_ms) * 1e-3 + 0.5 / rig.loop_rate_hz
    delay_s += 1.0 / (2.0 * math.pi * rig.motors.torque_bandwidth_hz)
    bandwidth = HOLD_PHASE / delay_s
    for a in range(3):
        inertia = carried(rig, a)
        p["hold_stiffness"][a] = inertia * bandwidth**2
        p["hold_damping"][a] = 2.0 * HOLD_DAMPING * inertia * bandwidth


def _pack_output(p: np.void, rig: Rig) -> None:
    kinds = {"torque": TORQUE, "rate": JOINT_RATE, "angle": JOINT_ANGLE}
    if rig.inner_loop is not None:
        kinds = {"torque": TORQUE, "rate": CAMERA_RATE, "angle": CAMERA_ANGLE}
    p["kind"] = kinds[rig.control.output]
    p["feed_lp"] = lowpass_coefficients(rig.control.feed_rate_hz, rig.loop_rate_hz)
    p["camera_rate"] = rig.limits.max_rate_deg_s * DEG
    p["camera_accel"] = rig.limits.max_accel_deg_s2 * DEG
    for a, name in enumerate(AXES):
        joint = getattr(rig.joints, name)
        p["continuous"][a] = joint.continuous
        p["max_rate"][a] = joint.max_rate_deg_s * DEG
        p["stop_min"][a] = joint.min_deg * DEG
        p["stop_max"][a] = joint.max_deg * DEG
        p["max_accel"][a] = rig.limits.max_torque_Nm / carried(rig, a)


def _pack_watch(p: np.void, rig: Rig) -> None:
    safety, rate = rig.safety, rig.loop_rate_hz
    dt_ms = 1e3 / rate
    p["dt_ns"] = round(dt_ms * MS)
    p["stall_ns"] = int(max(safety.imu_safe_ms, 5.0 * dt_ms) * MS)
    p["gap_ns"] = int(1e9 / max(rig.control.rate_gain_1_s)) if rig.control.output == "torque" else p["stall_ns"]
    late_ms = max(safety.imu_predict_ms, 1.5e3 / rig.imu.rate_hz + 2.0)
    p["imu_late_ns"] = int(late_ms * MS)
    p["imu_late_max"] = round(safety.imu_safe_ms / dt_ms)
    p["frozen_ticks"] = max(3, round(30.0 / dt_ms))
    fastest = max(getattr(rig.joints, a).max_rate_deg_s for a in AXES) * DEG
    moved = {"torque": 0.015 * rig.limits.max_torque_Nm, "rate": 0.05 * fastest, "angle": 2.0 * DEG}
    p["frozen_sent"] = moved[rig.control.output]
    on_joints = rig.inner_loop is None and rig.control.output != "torque"
    p["joint_late_ns"] = int(2.2 * dt_ms * MS)
    p["joint_late_max"] = round(2.0 * safety.motor_safe_ms / dt_ms) if on_joints else 0
    p["joint_gaps_max"] = round(safety.motor_safe_ms / dt_ms) if rig.control.output == "torque" else 0
    if rig.inner_loop is not None:
        p["together"], p["frozen_ticks"], p["frozen_sent"] = 1, max(3, round(150.0 / dt_ms)), 2.0 * DEG
    p["frozen_asked"] = 5.0 * DEG
    p["turned_rate"] = 30.0 * DEG
    p["turned_ticks"] = max(2, round((50.0 if rig.inner_loop is None else 150.0) / dt_ms))
    p["bus_sag_V"] = 0.75 * rig.motors.bus_V
    p["bus_cut_V"] = 0.4 * rig.motors.bus_V
    p["follow_err"] = 10.0 * DEG
    p["follow_ticks"] = max(2, round(50.0 / dt_ms))
    p["against_accel"], p["against_share"], p["against_rate"] = 10.0, 0.3, 0.08
    p["against_ticks"] = max(2, round(12.0 / dt_ms))
    p["excused_ticks"] = round(50.0 / dt_ms)
    p["smooth"] = dt_ms / (3.0 + dt_ms)
    p["jump_ticks"] = max(round(25.0 / dt_ms), 3)
    p["base_ticks"] = min(max(round(4.0 / dt_ms), 1), BASE_LINE)
    p["base_jump"] = 0.75 * dt_ms * p["base_ticks"]  # 750 rad/s²: carriers make a tenth of it; motors that jolt, half
