"""The error-state Kalman filter: strapdown at the IMU's rate, covariance at epochs from accumulated integrals.

Multiplicative error state on the world side (Markley, "Attitude Error Representations for Kalman Filtering", JGCD
26(2), 2003, doi 10.2514/2.5048; Sola, "Quaternion kinematics for the error-state Kalman filter", 2017,
arXiv 1711.02508, with the global error of section 7). Sensor models: rate = (1 - Mg) gyro - bg - noise,
specific force = accel - ba - noise.
"""

from __future__ import annotations

import math

from gimbal.estimation.layout import (
    BA,
    BG,
    CLIPPED,
    I_A,
    I_A2,
    I_F,
    I_Q,
    I_T,
    I_W,
    I_W2,
    K_D,
    K_P,
    MG,
    SUMS,
    TH,
    N,
    V,
)
from gimbal.kernels.build import kernel
from gimbal.kernels.quat import load3, load4, q_exp, q_mul, q_normalize, store3, store4

LOST = 2.5  # times the usual time between samples
REPEATS = 3  # equal samples in a row, at a high rate: the axis is clipped
REPEAT_RATE = 3.0  # rad/s


@kernel
def strapdown(p, s, g, a, dt):
    """One IMU sample: attitude and velocity forward by dt (s), and the integrals the covariance will need.

    A sample is taken as the mean over the time since the one before (or as the rate at its instant: point_share); its
    force is turned by the attitude of mid-interval. g (rad/s) and a (m/s²): gyro and accelerometer, tuples in C.
    """
    x = s["x"]
    g0, g1, g2 = g
    w0 = g0 - x[BG] - (x[MG] * g0 + x[MG + 1] * g1 + x[MG + 2] * g2)
    w1 = g1 - x[BG + 1] - (x[MG + 3] * g0 + x[MG + 4] * g1 + x[MG + 5] * g2)
    w2 = g2 - x[BG + 2] - (x[MG + 6] * g0 + x[MG + 7] * g1 + x[MG + 8] * g2)
    f = (a[0] - x[BA], a[1] - x[BA + 1], a[2] - x[BA + 2])
    old = s["omega"]
    c = p["point_share"] if dt < LOST * p["dt"] else 0.5  # over lost samples the rate is the mean of both ends
    turn = (dt * (w0 + c * (old[0] - w0)), dt * (w1 + c * (old[1] - w1)), dt * (w2 + c * (old[2] - w2)))
    before = load4(s["q"])
    q = q_normalize(q_mul(before, q_exp(turn)))
    store4(s["q"], q)
    store3(s["omega"], (w0, w1, w2))
    store3(s["force"], f)
    mid = q_normalize((q[0] + before[0], q[1] + before[1], q[2] + before[2], q[3] + before[3]))
    accumulate(p, s, mid, g, a, f, dt)
    s["sums"][I_W2] += (w0 * w0 + w1 * w1 + w2 * w2) * dt
    if clipped(p, s, g):
        s["status"] |= CLIPPED
        s["sums"][I_Q] += p["clip_noise"] ** 2 * dt


@kernel
def accumulate(p, s, q, g, a, f, dt):
    """Velocity and position forward; the transition's integrals (rows of F) and the epoch's sums."""
    w, x, y, z = q
    x2, y2, z2 = x + x, y + y, z + z
    rows = (
        (1.0 - y * y2 - z * z2, x * y2 - w * z2, x * z2 + w * y2),
        (x * y2 + w * z2, 1.0 - x * x2 - z * z2, y * z2 - w * x2),
        (x * z2 - w * y2, y * z2 + w * x2, 1.0 - x * x2 - y * y2),
    )
    F, sums, track, est = s["F"], s["sums"], s["track"], s["x"]
    for i in range(3):
        r0, r1, r2 = rows[i]
        r0 *= dt
        r1 *= dt
        r2 *= dt
        dv = r0 * f[0] + r1 * f[1] + r2 * f[2]
        sums[I_F + i] += dv
        dv += p["gravity"] * dt if i == 2 else 0.0
        est[V + i] += dv
        track[K_D + i] += dv
        step = est[V + i] * dt
        track[K_P + i] += step
        s["pos"][i] += step
        sums[I_W + i] += g[i] * dt
        sums[I_A + i] += a[i] * dt
        F[i, BG] -= r0
        F[i, BG + 1] -= r1
        F[i, BG + 2] -= r2
        for k in range(3):
            F[i, MG + k] -= r0 * g[k]
            F[i, MG + 3 + k] -= r1 * g[k]
            F[i, MG + 6 + k] -= r2 * g[k]
    sums[I_A2] += (a[0] * a[0] + a[1] * a[1] + a[2] * a[2]) * dt
    sums[I_T] += dt


@kernel
def clipped(p, s, g):
    """True if an axis is at its range: told by the range, or by a value at a high rate that repeats itself."""
    at_range = False
    again = False
    raw = s["raw"]
    for i in range(3):
        fast = abs(g[i])
        at_range = at_range or fast >= p["gyro_range"]
        again = again or (fast > REPEAT_RATE and g[i] == raw[i])
        raw[i] = g[i]
    s["repeats"] = s["repeats"] + 1 if again else 0
    return at_range or s["repeats"] >= REPEATS


