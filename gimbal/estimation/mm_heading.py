"""Measurement model: the magnetometer gives heading and nothing else.

The field of an epoch, in N, is levelled by the estimate; its horizontal direction corrects heading and what heading
errors come from, never tilt (a Schmidt update: the tilt's gain is zero and its covariance stays). A disturbed field
shows in its norm and dip (as in VQF, see mm_rest.py): their deviation from slowly learned references, held at its
peak for a while, widens sigma; so does the innovation itself.
"""

from __future__ import annotations

import math

from gimbal.estimation.layout import BA, BG, HEADING, I_T, MAG_REJECTED, MG, TH, N, V
from gimbal.kernels.build import kernel
from gimbal.kernels.quat import load3, load4, q_axis, q_mul, q_normalize, q_rotate, store3, store4

HOLD_S = 2.0  # a disturbance is believed to last so long after it was seen
LEARN_S = 2.0  # first learning of norm and dip
NEW_PLACE_S = 20.0  # a field this long steady elsewhere is the new reference
STEADY = 2.0  # in tolerances: steady
SETTLED_S = 1.0  # earlier the errors share nothing yet
FREE_SPEED = 20.0  # m/s: what a velocity in a frame of free heading may be off
START_STD = 0.05  # rad, heading after the first field; a tilt error turns it by tan(dip) as much


@kernel
def mag_sample(s, m):
    """Add one sample (tuple, any unit, calibrated, in C) to the epoch's field in N. Not finite: left out."""
    if math.isfinite(m[0] + m[1] + m[2]) and s["started"]:
        field = q_rotate(load4(s["q"]), m)
        total = s["mag_sum"]
        for i in range(3):
            total[i] += field[i]
        total[3] += 1.0


@kernel
def disturbance(p, s, norm, dip, T):
    """How disturbed the field is, in tolerances, peak-held; the references are learned on the way."""
    ref = s["mag_ref"]  # norm, dip, seconds learned
    e_norm = (norm / ref[0] - 1.0) / p["mag_norm_tol"] if ref[0] > 0.0 else 0.0
    e_dip = (dip - ref[1]) / p["mag_dip_tol"] if ref[0] > 0.0 else 0.0
    now = math.sqrt(e_norm * e_norm + e_dip * e_dip)
    near = s["mag_near"]  # the same of the field at present: norm and dip, slow mean
    k = T / (LEARN_S + T)
    steady = abs(norm / near[0] - 1.0) < p["mag_norm_tol"] and abs(dip - near[1]) < p["mag_dip_tol"]
    near[0] += k * (norm - near[0])
    near[1] += k * (dip - near[1])
    s["mag_bad_s"] = s["mag_bad_s"] + T if now > STEADY and steady else 0.0
    if s["mag_bad_s"] > NEW_PLACE_S:
        ref[0] = near[0]
        ref[1] = near[1]
        s["mag_bad_s"] = 0.0
    elif now < STEADY:
        ref[2] += T
        learn = T / min(ref[2] + T, p["mag_tau_s"])
        ref[0] += learn * (norm - ref[0])
        ref[1] += learn * (dip - ref[1])
    s["mag_peak"] = max(now, s["mag_peak"] * (1.0 - T / HOLD_S))
    return s["mag_peak"]


@kernel
def tie_heading(s, off, variance):
    """Turn N about down by off (rad): from now on its x axis is north. NAV.heading_step says so."""
    turn = q_axis(2, off)
    store4(s["q"], q_normalize(q_mul(turn, load4(s["q"]))))
    store3(s["off"], q_rotate(turn, load3(s["off"])))
    store3(s["x"][V:], q_rotate(turn, load3(s["x"][V:])))
    P = s["P"]
    if s["age_s"] > SETTLED_S:  # what errors had come to share lay along axes that were left
        for i in range(N):
            for j in range(N):
                if i != j and (i < BG or V <= i < BA or j < BG or V <= j < BA):
                    P[i, j] = 0.0
        for i in range(V, BA):
            P[i, i] = max(P[i, i], FREE_SPEED**2)
    P[TH + 2, TH + 2] = variance
    s["heading_step"] += off
    s["heading_var"] = 0.0
    s["heading_soft"] = 0
    s["status"] |= HEADING
    s["ring_n"] = 0  # what was kept is in the frame that was left
    s["align_ns"] = 0


@kernel
def use_field(p, s):
    """After an epoch: heading from the field gathered in it."""
    total = s["mag_sum"]
    n = total[3]
    north, east, down = total[0], total[1], total[2]
    for i in range(4):
        total[i] = 0.0
    across = math.hypot(north, east)
    if n < 1.0 or not across > 0.0:
        return
    norm = math.hypot(across, down) / n
    dip = math.atan2(down, across)
    off = p["declination"] - math.atan2(east, north)
    off -= 2.0 * math.pi * math.floor((off + math.pi) / (2.0 * math.pi))
    if not s["status"] & HEADING:
        tilt_var = max(s["P"][TH, TH], s["P"][TH + 1, TH + 1])
        tie_heading(s, off, START_STD**2 + tilt_var * (down / across) ** 2)
        s["mag_ref"][0] = norm
        s["mag_ref"][1] = dip
        s["mag_near"][0] = norm
        s["mag_near"][1] = dip
        return
    T = s["epoch"][I_T]
    peak = disturbance(p, s, norm, dip, T)
    variance = p["mag_std"] ** 2 / T * (1.0 + peak * peak) ** 2
    excess = off * off / (s["P"][TH + 2, TH + 2] + p["mag_gate"] ** 2)
    if excess > 1.0:
        variance *= excess
    if peak > STEADY or excess > 1.0:
        s["status"] |= MAG_REJECTED
    else:
        s["status"] &= ~MAG_REJECTED
    heading_only(s, off, variance)


@kernel
def heading_only(s, residual, variance):
    """Scalar measurement of heading that leaves tilt, velocity and accelerometer bias alone (Schmidt)."""
    P, ph, dx = s["P"], s["ph"], s["dx"]
    z = TH + 2
    for i in range(N):
        ph[i] = P[z, i]
    gain = 1.0 / (ph[z] + variance)
    for i in range(N):
        own = i == z or BG <= i < V or i >= MG
        if own:
            dx[i] += ph[i] * gain * residual
        for j in range(N):
            if own or j == z or BG <= j < V or j >= MG:
                P[i, j] -= ph[i] * ph[j] * gain
