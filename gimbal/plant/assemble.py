"""From a rig's config and a motion to the plant's records: PARAMS, STATE and the flat table."""

from __future__ import annotations

import math

import numpy as np

from gimbal.config.scenario import Errors
from gimbal.config.schema import Body, CarrierImu, Fixes, Rig
from gimbal.frames import AXIS_INDEX, PITCH, ROLL
from gimbal.kernels.filters import lowpass_coefficients
from gimbal.plant.motion import Motion
from gimbal.plant.noise import stream
from gimbal.plant.spline import PAD, coefficients
from gimbal.plant.state import PARAMS, STATE
from gimbal.units import DEG, G0

SUBSTEP_NS = 125_000  # 8 kHz
# Assumed where the reference rig is silent, see docs/plant.md.
STOP_NM_RAD, STOP_NM_S_RAD = 250.0, 1.5
HYSTERESIS_NM_RAD = 0.5
ENCODER_PLL_HZ = 100.0
GYRO_WALK_TAU_S = 100.0
IMU_WARM_UP_K = 10.0
FIELD_UT = (21.8, 1.1, 42.6)  # near 46.5 N 7.8 E, 2026, from the World Magnetic Model 2025, rounded
MAG_NOISE_UT = 0.3
GYRO_BITS, ACCEL_BITS = 19, 18  # of an IMU word (ICM-42688-P data sheet, 20-bit format: 131 LSB per deg/s, 8192 per g)


def params(rig: Rig, seed: int, t0_ns: int, substep_ns: int = SUBSTEP_NS, errors: Errors | None = None) -> np.ndarray:
    """PARAMS (one element) of a rig with its seeded sensor errors; tables are added by :func:`add_tables`."""
    errors = errors or Errors()
    record = np.zeros(1, PARAMS)
    p = record[0]
    p["h_ns"], p["h_s"], p["t0_ns"] = substep_ns, substep_ns * 1e-9, t0_ns
    p["gravity_m_s2"] = rig.estimation.gravity_m_s2
    p["order"] = [AXIS_INDEX[a] for a in rig.kinematic_order]
    _body(p, rig)
    _motors(p, rig)
    _losses(p, rig, np.random.default_rng([seed, 1]))
    _encoder(p, rig, np.random.default_rng([seed, 2]), errors.encoder_late_ms)
    _imu(p, rig, np.random.default_rng([seed, 3]), errors)
    _magnetometer(p, rig, errors)
    if rig.carrier_imu is not None:
        _carrier_imu(p["carrier"], rig.carrier_imu, np.random.default_rng([seed, 5]), p["h_s"])
    _receiver(p["gnss"], rig.gnss)
    if errors.antenna_m is not None:
        p["gnss"]["antenna_B"] = errors.antenna_m
    _receiver(p["beacon"], rig.beacon)
    camera = rig.camera
    p["half_width"] = [s / 2.0 / camera.focal_mm for s in camera.sensor_mm]
    p["box_delay_ns"] = round(camera.box_delay_ms * 1e6)
    p["box_std_rad"], p["box_size_m"] = camera.box_angle_deg * DEG, camera.box_size_m
    p["box_detected"] = camera.box_detected
    return record


def zero_pose_inertia(rig: Rig) -> np.ndarray:
    """(3,) inertia about each joint's axis (roll, pitch, yaw) of all that it turns, joints at zero."""
    result = np.zeros(3)
    at = np.zeros(3)
    stages: list[tuple[Body, np.ndarray]] = []
    for name in rig.kinematic_order:
        body: Body = getattr(rig.body, name)
        at = at + np.array(body.origin_m)
        stages.append((body, at.copy()))
    for i, name in enumerate(rig.kinematic_order):
        k = AXIS_INDEX[name]
        for body, origin in stages[i:]:
            arm = origin + np.array(body.com_m) - stages[i][1]
            arm[k] = 0.0
            result[k] += body.inertia_kg_m2[k] + body.mass_kg * float(arm @ arm)
    return result


