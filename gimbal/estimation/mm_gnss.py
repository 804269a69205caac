"""Measurement model: GNSS velocity and position that arrive late.

The fix is compared with the filter's own velocity at the moment it was measured, kept in the history; the row of
the measurement says how attitude and accelerometer bias have turned into velocity since then.
"""

from __future__ import annotations

import math

from gimbal.estimation.attitude import gain_of, update_row
from gimbal.estimation.history import recall
from gimbal.estimation.layout import BA, GNSS, GNSS_GATED, HEADING, TH, N, V
from gimbal.kernels.build import kernel
from gimbal.kernels.quat import q_rotate

HARD = 12.0  # times the gate: beyond it a fix is rejected, not only weighted down
RUN = 3  # so many fixes rejected in a row are believed: it is the filter that is wrong
POS_WALK = 0.05  # m/√s: what the velocity leaves in the position


@kernel
def offer_fix(s, t_ns, vel, pos, vel_std, pos_std):
    """Take a fix in, if it can be one; it is used at the next update. Returns False if it was refused."""
    total = vel[0] + vel[1] + vel[2] + pos[0] + pos[1] + pos[2] + vel_std
    speed = math.sqrt(vel[0] ** 2 + vel[1] ** 2 + vel[2] ** 2)
    good = math.isfinite(total) and vel_std > 0.0 and speed < 600.0 and t_ns > s["gnss_ns"]
    if not good:
        s["gnss_rejected"] += 1
        s["status"] |= GNSS_GATED
        return False
    s["gnss_ns"] = t_ns
    s["gnss_std"] = vel_std
    s["gnss_pos_std"] = pos_std
    for i in range(3):
        s["gnss_vel"][i] = vel[i]
        s["gnss_pos"][i] = pos[i]
    s["gnss_pending"] = 1
    return True


@kernel
def row(s, axis, force, lag):
    """h of the velocity along `axis` measured lag (s) before the epoch; force = integral of R f from then to it."""
    h = s["h"]
    for i in range(N):
        h[i] = 0.0
    a, b = (axis + 1) % 3, (axis + 2) % 3
    h[V + axis] = 1.0
    h[TH + b] = force[a]
    h[TH + a] = -force[b]
    q = s["q"]
    for j in range(3):
        e = (1.0 if j == 0 else 0.0, 1.0 if j == 1 else 0.0, 1.0 if j == 2 else 0.0)
        h[BA + j] = lag * q_rotate((q[0], q[1], q[2], q[3]), e)[axis]


@kernel
def residual_of(p, s, d, u):
    """Velocity measured minus predicted for the fix's moment, in gnss_r."""
    for i in range(3):
        at_epoch = s["v"][i] - (s["d"][i] - s["epoch_d"][i])
        s["gnss_r"][i] = s["gnss_vel"][i] - (at_epoch - (s["epoch_d"][i] - d[i]) + u[i])


@kernel
def use_fix(p, s):
    """Update with the pending fix. The correction is left in dx."""
    s["gnss_pending"] = 0
    t_ns = s["gnss_ns"] - p["gnss_latency_ns"]
    found, d, u, dp = recall(s, t_ns)
    if not found:
        s["gnss_rejected"] += 1
        s["status"] |= GNSS_GATED
        return
    update_position(s, dp)
    std = max(s["gnss_std"], p["gnss_std_min"])
    aligned = s["status"] & HEADING
    lag = (s["epoch_ns"] - t_ns) * 1e-9
    force = (s["epoch_d"][0] - d[0], s["epoch_d"][1] - d[1], s["epoch_d"][2] - d[2] - p["gravity"] * lag)
    residual_of(p, s, d, u)
    speed = math.hypot(s["gnss_vel"][0], s["gnss_vel"][1])
    nis = 0.0
    for i in range(3):
        row(s, i, force, lag)
        hph, _ = gain_of(s)
        if aligned or i == 2:
            nis += s["gnss_r"][i] ** 2 / (hph + std * std)
    s["gnss_nis"] = nis
    weight = 1.0
    if nis > p["gnss_gate"]:
        weight = nis / p["gnss_gate"]
        s["status"] |= GNSS_GATED
        if weight > HARD:
            s["gnss_rejected"] += 1
            s["gnss_bad_run"] += 1
            if s["gnss_bad_run"] < RUN:
                return
            for i in range(3):
                s["P"][V + i, V + i] += s["gnss_r"][i] ** 2
            weight = 1.0
    else:
        s["status"] &= ~GNSS_GATED
    s["gnss_bad_run"] = 0
    s["gnss_used"] += 1
    s["gnss_last_ns"] = s["t_ns"]
    s["status"] |= GNSS
    for i in range(3):
        variance = std * std * weight
        if not aligned and i < 2:
            if speed > 2.0:  # in a frame whose heading is free a horizontal velocity says nothing
                continue
            variance += speed * speed
        row(s, i, force, lag)
        update_row(s, s["gnss_r"][i], variance)


@kernel
def update_position(s, dp):
    """Position beside the filter: one variance for all axes, the velocity is taken as known."""
    std = s["gnss_pos_std"]
    if not (std > 0.0 and math.isfinite(std)):
        return
    variance = std * std + 1.0  # the slow part of a receiver's error can't be averaged away
    k = s["pos_var"] / (s["pos_var"] + variance)
    if s["pos_var"] >= 1e8:  # the first
        k = 1.0
    s["pos_var"] = max((1.0 - k) * s["pos_var"] if k < 1.0 else variance, 1e-6)
    for i in range(3):
        s["pos"][i] += k * (s["gnss_pos"][i] - (s["pos"][i] - (s["dp"][i] - dp[i])))
