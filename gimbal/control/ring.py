"""A loop that closes where none should: what is fed forward of the base's motion shakes the structure.

Base motion is joint motion less the camera's. The encoders sit on the motors, so a structure softer than its config
says shows stretch that isn't taken off. It is fed forward as the base's doing, friction's sign with it, and stretches
the structure: no margin of the feedback tells of it. Found by trial: where the camera's rate error shakes faster than a
picture is held, what is fed forward of the base's acceleration and of friction fades out; if that ends it, it stays out
for a while, twice as long each time. If not, the base itself shakes, and it comes back.

Where a line holds commands and readings back by turns, that loop grows to the motor's limits within 100 ms, at any
pose. No base shakes a joint so: torque fed forward that is as loud takes what is foreseen of the base out at once.
"""

from __future__ import annotations

import math

import numpy as np

from gimbal.kernels.build import kernel

ABOVE_HZ = 18.0
SHAKE = 0.045  # rad/s RMS above that: three times what is left of a helicopter's
ALIGNED = 0.65  # |det J|: nearer to the singularity the picture needs all that is fed forward, and shakes anyway
LEVEL, LEVEL_S = 0.8, 2.0  # a trial begins only after so long beyond this: a spiral swings through every pose
SMOOTH_S = 0.1
TRIAL_S = 0.6
ENDED = 0.35  # of the mean square at the trial's begin
IMMUNE_S = 5.0  # after a trial that ended nothing
OUT_S, LONGEST_S = 20.0, 320.0
FALL_S, RISE_S = 0.1, 0.5
# Share of the motors' torque, RMS, times |det J| that counts from LOUDEST_AT: a speed wing's is 0.19 at most (0.56 of
# 3 N m), and what grows passes 0.4 on its way to 4.
LOUD, LOUD_HZ, LOUD_S, LOUDEST_AT = 0.25, 25.0, 0.015, 0.25
BRIEF_S, BRIEF_LONGEST_S, BRIEF_FORGET = 0.5, 16.0, 0.1  # out, twice as long each time, less with every second

TRUSTING, TRIAL, OUT, IMMUNE, BRIEF = 0, 1, 2, 3, 4

RING_STATE = np.dtype(
    [
        ("phase", "i4"),
        ("left_s", "f8"),
        ("level_s", "f8"),
        ("out_s", "f8"),  # the next time out
        ("low", "f8", 3),
        ("power", "f8"),  # (rad/s)², mean square above ABOVE_HZ
        ("began", "f8"),
        ("slow", "f8", (3, 2)),  # N m by axis index, what is fed forward below LOUD_HZ
        ("loud", "f8", 3),  # (N m)², mean square of the rest
        ("brief_s", "f8"),  # the next time out for that
        ("doubted", "u1"),  # what is foreseen of the base's motion, at any pose
        ("faded", "f8"),  # 0: all is fed forward, 1: nothing of the base's motion
    ],
    align=True,
)


@kernel
def ring_reset(s):
    """Trust again: at arming."""
    s["phase"] = TRUSTING
    s["out_s"], s["brief_s"] = OUT_S, BRIEF_S
    s["level_s"] = 0.0
    s["power"] = 0.0
    s["faded"] = 0.0
    s["doubted"] = 0
    for i in range(3):
        s["low"][i] = 0.0
        s["slow"][i, 0], s["slow"][i, 1], s["loud"][i] = 0.0, 0.0, 0.0


@kernel
def _is_loud(s, dynamics, limits, margin, dt_s):
    """Whether torque is fed forward that no base needs."""
    k, share, loud = min(2.0 * math.pi * LOUD_HZ * dt_s, 1.0), LOUD / max(margin, LOUDEST_AT), False
    for a in range(3):
        x = dynamics[a]
        for n in range(2):
            s["slow"][a, n] += k * (x - s["slow"][a, n])
            x -= s["slow"][a, n]
        s["loud"][a] += dt_s / LOUD_S * (x * x - s["loud"][a])
        loud = loud or s["loud"][a] > (share * limits["max_torque"][a]) ** 2
    return loud


@kernel
def listen(s, rate_err_C, dynamics, limits, whole, margin, dt_s):
    """Advance ``faded`` by one tick. Returns whether the feed-forward was found to ring.

    Args:
        rate_err_C: rad/s. dynamics: (3,) N m fed forward without friction, by axis index, of the tick before.
        limits: LIMITS_PARAMS. whole: the loops have their full authority. margin: |det J|.
    """
    k = min(2.0 * math.pi * ABOVE_HZ * dt_s, 1.0)
    high2 = 0.0
    for i in range(3):
        s["low"][i] += k * (rate_err_C[i] - s["low"][i])
        high2 += (rate_err_C[i] - s["low"][i]) ** 2
    loud = _is_loud(s, dynamics, limits, margin, dt_s)
    if not high2 + s["loud"][0] + s["loud"][1] + s["loud"][2] < 1e4:  # also where it is no number
        ring_reset(s)
        return False
    s["power"] += dt_s / SMOOTH_S * (high2 - s["power"])
    s["left_s"] -= dt_s
    aligned = margin > ALIGNED
    s["level_s"] = min(s["level_s"] + dt_s, LEVEL_S) if whole and margin > LEVEL else 0.0
    s["brief_s"] = max(s["brief_s"] - BRIEF_FORGET * dt_s, BRIEF_S)
    if loud and s["phase"] != OUT and s["phase"] != BRIEF:
        s["phase"], s["left_s"] = BRIEF, s["brief_s"]
        s["brief_s"] = min(2.0 * s["brief_s"], BRIEF_LONGEST_S)
    elif s["phase"] == TRUSTING and s["power"] > SHAKE * SHAKE and s["level_s"] >= LEVEL_S:
        s["phase"], s["left_s"], s["began"] = TRIAL, TRIAL_S, s["power"]
    elif s["phase"] == TRIAL and not aligned:
        s["phase"] = TRUSTING
    elif s["phase"] == TRIAL and s["left_s"] <= 0.0:
        if s["power"] < ENDED * s["began"]:
            s["phase"], s["left_s"] = OUT, s["out_s"]
            s["out_s"] = min(2.0 * s["out_s"], LONGEST_S)
        else:
            s["phase"], s["left_s"] = IMMUNE, IMMUNE_S
    elif s["left_s"] <= 0.0 and s["phase"] == BRIEF:
        s["phase"], s["left_s"] = IMMUNE, IMMUNE_S
    elif s["left_s"] <= 0.0 and (s["phase"] == IMMUNE or s["phase"] == OUT and s["level_s"] >= LEVEL_S):
        s["phase"] = TRUSTING
    s["doubted"] = s["phase"] == TRIAL or s["phase"] == OUT or s["phase"] == BRIEF
    falls = aligned and s["doubted"] and s["phase"] != BRIEF
    step = dt_s / FALL_S if falls else -dt_s / RISE_S
    s["faded"] = min(max(s["faded"] + step, 0.0), 1.0)
    again = s["brief_s"] > 2.0 * BRIEF_S  # once is a jump of readings, after a gap of them
    return s["phase"] == OUT and aligned or s["phase"] == BRIEF and again
