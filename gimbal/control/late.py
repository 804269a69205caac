"""What a torque command that went out late, or early, left out: made up for by the next one.

A command acts from its bytes to the next command's. One that leaves d later than usual takes d (u - u before) of
angular impulse away: with gains that follow the gyro to half the loop's rate, white torque far over the motors'
own noise. When it went out is known a tick later, so the next command carries the impulse: what is left is that
error's difference over a tick and a half, nothing at the frequencies a picture moves at. As an error-feedback
quantiser does it (H. A. Spang, P. M. Schultheiss, IRE Trans. Communications Systems 10(4), 1962).
"""

from __future__ import annotations

import numpy as np

from gimbal.kernels.build import kernel

MEAN_S = 1.0  # over which what is usual is found
PULL = 0.2  # of a tick that one command may move it by, in shares of MEAN_S: a stall is not usual
FIRST = 200  # ticks in which it is the soonest: a cold start's are often long
AGAIN = 0.25  # of what a late command made up for itself, by share of a tick: with -0.5, or 1, it would swing up
MOST = 3.0  # ticks: of a longer stall the loops have seen the end already

LATE_STATE = np.dtype(
    [
        ("sent", "f8", (2, 3)),  # N m, this command and the one before, less what each made up for,
        ("extra", "f8", (2, 3)),  # N m, and that
        ("usual_ns", "f8"),
        ("ticks", "i8"),  # of which it is known
    ],
    align=True,
)


@kernel
def make_up(s, sent_ns, dt_s, torque):
    """Add to ``torque`` (3,) what the command before left out.

    Args:
        sent_ns: SENSE.sent_ns, 0 where it isn't known.
    """
    for a in range(3):
        if sent_ns == 0:  # it isn't known when, or it didn't go out: the one before still acts
            s["sent"][0, a], s["extra"][0, a] = s["sent"][1, a], 0.0
    if sent_ns == 0:
        return
    tick_ns = 1e9 * dt_s
    if s["ticks"] < FIRST:
        s["usual_ns"] = min(float(sent_ns), s["usual_ns"]) if s["ticks"] else float(sent_ns)
        s["ticks"] += 1
    late = (float(sent_ns) - s["usual_ns"]) / tick_ns
    s["usual_ns"] += min(max(late, -PULL), PULL) * tick_ns * dt_s / MEAN_S
    late = min(max(late, -MOST), MOST)
    again = min(max(late, -AGAIN), AGAIN)
    for a in range(3):
        extra = late * (s["sent"][0, a] - s["sent"][1, a]) + again * (s["extra"][0, a] - s["extra"][1, a])
        s["extra"][1, a], s["extra"][0, a] = s["extra"][0, a], extra
        torque[a] += extra


@kernel
def remember_sent(s, torque):
    """Store the torque (3,) of the command that this tick sends, N m by axis index."""
    for a in range(3):
        s["sent"][1, a] = s["sent"][0, a]
        s["sent"][0, a] = torque[a] - s["extra"][0, a]
