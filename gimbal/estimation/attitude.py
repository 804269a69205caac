"""The error-state Kalman filter: strapdown at the IMU's rate, covariance at epochs from accumulated integrals.

Multiplicative error state on the world side (Markley, "Attitude Error Representations for Kalman Filtering", JGCD
26(2), 2003, doi 10.2514/2.5048; Sola, "Quaternion kinematics for the error-state Kalman filter", 2017,
arXiv 1711.02508, with the global error of section 7). Sensor models: rate = (1 - Mg) gyro - bg - noise,
specific force = (1 - diag(sa)) accel - ba - noise.
"""

from __future__ import annotations

import math

from gimbal.estimation.layout import BA, BG, CLIPPED, MG, SA, TH, N, V
from gimbal.kernels.build import kernel
from gimbal.kernels.quat import load3, load4, q_exp, q_mul, q_normalize, store3, store4

REPEATS = 3  # equal samples in a row, at a high rate: the axis is clipped
REPEAT_RATE = 3.0  # rad/s


@kernel
def clear_integrals(s):
    s["T"] = 0.0
    s["iw2"] = 0.0
    s["if2"] = 0.0
    s["extra_q"] = 0.0
    for i in range(3):
        s["iF"][i] = 0.0
        s["iw"][i] = 0.0
        s["if"][i] = 0.0
        for j in range(3):
            s["iR"][i, j] = 0.0
            s["iRa"][i, j] = 0.0
        for j in range(9):
            s["iRw"][i, j] = 0.0


@kernel
def set_covariance(p, s, tilt_var, heading_var):
    """Start the covariance anew; the sensors' errors are forgotten as well."""
    P = s["P"]
    for i in range(N):
        s["dx"][i] = 0.0
        for j in range(N):
            P[i, j] = 0.0
    for i in range(3):
        P[TH + i, TH + i] = tilt_var if i < 2 else heading_var
        P[BG + i, BG + i] = p["gyro_bias_std0"] ** 2
        P[V + i, V + i] = p["zero_vel_std"] ** 2
        P[BA + i, BA + i] = p["accel_bias_std0"] ** 2
        P[SA + i, SA + i] = p["accel_scale_std0"] ** 2
        for j in range(3):
            k = MG + 3 * i + j
            P[k, k] = p["gyro_scale_std0"] ** 2 if i == j else p["gyro_cross_std0"] ** 2


@kernel
def clipped(p, s, gyro):
    """True if an axis is at its range: told by the range, or by a value at a high rate that repeats itself."""
    hit = False
    for i in range(3):
        again = gyro[i] == s["gyro_raw"][i] and abs(gyro[i]) > REPEAT_RATE
        s["repeats"][i] = s["repeats"][i] + 1 if again else 0
        if s["repeats"][i] >= REPEATS or abs(gyro[i]) >= p["gyro_range"]:
            hit = True
    return hit


