"""The plant's records: PARAMS (constant in a run), STATE (everything that moves) and TRUTH (what a judge may see).

Arrays over joints have the axis index ROLL, PITCH, YAW unless the comment says "chain": then outer to inner.
"""

from __future__ import annotations

import numpy as np

PENDING = 64  # commands on their way to the motors
IMU_RING = 64  # IMU samples not read yet
ENCODER_RING = 128  # substeps of joint history (16 ms at 8 kHz)
FIX_RING = 16  # GNSS fixes on their way
BOX_RING = 16  # camera boxes on their way


def _record(*fields: tuple) -> np.dtype:
    return np.dtype(list(fields), align=True)


# A uniform quintic B-spline inside the flat table: coefficients from `at`, `rows` rows of `channels`.
TABLE = _record(("at", "i8"), ("rows", "i8"), ("channels", "i8"), ("rate_hz", "f8"), ("start_s", "f8"))

FIX_PARAMS = _record(
    ("period_ns", "i8"),
    ("delay_ns", "i8"),
    ("lost", "f8"),
    ("walk_std_m", "f8"),
    ("walk_tau_s", "f8"),
    ("white_m", "f8"),
    ("vel_std_m_s", "f8"),
    ("antenna_B", "f8", 3),
    ("heading_std", "f8"),  # of a second antenna's heading, 0: there is none
    ("baseline_B", "f8", 3),  # unit vector from the first antenna to the second
)

CARRIER_PARAMS = _record(
    ("period_ns", "i8"),  # 0: no IMU on the carrier
    ("lp", "f8", 5),
    ("pos_B", "f8", 3),
    ("gyro_M", "f8", (3, 3)),  # B to I with scale and misalignment
    ("accel_M", "f8", (3, 3)),
    ("gyro_bias", "f8", 3),
    ("accel_bias", "f8", 3),
    ("gyro_noise", "f8"),  # per sample
    ("accel_noise", "f8"),
    ("walk_std", "f8"),
    ("gyro_range", "f8"),
    ("accel_range", "f8"),
)

