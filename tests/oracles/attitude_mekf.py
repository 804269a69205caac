"""Slow, plain-matrix reading of the error-state filter without GNSS, for comparison: numpy and scipy only.

Written from the equations (Sola 2017, arXiv 1711.02508, section 7, global error), not from the kernels: the
transition of every single sample is a 21 x 21 matrix, updates use the textbook gain, the Joseph form and a matrix
inverse.
"""

from __future__ import annotations

import numpy as np
from scipy.spatial.transform import Rotation


def skew(v):
    return np.array([[0, -v[2], v[1]], [v[2], 0, -v[0]], [-v[1], v[0], 0]])


def turn_to_up(force):
    """The smallest rotation that takes force to (0, 0, -1)."""
    up = force / np.linalg.norm(force)
    axis = np.cross(up, [0, 0, -1])
    sine = np.linalg.norm(axis)
    return Rotation.from_rotvec(axis / sine * np.arctan2(sine, -up[2]) if sine > 0 else np.zeros(3))


class Oracle:
    def __init__(self, p) -> None:
        self.p = p
        self.P = np.diag(p["std0"] ** 2)
        self.x = np.zeros(21)
        self.R = None
        self.T = 0.0
        self.waiting = None
        self.coarse = True  # the first epoch only levels
        self.force = np.zeros(3)

    def sample(self, gyro, accel, t_ns) -> None:
        if self.R is None:
            self.R = turn_to_up(accel)
            self.t = t_ns
            return
        dt = (t_ns - self.t) * 1e-9
        self.t = t_ns
        w = gyro - self.x[3:6] - self.x[12:].reshape(3, 3) @ gyro
        f = accel - self.x[9:12]
        middle = self.R * Rotation.from_rotvec(0.5 * w * dt)
        self.R = self.R * Rotation.from_rotvec(w * dt)
        force = middle.apply(f)
        self.x[6:9] += (force + [0, 0, self.p["gravity"]]) * dt
        self.force += force * dt
        self._propagate(middle.as_matrix(), force, gyro, w, dt)
        self.T += dt
        if self.waiting:  # the step's schedule: what an epoch says is used one sample later
            self.update(self.waiting)
            self.waiting = None
            if self.coarse:
                self.P = np.diag(self.p["std0"] ** 2)
                self.x[6:9] = 0
                self.coarse = False
                self.T = 0.0
        elif self.T >= 0.999 * self.p["period"]:
            self.waiting = self.T
            self.T = 0.0

    def _propagate(self, R, force, gyro, w, dt) -> None:
        A = np.zeros((21, 21))
        A[0:3, 3:6] = -R
        for j in range(3):
            for k in range(3):
                A[0:3, 12 + 3 * j + k] = -R[:, j] * gyro[k]
        A[6:9, 0:3] = -skew(force)
        A[6:9, 9:12] = -R
        F = np.eye(21) + A * dt + A @ A * dt * dt / 2
        Q = np.diag(self.p["walk"]) * dt
        Q[0:3, 0:3] += np.eye(3) * self.p["gyro_rate_noise"] ** 2 * (w @ w) * dt
        self.P = F @ self.P @ F.T + Q

    def update(self, T) -> None:
        if self.coarse:
            self.R = turn_to_up(self.force) * self.R
            return
        H = np.zeros((3, 21))
        H[:, 6:9] = np.eye(3)
        noise = np.eye(3) * self.p["zero_vel_std"] ** 2 * self.p["period"] / T
        K = self.P @ H.T @ np.linalg.inv(H @ self.P @ H.T + noise)
        dx = K @ -self.x[6:9]
        I_KH = np.eye(21) - K @ H
        self.P = I_KH @ self.P @ I_KH.T + K @ noise @ K.T
        self.R = Rotation.from_rotvec(dx[0:3]) * self.R
        self.x[3:] += dx[3:]

    def angle_to(self, q) -> float:
        other = Rotation.from_quat([q[1], q[2], q[3], q[0]])
        return float((self.R * other.inv()).magnitude())
