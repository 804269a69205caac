"""Own dead-reckoned velocity and position of the last 1.28 s, so that a late measurement meets its own moment.

What is kept are integrals without the filter's corrections: differences of them stay right when the estimate is
corrected between the measurement and its arrival.
"""

from __future__ import annotations

from gimbal.estimation.layout import HISTORY, HISTORY_NS
from gimbal.kernels.build import kernel


@kernel
def remember(s):
    """Write an entry if the last is old enough."""
    if s["ring_n"] > 0 and s["t_ns"] - s["ring_last_ns"] < HISTORY_NS:
        return
    k = s["ring_n"] % HISTORY
    s["ring_ns"][k] = s["t_ns"]
    s["ring_last_ns"] = s["t_ns"]
    for i in range(3):
        s["ring_d"][k, i] = s["d"][i]
        s["ring_u"][k, i] = s["lever_v"][i]
        s["ring_dp"][k, i] = s["dp"][i]
    s["ring_n"] += 1


@kernel
def recall(s, t_ns):
    """Dead-reckoned velocity, antenna's relative velocity and position at t_ns: (found, d, u, dp) as tuples.

    Between entries linear; after the newest one up to now; found is False before the oldest.
    """
    now_d = (s["d"][0], s["d"][1], s["d"][2])
    now_u = (s["lever_v"][0], s["lever_v"][1], s["lever_v"][2])
    now_dp = (s["dp"][0], s["dp"][1], s["dp"][2])
    after = s["t_ns"]
    if t_ns >= after:
        return True, now_d, now_u, now_dp
    n = min(s["ring_n"], HISTORY)
    for back in range(n):
        k = (s["ring_n"] - 1 - back) % HISTORY
        t = s["ring_ns"][k]
        old_d = (s["ring_d"][k, 0], s["ring_d"][k, 1], s["ring_d"][k, 2])
        old_u = (s["ring_u"][k, 0], s["ring_u"][k, 1], s["ring_u"][k, 2])
        old_dp = (s["ring_dp"][k, 0], s["ring_dp"][k, 1], s["ring_dp"][k, 2])
        if t <= t_ns:
            a = (t_ns - t) / (after - t) if after > t else 1.0
            return True, mix(old_d, now_d, a), mix(old_u, now_u, a), mix(old_dp, now_dp, a)
        after, now_d, now_u, now_dp = t, old_d, old_u, old_dp
    return False, now_d, now_u, now_dp


@kernel
def mix(x, y, a):
    return (x[0] + a * (y[0] - x[0]), x[1] + a * (y[1] - x[1]), x[2] + a * (y[2] - x[2]))
