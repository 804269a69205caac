"""Heading (and tilt) found from GNSS velocity, standing or in motion, by itself.

Over the time between two fixes, the integral of specific force that the strapdown saw must equal the change of
measured velocity minus gravity. The rotation that best turns one set of such vectors into the other is Wahba's
problem, solved with Davenport's matrix. After Wu and Pan, "Velocity/Position Integration Formula Part I", IEEE Trans.
AES 49(2), 2013, doi 10.1109/TAES.2013.6494395; the course over ground adds a weak vector where the profile allows.
"""

from __future__ import annotations

import math

from gimbal.estimation.attitude import clear_integrals
from gimbal.estimation.layout import COARSE, HEADING, K_D, K_U, TH, X_VEL, X_VEL_STD, N, V
from gimbal.kernels.build import kernel
from gimbal.kernels.quat import load3, load4, q_exp, q_log, q_mul, q_normalize, q_rotate, store3, store4

FORGET_S = 20.0
ENOUGH = 16.0  # 1/rad²: heading known to 0.25 rad
SCARCE = 4.0  # 1/rad²: to 0.5 rad, taken after
PATIENCE = 10  # fixes without more, or at once where the course is part of it
TILT_STD = 0.06  # rad, afterwards at best
HEADING_FLOOR = 0.06  # rad
LONGEST_S = 2.5  # s between fixes
MODEL_ERROR = 0.03  # of the fall between fixes: what gyro, accelerometer and timing leave in a vector
SQUARINGS = 18


@kernel
def gather(p, s, t_ns):
    """Take the fix of t_ns into the sums; returns the information on heading (1/rad²), 0 before the second fix.

    B sums weight true seen', C weight true true', D weight seen seen'. The information on a small turn is tr(C) 1 - C;
    what is left for heading when the tilt must be found as well needs two directions, not one: a Schur complement. The
    lesser of C's and D's counts: a receiver's noise, at rest, and a tilt error look like turns in one of them only.
    """
    fix, then, last, B = s["fix"], s["then"], s["align_last"], s["align_B"]
    C, D = s["align_C"], s["align_D"]
    dt = (t_ns - s["align_ns"]) * 1e-9
    use = s["align_ns"] != 0 and 0.02 < dt < LONGEST_S
    fall = p["gravity"] * dt if use else 0.0
    std = max(fix[X_VEL_STD], p["gnss_std_min"])
    weight = 1.0 / (2.0 * std * std + (MODEL_ERROR * fall) ** 2) if use else 0.0
    keep = math.exp(-dt / FORGET_S) if use else 1.0
    if s["align_n"] == 0:
        keep = 0.0
    for i in range(3):
        true_i = fix[X_VEL + i] - then[K_U + i] - last[i] - (fall if i == 2 else 0.0)
        seen_i = then[K_D + i] - last[3 + i] - (fall if i == 2 else 0.0)
        for j in range(3):
            down = fall if j == 2 else 0.0
            B[i, j] = keep * B[i, j] + weight * true_i * (then[K_D + j] - last[3 + j] - down)
            C[i, j] = keep * C[i, j] + weight * true_i * (fix[X_VEL + j] - then[K_U + j] - last[j] - down)
            D[i, j] = keep * D[i, j] + weight * seen_i * (then[K_D + j] - last[3 + j] - down)
    for i in range(3):
        last[i] = fix[X_VEL + i] - then[K_U + i]
        last[3 + i] = then[K_D + i]
    s["align_ns"] = t_ns
    s["align_n"] += 1 if use else 0
    return min(about_heading(C), about_heading(D)) if s["align_n"] > 0 else 0.0


@kernel
def about_heading(C):
    """Information on heading (1/rad²) when the tilt must be found as well."""
    xx, yy, zz = C[0, 0], C[1, 1], C[2, 2]
    return xx + yy - C[0, 2] ** 2 / (yy + zz) - C[1, 2] ** 2 / (xx + zz)


