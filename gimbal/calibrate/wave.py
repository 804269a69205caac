"""Joints waved by hand in front of a resting base: what encoders and gyro must agree on.

In camera axes the rate is J(angles) rate_joints; the gyro, through its matrix and bias, must show the same. Rates are
means over 20 ms on both sides (differences of angles, of the gyro's integral) after the same smoothing, so both have
the same low-pass and an encoder's steps don't make the fit rough. For
given signs, zero of the middle joint and delay the rest is linear; those two are found by least squares around it
(variable projection: Golub and Pereyra, SIAM J. Numer. Anal. 10(2), 1973, doi 10.1137/0710036).

The zero of the innermost joint can't be told from the IMU's mount, that of the outermost not from the base's heading:
they come from the marks at which the camera is held at the beginning.
"""

from __future__ import annotations

import itertools
import math
from dataclasses import dataclass

import numpy as np
from scipy.optimize import least_squares

from gimbal.calibrate.recording import Recording
from gimbal.errors import UsageError
from gimbal.frames import AXES, AXIS_INDEX
from gimbal.units import DEG

MEAN_S = 0.02
SMOOTH_S = 0.06  # length of the Hann window
REST_S = 1.0  # at the marks at least
LEAST_DEG = 15.0  # each joint must move by this much to either side, all together
SLOW = 0.1  # rad/s: below it nothing moved


@dataclass
class Wave:
    """The fit. ``signs``, ``zero`` (of the middle joint, rad), ``late_s``: joint readings are older than stamped."""

    signs: np.ndarray
    zero: float
    zero_std: float
    late_s: float
    late_std: float
    matrix: np.ndarray  # (3, 3): rate_C = matrix (reading - bias)
    matrix_std: np.ndarray  # (3, 3)
    bias: np.ndarray
    marks: np.ndarray  # (3,) joint readings at the marks, rad
    t: np.ndarray
    residual: np.ndarray  # (n, 3) rad/s, camera axes


def rotation(axis: int, angle: np.ndarray) -> np.ndarray:
    """(n, 3, 3) about a coordinate axis: turned to unturned."""
    out = np.zeros((len(angle), 3, 3))
    i, j = (axis + 1) % 3, (axis + 2) % 3
    out[:, axis, axis] = 1.0
    out[:, i, i] = out[:, j, j] = np.cos(angle)
    out[:, j, i] = np.sin(angle)
    out[:, i, j] = -np.sin(angle)
    return out


