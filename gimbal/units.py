"""Conversions, used only at borders: SI and radians everywhere inside."""

from __future__ import annotations

import math

DEG = math.pi / 180.0  # rad per degree
REV = 2.0 * math.pi  # rad per revolution
G0 = 9.80665  # m/s² per g
MS = 1_000_000  # ns per millisecond
US = 1_000  # ns per microsecond
S = 1_000_000_000  # ns per second
URAD = 1e-6  # rad per microradian


def wrap_pi(angle_rad: float) -> float:
    """The same direction in (-pi, pi]."""
    return math.pi - (math.pi - angle_rad) % (2.0 * math.pi)