@kernel
def add_course(p, s):
    """Add the course's vector to the sums where the profile and the speed allow; returns its information (1/rad²)."""
    fix, nose, B = s["fix"], s["nose_N"], s["align_B"]
    speed = math.hypot(fix[X_VEL], fix[X_VEL + 1])
    across = math.hypot(nose[0], nose[1])
    if p["course_std"] <= 0.0 or speed < p["course_speed"] or across < 0.3:
        return 0.0
    info = 1.0 / (p["course_std"] ** 2 + (fix[X_VEL_STD] / speed) ** 2)
    for i in range(2):
        for j in range(2):
            B[i, j] += info * fix[X_VEL + i] * nose[j] / (speed * across)
    return info


@kernel
def davenport(s):
    """Quaternion of the rotation R that maximises sum w true . (R seen), from B = sum w true seen'.

    The vector of the greatest eigenvalue, by squaring the shifted 4 x 4 matrix.
    """
    B, K, W = s["align_B"], s["align_K"], s["W"]
    trace = B[0, 0] + B[1, 1] + B[2, 2]
    shift = 0.0
    for i in range(3):
        j, k = (i + 1) % 3, (i + 2) % 3
        K[0, i + 1] = B[k, j] - B[j, k]
        K[i + 1, 0] = K[0, i + 1]
        for c in range(3):
            K[i + 1, c + 1] = B[i, c] + B[c, i] - (trace if i == c else 0.0)
            shift += abs(B[i, c])
    K[0, 0] = trace
    for i in range(4):
        K[i, i] += 2.0 * shift
    for _ in range(SQUARINGS):
        scale = 1.0 / (K[0, 0] + K[1, 1] + K[2, 2] + K[3, 3])
        for i in range(4):
            for j in range(4):
                W[i, j] = 0.0
                for k in range(4):
                    W[i, j] += scale * K[i, k] * scale * K[k, j]
        for i in range(4):
            for j in range(4):
                K[i, j] = W[i, j]
    best = 0
    for i in range(1, 4):
        best = i if K[i, i] > K[best, best] else best
    return q_normalize((K[0, best], K[1, best], K[2, best], K[3, best]))


@kernel
def align(p, s, t_ns, info):
    """Turn the estimate into the frame that the sums determine and tie its heading to north."""
    fix, then, x, track, P, C = s["fix"], s["then"], s["x"], s["track"], s["P"], s["align_C"]
    turn = davenport(s)
    before = load4(s["q"])
    after = q_normalize(q_mul(turn, before))
    store4(s["q"], after)
    # the output takes the new heading at once, said in NAV.heading_step, and runs into the new tilt without a step
    heading = 2.0 * math.atan2(turn[3], turn[0])
    kept = q_mul(q_exp((0.0, 0.0, heading)), q_mul(q_exp(load3(s["off"])), before))
    if p["bleed_s"] > 0.0:
        store3(s["off"], q_log(q_mul(kept, (after[0], -after[1], -after[2], -after[3]))))
    s["heading_step"] += heading
    fall = p["gravity"] * (s["t_ns"] - t_ns) * 1e-9
    since = (track[0] - then[0], track[1] - then[1], track[2] - then[2] - fall)
    moved = q_rotate(turn, since)
    for i in range(N):
        for j in range(3):
            P[i, j] = 0.0
            P[j, i] = 0.0
            P[i, V + j] = 0.0
            P[V + j, i] = 0.0
    for i in range(3):
        x[V + i] = fix[X_VEL + i] - then[K_U + i] + moved[i] + (fall if i == 2 else 0.0)
        P[TH + i, TH + i] = TILT_STD**2 + 1.0 / C[2, 2] if i < 2 else HEADING_FLOOR**2 + 1.0 / info
        P[V + i, V + i] = fix[X_VEL_STD] ** 2 + 0.01
        s["epoch_d"][i] = track[K_D + i]
    s["heading_var"] = 0.0
    s["heading_soft"] = 0
    s["status"] = (s["status"] | HEADING) & ~COARSE
    s["ring_n"] = 0  # what was kept is in the frame that was left
    s["fix_pending"] = 0
    s["fix_used_ns"] = s["t_ns"]
    clear_integrals(s)