PARAMS = _record(
    ("h_ns", "i8"),  # substep
    ("h_s", "f8"),
    ("t0_ns", "i8"),
    ("gravity_m_s2", "f8"),
    ("order", "i8", 3),  # chain -> axis index, which is also the coordinate axis (x, y, z)
    # chain arrays
    ("mass_kg", "f8", 3),
    ("inertia", "f8", (3, 3)),  # about the stage's centre, its axes; camera side only when flexible
    ("com_m", "f8", (3, 3)),
    ("origin_m", "f8", (3, 3)),
    # structure
    ("flexible", "u1"),
    ("motor_inertia", "f8", 3),  # motor side of the mode, about the joint axis
    ("flex_Nm_rad", "f8", 3),
    ("flex_Nm_s_rad", "f8", 3),
    # motors
    ("kt_Nm_A", "f8"),
    ("resistance_ohm", "f8"),
    ("bus_V", "f8"),
    ("source_ohm", "f8"),
    ("continuous_A", "f8"),
    ("peak_A", "f8"),
    ("torque_pole", "f8"),  # exp(-h 2 pi bandwidth)
    ("torque_noise_Nm", "f8"),  # input noise whose output through the torque loop has the stated RMS
    ("joint_inertia", "f8", 3),  # at zero pose, for the device's own rate and angle loops
    ("max_rate", "f8", 3),
    ("command_delay_ns", "i8"),
    # thermal
    ("winding_J_K", "f8"),
    ("winding_case_K_W", "f8"),
    ("case_J_K", "f8"),
    ("case_air_K_W", "f8"),
    ("air_degC", "f8"),
    ("limit_degC", "f8"),
    # friction, cable, cogging, stops
    ("coulomb_Nm", "f8"),
    ("breakaway_Nm", "f8"),
    ("stribeck_rad_s", "f8"),
    ("viscous", "f8"),
    ("bristle", "f8"),
    ("bristle_damping", "f8"),
    ("cable_Nm_rad", "f8", 3),
    ("cable_mid", "f8", 3),
    ("hysteresis_Nm", "f8"),
    ("hysteresis_Nm_rad", "f8"),
    ("cog_periods", "f8", 2),
    ("cog_Nm", "f8", 2),
    ("cog_phase", "f8", (3, 2)),
    ("cog_sin", "f8", 3),  # of the second phase less twice the first
    ("cog_cos", "f8", 3),
    ("has_stop", "u1", 3),
    ("stop_min", "f8", 3),
    ("stop_max", "f8", 3),
    ("stop_Nm_rad", "f8"),
    ("stop_Nm_s_rad", "f8"),
    # encoder
    ("encoder_step", "f8"),
    ("encoder_error", "f8"),
    ("encoder_sin", "f8", 3),  # of the error's phase
    ("encoder_cos", "f8", 3),
    ("encoder_delay_ns", "i8"),
    ("encoder_stamp_ns", "i8"),  # how old the device says that its reading is
    ("pll_p", "f8"),
    ("pll_i", "f8"),
    # IMU
    ("imu_period_ns", "i8"),
    ("imu_lp", "f8", 5),
    ("imu_pos_C", "f8", 3),
    ("gyro_M", "f8", (3, 3)),  # C to I with scale and misalignment
    ("accel_M", "f8", (3, 3)),
    ("gyro_bias", "f8", 3),
    ("gyro_bias_K", "f8", 3),  # per K of warm-up
    ("accel_bias", "f8", 3),
    ("accel_bias_K", "f8", 3),
    ("gyro_noise", "f8"),  # per sample
    ("accel_noise", "f8"),
    ("gyro_walk_std", "f8"),
    ("gyro_walk_tau_s", "f8"),
    ("gyro_range", "f8"),
    ("accel_range", "f8"),
    ("gyro_lsb", "f8"),
    ("accel_lsb", "f8"),
    ("imu_warmup_K", "f8"),
    ("imu_warmup_s", "f8"),
    ("mag_period_ns", "i8"),  # 0: no magnetometer
    ("mag_N", "f8", 3),  # the field, uT
    ("mag_M", "f8", (3, 3)),  # C to I with soft iron
    ("mag_hard", "f8", 3),
    ("mag_noise", "f8"),
    ("carrier", CARRIER_PARAMS),
    # receivers, camera boxes
    ("gnss", FIX_PARAMS),
    ("beacon", FIX_PARAMS),
    ("box_period_ns", "i8"),  # 0: none
    ("box_delay_ns", "i8"),
    ("box_std_rad", "f8"),
    ("box_size_m", "f8"),
    ("box_detected", "f8"),
    ("half_width", "f8", 2),  # tangents of the half angles, right and down
    # tables
    ("base", TABLE),  # q_NB (4, not normalised), position N (3)
    ("target", TABLE),  # position N (3); rows 0: none
    ("wind", TABLE),  # torque on roll, pitch, yaw stage (3); rows 0: none
)

_FIX_STATE = _record(
    ("next_ns", "i8"),
    ("head", "i8"),
    ("tail", "i8"),
    ("t_ns", "i8", FIX_RING),
    ("arrival_ns", "i8", FIX_RING),
    ("pos_N", "f8", (FIX_RING, 3)),
    ("vel_N", "f8", (FIX_RING, 3)),
    ("heading", "f8", FIX_RING),
    ("walk", "f8", 3),
    ("rng", "u8", 2),
)

_CARRIER_STATE = _record(
    ("next_ns", "i8"),
    ("head", "i8"),
    ("tail", "i8"),
    ("t_ns", "i8", IMU_RING),
    ("gyro", "f8", (IMU_RING, 3)),
    ("accel", "f8", (IMU_RING, 3)),
    ("lp", "f8", (6, 2)),
    ("walk", "f8", 3),
    ("rng", "u8", 2),
)