def _body(p: np.void, rig: Rig) -> None:
    joint = zero_pose_inertia(rig)
    p["joint_inertia"] = joint
    share = rig.structure.motor_inertia_share
    p["flexible"] = share > 0.0
    for chain, name in enumerate(rig.kinematic_order):
        k = AXIS_INDEX[name]
        body: Body = getattr(rig.body, name)
        p["mass_kg"][chain] = body.mass_kg
        p["inertia"][chain] = body.inertia_kg_m2
        p["com_m"][chain] = body.com_m
        p["origin_m"][chain] = body.origin_m
        if share > 0.0:
            motor = min(share * joint[k], 0.8 * body.inertia_kg_m2[k])
            load = joint[k] - motor
            w = 2.0 * math.pi * rig.structure.mode_hz[k]
            reduced = motor * load / (motor + load)
            p["motor_inertia"][k] = motor
            p["inertia"][chain, k] -= motor
            p["flex_Nm_rad"][k] = w * w * reduced
            p["flex_Nm_s_rad"][k] = 2.0 * rig.structure.damping_ratio * w * reduced


def _motors(p: np.void, rig: Rig) -> None:
    m, t = rig.motors, rig.thermal
    p["kt_Nm_A"], p["resistance_ohm"] = m.torque_constant_Nm_A, m.phase_resistance_ohm
    p["bus_V"], p["source_ohm"] = m.bus_V, m.source_resistance_ohm
    p["continuous_A"], p["peak_A"] = m.continuous_A, m.peak_A
    pole = math.exp(-p["h_s"] * 2.0 * math.pi * m.torque_bandwidth_hz)
    p["torque_pole"] = pole
    p["torque_noise_Nm"] = m.torque_noise_Nm_rms * math.sqrt((1.0 + pole) / (1.0 - pole))
    for name in rig.kinematic_order:
        p["max_rate"][AXIS_INDEX[name]] = getattr(rig.joints, name).max_rate_deg_s * DEG
    p["command_delay_ns"] = round(rig.delay.sample_to_torque_ms * 1e6)
    p["winding_J_K"], p["winding_case_K_W"] = t.winding_J_K, t.winding_to_case_K_W
    p["case_J_K"], p["case_air_K_W"] = t.case_J_K, t.case_to_air_K_W
    p["air_degC"], p["limit_degC"] = t.air_degC, t.limit_degC


def _losses(p: np.void, rig: Rig, rng: np.random.Generator) -> None:
    f, c = rig.friction, rig.cogging
    p["coulomb_Nm"], p["breakaway_Nm"], p["stribeck_rad_s"] = f.coulomb_Nm, f.breakaway_Nm, f.stribeck_rad_s
    p["viscous"], p["bristle"] = f.viscous_Nm_s_rad, f.bristle_Nm_rad
    p["bristle_damping"] = f.bristle_damping_Nm_s_rad
    p["cable_Nm_rad"] = rig.cable.spring_Nm_rad
    p["hysteresis_Nm"], p["hysteresis_Nm_rad"] = rig.cable.hysteresis_Nm, HYSTERESIS_NM_RAD
    p["cog_periods"], p["cog_Nm"] = c.periods_per_rev, c.torque_Nm
    p["cog_phase"] = rng.uniform(0.0, 2.0 * math.pi, (3, 2))
    twice = p["cog_phase"][:, 1] - 2.0 * p["cog_phase"][:, 0]
    p["cog_sin"], p["cog_cos"] = np.sin(twice), np.cos(twice)
    p["stop_Nm_rad"], p["stop_Nm_s_rad"] = STOP_NM_RAD, STOP_NM_S_RAD
    for name in rig.kinematic_order:
        k, joint = AXIS_INDEX[name], getattr(rig.joints, name)
        p["has_stop"][k] = not joint.continuous
        p["stop_min"][k], p["stop_max"][k] = joint.min_deg * DEG, joint.max_deg * DEG
        p["cable_mid"][k] = 0.0 if joint.continuous else 0.5 * (joint.min_deg + joint.max_deg) * DEG


