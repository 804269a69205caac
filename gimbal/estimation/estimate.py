"""The estimator in the tick: calibrated samples and aiding in, NAV out. The same step serves the batch."""

from __future__ import annotations

import math

from gimbal.estimation.joints import chain, joints_at, track_joint
from gimbal.estimation.layout import (
    BA,
    BG,
    COARSE,
    ESTIMATION_PARAMS,
    ESTIMATION_STATE,
    GNSS,
    HEADING,
    K_L,
    K_U,
    REST,
    TRACK,
    X_POS,
    X_POS_STD,
    X_VEL_STD,
    N,
    V,
)
from gimbal.estimation.mm_gnss import take_fix
from gimbal.estimation.mm_heading import mag_sample
from gimbal.estimation.mm_line import headings, take_line
from gimbal.estimation.step import sample, work
from gimbal.kernels.build import kernel
from gimbal.kernels.quat import load3, load4, q_exp, q_mul, q_normalize, q_rotate, scale3, store3, store4

__all__ = ["ESTIMATION_PARAMS", "ESTIMATION_STATE", "estimate", "estimate_reset"]

SETTLED_STD = math.radians(1.0)  # rad of tilt beyond what the accelerometer's bias leaves: known from GNSS or at rest,
SETTLED_ALONE_STD = math.radians(3.0)  # in motion without GNSS
PREDICT_S = 0.25  # over a longer silence of the IMU nothing is predicted and NAV.valid is 0


@kernel
def estimate_reset(p, s):
    """Forget everything: the next sample starts the filter."""
    s["started"] = 0
    s["settled"] = 0
    s["status"] = 0
    s["age_s"] = 0.0
    s["phase"] = 0
    s["checks"] = 0
    s["repeats"] = 0
    s["ring_n"] = 0
    s["fix_pending"] = 0
    s["fix_ns"] = 0
    s["fix_used_ns"] = 0
    s["fix_bad_run"] = 0
    s["line_pending"] = 0
    s["line_ns"] = 0
    s["line_bad_run"] = 0
    s["heading_soft"] = 0
    s["soft_off"] = 0
    s["align_n"] = 0
    s["align_ns"] = 0
    s["nis_mean"] = 0.0
    s["heading_step"] = 0.0
    s["rest_t"] = 0.0
    store4(s["q"], (1.0, 0.0, 0.0, 0.0))
    store4(s["q_out"], (1.0, 0.0, 0.0, 0.0))
    for i in range(N):
        s["x"][i] = 0.0
    for i in range(TRACK):
        s["track"][i] = 0.0
    for i in range(3):
        s["joint_seen"][i] = 0
        s["off"][i] = 0.0
        s["pos"][i] = 0.0
        s["cf_turn"][i] = 0.0
        s["cf_bias"][i] = 0.0
        s["coarse_F"][i] = 0.0


@kernel
def estimate(p, s, sense, meas, nav):
    """One tick.

    Args:
        p, s: records of ESTIMATION_PARAMS and ESTIMATION_STATE (zeros at first).
        sense: SENSE; its time and its GNSS fix are used.
        meas: MEAS, calibrated samples in C and joint readings.
        nav: NAV, written whole, for the moment sense.t_ns.
    """
    for k in range(meas["imu_n"]):
        sample(p, s, load3(meas["gyro_C_meas"][k]), load3(meas["accel_C_meas"][k]), meas["imu_t_ns"][k])
    aid(s, sense)
    if meas["mag_valid"]:
        mag_sample(s, load3(meas["mag_C_meas"]))
    epoch_ns = s["epoch_ns"]
    work(p, s)
    headings(p, s, epoch_ns)
    for i in range(3):
        if meas["joint_valid"][i] and meas["joint_new"][i]:
            track_joint(p, s, i, meas["joint_angle_meas"][i], meas["joint_t_ns"][i])
    joints_at(s, nav, sense["t_ns"])
    write(p, s, sense["t_ns"], nav)


