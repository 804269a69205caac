"""Validated config -> the packed PARAMS record that the compiled tick reads. The one place that knows both."""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import Any

import numpy as np

from gimbal.config.calibration import Calibration
from gimbal.config.prediction import pack_foresight, pack_motion
from gimbal.config.schema import CarrierImu, Fast, Inertial, Rig, Shaping
from gimbal.control.allocation import NOTCHES
from gimbal.control.disturbance import LINE
from gimbal.control.rate_output import CAMERA_ANGLE, CAMERA_RATE, JOINT_ANGLE, JOINT_RATE, TORQUE
from gimbal.control.watch import BASE_LINE
from gimbal.estimation.profiles import default_params as estimation_params
from gimbal.estimation.profiles import sensor_params
from gimbal.frames import AXES, AXIS_INDEX
from gimbal.kernels.filters import lowpass_coefficients, notch_coefficients, shaping_coefficients
from gimbal.kernels.quat import q_from_euler, q_rotate
from gimbal.loop.pipeline import PARAMS
from gimbal.records import JointMode
from gimbal.targeting.track_records import default_params as tracker_params
from gimbal.units import DEG, G0, MS

NEVER_TICKS = 1 << 30
STOP_CLEAR_DEG = 5.0  # framing keeps joints so far from where their soft stops begin
HOLD_PHASE, HOLD_DAMPING = 0.03, 0.7  # rad of phase that the delay takes at the hold's bandwidth; damping ratio
SPEED_SHARE = 0.76  # of a joint's greatest rate: what is left is the loops'
STOP_SHARE = 0.3  # of the soft end-stop's width, before the hard stop: as far as the camera's motion takes a joint
BRAKE_SHARE = 0.5  # of the acceleration that a joint's torque can make
BASE_SMOOTH_S, TAKEN_SMOOTH_S = 0.03, 0.01  # low-passes on the base's rate and on what is taken of the rate command
FLOOR = 0.2  # of singularity_cos: |det J| is taken as no smaller
IDENTITY = [1.0, 0.0, 0.0, 0.0, 0.0]


def pack_params(rig: Rig, *, start_armed: bool = False) -> np.ndarray:
    """PARAMS (1,) for a rig; ``start_armed`` arms by itself after the self-test (the simulated rig)."""
    params = np.zeros(1, PARAMS)
    p = params[0]
    p["dt_s"] = 1.0 / rig.loop_rate_hz
    p["act_delay_ns"] = int(rig.delay.sample_to_torque_ms * MS)
    p["unwind_1_s"] = 20.0
    order = np.array([AXIS_INDEX[a] for a in rig.kinematic_order])
    _pack_imu(p["imu"], rig)
    found = rig.calibrated or Calibration(serial="", rig=rig.name)
    p["encoders"]["late_ns"] = round((found.delay.encoder_late_ms if found.delay else 0.0) * MS)
    line = rig.gnss.baseline_deg * DEG
    p["estimation"] = estimation_params(
        rig.estimation.profile,
        1.0 / rig.loop_rate_hz,
        gravity=rig.estimation.gravity_m_s2,
        gyro_range=rig.imu.gyro_range_deg_s * DEG,
        order=order,
        bleed_s=3.0,
        antenna_B=found.antenna.m if found.antenna else rig.gnss.antenna_m,
        line_B=(math.cos(line), math.sin(line), 0.0),
        declination=rig.estimation.declination_deg * DEG,
        origin_m=[getattr(rig.body, a).origin_m for a in rig.kinematic_order],
        imu_C=found.imu_arm.m if found.imu_arm else rig.imu.position_m,
        **_imu_figures(rig),
    )[0]
    if rig.carrier_imu is not None:
        _pack_carrier(p, rig, rig.carrier_imu)
    walk = math.hypot(rig.gnss.pos_walk_m, rig.beacon.pos_walk_m)
    p["tracker"] = tracker_params(
        model=rig.targeting.model,
        coast_s=rig.targeting.coast_s,
        lost_s=rig.targeting.lost_s,
        box_angle_rad=rig.camera.box_angle_deg * DEG,
        box_size_m=rig.camera.box_size_m,
        bias_h_m=walk,
        bias_v_m=1.8 * walk,  # receivers know their height that much worse
        bias_tau_s=min(rig.gnss.pos_walk_tau_s, rig.beacon.pos_walk_tau_s),
    )[0]
    _pack_targeting(p, rig, order)
    _pack_loops(p, rig)
    _pack_allocation(p["allocation"], rig, order)
    _pack_limits(p["limits"], rig)
    _pack_reach(p["reach"], rig)
    _pack_feasible(p["feasible"], rig, order)
    _pack_thermal(p["thermal"], rig)
    _pack_supervisor(p["supervisor"], rig, start_armed)
    return params