def _encoder(p: np.void, rig: Rig, rng: np.random.Generator, late_ms: float) -> None:
    e = rig.encoder
    p["encoder_step"] = 2.0 * math.pi / 2**e.bits
    p["encoder_error"] = e.once_per_turn_error_deg * DEG
    phase = rng.uniform(0.0, 2.0 * math.pi, 3)
    p["encoder_sin"], p["encoder_cos"] = np.sin(phase), np.cos(phase)
    p["encoder_stamp_ns"] = round(e.delay_ms * 1e6)
    p["encoder_delay_ns"] = round((e.delay_ms + late_ms) * 1e6)
    w = 2.0 * math.pi * ENCODER_PLL_HZ
    p["pll_p"], p["pll_i"] = 2.0 * w, w * w


def euler_matrix(rpy_deg: tuple[float, float, float]) -> np.ndarray:
    """Rotation of intrinsic Z-Y-X angles: takes vectors of the turned frame to the unturned one."""
    r, p, y = (a * DEG for a in rpy_deg)
    cr, sr, cp, sp, cy, sy = math.cos(r), math.sin(r), math.cos(p), math.sin(p), math.cos(y), math.sin(y)
    x = np.array([[1, 0, 0], [0, cr, -sr], [0, sr, cr]])
    yy = np.array([[cp, 0, sp], [0, 1, 0], [-sp, 0, cp]])
    z = np.array([[cy, -sy, 0], [sy, cy, 0], [0, 0, 1]])
    return z @ yy @ x


def _imu(p: np.void, rig: Rig, rng: np.random.Generator, errors: Errors) -> None:
    u = rig.imu
    p["imu_period_ns"] = round(1e9 / u.rate_hz)
    p["imu_lp"] = lowpass_coefficients(u.bandwidth_hz, 1.0 / p["h_s"])
    p["imu_pos_C"] = u.position_m if errors.imu_position_m is None else errors.imu_position_m
    mount = euler_matrix(u.mount_rpy_deg if errors.mount_rpy_deg is None else errors.mount_rpy_deg).T
    tilt, accel_tilt = u.misalignment_deg * DEG, u.accel_misalignment_deg * DEG
    p["gyro_M"] = (np.eye(3) + np.diag(rng.normal(0, u.gyro_scale, 3)) + _skew(rng.normal(0, tilt, 3))) @ mount
    p["gyro_M"] = np.diag(1.0 + np.array(errors.gyro_scale)) @ p["gyro_M"]
    p["accel_M"] = (np.eye(3) + np.diag(rng.normal(0, u.accel_scale, 3)) + _skew(rng.normal(0, accel_tilt, 3))) @ mount
    p["accel_M"] = np.diag(1.0 + np.array(errors.accel_scale)) @ p["accel_M"]
    p["gyro_bias"] = rng.normal(0, u.gyro_bias_deg_s * DEG, 3) + np.array(errors.gyro_bias_deg_s) * DEG
    p["accel_bias"] = rng.normal(0, u.accel_bias_mg * 1e-3 * G0, 3) + np.array(errors.accel_bias_mg) * 1e-3 * G0
    p["gyro_bias_K"] = np.array(errors.gyro_bias_deg_s_K) * DEG
    p["accel_bias_K"] = rng.normal(0, u.accel_bias_mg_K * 1e-3 * G0, 3)
    p["gyro_noise"] = u.gyro_noise_deg_s_rtHz * DEG * math.sqrt(0.5 * u.rate_hz)
    p["accel_noise"] = u.accel_noise_ug_rtHz * 1e-6 * G0 * math.sqrt(0.5 * u.rate_hz)
    p["gyro_walk_std"] = u.gyro_in_run_deg_h / 3600.0 * DEG
    p["gyro_walk_tau_s"] = GYRO_WALK_TAU_S
    p["gyro_range"], p["accel_range"] = u.gyro_range_deg_s * DEG, u.accel_range_g * G0
    p["gyro_lsb"] = p["gyro_range"] / 2 ** (GYRO_BITS - 1)
    p["accel_lsb"] = p["accel_range"] / 2 ** (ACCEL_BITS - 1)
    p["imu_warmup_K"], p["imu_warmup_s"] = IMU_WARM_UP_K, errors.warm_up_s