@kernel
def strapdown(p, s, gyro, accel, dt):
    """One IMU sample: attitude and velocity forward by dt (s), and the integrals the covariance will need.

    The mean of this sample's rate and the one before turns the attitude (trapezoid). gyro (rad/s) and accel (m/s²)
    are tuples in C.
    """
    before = load3(s["omega"])
    mg = s["mg"]
    w = (
        gyro[0] - s["bg"][0] - (mg[0, 0] * gyro[0] + mg[0, 1] * gyro[1] + mg[0, 2] * gyro[2]),
        gyro[1] - s["bg"][1] - (mg[1, 0] * gyro[0] + mg[1, 1] * gyro[1] + mg[1, 2] * gyro[2]),
        gyro[2] - s["bg"][2] - (mg[2, 0] * gyro[0] + mg[2, 1] * gyro[1] + mg[2, 2] * gyro[2]),
    )
    f = (
        accel[0] - s["ba"][0] - s["sa"][0] * accel[0],
        accel[1] - s["ba"][1] - s["sa"][1] * accel[1],
        accel[2] - s["ba"][2] - s["sa"][2] * accel[2],
    )
    h = 0.5 * dt
    turn = (h * (w[0] + before[0]), h * (w[1] + before[1]), h * (w[2] + before[2]))
    q = q_normalize(q_mul(load4(s["q"]), q_exp(turn)))
    store4(s["q"], q)
    store3(s["omega"], w)
    store3(s["force"], f)

    qw, qx, qy, qz = q
    r = (
        (1.0 - 2.0 * (qy * qy + qz * qz), 2.0 * (qx * qy - qw * qz), 2.0 * (qx * qz + qw * qy)),
        (2.0 * (qx * qy + qw * qz), 1.0 - 2.0 * (qx * qx + qz * qz), 2.0 * (qy * qz - qw * qx)),
        (2.0 * (qx * qz - qw * qy), 2.0 * (qy * qz + qw * qx), 1.0 - 2.0 * (qx * qx + qy * qy)),
    )
    wdt = (gyro[0] * dt, gyro[1] * dt, gyro[2] * dt)
    fdt = (f[0] * dt, f[1] * dt, f[2] * dt)
    for i in range(3):
        row = r[i]
        dv = row[0] * fdt[0] + row[1] * fdt[1] + row[2] * fdt[2]
        s["iF"][i] += dv
        if i == 2:
            dv += p["gravity"] * dt
        s["v"][i] += dv
        s["d"][i] += dv
        s["dp"][i] += s["v"][i] * dt
        s["pos"][i] += s["v"][i] * dt
        s["iw"][i] += wdt[i]
        s["if"][i] += accel[i] * dt
        for j in range(3):
            s["iR"][i, j] += row[j] * dt
            s["iRa"][i, j] += row[j] * accel[j] * dt
            for k in range(3):
                s["iRw"][i, 3 * j + k] += row[j] * wdt[k]
    s["T"] += dt
    s["iw2"] += (w[0] * w[0] + w[1] * w[1] + w[2] * w[2]) * dt
    s["if2"] += (accel[0] * accel[0] + accel[1] * accel[1] + accel[2] * accel[2]) * dt
    if clipped(p, s, gyro):
        s["status"] |= CLIPPED
        s["extra_q"] += p["clip_noise"] ** 2 * dt
    store3(s["gyro_raw"], gyro)


@kernel
def propagate_rows(s):
    """W (6, N) = the attitude and velocity rows of F P, over the epoch in the integrals."""
    P, W, iR, iRw, iRa, iF = s["P"], s["W"], s["iR"], s["iRw"], s["iRa"], s["iF"]
    for i in range(3):
        for c in range(N):
            half = 0.0
            for j in range(3):
                half -= iR[i, j] * P[BG + j, c]
            W[i, c] = half
        for j in range(9):
            g = iRw[i, j]
            for c in range(N):
                W[i, c] -= g * P[MG + j, c]
    for i in range(3):
        a, b = (i + 1) % 3, (i + 2) % 3  # velocity -= F x theta, theta at mid-epoch
        for c in range(N):
            mid_a = P[TH + a, c] + 0.5 * W[a, c]
            mid_b = P[TH + b, c] + 0.5 * W[b, c]
            x = P[V + i, c] - (iF[a] * mid_b - iF[b] * mid_a)
            for j in range(3):
                x -= iR[i, j] * P[BA + j, c] + iRa[i, j] * P[SA + j, c]
            W[3 + i, c] = x
    for i in range(3):
        for c in range(N):
            W[i, c] += P[TH + i, c]


@kernel
def propagate_block(s):
    """The columns of the same product: P's attitude and velocity rows and columns from W."""
    P, W, iR, iRw, iRa, iF = s["P"], s["W"], s["iR"], s["iRw"], s["iRa"], s["iF"]
    for r in range(6):
        row = TH + r if r < 3 else V + r - 3
        for c in range(N):
            P[row, c] = W[r, c]
    for r in range(6):
        row = TH + r if r < 3 else V + r - 3
        for i in range(3):
            x = 0.0
            for j in range(3):
                x -= iR[i, j] * W[r, BG + j]
            for j in range(9):
                x -= iRw[i, j] * W[r, MG + j]
            s["ph"][i] = x
        for i in range(3):
            a, b = (i + 1) % 3, (i + 2) % 3
            x = W[r, V + i]
            x -= iF[a] * (W[r, TH + b] + 0.5 * s["ph"][b]) - iF[b] * (W[r, TH + a] + 0.5 * s["ph"][a])
            for j in range(3):
                x -= iR[i, j] * W[r, BA + j] + iRa[i, j] * W[r, SA + j]
            P[row, V + i] = x
            P[row, TH + i] = W[r, TH + i] + s["ph"][i]
    for r in range(6):
        row = TH + r if r < 3 else V + r - 3
        for c in range(N):
            if c < row or BG <= c < V or c >= BA:
                P[c, row] = P[row, c]


