"""MicroStrain MIP: packets of fields. Pure: no port, no clock.

Source: LORD-MicroStrain/mip_sdk e5a847d8 (MIT).
"""

from __future__ import annotations

import struct
from collections.abc import Iterable

from firmware_bridge.framing import fletcher8

SYNC = b"\x75\x65"
MAX_FRAME = 261
BASE, CONFIG, SENSOR = 0x01, 0x0C, 0x80
PING, IDLE, DEVICE_INFO, RESUME = 0x01, 0x02, 0x03, 0x06
MESSAGE_FORMAT, BASE_RATE, DATASTREAM = 0x0F, 0x0E, 0x11
LEGACY_FORMAT, LEGACY_BASE_RATE = 0x08, 0x06
ACK_FIELD = 0xF1
ACCEL_G, GYRO, GPS_TIME, OVERRANGE, REFERENCE_TIME = 0x04, 0x05, 0x12, 0x18, 0xD5
CLIP_BITS = 0x0077  # of OVERRANGE: accelerometer and gyro axes
WRITE, READ = 1, 2
_VECTOR = struct.Struct(">3f")
Field = tuple[int, bytes]


def packet(descriptor_set: int, fields: Iterable[Field]) -> bytes:
    body = b"".join(bytes([len(data) + 2, descriptor]) + data for descriptor, data in fields)
    head = SYNC + bytes([descriptor_set, len(body)]) + body
    return head + bytes(fletcher8(head))


def command(descriptor_set: int, descriptor: int, data: bytes = b"") -> bytes:
    return packet(descriptor_set, [(descriptor, data)])


def frame_length(buffer: bytes, start: int) -> int:
    """For BinaryFramer."""
    return 6 + buffer[start + 3] if len(buffer) >= start + 4 else 0


def frame_valid(data: bytes) -> bool:
    a, b = fletcher8(data[:-2])
    return data[-2] == a and data[-1] == b


def fields(data: bytes) -> list[Field] | None:
    """(descriptor, value) of each field; None when a length doesn't fit."""
    found, at, end = [], 4, len(data) - 2
    while at < end:
        size = data[at]
        if size < 2 or at + size > end:
            return None
        found.append((data[at + 1], data[at + 2 : at + size]))
        at += size
    return found


def message_format(function: int, descriptor_set: int, items: Iterable[tuple[int, int]]) -> bytes:
    """Payload of 0F: (descriptor, decimation) each."""
    listed = list(items)
    data = bytes([function, descriptor_set]) + (bytes([len(listed)]) if function == WRITE else b"")
    return data + b"".join(struct.pack(">BH", *item) for item in listed)


def vector(value: bytes) -> tuple[float, float, float] | None:
    return _VECTOR.unpack(value) if len(value) == 12 else None


def time_ns(descriptor: int, value: bytes) -> int:
    """Device time of the packet; -1 when the field is another's or says that it isn't valid."""
    if descriptor == REFERENCE_TIME and len(value) == 8:
        ns = int.from_bytes(value, "big")
        return ns if ns < 1 << 62 else -1
    if descriptor == GPS_TIME and len(value) == 12:
        seconds = struct.unpack_from(">d", value)[0]
        return int(seconds * 1e9) if 0 <= seconds < 1e9 else -1
    return -1
