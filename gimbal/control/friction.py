"""Friction and cable torque of each joint from its measured rate and angle, to be fed forward.

LuGre (C. Canudas de Wit, H. Olsson, K. J. Astrom, P. Lischinsky, IEEE Trans. Automatic Control 40(3), 1995, eq. 1-5):
the bristle deflection is run as a model beside the real joint, so that the pre-sliding torque at a reversal is
known and not a sign function's guess. The bristle equation is stepped exactly for a constant rate: stable at any rate.
"""

from __future__ import annotations

import math

import numpy as np

from gimbal.kernels.build import kernel

FRICTION_PARAMS = np.dtype(
    [
        ("coulomb", "f8"),
        ("breakaway", "f8"),
        ("stribeck", "f8"),
        ("viscous", "f8"),
        ("bristle", "f8"),
        ("bristle_damping", "f8"),
        ("cable", "f8", 3),
        ("cable_mid", "f8", 3),
        ("hysteresis", "f8"),  # N m at which the cable's strands slide
        ("hysteresis_spring", "f8"),  # N m/rad until then
        ("hysteresis_on", "u1", 3),
        ("friction_on", "u1"),
        ("cable_on", "u1"),
    ],
    align=True,
)
FRICTION_STATE = np.dtype([("z", "f8", 3), ("slip", "f8", 3)], align=True)


@kernel
def friction_torque(p, s, axis, rate, angle, dt_s):
    """Torque (N m) the motor must add to overcome friction and cable of one joint."""
    total = 0.0
    if p["friction_on"]:
        v = rate
        ratio = v / p["stribeck"]
        level = p["coulomb"] + (p["breakaway"] - p["coulomb"]) * math.exp(-ratio * ratio)
        z = s["z"][axis]
        decay = p["bristle"] * abs(v) / level  # 1/s
        z_end = math.copysign(level / p["bristle"], v)
        k = math.exp(-decay * dt_s)
        z_new = z_end + (z - z_end) * k if decay > 0.0 else z
        s["z"][axis] = z_new
        total += p["bristle"] * z_new + p["bristle_damping"] * (z_new - z) / dt_s + p["viscous"] * v
    if p["cable_on"]:
        total += p["cable"][axis] * (angle - p["cable_mid"][axis])
        if p["hysteresis_on"][axis]:
            slip = s["slip"][axis] + p["hysteresis_spring"] * rate * dt_s
            s["slip"][axis] = min(max(slip, -p["hysteresis"]), p["hysteresis"])
            total += s["slip"][axis]
    return total
