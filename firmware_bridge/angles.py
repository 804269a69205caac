"""Quaternions (Hamilton, w x y z) and intrinsic Z-Y-X angles (roll, pitch, yaw), for drivers. Plain floats."""

from __future__ import annotations

import math
from collections.abc import Sequence

Vec3 = tuple[float, float, float]
Quat = tuple[float, float, float, float]


def euler_of(q: Sequence[float]) -> Vec3:
    """Roll, pitch, yaw in rad of a unit quaternion; at pitch +-90 deg roll is taken as 0."""
    w, x, y, z = q
    sin_pitch = max(-1.0, min(1.0, 2 * (w * y - z * x)))
    if abs(sin_pitch) > 0.9999999:
        return 0.0, math.copysign(math.pi / 2, sin_pitch), math.atan2(2 * (w * z - x * y), 1 - 2 * (x * x + z * z))
    roll = math.atan2(2 * (w * x + y * z), 1 - 2 * (x * x + y * y))
    return roll, math.asin(sin_pitch), math.atan2(2 * (w * z + x * y), 1 - 2 * (y * y + z * z))


def quat_of(euler: Sequence[float]) -> Quat:
    """The inverse of euler_of."""
    cr, cp, cy = (math.cos(a / 2) for a in euler)
    sr, sp, sy = (math.sin(a / 2) for a in euler)
    return (
        cr * cp * cy + sr * sp * sy,
        sr * cp * cy - cr * sp * sy,
        cr * sp * cy + sr * cp * sy,
        cr * cp * sy - sr * sp * cy,
    )


def multiply(a: Sequence[float], b: Sequence[float]) -> Quat:
    aw, ax, ay, az = a
    bw, bx, by, bz = b
    return (
        aw * bw - ax * bx - ay * by - az * bz,
        aw * bx + ax * bw + ay * bz - az * by,
        aw * by - ax * bz + ay * bw + az * bx,
        aw * bz + ax * by - ay * bx + az * bw,
    )


def conjugate(q: Sequence[float]) -> Quat:
    return q[0], -q[1], -q[2], -q[3]


def rotate(q: Sequence[float], v: Sequence[float]) -> Vec3:
    """q v q*."""
    _, x, y, z = multiply(multiply(q, (0.0, *v)), conjugate(q))
    return x, y, z


def unit(q: Sequence[float]) -> Quat | None:
    """q over its length; None where that is no rotation (not finite, or nearly nothing)."""
    w, x, y, z = q
    length = math.sqrt(w * w + x * x + y * y + z * z)
    if not 1e-3 < length < 1e3:
        return None
    return w / length, x / length, y / length, z / length


def euler_rates(euler: Sequence[float], rate_C: Sequence[float], least_cos: float = 0.1) -> Vec3:
    """Rates of roll, pitch, yaw for rates about the camera's axes. Near pitch +-90 deg, where they grow without
    bound, cos(pitch) is held at ``least_cos``."""
    p, q, r = rate_C
    sin_roll, cos_roll = math.sin(euler[0]), math.cos(euler[0])
    cos_pitch = math.cos(euler[1])
    if abs(cos_pitch) < least_cos:
        cos_pitch = math.copysign(least_cos, cos_pitch)
    yaw = (q * sin_roll + r * cos_roll) / cos_pitch
    return p + yaw * math.sin(euler[1]), q * cos_roll - r * sin_roll, yaw


def body_rates(euler: Sequence[float], rates: Sequence[float]) -> Vec3:
    """Rates about the camera's axes for rates of roll, pitch, yaw."""
    sin_roll, cos_roll = math.sin(euler[0]), math.cos(euler[0])
    sin_pitch, cos_pitch = math.sin(euler[1]), math.cos(euler[1])
    roll, pitch, yaw = rates
    return (
        roll - yaw * sin_pitch,
        pitch * cos_roll + yaw * sin_roll * cos_pitch,
        -pitch * sin_roll + yaw * cos_roll * cos_pitch,
    )


def wrap(angle: float) -> float:
    """To -pi … pi."""
    return angle - 2 * math.pi * math.floor(angle / (2 * math.pi) + 0.5)


def signs(inverted: str) -> Vec3:
    """+-1 for roll, pitch, yaw from a text that names the axes whose sense is the other way."""
    return tuple(-1.0 if axis in inverted else 1.0 for axis in ("roll", "pitch", "yaw"))  # type: ignore[return-value]
