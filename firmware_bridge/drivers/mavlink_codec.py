"""MAVLink frames, version 2 and 1, for the listening drivers: cut and checked here, fields by pymavlink. Pure: no port,
no clock.

pymavlink is loaded only when a driver that needs it is attached; its own stream parser drops a whole frame when a check
is wrong, BinaryFramer looks again one byte on. Version 1 is what an autopilot's telemetry port sends until it is told
otherwise (ArduPilot SERIALx_PROTOCOL 1, PX4 MAV_PROTO_VER): the same messages, ids to 255, without signature.
"""

from __future__ import annotations

import importlib
from typing import Any, NamedTuple

from firmware_bridge.errors import OptionError
from firmware_bridge.framing import BinaryFramer, mcrf4xx

SYNC, SYNC_1 = b"\xfd", b"\xfe"
MAX_FRAME = 280 + 13
GLOBAL_POSITION_INT, FOLLOW_TARGET, TRACKING_IMAGE = 33, 144, 275
ATTITUDE, ATTITUDE_QUATERNION = 30, 31
_mavlink: Any = None
_decoder: Any = None
_extra: dict[int, int] = {}  # of each known message


def load(who: str) -> Any:
    """pymavlink's dialect. Raises OptionError when it is not installed."""
    global _mavlink, _decoder
    if _mavlink is None:
        try:
            _mavlink = importlib.import_module("pymavlink.dialects.v20.ardupilotmega")
        except ImportError:
            raise OptionError(f"driver {who!r} needs pymavlink, which is not installed: run "
                              "`pip install gimbal-host[mavlink]`.") from None  # fmt: skip
        _decoder = _mavlink.MAVLink(None)
        _extra.update({number: kind.crc_extra for number, kind in _mavlink.mavlink_map.items()})
    return _mavlink


class Head(NamedTuple):
    message_id: int
    seq: int
    system: int
    component: int


def head(frame: bytes) -> Head:
    """Of one whole frame."""
    if frame[0] == 0xFE:
        return Head(frame[5], frame[2], frame[3], frame[4])
    return Head(message_id(frame), frame[4], frame[5], frame[6])


def message_id(frame: bytes) -> int:
    """Of a frame of version 2."""
    return frame[7] | frame[8] << 8 | frame[9] << 16


def frame_length(buffer: bytes, start: int) -> int:
    """For BinaryFramer; incompatible flags other than a signature make it no frame."""
    if len(buffer) < start + 3:
        return 0
    if buffer[start] == 0xFE:
        return 8 + buffer[start + 1]
    flags = buffer[start + 2]
    return -1 if flags & 0xFE else 12 + buffer[start + 1] + (13 if flags & 1 else 0)


def frame_valid(frame: bytes) -> bool:
    """The checksum includes a byte that depends on the message; of unknown messages it can't be told."""
    extra = _extra.get(frame[5] if frame[0] == 0xFE else message_id(frame))
    if extra is None:
        return False
    end = frame[1] + (6 if frame[0] == 0xFE else 10)
    return mcrf4xx(frame[1:end] + bytes((extra,))) == frame[end] | frame[end + 1] << 8


def framer() -> BinaryFramer:
    """Whole frames of both versions."""
    return BinaryFramer(SYNC, frame_length, frame_valid, MAX_FRAME, SYNC_1)


def decode(frame: bytes) -> Any:
    """pymavlink's message object of one valid frame; None when its fields can't be read."""
    try:
        return _decoder.decode(bytearray(frame))
    except (_mavlink.MAVError, ValueError, IndexError):
        return None


def encode(message: Any, system: int, component: int, seq: int) -> bytes:
    """A frame of a pymavlink message."""
    sender = _mavlink.MAVLink(None, system, component)
    sender.seq = seq
    return bytes(message.pack(sender))
