"""Coarse tilt in the first moments: the mean specific force since the start, in the frame the gyro carries, is up.

A single sample would take vibration for tilt; the mean does not (the sums turn with the gyro).
"""

from __future__ import annotations

from gimbal.kernels.build import kernel
from gimbal.kernels.quat import norm3, q_normalize


@kernel
def turn_to_up(f):
    """Quaternion of the smallest rotation that takes f to straight up (0, 0, -1)."""
    n = norm3(f)
    if not n > 1e-9:
        return (1.0, 0.0, 0.0, 0.0)
    if f[2] > 0.999999 * n:  # upside down: any horizontal axis
        return (0.0, 1.0, 0.0, 0.0)
    return q_normalize((n - f[2], -f[1], f[0], 0.0))
