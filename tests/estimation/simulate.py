"""A small simulator of its own for the estimator's tests: analytic motion, exact IMU, seeded errors. Only numpy."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np
from scipy.spatial.transform import Rotation

G = 9.80665
Vector = np.ndarray


@dataclass
class Motion:
    """Functions of time (n,) -> (n, 3): velocity in N (m/s) and intrinsic Z-Y-X angles yaw, pitch, roll (rad)."""

    velocity: Callable[[Vector], Vector]
    yaw_pitch_roll: Callable[[Vector], Vector]


@dataclass
class Recording:
    rate_hz: float
    t: Vector
    q_NC: Vector  # scalar first, at the samples
    vel_N: Vector
    gyro: Vector
    accel: Vector
    gnss_t: Vector
    gnss_vel: Vector
    bias: Vector = field(default_factory=lambda: np.zeros(3))
    accel_bias: Vector = field(default_factory=lambda: np.zeros(3))


def spin(motion: Motion, t: Vector) -> Rotation:
    return Rotation.from_euler("ZYX", motion.yaw_pitch_roll(t))


def record(
    motion: Motion,
    seconds: float,
    rate_hz: float = 100.0,
    *,
    seed: int = 0,
    gyro_noise: float = 0.0,
    accel_noise: float = 0.0,
    gyro_bias: float = 0.0,
    accel_bias: float = 0.0,
    gnss_hz: float = 0.0,
    gnss_std: float = 0.1,
    mean: bool = True,
) -> Recording:
    """IMU samples (means since the one before, or points in time) with white noise (per √Hz) and constant biases of
    the given deviations; GNSS velocity at its moment, white."""
    rng = np.random.default_rng(seed)
    n = int(seconds * rate_hz) + 1
    t = np.arange(n) / rate_hz
    h = 1.0 / rate_hz if mean else 1e-4
    at = t - 0.5 * h if mean else t
    turn = (spin(motion, at - 0.5 * h).inv() * spin(motion, at + 0.5 * h)).as_rotvec() / h
    e = 1e-4
    acceleration = (motion.velocity(at + e) - motion.velocity(at - e)) / (2 * e)
    force = spin(motion, at).inv().apply(acceleration - [0, 0, G])
    bias, accel_bias_C = rng.normal(size=3) * gyro_bias, rng.normal(size=3) * accel_bias
    gyro = turn + bias + rng.normal(size=(n, 3)) * gyro_noise * np.sqrt(rate_hz)
    accel = force + accel_bias_C + rng.normal(size=(n, 3)) * accel_noise * np.sqrt(rate_hz)
    gnss_t = np.arange(0.05, seconds, 1.0 / gnss_hz) if gnss_hz else np.zeros(0)
    gnss = motion.velocity(gnss_t) + rng.normal(size=(len(gnss_t), 3)) * gnss_std if gnss_hz else np.zeros((0, 3))
    q = spin(motion, t).as_quat()[:, [3, 0, 1, 2]]
    return Recording(rate_hz, t, q, motion.velocity(t), gyro, accel, gnss_t, gnss, bias, accel_bias_C)


def errors_rad(q: Vector, true: Vector) -> tuple[Vector, Vector, Vector]:
    """World-side error rotation vector (n, 3), tilt and heading angles (n,) of estimate against truth."""
    est, ref = (Rotation.from_quat(x[:, [1, 2, 3, 0]]) for x in (q, true))
    e = ref * est.inv()
    w = e.as_quat()
    tilt = 2 * np.arccos(np.clip(np.hypot(w[:, 3], w[:, 2]), 0, 1))
    sign = np.where(w[:, 3] < 0, -1.0, 1.0)
    return e.as_rotvec(), tilt, 2 * np.arctan2(sign * w[:, 2], sign * w[:, 3])


def wander(speed: float = 12.0) -> Motion:
    """A carrier that turns, climbs and brakes, its attitude of its own: every state observable."""

    def velocity(t: Vector) -> Vector:
        v = speed + 4 * np.sin(0.7 * t)
        psi = 0.8 * np.sin(0.31 * t) + 0.2 * t
        return np.stack([v * np.cos(psi), v * np.sin(psi), 2 * np.sin(0.53 * t)], -1)

    def angles(t: Vector) -> Vector:
        yaw = 0.8 * np.sin(0.31 * t) + 0.2 * t + 0.1 * np.sin(2.1 * t)
        return np.stack([yaw, 0.4 * np.sin(0.9 * t), 0.7 * np.sin(0.6 * t + 1)], -1)

    return Motion(velocity, angles)


def spiral(speed: float = 22.0, turn: float = np.radians(60.0), heading0: float = 0.7) -> Motion:
    """Coordinated: 2.5 g at 22 m/s and 60 °/s."""
    bank = np.arctan2(speed * turn, G)

    def velocity(t: Vector) -> Vector:
        psi = heading0 + turn * t
        return np.stack([speed * np.cos(psi), speed * np.sin(psi), np.full_like(psi, 5.0)], -1)

    def angles(t: Vector) -> Vector:
        return np.stack([heading0 + turn * t, np.zeros_like(t), np.full_like(t, bank)], -1)

    return Motion(velocity, angles)


def handheld(seed: int = 0) -> Motion:
    """Random but smooth: sums of sines; velocity around zero."""
    rng = np.random.default_rng(seed)
    f = rng.uniform(0.1, 1.2, (2, 3, 5)) * 2 * np.pi
    phase = rng.uniform(0, 6.28, (2, 3, 5))
    size = np.array([0.5, 0.35, 0.5])

    def sines(k: int, t: Vector) -> Vector:
        return np.sin(t[:, None, None] * f[k] + phase[k]).sum(-1)

    def ramp(t: Vector) -> Vector:
        return np.clip((t - 1.0) / 3.0, 0.0, 1.0)[:, None] ** 2  # a second at rest, then it grows

    return Motion(lambda t: 0.25 * ramp(t) * sines(0, t), lambda t: size * ramp(t) * sines(1, t))