def _imu_figures(rig: Rig) -> dict[str, Any]:
    noise = rig.calibrated.noise if rig.calibrated else None
    if noise is None:
        return _figures(rig.imu)
    return _figures(rig.imu, noise.gyro_noise_deg_s_rtHz, noise.accel_noise_ug_rtHz)


def _figures(imu: Inertial, gyro_noise: float | None = None, accel_noise: float | None = None) -> dict[str, Any]:
    """What the estimator knows of an IMU; densities where they were measured."""
    return sensor_params(
        gyro_noise=(imu.gyro_noise_deg_s_rtHz if gyro_noise is None else gyro_noise) * DEG,
        gyro_bias=imu.gyro_bias_deg_s * DEG,
        gyro_in_run=imu.gyro_in_run_deg_h * DEG / 3600.0,
        gyro_scale=imu.gyro_scale,
        misalignment=imu.misalignment_deg * DEG,
        accel_noise=(imu.accel_noise_ug_rtHz if accel_noise is None else accel_noise) * 1e-6 * G0,
        accel_bias=imu.accel_bias_mg * 1e-3 * G0,
    )


def _pack_carrier(p: np.void, rig: Rig, imu: CarrierImu) -> None:
    """The IMU on the carrier: its calibration by the rig file alone, its filter from its own figures."""
    found = rig.calibrated or Calibration(serial="", rig=rig.name)
    antenna = found.antenna.m if found.antenna else rig.gnss.antenna_m
    p["carrier_imu"]["gyro_CI"] = p["carrier_imu"]["accel_CI"] = _mount(imu.mount_rpy_deg)
    p["carrier_imu"]["gyro_range"] = imu.gyro_range_deg_s * DEG
    p["carrier_imu"]["accel_range"] = imu.accel_range_g * G0
    p["carrier_imu"]["coarse"] = 1
    p["carrier"]["on"] = 1
    p["carrier"]["stale_s"] = max(5.0 / imu.rate_hz, 0.03)
    p["carrier"]["joint_std"] = imu.joint_std_deg * DEG
    p["carrier"]["filter"] = estimation_params(
        rig.estimation.profile,
        1.0 / imu.rate_hz,
        gravity=rig.estimation.gravity_m_s2,
        gyro_range=imu.gyro_range_deg_s * DEG,
        antenna_B=[a - b for a, b in zip(antenna, imu.position_m, strict=True)],
        line_B=p["estimation"]["line_B"],
        **_figures(imu),
    )[0]


def _mount(rpy_deg: Iterable[float]) -> np.ndarray:
    """Sensor to body axes."""
    q = q_from_euler(*(a * DEG for a in rpy_deg))
    return np.array([q_rotate(q, tuple(e)) for e in np.eye(3)]).T


def _pack_imu(p: np.void, rig: Rig) -> None:
    found = rig.calibrated or Calibration(serial="", rig=rig.name)
    mount = _mount(found.mount.rpy_deg if found.mount else rig.imu.mount_rpy_deg)
    p["gyro_CI"] = mount @ np.array(found.mount.gyro_matrix) if found.mount else mount
    p["accel_CI"] = mount
    if found.gyro:
        p["gyro_bias_I"] = np.array(found.gyro.bias_deg_s) * DEG
        p["gyro_bias_K"] = np.array(found.gyro.bias_deg_s_K) * DEG
        p["gyro_bias_K2"] = np.array(found.gyro.bias_deg_s_K2) * DEG
        p["reference_degC"] = found.gyro.reference_degC
    if found.accelerometer:
        p["accel_CI"] = mount @ np.diag(found.accelerometer.scale)
        p["accel_bias_I"] = found.accelerometer.bias_m_s2
    if found.magnetometer:
        p["mag_CI"] = mount @ np.array(found.magnetometer.soft)
        p["mag_hard_I"] = found.magnetometer.hard_uT
        p["mag_on"] = 1
    p["gyro_range"] = rig.imu.gyro_range_deg_s * DEG
    p["accel_range"] = rig.imu.accel_range_g * G0
    p["dt_s"] = 1.0 / rig.imu.rate_hz


