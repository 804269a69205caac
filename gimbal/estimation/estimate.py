"""The estimator in the tick: calibrated samples and aiding in, NAV out. The same step serves the batch."""

from __future__ import annotations

from gimbal.estimation.attitude import heading_std, tilt_std
from gimbal.estimation.joints import joint_rate_C, joints_at, q_base_camera, track_joint
from gimbal.estimation.layout import ESTIMATION_PARAMS, ESTIMATION_STATE, HEADING
from gimbal.estimation.mm_gnss import offer_fix
from gimbal.estimation.step import sample, work
from gimbal.estimation.supervisor import bleed
from gimbal.kernels.build import kernel
from gimbal.kernels.quat import cross3, load3, load4, q_exp, q_mul, q_normalize, q_rotate, store3, store4

__all__ = ["ESTIMATION_PARAMS", "ESTIMATION_STATE", "estimate", "estimate_reset"]

PREDICT_S = 0.25  # over a longer silence of the IMU nothing is predicted and NAV.valid is 0


@kernel
def estimate_reset(p, s):
    """Forget everything: the next sample starts the filter."""
    s["started"] = 0
    s["status"] = 0
    s["age_s"] = 0.0
    s["phase"] = 0
    s["ring_n"] = 0
    s["gnss_pending"] = 0
    s["gnss_ns"] = 0
    s["gnss_last_ns"] = 0
    s["gnss_bad_run"] = 0
    s["rest_t"] = 0.0
    s["check_n"] = 0
    for i in range(3):
        s["joint_seen"][i] = 0
        s["off"][i] = 0.0
        s["bg"][i] = 0.0
        s["v"][i] = 0.0
        s["ba"][i] = 0.0
        s["sa"][i] = 0.0
        s["d"][i] = 0.0
        s["dp"][i] = 0.0
        s["pos"][i] = 0.0
        s["cf_phi"][i] = 0.0
        s["cf_bg"][i] = 0.0
        s["coarse_F"][i] = 0.0
        s["lever_v"][i] = 0.0
        s["gnss_vel"][i] = 0.0
        for j in range(3):
            s["mg"][i, j] = 0.0


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
        gyro = load3(meas["gyro_C_meas"][k])
        accel = load3(meas["accel_C_meas"][k])
        t_ns = meas["imu_t_ns"][k]
        dt = (t_ns - s["t_ns"]) * 1e-9 if s["started"] else p["dt"]
        sample(p, s, gyro, accel, dt, t_ns)
    if sense["gnss_valid"]:
        offer_fix(
            s,
            sense["gnss_t_ns"],
            load3(sense["gnss_vel_N"]),
            load3(sense["gnss_pos_N"]),
            sense["gnss_vel_std"],
            sense["gnss_pos_std"],
        )
    work(p, s)
    for i in range(3):
        if meas["joint_valid"][i] and meas["joint_new"][i]:
            track_joint(p, s, i, meas["joint_angle_meas"][i], meas["joint_t_ns"][i])
    write(p, s, sense["t_ns"], nav)


@kernel
def write(p, s, t_ns, nav):
    """NAV for t_ns: the estimate at the newest sample, carried over its age with the last rate."""
    age = min(max((t_ns - s["t_ns"]) * 1e-9, 0.0), PREDICT_S)
    bleed(p, s, p["dt"])
    w = load3(s["omega"])
    held = q_normalize(q_mul(q_exp(load3(s["off"])), load4(s["q"])))
    store4(s["q_out"], held)
    q = q_mul(load4(s["q"]), q_exp((w[0] * age, w[1] * age, w[2] * age)))
    f = load3(s["force"])
    a = q_rotate(q, f)
    nav["t_ns"] = t_ns
    nav["valid"] = 1 if s["started"] and (t_ns - s["t_ns"]) * 1e-9 < PREDICT_S else 0
    nav["status"] = s["status"]
    store4(nav["q_NC_est"], q)
    store3(nav["smoothing_N"], load3(s["off"]))
    store3(nav["omega_NC_C_est"], w)
    store3(nav["accel_C_meas"], f)
    for i in range(3):
        dv = age * (a[i] + (p["gravity"] if i == 2 else 0.0))
        nav["vel_N_est"][i] = s["v"][i] + dv
        nav["pos_N_est"][i] = s["pos"][i] + age * s["v"][i]
        nav["gyro_bias"][i] = s["bg"][i]
        nav["accel_bias"][i] = s["ba"][i]
    nav["tilt_std"] = tilt_std(s)
    nav["heading_std"] = heading_std(s)
    tied = s["status"] & HEADING and nav["heading_std"] < p["heading_valid_std"]
    nav["heading_valid"] = 1 if tied else 0
    joints_at(s, nav, t_ns)
    base(p, s, nav, q, w)


@kernel
def base(p, s, nav, q, w):
    """The base's attitude and rate through the joints; the antenna's lever arm and the course axis go with it."""
    angle = load3(nav["joint_angle_est"])
    q_BC = q_base_camera(p, angle)
    q_NB = q_normalize(q_mul(q, (q_BC[0], -q_BC[1], -q_BC[2], -q_BC[3])))
    wj = joint_rate_C(p, angle, load3(nav["joint_rate_est"]))
    w_B = q_rotate(q_BC, (w[0] - wj[0], w[1] - wj[1], w[2] - wj[2]))
    store4(nav["q_NB_est"], q_NB)
    store3(nav["omega_NB_B_est"], w_B)
    store3(s["lever_v"], q_rotate(q_NB, cross3(w_B, load3(p["antenna_B"]))))
    store3(s["course_x"], q_rotate(q_NB, (1.0, 0.0, 0.0)))
