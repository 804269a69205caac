"""BNO08x in UART-RVC mode: 19-byte frames. Pure: no port, no clock.

Source: adafruit-circuitpython-bno08x-rvc 1.0.24 (MIT) and the frame printed in the BNO08X datasheet.
"""

from __future__ import annotations

import math
import struct

SYNC = b"\xaa\xaa"
FRAME_BYTES = 19
_BODY = struct.Struct("<B6h3s")
_RAD, _M_S2 = math.pi / 18000, 9.80665e-3
Quaternion = tuple[float, float, float, float]


def frame(
    index: int, angles_cdeg: tuple[int, int, int], accel_mg: tuple[int, int, int], rest: bytes = b"\0\0\0"
) -> bytes:
    """angles: yaw, pitch, roll in 0.01 degrees."""
    body = _BODY.pack(index, *angles_cdeg, *accel_mg, rest)
    return SYNC + body + bytes([sum(body) & 0xFF])


def frame_length(buffer: bytes, start: int) -> int:
    """For BinaryFramer."""
    return FRAME_BYTES


def frame_valid(data: bytes) -> bool:
    return sum(data[2:-1]) & 0xFF == data[-1]


def raw(data: bytes) -> tuple[int, tuple[int, int, int], tuple[int, int, int], bytes]:
    """index, yaw pitch roll in 0.01 degrees, acceleration in mg, the three reserved bytes."""
    index, y, p, r, ax, ay, az, rest = _BODY.unpack_from(data, 2)
    return index, (y, p, r), (ax, ay, az), rest


def read(data: bytes) -> tuple[int, Quaternion, tuple[float, float, float]] | None:
    """index, attitude w x y z from intrinsic yaw, pitch, roll, specific force m/s²; None when no such angles exist."""
    index, (yaw, pitch, roll), (ax, ay, az), _ = raw(data)
    if abs(yaw) > 18001 or abs(pitch) > 9001 or abs(roll) > 18001:
        return None
    attitude = attitude_of(yaw * _RAD, pitch * _RAD, roll * _RAD)
    return index, attitude, (ax * _M_S2, ay * _M_S2, az * _M_S2)


def attitude_of(yaw: float, pitch: float, roll: float) -> Quaternion:
    cy, sy = math.cos(yaw / 2), math.sin(yaw / 2)
    cp, sp = math.cos(pitch / 2), math.sin(pitch / 2)
    cr, sr = math.cos(roll / 2), math.sin(roll / 2)
    return (cy * cp * cr + sy * sp * sr, cy * cp * sr - sy * sp * cr,
            cy * sp * cr + sy * cp * sr, sy * cp * cr - cy * sp * sr)  # fmt: skip


def rate_between(a: Quaternion, b: Quaternion, dt_s: float) -> tuple[float, float, float]:
    """Mean rate in sensor axes that turns attitude a into b in dt_s."""
    w = a[0] * b[0] + a[1] * b[1] + a[2] * b[2] + a[3] * b[3]
    x = a[0] * b[1] - a[1] * b[0] - a[2] * b[3] + a[3] * b[2]
    y = a[0] * b[2] + a[1] * b[3] - a[2] * b[0] - a[3] * b[1]
    z = a[0] * b[3] - a[1] * b[2] + a[2] * b[1] - a[3] * b[0]
    half = math.sqrt(x * x + y * y + z * z)
    if half < 1e-12:
        return 0.0, 0.0, 0.0
    scale = 2 * math.atan2(half, abs(w)) / half / dt_s * (1.0 if w >= 0 else -1.0)
    return x * scale, y * scale, z * scale