def _pack_targeting(p: np.void, rig: Rig, order: np.ndarray) -> None:
    limits, targeting = rig.limits, rig.targeting
    p["arbiter"]["lease_ns"] = 2_000 * MS
    p["arbiter"]["rate_expiry_ns"] = int(rig.safety.rate_command_expiry_ms * MS)
    p["arbiter"]["max_rate"] = limits.max_rate_deg_s * DEG
    p["modes"]["order"] = order
    p["modes"]["stow"] = [getattr(rig.joints, a).stow_deg * DEG for a in AXES]
    p["modes"]["framing_right"] = targeting.framing_right_deg * DEG
    p["modes"]["framing_down"] = targeting.framing_down_deg * DEG
    p["modes"]["bandwidth_hand"] = 2.0 * math.pi * targeting.bandwidth_hand_hz
    p["modes"]["bandwidth_track"] = 2.0 * math.pi * targeting.bandwidth_track_hz
    p["arbiter"]["stick"] = targeting.stick_deg_s * DEG
    p["arbiter"]["expo"] = targeting.stick_expo
    modes, camera = p["modes"], rig.camera
    modes["damping_track"], modes["swerve_err"], modes["swerve_rate"] = 0.5, 0.024, 0.049
    modes["slew_rate"] = targeting.slew_deg_s * DEG
    modes["framing"]["max_spin"] = 0.6 * limits.max_rate_deg_s * DEG
    modes["framing"]["max_spin_accel"] = 0.3 * limits.max_accel_deg_s2 * DEG
    modes["stops"]["roll"] = _free(rig, "roll", math.acos(limits.singularity_cos) - 2.0 * DEG)
    modes["stops"]["pitch"] = _free(rig, "pitch", math.pi)
    modes["stops"]["max_spin"] = modes["framing"]["max_spin"]
    modes["stops"]["max_spin_accel"] = limits.max_accel_deg_s2 * DEG
    modes["follow_window"] = [w * DEG for w in targeting.follow_window_deg]
    modes["follow_s"] = targeting.follow_s
    modes["lead_room"] = math.atan(targeting.lead_room * camera.sensor_mm[0] / camera.focal_mm)
    modes["lead_s"] = targeting.lead_s
    modes["bank_share"], modes["bank_s"] = targeting.horizon_bank, targeting.horizon_bank_s
    lens = p["lens"]
    lens["sensor_mm"] = camera.sensor_mm
    lens["zoom_mm"] = targeting.zoom_mm or (camera.focal_mm, camera.focal_mm)
    lens["subject_m"], lens["fill"] = targeting.subject_m, targeting.subject_fill
    lens["sigmas"], lens["speed_1_s"] = 3.0, 0.5
    p["profile"]["max_rate"] = limits.max_rate_deg_s * DEG
    p["profile"]["max_accel"] = limits.max_accel_deg_s2 * DEG
    p["profile"]["max_jerk"] = limits.max_jerk_deg_s3 * DEG


def _free(rig: Rig, axis: str, most: float) -> float:
    """How far (rad, either way) framing may take a joint: clear of its soft stop, and no further than ``most``."""
    joint = getattr(rig.joints, axis)
    if joint.continuous:
        return most
    clear = min(-joint.min_deg, joint.max_deg) - joint.soft_stop_deg - STOP_CLEAR_DEG
    return min(max(clear, 0.0) * DEG, most)


