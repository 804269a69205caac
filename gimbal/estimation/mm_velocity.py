"""Measurement model: velocity is zero, loosely. What ties tilt to gravity where nothing measures velocity.

Instead of "the accelerometer shows gravity" the filter integrates specific force and observes that a hand, a rig or
a vehicle does not gather speed for ever: accelerations that come and go cancel by themselves.
"""

from __future__ import annotations

import math

from gimbal.estimation.attitude import update_state
from gimbal.estimation.layout import V
from gimbal.kernels.build import kernel
from gimbal.kernels.quat import load3, norm3


@kernel
def zero_velocity(p, s, std):
    """Observe v_N = 0 at the last epoch with the standard deviation std (m/s) for an epoch of `period`."""
    variance = std * std * p["period"] / s["epoch_T"]
    if p["norm_gate"] > 0.0:
        off = abs(norm3(load3(s["epoch_f"])) - p["gravity"]) / p["norm_gate"]
        variance *= 1.0 + off * off * off * off
    for i in range(3):
        at_epoch = s["v"][i] - (s["d"][i] - s["epoch_d"][i])
        update_state(s, V + i, -at_epoch, variance)


@kernel
def plausible_speed(s, limit):
    return math.sqrt(s["v"][0] ** 2 + s["v"][1] ** 2 + s["v"][2] ** 2) < limit
