"""Parameters and state of the estimator as records, the order of its error states and the bits of its status.

Error state (21): attitude error in N (rad), gyro bias in C (rad/s), velocity in N (m/s), accelerometer bias in C
(m/s²), gyro scale and cross-axis matrix row by row (1). The attitude error is on the world side,
q_NC = exp(dtheta_N) q_NC_est, so that heading (its z part) decouples from tilt.

What belongs together lies in one flat array with named first indices: one loop then serves where a dozen fields
would each be compiled by themselves.
"""

from __future__ import annotations

import numpy as np

TH, BG, V, BA, MG = 0, 3, 6, 9, 12  # first index of each part of the error state
N = 21

HISTORY = 64  # entries of own motion, for measurements that arrive late
HISTORY_NS = 20_000_000  # between entries: 1.28 s in all

# NAV.status
INITIALISED = 1
HEADING = 2  # the world frame is tied to north
REST = 4
GNSS = 8  # a fix was used within the profile's time-out
GNSS_GATED = 16  # the newest fix was rejected or weighted down
CLIPPED = 32  # the gyro sits at its range
FALLBACK = 64  # the filter was judged unfit and started again from the complementary filter
GAP = 128  # samples were missing
NON_FINITE = 256  # a sample was not a number
MAG_REJECTED = 512  # the field is disturbed: heading runs on the gyro
COARSE = 1024  # tilt from the mean specific force since the start: first moments
CARRIED = 2048  # the camera's samples stay away: attitude and rate are the carrier's, through the joints
APART = 4096  # the two IMUs' attitudes disagree beyond what their errors can be: the camera's counts

# integrals since the last epoch, in ESTIMATION_STATE["sums"]
I_F, I_W, I_A, I_W2, I_A2, I_Q, I_T = 0, 3, 6, 9, 10, 11, 12  # R f, raw rate, raw force, |w|², |f|², extra noise, time
SUMS = 13
# own motion, in "track" and each entry of "ring": velocity without corrections, arm to the antenna (in "then" its
# rate of change: the antenna's velocity against the IMU's), position, horizontal part of the line between two antennas
K_D, K_U, K_P, K_L = 0, 3, 6, 9
TRACK = 11
# the newest fix, in "fix"
X_VEL, X_POS, X_VEL_STD, X_POS_STD = 0, 3, 6, 7

ESTIMATION_PARAMS = np.dtype(
    [
        ("dt", "f8"),  # s between IMU samples, or the tick
        ("gravity", "f8"),  # m/s²
        ("point_share", "f8"),  # 0: a gyro sample is the mean since the one before, 0.5: the rate at its instant
        ("period", "f8"),  # s between covariance epochs
        ("std0", "f8", N),  # initial standard deviation of each error state
        ("walk", "f8", N),  # variance a second that each error state gains
        ("bound", "f8", N),  # an estimate beyond it is no sensor's error: the filter is unfit
        ("gyro_rate_noise", "f8"),  # √s: attitude noise per rad/s of rate, what a constant matrix doesn't explain
        ("vibration_noise", "f8"),  # √s: velocity noise per m/s² of spread of the force inside an epoch
        ("clip_noise", "f8"),  # rad/√s while the gyro is at its range
        ("gyro_range", "f8"),  # rad/s
        ("coarse_s", "f8"),  # length of the coarse alignment
        ("zero_vel_std", "f8"),  # m/s per epoch: how loosely velocity is zero without GNSS
        ("norm_gate", "f8"),  # m/s²: |f| - g beyond which zero velocity counts less, 0 = off
        ("rest_s", "f8"),  # quiet this long is rest
        ("rest_gyro", "f8"),  # rad/s
        ("rest_accel", "f8"),  # m/s²
        ("rest_rate_max", "f8"),  # rad/s: a mean rate above this is no rest
        ("rest_vel_std", "f8"),  # m/s per epoch
        ("rest_gyro_std", "f8"),  # rad/s per epoch
        ("gnss_std_min", "f8"),  # m/s, floor of a fix's standard deviation
        ("gnss_gate", "f8"),  # NIS of a fix (3 degrees of freedom) above which it is weighted down
        ("gnss_latency_ns", "i8"),  # the fix is older than its own time stamp says by this
        ("gnss_latency_std", "f8"),  # s: how wrong that may be; it is estimated where above 0
        ("gnss_timeout_s", "f8"),  # without a fix this long: zero velocity again
        ("antenna_B", "f8", 3),  # m, in B, from the outer joint's bearing
        ("origin_m", "f8", (3, 3)),  # of each stage in the one before it, outer to inner
        ("imu_C", "f8", 3),  # m, of the IMU in the camera stage
        ("course_std", "f8"),  # rad: heading against course, 0 = never from course
        ("course_speed", "f8"),  # m/s, least for it
        ("heading_valid_std", "f8"),  # rad
        ("line_B", "f8", 3),  # unit vector from the first antenna to the second
        ("declination", "f8"),  # rad, of the field, east positive
        ("mag_std", "f8"),  # rad of a second of undisturbed field
        ("mag_norm_tol", "f8"),  # relative deviation of the field's norm that counts as one sigma more
        ("mag_dip_tol", "f8"),  # rad, likewise of the dip
        ("mag_tau_s", "f8"),  # how slowly the reference norm and dip are learned
        ("mag_gate", "f8"),  # rad: an innovation beyond it counts less
        ("bleed_s", "f8"),  # over which a correction reaches the output, 0 = at once
        ("order", "i8", 3),  # axis index, outer (base) to inner (camera)
        ("joint_bandwidth", "f8"),  # rad/s
    ],
    align=True,
)

