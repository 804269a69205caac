"""Joint torques of a three-joint chain by plain Newton-Euler in inertial axes: slow, independent of the kernels.

Base to camera forwards, then forces and moments backwards (J. Y. S. Luh, M. W. Walker, R. P. C. Paul, J. Dyn. Sys.
Meas. Control 102(2), 1980), with 3 x 3 rotation matrices. Gravity enters as an acceleration of the base.
"""

from __future__ import annotations

import numpy as np


def turn(axis: int, angle: float) -> np.ndarray:
    c, s = np.cos(angle), np.sin(angle)
    i, j = (axis + 1) % 3, (axis + 2) % 3
    R = np.eye(3)
    R[i, i], R[i, j], R[j, i], R[j, j] = c, -s, s, c
    return R


def joint_torques(order, mass, inertia, com, origin, angle, rate, accel, base):
    """Torque (3,) of each joint by place.

    Args:
        order: axis index per place; mass (3,), inertia (3, 3), com (3, 3), origin (3, 3) by place.
        angle, rate, accel: by axis index.
        base: (omega, alpha, specific force) of the base in its own axes.

    Returns:
        torques, and the camera's (omega, alpha, specific force at its origin), all in base axes.
    """
    w, al, f = (np.array(v, float) for v in base)
    R = np.eye(3)
    p = np.zeros(3)
    axes, points, centres, forces, moments = [], [], [], [], []
    for k in range(3):
        a = order[k]
        arm = R @ origin[k]
        f = f + np.cross(al, arm) + np.cross(w, np.cross(w, arm))
        p = p + arm
        z = R[:, a]
        al = al + z * accel[a] + np.cross(w, z * rate[a])
        w = w + z * rate[a]
        R = R @ turn(a, angle[a])
        c = R @ com[k]
        fc = f + np.cross(al, c) + np.cross(w, np.cross(w, c))
        world = R @ np.diag(inertia[k]) @ R.T
        axes.append(z)
        points.append(p.copy())
        centres.append(p + c)
        forces.append(mass[k] * fc)
        moments.append(world @ al + np.cross(w, world @ w))
    out = np.zeros(3)
    for i in range(3):
        total = sum(moments[b] + np.cross(centres[b] - points[i], forces[b]) for b in range(i, 3))
        out[i] = axes[i] @ total
    return out, (w, al, f)
