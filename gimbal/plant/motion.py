"""Samples of a motion on uniform grids, and what a carrier is made of."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from gimbal.plant.spline import PAD, coefficients

RATE_HZ = 1000.0  # of the base
PATH_RATE_HZ = 50.0  # of targets and slow paths
WIND_RATE_HZ = 50.0


@dataclass
class Motion:
    """Samples that start PAD rows before t = 0 and end PAD rows after the end."""

    q_NB: np.ndarray  # (n, 4) at rate_hz, sign continuous
    pos_N: np.ndarray  # (n, 3)
    rate_hz: float = RATE_HZ
    target_N: np.ndarray | None = None  # (m, 3) at target_rate_hz
    target_rate_hz: float = PATH_RATE_HZ
    wind_Nm: np.ndarray | None = None  # (k, 3) on the roll, pitch, yaw stage at wind_rate_hz
    wind_rate_hz: float = WIND_RATE_HZ


@dataclass
class Carried:
    """A carrier: slow attitude and position of its own, and a shake on top of them in base axes; rows of times()."""

    q_path: np.ndarray  # (n, 4)
    pos_N: np.ndarray  # (n, 3)
    q_local: np.ndarray  # (n, 4), small turns of the base against q_path
    shift_B: np.ndarray  # (n, 3) m, vibration in axes of q_path
    wind_Nm: np.ndarray | None = None


def times(seconds: float, rate_hz: float = RATE_HZ) -> np.ndarray:
    """Sample times with the pads."""
    return (np.arange(int(round(seconds * rate_hz)) + 1 + 2 * PAD) - PAD) / rate_hz


def continuous(q: np.ndarray) -> np.ndarray:
    """The same attitudes with signs chosen so that neighbours are close."""
    flips = np.sum(q[1:] * q[:-1], axis=1) < 0.0
    sign = np.concatenate([[1.0], np.cumprod(np.where(flips, -1.0, 1.0))])
    return q * sign[:, None]


def resample(samples: np.ndarray, rate_hz: float, start_s: float, t: np.ndarray) -> np.ndarray:
    """Quintic B-spline through uniform samples (n, c), at times t (clipped to the samples)."""
    c = coefficients(samples)
    u = np.clip((t - start_s) * rate_hz, 2.0, samples.shape[0] - 4.0001)
    i = u.astype(int)
    f = u - i
    out = np.zeros((t.size, samples.shape[1]))
    for k, w in enumerate(_weights(f)):
        out += w[:, None] * c[i - 2 + k]
    return out


def _weights(f: np.ndarray) -> list[np.ndarray]:
    f2, f3 = f * f, f**3
    f4, f5 = f**4, f**5
    k = 1.0 / 120.0
    return [
        (1 - 5 * f + 10 * f2 - 10 * f3 + 5 * f4 - f5) * k,
        (26 - 50 * f + 20 * f2 + 20 * f3 - 20 * f4 + 5 * f5) * k,
        (66 - 60 * f2 + 30 * f4 - 10 * f5) * k,
        (26 + 50 * f + 20 * f2 - 20 * f3 - 20 * f4 + 10 * f5) * k,
        (1 + 5 * f + 10 * f2 + 10 * f3 + 5 * f4 - 5 * f5) * k,
        f5 * k,
    ]