def _carrier_imu(c: np.void, u: CarrierImu, rng: np.random.Generator, h_s: float) -> None:
    c["period_ns"] = round(1e9 / u.rate_hz)
    c["lp"] = lowpass_coefficients(u.bandwidth_hz, 1.0 / h_s)
    c["pos_B"] = u.position_m
    mount = euler_matrix(u.mount_rpy_deg).T
    tilt, accel_tilt = u.misalignment_deg * DEG, u.accel_misalignment_deg * DEG
    c["gyro_M"] = (np.eye(3) + np.diag(rng.normal(0, u.gyro_scale, 3)) + _skew(rng.normal(0, tilt, 3))) @ mount
    c["accel_M"] = (np.eye(3) + np.diag(rng.normal(0, u.accel_scale, 3)) + _skew(rng.normal(0, accel_tilt, 3))) @ mount
    c["gyro_bias"] = rng.normal(0, u.gyro_bias_deg_s * DEG, 3)
    c["accel_bias"] = rng.normal(0, u.accel_bias_mg * 1e-3 * G0, 3)
    c["gyro_noise"] = u.gyro_noise_deg_s_rtHz * DEG * math.sqrt(0.5 * u.rate_hz)
    c["accel_noise"] = u.accel_noise_ug_rtHz * 1e-6 * G0 * math.sqrt(0.5 * u.rate_hz)
    c["walk_std"] = u.gyro_in_run_deg_h / 3600.0 * DEG
    c["gyro_range"], c["accel_range"] = u.gyro_range_deg_s * DEG, u.accel_range_g * G0


def _magnetometer(p: np.void, rig: Rig, errors: Errors) -> None:
    u = rig.imu
    p["mag_period_ns"] = round(1e9 / u.mag_rate_hz) if u.mag_rate_hz > 0.0 else 0
    mount = euler_matrix(u.mount_rpy_deg if errors.mount_rpy_deg is None else errors.mount_rpy_deg).T
    p["mag_N"], p["mag_noise"] = FIELD_UT, MAG_NOISE_UT
    p["mag_M"] = np.array(errors.mag_soft) @ mount
    p["mag_hard"] = errors.mag_hard_uT


def _skew(v: np.ndarray) -> np.ndarray:
    return np.array([[0, -v[2], v[1]], [v[2], 0, -v[0]], [-v[1], v[0], 0]])


def _receiver(c: np.void, fixes: Fixes) -> None:
    c["period_ns"] = round(1e9 / fixes.rate_hz)
    c["delay_ns"] = round(fixes.delay_ms * 1e6)
    c["lost"] = fixes.lost
    c["walk_std_m"], c["walk_tau_s"] = fixes.pos_walk_m, fixes.pos_walk_tau_s
    c["white_m"], c["vel_std_m_s"] = fixes.pos_white_m, fixes.vel_m_s
    c["antenna_B"] = fixes.antenna_m
    c["heading_std"] = fixes.heading_std_deg * DEG
    c["baseline_B"] = [math.cos(fixes.baseline_deg * DEG), math.sin(fixes.baseline_deg * DEG), 0.0]


