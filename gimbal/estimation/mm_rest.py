"""Measurement model: at rest, rate and velocity are zero, and the gyro shows its bias.

Rest is told as in VQF (Laidig, Seel: "VQF: Highly accurate IMU orientation estimation with bias estimation and
magnetic disturbance rejection", Information Fusion 91, 2023, doi 10.1016/j.inffus.2022.10.014): rate and specific
force stay near their slow means for a while, here judged on epoch means.
"""

from __future__ import annotations

from gimbal.estimation.attitude import update_state
from gimbal.estimation.layout import BG, REST
from gimbal.kernels.build import kernel

SLOW_S = 0.5  # time constant of the slow means


@kernel
def detect_rest(p, s, may_rest):
    """Judge the last epoch; sets and clears the REST bit. may_rest is False where something shows motion."""
    T = s["epoch_T"]
    a = T / (SLOW_S + T)
    dw = 0.0
    df = 0.0
    rate = 0.0
    for i in range(3):
        ew = s["epoch_w"][i] - s["rest_w"][i]
        ef = s["epoch_f"][i] - s["rest_f"][i]
        dw += ew * ew
        df += ef * ef
        s["rest_w"][i] += a * ew
        s["rest_f"][i] += a * ef
        rate = max(rate, abs(s["rest_w"][i] - s["bg"][i]))
    quiet = dw < p["rest_gyro"] ** 2 and df < p["rest_accel"] ** 2 and s["epoch_f2"] < 4.0 * p["rest_accel"] ** 2
    s["rest_t"] = s["rest_t"] + T if quiet and may_rest and rate < p["rest_rate_max"] else 0.0
    if s["rest_t"] >= p["rest_s"]:
        s["status"] |= REST
    else:
        s["status"] &= ~REST
    return s["rest_t"] >= p["rest_s"]


@kernel
def zero_rate(p, s):
    """Observe that the epoch's mean rate is the gyro's bias."""
    variance = p["rest_gyro_std"] ** 2 * p["period"] / s["epoch_T"]
    for i in range(3):
        update_state(s, BG + i, s["epoch_w"][i] - s["bg"][i], variance)