@kernel
def aid(s, sense):
    """Take in the receivers' word of this tick."""
    if sense["gnss_valid"]:
        fix = s["ph"]  # scratch
        store3(fix, sense["gnss_vel_N"])
        store3(fix[X_POS:], sense["gnss_pos_N"])
        fix[X_VEL_STD] = sense["gnss_vel_std"]
        fix[X_POS_STD] = sense["gnss_pos_std"]
        take_fix(s, sense["gnss_t_ns"], fix)
    if sense["heading_valid"]:
        take_line(s, sense["heading_t_ns"], sense["heading"], sense["heading_std"], sense["heading_soft"])


@kernel
def directions(p, s, q_NB, arm_B):
    """What turns with the base, for measurements to come: arm to the antenna, line of two antennas, its nose."""
    store3(s["track"][K_U:], q_rotate(q_NB, arm_B))
    line = q_rotate(q_NB, load3(p["line_B"]))
    s["track"][K_L] = line[0]
    s["track"][K_L + 1] = line[1]
    store3(s["nose_N"], q_rotate(q_NB, (1.0, 0.0, 0.0)))


@kernel
def write(p, s, t_ns, nav):
    """NAV for t_ns: the estimate at the newest sample, carried over its age with the last rate; beside it what is left
    to bleed off of the corrections."""
    silence = (t_ns - s["t_ns"]) * 1e-9
    age = min(max(silence, 0.0), PREDICT_S)
    off = scale3(load3(s["off"]), 1.0 - p["dt"] / p["bleed_s"] if p["bleed_s"] > p["dt"] else 0.0)
    store3(s["off"], off)
    w = load3(s["omega"])
    f = load3(s["force"])
    q = q_normalize(q_mul(load4(s["q"]), q_exp(scale3(w, age))))
    a = q_rotate(q, f)
    store4(s["q_out"], q_normalize(q_mul(q_exp(off), load4(s["q"]))))
    store4(nav["q_NC_est"], q)
    store3(nav["smoothing_N"], off)
    store3(nav["omega_NC_C_est"], w)
    store3(nav["accel_C_meas"], f)
    for i in range(3):
        v = s["x"][V + i]
        nav["vel_N_est"][i] = v + age * (a[i] + (p["gravity"] if i == 2 else 0.0))
        nav["pos_N_est"][i] = s["pos"][i] + age * v
        nav["gyro_bias"][i] = s["x"][BG + i]
        nav["accel_bias"][i] = s["x"][BA + i]
    heading_std = math.sqrt(max(s["P"][2, 2], 0.0) + s["heading_var"])
    nav["carried"] = 0
    nav["carrier_valid"] = 0
    nav["carrier_rate_off"] = 0.0
    store3(nav["carrier_off_N"], (0.0, 0.0, 0.0))
    nav["heading_step"] = s["heading_step"]
    s["heading_step"] = 0.0
    nav["t_ns"] = t_ns
    size = q[0] * q[0] + q[1] * q[1] + q[2] * q[2] + q[3] * q[3]  # NaN fails each comparison
    sane = abs(size - 1.0) < 1e-6 and abs(w[0]) + abs(w[1]) + abs(w[2]) < 1e3
    nav["valid"] = 1 if s["started"] and silence < PREDICT_S and sane else 0
    nav["status"] = s["status"]
    tilt_std = math.sqrt(max(0.5 * (s["P"][0, 0] + s["P"][1, 1]), 0.0))
    enough = SETTLED_STD if s["status"] & (GNSS | REST) else SETTLED_ALONE_STD
    if s["started"] and not s["status"] & COARSE and tilt_std < enough + p["std0"][BA] / p["gravity"]:
        s["settled"] = 1
    nav["settled"] = s["settled"]
    nav["tilt_std"] = tilt_std
    nav["heading_std"] = heading_std
    nav["heading_valid"] = 1 if s["status"] & HEADING and heading_std < p["heading_valid_std"] else 0

    q_BC, w_joints, arm_B = chain(p, nav["joint_angle_est"], nav["joint_rate_est"])
    q_NB = q_normalize(q_mul(q, (q_BC[0], -q_BC[1], -q_BC[2], -q_BC[3])))
    w_B = q_rotate(q_BC, (w[0] - w_joints[0], w[1] - w_joints[1], w[2] - w_joints[2]))
    store4(nav["q_NB_est"], q_NB)
    store3(nav["omega_NB_B_est"], w_B)
    directions(p, s, q_NB, arm_B)