STATE = _record(
    ("t_ns", "i8"),
    ("step", "i8"),
    # the base now
    ("q_NB", "f8", 4),
    ("omega_NB_B", "f8", 3),
    ("alpha_NB_B", "f8", 3),
    ("pos_N", "f8", 3),
    ("vel_N", "f8", 3),
    ("acc_N", "f8", 3),
    # joints: camera side (stage) and motor side
    ("angle", "f8", 3),
    ("rate", "f8", 3),
    ("accel", "f8", 3),
    ("motor_angle", "f8", 3),
    ("motor_rate", "f8", 3),
    ("motor_accel", "f8", 3),
    ("omega_NC_C", "f8", 3),
    ("force_C", "f8", 3),  # specific force at the camera stage's origin
    # motor
    ("mode", "i4", 3),
    ("cmd_torque", "f8", 3),
    ("cmd_rate", "f8", 3),
    ("cmd_angle", "f8", 3),
    ("rate_integral", "f8", 3),
    ("torque", "f8", 3),
    ("friction", "f8", 3),
    ("load", "f8", 3),  # all torques on the motor side but the motor's own
    ("bristle", "f8", 3),
    ("hysteresis", "f8", 3),
    ("heat_J", "f8", 3),
    ("winding_degC", "f8", 3),
    ("case_degC", "f8", 3),
    ("fault", "u4", 3),
    ("bus_V", "f8"),
    # commands on their way
    ("pend_head", "i8"),
    ("pend_tail", "i8"),
    ("pend_ns", "i8", PENDING),
    ("pend_mode", "i4", (PENDING, 3)),
    ("pend_torque", "f8", (PENDING, 3)),
    ("pend_rate", "f8", (PENDING, 3)),
    ("pend_angle", "f8", (PENDING, 3)),
    # encoder
    ("enc_angle", "f8", (ENCODER_RING, 3)),
    ("enc_rate", "f8", (ENCODER_RING, 3)),
    ("enc_torque", "f8", (ENCODER_RING, 3)),
    ("pll_angle", "f8", 3),
    ("pll_rate", "f8", 3),
    # IMU
    ("imu_next_ns", "i8"),
    ("imu_head", "i8"),
    ("imu_tail", "i8"),
    ("imu_t_ns", "i8", IMU_RING),
    ("imu_gyro", "f8", (IMU_RING, 3)),
    ("imu_accel", "f8", (IMU_RING, 3)),
    ("imu_clipped", "u1", IMU_RING),
    ("lp", "f8", (6, 2)),
    ("gyro_walk", "f8", 3),
    ("carrier", _CARRIER_STATE),
    # receivers and boxes
    ("gnss", _FIX_STATE),
    ("beacon", _FIX_STATE),
    ("box_next_ns", "i8"),
    ("box_head", "i8"),
    ("box_tail", "i8"),
    ("box_t_ns", "i8", BOX_RING),
    ("box_xy", "f8", (BOX_RING, 2)),
    ("box_std", "f8", BOX_RING),
    # random streams: motor noise, IMU noise, boxes
    ("rng_motor", "u8", 2),
    ("rng_imu", "u8", 2),
    ("rng_box", "u8", 2),
    ("rng_mag", "u8", 2),  # magnetometer and the second antenna
    ("mag_next_ns", "i8"),
    ("mag_t_ns", "i8"),  # of the newest sample, 0: it was read
    ("mag", "f8", 3),
    # scratch of one evaluation, chain index
    ("M", "f8", (3, 3)),
    ("h", "f8", 3),
    ("A", "f8", (3, 3)),
    ("V", "f8", (3, 3)),
    ("W", "f8", (3, 3)),
    ("motor_alpha", "f8", 3),
    ("couple", "f8", (3, 3)),
    ("alpha0_C", "f8", 3),
    ("sine", "f8", 3),  # of the stages' angles, axis index
    ("cosine", "f8", 3),
)

TRUTH = _record(
    ("t_ns", "i8"),
    ("q_NC", "f8", 4),
    ("omega_NC_C", "f8", 3),
    ("camera_pos_N", "f8", 3),
    ("camera_vel_N", "f8", 3),
    ("force_C", "f8", 3),  # specific force at the camera stage's origin, m/s²
    ("has_target", "u1"),
    ("target_pos_N", "f8", 3),
    ("target_vel_N", "f8", 3),
    ("q_NB", "f8", 4),
    ("omega_NB_B", "f8", 3),
    ("base_pos_N", "f8", 3),
    ("base_vel_N", "f8", 3),
    ("base_acc_N", "f8", 3),
    ("joint_angle", "f8", 3),  # camera side
    ("joint_rate", "f8", 3),
    ("motor_angle", "f8", 3),
    ("motor_rate", "f8", 3),
    ("motor_torque", "f8", 3),
    ("friction_torque", "f8", 3),
    ("load_torque", "f8", 3),  # friction, cable, cogging, stops
    ("winding_degC", "f8", 3),
    ("bus_V", "f8"),
    ("driven", "u1", 3),  # the motor follows a torque of the host
)
