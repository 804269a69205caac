"""Heading (and tilt) found from GNSS velocity, standing or in motion, by itself.

Over the time between two fixes, the integral of specific force that the strapdown saw must equal the change of
measured velocity minus gravity. The rotation that best turns one set of such vectors into the other is Wahba's
problem, solved with Davenport's matrix. After Wu and Pan, "Velocity/Position Integration Formula Part I", IEEE Trans.
AES 49(2), 2013, doi 10.1109/TAES.2013.6494395; the course over ground adds a weak vector where the profile allows.
"""

from __future__ import annotations

import math

from gimbal.estimation.history import recall
from gimbal.estimation.layout import COARSE, HEADING, TH, N, V
from gimbal.kernels.build import kernel
from gimbal.kernels.quat import load4, q_mul, q_normalize, q_rotate, store4

FORGET_S = 20.0
ENOUGH = 4.0  # 1/rad²: heading known to 0.5 rad
TILT_STD = 0.06  # rad, afterwards
HEADING_FLOOR = 0.06  # rad
SQUARINGS = 18


@kernel
def gather(p, s):
    """Take the pending fix into the sums. Returns True when they determine the heading."""
    t_ns = s["gnss_ns"] - p["gnss_latency_ns"]
    found, d, u, _ = recall(s, t_ns)
    if not found:
        return False
    vel = s["gnss_vel"]
    dt = (t_ns - s["align_ns"]) * 1e-9
    if s["align_ns"] != 0 and 0.02 < dt < 2.5:
        fall = p["gravity"] * dt
        seen = (d[0] - s["align_d"][0], d[1] - s["align_d"][1], d[2] - s["align_d"][2] - fall)
        true = (
            vel[0] - u[0] - s["align_vel"][0],
            vel[1] - u[1] - s["align_vel"][1],
            vel[2] - u[2] - s["align_vel"][2] - fall,
        )
        std = max(s["gnss_std"], p["gnss_std_min"])
        weight = 1.0 / (2.0 * std * std + (0.03 * fall) ** 2)
        keep = math.exp(-dt / FORGET_S)
        forget(s, keep)
        add_pair(s, true, seen, weight)
        s["align_info"] += weight * (true[0] ** 2 + true[1] ** 2)
        s["align_n"] += 1
    s["align_ns"] = t_ns
    for i in range(3):
        s["align_d"][i] = d[i]
        s["align_vel"][i] = vel[i] - u[i]
    return s["align_n"] >= 1 and s["align_info"] + course_info(p, s) > ENOUGH


@kernel
def forget(s, keep):
    s["align_info"] *= keep
    for i in range(3):
        for j in range(3):
            s["align_B"][i, j] *= keep


@kernel
def add_pair(s, true, seen, weight):
    for i in range(3):
        for j in range(3):
            s["align_B"][i, j] += weight * true[i] * seen[j]


@kernel
def course_info(p, s):
    """Information (1/rad²) on heading from the course; 0 where it says nothing."""
    speed = math.hypot(s["gnss_vel"][0], s["gnss_vel"][1])
    across = math.hypot(s["course_x"][0], s["course_x"][1])
    if p["course_std"] <= 0.0 or speed < p["course_speed"] or across < 0.3:
        return 0.0
    slip = s["gnss_std"] / speed
    return 1.0 / (p["course_std"] ** 2 + slip * slip)


