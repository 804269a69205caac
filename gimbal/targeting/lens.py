"""Advice to the lens: the focal length that shows the subject at the wished size and keeps what is uncertain in frame,
and the focus distance. Published in TARGET, for a lens motor or the operator; nothing here moves."""

from __future__ import annotations

import math

import numpy as np

from gimbal.kernels.build import kernel
from gimbal.records import TargetStatus

LENS_PARAMS = np.dtype(
    [
        ("sensor_mm", "f8", 2),
        ("zoom_mm", "f8", 2),  # shortest, longest
        ("subject_m", "f8"),
        ("fill", "f8"),  # of the picture's height that the subject is to have
        ("sigmas", "f8"),  # of the line of sight that stay inside the picture
        ("speed_1_s", "f8"),  # most that the focal length changes, share of it a second
    ],
    align=True,
)


@kernel
def advise(p, target, offset, dt_s):
    """Fill zoom_mm and focus_m of TARGET. ``offset`` (rad) is how far off the centre the subject is framed."""
    if target["status"] == TargetStatus.NONE or target["status"] == TargetStatus.LOST:
        target["focus_m"] = 0.0
        return
    r = max(target["range_m"], 1.0)
    wished = p["fill"] * p["sensor_mm"][1] * r / p["subject_m"]
    margin = p["sigmas"] * target["los_std"] + offset + 0.5 * p["subject_m"] / r
    widest = 0.5 * p["sensor_mm"][1] / math.tan(min(max(margin, 1e-3), 1.4))
    want = min(max(min(wished, widest), p["zoom_mm"][0]), p["zoom_mm"][1])
    now = target["zoom_mm"] if target["zoom_mm"] > 0.0 else want
    most = p["speed_1_s"] * dt_s * now
    target["zoom_mm"] = now + min(max(want - now, -most), most)
    target["focus_m"] = r
