"""Attitude loop: the attitude that control holds against, and from its error a rate command.

The estimator's corrections of tilt, heading and gyro bias are right in the mean and would be seen in the picture. So
control holds against an attitude of its own: every gyro sample integrated, less a slowly followed bias, and drawn to
the estimate through three poles, so that even a jump of the estimate reaches the camera without a step in its third
derivative.
"""

from __future__ import annotations

import math

import numpy as np

from gimbal.kernels.build import kernel
from gimbal.kernels.quat import (
    load3,
    load4,
    norm3,
    q_axis,
    q_conj,
    q_exp,
    q_log,
    q_mul,
    q_normalize,
    q_rotate,
    scale3,
    store3,
    store4,
)

ROUGH_S = 1.0  # armed before the tilt is known: the estimate draws so hard until it is

POINTING_PARAMS = np.dtype(
    [
        ("gain", "f8", 3),
        ("max_rate", "f8"),
        ("brake", "f8"),  # rad/s²: from a large error the camera comes back at a rate it can stop from
        ("draw_s", "f8"),  # the estimate draws control's attitude with this time constant,
        ("draw_lag_s", "f8"),  # through two low-passes of this one
        ("snap", "f8"),  # rad: a larger error is a new attitude (first alignment), taken at once
        ("draw_most", "f8", 3),  # rad, about N's axes: more than this doesn't draw harder
        ("snap_heading", "f8"),  # rad: north so far off turns N and what is held in it, not the camera
        ("dt_s", "f8"),
    ],
    align=True,
)
POINTING_STATE = np.dtype(
    [
        ("q_NC", "f8", 4),
        ("bias", "f8", (2, 3)),  # two low-passes of the estimated gyro bias
        ("draw", "f8", (2, 3)),  # and of the rotation from control's attitude to the estimate, in N
        ("north", "f8"),  # heading from control's attitude to the estimate, low-passed
        ("rate", "f8", 3),
        ("out", "f8", 4),
        ("started", "u1"),
        ("snapped", "u1"),  # this tick; snap_N is the rotation in N that was jumped
        ("snap_N", "f8", 4),
    ],
    align=True,
)


@kernel
def _start(s, nav, age_s):
    q = load4(nav["q_NC_est"])
    store4(s["out"], q)
    store4(s["q_NC"], q_mul(q, q_exp(scale3(load3(nav["omega_NC_C_est"]), -age_s))))
    for i in range(3):
        s["bias"][0, i] = nav["gyro_bias"][i]
        s["bias"][1, i] = nav["gyro_bias"][i]
        s["draw"][0, i] = 0.0
        s["draw"][1, i] = 0.0
    s["north"] = 0.0
    s["started"] = nav["valid"]


@kernel
def hold_attitude(p, s, meas, nav):
    """Advance control's attitude by one tick: ``out`` (q_NC for the moment of NAV) and ``rate`` (rad/s, C).

    All of the estimate's steps arrive slowly; where control's attitude and the estimate are ``snap`` apart, it starts
    anew from the estimate. While the carrier stands in for the camera's IMU, it is the estimate.
    """
    s["snapped"] = 0
    age_s = min(max(1e-9 * meas["imu_age_ns"], 0.0), 0.05)
    if nav["carried"] or not s["started"]:
        store3(s["rate"], load3(nav["omega_NC_C_est"]))
        _start(s, nav, age_s)
        return
    dt_s = p["dt_s"]
    k = dt_s / p["draw_lag_s"]
    for i in range(3):
        s["bias"][0, i] += k * (nav["gyro_bias"][i] - s["bias"][0, i])
        s["bias"][1, i] += k * (s["bias"][0, i] - s["bias"][1, i])
        s["rate"][i] = nav["omega_NC_C_est"][i] + nav["gyro_bias"][i] - s["bias"][1, i]
    q = load4(s["q_NC"])
    if nav["heading_step"] != 0.0:  # north was found: N turned, the camera didn't
        q = q_mul(q_axis(2, nav["heading_step"]), q)
    bias = load3(s["bias"][1])
    for n in range(meas["imu_n"]):
        h = meas["imu_dt_s"][n]
        g = load3(meas["gyro_C_meas"][n])
        q = q_mul(q, q_exp((h * (g[0] - bias[0]), h * (g[1] - bias[1]), h * (g[2] - bias[2]))))
    out = q_mul(q, q_exp(scale3(load3(s["rate"]), age_s)))
    e = q_log(q_mul(load4(nav["q_NC_est"]), q_conj(out)))
    if not norm3(e) <= p["snap"]:  # also where it is no number any more
        s["snapped"] = 1 if norm3(e) < 7.0 else 0
        store4(s["snap_N"], q_exp(e))
        _start(s, nav, age_s)
        return
    for i in range(3):
        most = p["draw_most"][i]
        s["draw"][0, i] += k * (min(max(e[i], -most), most) - s["draw"][0, i])
        s["draw"][1, i] += k * (s["draw"][0, i] - s["draw"][1, i])
    s["north"] += k * (e[2] - s["north"])
    if math.fabs(s["north"]) > p["snap_heading"]:
        s["snapped"] = 1
        store4(s["snap_N"], q_axis(2, s["north"]))
        q = q_mul(load4(s["snap_N"]), q)
        out = q_mul(load4(s["snap_N"]), out)
        s["north"] = 0.0
    draw = scale3(load3(s["draw"][1]), dt_s / p["draw_s"])
    if not nav["settled"]:  # tilt alone: a camera that is turned about down shows a level horizon
        draw = (e[0] * dt_s / ROUGH_S, e[1] * dt_s / ROUGH_S, draw[2])
    turn = q_exp(draw)
    store4(s["q_NC"], q_normalize(q_mul(turn, q)))
    store4(s["out"], q_normalize(q_mul(turn, out)))


@kernel
def point(p, q_NC, setpoint, authority, control):
    """Rate command in camera axes (CONTROL.rate_cmd_C) from the attitude error (body side).

    ``authority``, 0 to 1, of the loops inside: the gain goes with it, so that the ratio of their bandwidths stays.
    """
    q_err = q_mul(q_conj(q_NC), load4(setpoint["q_NC_sp"]))
    err = q_log(q_err)
    rate_sp = q_rotate(q_err, load3(setpoint["rate_sp_C"]))  # setpoint axes -> camera axes
    store3(control["attitude_err_C"], err)
    for i in range(3):
        most = min(p["max_rate"], math.sqrt(2.0 * p["brake"] * abs(err[i])))
        correction = min(max(authority * p["gain"][i] * err[i], -most), most)
        control["rate_cmd_C"][i] = rate_sp[i] + correction