@kernel
def davenport(s):
    """Quaternion of the rotation that maximises sum w true . (R seen), from B = sum w true seen^T.

    The greatest eigenvalue's vector by squaring the shifted 4 x 4 matrix.
    """
    B, K = s["align_B"], s["align_K"]
    trace = B[0, 0] + B[1, 1] + B[2, 2]
    z = (B[2, 1] - B[1, 2], B[0, 2] - B[2, 0], B[1, 0] - B[0, 1])
    shift = 0.0
    for i in range(3):
        for j in range(3):
            K[i + 1, j + 1] = B[i, j] + B[j, i] - (trace if i == j else 0.0)
            shift += abs(B[i, j])
        K[0, i + 1] = z[i]
        K[i + 1, 0] = z[i]
    K[0, 0] = trace
    for i in range(4):
        K[i, i] += 2.0 * shift
    for _ in range(SQUARINGS):
        scale = 1.0 / (K[0, 0] + K[1, 1] + K[2, 2] + K[3, 3])
        square4(K, s["W"], scale * scale)
    best = 0
    for i in range(1, 4):
        if K[i, i] > K[best, best]:
            best = i
    return q_normalize((K[0, best], K[1, best], K[2, best], K[3, best]))


@kernel
def square4(K, W, scale):
    for i in range(4):
        for j in range(4):
            x = 0.0
            for k in range(4):
                x += K[i, k] * K[k, j]
            W[i, j] = x * scale
    for i in range(4):
        for j in range(4):
            K[i, j] = W[i, j]


@kernel
def align(p, s):
    """Turn the estimate into the frame that the sums determine and tie its heading to north."""
    info = s["align_info"]
    weight = course_info(p, s)
    if weight > 0.0:
        speed = math.hypot(s["gnss_vel"][0], s["gnss_vel"][1])
        across = math.hypot(s["course_x"][0], s["course_x"][1])
        course = (s["gnss_vel"][0] / speed, s["gnss_vel"][1] / speed, 0.0)
        nose = (s["course_x"][0] / across, s["course_x"][1] / across, 0.0)
        add_pair(s, course, nose, weight)
        info += weight
    turn = davenport(s)
    store4(s["q"], q_normalize(q_mul(turn, load4(s["q"]))))
    found, d, u, _ = recall(s, s["gnss_ns"] - p["gnss_latency_ns"])
    since = (s["d"][0] - d[0], s["d"][1] - d[1], s["d"][2] - d[2])
    lag = (s["t_ns"] - s["gnss_ns"] + p["gnss_latency_ns"]) * 1e-9
    moved = q_rotate(turn, (since[0], since[1], since[2] - p["gravity"] * lag))
    s["v"][0] = s["gnss_vel"][0] - u[0] + moved[0]
    s["v"][1] = s["gnss_vel"][1] - u[1] + moved[1]
    s["v"][2] = s["gnss_vel"][2] - u[2] + moved[2] + p["gravity"] * lag
    uncouple(s, V, s["gnss_std"] ** 2 + 0.01)
    uncouple(s, TH, TILT_STD**2)
    s["P"][TH + 2, TH + 2] = 1.0 / info + HEADING_FLOOR**2
    s["heading_var"] = 0.0
    s["status"] = (s["status"] | HEADING) & ~COARSE
    s["ring_n"] = 0  # what was kept is in the old frame
    s["gnss_pending"] = 0
    s["gnss_last_ns"] = s["t_ns"]
    restart_epoch(s)


@kernel
def restart_epoch(s):
    """Begin a new epoch here: the integrals so far are in a frame that was left."""
    s["T"] = 0.0
    s["iw2"] = 0.0
    s["if2"] = 0.0
    for i in range(3):
        s["iF"][i] = 0.0
        s["iw"][i] = 0.0
        s["if"][i] = 0.0
        s["epoch_d"][i] = s["d"][i]
        for j in range(3):
            s["iR"][i, j] = 0.0
            s["iRa"][i, j] = 0.0
        for j in range(9):
            s["iRw"][i, j] = 0.0
    s["epoch_ns"] = s["t_ns"]


@kernel
def uncouple(s, first, variance):
    """Forget what three states have to do with the others and set their variance."""
    P = s["P"]
    for i in range(first, first + 3):
        s["dx"][i] = 0.0
        for j in range(N):
            P[i, j] = 0.0
            P[j, i] = 0.0
        P[i, i] = variance


@kernel
def restart_alignment(s):
    s["align_n"] = 0
    s["align_ns"] = 0
    s["align_info"] = 0.0
    forget(s, 0.0)
