"""Seeded random signals of a stated spectrum, tones, and arrays of quaternions, for building motion tables."""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
from scipy import fft


def synthesize(
    rng: np.random.Generator,
    n: int,
    rate_hz: float,
    amplitude: Callable[[np.ndarray], np.ndarray],
    *,
    rms: float | None = None,
    integrals: int = 0,
) -> np.ndarray:
    """Gaussian noise (n,) whose one-sided spectral density is amplitude(f)² per Hz.

    Args:
        rms: if given, the spectrum is scaled so that the expected RMS of the signal before integration is this.
        integrals: how often the result is integrated in time; band-limited above 0 Hz, so it does not drift.
    """
    size = fft.next_fast_len(n, real=True)
    f = fft.rfftfreq(size, 1.0 / rate_hz)
    shape = np.zeros_like(f)
    shape[1:] = amplitude(f[1:])
    if rms is not None:
        power = float(np.sum(shape**2)) * rate_hz / size
        shape *= rms / math.sqrt(power) if power > 0.0 else 0.0
    scale = shape * math.sqrt(rate_hz * size / 4.0)
    spectrum = scale * (rng.standard_normal(f.size) + 1j * rng.standard_normal(f.size))
    if integrals:
        spectrum[1:] /= (2j * np.pi * f[1:]) ** integrals
    spectrum[0] = 0.0
    return fft.irfft(spectrum, size)[:n]


def band(low_hz: float, high_hz: float) -> Callable[[np.ndarray], np.ndarray]:
    """Flat between the two frequencies, with edges a twentieth of the band's lower end wide."""

    def amplitude(f: np.ndarray) -> np.ndarray:
        edge = 0.05 * low_hz
        rise = np.clip((f - (low_hz - edge)) / edge, 0.0, 1.0)
        fall = np.clip(((high_hz + edge) - f) / edge, 0.0, 1.0)
        return np.minimum(rise, fall)

    return amplitude


def tone(rng: np.random.Generator, t: np.ndarray, hz: float, amplitude: float) -> np.ndarray:
    """A sine of random phase."""
    return amplitude * np.sin(2.0 * np.pi * hz * t + rng.uniform(0.0, 2.0 * np.pi))


def smoothstep(x: np.ndarray) -> np.ndarray:
    """0 to 1 over x = 0 to 1, three derivatives continuous (septic)."""
    x = np.clip(x, 0.0, 1.0)
    return x**4 * (35.0 - 84.0 * x + 70.0 * x**2 - 20.0 * x**3)


def plateau(t: np.ndarray, start_s: float, ramp_s: float, flat_s: float) -> np.ndarray:
    """Window: up over a ramp, one for flat_s, down over a ramp."""
    return smoothstep((t - start_s) / ramp_s) * smoothstep((start_s + 2.0 * ramp_s + flat_s - t) / ramp_s)


def repeated_plateaus(t: np.ndarray, first_s: float, every_s: float, ramp_s: float, flat_s: float) -> np.ndarray:
    """Plateaus every so often, alternating sign, the first one positive."""
    window = np.zeros_like(t)
    start, sign = first_s, 1.0
    while start < t[-1]:
        window += sign * plateau(t, start, ramp_s, flat_s)
        start, sign = start + every_s, -sign
    return window


def q_mul(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """Products (n, 4) of Hamilton quaternions, scalar first."""
    aw, ax, ay, az = a.T
    bw, bx, by, bz = b.T
    return np.stack(
        [
            aw * bw - ax * bx - ay * by - az * bz,
            aw * bx + ax * bw + ay * bz - az * by,
            aw * by - ax * bz + ay * bw + az * bx,
            aw * bz + ax * by - ay * bx + az * bw,
        ],
        axis=1,
    )


def q_axis(axis: int, angle: np.ndarray) -> np.ndarray:
    q = np.zeros((angle.size, 4))
    q[:, 0] = np.cos(0.5 * angle)
    q[:, 1 + axis] = np.sin(0.5 * angle)
    return q


def q_vector(phi: np.ndarray) -> np.ndarray:
    """Quaternions of rotation vectors (n, 3)."""
    a = np.linalg.norm(phi, axis=1)
    s = 0.5 * np.sinc(a / (2.0 * np.pi))
    return np.column_stack([np.cos(0.5 * a), phi * s[:, None]])


def q_euler(roll: np.ndarray, pitch: np.ndarray, yaw: np.ndarray) -> np.ndarray:
    """Intrinsic Z-Y-X angles, rad."""
    return q_mul(q_mul(q_axis(2, yaw), q_axis(1, pitch)), q_axis(0, roll))


def rotate(q: np.ndarray, v: np.ndarray) -> np.ndarray:
    """v (n, 3) in the outer frame."""
    u = q[:, 1:]
    t = 2.0 * np.cross(u, v)
    return v + q[:, :1] * t + np.cross(u, t)
