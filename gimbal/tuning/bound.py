"""How still one axis can be held: the least jitter of any linear controller, and of any with margins.

The axis is the sampled plant of gimbal.tuning.model, driven by a rational disturbance spectrum, torque noise and sensor
noise. ``bound_lqg``: discrete LQG (steady Kalman filter and regulator; B. D. O. Anderson, J. B. Moore, Optimal Control,
1990). ``bound_robust``: every stabilising controller is the LQG one with a stable filter Q on its innovation (D. C.
Youla, H. A. Jabr, J. J. Bongiorno, IEEE TAC 21(3), 1976); jitter is quadratic and sensitivity affine in Q, so the least
jitter with a peak of sensitivity is a convex problem. It is solved on a rich basis of Q by weighted least squares with
multiplicative multipliers (C. L. Lawson's scheme).
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from scipy.linalg import block_diag, expm, solve_discrete_are
from scipy.signal import butter, sosfreqz

from gimbal.tuning.margins import LEAST_GAIN_DB, LEAST_PHASE_DEG, MOST_MS, of_loop
from gimbal.tuning.model import Axis, response, sampled_plant
from gimbal.tuning.spectrum import Process, Spectrum

Array = np.ndarray
METRIC_HZ, METRIC_ORDER = 0.5, 4  # the metric's high-pass, forward and backward
GYRO, RATE, ANGLE = 0, 1, 2
BASIS_HZ = (0.2, 0.5, 1.0, 2.0, 4.0, 8.0, 15.0, 25.0, 40.0, 65.0, 100.0, 160.0, 300.0)
PEAKS = (2.0, 1.85, 1.75, 1.65, 1.55, 1.4, 1.25)  # tried until gain and phase margin hold too


@dataclass(frozen=True)
class Problem:
    """One axis, its noises and disturbance.

    sense: which output the controller reads (GYRO, or ANGLE for an attitude sensor); noise: of a sample, in its unit.
    disturbance: torque on the camera's side, N m. metric: the error passes the metric's high-pass, else it is whole.
    """

    axis: Axis
    disturbance: Spectrum
    noise: float
    sense: int = GYRO
    metric: bool = True


class Responses:
    """Everything a bound needs, at the points of one frequency grid."""

    def __init__(self, problem: Problem) -> None:
        axis = problem.axis
        self.problem, self.T = problem, 1.0 / axis.rate_hz
        self.f = frequencies(problem)
        self.z = np.exp(2j * math.pi * self.f * self.T)
        self.df = np.gradient(self.f)
        A, B, C = sampled_plant(axis)
        P = response(A, B, C, self.z)
        self.Pyu, self.Pyd, self.Pyt = (P[:, problem.sense, k] for k in range(3))
        self.Pau, self.Pad, self.Pat = (P[:, ANGLE, k] for k in range(3))
        self.weight = metric_response(self.f, axis.rate_hz) if problem.metric else np.ones_like(self.f)
        self.Sd = problem.disturbance.density(self.f)
        self.St = np.full_like(self.f, 2.0 * torque_variance(axis) * self.T)
        self.Sn = np.full_like(self.f, 2.0 * problem.noise**2 * self.T)

    def columns(self, R: Array) -> tuple[Array, Array, Array]:
        """Angle per disturbance, torque noise and sensor noise for u = R (y without feedback)."""
        turn = self.Pau * R
        return self.Pad + turn * self.Pyd, self.Pat + turn * self.Pyt, turn

    def density(self, R: Array) -> Array:
        """One-sided density (rad²/Hz) of the angle, through the metric's high-pass."""
        d, t, n = self.columns(R)
        power = np.abs(d) ** 2 * self.Sd + np.abs(t) ** 2 * self.St + np.abs(n) ** 2 * self.Sn
        return np.asarray(self.weight**2 * power)

    def jitter(self, R: Array) -> float:
        """RMS angle (rad)."""
        return math.sqrt(float(np.sum(self.density(R) * self.df)))

    def closed(self, K: Array) -> Array:
        """R of a controller u = K y."""
        return K / (1.0 - self.Pyu * K)

    def margins_hold(self, R: Array) -> bool:
        """6 dB, 35 degrees, Ms 2.0 of the loop with R, which is stable by construction."""
        S = 1.0 + self.Pyu * R
        low = self.f > 0.02
        m = of_loop(1.0 / S[low] - 1.0, 2.0 * math.pi * self.f[low], True, "", "")
        return m.gain_db >= LEAST_GAIN_DB - 0.02 and m.phase_deg >= LEAST_PHASE_DEG - 0.1 and m.ms <= MOST_MS + 0.005


