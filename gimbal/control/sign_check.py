"""Feed-forward of the wrong sign, found in flight and faded out.

Feedback supplies what feed-forward leaves: its regression on the terms of a joint gives 0 where a term is right, -1
where its cause isn't there at all, and -2 where its sign is wrong. A term that comes out about there, asks for more
torque than FLOOR_NM and makes up most of the feedback is faded out until the next arming, and said so.
"""

from __future__ import annotations

import numpy as np

from gimbal.kernels.build import kernel

TERMS = 2  # the chain's dynamics; friction and cable
LIMIT = -1.4
BEYOND = -3.0  # what comes out past it isn't the term's doing: a standing wind beside a standing imbalance
MOST = 0.6  # of the feedback's power that the term explains
FLOOR_NM = 0.010  # RMS
WINDOW_S = 1.5
FADE_S = 0.3

SIGN_STATE = np.dtype(
    [
        ("product", "f8", (3, TERMS)),
        ("square", "f8", (3, TERMS)),
        ("cross", "f8", 3),
        ("power", "f8", 3),  # of the feedback
        ("seen_s", "f8"),
        ("wrong", "u1", (3, TERMS)),
        ("faded", "f8", (3, TERMS)),  # 0: the whole term is fed forward, 1: nothing
    ],
    align=True,
)


@kernel
def sign_reset(s):
    """All terms trusted again: at arming."""
    s["seen_s"] = 0.0
    for a in range(3):
        s["cross"][a] = 0.0
        s["power"][a] = 0.0
        for n in range(TERMS):
            s["product"][a, n] = 0.0
            s["square"][a, n] = 0.0
            s["wrong"][a, n] = 0
            s["faded"][a, n] = 0.0


@kernel
def check_sign(s, feedback, first, second, dt_s):
    """One tick armed at full authority; feedback, first, second: (3,) N m by axis index, the terms before they fade.

    Returns whether a term is off.
    """
    k = dt_s / WINDOW_S
    s["seen_s"] += dt_s
    off = False
    for a in range(3):
        s["cross"][a] += k * (first[a] * second[a] - s["cross"][a])
        s["power"][a] += k * (feedback[a] * feedback[a] - s["power"][a])
        for n in range(TERMS):
            term = first[a] if n == 0 else second[a]
            s["product"][a, n] += k * (feedback[a] * term - s["product"][a, n])
            s["square"][a, n] += k * (term * term - s["square"][a, n])
        det = s["square"][a, 0] * s["square"][a, 1] - s["cross"][a] * s["cross"][a]
        apart = det > 0.1 * s["square"][a, 0] * s["square"][a, 1]
        for n in range(TERMS):
            square = s["square"][a, n]
            share = s["product"][a, n] / square if square > 0.0 else 0.0
            if apart:  # what the other term explains is not this one's
                share = (s["product"][a, n] * s["square"][a, 1 - n] - s["product"][a, 1 - n] * s["cross"][a]) / det
            loud = square > FLOOR_NM * FLOOR_NM and share * share * square > MOST * s["power"][a]
            if s["seen_s"] > 2.0 * WINDOW_S and loud and BEYOND < share < LIMIT:
                s["wrong"][a, n] = 1
            if s["wrong"][a, n]:
                s["faded"][a, n] = min(s["faded"][a, n] + dt_s / FADE_S, 1.0)
                off = True
    return off
