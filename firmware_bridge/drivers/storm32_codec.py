"""STorM32: RC command frames and their payloads. Pure: no port, no clock.

Sources: olliw42/storm32bgc (3bad257) c-library/STorM32_lib.h, the wiki's Serial_Communication page for firmware 2.69a
and later. The board's order is pitch, roll, yaw; angles in degrees.
"""

from __future__ import annotations

import struct
from collections.abc import Sequence
from typing import Any

from firmware_bridge.framing import mcrf4xx

WITH_REPLY, WITHOUT_REPLY, FROM_BOARD = 0xFA, 0xF9, 0xFB
GET_VERSION, GET_VERSION_TEXT, GET_PARAMETER, GET_DATA, GET_FIELDS = 1, 2, 3, 5, 6
SET_PAN_MODE, SET_STANDBY, DO_CAMERA, SET_ANGLES, SET_STICKS, LINK, ACK = 13, 14, 15, 17, 18, 0xDA, 150
ANGLES, STATUS, ENCODERS, ATTITUDE = 0x0020, 0x2000, 0x4000, 0x1000  # bits of GET_FIELDS
STATE_NORMAL, STATE_STANDBY = 6, 99
ACK_TEXT = {0: "ok", 1: "failed", 2: "denied", 3: "unsupported", 150: "timeout", 151: "checksum", 152: "length"}
LONGEST_REPLY = 77

LAYOUTS: dict[int, struct.Struct] = {
    GET_FIELDS: struct.Struct("<H"),
    SET_PAN_MODE: struct.Struct("<B"),
    SET_STANDBY: struct.Struct("<B"),
    DO_CAMERA: struct.Struct("<BB4x"),
    SET_ANGLES: struct.Struct("<fffBB"),
    SET_STICKS: struct.Struct("<HHH"),
    LINK: struct.Struct("<BBBh4f3f"),
    ACK: struct.Struct("<B"),
}
FIELD_LAYOUTS = {
    ANGLES: struct.Struct("<H3h"),  # pitch, roll, yaw 0.01 deg
    ENCODERS: struct.Struct("<H3h"),
    STATUS: struct.Struct("<H7H"),  # state, status, status 2, status 3, performance, errors, voltage mV
}


def frame(start: int, command: int, payload: bytes = b"") -> bytes:
    """One whole frame with its CRC, which leaves the start byte out."""
    body = bytes((len(payload), command)) + payload
    check = mcrf4xx(body)
    return bytes((start,)) + body + bytes((check & 0xFF, check >> 8))


def frame_length(buffer: bytes, start: int) -> int:
    """For BinaryFramer; an answer is never longer than 77 bytes."""
    if len(buffer) - start < 2:
        return 0
    total = buffer[start + 1] + 5
    return total if total <= LONGEST_REPLY else -1


def frame_valid(data: bytes) -> bool:
    check = mcrf4xx(data[1:-2])
    return data[-2] == check & 0xFF and data[-1] == check >> 8


def decode(command: int, payload: bytes) -> tuple[Any, ...] | None:
    """The payload's fields, None where its size is another."""
    layout = LAYOUTS.get(command)
    return layout.unpack(payload) if layout is not None and layout.size == len(payload) else None


def encode(start: int, command: int, *fields: Any) -> bytes:
    """Inverse: a whole frame."""
    layout = LAYOUTS.get(command)
    return frame(start, command, layout.pack(*fields) if layout else b"")


def ask(fields: int) -> bytes:
    """GETDATAFIELDS for one of ANGLES, ENCODERS, STATUS: one at a time, as the order of several is not documented."""
    return encode(WITH_REPLY, GET_FIELDS, fields)


def set_angles(pitch_deg: float, roll_deg: float, yaw_deg: float, limited: bool) -> bytes:
    """SETANGLES without an answer. limited: the profile's limits hold."""
    return encode(WITHOUT_REPLY, SET_ANGLES, pitch_deg, roll_deg, yaw_deg, 7 if limited else 0, 0)


def link(sequence: int, status: int, q_NB: Sequence[float], vel_N: Sequence[float]) -> bytes:
    """STORM32LINK_V2: the carrier's attitude and velocity. The board answers nothing."""
    return encode(WITHOUT_REPLY, LINK, sequence & 0xFF, status, 0, 0, *q_NB, *vel_N)


def fields(payload: bytes) -> tuple[int, ...] | None:
    """Bit and values of an answer to ``ask``; None where it is no single known field."""
    if len(payload) < 2:
        return None
    layout = FIELD_LAYOUTS.get(payload[0] | payload[1] << 8)
    return layout.unpack(payload) if layout is not None and layout.size == len(payload) else None
