"""Coarse tilt in the first second: the mean specific force since the start, in the frame the gyro carries, is up.

A single sample would take vibration for tilt; the mean of a second does not (the sums turn with the gyro).
"""

from __future__ import annotations

from gimbal.estimation.layout import COARSE
from gimbal.kernels.build import kernel
from gimbal.kernels.quat import cross3, load4, norm3, q_mul, q_normalize, q_rotate, store3, store4


@kernel
def turn_to_up(f):
    """Quaternion of the smallest rotation that takes f to straight up (0, 0, -1)."""
    n = norm3(f)
    if not n > 1e-9:
        return (1.0, 0.0, 0.0, 0.0)
    u = (f[0] / n, f[1] / n, f[2] / n)
    if u[2] > 0.999999:  # upside down: any horizontal axis
        return (0.0, 1.0, 0.0, 0.0)
    c = cross3(u, (0.0, 0.0, -1.0))
    return q_normalize((1.0 - u[2], c[0], c[1], c[2]))


@kernel
def coarse_tilt(p, s):
    """At an epoch of the first second: turn the estimate so that the mean force is up. Ends by itself."""
    F = s["coarse_F"]
    turn = turn_to_up((F[0], F[1], F[2]))
    store4(s["q"], q_normalize(q_mul(turn, load4(s["q"]))))
    store3(F, q_rotate(turn, (F[0], F[1], F[2])))
    s["v"][0] = 0.0
    s["v"][1] = 0.0
    s["v"][2] = 0.0
    if s["age_s"] >= p["coarse_s"]:
        s["status"] &= ~COARSE