def _pack_loops(p: np.void, rig: Rig) -> None:
    c, rate = rig.control, rig.loop_rate_hz
    p["pointing"]["gain"] = c.attitude_gain_1_s
    p["pointing"]["draw_s"] = c.attitude_draw_s
    p["pointing"]["draw_lag_s"] = 0.4 * c.attitude_draw_s
    p["pointing"]["snap"] = 0.2
    p["pointing"]["snap_heading"] = 0.03
    p["pointing"]["draw_most"] = [0.02, 0.02, 0.005]
    p["pointing"]["brake"] = 20.0
    p["pointing"]["dt_s"] = 1.0 / rate
    p["pointing"]["max_rate"] = rig.limits.max_rate_deg_s * DEG
    p["allocation"]["sections"][:] = IDENTITY
    p["allocation"]["fast_sections"][:] = IDENTITY
    p["pid"]["p"] = c.rate_gain_1_s
    p["pid"]["i"] = c.integral_gain_1_s2
    p["pid"]["d"] = c.derivative_gain
    p["pid"]["i_limit"] = 200.0
    p["pid"]["i_error"] = 0.003
    p["pid"]["gyro_lp"] = lowpass_coefficients(c.gyro_lowpass_hz, rate)
    p["pid"]["d_lp"] = lowpass_coefficients(c.derivative_lowpass_hz, rate)
    if c.fast is not None:
        _pack_fast(p, rig, c.fast)
    o = p["observer"]
    o["on"] = c.observer_hz > 0
    delay_s = rig.delay.sample_to_torque_ms * 1e-3 + 1.0 / (2 * math.pi * rig.motors.torque_bandwidth_hz)
    delay_s += math.sqrt(2.0) / (2 * math.pi * rig.imu.bandwidth_hz)  # the gyro's own low-pass
    o["delay_ticks"] = min(round(delay_s * rate), LINE - 1)
    o["lp"] = lowpass_coefficients(c.observer_hz, rate) if c.observer_hz > 0 else IDENTITY


def _pack_fast(p: np.void, rig: Rig, fast: Fast) -> None:
    p["pid"]["fast_p"] = fast.rate_gain_1_s
    p["pid"]["fast_i"] = fast.integral_gain_1_s2
    p["pid"]["fast_attitude"] = fast.attitude_gain_1_s - np.array(rig.control.attitude_gain_1_s)
    h = p["handover"]
    h["on"], h["enter"], h["leave"] = 1, 0.003, 0.008
    h["margin"] = 1.1 * rig.limits.singularity_cos
    h["wait_s"], h["rise_s"], h["fall_s"] = 0.5, 0.5, 0.004
    h["shake"], h["smooth"] = 0.1, 20.0 / rig.loop_rate_hz  # three times what buffeting leaves; a mean over 50 ms
    p["allocation"]["with_fast"] = 1
    _shape(p["allocation"]["fast_sections"], [0, 0, 0], fast.shaping, rig.loop_rate_hz)


def _shape(sections: np.ndarray, used: list[int], shaping: Iterable[Shaping], rate_hz: float) -> None:
    """Second-order sections into the first free places of ``sections`` (3, NOTCHES, 5)."""
    for s in shaping:
        a = AXIS_INDEX[s.axis]
        sections[a, used[a]] = shaping_coefficients(s.zero_hz, s.zero_damping, s.pole_hz, s.pole_damping, rate_hz)
        used[a] += 1


def _pack_allocation(p: np.void, rig: Rig, order: np.ndarray) -> None:
    c, rate, ff = rig.control, rig.loop_rate_hz, rig.control.feedforward
    chain = p["chain"]
    chain["order"] = order
    for k, axis in enumerate(rig.kinematic_order):
        body = getattr(rig.body, axis)
        chain["mass"][k] = body.mass_kg
        chain["inertia"][k] = body.inertia_kg_m2
        chain["com"][k] = body.com_m
        chain["origin"][k] = body.origin_m
    f = p["friction"]
    f["coulomb"] = rig.friction.coulomb_Nm
    f["breakaway"] = rig.friction.breakaway_Nm
    f["stribeck"] = rig.friction.stribeck_rad_s
    f["viscous"] = rig.friction.viscous_Nm_s_rad
    f["bristle"] = rig.friction.bristle_Nm_rad
    f["bristle_damping"] = rig.friction.bristle_damping_Nm_s_rad
    f["cable"] = rig.cable.spring_Nm_rad
    for a, name in enumerate(AXES):
        joint = getattr(rig.joints, name)
        f["cable_mid"][a] = 0.0 if joint.continuous else 0.5 * (joint.min_deg + joint.max_deg) * DEG
    f["hysteresis"] = rig.cable.hysteresis_Nm
    f["hysteresis_spring"] = rig.cable.hysteresis_Nm_rad
    f["hysteresis_on"] = [s > 0.0 and rig.cable.hysteresis_Nm > 0.0 for s in rig.cable.spring_Nm_rad]
    f["friction_on"] = ff.friction and rig.friction.coulomb_Nm > 0
    f["cable_on"] = ff.cable
    used = [0, 0, 0]
    for notch in c.notches:
        a = AXIS_INDEX[notch.axis]
        p["sections"][a, used[a]] = notch_coefficients(notch.centre_hz, rate, notch.width_hz, notch.depth)
        used[a] += 1
    _shape(p["sections"], used, c.shaping, rate)
    for a in range(3):
        if used[a] < NOTCHES:
            p["sections"][a, used[a]] = lowpass_coefficients(c.torque_lowpass_hz, rate)
    g = p["cogging"]
    g["periods"] = rig.cogging.periods_per_rev
    g["limit"] = [2.0 * x for x in rig.cogging.torque_Nm]
    g["learn_1_s"] = c.cogging_learn_1_s
    g["rate_min"] = 2.0 * DEG
    g["ripple_max"] = 2.0 * math.pi * 7.0
    g["slow"] = 1.0 / rate / 1.0
    g["on"] = ff.cogging
    pack_motion(p["ahead"], rig)
    pack_foresight(p["foresight"], rig)
    p["singularity_cos"] = rig.limits.singularity_cos
    p["faded_cos"] = 0.4 * rig.limits.singularity_cos
    p["most"] = 2.0 * rig.limits.max_torque_Nm
    p["floor_cos"] = FLOOR * rig.limits.singularity_cos
    p["with_inertia"] = ff.inertia
    p["with_imbalance"] = ff.imbalance
    p["with_los"] = ff.line_of_sight


