"""Joint angles and rates, with their age: a value that stopped coming is not a measurement."""

from __future__ import annotations

import math

import numpy as np

from gimbal.kernels.build import kernel

AHEAD_NS = 5_000_000  # as for the IMU: a stamp from the future would hide that nothing comes any more

ENCODER_PARAMS = np.dtype([("late_ns", "i8")], align=True)  # readings are older than their stamps by this
ENCODER_STATE = np.dtype(
    [("t_ns", "i8", 3), ("angle", "f8", 3), ("rate", "f8", 3), ("torque", "f8", 3), ("seen", "u1", 3)], align=True
)


@kernel
def measure_joints(p, s, sense, meas):
    """Fill the joint part of MEAS from SENSE; between new values the last one is kept with its age."""
    for i in range(3):
        angle = sense["joint_angle"][i]
        rate = sense["joint_rate"][i]
        t_ns = sense["joint_t_ns"][i] - p["late_ns"]
        new = sense["joint_valid"][i] != 0 and math.isfinite(angle + rate)
        if t_ns > sense["t_ns"] + AHEAD_NS:
            new = False
        if new and s["seen"][i] and t_ns <= s["t_ns"][i]:
            new = False
        if new:
            s["t_ns"][i] = t_ns
            s["angle"][i] = angle
            s["rate"][i] = rate
            s["torque"][i] = sense["joint_torque_applied"][i]
            s["seen"][i] = 1
        meas["joint_new"][i] = 1 if new else 0
        meas["joint_valid"][i] = s["seen"][i]
        meas["joint_t_ns"][i] = s["t_ns"][i]
        meas["joint_age_ns"][i] = sense["t_ns"] - s["t_ns"][i] if s["seen"][i] else 1_000_000_000
        meas["joint_angle_meas"][i] = s["angle"][i]
        meas["joint_rate_meas"][i] = s["rate"][i]
        meas["joint_torque_applied"][i] = s["torque"][i]
