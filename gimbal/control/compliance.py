"""The structure between motor and stage: how far it gives, simulated, and how soft it is, learned.

The encoder sits on the motor. What the structure gives by is that of a rotor on a spring: under the torque that is
under way, and as the stage turns. A rig whose structure is softer or stiffer than its config says would take the rest
for motion of the base, feed it forward and shake. So the compliance of each joint is learned: what the base's
acceleration has in common with the stretch is an error of the compliance (along the gradient, normalised, as in least
mean squares; B. Widrow, S. D. Stearns, Adaptive Signal Processing, 1985). It is gathered as evidence that fades, and
moves the compliance only once there is enough: what the base itself has in common with it, and noise, leave a rig that
is as told alone.
"""

from __future__ import annotations

import math

import numpy as np

from gimbal.kernels.build import kernel
from gimbal.kernels.filters import biquad
from gimbal.kernels.quat import dot3, load3

EVIDENT = 0.08  # change of softness
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
        ("learn", "f8"),  # of the evidence, per tick
        ("forget", "f8"),
        ("fastest", "f8"),  # rad/s: of a faster joint, cogging comes to where stretch is looked for
        ("good_ticks", "i8"),
        ("smooth", "f8"),  # of the mean square, per tick
        ("bilinear_1_s", "f8"),
    ],
    align=True,
)
COMPLIANCE_STATE = np.dtype(
    [
        ("soft", "f8", 3),  # times the config's compliance
        ("turn", "i8"),
        ("good", "i8"),  # ticks on end in which what is read and what acts is as it is taken to be
        ("evidence", "f8", 3),  # that it should be more
        ("pull", "f8", 3),  # stretch by what is new in the torque, rad/(N m),
        ("lag", "f8", 3),  # by what is new in the stage's turning,
        ("back", "f8", (3, 2)),  # and by its own last two
        ("torque", "f8", (3, 2)),  # N m, of the two ticks before
        ("turned", "f8", 3),  # rad, of the tick before
        ("bent", "f8", (3, 3)),  # rad: of this tick and the two before
        ("slope", "f8", (3, 3)),  # the same of the stretch by softness
        ("base", "f8", (3, 2, 2)),  # band's memory, of the base's acceleration,
        ("own", "f8", (3, 2, 2)),  # and of the slope's
        ("power", "f8", 3),  # (rad/s²)², mean square of the latter
    ],
    align=True,
)


@kernel
def _place(p, s, a):
    """Coefficients of joint a for its softness (bilinear transform of soft u / (1 + soft D))."""
    if s["soft"][a] == 0.0:
        s["soft"][a] = 1.0
    soft, k = s["soft"][a], p["bilinear_1_s"]
    two, one = soft * p["pole2"][a] * k * k, math.sqrt(soft) * p["pole1"][a] * k
    a0 = two + one + 1.0
    s["pull"][a], s["lag"][a] = soft * p["gives"][a] / a0, two / a0
    s["back"][a, 0], s["back"][a, 1] = 2.0 * (two - 1.0) / a0, (one - two - 1.0) / a0


@kernel
def stretch(p, s, a, through, turned):
    """Stretch (rad) of joint a under torque ``through`` (N m); its stage turned by ``turned`` (rad, in N) since the
    tick before. What is remembered are the signals themselves: coefficients may change without a jump."""
    if not p["on"]:
        return 0.0
    if s["soft"][a] == 0.0 or s["turn"] == a:
        _place(p, s, a)
    before, bent = s["torque"][a], s["bent"][a]
    if p["pole2"][a] > 0.0:
        new = s["pull"][a] * (through + 2.0 * before[0] + before[1]) - s["lag"][a] * (turned - s["turned"][a])
        new += s["back"][a, 0] * bent[0] + s["back"][a, 1] * bent[1]
    else:
        new = s["pull"][a] * through
    before[1], before[0], s["turned"][a] = before[0], through, turned
    bent[2], bent[1], bent[0] = bent[1], bent[0], new
    return new


@kernel
def compliance_reset(s):
    """Forget what was under way; what was learned stays: at arming."""
    s["good"] = 0
    s["evidence"][:], s["power"][:], s["slope"][:], s["base"][:], s["own"][:] = 0.0, 0.0, 0.0, 0.0, 0.0


@kernel
def learn_compliance(p, ahead, order, shake, camera_rate, good, dt_s):
    """One tick, after every joint's stretch.

    Args:
        ahead, shake: AHEAD_STATE and SHAKE_STATE of this tick. order: axis index by place.
        camera_rate: (3,) rad/s that the camera's own rotation makes of the joints, by axis index.
        good: what is read and what acts is as it is taken to be, and the joints' axes are apart.
    """
    s, axes, base_accel = ahead["compliance"], shake["axes"], shake["now"]
    s["turn"] = s["turn"] + 1 if s["turn"] < 2 else 0
    s["good"] = s["good"] + 1 if good and shake["seen"] else 0
    if not p["learns"]:
        return
    x = biquad(p["band"][1], s["base"][0, 1], biquad(p["band"][0], s["base"][0, 0], base_accel[0]))
    y = biquad(p["band"][1], s["base"][1, 1], biquad(p["band"][0], s["base"][1, 0], base_accel[1]))
    z = biquad(p["band"][1], s["base"][2, 1], biquad(p["band"][0], s["base"][2, 0], base_accel[2]))
    for k in range(3):
        a = order[k]
        if p["pole2"][a] <= 0.0:
            continue
        bent, slope, soft = s["bent"][a], s["slope"][a], s["soft"][a]
        # stretch = soft u / (1 + soft D), its derivative by soft: stretch / soft / (1 + soft D)
        scale = s["pull"][a] / (soft * soft * p["gives"][a])
        new = scale * (bent[0] + 2.0 * bent[1] + bent[2]) + s["back"][a, 0] * slope[0] + s["back"][a, 1] * slope[1]
        slope[2], slope[1], slope[0] = slope[1], slope[0], new
        raw = (slope[0] - 2.0 * slope[1] + slope[2]) / (dt_s * dt_s)
        own = biquad(p["band"][1], s["own"][a, 1], biquad(p["band"][0], s["own"][a, 0], raw))
        error = dot3((x, y, z), load3(axes[k])) * own
        if not abs(error) + own * own < 1e12:  # what is no number must not stay
            bent[:] = 0.0
            compliance_reset(s)
            continue
        s["power"][a] += p["smooth"] * (own * own - s["power"][a])
        s["evidence"][a] -= p["forget"] * s["evidence"][a]
        if s["good"] > p["good_ticks"] and abs(ahead["rate"][a] + camera_rate[a]) < p["fastest"]:
            s["evidence"][a] -= p["learn"] * error / (s["power"][a] + p["least2"])
        if abs(s["evidence"][a]) > EVIDENT:
            s["soft"][a] = min(max(soft + s["evidence"][a], STIFFEST), SOFTEST)
            s["evidence"][a] = 0.0