ESTIMATION_STATE = np.dtype(
    [
        ("status", "u4"),
        ("started", "u1"),
        ("settled", "u1"),
        ("t_ns", "i8"),  # of the newest sample: the estimate is for it
        ("age_s", "f8"),  # since the start
        ("q", "f8", 4),  # q_NC
        ("x", "f8", N),  # bias, velocity, ... at the index of their errors; the first three stay 0
        ("pos", "f8", 3),
        ("pos_var", "f8"),
        ("heading_var", "f8"),  # rad², of the frame's own heading, beside P
        ("omega", "f8", 3),  # corrected rate and specific force of the newest sample
        ("force", "f8", 3),
        ("raw", "f8", 6),  # that sample as it came
        ("repeats", "i8"),  # samples in a row in which a fast axis repeated itself: it is clipped
        # covariance at the last epoch, transition since then, scratch
        ("P", "f8", (N, N)),
        ("F", "f8", (6, N)),
        ("W", "f8", (N, N)),
        ("h", "f8", N),
        ("ph", "f8", N),
        ("dx", "f8", N),
        ("sums", "f8", SUMS),
        # the epoch being worked on
        ("phase", "i8"),
        ("checks", "i8"),
        ("epoch_ns", "i8"),
        ("epoch", "f8", SUMS),  # means of the sums; [I_A2] the variance of the force inside it
        ("epoch_d", "f8", 3),
        ("coarse_F", "f8", 3),
        ("rest_t", "f8"),
        ("rest_mean", "f8", 6),
        # own motion and its history
        ("track", "f8", TRACK),
        ("ring_n", "i8"),
        ("ring_last_ns", "i8"),
        ("ring_ns", "i8", HISTORY),
        ("ring", "f8", (HISTORY, TRACK)),
        ("then", "f8", TRACK),  # what the history says of the fix's moment
        # GNSS
        ("fix_pending", "u1"),
        ("fix_ns", "i8"),
        ("fix_used_ns", "i8"),
        ("fix", "f8", 8),
        ("fix_r", "f8", 3),
        ("fix_nis", "f8"),
        ("nis_mean", "f8"),
        ("latency", "f8"),  # s, estimated beyond gnss_latency_ns, and its variance
        ("latency_var", "f8"),
        ("then_accel", "f8", 3),  # own acceleration in N at the fix's moment
        ("fix_bad_run", "i8"),
        ("fixes_used", "u4"),
        ("fixes_rejected", "u4"),
        ("nose_N", "f8", 3),  # the axis taken to lie along the course
        # alignment by GNSS velocity
        ("heading_step", "f8"),  # rad, by which N was turned since the last output
        ("align_n", "i8"),
        ("align_ns", "i8"),
        ("align_last", "f8", 6),
        ("align_B", "f8", (3, 3)),
        ("align_C", "f8", (3, 3)),
        ("align_D", "f8", (3, 3)),
        ("align_K", "f8", (4, 4)),
        # magnetometer
        ("mag_sum", "f8", 4),
        ("mag_ref", "f8", 3),  # norm, dip, seconds learned
        ("mag_near", "f8", 2),  # norm and dip of late
        ("mag_peak", "f8"),
        ("mag_bad_s", "f8"),
        # heading of the line between two antennas, and its variance
        ("line_pending", "u1"),
        ("line_ns", "i8"),
        ("line", "f8", 2),
        ("line_bad_run", "i8"),
        ("line_soft", "u1"),  # the pending one is another estimator's word
        ("heading_soft", "u1"),  # the frame's heading rests on such a word alone
        ("soft_off", "u1"),  # it was found wrong: from then on it ties nothing
        ("softs_refused", "u4"),
        # complementary filter, independent; the output and its distance from the estimate
        ("cf_q", "f8", 4),
        ("cf_turn", "f8", 3),
        ("cf_bias", "f8", 3),
        ("q_out", "f8", 4),
        ("off", "f8", 3),  # rotation vector in N, from the estimate to the output
        ("resets", "u4"),
        ("reset_ns", "i8"),  # the last of them
        # joints: angle, rate, acceleration a row
        ("joint_seen", "u1", 3),
        ("joint_ns", "i8", 3),
        ("joint", "f8", (3, 3)),
    ],
    align=True,
)
