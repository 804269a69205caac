"""Attitude loop: from attitude error to a rate command, and the attitude the loop trusts between corrections."""

from __future__ import annotations

import numpy as np

from gimbal.kernels.build import kernel
from gimbal.kernels.quat import load3, load4, q_conj, q_exp, q_log, q_mul, q_rotate, store3

POINTING_PARAMS = np.dtype([("gain", "f8", 3), ("max_rate", "f8")], align=True)


@kernel
def smooth_attitude(nav):
    """q_NC for control: the estimate without the steps of its corrections.

    The filter corrects tilt and heading a few times a second; each correction would kick the camera. Control
    holds against the gyro-integrated attitude, into which the estimator lets its corrections in slowly.
    """
    return q_mul(q_exp(load3(nav["smoothing_N"])), load4(nav["q_NC_est"]))


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