def frequencies(problem: Problem) -> Array:
    """Grid (Hz) to half the loop's rate, dense about tones and the flexible mode."""
    axis = problem.axis
    top = 0.4999 * axis.rate_hz
    parts = [np.geomspace(1e-3, top, 700), np.geomspace(0.2, min(150.0, top), 300)]
    for p in problem.disturbance.processes:
        if isinstance(p, Process) and p.tone:
            near = p.hz * p.damping * np.concatenate([np.geomspace(0.02, 60.0, 40), -np.geomspace(0.02, 60.0, 40)])
            parts.append(p.hz + near)
    if axis.motor_inertia > 0.0:
        load = axis.inertia - axis.motor_inertia
        mode = math.sqrt(axis.spring * axis.inertia / (axis.motor_inertia * load)) / (2.0 * math.pi)
        parts.append(mode * np.linspace(0.85, 1.15, 80))
    f = np.unique(np.concatenate(parts))
    return f[(f > 0.0) & (f < top)]


def metric_response(f: Array, rate_hz: float) -> Array:
    """Amplitude of the metric's high-pass, forward and backward."""
    sos = butter(METRIC_ORDER, METRIC_HZ, "highpass", fs=rate_hz, output="sos")
    return np.abs(sosfreqz(sos, f, fs=rate_hz)[1]) ** 2


def torque_variance(axis: Axis) -> float:
    """Variance of a torque, held over a tick, as dense at low frequency as the torque loop's white noise."""
    return axis.torque_noise**2 / (math.pi * axis.torque_hz) * axis.rate_hz


def sensor_floor(axis: Axis) -> float:
    """RMS (rad) of the integrated gyro noise above the metric's corner: what a camera that follows its gyro does."""
    f = np.geomspace(0.01, 0.4999 * axis.rate_hz, 4000)
    density = 2.0 * axis.gyro_noise**2 / axis.imu_rate_hz / (2.0 * math.pi * f) ** 2
    return math.sqrt(float(np.trapezoid(metric_response(f, axis.rate_hz) ** 2 * density, f)))


@dataclass(frozen=True)
class Lqg:
    """The LQG controller's gains on the problem's state space."""

    A: Array
    B: Array
    C: Array
    F: Array  # regulator
    M: Array  # Kalman gain of the filtered estimate


def lqg(problem: Problem, least_torque: float = 1e-7) -> Lqg:
    """LQG of a problem: states are plant and delay line, disturbance, metric.

    ``least_torque``: weight of torque (rad per N m) that keeps the regulator's equation regular.
    """
    axis = problem.axis
    T = 1.0 / axis.rate_hz
    A, B, C = sampled_plant(axis)
    Ad, Qd, Cd = problem.disturbance.sampled(T)
    n, m = len(A), len(Ad)
    Aw, Bw, Cw, Dw = _weight(problem)
    k = len(Aw)
    scale = 1e6  # angles in µrad keep the equations' numbers near one
    F = np.zeros((n + m + k, n + m + k))
    F[:n, :n], F[:n, n : n + m], F[n : n + m, n : n + m] = A, B[:, 1:2] @ Cd, Ad
    F[n + m :, :n], F[n + m :, n + m :] = Bw @ C[ANGLE : ANGLE + 1], Aw
    G = np.concatenate([B[:, :1], np.zeros((m + k, 1))])
    H = np.concatenate([C[problem.sense : problem.sense + 1], np.zeros((1, m + k))], 1)
    Z = scale * np.concatenate([Dw @ C[ANGLE : ANGLE + 1], np.zeros((1, m)), Cw], 1)
    Z = np.concatenate([Z, 2e-3 * scale * np.concatenate([C[ANGLE : ANGLE + 1], np.zeros((1, m + k))], 1)])
    noise = block_diag(B[:, 2:] * torque_variance(axis) @ B[:, 2:].T, Qd, np.zeros((k, k)))
    noise += 1e-16 * np.eye(len(F)) * max(np.trace(noise), 1e-30)
    X = solve_discrete_are(F, G, Z.T @ Z, np.array([[(scale * least_torque) ** 2]]))
    gain = np.linalg.solve(G.T @ X @ G + (scale * least_torque) ** 2, G.T @ X @ F)
    size = problem.noise  # outputs in units of the noise
    Y = solve_discrete_are(F.T, H.T / size, noise, np.eye(1))
    M = Y @ H.T / float((H @ Y @ H.T)[0, 0] + size**2)
    return Lqg(F, G, H, gain, M)


