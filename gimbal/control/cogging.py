"""Cogging, learned: a motor's torque ripple over its angle, two harmonics of unknown size and phase per joint.

Feedback-error learning (M. Kawato, K. Furukawa, R. Suzuki, Biological Cybernetics 57, 1987): what the feedback still
has to do about a joint, correlated with the ripple's sine and cosine at the joint's angle, is moved over to the
feed-forward. It learns only where feedback is in phase with the disturbance (ripple well below the crossover) and
only while the joint turns; it is slower than the loop by two orders, so that it takes no margin.
"""

from __future__ import annotations

import math

import numpy as np

from gimbal.kernels.build import kernel

HARMONICS = 2

COGGING_PARAMS = np.dtype(
    [
        ("periods", "f8", HARMONICS),
        ("limit", "f8", HARMONICS),  # N m
        ("learn_1_s", "f8"),
        ("rate_min", "f8"),  # rad/s: full learning from here
        ("ripple_max", "f8"),  # rad/s of ripple: none above
        ("slow", "f8"),  # low-pass of the feedback's mean, per tick
        ("on", "u1"),
    ],
    align=True,
)
COGGING_STATE = np.dtype(
    [
        ("c", "f8", (3, HARMONICS)),
        ("s", "f8", (3, HARMONICS)),
        ("wave", "f8", (3, HARMONICS, 2)),  # cosine and sine at the angle of this tick
        ("mean", "f8", 3),
    ],
    align=True,
)


@kernel
def cogging_torque(p, s, axis, angle):
    """Torque (N m) that cancels the ripple of one joint at ``angle`` (rad), as far as it has been learned."""
    if not p["on"]:
        return 0.0
    total = 0.0
    for h in range(HARMONICS):
        w, wave = p["periods"][h] * angle, s["wave"][axis, h]
        wave[0], wave[1] = math.cos(w), math.sin(w)
        total += s["c"][axis, h] * wave[0] + s["s"][axis, h] * wave[1]
    return total


@kernel
def learn_cogging(p, s, axis, rate, feedback, dt_s):
    """Learn from the feedback torque (N m) at the angle that ``cogging_torque`` was last asked for, and the rate."""
    if not p["on"]:
        return
    s["mean"][axis] += p["slow"] * (feedback - s["mean"][axis])
    x = feedback - s["mean"][axis]
    speed = abs(rate)
    weight = min(speed / p["rate_min"], 1.0)
    for h in range(HARMONICS):
        limit = p["limit"][h]
        if limit <= 0.0 or speed * p["periods"][h] > p["ripple_max"]:
            continue
        wave = s["wave"][axis, h]
        gain = p["learn_1_s"] * weight * dt_s * x
        s["c"][axis, h] = min(max(s["c"][axis, h] + gain * wave[0], -limit), limit)
        s["s"][axis, h] = min(max(s["s"][axis, h] + gain * wave[1], -limit), limit)