def _pack_limits(p: np.void, rig: Rig) -> None:
    torque = min(rig.limits.max_torque_Nm, rig.motors.peak_A * rig.motors.torque_constant_Nm_A)
    p["max_torque"] = torque
    for a, name in enumerate(AXES):
        joint = getattr(rig.joints, name)
        p["continuous"][a] = joint.continuous
        p["max_rate"][a] = joint.max_rate_deg_s * DEG
        p["rate_damping"][a] = 0.5
        p["stop_min"][a] = joint.min_deg * DEG
        p["stop_max"][a] = joint.max_deg * DEG
        p["stop_width"][a] = joint.soft_stop_deg * DEG
        p["stop_damping"][a] = 0.6


def _pack_reach(p: np.void, rig: Rig) -> None:
    p["decel"] = 0.25 * rig.limits.max_accel_deg_s2 * DEG
    p["singularity_cos"] = rig.limits.singularity_cos
    for a, name in enumerate(AXES):
        joint = getattr(rig.joints, name)
        p["continuous"][a] = joint.continuous
        p["fastest"][a] = 0.6 * joint.max_rate_deg_s * DEG  # the rest is for the base's motion
        p["low"][a] = (joint.min_deg + joint.soft_stop_deg) * DEG
        p["high"][a] = (joint.max_deg - joint.soft_stop_deg) * DEG


def _pack_feasible(p: np.void, rig: Rig, order: np.ndarray) -> None:
    for a, name in enumerate(AXES):
        joint = getattr(rig.joints, name)
        p["continuous"][a] = joint.continuous
        p["max_rate"][a] = SPEED_SHARE * joint.max_rate_deg_s * DEG
        p["stop_min"][a] = (joint.min_deg + STOP_SHARE * joint.soft_stop_deg) * DEG
        p["stop_max"][a] = (joint.max_deg - STOP_SHARE * joint.soft_stop_deg) * DEG
        p["brake"][a] = BRAKE_SHARE * rig.limits.max_torque_Nm / _carried(rig, a)
    p["gain"] = rig.control.attitude_gain_1_s
    p["floor"] = FLOOR * rig.limits.singularity_cos
    p["slew"] = 2.0 * p["brake"][order[0]] / rig.loop_rate_hz
    p["slow"] = min(1.0 / (BASE_SMOOTH_S * rig.loop_rate_hz), 1.0)
    p["smooth"] = min(1.0 / (TAKEN_SMOOTH_S * rig.loop_rate_hz), 1.0)
    p["near"], p["within"] = rig.limits.singularity_cos, 0.6 * rig.limits.singularity_cos


def _pack_thermal(p: np.void, rig: Rig) -> None:
    m, t = rig.motors, rig.thermal
    p["heat_W_Nm2"] = m.phase_resistance_ohm / m.torque_constant_Nm_A**2
    p["winding_J_K"], p["winding_case_K_W"] = t.winding_J_K, t.winding_to_case_K_W
    p["case_J_K"], p["case_air_K_W"] = t.case_J_K, t.case_to_air_K_W
    p["air_degC"], p["limit_degC"], p["band_K"] = t.air_degC, t.limit_degC - 3.0, 15.0
    lasting_W = 0.5 * (t.limit_degC - t.air_degC) / (t.winding_to_case_K_W + t.case_to_air_K_W)
    p["least"] = min(math.sqrt(lasting_W / p["heat_W_Nm2"]) / rig.limits.max_torque_Nm, 1.0)
    p["follow_1_s"] = 0.5


