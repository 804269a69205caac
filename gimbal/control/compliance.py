"""The structure between motor and stage: how far it gives, simulated, and how soft it is, learned.

The encoder sits on the motor. What the structure gives by is that of a rotor on a spring: under the torque that is
under way, and as the stage turns. A rig whose structure is softer or stiffer than its config says would take the rest
for motion of the base, feed it forward and shake. So the compliance of each joint is learned: what the base's
acceleration has in common with the stretch is an error of the compliance (least mean squares along the gradient,
normalised; B. Widrow, S. D. Stearns, Adaptive Signal Processing, 1985). Only where the stretch is well above what
readings leave: noise moves nothing.
"""

from __future__ import annotations

import math

import numpy as np

from gimbal.kernels.build import kernel
from gimbal.kernels.filters import biquad
from gimbal.kernels.quat import dot3, load3

SLOW = 0.6  # rad/s: of a faster joint, cogging comes to where stretch is looked for
SOFTEST, STIFFEST = 1.7, 0.6  # times the config's compliance: modes 23 % lower, 29 % higher

COMPLIANCE_PARAMS = np.dtype(
    [
        ("on", "u1"),
        ("learns", "u1"),
        ("gives", "f8", 3),  # rad/(N m), by axis index as all here; 0: nothing
        ("pole2", "f8", 3),  # s²: of the rotor on its spring, the stage held; 0: it gives at once
        ("pole1", "f8", 3),  # s
        ("band", "f8", (2, 5)),  # sections: where the stretch is looked for
        ("least2", "f8"),  # (rad/s²)²: mean square of the stretch's acceleration that counts
        ("learn", "f8"),  # per tick
        ("smooth", "f8"),  # of the mean square, per tick
        ("bilinear_1_s", "f8"),
    ],
    align=True,
)
COMPLIANCE_STATE = np.dtype(
    [
        ("soft", "f8", 3),  # times the config's compliance
        ("turn", "i8"),
        ("sections", "f8", (3, 2, 5)),  # stretch by torque (N m), and by the stage's angle
        ("memory", "f8", (3, 3, 2)),  # of both, and of the gradient
        ("stretch", "f8", 3),  # rad
        ("slope", "f8", (3, 3)),  # stretch by softness, rad: of this tick and the two before
        ("base", "f8", (3, 2, 2)),  # band's memory, of the base's acceleration,
        ("own", "f8", (3, 2, 2)),  # and of the slope's
        ("power", "f8", 3),  # (rad/s²)², mean square of the latter
    ],
    align=True,
)


@kernel
def _place(p, s, a):
    """Sections of joint a for its softness (bilinear transform, as the config's)."""
    if s["soft"][a] == 0.0:
        s["soft"][a] = 1.0
    soft, k = s["soft"][a], p["bilinear_1_s"]
    two, one = soft * p["pole2"][a] * k * k, math.sqrt(soft) * p["pole1"][a] * k
    a0 = two + one + 1.0
    by_torque, by_stage = s["sections"][a, 0], s["sections"][a, 1]
    by_torque[0] = soft * p["gives"][a] / a0
    by_torque[3], by_torque[4] = 2.0 * (1.0 - two) / a0, (two - one + 1.0) / a0
    by_stage[0] = -two / a0
    by_stage[3], by_stage[4] = by_torque[3], by_torque[4]
    if p["pole2"][a] > 0.0:
        by_torque[1], by_torque[2] = 2.0 * by_torque[0], by_torque[0]
        by_stage[1], by_stage[2] = -2.0 * by_stage[0], by_stage[0]


@kernel
def stretch(p, s, a, through, stage):
    """Stretch (rad) of joint a under torque ``through`` (N m) with its stage at angle ``stage`` (rad, in N)."""
    if not p["on"]:
        return 0.0
    if s["soft"][a] == 0.0 or s["turn"] == a:
        _place(p, s, a)
    memory = s["memory"][a]
    bent = biquad(s["sections"][a, 0], memory[0], through) + biquad(s["sections"][a, 1], memory[1], stage)
    s["stretch"][a] = bent
    return bent


@kernel
def learn_compliance(p, ahead, order, shake, clear, dt_s):
    """One tick, after every joint's stretch.

    Args:
        ahead, shake: AHEAD_STATE and SHAKE_STATE of this tick. order: axis index by place.
        clear: every joint was read, and their axes are apart.
    """
    s, axes, base_accel = ahead["compliance"], shake["axes"], shake["now"]
    s["turn"] = (s["turn"] + 1) % 3
    if not p["learns"]:
        return
    x = biquad(p["band"][1], s["base"][0, 1], biquad(p["band"][0], s["base"][0, 0], base_accel[0]))
    y = biquad(p["band"][1], s["base"][1, 1], biquad(p["band"][0], s["base"][1, 0], base_accel[1]))
    z = biquad(p["band"][1], s["base"][2, 1], biquad(p["band"][0], s["base"][2, 0], base_accel[2]))
    for k in range(3):
        a = order[k]
        section, memory, slope, soft = s["sections"][a, 0], s["memory"][a, 2], s["slope"][a], s["soft"][a]
        # stretch = soft u / (1 + soft D), its derivative by soft: stretch / soft / (1 + soft D)
        scale = 1.0 / (soft * soft * p["gives"][a]) if p["gives"][a] > 0.0 else 0.0
        slope[2], slope[1] = slope[1], slope[0]
        slope[0] = scale * biquad(section, memory, s["stretch"][a])
        raw = (slope[0] - 2.0 * slope[1] + slope[2]) / (dt_s * dt_s)
        own = biquad(p["band"][1], s["own"][a, 1], biquad(p["band"][0], s["own"][a, 0], raw))
        error = dot3((x, y, z), load3(axes[k])) * own
        if not abs(error) + own * own < 1e12:  # what is no number must not stay
            s["base"][:], s["own"][a], s["power"][a], memory[:], slope[:] = 0.0, 0.0, 0.0, 0.0, 0.0
            continue
        s["power"][a] += p["smooth"] * (own * own - s["power"][a])
        if clear and abs(ahead["rate"][a]) < SLOW:
            soft -= p["learn"] * error / (s["power"][a] + p["least2"])
            s["soft"][a] = min(max(soft, STIFFEST), SOFTEST)
