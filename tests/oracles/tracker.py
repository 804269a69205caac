"""The tracker's filter written a second time: dense matrices, joint updates in Joseph form, fine steps; sorted input.

No gates, no learning of the noise: the compiled filter is compared with these switched off.
"""

from __future__ import annotations

import numpy as np
from scipy.linalg import expm

G = np.array([0.0, 0.0, 9.80665])


def jerk(p, v, a, drag, frame, tau):
    """Rate of the acceleration: specific force turned with the velocity frame, grown with v², relaxed."""
    plain = -a / tau
    speed, h = np.linalg.norm(v), np.hypot(v[0], v[1])
    low2 = p["low_speed_m_s"] ** 2
    w = frame * speed**2 / (speed**2 + low2) * h**2 / (h**2 + (p["steep"] * speed) ** 2 + 1e-9)
    if w < 1e-6:
        return plain
    t = v / speed
    side = np.array([-v[1], v[0], 0.0]) / (h + 1e-9)
    n = np.cross(t, side)
    f = a - G
    turn = p["gain_turn"] * np.cross(v, a)[2] / (h**2 + low2)
    nose = -p["gain_turn"] * (a @ n) * speed / (speed**2 + low2)
    omega = nose * side + np.array([0.0, 0.0, turn])
    grow = np.clip(p["gain_square"] * 2.0 * (a @ t) / speed, -1.0, 1.0)
    relax = (
        (-drag * speed**2 - f @ t) / p["tau_drag_s"] * t
        - (f @ side) / p["tau_turn_s"] * side
        + (-9.80665 * h / speed - f @ n) / p["tau_lift_s"] * n
    )
    return plain + w * (np.cross(omega, f) + grow * f + relax - plain)


