"""Disturbance spectra: power spectral density over stationary windows, and a stable rational spectrum fitted to it.

The rational spectrum is a sum of independent processes, each white noise through a low-pass of order 1, 4 or 8 or a
damped resonator, so it is stable and positive by construction. Their powers maximise Whittle's likelihood (P. Whittle,
Ark. Mat. 2(23), 1953), by L-BFGS over their logarithms.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

import numpy as np
from scipy.linalg import block_diag, expm, solve_discrete_lyapunov
from scipy.optimize import minimize
from scipy.signal import welch

Array = np.ndarray
BROAD_DAMPING = 0.35
TONE_HZ = 0.08  # half width of a tone
TONE_RATIO = 8.0  # a tone stands this much above its surroundings
SPACING = 1.35  # ratio of neighbouring broad resonators
LEAST_SHARE = 0.03  # a process that nowhere makes this part of the whole is left out
MOST_BROAD, MOST_TONES = 10, 6
STEEP = ((4, 60.0), (8, 20.0))  # orders of low-passes, and their highest, Hz
FAR = 40.0  # e-folds a power may move from its first guess
WINDOW_S = 4.0


@dataclass(frozen=True)
class Process:
    """White noise through a first-order low-pass (damping 0) or a resonator; ``rms`` of its output.

    ``low``: the resonator's second-order low-pass output instead of its band-pass one.
    """

    hz: float
    damping: float
    rms: float
    low: bool = False

    @property
    def tone(self) -> bool:
        return 0.0 < self.damping < 0.1

    def density(self, f: Array) -> Array:
        """One-sided power spectral density (unit²/Hz)."""
        if self.damping == 0.0:
            return self.rms**2 * (2.0 / (math.pi * self.hz)) / (1.0 + (f / self.hz) ** 2)
        x = f / self.hz
        band = (2.0 * self.damping * x) ** 2
        shape = (2.0 * self.damping) ** 2 if self.low else band
        return self.rms**2 / (math.pi * self.damping * self.hz) * shape / ((1.0 - x * x) ** 2 + band)

    def sampled(self, T: float) -> tuple[Array, Array, Array]:
        """A, Q (covariance of the step's noise), C of the process sampled every T seconds."""
        w = 2.0 * math.pi * self.hz
        if self.damping == 0.0:
            a = math.exp(-w * T)
            return np.array([[a]]), np.array([[(1.0 - a * a) * self.rms**2]]), np.array([[1.0]])
        A = np.array([[0.0, 1.0], [-w * w, -2.0 * self.damping * w]])
        P = self.rms**2 * np.diag([1.0 / (w * w), 1.0])  # stationary: slope, or angle times w, of variance rms²
        F = expm(A * T)
        scale = np.diag([w, 1.0])
        F, P = scale @ F @ np.linalg.inv(scale), scale @ P @ scale
        Q = P - F @ P @ F.T
        return F, 0.5 * (Q + Q.T), np.array([[1.0, 0.0] if self.low else [0.0, 1.0]])


@dataclass(frozen=True)
class Steep:
    """White noise through a Butterworth low-pass of even order, ``rms`` of its output: gusts that end within an
    octave."""

    hz: float
    order: int
    rms: float
    tone = False

    @property
    def level(self) -> float:
        """One-sided power spectral density at 0 Hz (unit²/Hz)."""
        x = math.pi / (2.0 * self.order)
        return self.rms**2 / (x / math.sin(x) * self.hz)  # the integral of 1 / (1 + f^(2 order))

    def density(self, f: Array) -> Array:
        """One-sided power spectral density (unit²/Hz)."""
        return self.level / (1.0 + (f / self.hz) ** (2 * self.order))

    def sampled(self, T: float) -> tuple[Array, Array, Array]:
        """A, Q (covariance of the step's noise), C of the process sampled every T seconds (C. F. Van Loan, IEEE TAC
        23(3), 1978)."""
        w, n = 2.0 * math.pi * self.hz, self.order
        damping = [math.cos((2 * k + 1) * math.pi / (2 * n)) for k in range(n // 2)]
        A = block_diag(*(np.array([[0.0, w], [-w, -2.0 * d * w]]) for d in damping))
        for k in range(2, n, 2):
            A[k + 1, k - 2] = w  # each half is driven by the one before
        W = np.zeros((n, n))
        W[1, 1] = 0.5 * w * w * self.level
        M = expm(np.block([[-A, W], [np.zeros((n, n)), A.T]]) * T)
        F = M[n:, n:].T
        Q = F @ M[:n, n:]
        C = np.zeros((1, n))
        C[0, n - 2] = 1.0
        return F, 0.5 * (Q + Q.T), C


@dataclass(frozen=True)
class Spectrum:
    """Sum of independent processes."""

    processes: tuple[Process | Steep, ...]

    def density(self, f: Array) -> Array:
        """One-sided power spectral density (unit²/Hz)."""
        return sum((p.density(f) for p in self.processes), np.zeros_like(f))

    def rms(self) -> float:
        """Of the whole."""
        return math.sqrt(sum(p.rms**2 for p in self.processes))

    def sampled(self, T: float) -> tuple[Array, Array, Array]:
        """A, Q, C of the whole sampled every T seconds."""
        parts = [p.sampled(T) for p in self.processes]
        n = sum(len(a) for a, _, _ in parts)
        A, Q, C = np.zeros((n, n)), np.zeros((n, n)), np.zeros((1, n))
        at = 0
        for a, q, c in parts:
            s = slice(at, at + len(a))
            A[s, s], Q[s, s], C[:, s] = a, q, c
            at += len(a)
        return A, Q, C

    def sampled_rms(self, T: float) -> float:
        """RMS of the sampled state space's output: equals :meth:`rms`."""
        A, Q, C = self.sampled(T)
        return math.sqrt(float((C @ solve_discrete_lyapunov(A, Q) @ C.T)[0, 0]))


def density_of(x: Array, rate_hz: float, segment_s: float = 4.0) -> tuple[Array, Array]:
    """One-sided density of x (n,) by Welch's method, without the mean's bin."""
    n = min(len(x), round(segment_s * rate_hz))
    f, p = welch(x, rate_hz, nperseg=n, detrend="linear")
    return f[1:], np.maximum(p[1:], 1e-300)


def _tones(f: Array, p: Array) -> list[float]:
    """Frequencies that stand out of their surroundings."""
    out = []
    for i in range(2, len(f) - 2):
        near = (np.abs(f - f[i]) < max(1.0, 0.15 * f[i])) & (np.abs(f - f[i]) > 2.5 * (f[1] - f[0]))
        if p[i] == p[i - 2 : i + 3].max() and p[i] > TONE_RATIO * np.median(p[near]) and f[i] > 1.0:
            out.append(float(f[i]))
    return out


def _powers(shapes: Array, p: Array, weight: Array, first: Array) -> Array:
    """Powers (k,) of shapes (k, n), from a first guess, by which the density p is most likely."""

    def unlikely(x: Array) -> tuple[float, Array]:
        made = np.exp(x)[:, None] * shapes
        model = made.sum(0)
        return float(np.sum(weight * (p / model + np.log(model)))), made @ (weight * (1.0 - p / model) / model)

    x = np.log(first)
    best = minimize(unlikely, x, jac=True, method="L-BFGS-B", bounds=[(a - FAR, a + FAR) for a in x])
    return np.asarray(np.exp(best.x))


def _candidates(f: Array, p: Array, top_hz: float) -> list[Process | Steep]:
    grid = [0.3 * SPACING**k for k in range(1, round(math.log(top_hz / 0.3) / math.log(SPACING)) + 1)]
    out: list[Process | Steep] = [Process(0.3, 0.0, 1.0), Process(4.0, 0.0, 1.0), Process(30.0, 0.0, 1.0)]
    out += [Process(x, BROAD_DAMPING, 1.0) for x in grid]
    lowest = max(1.0, 2.0 * f[0])  # what lies below f isn't known, and steep ones would say much of it
    fine = [lowest * SPACING ** (0.5 * k) for k in range(60)]
    out += [Steep(x, order, 1.0) for order, most in STEEP for x in fine if x <= most]
    return out + [Process(x, TONE_HZ / x, 1.0) for x in _tones(f, p)]


def fit(f: Array, p: Array, top_hz: float) -> Spectrum:
    """A stable rational spectrum of a one-sided density p at f (Hz), best per octave, up to top_hz.

    Raises:
        ValueError: nothing to fit, or nothing found.
    """
    use = (f > 0.0) & (f <= top_hz) & np.isfinite(p) & (p > 0.0)
    f, p = f[use], p[use]
    if len(f) < 8:
        raise ValueError("a spectrum is fitted to 8 points or more, all positive and finite")
    candidates, weight = _candidates(f, p, top_hz), 1.0 / f
    power = np.array([np.interp(c.hz, f, p) / float(c.density(np.array([c.hz]))[0]) for c in candidates])
    for most in (2, 1):  # twice as many as are kept, then those that are left
        shapes = np.array([c.density(f) for c in candidates]) + 1e-300
        power = _powers(shapes, p, weight, power)
        share = power[:, None] * shapes / (power @ shapes)
        worth = np.where([c.tone for c in candidates], power, share @ weight)  # a tone's width says nothing
        order = [int(k) for k in np.argsort(-worth) if share[k].max() > LEAST_SHARE]
        tones, broad = [k for k in order if candidates[k].tone], [k for k in order if not candidates[k].tone]
        keep = broad[: most * MOST_BROAD] + tones[: most * MOST_TONES]
        candidates, power = [candidates[k] for k in keep], power[keep]
    shapes = np.array([c.density(f) for c in candidates]) + 1e-300
    power = _powers(shapes, p, weight, power)
    if not np.all(np.isfinite(power)):
        raise ValueError("no spectrum was found that makes these densities likely")
    share = (power[:, None] * shapes / (power @ shapes)).max(1)
    found = [replace(c, rms=math.sqrt(a)) for c, a, x in zip(candidates, power, share, strict=True) if x > LEAST_SHARE]
    return Spectrum(tuple(found))


def stationary_groups(x: Array, rate_hz: float, most: int = 2) -> tuple[Array, list[tuple[float, Array]]]:
    """Densities of x (n, c) over windows of like level: frequencies; per group its share of time and density (c, m).

    Windows of WINDOW_S overlap by half; the level is the power from 0.5 to 30 Hz. Groups that hardly differ are one.
    """
    size = min(len(x), round(WINDOW_S * rate_hz))
    starts = range(0, len(x) - size + 1, max(1, size // 2))
    windows = np.array(
        [[density_of(x[a : a + size, k], rate_hz, WINDOW_S)[1] for k in range(x.shape[1])] for a in starts]
    )
    f = density_of(x[:size, 0], rate_hz, WINDOW_S)[0]
    level = np.log10(windows[:, :, (f >= 0.5) & (f <= 30.0)].sum((1, 2)))
    parts = [np.arange(len(level))]
    if most > 1 and len(level) >= 8:
        order = np.argsort(level)
        jump = [
            np.var(level[order[:k]]) * k + np.var(level[order[k:]]) * (len(level) - k) for k in range(3, len(level) - 2)
        ]
        cut = 3 + int(np.argmin(jump))
        if level[order[cut:]].mean() - level[order[:cut]].mean() > 0.4:  # 4 dB
            parts = [order[:cut], order[cut:]]
    return f, [(len(p) / len(level), windows[p].mean(0)) for p in parts]
