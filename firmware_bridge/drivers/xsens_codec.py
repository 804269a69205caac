"""Xsens MTi: Xbus messages and MTData2 packets. Pure: no port, no clock.

Source: ethz-asl/ethzasl_xsens_driver mtdevice.py and mtdef.py (BSD); status bits as in xsens_mti_ros2_driver
(XsStatusWord).
"""

from __future__ import annotations

import struct
from collections.abc import Iterable

SYNC = b"\xfa\xff"
MAX_FRAME = 4 + 2 + 2048 + 1
GO_TO_CONFIG, GO_TO_MEASUREMENT, REQ_DID, REQ_PRODUCT, REQ_FIRMWARE = 0x30, 0x10, 0x00, 0x1C, 0x12
SET_OUTPUT, ERROR, WAKE_UP, MT_DATA2 = 0xC0, 0x42, 0x3E, 0x36
# Data identifiers without their format nibble.
PACKET_COUNTER, SAMPLE_TIME_FINE, STATUS_WORD = 0x1020, 0x1060, 0xE020
ACCEL, RATE, ACCEL_HR, RATE_HR = 0x4020, 0x8020, 0x4040, 0x8040
CLIP_BITS = 0x3F << 8 | 1 << 19  # accelerometer and gyro axes, and the summary
TICK_NS = 100_000
_THREE_F, _THREE_D, _U32 = struct.Struct(">3f"), struct.Struct(">3d"), struct.Struct(">I")
_THREE_I, _THREE_FIXED = struct.Struct(">3i"), struct.Struct(">IhIhIh")


def frame(mid: int, data: bytes = b"") -> bytes:
    """A message to the device (bus address FF)."""
    size = bytes([len(data)]) if len(data) < 255 else b"\xff" + struct.pack(">H", len(data))
    body = b"\xff" + bytes([mid]) + size + data
    return b"\xfa" + body + bytes([-sum(body) & 0xFF])


def frame_length(buffer: bytes, start: int) -> int:
    """For BinaryFramer: total length, 0 more bytes needed."""
    if len(buffer) < start + 4:
        return 0
    if buffer[start + 3] < 255:
        return 5 + buffer[start + 3]
    if len(buffer) < start + 6:
        return 0
    return 7 + (buffer[start + 4] << 8 | buffer[start + 5])


def frame_valid(data: bytes) -> bool:
    """All bytes after the preamble sum to nothing."""
    return sum(data) & 0xFF == 0xFA


def split(data: bytes) -> tuple[int, bytes]:
    """Message id and payload of one whole valid frame."""
    return data[2], data[4:-1] if data[3] < 255 else data[6:-1]


def output_configuration(items: Iterable[tuple[int, int]]) -> bytes:
    """(identifier, Hz or 0xFFFF) each -> payload of SetOutputConfiguration."""
    return b"".join(struct.pack(">HH", identifier, hz) for identifier, hz in items)


def read_output_configuration(payload: bytes) -> list[tuple[int, int]]:
    return [struct.unpack_from(">HH", payload, at) for at in range(0, len(payload) - 3, 4)]


def read_items(payload: bytes) -> list[tuple[int, bytes]] | None:
    """MTData2's list of (identifier, value); None when a length doesn't fit."""
    items, at, end = [], 0, len(payload)
    while at + 3 <= end:
        size = payload[at + 2]
        if at + 3 + size > end:
            return None
        items.append((payload[at] << 8 | payload[at + 1], payload[at + 3 : at + 3 + size]))
        at += 3 + size
    return items if at == end else None


def write_items(items: Iterable[tuple[int, bytes]]) -> bytes:
    """Inverse of read_items."""
    return b"".join(struct.pack(">HB", identifier, len(value)) + value for identifier, value in items)


def vector(identifier: int, value: bytes) -> tuple[float, float, float] | None:
    """Three numbers in the format that the identifier's last two bits name: float, fixed point 12.20, fixed point 16.32
    (its fraction comes before its whole part), double. None when the size is another's."""
    kind = identifier & 3
    if kind == 0 and len(value) == 12:
        return _THREE_F.unpack(value)
    if kind == 1 and len(value) == 12:
        a, b, c = _THREE_I.unpack(value)
        return a / 2**20, b / 2**20, c / 2**20
    if kind == 2 and len(value) == 18:
        low_a, high_a, low_b, high_b, low_c, high_c = _THREE_FIXED.unpack(value)
        return high_a + low_a / 2**32, high_b + low_b / 2**32, high_c + low_c / 2**32
    return _THREE_D.unpack(value) if kind == 3 and len(value) == 24 else None


def unsigned(value: bytes) -> int:
    return int.from_bytes(value, "big")
