"""The estimator's judge: is the filter fit? If not it starts again from an independent complementary filter.

The complementary filter shares only the raw samples: the gyro integrated, drawn to the specific force's direction
with a long time constant where its norm is near gravity (after Mahony, Hamel, Pflimlin, "Nonlinear complementary
filters on the special orthogonal group", IEEE TAC 53(5), 2008, doi 10.1109/TAC.2008.923738, with a fixed gain).
The output doesn't step at a fall-back: the difference is bled off.
"""

from __future__ import annotations

import math

from gimbal.estimation.attitude import clear_integrals
from gimbal.estimation.coarse import turn_to_up
from gimbal.estimation.layout import BG, FALLBACK, HEADING, I_A, I_T, I_W, REST, N
from gimbal.kernels.build import kernel
from gimbal.kernels.mat import cholesky
from gimbal.kernels.quat import (
    cross3,
    load3,
    load4,
    norm3,
    q_axis,
    q_exp,
    q_log,
    q_mul,
    q_normalize,
    q_rotate,
    q_yaw,
    scale3,
    store4,
)

CF_TAU_S = 20.0
CF_NORM = 2.0  # m/s²
CF_BIAS_S = 5.0
CHECK_EVERY = 40  # epochs between tests for positive definiteness
MAX_VARIANCE = 1e9
FALLBACK_TILT_STD = 0.1  # rad
ASTRAY_TILT_STD, ASTRAY_NS = 0.5, 10_000_000_000  # where the last one held no longer
MAX_NIS = 15.0  # running mean; 3 where the filter is right
FREE_HEADING_VAR = math.pi**2 / 3.0  # rad²: any heading


@kernel
def complementary_sample(s, g, dt):
    """The turn of the epoch as a rotation vector, coning included (Bortz 1971, first term)."""
    turn, bias = s["cf_turn"], s["cf_bias"]
    d = ((g[0] - bias[0]) * dt, (g[1] - bias[1]) * dt, (g[2] - bias[2]) * dt)
    c = cross3(load3(turn), d)
    turn[0] += d[0] + 0.5 * c[0]
    turn[1] += d[1] + 0.5 * c[1]
    turn[2] += d[2] + 0.5 * c[2]


@kernel
def complementary_epoch(p, s):
    """Turn the complementary filter over the epoch and draw it to the mean specific force."""
    q = q_normalize(q_mul(load4(s["cf_q"]), q_exp(load3(s["cf_turn"]))))
    epoch = s["epoch"]
    f = load3(epoch[I_A:])
    near = abs(norm3(f) - p["gravity"]) < CF_NORM
    k = epoch[I_T] / CF_TAU_S if near else 0.0
    store4(s["cf_q"], q_normalize(q_mul(q_exp(scale3(q_log(turn_to_up(q_rotate(q, f))), k)), q)))
    rest = epoch[I_T] / CF_BIAS_S if s["status"] & REST else 0.0
    for i in range(3):
        s["cf_turn"][i] = 0.0
        s["cf_bias"][i] += rest * (epoch[I_W + i] - s["cf_bias"][i])


@kernel
def within_bounds(p, s):
    """False if the estimate is not finite or a sensor error is beyond what a sensor can have. NaN fails every test."""
    q = s["q"]
    good = abs(q[0]) + abs(q[1]) + abs(q[2]) + abs(q[3]) < 3.0
    for i in range(N):
        good = good and abs(s["x"][i]) < p["bound"][i] and 0.0 < s["P"][i, i] < MAX_VARIANCE
    return good


@kernel
def covariance_good(s):
    """True if P is positive definite: scaled to unit diagonal first, its parts differ by orders of magnitude."""
    P, W, h = s["P"], s["W"], s["h"]
    for i in range(N):
        h[i] = 1.0 / math.sqrt(P[i, i])
    for i in range(N):
        for j in range(N):
            W[i, j] = P[i, j] * h[i] * h[j] + (1e-10 if i == j else 0.0)
    return cholesky(W, N, W)


@kernel
def set_covariance(p, s):
    """Start the covariance anew from the profile's initial deviations."""
    for i in range(N):
        s["dx"][i] = 0.0
        for j in range(N):
            s["P"][i, j] = p["std0"][i] ** 2 if i == j else 0.0


@kernel
def fall_back(p, s):
    """Start the filter again from the complementary filter's tilt and the heading of the last output."""
    out = load4(s["q_out"])
    q = load4(s["cf_q"])
    if not abs(q[0]) + abs(q[1]) + abs(q[2]) + abs(q[3]) < 3.0:
        q = out
    q = q_normalize(q_mul(q_axis(2, q_yaw(out) - q_yaw(q)), q))
    off = q_log(q_mul(out, (q[0], -q[1], -q[2], -q[3])))
    store4(s["q"], q)
    store4(s["cf_q"], q)
    heading_var = s["P"][2, 2]
    set_covariance(p, s)
    s["P"][2, 2] = heading_var if 0.0 < heading_var < 10.0 else 0.1
    astray = s["resets"] > 0 and s["t_ns"] - s["reset_ns"] < ASTRAY_NS
    s["reset_ns"] = s["t_ns"]
    for i in range(3):
        s["P"][i, i] = max(s["P"][i, i], ASTRAY_TILT_STD**2 if astray else FALLBACK_TILT_STD**2)
        s["off"][i] = off[i]
        s["omega"][i] = s["raw"][i]
        s["pos"][i] = s["fix"][3 + i]
    for i in range(N):
        s["x"][i] = s["cf_bias"][i - BG] if BG <= i < BG + 3 else 0.0
    for i in range(9):
        s["track"][i] = 0.0
    if not s["nis_mean"] < MAX_NIS:  # it is the alignment that was wrong: find heading anew
        s["status"] &= ~HEADING
        s["soft_off"] = max(s["soft_off"], s["heading_soft"])
        s["heading_soft"] = 0
        s["heading_var"] = FREE_HEADING_VAR
        s["align_n"] = 0
        s["align_ns"] = 0
        s["P"][2, 2] = p["std0"][2] ** 2
    s["nis_mean"] = 0.0
    s["ring_n"] = 0
    s["pos_var"] = 1e6
    clear_integrals(s)
    s["phase"] = 0
    s["resets"] += 1
    s["status"] |= FALLBACK
