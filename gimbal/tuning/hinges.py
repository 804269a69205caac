"""What low margins cost a search, compiled: a search asks a hundred thousand times."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from gimbal.kernels.build import kernel

PHASE_DEG, GAIN_DB, MS = 35.4, 6.06, 1.985  # a little more than is asked: the grid is coarse
TURN = 1.5 * math.pi  # of 1 + L along the frequencies: three integrators and no encirclement


@kernel
def section_product(coefficients: Any, z: Any, out: Any) -> None:
    """Response of second-order sections (m, 5) one after the other, at z (n,), into out (n,)."""
    for i in range(len(z)):
        d = 1.0 / z[i]
        x = 1.0 + 0.0j
        for m in range(len(coefficients)):
            c = coefficients[m]
            x *= (c[0] + d * (c[1] + d * c[2])) / (1.0 + d * (c[3] + d * c[4]))
        out[i] = x


@kernel
def _size2(x: Any) -> Any:
    return x.real * x.real + x.imag * x.imag


@kernel
def _crossing(a: Any, b: Any, ya: float, yb: float) -> Any:
    return a + ya / (ya - yb) * (b - a)


@kernel
def hinges(C: Any, plants: Any, held: Any, worst: float, steep: float) -> float:
    """Sum over controllers C (m, n) and plants (p, n), both responses on one grid of rising frequency.

    Args:
        held: (p,) whether the plant must keep 6 dB, 35 degrees and Ms 2; of the others Ms over ``worst`` costs
            ``steep`` a factor of e.
    """
    penalty = 0.0
    for m in range(len(C)):
        for p in range(len(plants)):
            low = 0.0
            before = C[m, 0] * plants[p, 0]
            first, nearest2, turns = before, _size2(1.0 + before), 0.0
            ya = _size2(before) - 1.0
            for i in range(1, C.shape[1]):
                now = C[m, i] * plants[p, i]
                nearest2 = min(nearest2, _size2(1.0 + now))
                if (before.imag >= 0.0) != (now.imag >= 0.0):
                    real = _crossing(before, now, before.imag, now.imag).real
                    if real < -1.0:
                        turns += 1.0 if before.imag >= 0.0 else -1.0
                    if real < 0.0:
                        low += 0.4 * max(0.0, GAIN_DB - abs(20.0 * math.log10(max(-real, 1e-9))))
                yb = _size2(now) - 1.0
                if (ya >= 0.0) != (yb >= 0.0):
                    x = _crossing(before, now, ya, yb)
                    left = math.pi - abs(math.atan2(x.imag, x.real))
                    low += 0.15 * max(0.0, PHASE_DEG - math.degrees(left))
                before, ya = now, yb
            turn = math.atan2(before.imag, 1.0 + before.real) - math.atan2(first.imag, 1.0 + first.real)
            nearest = math.sqrt(nearest2)
            off = abs(turn + 2.0 * math.pi * turns - TURN)
            if off > 1.2:
                penalty += 3.0 + 0.3 * off
            elif held[p]:
                penalty += low + 8.0 * max(0.0, math.log(1.0 / MS / nearest))
            else:
                penalty += steep * max(0.0, math.log(1.0 / worst / nearest))
    return penalty


def sections(coefficients: list[Any], z: np.ndarray) -> np.ndarray:
    """Response (n,) of second-order sections one after the other."""
    out = np.empty(len(z), complex)
    section_product(np.array(coefficients, float).reshape(-1, 5), z, out)
    return out
