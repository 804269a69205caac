"""What the filter says of a moment to come, with its covariance; the filter itself stays as it is."""

from __future__ import annotations

import math

from gimbal.kernels.build import kernel
from gimbal.targeting.track_motion import memory, noise_shape, propagate_mean, singer


@kernel
def beacons_share(f):
    """Of d, by which the stamps of beacon and camera differ: how much is put down to the beacon, 0 to 1.

    A measurement can be later than its stamp, never earlier. So a beacon later than the camera lags itself, as it is
    likelier to; one that is surely earlier (by 2 to 4 standard deviations) tells of a camera that lags.
    """
    earlier = min(max(-0.5 * f["x"][15] / math.sqrt(max(f["P"][15, 15], 1e-12)) - 1.0, 0.0), 1.0)
    return 1.0 - earlier * earlier * (3.0 - 2.0 * earlier)


@kernel
def predict(p, f, t, out, rows):
    """Subject at t (s since the epoch) by filter f into out (PREDICTION record).

    Args:
        rows: 3 for the covariance of the position only, 9 for all of position, velocity, acceleration.
    """
    x = out["x"]
    n = f["n"]
    for i in range(n):
        x[i] = f["x"][i]
    dt = t - f["t"] + (beacons_share(f) * x[15] if n > 12 else 0.0)
    propagate_mean(p, x, f["frame"], f["drag"], dt)
    for i in range(3):
        out["pos_N"][i] = x[i] - (x[12 + i] if n > 12 else 0.0)
        out["vel_N"][i] = x[3 + i]
        out["acc_N"][i] = x[6 + i]
    predict_covariance(p, f, max(dt, 0.0), out, rows)
    out["age_s"] = t - f["use_t"]
    out["late_s"] = x[15] if n > 12 else 0.0
    out["late_std_s"] = math.sqrt(max(f["P"][15, 15], 0.0)) if n > 12 else p["delay_std_s"]


@kernel
def predict_covariance(p, f, dt, out, rows):
    """cov_N of p = p_s(t + d) - b, of v and of a: H P H' + Q, H holding Singer's transition and the biases."""
    x = out["x"]
    T = out["half"]
    C = out["cov_N"]
    P = f["P"]
    n = f["n"]
    b = 1.0 if n > 12 else 0.0
    d = b * beacons_share(f)
    f12, f02, f22, q00, q01, q02, q11, q12, q22 = singer(memory(p, f["frame"]), dt)
    for i in range(3):
        v, a = d * x[3 + i], d * x[6 + i]
        for j in range(n):
            T[i, j] = P[i, j] + dt * P[3 + i, j] + f02 * P[6 + i, j] + v * P[15, j] - b * P[12 + i, j]
            if rows == 9:
                T[3 + i, j] = P[3 + i, j] + f12 * P[6 + i, j] + a * P[15, j]
                T[6 + i, j] = f22 * P[6 + i, j]
    across, along = noise_shape(p, f)
    common = b * p["delay_common_std_s"] ** 2
    for k in range(rows):
        i = k % 3
        for j in range(3):
            v, a = d * x[3 + j], d * x[6 + j]
            s = along * x[3 + i] * x[3 + j] + (across if i == j else 0.0)
            c = T[k, j] + dt * T[k, 3 + j] + f02 * T[k, 6 + j] + v * T[k, 15] - b * T[k, 12 + j]
            C[k, j] = (
                c + s * (q00 if k < 3 else (q01 if k < 6 else q02)) + (common * x[3 + i] * x[3 + j] if k < 3 else 0.0)
            )
            if rows == 9:
                c = T[k, 3 + j] + f12 * T[k, 6 + j] + a * T[k, 15]
                C[k, 3 + j] = c + s * (q01 if k < 3 else (q11 if k < 6 else q12))
                C[k, 6 + j] = f22 * T[k, 6 + j] + s * (q02 if k < 3 else (q12 if k < 6 else q22))
