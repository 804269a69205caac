"""Discrete filters as pure functions on a small state slice; coefficients are made once, outside the tick."""

from __future__ import annotations

import math

from gimbal.kernels.build import kernel


@kernel
def biquad(c, s, x):
    """One second-order section, transposed direct form II.

    Args:
        c: (5,) b0, b1, b2, a1, a2 (a0 = 1).
        s: (2,) memory, changed in place.
        x: input sample.
    """
    y = c[0] * x + s[0]
    s[0] = c[1] * x - c[3] * y + s[1]
    s[1] = c[2] * x - c[4] * y
    return y


@kernel
def biquad_settle(c, s, x):
    """Set the memory as if x had been the input for ever, so that switching a filter in makes no bump."""
    gain = (c[0] + c[1] + c[2]) / (1.0 + c[3] + c[4])
    y = gain * x
    s[1] = c[2] * x - c[4] * y
    s[0] = c[1] * x - c[3] * y + s[1]
    return y


def lowpass_coefficients(corner_hz: float, rate_hz: float, q: float = math.sqrt(0.5)) -> list[float]:
    """Second-order low-pass, bilinear transform with prewarping (R. Bristow-Johnson, Audio EQ Cookbook).

    A corner at or above half the sample rate gives the identity.
    """
    if corner_hz <= 0.0 or corner_hz >= 0.499 * rate_hz:
        return [1.0, 0.0, 0.0, 0.0, 0.0]
    w = 2.0 * math.pi * corner_hz / rate_hz
    alpha = math.sin(w) / (2.0 * q)
    c, a0 = math.cos(w), 1.0 + alpha
    return [(1 - c) / 2 / a0, (1 - c) / a0, (1 - c) / 2 / a0, -2 * c / a0, (1 - alpha) / a0]


def notch_coefficients(centre_hz: float, rate_hz: float, width_hz: float, depth: float = 0.0) -> list[float]:
    """Notch of -3 dB width ``width_hz``; ``depth`` is the gain left at its centre (0 = full notch, 1 = none).

    Same source as :func:`lowpass_coefficients`; a centre of 0 or beyond half the sample rate gives the identity.
    """
    if centre_hz <= 0.0 or centre_hz >= 0.499 * rate_hz or width_hz <= 0.0:
        return [1.0, 0.0, 0.0, 0.0, 0.0]
    w = 2.0 * math.pi * centre_hz / rate_hz
    alpha = math.sin(w) * width_hz / (2.0 * centre_hz)
    c, a0 = math.cos(w), 1.0 + alpha
    return [(1 + alpha * depth) / a0, -2 * c / a0, (1 - alpha * depth) / a0, -2 * c / a0, (1 - alpha) / a0]


def shaping_coefficients(
    zero_hz: float, zero_damping: float, pole_hz: float, pole_damping: float, rate_hz: float
) -> list[float]:
    """Biquad of gain 1 at 0 Hz with a zero pair and a pole pair, bilinear transform, both frequencies prewarped."""
    z = math.tan(math.pi * min(zero_hz, 0.49 * rate_hz) / rate_hz)
    p = math.tan(math.pi * min(pole_hz, 0.49 * rate_hz) / rate_hz)
    n = [1 / z**2 + 2 * zero_damping / z + 1, 2 - 2 / z**2, 1 / z**2 - 2 * zero_damping / z + 1]
    d = [1 / p**2 + 2 * pole_damping / p + 1, 2 - 2 / p**2, 1 / p**2 - 2 * pole_damping / p + 1]
    return [n[0] / d[0], n[1] / d[0], n[2] / d[0], d[1] / d[0], d[2] / d[0]]
