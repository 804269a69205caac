"""Three rate PIDs about the camera's axes, in angular acceleration: the mass matrix turns it into torque.

rate_sp - rate; derivative on the measurement, filtered; the integrator takes back what the allocator could not
deliver (back-calculation), so that a saturated motor leaves no wind-up. Structure after PX4's rate_control library.

Two sets of gains on one integral: the fast loops' demand is made beside the other all the time, and the integral grows
by each one's gain in the shares of :mod:`gimbal.control.handover`.
"""

from __future__ import annotations

import numpy as np

from gimbal.kernels.build import kernel
from gimbal.kernels.filters import biquad, biquad_settle

PID_PARAMS = np.dtype(
    [
        ("p", "f8", 3),
        ("i", "f8", 3),
        ("d", "f8", 3),
        ("fast_p", "f8", 3),
        ("fast_i", "f8", 3),
        ("fast_attitude", "f8", 3),  # 1/s, what the fast loops' attitude gain is more than the other
        ("i_limit", "f8"),  # rad/s²
        ("i_error", "f8"),  # rad of attitude error at which half of the integration is left
        ("gyro_lp", "f8", 5),
        ("d_lp", "f8", 5),
    ],
    align=True,
)
PID_STATE = np.dtype(
    [("i", "f8", 3), ("gyro_lp", "f8", (3, 2)), ("d_lp", "f8", (3, 2)), ("last_rate", "f8", 3), ("started", "u1")],
    align=True,
)


@kernel
def pid_reset(s):
    """Forget the integral; the filters settle on the next sample."""
    s["started"] = 0
    for k in range(3):
        s["i"][k] = 0.0


@kernel
def rate_pid(p, s, rate_C, control, share, authority, dt_s, out, fast):
    """Angular acceleration demand (rad/s², camera axes) into ``out``, the fast loops' into ``fast``; parts to CONTROL.

    Args:
        share: of the fast loops, 0 to 1.
        authority: of what comes out, 0 to 1, after arming: the integral goes with it.
    """
    for k in range(3):
        if not s["started"]:
            rate = biquad_settle(p["gyro_lp"], s["gyro_lp"][k], rate_C[k])
            biquad_settle(p["d_lp"], s["d_lp"][k], 0.0)
            s["last_rate"][k] = rate
        else:
            rate = biquad(p["gyro_lp"], s["gyro_lp"][k], rate_C[k])
        accel = biquad(p["d_lp"], s["d_lp"][k], (rate - s["last_rate"][k]) / dt_s)
        s["last_rate"][k] = rate
        err = control["rate_cmd_C"][k] - rate
        # so much integral is stable only at the loop's full gain: it integrates near the setpoint, where it has that
        off = control["attitude_err_C"][k] / p["i_error"]
        quick = err + p["fast_attitude"][k] * control["attitude_err_C"][k]
        grow = ((1.0 - share) * p["i"][k] * err + share * p["fast_i"][k] * quick) * dt_s / (1.0 + off * off)
        grow *= authority
        s["i"][k] = min(max(s["i"][k] + grow, -p["i_limit"]), p["i_limit"])
        control["rate_err_C"][k] = err
        out[k] = p["p"][k] * err + s["i"][k] - p["d"][k] * accel
        fast[k] = p["fast_p"][k] * quick + s["i"][k]
        control["p"][k] = (1.0 - share) * p["p"][k] * err + share * p["fast_p"][k] * quick
        control["i"][k] = s["i"][k]
        control["d"][k] = -(1.0 - share) * p["d"][k] * accel
    s["started"] = 1


@kernel
def pid_unwind(p, s, lost_C, dt_s, rate_1_s):
    """Back-calculation: lost_C (rad/s², camera axes) is what the limits took from the demand.

    The integral gives back what it has, and takes no sign against what the error asks: that would outlast the limit.
    """
    for k in range(3):
        i = s["i"][k]
        less = i + rate_1_s * dt_s * lost_C[k]
        s["i"][k] = min(max(less, min(i, 0.0)), max(i, 0.0))
