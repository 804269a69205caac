"""Validated config -> the packed PARAMS record of the tick; with pack_control and pack_safety the place for both."""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import Any

import numpy as np

from gimbal.config.calibration import Calibration
from gimbal.config.pack_control import pack_allocation, pack_feasible, pack_limits, pack_loops, pack_reach, pack_thermal
from gimbal.config.pack_safety import pack_supervisor
from gimbal.config.schema import CarrierImu, Inertial, Rig
from gimbal.estimation.profiles import default_params as estimation_params
from gimbal.estimation.profiles import sensor_params
from gimbal.frames import AXES, AXIS_INDEX
from gimbal.kernels.quat import q_from_euler, q_rotate
from gimbal.loop.pipeline import PARAMS
from gimbal.targeting.track_records import default_params as tracker_params
from gimbal.units import DEG, G0, MS

STOP_CLEAR_DEG = 2.0  # framing keeps joints so far from where their soft stops begin
TIGHT_DEG = 0.5  # and leaves them this much where that is more than there is


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
    pack_loops(p, rig)
    pack_allocation(p["allocation"], rig, order)
    pack_limits(p["limits"], rig)
    pack_reach(p["reach"], rig)
    pack_feasible(p["feasible"], rig, order)
    pack_thermal(p["thermal"], rig)
    pack_supervisor(p["supervisor"], rig, start_armed)
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
    modes["stops"]["roll"] = _free(rig, "roll", math.acos(0.4 * limits.singularity_cos) - 2.0 * DEG)
    modes["stops"]["pitch"] = _free(rig, "pitch", math.pi)
    modes["stops"]["max_spin"] = modes["framing"]["max_spin"]
    modes["stops"]["max_spin_accel"] = limits.max_accel_deg_s2 * DEG
    modes["follow_window"] = [w * DEG for w in targeting.follow_window_deg]
    modes["follow_s"] = targeting.follow_s
    modes["lead_room"] = math.atan(targeting.lead_room * camera.sensor_mm[0] / camera.focal_mm)
    modes["lead_s"] = targeting.lead_s
    modes["search"]["half"] = [math.atan(0.5 * side / camera.focal_mm) for side in camera.sensor_mm]
    modes["search"]["most"] = targeting.search_deg * DEG
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
    """How far (rad, either way) framing may take a joint: clear of its soft stop, and no further than ``most``.

    Never 0, which would be no limit.
    """
    joint = getattr(rig.joints, axis)
    if joint.continuous:
        return most
    clear = min(-joint.min_deg, joint.max_deg) - joint.soft_stop_deg - STOP_CLEAR_DEG
    return min(max(clear, TIGHT_DEG) * DEG, most)