def _weight(problem: Problem) -> tuple[Array, Array, Array, Array]:
    """State space of a high-pass of the metric's corner, second order: nearly the metric's, and well conditioned."""
    if not problem.metric:
        return np.zeros((0, 0)), np.zeros((0, 1)), np.zeros((1, 0)), np.eye(1)
    w, T = 2.0 * math.pi * METRIC_HZ, 1.0 / problem.axis.rate_hz
    Ac = np.array([[0.0, w], [-w, -math.sqrt(2.0) * w]])
    F = expm(np.block([[Ac, np.array([[0.0], [w]])], [np.zeros((1, 3))]]) * T)
    return F[:2, :2], F[:2, 2:], np.array([[-1.0, -math.sqrt(2.0)]]), np.eye(1)


def controller_response(c: Lqg, z: Array) -> Array:
    """u per y of the LQG controller."""
    filtered = np.eye(len(c.A)) - c.M @ c.C
    step = c.A - c.B @ c.F
    K = response(step @ filtered, step @ c.M, -c.F @ filtered, z)[:, 0, 0]
    return K - (c.F @ c.M)[0, 0]


def _basis(z: Array, T: float) -> Array:
    """(k, n) orthonormal functions with poles at BASIS_HZ, each twice (S. Takenaka 1925, F. Malmquist 1926)."""
    d = 1.0 / z
    rows, all_pass = [np.ones_like(z)], d
    for hz in (*BASIS_HZ, *BASIS_HZ):
        if hz > 0.3 / T:
            continue
        p = math.exp(-2.0 * math.pi * hz * T)
        rows.append(math.sqrt(1.0 - p * p) / (1.0 - p * d) * all_pass)
        all_pass = all_pass * (d - p) / (1.0 - p * d)
    return np.array(rows)


def youla(c: Lqg, r: Responses) -> tuple[Array, Array]:
    """R of the LQG controller and the rows (k, n) by which the coefficients of Q change it."""
    plant, drive = c.A - c.B @ c.F, c.A - c.A @ c.M @ c.C
    Gvu = 1.0 - response(plant, c.B, c.F, r.z)[:, 0, 0]
    W = 1.0 - response(drive, c.A @ c.M, c.C, r.z)[:, 0, 0]
    return r.closed(controller_response(c, r.z)), _basis(r.z, r.T) * Gvu * W


def _stack(x: Array) -> Array:
    return np.concatenate([x.real, x.imag], axis=-1)


