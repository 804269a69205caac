"""The search: the beacon alone is known, to worse than the picture is wide, and the camera doesn't see the subject.

The camera then sweeps about where the beacon says, as far as the doubt reaches beyond the picture: down and up first,
where a receiver errs most, more slowly to the sides. Seen, or not found in SEARCH_S, it comes back as it left.
"""

from __future__ import annotations

import math

import numpy as np

from gimbal.kernels.build import kernel

WAIT_S = 1.5  # not seen for so long, the camera looking there: the sweep begins
SEARCH_S = 20.0
SIGMAS = 2.5  # of the doubt that are looked through
INNER = 0.7  # of half the picture: there it would have been seen
RATE = 0.2  # rad/s, of the sweep at its fastest
SIDE = 0.31  # turns to the sides per turn down and up: the sweeps don't repeat
SOFT_1_S = 1.5  # how fast it grows and ends
LEAST = 1e-5  # rad

SEARCH_PARAMS = np.dtype([("half", "f8", 2), ("most", "f8")], align=True)  # rad; most 0: no search
SEARCH_STATE = np.dtype([("unseen_s", "f8"), ("phase", "f8"), ("reach", "f8", 2)], align=True)


@kernel
def search_reset(s):
    """Not tracked: nothing is looked for, and nothing of it is left for the next time."""
    s["unseen_s"] = s["phase"] = s["reach"][0] = s["reach"][1] = 0.0


@kernel
def search(p, s, unseen, doubt, dt_s):
    """One step. Returns how far (rad) the subject's expected place is to stand right and down of the picture's centre.

    Args:
        p, s: SEARCH_PARAMS, SEARCH_STATE (changed).
        unseen: the camera looks there, and the beacon alone is known.
        doubt: of the line of sight, rad, 1 sigma each way.
    """
    s["unseen_s"] = s["unseen_s"] + dt_s if unseen else 0.0
    looks = p["most"] > 0.0 and WAIT_S < s["unseen_s"] < WAIT_S + SEARCH_S
    for i in range(2):
        beyond = min(max(SIGMAS * doubt - INNER * p["half"][i], 0.0), p["most"]) if looks else 0.0
        s["reach"][i] += SOFT_1_S * dt_s * (beyond - s["reach"][i])
    if not searching(s):
        s["phase"] = 0.0
        return 0.0, 0.0
    s["phase"] += RATE / max(s["reach"][0], s["reach"][1], 0.5 * RATE) * dt_s
    return s["reach"][0] * math.sin(SIDE * s["phase"]), s["reach"][1] * math.sin(s["phase"])


@kernel
def searching(s):
    return max(s["reach"][0], s["reach"][1]) > LEAST