def joint_axes(order: list[int], angle: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """R_BC (n, 3, 3) and the joints' axes in C as columns (n, 3, 3; roll, pitch, yaw) for angles (n, 3)."""
    R = np.broadcast_to(np.eye(3), (len(angle), 3, 3))
    axes = np.zeros((len(angle), 3, 3))
    for k in reversed(order):  # from the camera outward: R takes C to the stage after joint k
        axes[:, :, k] = R[:, k, :]
        R = rotation(k, angle[:, k]) @ R
    return R, axes


def chain_order(rec: Recording) -> list[int]:
    return [AXIS_INDEX[a] for a in rec.rig.kinematic_order]


def nominal_mount(rec: Recording) -> np.ndarray:
    """R_CI as the loop believed it."""
    from gimbal.config.pack import pack_params

    M = pack_params(rec.rig)["imu"]["accel_CI"][0]
    u, _, v = np.linalg.svd(M)
    return u @ v


def smoothed(times: np.ndarray, x: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Samples (n, 3) at 1 kHz after a Hann window, without its ends; and their times."""
    t = np.arange(times[0], times[-1], 0.001)
    window = np.hanning(round(SMOOTH_S / 0.001) | 1)
    window /= window.sum()
    half = len(window) // 2
    even = [np.convolve(np.interp(t, times, x[:, k]), window, mode="valid") for k in range(x.shape[1])]
    return t[half:-half], np.stack(even, axis=1)


def camera_side(rec: Recording) -> tuple[np.ndarray, np.ndarray]:
    """Smoothed joint angles behind the structure's spring, which the camera's inertia bends: encoders sit before it.

    Slow against the mode, the camera's angle is the motor's less its acceleration over (2 pi mode)² times the motor's
    share of the inertia.
    """
    t, angle = smoothed(rec.joint_t, rec.joint)
    share = rec.rig.structure.motor_inertia_share
    if share > 0.0:
        stiff = (2.0 * np.pi * np.array(rec.rig.structure.mode_hz)) ** 2 * share
        angle = angle - np.gradient(np.gradient(angle, t, axis=0), t, axis=0) / stiff
    return t, angle


class _Data:
    """Means of the gyro on a grid, and joint angles at its edges for any delay."""

    def __init__(self, rec: Recording) -> None:
        self.order = chain_order(rec)
        start = max(rec.t[0], rec.joint_t[0]) + 0.1
        end = min(rec.t[-1], rec.joint_t[-1]) - 0.1
        self.edge = np.arange(start, end, MEAN_S)
        self.t = 0.5 * (self.edge[1:] + self.edge[:-1])
        middle = 0.5 * (rec.gyro[1:] + rec.gyro[:-1]) * np.diff(rec.t)[:, None]
        turned = np.vstack([np.zeros(3), np.cumsum(middle, axis=0)])
        t, turned = smoothed(rec.t, turned)
        at = np.stack([np.interp(self.edge, t, turned[:, k]) for k in range(3)], axis=1)
        self.joint_t, self.joint = camera_side(rec)
        self.gyro = np.diff(at, axis=0) / MEAN_S
        self.with_one = np.hstack([self.gyro, np.ones((len(self.gyro), 1))])

    def rate_C(self, signs: np.ndarray, zero: float, late_s: float) -> np.ndarray:
        at = np.stack([np.interp(self.edge + late_s, self.joint_t, self.joint[:, k]) for k in range(3)], axis=1)
        at[:, self.order[1]] -= zero
        at *= signs
        rate = np.diff(at, axis=0) / MEAN_S
        _, axes = joint_axes(self.order, 0.5 * (at[1:] + at[:-1]))
        return np.einsum("nij,nj->ni", axes, rate)

    def linear(self, signs: np.ndarray, zero: float, late_s: float) -> tuple[np.ndarray, np.ndarray]:
        """Matrix and offset (4, 3), and what they leave (n, 3)."""
        rate = self.rate_C(signs, zero, late_s)
        values, *_ = np.linalg.lstsq(self.with_one, rate, rcond=None)
        return values, rate - self.with_one @ values


def fit(rec: Recording) -> Wave:
    """Everything that such a recording tells.

    Raises:
        UsageError: no rest at the marks, too little motion, clipped or left-handed axes, or sensors that don't agree.
    """
    if len(rec.joint_t) < 1000 or rec.seconds < 15.0:
        raise UsageError(
            f"The recording has {len(rec.joint_t)} joint readings in {rec.seconds:.0f} s; 15 s are needed. Check that "
            "the motor controllers report their encoders while off, and record longer."
        )
    marks = _marks(rec)
    data = _Data(rec)
    away = np.ptp(rec.joint, axis=0) / DEG
    for k in range(3):
        if away[k] < 2.0 * LEAST_DEG:
            raise UsageError(
                f"The {AXES[k]} joint moved over {away[k]:.0f} degrees, {2 * LEAST_DEG:.0f} are needed. Turn every "
                "joint to and fro, also two at a time, a turn and back in 3 s or so, and record again."
            )
    if np.abs(rec.gyro).max() > 0.995 * rec.rig.imu.gyro_range_deg_s * DEG:
        raise UsageError("The gyro was at its range. Turn the joints more slowly and record again.")
    signs = _signs(rec, data, marks)
    best = least_squares(
        lambda x: data.linear(signs, x[0], x[1])[1].ravel(), [marks[data.order[1]], 0.0], x_scale=[0.01, 1e-3]
    )
    zero, late_s = (float(v) for v in best.x)
    values, left = data.linear(signs, zero, late_s)
    moving = float(np.sqrt(np.mean(data.gyro**2)))
    rms = float(np.sqrt(np.mean(left**2)))
    if rms > 0.05 * moving + 0.01:
        raise UsageError(
            f"Gyro and encoders don't agree: {rms / DEG:.2f} deg/s are left of {moving / DEG:.1f}. The base moved, an "
            "encoder slips, or kinematic_order in the rig file is another than the rig's. Fix the base, record again."
        )
    std = _std(data, signs, zero, late_s, left)
    matrix = values[:3].T
    return Wave(signs, zero, std[0], late_s, std[1], matrix, std[2:].reshape(4, 3)[:3].T,
                -np.linalg.solve(matrix, values[3]), marks, data.t, left)  # fmt: skip


def _marks(rec: Recording) -> np.ndarray:
    """Joint readings while the camera is held at its marks, at the beginning."""
    first = rec.joint_t < rec.joint_t[0] + REST_S
    if np.ptp(rec.joint[first], axis=0).max() > 1.0 * DEG:
        raise UsageError(
            "The joints moved in the first second. Hold the camera at its marks (level with the base, looking along "
            "its forward axis) before and for 3 s after the recording starts, then turn the joints."
        )
    return rec.joint[first].mean(axis=0)


def _signs(rec: Recording, data: _Data, marks: np.ndarray) -> np.ndarray:
    """Directions: of the eight, those that fit; of two that fit alike the one nearer to the mount as configured.

    Flipping two joints is the same as turning the mount by 180 degrees, so the mount must be known to within 90.
    """
    nominal = nominal_mount(rec)
    power = float(np.sqrt(np.mean(data.gyro**2)))
    if power < SLOW:
        raise UsageError(f"The camera turned with {power / DEG:.1f} deg/s only. Turn the joints faster, record again.")
    found = []
    for flips in itertools.product((1.0, -1.0), repeat=3):
        signs = np.array(flips)
        values, left = data.linear(signs, float(marks[data.order[1]]), 0.0)
        u, _, v = np.linalg.svd(values[:3].T)
        turned = u @ v
        away = math.acos(max(-1.0, min(1.0, 0.5 * (float(np.trace(turned.T @ nominal)) - 1.0))))
        found.append((float(np.sqrt(np.mean(left**2))), np.linalg.det(turned), away, signs))
    least = min(f[0] for f in found)
    near = [f for f in found if f[0] < 3.0 * least + 0.02 * power]
    if all(f[1] < 0 for f in near):
        raise UsageError(
            "The IMU's axes are left-handed: an axis is swapped or has the wrong sign in its driver or its own setup. "
            "Correct that first; no mount can."
        )
    best = min(near, key=lambda f: f[2])
    if best[2] > 0.5 * math.pi:
        raise UsageError(
            f"The IMU sits {best[2] / DEG:.0f} degrees from where imu.mount_rpy_deg says, so directions can't be told "
            "from it. Enter the mount to within 45 degrees in the rig file, and record again."
        )
    return best[3]


def _std(data: _Data, signs: np.ndarray, zero: float, late_s: float, left: np.ndarray) -> np.ndarray:
    """One sigma of zero, delay and the 12 linear values; what neighbouring residuals share counts once."""
    eps = np.array([1e-4, 1e-5])
    rate = data.rate_C(signs, zero, late_s)
    columns = [
        (data.rate_C(signs, zero + eps[0], late_s) - rate).ravel() / eps[0],
        (data.rate_C(signs, zero, late_s + eps[1]) - rate).ravel() / eps[1],
    ]
    n = len(rate)
    linear = np.zeros((n, 3, 4, 3))
    for k in range(3):
        linear[:, k, :, k] = -data.with_one
    J = np.hstack([np.stack(columns, axis=1), linear.reshape(3 * n, 12)])
    block = 25
    means = left[: n // block * block].reshape(-1, block, 3).mean(axis=1)
    shared = max(1.0, float(np.sqrt(block * np.mean(means**2) / np.mean(left**2))))
    return shared * float(left.std()) * np.sqrt(np.diag(np.linalg.inv(J.T @ J)))