def least(r: Responses, R0: Array, rows: Array, peak: Array | float, steps: int = 120) -> Array:
    """R of least jitter whose sensitivity stays under ``peak`` (inf: no limit; an array: at each frequency).

    Over coefficients of ``rows``; where it isn't reached, the last step's, which the caller's own check judges.
    """
    d0, t0, n0 = r.columns(R0)
    zero = [r.Pad, r.Pat, np.zeros_like(r.Pad)]
    moved = [r.columns(row) for row in rows]
    target, matrix = [], []
    for i, (x0, S) in enumerate(((d0, r.Sd), (t0, r.St), (n0, r.Sn))):
        amount = 1e6 * r.weight * np.sqrt(S * r.df)
        target.append(_stack(amount * x0))
        matrix.append(_stack(amount * (np.array([m[i] for m in moved]) - zero[i])))
    b, G = np.concatenate(target), np.concatenate(matrix, 1)
    norm = np.linalg.norm(G, axis=1) + 1e-300
    G = G / norm[:, None]
    quadratic, linear = G @ G.T + 1e-13 * np.eye(len(G)), G @ b
    if np.all(np.isinf(peak)):
        return R0 - (np.linalg.lstsq(quadratic, linear, rcond=None)[0] / norm) @ rows
    S0, Srows = 1.0 + r.Pyu * R0, (r.Pyu * rows) / norm[:, None]
    Sb, SG = _stack(S0), _stack(Srows)
    multiplier = np.full(len(S0), float(b @ b) / len(S0))
    best, best_cost = R0, math.inf
    limit = 0.997 * peak
    R = R0
    for step in range(steps):
        twice = np.concatenate([multiplier, multiplier])
        x = np.linalg.solve(quadratic + (SG * twice) @ SG.T, linear + SG @ (twice * Sb))
        S = np.abs(S0 - x @ Srows)
        R = R0 - (x / norm) @ rows
        if np.all(S <= 1.002 * peak):
            cost = r.jitter(R)
            if cost < best_cost:
                best, best_cost = R, cost
        power = 2.0 if step < steps // 2 else 1.0
        multiplier = np.maximum(multiplier * (S / limit) ** power, 1e-12 * float(b @ b) / len(S0))
    return best if math.isfinite(best_cost) else R


@dataclass(frozen=True)
class Bound:
    """Least RMS angles (rad) of one axis; ``peak``: greatest sensitivity of each; ``density`` (rad²/Hz) of robust."""

    lqg: float
    robust: float
    lqg_peak: float
    robust_peak: float
    f: Array
    density: Array


def _robust(r: Responses, R0: Array, rows: Array) -> Array:
    """R of least jitter found with all three margins: one peak everywhere, then 2 but where a margin asks for less."""
    best = None
    for peak in PEAKS:
        R = least(r, R0, rows, peak)
        if r.margins_hold(R):
            best = R
            break
    if best is None:
        raise ValueError(f"no linear controller with 6 dB, 35 degrees and Ms 2 for axis {r.problem.axis.name}")
    limit = np.full(len(r.f), MOST_MS)
    for _ in range(6):
        R = least(r, R0, rows, limit)
        if r.margins_hold(R):
            return R if r.jitter(R) < r.jitter(best) else best
        L = 1.0 / (1.0 + r.Pyu * R) - 1.0
        off = np.abs(np.degrees(np.angle(-L)))  # from -180 degrees
        near = (np.abs(np.log(np.abs(L))) < 0.15) & (off < LEAST_PHASE_DEG + 4.0)
        limit[near] = np.minimum(limit[near], 0.99 / (2.0 * math.sin(0.5 * math.radians(LEAST_PHASE_DEG))))
        weak = (off < 6.0) & (np.abs(L) > 1.0) & (np.abs(L) < 2.2)
        limit[weak] = np.minimum(limit[weak], 0.97)
    return best


def bound(problem: Problem) -> Bound:
    """Both bounds of one axis.

    Raises:
        ValueError: no controller with the margins was found.
    """
    r = Responses(problem)
    R0, rows = youla(lqg(problem), r)
    free = least(r, R0, rows, math.inf)
    if r.jitter(free) > r.jitter(R0):
        free = R0
    R = _robust(r, R0, rows)
    S = np.abs(1.0 + r.Pyu * np.array([free, R]))
    robust = max(r.jitter(R), r.jitter(free))
    return Bound(r.jitter(free), robust, float(S[0].max()), float(S[1].max()), r.f, r.density(R))