@kernel
def clear_integrals(s):
    for i in range(SUMS):
        s["sums"][i] = 0.0
    for i in range(6):
        for j in range(N):
            s["F"][i, j] = 0.0


@kernel
def predict(p, s):
    """Covariance forward over the epoch, P = F P F' + Q; the integrals start again, the epoch's means are kept."""
    P, F, W, sums, epoch = s["P"], s["F"], s["W"], s["sums"], s["epoch"]
    T = sums[I_T]
    for i in range(3):  # complete F: the velocity sees the attitude error of mid-epoch, turned by the force
        j, k = (i + 1) % 3, (i + 2) % 3
        for c in range(N):
            F[3 + i, c] -= 0.5 * (sums[I_F + j] * F[k, c] - sums[I_F + k] * F[j, c])
            if c < 3:
                F[3 + i, BA + c] += F[i, BG + c]
        F[3 + i, TH + k] = -sums[I_F + j]
        F[3 + i, TH + j] = sums[I_F + k]
        F[3 + i, V + i] = 1.0
    for i in range(3):
        F[i, TH + i] = 1.0
    multiply(P, F, W)
    for i in range(SUMS):
        epoch[i] = sums[i] / T
    epoch[I_A2] -= epoch[I_A] ** 2 + epoch[I_A + 1] ** 2 + epoch[I_A + 2] ** 2
    epoch[I_T] = T
    q_th = p["gyro_rate_noise"] ** 2 * sums[I_W2] + sums[I_Q]
    q_v = p["vibration_noise"] ** 2 * max(epoch[I_A2], 0.0) * T
    for i in range(N):
        P[i, i] += p["walk"][i] * T
        if i < 3:
            P[i, i] += q_th
            P[V + i, V + i] += q_v
            s["epoch_d"][i] = s["track"][K_D + i]
    s["epoch_ns"] = s["t_ns"]
    clear_integrals(s)


@kernel
def multiply(P, F, W):
    """P = G P G' where G is the identity but for the attitude and velocity rows, which are F."""
    for i in range(6):
        for c in range(N):
            W[i, c] = 0.0
        for k in range(N):
            f = F[i, k]
            if f != 0.0:
                for c in range(N):
                    W[i, c] += f * P[k, c]
    for i in range(6):
        row = i if i < 3 else i + 3
        for c in range(N):
            P[row, c] = W[i, c]
            P[c, row] = W[i, c]
    for i in range(6):
        row = i if i < 3 else i + 3
        for j in range(i + 1):
            total = 0.0
            for k in range(N):
                total += F[j, k] * W[i, k]
            col = j if j < 3 else j + 3
            P[row, col] = total
            P[col, row] = total


@kernel
def update_state(s, k, residual, variance):
    """Scalar measurement of error state k itself; the correction gathers in dx."""
    P, ph = s["P"], s["ph"]
    for i in range(N):
        ph[i] = P[k, i]
    subtract(s, ph[k] + variance, residual - s["dx"][k])


@kernel
def row_variance(s):
    """ph = P h; returns h P h, for the row h in the state."""
    P, h, ph = s["P"], s["h"], s["ph"]
    total = 0.0
    for i in range(N):
        dot = 0.0
        for j in range(N):
            dot += P[i, j] * h[j]
        ph[i] = dot
        total += h[i] * dot
    return total


@kernel
def update_row(s, residual, variance):
    """Scalar measurement with the row h in the state; the correction gathers in dx."""
    total = row_variance(s) + variance
    for i in range(N):
        residual -= s["h"][i] * s["dx"][i]
    subtract(s, total, residual)


@kernel
def subtract(s, total, residual):
    """dx and P after a scalar measurement whose P h is in ph and whose innovation has the variance total."""
    P, ph, dx = s["P"], s["ph"], s["dx"]
    root = 1.0 / math.sqrt(total)
    for i in range(N):
        ph[i] *= root
        dx[i] += ph[i] * root * residual
    for i in range(N):
        for j in range(N):
            P[i, j] -= ph[i] * ph[j]  # the same product both ways: P stays exactly symmetric


@kernel
def inject(p, s):
    """Put the gathered correction into the estimate. It is for the last epoch; velocity since then is turned along."""
    dx, x, sums = s["dx"], s["x"], s["sums"]
    th = load3(dx)
    store4(s["q"], q_normalize(q_mul(q_exp(th), load4(s["q"]))))
    for i in range(3):
        j, k = (i + 1) % 3, (i + 2) % 3
        dx[V + i] -= sums[I_F + j] * th[k] - sums[I_F + k] * th[j]
        if p["bleed_s"] > 0.0:
            s["off"][i] -= th[i]
        dx[i] = 0.0
    for i in range(N):
        x[i] += dx[i]
        dx[i] = 0.0