def state(p: np.void, seed: int, t0_ns: int) -> np.ndarray:
    """STATE (one element) at rest, joints at zero, every random stream seeded."""
    record = np.zeros(1, STATE)
    s = record[0]
    s["t_ns"] = t0_ns
    s["bus_V"] = p["bus_V"]
    s["winding_degC"] = s["case_degC"] = p["air_degC"]
    s["imu_next_ns"] = t0_ns
    s["rng_motor"], s["rng_imu"] = stream(seed, "motor"), stream(seed, "imu")
    s["rng_box"], s["rng_mag"] = stream(seed, "box"), stream(seed, "mag")
    s["mag_next_ns"] = t0_ns
    s["carrier"]["rng"], s["carrier"]["next_ns"] = stream(seed, "carrier"), t0_ns
    rng = np.random.default_rng([seed, 4])
    for name, c in (("gnss", p["gnss"]), ("beacon", p["beacon"])):
        s[name]["rng"] = stream(seed, name)
        s[name]["walk"] = rng.normal(0.0, c["walk_std_m"], 3)
        s[name]["next_ns"] = t0_ns
    s["box_next_ns"] = t0_ns
    return record


def add_tables(p: np.void, motion: Motion) -> np.ndarray:
    """Spline coefficients of a motion in one flat array; places and sizes go into the params."""
    parts: list[np.ndarray] = []
    at = 0
    channels = {
        "base": (np.hstack([motion.q_NB, motion.pos_N]), motion.rate_hz),
        "target": (motion.target_N, motion.target_rate_hz),
        "wind": (motion.wind_Nm, motion.wind_rate_hz),
    }
    for name, (samples, rate_hz) in channels.items():
        if samples is None:
            continue
        table = p[name]
        table["at"], table["rows"], table["channels"] = at, samples.shape[0], samples.shape[1]
        table["rate_hz"], table["start_s"] = rate_hz, -PAD / rate_hz
        parts.append(coefficients(samples).ravel())
        at += parts[-1].size
    return np.concatenate(parts)


def level_joints(p: np.void, q_NB: np.ndarray, omega_NB_B: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Joint angles and rates (roll, pitch, yaw) for a level camera along the base's heading, still in N.

    Angles by damped Gauss-Newton on the joint axes, for any kinematic order.
    """
    w, x, y, z = q_NB
    heading = math.atan2(2.0 * (x * y + w * z), 1.0 - 2.0 * (y * y + z * z))
    R_NB = quaternion_matrix(q_NB)
    wanted_B = R_NB.T @ euler_matrix((0.0, 0.0, heading / DEG))
    angle = np.zeros(3)
    axes, R_BC = _axes(p, angle)
    for _ in range(50):
        error = R_BC.T @ wanted_B
        step = 0.5 * np.array([error[2, 1] - error[1, 2], error[0, 2] - error[2, 0], error[1, 0] - error[0, 1]])
        angle += np.linalg.solve(axes.T @ axes + 1e-9 * np.eye(3), axes.T @ (R_BC @ step))
        angle = (angle + math.pi) % (2.0 * math.pi) - math.pi
        axes, R_BC = _axes(p, angle)
        if float(np.abs(step).max()) < 1e-13:
            break
    for k in (ROLL, PITCH):
        if p["has_stop"][k]:
            angle[k] = min(max(angle[k], p["stop_min"][k]), p["stop_max"][k])
    rate = -np.linalg.solve(axes.T @ axes + 1e-6 * np.eye(3), axes.T @ omega_NB_B)
    return angle, rate


def _axes(p: np.void, angle: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Joint axes in B as columns (roll, pitch, yaw) and R_BC."""
    R = np.eye(3)
    axes = np.zeros((3, 3))
    for k in p["order"]:
        axes[:, k] = R[:, k]
        deg = [0.0, 0.0, 0.0]
        deg[k] = angle[k] / DEG
        R = R @ euler_matrix((deg[0], deg[1], deg[2]))
    return axes, R


def quaternion_matrix(q: np.ndarray) -> np.ndarray:
    w, x, y, z = q
    return np.array(
        [
            [1 - 2 * (y * y + z * z), 2 * (x * y - w * z), 2 * (x * z + w * y)],
            [2 * (x * y + w * z), 1 - 2 * (x * x + z * z), 2 * (y * z - w * x)],
            [2 * (x * z - w * y), 2 * (y * z + w * x), 1 - 2 * (x * x + y * y)],
        ]
    )