@kernel
def predict(p, s):
    """Covariance forward over the epoch; the integrals start again, the epoch's means are kept."""
    T = s["T"]
    propagate_rows(s)
    propagate_block(s)
    P = s["P"]
    spread = 0.0
    for i in range(3):
        s["epoch_w"][i] = s["iw"][i] / T
        s["epoch_f"][i] = s["if"][i] / T
        spread += s["epoch_f"][i] ** 2
        s["epoch_d"][i] = s["d"][i]
    s["epoch_f2"] = max(s["if2"] / T - spread, 0.0)
    s["epoch_T"] = T
    s["epoch_ns"] = s["t_ns"]
    q_th = p["gyro_noise"] ** 2 * T + p["gyro_rate_noise"] ** 2 * s["iw2"] + s["extra_q"]
    q_v = (p["accel_noise"] ** 2 + p["vibration_noise"] ** 2 * s["epoch_f2"]) * T
    for i in range(3):
        P[TH + i, TH + i] += q_th
        P[V + i, V + i] += q_v
        P[BG + i, BG + i] += p["gyro_bias_walk"] ** 2 * T
        P[BA + i, BA + i] += p["accel_bias_walk"] ** 2 * T
    for i in range(MG, SA):
        P[i, i] += p["gyro_scale_walk"] ** 2 * T
    clear_integrals(s)


@kernel
def update_state(s, k, residual, variance):
    """Scalar measurement of error state k itself; the correction gathers in dx. Returns the innovation's variance."""
    P, ph, dx = s["P"], s["ph"], s["dx"]
    for i in range(N):
        ph[i] = P[k, i]
    total = ph[k] + variance
    gain = (residual - dx[k]) / total
    scale = 1.0 / total
    for i in range(N):
        dx[i] += ph[i] * gain
        for j in range(N):
            P[i, j] -= ph[i] * ph[j] * scale
    return total


@kernel
def gain_of(s):
    """ph = P h; returns h P h and h dx."""
    P, h, ph, dx = s["P"], s["h"], s["ph"], s["dx"]
    hph = 0.0
    hdx = 0.0
    for i in range(N):
        x = 0.0
        for j in range(N):
            x += P[i, j] * h[j]
        ph[i] = x
        hph += h[i] * x
        hdx += h[i] * dx[i]
    return hph, hdx


@kernel
def update_row(s, residual, variance):
    """Scalar measurement with the row h in the state; the correction gathers in dx."""
    P, ph, dx = s["P"], s["ph"], s["dx"]
    hph, hdx = gain_of(s)
    total = hph + variance
    gain = (residual - hdx) / total
    scale = 1.0 / total
    for i in range(N):
        dx[i] += ph[i] * gain
        for j in range(N):
            P[i, j] -= ph[i] * ph[j] * scale
    return total


@kernel
def inject(p, s):
    """Put the gathered correction into the estimate. It is for the last epoch; velocity since then is turned along."""
    dx = s["dx"]
    th = load3(dx[TH:])
    store4(s["q"], q_normalize(q_mul(q_exp(th), load4(s["q"]))))
    for i in range(3):
        a, b = (i + 1) % 3, (i + 2) % 3
        s["v"][i] += dx[V + i] - (s["iF"][a] * th[b] - s["iF"][b] * th[a])
        if p["bleed_s"] > 0.0:
            s["off"][i] -= th[i]
        s["bg"][i] += dx[BG + i]
        s["ba"][i] += dx[BA + i]
        s["sa"][i] += dx[SA + i]
        for j in range(3):
            s["mg"][i, j] += dx[MG + 3 * i + j]
    for i in range(N):
        dx[i] = 0.0


@kernel
def tilt_std(s):
    return math.sqrt(max(0.5 * (s["P"][TH, TH] + s["P"][TH + 1, TH + 1]), 0.0))


@kernel
def heading_std(s):
    return math.sqrt(max(s["P"][TH + 2, TH + 2] + s["heading_var"], 0.0))
