"""Measurement model: GNSS velocity and position that arrive late.

The fix is compared with the filter's own velocity at the moment it was measured, kept in the history; the row of
the measurement says how an attitude error has turned into velocity since then.
"""

from __future__ import annotations

import math

from gimbal.estimation.attitude import row_variance, update_row
from gimbal.estimation.layout import (
    GNSS,
    GNSS_GATED,
    HEADING,
    K_D,
    K_P,
    K_U,
    TH,
    X_POS,
    X_POS_STD,
    X_VEL,
    X_VEL_STD,
    N,
    V,
)
from gimbal.kernels.build import kernel
from gimbal.kernels.quat import load3, norm3

HARD = 12.0  # times the gate: beyond it a fix is rejected, not only weighted down
RUN = 3  # so many fixes rejected in a row are believed: it is the filter that is wrong
NIS_SHARE = 0.1  # of a fix in the running mean of NIS that the judge looks at
NIS_CLIP = 40.0  # a single outlier may not decide
ARM_SPEED = 0.1  # m/s: so fast an arm's turning is no longer known well from joints that shake
MAX_SPEED = 600.0  # m/s
SLOW = 2.0  # m/s: in a frame whose heading is free a faster horizontal velocity says nothing
MAX_LATENCY = 0.5  # s
LATENCY_WALK = 1e-7  # s² a fix
ACCEL_S = 0.1  # own acceleration at the fix is the mean over this long before it
POS_FLOOR = 1.0  # m²: the slow part of a receiver's error can't be averaged away


@kernel
def take_fix(s, t_ns, fix):
    """Take in what was written to `fix`, if it can be a fix; it is used at the next update."""
    total = 0.0
    for i in range(8):
        total += fix[i]
    speed = math.sqrt(fix[X_VEL] ** 2 + fix[X_VEL + 1] ** 2 + fix[X_VEL + 2] ** 2)
    good = math.isfinite(total) and fix[X_VEL_STD] > 0.0 and speed < MAX_SPEED and t_ns > s["fix_ns"]
    if not good:
        s["fixes_rejected"] += 1
        s["status"] |= GNSS_GATED
        return
    s["fix_ns"] = t_ns
    s["fix_pending"] = 1
    for i in range(8):
        s["fix"][i] = fix[i]


@kernel
def observe(s, i, force):
    """Row of the velocity along axis i, measured before the epoch; force = integral of R f from then to it."""
    h = s["h"]
    for c in range(N):
        h[c] = 1.0 if c == V + i else 0.0
    j, k = (i + 1) % 3, (i + 2) % 3
    h[TH + k] = force[j]
    h[TH + j] = -force[k]


@kernel
def use_fix(p, s, t_ns):
    """Update with the pending fix, measured at t_ns; `then` holds the own motion at that time."""
    fix, then, r = s["fix"], s["then"], s["fix_r"]
    arm = norm3(load3(then[K_U:]))
    doubt = arm * arm / ARM_SPEED
    std = math.sqrt(max(fix[X_VEL_STD], p["gnss_std_min"]) ** 2 + doubt * doubt)
    aligned = s["status"] & HEADING
    fall = p["gravity"] * (s["epoch_ns"] - t_ns) * 1e-9
    d = s["epoch_d"]
    force = (d[0] - then[K_D], d[1] - then[K_D + 1], d[2] - then[K_D + 2] - fall)
    speed = math.hypot(fix[X_VEL], fix[X_VEL + 1])
    nis = 0.0
    for i in range(3):
        r[i] = fix[X_VEL + i] - (s["x"][V + i] - s["track"][K_D + i] + then[K_D + i] + then[K_U + i])
        observe(s, i, force)
        if aligned or i == 2:
            total = row_variance(s) + std * std
            nis += r[i] ** 2 / total
            if aligned and p["gnss_latency_std"] > 0.0:
                learn_latency(s, r[i], s["then_accel"][i], total)
    s["fix_nis"] = nis
    s["nis_mean"] += NIS_SHARE * (min(nis, NIS_CLIP) - s["nis_mean"]) if aligned else 0.0
    weight = max(nis / p["gnss_gate"], 1.0)
    s["status"] = s["status"] | GNSS_GATED if weight > 1.0 else s["status"] & ~GNSS_GATED
    if weight > HARD:
        s["fixes_rejected"] += 1
        s["fix_bad_run"] += 1
        if s["fix_bad_run"] < RUN:
            return
        weight = 1.0
        for i in range(3):
            s["P"][V + i, V + i] += r[i] ** 2
    s["fix_bad_run"] = 0
    s["fixes_used"] += 1
    s["fix_used_ns"] = s["t_ns"]
    s["status"] |= GNSS
    for i in range(3):
        if aligned or i == 2 or speed < SLOW:
            observe(s, i, force)
            update_row(s, r[i], std * std * weight + (0.0 if aligned or i == 2 else speed * speed))


@kernel
def restart_velocity(s, v, variance):
    """Set the velocity and forget what its error has to do with the others': after long without a fix, or before
    the first, the state was no velocity but what zero velocity had made of it."""
    P = s["P"]
    for i in range(3):
        s["x"][V + i] = v[i]
        for c in range(N):
            P[V + i, c] = 0.0
            P[c, V + i] = 0.0
    for i in range(3):
        P[V + i, V + i] = variance


@kernel
def fix_velocity(s):
    """Restart the velocity from the pending fix, carried on from its moment by the own motion since."""
    fix, then, track = s["fix"], s["then"], s["track"]
    now = (
        fix[X_VEL] - then[K_U] + track[K_D] - then[K_D],
        fix[X_VEL + 1] - then[K_U + 1] + track[K_D + 1] - then[K_D + 1],
        fix[X_VEL + 2] - then[K_U + 2] + track[K_D + 2] - then[K_D + 2],
    )
    restart_velocity(s, now, 4.0 * fix[X_VEL_STD] ** 2)


@kernel
def learn_latency(s, residual, accel, variance):
    """A fix older than said by dt shows a velocity behind by accel * dt: one scalar filter beside the others."""
    P = s["latency_var"]
    k = -P * accel / (P * accel * accel + variance)
    s["latency"] = min(max(s["latency"] + k * residual, -MAX_LATENCY), MAX_LATENCY)
    s["latency_var"] = P + k * accel * P + LATENCY_WALK


@kernel
def update_position(s):
    """Position beside the filter, one variance for all axes: the velocity is taken as known."""
    fix, then = s["fix"], s["then"]
    std = fix[X_POS_STD]
    if not std > 0.0:
        return
    variance = std * std + POS_FLOOR
    k = s["pos_var"] / (s["pos_var"] + variance)
    s["pos_var"] *= 1.0 - k
    for i in range(3):
        s["pos"][i] += k * (fix[X_POS + i] - (s["pos"][i] - s["track"][K_P + i] + then[K_P + i]))
