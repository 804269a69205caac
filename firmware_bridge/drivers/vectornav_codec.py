"""VectorNav: ASCII register lines and binary outputs. Pure: no port, no clock.

Source: VectorNav C++ Programming Library 1.2.0.0 (MIT, in dawonn/vectornav 6824e8b); register 75 to 77's group and
field numbers are hexadecimal.
"""

from __future__ import annotations

import struct

from firmware_bridge.framing import xmodem, xor8

SYNC = 0xFA
# Per group, per bit: the struct format of the field; "" ends what is known.
COMMON = ("Q", "Q", "Q", "3f", "4f", "3f", "3d", "3f", "3f", "6f", "5f", "7f", "H", "I", "Q")
TIME = ("Q", "Q", "Q", "H", "8s", "Q", "Q", "I", "I", "B")
IMU = ("H", "3f", "3f", "3f", "f", "f", "4f", "3f", "3f", "3f", "3f", "H")
GNSS = ("8s", "Q", "H", "B", "B", "3d", "3d", "3f", "3f", "3f", "f", "I", "2s", "28s")
ATTITUDE = ("H", "3f", "4f", "9f", "3f", "3f", "3f", "3f", "3f", "3f")
INS = ("H", "3d", "3d", "3f", "3f", "3f", "3f", "3f", "3f", "f", "f")
GROUPS = (COMMON, TIME, IMU, GNSS, ATTITUDE, INS, GNSS)
MAX_FRAME = 600

# What the driver asks for: start-up time from the common group and, from the IMU group, factory-calibrated
# acceleration and rate without the device's own filter's bias; or the common group's compensated ones.
OUTPUTS = {
    "imu": ((0x05, (0x0001, 0x000C)), struct.Struct("<Q3f3f"), False),  # time, accel, gyro
    "full": ((0x05, (0x0001, 0x001E)), struct.Struct("<Q3f3f3ff"), False),  # time, field in gauss, accel, gyro, degC
    "common": ((0x01, (0x0121,)), struct.Struct("<Q3f3f"), True),  # time, gyro, accel
}


def ascii_line(body: str) -> bytes:
    """ "VNRRG,01" -> the line with its checksum."""
    raw = body.encode("ascii")
    return b"$%s*%02X\r\n" % (raw, xor8(raw))


def read_ascii(line: bytes) -> list[str] | None:
    """Fields of a line whose check is right, eight bits or, as register 30 may have it, sixteen; else None."""
    start, star = line.rfind(b"$"), line.rfind(b"*")
    if start < 0 or star < start:
        return None
    body, check = line[start + 1 : star], line[star + 1 :].strip().upper()
    if check != (b"%04X" % xmodem(body) if len(check) == 4 else b"%02X" % xor8(body)):
        return None
    return body.decode("ascii", "replace").split(",")


def header(groups: int, fields: tuple[int, ...]) -> bytes:
    return struct.pack(f"<BB{len(fields)}H", SYNC, groups, *fields)


def layout(groups: int, fields: tuple[int, ...]) -> str | None:
    """struct format of the payload; None when a bit is not known."""
    formats, words = "<", iter(fields)
    for bit, group in enumerate(GROUPS):
        if not groups >> bit & 1:
            continue
        word = next(words)
        if word >> len(group):
            return None
        formats += "".join(group[i] for i in range(len(group)) if word >> i & 1)
    return formats


def frame_length(buffer: bytes, start: int) -> int:
    """For BinaryFramer: total length, 0 more bytes needed, -1 no header."""
    if len(buffer) < start + 2:
        return 0
    groups = buffer[start + 1]
    n = groups.bit_count()
    if not groups or groups & 0x80:
        return -1
    if len(buffer) < start + 2 + 2 * n:
        return 0
    form = layout(groups, struct.unpack_from(f"<{n}H", buffer, start + 2))
    return -1 if form is None or form == "<" else 2 + 2 * n + struct.calcsize(form) + 2


def frame_valid(frame: bytes) -> bool:
    """CRC over all but the sync byte, sent high byte first: appended, it leaves nothing."""
    return xmodem(frame[1:]) == 0


def decode(frame: bytes) -> tuple[int, tuple[int, ...], tuple]:
    """groups, field words, values of one whole valid frame."""
    n = frame[1].bit_count()
    fields = struct.unpack_from(f"<{n}H", frame, 2)
    form = layout(frame[1], fields)
    if form is None:
        raise ValueError("unknown field in a VectorNav binary output")
    return frame[1], fields, struct.unpack_from(form, frame, 2 + 2 * n)


def encode(groups: int, fields: tuple[int, ...], values: tuple) -> bytes:
    """Inverse of decode."""
    form = layout(groups, fields)
    if form is None:
        raise ValueError("unknown field in a VectorNav binary output")
    body = header(groups, fields)[1:] + struct.pack(form, *values)
    return bytes([SYNC]) + body + struct.pack(">H", xmodem(body))
