"""Measurements into the filter: fixes with and without velocity, camera bearings; gates and what follows them.

Scalars are taken in one after the other (their noises are independent), which needs no matrix inverse. A fix whose
position jumps while its Doppler velocity is steady (multipath) gives its velocity only; if such fixes go on agreeing
with each other for ``reacquire_s`` the position is believed again and let grow loose, so that the track moves over.
"""

from __future__ import annotations

import math

from gimbal.kernels.build import kernel
from gimbal.kernels.quat import dot3, load3
from gimbal.targeting.track_bearing import take_bearing, take_gain
from gimbal.targeting.track_motion import propagate

ACCEPTED, GATED = 0, 1
NOISE_STEP_S = 0.35
FIX = 1


@kernel
def take_axis(p, f, i, z, variance):
    """Component i (0-2 position, 3-5 Doppler velocity) of a fix: a velocity is v + w, and a little old."""
    x = f["x"]
    P = f["P"]
    c = f["gain1"]
    if i < 3:
        for j in range(f["n"]):
            c[j] = P[j, i]
        take_gain(f, c, z - x[i], 1.0 / (c[i] + variance))
        return
    late = p["vel_late_s"]
    for j in range(f["n"]):
        c[j] = P[j, i] + P[j, 6 + i] - late * P[j, 3 + i]
    s = c[i] + c[6 + i] - late * c[3 + i] + variance
    take_gain(f, c, z - x[i] - x[6 + i] + late * x[3 + i], 1.0 / s)


@kernel
def nis3(P, o, variance, dx, dy, dz):
    """Normalised squared innovation of states o..o+2 measured with the same variance each."""
    a, b, c = P[o, o] + variance, P[o, o + 1], P[o, o + 2]
    d, e, f = P[o + 1, o + 1] + variance, P[o + 1, o + 2], P[o + 2, o + 2] + variance
    A, B, C = d * f - e * e, c * e - b * f, b * e - c * d
    det = a * A + b * B + c * C
    D, E, F = a * f - c * c, b * c - a * e, a * d - b * b
    q = dx * (A * dx + B * dy + C * dz) + dy * (B * dx + D * dy + E * dz) + dz * (C * dx + E * dy + F * dz)
    return q / det


@kernel
def start(p, f, m):
    """Begin a track at fix m, with the doubt of the first second."""
    x = f["x"]
    P = f["P"]
    for i in range(17):
        x[i] = 0.0
        for j in range(17):
            P[i, j] = 0.0
    has_vel = m["has_vel"] != 0
    std = p["fix_pos_std_m"] if has_vel else p["plain_share"] * m["std"][0]
    f["white2"], f["last_z_t"], f["last_dt"], f["even"] = std * std, -1e300, 0.0, 0.0
    pos, vel, acc = fix_pos_std(p, f, m), (p["fix_vel_std_m_s"] if has_vel else 20.0), (5.0 if has_vel else 8.0)
    for i in range(3):
        x[i] = m["z"][i]
        x[3 + i] = m["z"][3 + i] if has_vel else 0.0
        P[i, i] = pos * pos
        P[3 + i, 3 + i] = vel * vel
        P[6 + i, 6 + i] = acc * acc
        P[9 + i, 9 + i] = p["drift_m_s"] * p["drift_m_s"]
        f["offset"][i] = 0.0
    f["t"] = f["fix_t"] = f["use_t"] = m["t"]
    f["n"] = 12
    f["frame"] = 1.0 if has_vel else 0.0
    f["drag"] = 0.0
    f["bad_fix"] = f["bad_vel"] = f["bad_bearing"] = f["bad_fix_t"] = f["heading_std"] = 0.0
    f["bearing_t"] = -1e300


@kernel
def fix_pos_std(p, f, m):
    """White noise of a fix's position, m, as learned. Reported accuracies are slow errors and say little of it."""
    std = math.sqrt(f["white2"])
    if m["has_vel"] != 0:
        return std
    # slow sources filter their positions, which makes the noise look smaller than it is
    return min(p["plain_white"] * (0.25 + min(f["last_dt"], 2.0)) * std, p["plain_share"] * m["std"][0])


