"""Parameters and state of the estimator as records, the order of its error states and the bits of its status.

Error state (24): attitude error in N (rad), gyro bias in C (rad/s), velocity in N (m/s), accelerometer bias in C
(m/s²), gyro scale and cross-axis matrix row by row (1), accelerometer scale (1). The attitude error is on the world
side, q_NC = exp(dtheta_N) q_NC_est, so that heading (its z part) decouples from tilt.
"""

from __future__ import annotations

import numpy as np

TH, BG, V, BA, MG, SA = 0, 3, 6, 9, 12, 21  # first index of each part
N = 24

HISTORY = 64  # entries of own velocity and position, for measurements that arrive late
HISTORY_NS = 20_000_000  # between entries: 1.28 s in all

# NAV.status
INITIALISED = 1
HEADING = 2  # the world frame is tied to north
REST = 4
GNSS = 8  # a fix was used in the last 3 s
GNSS_GATED = 16  # the newest fix was rejected
CLIPPED = 32  # the gyro sits at its range
FALLBACK = 64  # the filter was judged unfit and started again from the complementary filter
GAP = 128  # samples were missing
NON_FINITE = 256  # a sample was not a number
MAG_REJECTED = 512
COARSE = 1024  # tilt from the mean specific force since the start: first second

PARAMS_FIELDS: list[tuple] = [
    ("gravity", "f8"),  # m/s²
    ("period", "f8"),  # s between covariance epochs
    # process noise
    ("gyro_noise", "f8"),  # rad/s/√Hz
    ("gyro_rate_noise", "f8"),  # √s: attitude noise per rad/s of rate, scale errors that are not linear
    ("accel_noise", "f8"),  # m/s²/√Hz, vibration included
    ("vibration_noise", "f8"),  # √s: velocity noise per m/s² of spread inside an epoch
    ("gyro_bias_walk", "f8"),  # rad/s/√s
    ("accel_bias_walk", "f8"),  # m/s²/√s
    ("gyro_scale_walk", "f8"),  # 1/√s
    ("clip_noise", "f8"),  # rad/√s while the gyro is at its range
    ("gyro_range", "f8"),  # rad/s
    # initial standard deviations
    ("tilt_std0", "f8"),  # rad, after the coarse alignment
    ("gyro_bias_std0", "f8"),
    ("accel_bias_std0", "f8"),
    ("gyro_scale_std0", "f8"),
    ("gyro_cross_std0", "f8"),
    ("accel_scale_std0", "f8"),
    ("coarse_s", "f8"),  # length of the coarse alignment
    # velocity assumed zero, without GNSS
    ("zero_vel_std", "f8"),  # m/s per epoch of `period`
    ("norm_gate", "f8"),  # m/s²: |f| - g beyond which zero velocity counts less, 0 = off
    # rest
    ("rest_s", "f8"),
    ("rest_gyro", "f8"),  # rad/s
    ("rest_accel", "f8"),  # m/s²
    ("rest_rate_max", "f8"),  # rad/s: a mean rate above this is no rest
    ("rest_vel_std", "f8"),
    ("rest_gyro_std", "f8"),
    # GNSS
    ("gnss_std_min", "f8"),  # m/s, floor of the velocity's standard deviation
    ("gnss_gate", "f8"),  # NIS of a fix (3 degrees of freedom) above which it is weighted down
    ("gnss_latency_ns", "i8"),  # added to what the fix's own time stamp says
    ("gnss_timeout_s", "f8"),  # without a fix this long: zero velocity again
    ("antenna_B", "f8", 3),  # m, from the IMU
    ("course_std", "f8"),  # rad: heading against course, 0 = never from course
    ("course_speed", "f8"),  # m/s, least for it
    ("heading_valid_std", "f8"),  # rad
    # magnetometer
    ("mag_std", "f8"),  # rad per epoch
    ("mag_norm_tol", "f8"),  # relative deviation of the field's norm that doubles the sigma
    ("mag_dip_tol", "f8"),  # rad, likewise of the dip
    ("mag_ref_tau", "f8"),  # s, how slowly the reference norm and dip are learned
    ("bleed_s", "f8"),  # over which a correction reaches the output
    # joints
    ("order", "i8", 3),  # axis index, outer (base) to inner (camera)
    ("joint_bandwidth", "f8"),  # rad/s
    ("dt", "f8"),  # s, the tick
]
ESTIMATION_PARAMS = np.dtype(PARAMS_FIELDS, align=True)