class Oracle:
    """``params`` as the compiled filter's record; times in s from the first measurement."""

    def __init__(self, params):
        self.p = params
        self.x = None

    def memory(self):
        p = self.p
        return p["tau_plain_s"] + self.frame * (p["tau_singer_s"] - p["tau_plain_s"])

    def step(self, dt):
        """Transition and noise over dt: van Loan (IEEE TAC 23(3), 1978) for the nine, exponentials for the rest."""
        p, v = self.p, self.x[3:6]
        tau = self.memory()
        A = np.zeros((9, 9))
        A[:3, 3:6] = A[3:6, 6:] = np.eye(3)
        A[6:, 6:] = -np.eye(3) / tau
        a = self.x[6:9]
        scale = min(1.0, 0.2 + 0.8 * (v @ v) / p["full_speed_m_s"] ** 2) * (1 + (a @ a) / p["lively_m_s2"] ** 2)
        across = p["sigma_n"] ** 2 * scale
        along = (p["sigma_t"] ** 2 * scale + p["sigma_t_per_s"] ** 2 * (v @ v) - across) / (
            v @ v + p["low_speed_m_s"] ** 2
        )
        S = across * np.eye(3) + along * np.outer(v, v)
        W = np.zeros((9, 9))
        W[6:, 6:] = 2.0 / tau * S
        M = expm(np.block([[-A, W], [np.zeros((9, 9)), A.T]]) * dt)
        F, Q = np.eye(16), np.zeros((16, 16))
        F[:9, :9] = M[9:, 9:].T
        Q[:9, :9] = F[:9, :9] @ M[:9, 9:]
        for k, tau_k, std in ((9, p["drift_tau_s"], 3 * [p["drift_m_s"]]), (12, p["bias_tau_s"], self.bias_std())):
            e = np.exp(-dt / tau_k)
            F[k : k + 3, k : k + 3] *= e
            Q[k : k + 3, k : k + 3] = (1 - e * e) * np.diag(np.square(std))
        Q[15, 15] = p["delay_walk_s"] ** 2 * dt
        return F, Q

    def bias_std(self):
        return [self.p["bias_h_m"], self.p["bias_h_m"], self.p["bias_v_m"]]

    def begin(self, t, pos, vel):
        p = self.p
        self.t, self.x = t, np.concatenate([pos, vel, np.zeros(10)])
        self.P = np.diag(
            np.square(
                3 * [p["fix_pos_std_m"]]
                + 3 * [p["fix_vel_std_m_s"]]
                + 3 * [5.0]
                + 3 * [p["drift_m_s"]]
                + self.bias_std()
                + [p["delay_std_s"]]
            )
        )
        self.frame, self.drag, self.fix_t, self.biased = 1.0, 0.0, t, False

    def mean(self, x, dt):
        x = x.copy()
        n = max(1, round(abs(dt) / 0.002))
        h = dt / n
        p, v, a = x[:3].copy(), x[3:6].copy(), x[6:9].copy()
        for _ in range(n):  # Heun
            j1 = jerk(self.p, v, a, self.drag, self.frame, self.memory())
            j2 = jerk(self.p, v + h * a, a + h * j1, self.drag, self.frame, self.memory())
            p += h * v + h * h / 2 * a + h**3 / 6 * j1
            v += h * a + h * h / 2 * j1
            a += h / 2 * (j1 + j2)
        x[:9] = np.concatenate([p, v, a])
        return x

    def advance(self, t):
        dt = t - self.t
        if dt <= 0:
            return
        F, Q = self.step(dt)
        if not self.biased:  # b and d wait for the first bearing
            F[12:, 12:], Q[12:, 12:] = np.eye(4), 0.0
        self.P = F @ self.P @ F.T + Q
        decay = F @ self.x
        self.x = self.mean(self.x, dt)
        self.x[9:15] = decay[9:15]
        self.t = t

    def joint(self, z, H, R):
        S = H @ self.P @ H.T + R
        K = np.linalg.solve(S, H @ self.P).T
        self.x = self.x + K @ z
        L = np.eye(16) - K @ H
        self.P = L @ self.P @ L.T + K @ R @ K.T

    def fix(self, t, pos, vel):
        p = self.p
        if self.x is None:
            self.begin(t, pos, vel)
            return
        self.advance(t)
        crowd = 0.2 / np.clip(t - self.fix_t, 0.04, 1.0)
        R_vel = p["fix_vel_std_m_s"] ** 2 * crowd ** p["vel_crowd"] + p["vel_blur_s"] ** 2 * (self.x[6:9] @ self.x[6:9])
        H = np.zeros((6, 16))
        H[:3, :3] = H[3:, 3:6] = H[3:, 9:12] = np.eye(3)
        H[3:, 6:9] = -p["vel_late_s"] * np.eye(3)
        z = np.concatenate([pos, vel])
        self.joint(z - H @ self.x, H, np.diag(3 * [p["fix_pos_std_m"] ** 2] + 3 * [R_vel]))
        self.learn(t)

    def learn(self, t):
        p, v, a = self.p, self.x[3:6], self.x[6:9]
        speed2 = v @ v
        self.frame = speed2 / (speed2 + p["trust_speed"] ** 2 * np.trace(self.P[3:6, 3:6]) / 3 + 1e-9)
        if speed2 >= 25.0:
            new = np.clip(-(v @ (a - G)) / speed2**1.5, 0.0, 0.03)
            self.drag += (1 - np.exp(-(t - self.fix_t) / p["tau_slow_drag_s"])) * (new - self.drag)
        self.fix_t = t

    def bearing(self, t, los, std, camera):
        self.advance(t)
        self.biased = True
        p, x = self.p, self.x
        d = x[:3] + x[15] * x[3:6] - x[12:15] - camera
        r = np.linalg.norm(d)
        u = d / r
        n1 = np.cross(los, [0.0, 0.0, 1.0])
        n1 /= np.linalg.norm(n1)
        N = np.stack([n1, np.cross(los, n1)])
        D = N @ (np.eye(3) - np.outer(u, u)) / r
        H = np.zeros((2, 16))
        H[:, :3], H[:, 3:6], H[:, 12:15], H[:, 15] = D, D * x[15], -D, D @ x[3:6]
        self.joint(-N @ u, H, np.eye(2) * (std**2 + p["box_size_m"] ** 2 / r**2))

    def predict(self, t):
        dt = t - self.t + self.x[15]
        return (lambda x: np.concatenate([x[:3] - x[12:15], x[3:9]]))(self.mean(self.x, dt))