@kernel
def learn_noise(p, f, m):
    """White noise of the positions.

    With Doppler: the step between two fixes less the mean of their velocities has twice the noise's variance, and at
    intervals up to NOISE_STEP_S a manoeuvre adds only centimetres. Without: the third difference of positions at
    equal intervals has 20 times the variance and leaves nothing of a steady acceleration.

    Returns:
        by how much a fix with Doppler contradicts itself, m²: that step less those velocities, squared. Else 0.
    """
    z = m["z"]
    last = f["last_z"]
    dt = m["t"] - f["last_z_t"]
    doppler = m["has_vel"] != 0
    even = abs(dt - f["last_dt"]) < 0.1 * dt
    f["even"] = f["even"] + 1.0 if even else 0.0
    sum2 = 0.0
    for i in range(3):
        step = z[i] - last[i]
        if doppler:
            e = step - 0.5 * dt * (z[3 + i] + last[3 + i])
            last[3 + i] = z[3 + i]
        else:
            change = step - last[3 + i]
            e = change - last[6 + i]
            last[3 + i] = step
            last[6 + i] = change
        sum2 += e * e
        last[i] = z[i]
    f["last_z_t"] = m["t"]
    f["last_dt"] = dt
    if dt <= NOISE_STEP_S if doppler else f["even"] >= 2.0:
        new = min(sum2 / (6.0 if doppler else 60.0), 9.0 * f["white2"])  # a jump is not noise
        f["white2"] += (new - f["white2"]) / p["white_n"]
        f["white2"] = min(max(f["white2"], p["white_min_m"] ** 2), p["white_max_m"] ** 2)
    return sum2 if doppler else 0.0


@kernel
def learn_motion(p, f, dt):
    """The slow drag, from the along-velocity force of the estimate; and how far the velocity frame can be trusted."""
    x = f["x"]
    P = f["P"]
    speed2 = x[3] * x[3] + x[4] * x[4] + x[5] * x[5]
    doubt2 = p["trust_speed"] ** 2 * (P[3, 3] + P[4, 4] + P[5, 5]) / 3.0
    f["frame"] = speed2 / (speed2 + doubt2 + 1e-9)
    if speed2 < 25.0 or dt <= 0.0:
        return
    ft = (x[3] * x[6] + x[4] * x[7] + x[5] * (x[8] - 9.80665)) / math.sqrt(speed2)
    k = 1.0 - math.exp(-dt / p["tau_slow_drag_s"])
    f["drag"] += k * (min(max(-ft / speed2, 0.0), 0.03) - f["drag"])


@kernel
def judge_position(p, f, m, nis, dx, dy, dz):
    """Is the position of fix m to be used? Counts fixes gated in a row and believes them when they go on agreeing."""
    if nis <= p["gate_pos"]:
        f["bad_fix"] = 0.0
        return True
    o = f["offset"]
    away = math.sqrt((dx - o[0]) ** 2 + (dy - o[1]) ** 2 + (dz - o[2]) ** 2)
    jump2 = dx * dx + dy * dy + dz * dz
    o[0], o[1], o[2] = dx, dy, dz
    if f["bad_fix"] == 0.0 or away > p["agree_m"] + 0.2 * math.sqrt(jump2):
        f["bad_fix"] = 1.0
        f["bad_fix_t"] = m["t"]
        return False
    f["bad_fix"] += 1.0
    wait_s = p["reacquire_s"]
    if m["t"] - f["bearing_t"] < p["bearing_fresh_s"]:
        along = dot3((dx, dy, dz), load3(f["seen_N"]))
        if jump2 - along * along > p["agree_m"] ** 2:  # the camera sees the subject where the track is
            wait_s = p["reacquire_seen_s"]
    if f["bad_fix"] < 3.0 or m["t"] - f["bad_fix_t"] < wait_s:
        return False
    f["bad_fix"] = 0.0
    for i in range(3):  # forget where, not how it moves
        f["P"][i, i] += jump2
    return True


@kernel
def judge_velocity(p, f, nis, wrong2, slip2, dt):
    """Is the velocity of a fix to be used? Three refused in a row are believed, unless the positions contradict them
    (slip2, of learn_noise): the subject has really changed."""
    if nis <= p["gate_vel"]:
        f["bad_vel"] = 0.0
        return True
    f["bad_vel"] += 1.0
    if f["bad_vel"] < 3.0 or slip2 > 54.0 * f["white2"] + (p["slip_m_s"] * dt) ** 2:
        return False
    f["bad_vel"] = 0.0
    for i in range(3, 6):
        f["P"][i, i] += wrong2
    return True


