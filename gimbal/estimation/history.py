"""Own dead-reckoned velocity and position of the last 1.28 s, so that a late measurement meets its own moment.

What is kept are integrals without the filter's corrections: differences of them stay right when the estimate is
corrected between the measurement and its arrival.
"""

from __future__ import annotations

from gimbal.estimation.layout import HISTORY, HISTORY_NS, K_U, TRACK
from gimbal.kernels.build import kernel


@kernel
def remember(s):
    """Write an entry if the last is old enough."""
    if s["ring_n"] > 0 and s["t_ns"] - s["ring_last_ns"] < HISTORY_NS:
        return
    k = s["ring_n"] % HISTORY
    s["ring_ns"][k] = s["t_ns"]
    s["ring_last_ns"] = s["t_ns"]
    for i in range(TRACK):
        s["ring"][k, i] = s["track"][i]
    s["ring_n"] += 1


@kernel
def recall(s, t_ns):
    """Own motion at t_ns, in `then`: linear between entries, at most the newest sample. False before the oldest.

    The antenna's velocity is the arm's difference over an entry's 20 ms: taken from the joints' rates it would be wrong
    by metres a second while those oscillate.
    """
    newest = s["ring_n"] - 1
    oldest = max(s["ring_n"] - HISTORY, 0)
    k = newest
    while k >= oldest and s["ring_ns"][k % HISTORY] > t_ns:
        k -= 1
    if k < oldest and t_ns < s["t_ns"]:
        return False
    old = k % HISTORY
    young = (k + 1) % HISTORY
    t_old = s["ring_ns"][old] if k >= oldest else s["t_ns"]
    t_young = s["ring_ns"][young] if k < newest else s["t_ns"]
    a = (t_ns - t_old) / (t_young - t_old) if t_young > t_old else 1.0
    for i in range(TRACK):
        y = s["ring"][young, i] if k < newest else s["track"][i]
        s["then"][i] = y + (min(a, 1.0) - 1.0) * (y - s["ring"][old, i])
    k = min(max(k, oldest), newest - 1)
    for i in range(K_U, K_U + 3):
        s["then"][i] = 0.0
        if k >= oldest:
            turned = s["ring"][(k + 1) % HISTORY, i] - s["ring"][k % HISTORY, i]
            s["then"][i] = turned / (1e-9 * (s["ring_ns"][(k + 1) % HISTORY] - s["ring_ns"][k % HISTORY]))
    return True
