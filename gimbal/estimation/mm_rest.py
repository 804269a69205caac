"""Is it at rest? Rate and specific force stay near their slow means for a while, judged on epoch means.

After VQF (Laidig, Seel: "VQF: Highly accurate IMU orientation estimation with bias estimation and magnetic
disturbance rejection", Information Fusion 91, 2023, doi 10.1016/j.inffus.2022.10.014), with epoch means in place of
its low-pass filters.
"""

from __future__ import annotations

from gimbal.estimation.layout import BG, I_A2, I_T, I_W, REST
from gimbal.kernels.build import kernel

SLOW_S = 0.5  # time constant of the slow means


@kernel
def detect_rest(p, s, may_rest):
    """Judge the last epoch; sets and clears the REST bit. may_rest is False where something shows motion."""
    T = s["epoch"][I_T]
    mean = s["rest_mean"]
    quiet = may_rest and s["epoch"][I_A2] < 4.0 * p["rest_accel"] ** 2
    for i in range(6):
        e = s["epoch"][I_W + i] - mean[i]
        mean[i] += e * T / (SLOW_S + T)
        limit = p["rest_gyro"] if i < 3 else p["rest_accel"]
        quiet = quiet and abs(e) < limit and (i >= 3 or abs(mean[i] - s["x"][BG + i]) < p["rest_rate_max"])
    s["rest_t"] = s["rest_t"] + T if quiet else 0.0
    resting = s["rest_t"] >= p["rest_s"]
    s["status"] = (s["status"] | REST) if resting else (s["status"] & ~REST)
    return resting