@kernel
def wander(p, f, variance, wrong2):
    """A position off by much more than expected, the velocity being right: the receiver's own position has moved.

    Put down to the position, else it would bend the velocity.
    """
    P = f["P"]
    excess = wrong2 - p["wander_nis"] * (P[0, 0] + P[1, 1] + P[2, 2] + 3.0 * variance)
    if excess > 0.0:
        for i in range(3):
            P[i, i] += excess / 3.0


@kernel
def take_fix(p, f, m):
    """Fix m into filter f, already at its time. Returns the decision (Status)."""
    x = f["x"]
    z = m["z"]
    dt = m["t"] - f["fix_t"]
    has_vel = m["has_vel"] != 0
    step_s = m["t"] - f["last_z_t"]
    slip2 = learn_noise(p, f, m)
    std = fix_pos_std(p, f, m)
    pos_variance = std * std
    accel2 = x[6] * x[6] + x[7] * x[7] + x[8] * x[8]
    # the errors of Doppler velocities are correlated over about a second: frequent ones bring less that is new
    crowd = 0.2 / min(max(dt, 0.04), 1.0)
    vel_variance = p["fix_vel_std_m_s"] ** 2 * crowd ** p["vel_crowd"] + p["vel_blur_s"] ** 2 * accel2
    use_pos = use_vel = False
    for o in (3, 0):  # velocity first: a position that then still disagrees has wandered, it has not moved
        if o == 3 and not has_vel:
            continue
        dx, dy, dz = z[o] - x[o], z[o + 1] - x[o + 1], z[o + 2] - x[o + 2]
        wrong2 = dx * dx + dy * dy + dz * dz
        variance = pos_variance if o == 0 else vel_variance
        gate_std = p["gate_pos_m"] if o == 0 else p["gate_vel_m_s"]
        nis = nis3(f["P"], o, variance + gate_std * gate_std, dx, dy, dz)
        if o == 3:
            use_vel = use = judge_velocity(p, f, nis, wrong2, slip2, step_s)
        else:
            use_pos = use = judge_position(p, f, m, nis, dx, dy, dz)
            if use and has_vel and dt <= NOISE_STEP_S:
                wander(p, f, variance, wrong2)
        if use:
            for i in range(o, o + 3):
                take_axis(p, f, i, z[i], variance)
    if use_pos or use_vel:
        learn_motion(p, f, dt)
        f["fix_t"] = f["use_t"] = m["t"]
    return ACCEPTED if use_pos and (use_vel or not has_vel) else GATED


@kernel
def start_from_bearing(p, f, m):
    """Begin a track where no fix has come: at an assumed range, moving as the camera does (m["z"], last three)."""
    start(p, f, m)
    r = p["camera_range_m"]
    across2, along2 = (r * max(m["std"][0], 0.005)) ** 2, (0.5 * r) ** 2
    P = f["P"]
    for i in range(3):
        f["x"][i] = m["camera_N"][i] + r * m["z"][i]
        f["x"][3 + i] = m["z"][3 + i]
        for j in range(3):
            P[i, j] = (along2 - across2) * m["z"][i] * m["z"][j] + (across2 if i == j else 0.0)
        P[3 + i, 3 + i] = 64.0
    f["fix_t"] = f["last_z_t"] = -1e300
    f["frame"] = 0.0
    f["bearing_t"] = m["t"]


@kernel
def begin(p, f, m):
    """A new track from a fix, or from the bearing of a camera that knows its own motion."""
    if m["kind"] == FIX:
        start(p, f, m)
    else:
        start_from_bearing(p, f, m)


@kernel
def take(p, f, m):
    """Advance filter f to measurement m and take it in. Returns the decision (Status)."""
    if f["n"] == 0:
        if m["kind"] != FIX and m["has_vel"] == 0:
            return GATED  # a camera whose motion nobody knows
        begin(p, f, m)
        return ACCEPTED
    if m["t"] - f["use_t"] > p["lost_s"] and (m["kind"] == FIX or m["has_vel"] != 0):
        begin(p, f, m)  # dropped: begin afresh
        return ACCEPTED
    if m["kind"] == FIX and f["fix_t"] < -1e299:
        start(p, f, m)  # until now the camera alone, at a range that was only assumed
        return ACCEPTED
    propagate(p, f, m["t"])
    if m["kind"] == FIX:
        return take_fix(p, f, m)
    return take_bearing(p, f, m)