ESTIMATION_STATE = np.dtype(
    [
        # the estimate at the newest sample
        ("status", "u4"),
        ("started", "u1"),
        ("t_ns", "i8"),
        ("age_s", "f8"),  # since the start
        ("q", "f8", 4),
        ("bg", "f8", 3),
        ("v", "f8", 3),
        ("ba", "f8", 3),
        ("mg", "f8", (3, 3)),
        ("sa", "f8", 3),
        ("omega", "f8", 3),  # corrected, newest sample
        ("force", "f8", 3),
        ("gyro_raw", "f8", 3),  # newest sample as it came
        ("repeats", "i8", 3),  # equal gyro samples in a row: a clipped axis repeats itself
        # covariance, at the last epoch
        ("P", "f8", (N, N)),
        ("W", "f8", (6, N)),
        ("h", "f8", N),
        ("ph", "f8", N),
        ("dx", "f8", N),
        ("heading_var", "f8"),  # rad², of the frame's own heading, beside P
        # integrals since the last epoch
        ("T", "f8"),
        ("iR", "f8", (3, 3)),  # R
        ("iRw", "f8", (3, 9)),  # R_ij omega_k at [i, 3 j + k]
        ("iRa", "f8", (3, 3)),  # R_ij f_j
        ("iF", "f8", 3),  # R f
        ("iw", "f8", 3),  # raw rate
        ("if", "f8", 3),  # raw specific force
        ("iw2", "f8"),
        ("if2", "f8"),
        ("extra_q", "f8"),  # rad², attitude noise of gaps and clipping
        # the epoch being worked on
        ("phase", "i8"),  # 0 collecting, 1 update due, 2 heading update due
        ("epoch_ns", "i8"),
        ("epoch_T", "f8"),
        ("epoch_w", "f8", 3),  # mean raw rate
        ("epoch_f", "f8", 3),
        ("epoch_f2", "f8"),  # variance inside it
        ("epoch_d", "f8", 3),  # dead-reckoned velocity then
        # coarse alignment
        ("coarse_F", "f8", 3),
        # rest
        ("rest_t", "f8"),
        ("rest_w", "f8", 3),
        ("rest_f", "f8", 3),
        # dead reckoning without corrections, and its history
        ("d", "f8", 3),
        ("dp", "f8", 3),
        ("ring_n", "i8"),
        ("ring_last_ns", "i8"),
        ("ring_ns", "i8", HISTORY),
        ("ring_d", "f8", (HISTORY, 3)),
        ("ring_u", "f8", (HISTORY, 3)),  # velocity of the antenna against the IMU
        ("ring_dp", "f8", (HISTORY, 3)),
        ("lever_v", "f8", 3),
        # GNSS
        ("gnss_pending", "u1"),
        ("gnss_ns", "i8"),
        ("gnss_last_ns", "i8"),  # newest fix that was used
        ("gnss_vel", "f8", 3),
        ("gnss_pos", "f8", 3),
        ("gnss_pos_std", "f8"),
        ("gnss_std", "f8"),
        ("gnss_r", "f8", 3),
        ("gnss_nis", "f8"),
        ("gnss_bad_run", "i8"),
        ("gnss_used", "u4"),
        ("gnss_rejected", "u4"),
        ("course_x", "f8", 3),  # the axis that is taken to lie along the course, in N as estimated
        # alignment by GNSS velocity
        ("align_B", "f8", (3, 3)),
        ("align_ns", "i8"),
        ("align_d", "f8", 3),
        ("align_vel", "f8", 3),
        ("align_info", "f8"),
        ("align_n", "i8"),
        ("align_K", "f8", (4, 4)),
        # position, beside the filter
        ("pos", "f8", 3),
        ("pos_var", "f8"),
        # magnetometer
        ("mag_pending", "u1"),
        ("mag_n", "i8"),
        ("mag_N", "f8", 3),  # sum of the field in N since the last use
        ("mag_norm", "f8"),
        ("mag_dip", "f8"),
        ("mag_w", "f8"),
        ("mag_peak", "f8"),
        ("mag_bad_t", "f8"),
        # complementary filter, independent, and the blend after a fall-back
        ("cf_q", "f8", 4),
        ("cf_phi", "f8", 3),
        ("cf_bg", "f8", 3),
        ("q_out", "f8", 4),  # the newest output
        ("off", "f8", 3),  # rotation vector from the estimate to it, in N
        ("resets", "u4"),
        ("chol", "f8", (N, N)),
        ("check_n", "i8"),
        # joints
        ("joint_t_ns", "i8", 3),
        ("joint_seen", "u1", 3),
        ("joint_angle", "f8", 3),
        ("joint_rate", "f8", 3),
        ("joint_acc", "f8", 3),
    ],
    align=True,
)
