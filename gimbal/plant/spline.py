"""Motion tables: uniform quintic B-splines, so that rate and acceleration are exact derivatives of the table.

Coefficients come from the samples by the recursive prefilter of M. Unser, IEEE Signal Process. Mag. 16(6), 1999,
doi 10.1109/79.799930 (SciPy's spline_filter1d). Acceleration is three times differentiable in time.
"""

from __future__ import annotations

import math

import numpy as np
from scipy.ndimage import spline_filter1d

from gimbal.kernels.build import kernel

PAD = 32  # samples wanted before and after the interval in use: the prefilter's edge error is below 1e-11 there


def coefficients(samples: np.ndarray) -> np.ndarray:
    """B-spline coefficients (n, channels) of the samples (n, channels); edges are mirrored."""
    return np.ascontiguousarray(spline_filter1d(samples, order=5, axis=0, mode="mirror", output=np.float64))


@kernel
def place(table, t_s):
    """(row, fraction, inside) for a time; outside the table the nearest end, inside = 0."""
    u = (t_s - table["start_s"]) * table["rate_hz"]
    last = table["rows"] - 4
    if u < 2.0:
        return 2, 0.0, 0.0
    if u >= float(last):
        return last - 1, 1.0, 0.0
    i = int(math.floor(u))
    return i, u - float(i), 1.0


@kernel
def weights(f):
    """Six weights of the value at fraction f."""
    f2 = f * f
    f3 = f2 * f
    f4 = f2 * f2
    f5 = f4 * f
    k = 1.0 / 120.0
    return (
        (1.0 - 5.0 * f + 10.0 * f2 - 10.0 * f3 + 5.0 * f4 - f5) * k,
        (26.0 - 50.0 * f + 20.0 * f2 + 20.0 * f3 - 20.0 * f4 + 5.0 * f5) * k,
        (66.0 - 60.0 * f2 + 30.0 * f4 - 10.0 * f5) * k,
        (26.0 + 50.0 * f + 20.0 * f2 - 20.0 * f3 - 20.0 * f4 + 10.0 * f5) * k,
        (1.0 + 5.0 * f + 10.0 * f2 + 10.0 * f3 + 5.0 * f4 - 5.0 * f5) * k,
        f5 * k,
    )


@kernel
def weights1(f, rate_hz):
    """Six weights of the first derivative, per second."""
    f2 = f * f
    f3 = f2 * f
    f4 = f2 * f2
    k = rate_hz / 24.0
    return (
        (-1.0 + 4.0 * f - 6.0 * f2 + 4.0 * f3 - f4) * k,
        (-10.0 + 8.0 * f + 12.0 * f2 - 16.0 * f3 + 5.0 * f4) * k,
        (-24.0 * f + 24.0 * f3 - 10.0 * f4) * k,
        (10.0 + 8.0 * f - 12.0 * f2 - 16.0 * f3 + 10.0 * f4) * k,
        (1.0 + 4.0 * f + 6.0 * f2 + 4.0 * f3 - 5.0 * f4) * k,
        f4 * k,
    )


@kernel
def weights2(f, rate_hz):
    """Six weights of the second derivative, per second squared."""
    f2 = f * f
    f3 = f2 * f
    k = rate_hz * rate_hz / 6.0
    return (
        (1.0 - 3.0 * f + 3.0 * f2 - f3) * k,
        (2.0 + 6.0 * f - 12.0 * f2 + 5.0 * f3) * k,
        (-6.0 + 18.0 * f2 - 10.0 * f3) * k,
        (2.0 - 6.0 * f - 12.0 * f2 + 10.0 * f3) * k,
        (1.0 + 3.0 * f + 3.0 * f2 - 5.0 * f3) * k,
        f3 * k,
    )


@kernel
def dot6(tab, at, stride, w):
    """Six coefficients, `stride` apart from index `at`, times the weights."""
    return (
        w[0] * tab[at]
        + w[1] * tab[at + stride]
        + w[2] * tab[at + 2 * stride]
        + w[3] * tab[at + 3 * stride]
        + w[4] * tab[at + 4 * stride]
        + w[5] * tab[at + 5 * stride]
    )


@kernel
def vector3(tab, at, stride, w):
    return (dot6(tab, at, stride, w), dot6(tab, at + 1, stride, w), dot6(tab, at + 2, stride, w))


@kernel
def position_velocity(table, tab, t_s, channel):
    """Value and first derivative of three channels at t_s."""
    i, f, inside = place(table, t_s)
    n = table["channels"]
    at = table["at"] + (i - 2) * n + channel
    return vector3(tab, at, n, weights(f)), vector3(tab, at, n, weights1(f, table["rate_hz"] * inside))
