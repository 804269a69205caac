"""Attitude loop: from attitude error to a rate command, and the attitude the loop trusts between corrections."""

from __future__ import annotations

import math

import numpy as np

from gimbal.kernels.build import kernel
from gimbal.kernels.quat import load3, load4, norm3, q_conj, q_exp, q_log, q_mul, q_rotate, scale3, store3

POINTING_PARAMS = np.dtype(
    [("gain", "f8", 3), ("max_rate", "f8"), ("blend_tau_s", "f8"), ("blend_fast_rad", "f8")], align=True
)
POINTING_STATE = np.dtype([("correction_N", "f8", 3)], align=True)


@kernel
def smooth_attitude(p, s, nav, dt_s):
    """q_NC for control: the estimate without the steps of its corrections.

    The filter corrects tilt and heading a few times a second; each correction would kick the camera. Control
    holds against the gyro-integrated attitude and lets the accumulated correction in with ``blend_tau_s``,
    faster while it is large (alignment), so that what remains lies below the picture's jitter band.
    """
    c = (
        s["correction_N"][0] + nav["correction_N"][0],
        s["correction_N"][1] + nav["correction_N"][1],
        s["correction_N"][2] + nav["correction_N"][2],
    )
    n = norm3(c)
    if not math.isfinite(n):
        c = (0.0, 0.0, 0.0)
        n = 0.0
    tau = p["blend_tau_s"] if n < p["blend_fast_rad"] else p["blend_tau_s"] * p["blend_fast_rad"] / n
    c = scale3(c, max(0.0, 1.0 - dt_s / tau))
    store3(s["correction_N"], c)
    return q_mul(q_exp((-c[0], -c[1], -c[2])), load4(nav["q_NC_est"]))


@kernel
def point(p, q_NC, setpoint, control):
    """Rate command in camera axes (CONTROL.rate_cmd_C) from the attitude error (body side)."""
    q_err = q_mul(q_conj(q_NC), load4(setpoint["q_NC_sp"]))
    err = q_log(q_err)
    rate_sp = q_rotate(q_err, load3(setpoint["rate_sp_C"]))  # setpoint axes -> camera axes
    store3(control["attitude_err_C"], err)
    for i in range(3):
        correction = min(max(p["gain"][i] * err[i], -p["max_rate"]), p["max_rate"])
        control["rate_cmd_C"][i] = rate_sp[i] + correction
