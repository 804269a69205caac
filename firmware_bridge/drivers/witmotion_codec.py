"""WitMotion's own protocol: 11-byte frames and register writes. Pure: no port, no clock.

Source: PyPI witmotion 0.0.1.dev0 protocol.py (its time field assumes 1970: wrong); register numbers as there.
"""

from __future__ import annotations

import struct

SYNC = b"\x55"
FRAME_BYTES = 11
TIME, ACCEL, GYRO, ANGLE, QUATERNION, REGISTERS = 0x50, 0x51, 0x52, 0x53, 0x59, 0x5F
SAVE, OUTPUT, RATE, BAUD, READ, KEY = 0x00, 0x02, 0x03, 0x04, 0x27, 0x69
UNLOCK = 0xB588
RATES = {1: 3, 2: 4, 5: 5, 10: 6, 20: 7, 50: 8, 100: 9, 200: 11}  # Hz -> value of RATE
G = 9.80665
ACCEL_SCALE, GYRO_SCALE = 16 * G / 32768, 2000 / 32768 * 3.141592653589793 / 180
_FOUR = struct.Struct("<4h")


def frame(kind: int, values: tuple[int, int, int, int]) -> bytes:
    body = bytes([0x55, kind]) + _FOUR.pack(*values)
    return body + bytes([sum(body) & 0xFF])


def frame_length(buffer: bytes, start: int) -> int:
    """For BinaryFramer: 55 occurs in data, so the type must fit as well."""
    if len(buffer) < start + 2:
        return 0
    return FRAME_BYTES if buffer[start + 1] & 0xF0 == 0x50 else -1


def frame_valid(data: bytes) -> bool:
    return sum(data[:-1]) & 0xFF == data[-1]


def values(data: bytes) -> tuple[int, int, int, int]:
    """The four words of one frame."""
    return _FOUR.unpack_from(data, 2)


def time_of_day_ns(data: bytes) -> int:
    """Of a TIME frame; -1 when it can't be a time."""
    hours, minutes, seconds = data[5], data[6], data[7]
    ms = data[8] | data[9] << 8
    if hours > 23 or minutes > 59 or seconds > 59 or ms > 999:
        return -1
    return ((hours * 60 + minutes) * 60 + seconds) * 1_000_000_000 + ms * 1_000_000


def write_register(register: int, value: int) -> bytes:
    return struct.pack("<BBBH", 0xFF, 0xAA, register, value)