def _pack_supervisor(p: np.void, rig: Rig, start_armed: bool) -> None:
    safety = rig.safety
    p["self_test_ns"] = 100 * MS
    p["imu_predict_ns"] = int(safety.imu_predict_ms * MS)
    p["imu_hold_ns"] = int(safety.imu_hold_ms * MS)
    p["imu_safe_ns"] = int(safety.imu_safe_ms * MS)
    p["joint_safe_ns"] = int(safety.motor_safe_ms * MS)
    for a, name in enumerate(AXES):  # acts before 1.2 of the joint's own limit
        p["overspeed"][a] = min(safety.runaway_rate_deg_s, 1.1 * getattr(rig.joints, name).max_rate_deg_s) * DEG
    p["arm_rate_max"] = 200.0 * DEG
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
        inertia = _carried(rig, a)
        p["hold_stiffness"][a] = inertia * bandwidth**2
        p["hold_damping"][a] = 2.0 * HOLD_DAMPING * inertia * bandwidth


def _carried(rig: Rig, a: int) -> float:
    """Inertia (kg m²) of the stages that joint a turns, about its axis at the zero pose."""
    order = rig.kinematic_order
    return float(sum(getattr(rig.body, stage).inertia_kg_m2[a] for stage in order[order.index(AXES[a]) :]))


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
        p["max_accel"][a] = rig.limits.max_torque_Nm / _carried(rig, a)


def _pack_watch(p: np.void, rig: Rig) -> None:
    safety, rate = rig.safety, rig.loop_rate_hz
    dt_ms = 1e3 / rate
    p["dt_ns"] = round(dt_ms * MS)
    p["stall_ns"] = int(max(safety.imu_safe_ms, 5.0 * dt_ms) * MS)
    late_ms = max(safety.imu_predict_ms, 1.5e3 / rig.imu.rate_hz + 2.0)
    p["imu_late_ns"] = int(late_ms * MS)
    p["imu_late_max"] = round(safety.imu_safe_ms / dt_ms)
    p["frozen_ticks"] = max(3, round(30.0 / dt_ms))
    fastest = max(getattr(rig.joints, a).max_rate_deg_s for a in AXES) * DEG
    moved = {"torque": 0.015 * rig.limits.max_torque_Nm, "rate": 0.05 * fastest, "angle": 2.0 * DEG}
    p["frozen_sent"] = moved[rig.control.output]
    on_joints = rig.inner_loop is None and rig.control.output != "torque"
    p["joint_late_ns"] = int(2.2 * dt_ms * MS)
    p["joint_late_max"] = round(2.0 * safety.motor_safe_ms / dt_ms) if on_joints else NEVER_TICKS
    if rig.inner_loop is not None:
        p["together"], p["frozen_ticks"], p["frozen_sent"] = 1, max(3, round(150.0 / dt_ms)), 2.0 * DEG
    p["turned_rate"] = 30.0 * DEG
    p["turned_ticks"] = max(2, round((50.0 if rig.inner_loop is None else 150.0) / dt_ms))
    p["bus_sag_V"] = 0.75 * rig.motors.bus_V
    p["bus_cut_V"] = 0.4 * rig.motors.bus_V
    p["follow_err"] = 10.0 * DEG
    p["follow_ticks"] = max(2, round(50.0 / dt_ms))
    p["against_accel"], p["against_share"], p["against_rate"] = 10.0, 0.4, 0.1
    p["against_ticks"] = max(2, round(12.0 / dt_ms))
    p["excused_ticks"] = round(50.0 / dt_ms)
    p["smooth"] = dt_ms / (3.0 + dt_ms)
    p["jump_ticks"] = max(round(25.0 / dt_ms), 3)
    p["base_ticks"] = min(max(round(4.0 / dt_ms), 1), BASE_LINE)
    p["base_jump"] = 0.75 * dt_ms * p["base_ticks"]  # 750 rad/s²: carriers make a tenth of it; motors that jolt, half
