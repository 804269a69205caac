"""Copying a tick into its HISTORY row, compiled: in Python it would cost more than the tick."""

from __future__ import annotations

from gimbal.kernels.build import kernel


@kernel
def note(history, row):
    """Fill a one-element HISTORY array from a one-element TICK array; the truth's fields are left alone."""
    h, r = history[0], row[0]
    h["t_ns"] = r["t_ns"]
    h["limits"] = r["health"]["limits"]
    h["arm"] = r["health"]["arm"]
    h["fast_share"] = r["control"]["fast_share"]
    for i in range(4):
        h["q_sp"][i] = r["setpoint"]["q_NC_sp"][i]
        h["q_est"][i] = r["nav"]["q_NC_est"][i]
        h["q_NB"][i] = r["nav"]["q_NB_est"][i]
    for i in range(3):
        h["attitude_err_C"][i] = r["control"]["attitude_err_C"][i]
        h["torque"][i] = r["command"]["joint_torque_cmd"][i]
        h["motor_temp_degC"][i] = r["sense"]["motor_temp_degC"][i]
        h["joint_angle"][i] = r["nav"]["joint_angle_est"][i]
