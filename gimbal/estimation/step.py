"""One IMU sample through the filter, and the covariance work of one tick. The tick and the batch use both alike."""

from __future__ import annotations

import math

from gimbal.estimation.align import align, gather, restart_alignment
from gimbal.estimation.attitude import clear_integrals, inject, predict, set_covariance, strapdown
from gimbal.estimation.coarse import coarse_tilt, turn_to_up
from gimbal.estimation.history import remember
from gimbal.estimation.layout import CLIPPED, COARSE, GAP, GNSS, HEADING, INITIALISED, NON_FINITE
from gimbal.estimation.mm_gnss import use_fix
from gimbal.estimation.mm_rest import detect_rest, zero_rate
from gimbal.estimation.mm_velocity import zero_velocity
from gimbal.estimation.supervisor import (
    CHECK_EVERY,
    complementary_epoch,
    complementary_sample,
    covariance_good,
    fall_back,
    within_bounds,
)
from gimbal.kernels.build import kernel
from gimbal.kernels.quat import store3, store4

GAP_S = 0.02  # a longer time between samples was a gap
FREE_HEADING_VAR = math.pi**2 / 3.0  # rad²: any heading
STILL = 0.5  # m/s of GNSS speed
EMPTY, UPDATE, CHECK = 0, 1, 2


@kernel
def start(p, s, gyro, accel, t_ns):
    """First sample: level by the specific force, heading 0."""
    q = turn_to_up(accel)
    store4(s["q"], q)
    store4(s["cf_q"], q)
    store4(s["q_out"], q)
    store3(s["omega"], gyro)
    store3(s["gyro_raw"], gyro)
    store3(s["rest_w"], gyro)
    store3(s["rest_f"], accel)
    s["t_ns"] = t_ns
    s["epoch_ns"] = t_ns
    s["pos_var"] = 1e9
    s["heading_var"] = FREE_HEADING_VAR
    set_covariance(p, s, p["tilt_std0"] ** 2, 1e-6)
    clear_integrals(s)
    restart_alignment(s)
    s["status"] = INITIALISED | COARSE
    s["started"] = 1


@kernel
def sample(p, s, gyro, accel, dt, t_ns):
    """One IMU sample, dt (s) after the one before: tuples in C, rad/s and m/s². A sample that is not finite is
    dropped (its time is made up for by the next)."""
    if not math.isfinite(gyro[0] + gyro[1] + gyro[2] + accel[0] + accel[1] + accel[2]):
        s["status"] |= NON_FINITE
        return
    if not s["started"]:
        start(p, s, gyro, accel, t_ns)
        return
    if not dt > 0.0:
        return
    if dt > GAP_S and dt > 3.0 * p["dt"]:
        bridge(s, gyro, dt)
    s["t_ns"] = t_ns
    s["age_s"] += dt
    strapdown(p, s, gyro, accel, dt)
    complementary_sample(s, gyro, dt)
    remember(s)


@kernel
def bridge(s, gyro, dt):
    """A gap: the rate in it is the mean of both ends, and may have been anything between and a little beyond."""
    s["status"] |= GAP
    for i in range(3):
        jump = gyro[i] - s["gyro_raw"][i]
        s["extra_q"] += (0.5 * dt) ** 2 * (jump * jump / 3.0 + 0.01)


@kernel
def work(p, s):
    """The covariance's share of this tick: at most one of predict, update, check."""
    if not s["started"]:
        return
    if s["phase"] == EMPTY:
        if s["T"] >= 0.999 * p["period"]:
            if s["status"] & COARSE:
                coarse_epoch(p, s)
            else:
                predict(p, s)
                s["phase"] = UPDATE
    elif s["phase"] == UPDATE:
        update(p, s)
        s["check_n"] += 1
        s["phase"] = CHECK if s["check_n"] >= CHECK_EVERY else EMPTY
        if not within_bounds(s):
            fall_back(p, s)
    else:
        s["phase"] = EMPTY
        s["check_n"] = 0
        if not covariance_good(s):
            fall_back(p, s)


@kernel
def coarse_epoch(p, s):
    for i in range(3):
        s["coarse_F"][i] += s["iF"][i]
        s["epoch_w"][i] = s["iw"][i] / s["T"]
        s["epoch_f"][i] = s["if"][i] / s["T"]
    s["epoch_T"] = s["T"]
    s["epoch_ns"] = s["t_ns"]
    coarse_tilt(p, s)
    complementary_epoch(p, s)
    clear_integrals(s)
    s["ring_n"] = 0
    s["align_ns"] = 0
    for i in range(3):
        s["epoch_d"][i] = s["d"][i]
        s["off"][i] = 0.0
    if s["gnss_pending"] and not s["status"] & HEADING:
        s["gnss_pending"] = 0


@kernel
def update(p, s):
    """All that the last epoch's moment has to say: rest, or the pending fix, or the loose zero velocity."""
    s["status"] &= ~(CLIPPED | GAP | NON_FINITE)
    aided = s["gnss_last_ns"] != 0 and (s["t_ns"] - s["gnss_last_ns"]) * 1e-9 < p["gnss_timeout_s"]
    if not aided:
        s["status"] &= ~GNSS
    speed = math.sqrt(s["gnss_vel"][0] ** 2 + s["gnss_vel"][1] ** 2 + s["gnss_vel"][2] ** 2)
    resting = detect_rest(p, s, not aided or speed < STILL)
    complementary_epoch(p, s)
    if s["gnss_pending"] and not s["status"] & HEADING and gather(p, s):
        align(p, s)
        return
    if resting:
        zero_velocity(p, s, p["rest_vel_std"])
        zero_rate(p, s)
    elif not (aided and s["status"] & HEADING) and not s["gnss_pending"]:
        zero_velocity(p, s, p["zero_vel_std"])
    if s["gnss_pending"]:
        use_fix(p, s)
    inject(p, s)
