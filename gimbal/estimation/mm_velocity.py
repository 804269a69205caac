"""Measurement model: velocity is zero, loosely. What ties tilt to gravity where nothing measures velocity.

Instead of "the accelerometer shows gravity" the filter integrates specific force and observes that a hand, a rig or
a vehicle does not gather speed for ever: accelerations that come and go cancel by themselves.
"""

from __future__ import annotations

from gimbal.estimation.attitude import update_state
from gimbal.estimation.layout import BG, I_A, I_T, I_W, K_D, V
from gimbal.kernels.build import kernel
from gimbal.kernels.quat import load3, norm3


@kernel
def standstill(p, s, resting):
    """Observe v_N = 0 at the last epoch: loosely, or tightly at rest, where also the rate is zero and the gyro
    shows its bias."""
    share = p["period"] / s["epoch"][I_T]
    std = p["rest_vel_std"] if resting else p["zero_vel_std"]
    variance = std * std * share
    if p["norm_gate"] > 0.0 and not resting:
        off = (norm3(load3(s["epoch"][I_A:])) - p["gravity"]) / p["norm_gate"]
        variance *= 1.0 + off * off * off * off
    for i in range(3):
        update_state(s, V + i, s["track"][K_D + i] - s["epoch_d"][i] - s["x"][V + i], variance)
        if resting:
            rate = s["epoch"][I_W + i] - s["x"][BG + i]
            update_state(s, BG + i, rate, p["rest_gyro_std"] ** 2 * share)
