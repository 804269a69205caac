"""The estimator's judge: is the filter fit? If not it starts again from an independent complementary filter.

The complementary filter shares only the raw samples: the gyro integrated, drawn to the specific force's direction
with a long time constant where its norm is near gravity (after Mahony, Hamel, Pflimlin, "Nonlinear complementary
filters on the special orthogonal group", IEEE TAC 53(5), 2008, doi 10.1109/TAC.2008.923738, with a fixed gain).
The output doesn't step at a fall-back: the difference is bled off (`off`, see `bleed`).
"""

from __future__ import annotations

import math

from gimbal.estimation.attitude import clear_integrals, set_covariance
from gimbal.estimation.coarse import turn_to_up
from gimbal.estimation.layout import FALLBACK, REST, N
from gimbal.kernels.build import kernel
from gimbal.kernels.mat import cholesky
from gimbal.kernels.quat import cross3, load3, load4, q_axis, q_exp, q_log, q_mul, q_normalize, q_rotate, q_yaw, store4

CF_TAU_S = 20.0
CF_NORM = 2.0  # m/s²
CF_BIAS_S = 5.0
MAX_BIAS = 0.3  # rad/s
MAX_ACCEL_BIAS = 5.0  # m/s²
MAX_SCALE = 0.3
MAX_SPEED = 1000.0  # m/s
CHECK_EVERY = 40  # epochs between tests for positive definiteness
FALLBACK_TILT_STD = 0.1  # rad


@kernel
def complementary_sample(s, gyro, dt):
    """The turn of the epoch as a rotation vector, coning included (Bortz 1971, first term)."""
    phi = load3(s["cf_phi"])
    d = (
        (gyro[0] - s["cf_bg"][0]) * dt,
        (gyro[1] - s["cf_bg"][1]) * dt,
        (gyro[2] - s["cf_bg"][2]) * dt,
    )
    c = cross3(phi, d)
    for i in range(3):
        s["cf_phi"][i] = phi[i] + d[i] + 0.5 * c[i]


@kernel
def complementary_epoch(p, s):
    """Turn the complementary filter over the epoch and draw it to the mean specific force."""
    q = q_normalize(q_mul(load4(s["cf_q"]), q_exp(load3(s["cf_phi"]))))
    for i in range(3):
        s["cf_phi"][i] = 0.0
    f = load3(s["epoch_f"])
    norm = math.sqrt(f[0] * f[0] + f[1] * f[1] + f[2] * f[2])
    if abs(norm - p["gravity"]) < CF_NORM:
        angle = q_log(turn_to_up(q_rotate(q, f)))
        k = s["epoch_T"] / CF_TAU_S
        q = q_normalize(q_mul(q_exp((k * angle[0], k * angle[1], k * angle[2])), q))
    store4(s["cf_q"], q)
    if s["status"] & REST:
        k = s["epoch_T"] / CF_BIAS_S
        for i in range(3):
            s["cf_bg"][i] += k * (s["epoch_w"][i] - s["cf_bg"][i])


@kernel
def within_bounds(s):
    """False if the estimate is not finite or a sensor error is beyond what a sensor can have."""
    total = 0.0
    worst = 0.0
    for i in range(3):
        total += s["q"][i] + s["v"][i] + s["P"][i, i]
        worst = max(worst, abs(s["bg"][i]) / MAX_BIAS, abs(s["ba"][i]) / MAX_ACCEL_BIAS, abs(s["v"][i]) / MAX_SPEED)
        for j in range(3):
            worst = max(worst, abs(s["mg"][i, j]) / MAX_SCALE)
            total += s["mg"][i, j]
        total += s["bg"][i] + s["ba"][i] + s["sa"][i]
    return math.isfinite(total) and worst < 1.0


@kernel
def covariance_good(s):
    """True if P is positive definite: scaled to unit diagonal first, its parts differ by orders of magnitude."""
    P, C = s["P"], s["chol"]
    for i in range(N):
        if not (P[i, i] > 0.0 and P[i, i] < 1e9):
            return False
        s["h"][i] = 1.0 / math.sqrt(P[i, i])
    for i in range(N):
        for j in range(N):
            C[i, j] = P[i, j] * s["h"][i] * s["h"][j]
        C[i, i] += 1e-10
    return cholesky(C, N, C)


@kernel
def fall_back(p, s):
    """Start the filter again from the complementary filter's tilt and the heading of the last output."""
    out = load4(s["q_out"])
    q = load4(s["cf_q"])
    if not math.isfinite(q[0] + q[1] + q[2] + q[3]):
        q = out
    q = q_normalize(q_mul(q_axis(2, q_yaw(out) - q_yaw(q)), q))
    off = q_log(q_mul(out, (q[0], -q[1], -q[2], -q[3])))
    store4(s["q"], q)
    store4(s["cf_q"], q)
    heading_var = s["P"][2, 2]
    if not (heading_var >= 0.0 and heading_var < 10.0):
        heading_var = 0.1
    for i in range(3):
        s["off"][i] = off[i]
        s["bg"][i] = s["cf_bg"][i]
        s["v"][i] = 0.0
        s["ba"][i] = 0.0
        s["sa"][i] = 0.0
        s["omega"][i] = 0.0
        s["gnss_r"][i] = 0.0
        s["d"][i] = 0.0
        s["dp"][i] = 0.0
        if not math.isfinite(s["pos"][i]):
            s["pos"][i] = 0.0
        for j in range(3):
            s["mg"][i, j] = 0.0
    s["ring_n"] = 0
    s["pos_var"] = 1e9
    set_covariance(p, s, FALLBACK_TILT_STD**2, heading_var)
    clear_integrals(s)
    s["phase"] = 0
    s["resets"] += 1
    s["status"] |= FALLBACK


@kernel
def bleed(p, s, dt):
    """Let the output run into the estimate: a correction reaches the picture over `bleed_s`, not at once."""
    k = 1.0 - min(dt / p["bleed_s"], 1.0) if p["bleed_s"] > 0.0 else 0.0
    for i in range(3):
        s["off"][i] *= k
