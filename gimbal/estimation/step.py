"""One IMU sample through the filter, and the covariance work of one tick. The tick and the batch use both alike."""

from __future__ import annotations

import math

from gimbal.estimation.align import ENOUGH, PATIENCE, SCARCE, add_course, align, gather
from gimbal.estimation.attitude import clear_integrals, inject, predict, strapdown
from gimbal.estimation.coarse import turn_to_up
from gimbal.estimation.history import recall, remember
from gimbal.estimation.layout import (
    CLIPPED,
    COARSE,
    FALLBACK,
    GAP,
    GNSS,
    GNSS_GATED,
    HEADING,
    I_A2,
    I_Q,
    I_T,
    I_W,
    INITIALISED,
    K_D,
    NON_FINITE,
    V,
)
from gimbal.estimation.mm_gnss import ACCEL_S, fix_velocity, restart_velocity, update_position, use_fix
from gimbal.estimation.mm_rest import detect_rest
from gimbal.estimation.mm_velocity import standstill
from gimbal.estimation.supervisor import (
    ASTRAY_NS,
    CHECK_EVERY,
    FREE_HEADING_VAR,
    MAX_NIS,
    complementary_epoch,
    complementary_sample,
    covariance_good,
    fall_back,
    set_covariance,
    within_bounds,
)
from gimbal.kernels.build import kernel
from gimbal.kernels.quat import load3, load4, norm3, q_mul, q_normalize, q_rotate, store3, store4

GAP_S = 0.02  # a longer time between samples was a gap
GAP_RATE_VAR = 0.01  # (rad/s)²: what the rate may do in a gap beside going from one end to the other
STILL = 0.5  # m/s of GNSS speed
STILL_RATE, STILL_SPREAD = 0.1, 1.0  # rad/s, m/s²: beyond it the start was in motion,
MOVING_STD = 0.15  # rad, and the mean force is up only so well: 0.5 m/s gathered in 0.3 s
EMPTY, UPDATE, CHECK = 0, 1, 2


@kernel
def start(p, s, g, a, t_ns):
    """First sample: level by the specific force, heading 0."""
    q = turn_to_up(a)
    store4(s["q"], q)
    store4(s["cf_q"], q)
    store4(s["q_out"], q)
    store3(s["omega"], g)
    store3(s["force"], a)
    store3(s["raw"], g)
    store3(s["rest_mean"], g)
    store3(s["rest_mean"][3:], a)
    s["t_ns"] = t_ns
    s["epoch_ns"] = t_ns
    s["pos_var"] = 1e6
    s["latency"] = 0.0
    s["latency_var"] = p["gnss_latency_std"] ** 2
    s["heading_var"] = FREE_HEADING_VAR
    set_covariance(p, s)
    clear_integrals(s)
    s["status"] = INITIALISED | COARSE
    s["started"] = 1


@kernel
def sample(p, s, g, a, t_ns):
    """One IMU sample: gyro g (rad/s) and accelerometer a (m/s²), tuples in C. One that is not finite is dropped,
    its time is made up for by the next; one that is not newer is ignored."""
    if not math.isfinite(g[0] + g[1] + g[2] + a[0] + a[1] + a[2]):
        s["status"] |= NON_FINITE
    elif not s["started"]:
        start(p, s, g, a, t_ns)
    elif t_ns > s["t_ns"]:
        dt = (t_ns - s["t_ns"]) * 1e-9
        if dt > GAP_S and dt > 3.0 * p["dt"]:
            jump = norm3((g[0] - s["raw"][0], g[1] - s["raw"][1], g[2] - s["raw"][2]))
            s["status"] |= GAP
            s["sums"][I_Q] += (0.5 * dt) ** 2 * (jump * jump / 3.0 + GAP_RATE_VAR)
        s["t_ns"] = t_ns
        s["age_s"] += dt
        complementary_sample(s, g, dt)
        strapdown(p, s, g, a, dt)
        remember(s)


