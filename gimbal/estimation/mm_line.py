"""Measurement model: heading of the base from two antennas or an autopilot's attitude, late, and what an epoch has to
say of heading.

The line between the antennas is fixed in the base; the joints carry its direction to the camera. A measurement is
compared with the own line of its moment, kept in the history, and corrects heading alone (mm_heading.heading_only).
Antennas that contradict the filter for long are believed. An autopilot's heading is an estimate itself and may be
wrong for as long as it likes (its compass, its start): it gives the filter a heading where it has none, helps inside
the gate, and beyond it is refused. Where the judge finds such a start wrong (GNSS contradicts), it gives none any more.
"""

from __future__ import annotations

import math

from gimbal.estimation.attitude import inject
from gimbal.estimation.history import recall
from gimbal.estimation.layout import COARSE, HEADING, K_L, TH
from gimbal.estimation.mm_heading import heading_only, tie_heading, use_field
from gimbal.kernels.build import kernel

STD_MIN = 0.3 * math.pi / 180.0  # rad: joints and base bend
STEEP = 0.3  # horizontal part of the line below which it says nothing
GATE = 9.0  # innovation² over its variance: beyond it a measurement counts less
RUN = 25  # so many in a row beyond it: the filter's heading is wrong


@kernel
def take_line(s, t_ns, heading, std, soft):
    """Take in a measurement (rad); without its own accuracy, or not newer, it is left out."""
    if math.isfinite(heading + std) and std > 0.0 and t_ns > s["line_ns"]:
        s["line_ns"] = t_ns
        s["line"][0] = heading
        s["line"][1] = max(std, STD_MIN) ** 2
        s["line_soft"] = soft
        s["line_pending"] = 1


@kernel
def use_line(p, s):
    s["line_pending"] = 0
    if not recall(s, s["line_ns"]):
        return
    north, east = s["then"][K_L], s["then"][K_L + 1]
    if math.hypot(north, east) < STEEP:
        return
    off = s["line"][0] - math.atan2(east, north)
    off -= 2.0 * math.pi * math.floor((off + math.pi) / (2.0 * math.pi))
    variance = s["line"][1]
    excess = off * off / (s["P"][TH + 2, TH + 2] + variance) / GATE
    soft, known = s["line_soft"] != 0, s["status"] & HEADING != 0
    if soft and ((known and excess > 1.0 and not s["heading_soft"]) or (not known and s["soft_off"])):
        s["softs_refused"] += 1
        return
    s["line_bad_run"] = s["line_bad_run"] + 1 if excess > 1.0 else 0
    if not known or s["line_bad_run"] >= RUN:
        s["line_bad_run"] = 0
        tie_heading(s, off, variance)
        s["heading_soft"] = 1 if soft else 0
        return
    heading_only(s, off, variance * max(excess, 1.0))
    inject(p, s)


@kernel
def headings(p, s, epoch_ns):
    """After the work of a tick: what the magnetometer and the antennas have to say, if it closed the epoch before."""
    if s["epoch_ns"] == epoch_ns or s["status"] & COARSE:
        return
    if s["mag_sum"][3] > 0.0:
        use_field(p, s)
        inject(p, s)
    if s["line_pending"]:
        use_line(p, s)
