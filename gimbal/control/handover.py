"""When the feedback passes from the loops that are safe in every state to the fast ones, and back.

The fast loops reject more and are stable only at about their full gain: nothing may ramp, limit or turn away what they
ask. They get their share once the camera has been near its setpoint for a while with nothing limited, and lose it
within a few ticks when that ends. Each loss doubles the wait for the next time, so that it can't chatter; a quiet
share brings the wait back. Both ways are without a bump: the shaping of both runs all the time on one integral.
"""

from __future__ import annotations

import numpy as np

from gimbal.faults import Code
from gimbal.kernels.build import kernel
from gimbal.kernels.quat import load3, norm3

# limits under which what is asked is not what acts, or what is measured is in doubt
UNWHOLE = 0
for _code in (
    Code.TORQUE_LIMIT,
    Code.RATE_LIMIT,
    Code.END_STOP,
    Code.SINGULARITY,
    Code.IMU_PREDICTED,
    Code.IMU_CLIPPED,
    Code.IMU_HOLD,
    Code.ESTIMATOR_FALLBACK,
    Code.MOTOR_HOT,
    Code.SUPPLY_LOW,
    Code.ARM_RAMP,
):
    UNWHOLE |= 1 << _code.value
LOST_NS = 5_000_000  # time the loop lost lately: a skipped period or two is less than a tick's delay more for a while
LONGEST_WAIT_S = 20.0
FORGIVEN = 0.1  # s of wait forgotten per s of fast flight

HANDOVER_PARAMS = np.dtype(
    [
        ("on", "u1"),
        ("enter", "f8"),  # rad of attitude error: under it all through the wait, to pass over,
        ("leave", "f8"),  # and beyond it: back
        ("shake", "f8"),  # rad/s RMS of rate error, beyond it: back; the structure rings before the picture is lost
        ("smooth", "f8"),  # of that mean square, per tick
        ("margin", "f8"),  # |det J| under which the joints' loops are coupled too closely
        ("wait_s", "f8"),
        ("rise_s", "f8"),
        ("fall_s", "f8"),
    ],
    align=True,
)
HANDOVER_STATE = np.dtype(
    [("fast", "u1"), ("calm_s", "f8"), ("wait_s", "f8"), ("way", "f8"), ("share", "f8"), ("shake2", "f8")], align=True
)


@kernel
def handover_reset(s):
    """All feedback to the safe loops at once: nothing has been commanded."""
    s["fast"] = 0
    s["calm_s"] = 0.0
    s["wait_s"] = 0.0
    s["way"] = 0.0
    s["share"] = 0.0
    s["shake2"] = 0.0


@kernel
def handover(p, s, limits, lost_ns, attitude_err_C, rate_err_C, margin, dt_s):
    """Advance ``share``, the fast loops' part of the feedback, 0 to 1, smooth.

    Args:
        limits: limit bits of the tick before. lost_ns: time that overruns took lately.
        attitude_err_C: rad. rate_err_C: rad/s. margin: |det J|.
    """
    error = norm3(load3(attitude_err_C))
    shake2 = rate_err_C[0] ** 2 + rate_err_C[1] ** 2 + rate_err_C[2] ** 2
    s["shake2"] = s["shake2"] + p["smooth"] * (shake2 - s["shake2"]) if abs(shake2) < 1e9 else 0.0
    whole = p["on"] and s["shake2"] < p["shake"] * p["shake"] and limits & UNWHOLE == 0 and margin > p["margin"]
    whole = whole and lost_ns < LOST_NS
    if not (whole and error < p["leave"]):  # also where it is no number
        if s["fast"]:
            s["wait_s"] = min(2.0 * s["wait_s"], LONGEST_WAIT_S)
        s["fast"] = 0
        s["calm_s"] = 0.0
    else:
        s["calm_s"] = s["calm_s"] + dt_s if error < p["enter"] else 0.0
    s["wait_s"] = max(s["wait_s"], p["wait_s"])
    if s["fast"]:
        s["wait_s"] -= FORGIVEN * dt_s
    elif s["calm_s"] > s["wait_s"]:
        s["fast"] = 1
    step = dt_s / p["rise_s"] if s["fast"] else -dt_s / p["fall_s"]
    s["way"] = min(max(s["way"] + step, 0.0), 1.0)
    s["share"] = s["way"] * s["way"] * (3.0 - 2.0 * s["way"])