@kernel
def work(p, s):
    """The covariance's share of this tick: at most one of predict, update, check."""
    if not s["started"]:
        return
    if s["phase"] == EMPTY:
        if s["sums"][I_T] >= 0.999 * p["period"]:
            predict(p, s)
            s["phase"] = UPDATE
    elif s["phase"] == UPDATE:
        s["checks"] += 1
        s["phase"] = CHECK if s["checks"] >= CHECK_EVERY else EMPTY
        update(p, s)
        if not (within_bounds(p, s) and s["nis_mean"] < MAX_NIS):
            fall_back(p, s)
    else:
        s["checks"] = 0
        s["status"] &= ~(CLIPPED | GAP | NON_FINITE)
        if s["t_ns"] - s["reset_ns"] > ASTRAY_NS:  # the filter has been sound for so long: it serves again
            s["status"] &= ~FALLBACK
        s["phase"] = EMPTY
        if not covariance_good(s):
            fall_back(p, s)


@kernel
def coarse_tilt(p, s):
    """Turn the estimate so that the mean force since the start is up; what the covariance gathered is not used."""
    F = s["coarse_F"]
    for i in range(3):
        F[i] = s["track"][K_D + i] - (p["gravity"] * s["age_s"] if i == 2 else 0.0)
    turn = turn_to_up(load3(F))
    store4(s["q"], q_normalize(q_mul(turn, load4(s["q"]))))
    moved = q_rotate(turn, load3(F))
    for i in range(3):
        s["track"][K_D + i] = moved[i] + (p["gravity"] * s["age_s"] if i == 2 else 0.0)
        s["x"][V + i] = 0.0
    s["ring_n"] = 0
    s["align_ns"] = 0
    set_covariance(p, s)
    clear_integrals(s)
    moving = norm3(load3(s["epoch"][I_W:])) > STILL_RATE or s["epoch"][I_A2] > STILL_SPREAD**2
    for i in range(2):
        s["P"][i, i] += MOVING_STD**2 if moving else 0.0
    if s["age_s"] >= p["coarse_s"]:
        s["status"] &= ~COARSE


@kernel
def update(p, s):
    """All that the last epoch's moment has to say: rest, or the pending fix, or the loose zero velocity."""
    was_aided = s["status"] & GNSS
    aided = s["fix_used_ns"] != 0 and (s["t_ns"] - s["fix_used_ns"]) * 1e-9 < p["gnss_timeout_s"]
    s["status"] = s["status"] if aided else s["status"] & ~GNSS
    resting = detect_rest(p, s, not aided or norm3(load3(s["fix"])) < STILL)
    complementary_epoch(p, s)
    if s["status"] & COARSE:
        coarse_tilt(p, s)
        return
    t_ns = s["fix_ns"] - p["gnss_latency_ns"] - int(s["latency"] * 1e9)
    fix = s["fix_pending"] == 1
    s["fix_pending"] = 0
    if fix and p["gnss_latency_std"] > 0.0 and recall(s, t_ns - int(ACCEL_S * 1e9)):
        for i in range(3):
            s["then_accel"][i] = -s["then"][K_D + i]
    found = fix and recall(s, t_ns)
    for i in range(3):
        s["then_accel"][i] = (s["then_accel"][i] + s["then"][K_D + i]) / ACCEL_S
    if fix and not found:
        s["fixes_rejected"] += 1
        s["status"] |= GNSS_GATED
        fix = False
    if fix:
        update_position(s)
        if not s["status"] & HEADING:
            info = gather(p, s, t_ns)
            course = add_course(p, s) if s["align_n"] > 0 else 0.0
            info += course
            enough = SCARCE if course > 0.0 or s["align_n"] >= PATIENCE else ENOUGH
            if info > enough:
                align(p, s, t_ns, info)
                return
        if s["status"] & HEADING and not aided:
            fix_velocity(s)
        use_fix(p, s, t_ns)
    elif was_aided and not aided:
        restart_velocity(s, (0.0, 0.0, 0.0), p["std0"][V] ** 2)
    if resting or not (fix or (aided and s["status"] & HEADING)):
        standstill(p, s, resting)
    inject(p, s)
