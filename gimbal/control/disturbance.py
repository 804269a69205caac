"""Disturbance observer beside the PIDs, about the camera's axes.

The camera's measured angular acceleration less what was commanded one delay ago is the disturbance (K. Ohnishi,
M. Shibata, T. Murakami, IEEE/ASME Trans. Mechatronics 1(1), 1996); both pass the same second-order low-pass, whose
corner is the one tuning figure. With the delay modelled the observer doesn't fight its own late command.
"""

from __future__ import annotations

import numpy as np

from gimbal.kernels.build import kernel
from gimbal.kernels.filters import biquad

LINE = 16  # ticks of command history

OBSERVER_PARAMS = np.dtype([("on", "u1"), ("delay_ticks", "i8"), ("lp", "f8", 5)], align=True)
OBSERVER_STATE = np.dtype(
    [
        ("line", "f8", (LINE, 3)),
        ("head", "i8"),
        ("lp_meas", "f8", (3, 2)),
        ("lp_cmd", "f8", (3, 2)),
        ("last_rate", "f8", 3),
        ("estimate", "f8", 3),  # rad/s²
        ("started", "u1"),
    ],
    align=True,
)


@kernel
def observer_reset(s):
    s["started"] = 0
    s["head"] = 0
    for k in range(3):
        s["estimate"][k] = 0.0
        for j in range(2):
            s["lp_meas"][k, j] = 0.0
            s["lp_cmd"][k, j] = 0.0
        for j in range(LINE):
            s["line"][j, k] = 0.0


@kernel
def observe(p, s, rate_C, dt_s):
    """Update the disturbance estimate (rad/s², camera axes) from the newest rate."""
    if not p["on"]:
        return
    old = (s["head"] - p["delay_ticks"]) % LINE
    for k in range(3):
        if not s["started"]:
            s["last_rate"][k] = rate_C[k]
        measured = biquad(p["lp"], s["lp_meas"][k], (rate_C[k] - s["last_rate"][k]) / dt_s)
        commanded = biquad(p["lp"], s["lp_cmd"][k], s["line"][old, k])
        s["estimate"][k] = measured - commanded
        s["last_rate"][k] = rate_C[k]
    s["started"] = 1


@kernel
def remember(s, accel_C):
    """Store what was commanded this tick (rad/s², camera axes, after limits)."""
    s["head"] = (s["head"] + 1) % LINE
    for k in range(3):
        s["line"][s["head"], k] = accel_C[k]
