"""MAVLink 2 frames for the listening drivers: cut and checked here, fields by pymavlink. Pure: no port, no clock.

pymavlink is loaded only when a driver that needs it is attached; its own stream parser drops a whole frame when a check
is wrong, BinaryFramer looks again one byte on.
"""

from __future__ import annotations

import importlib
from typing import Any

from firmware_bridge.errors import OptionError
from firmware_bridge.framing import mcrf4xx

SYNC = b"\xfd"
MAX_FRAME = 280 + 13
GLOBAL_POSITION_INT, FOLLOW_TARGET, TRACKING_IMAGE = 33, 144, 275
ATTITUDE, ATTITUDE_QUATERNION = 30, 31
_mavlink: Any = None
_decoder: Any = None


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
    return _mavlink


def message_id(frame: bytes) -> int:
    return frame[7] | frame[8] << 8 | frame[9] << 16


def frame_length(buffer: bytes, start: int) -> int:
    """For BinaryFramer; incompatible flags other than a signature make it no frame."""
    if len(buffer) < start + 3:
        return 0
    flags = buffer[start + 2]
    return -1 if flags & 0xFE else 12 + buffer[start + 1] + (13 if flags & 1 else 0)


def frame_valid(frame: bytes) -> bool:
    """The checksum includes a byte that depends on the message; of unknown messages it can't be told."""
    kind = _mavlink.mavlink_map.get(message_id(frame)) if _mavlink else None
    if kind is None:
        return False
    end = 10 + frame[1]
    return mcrf4xx(frame[1:end] + bytes([kind.crc_extra])) == frame[end] | frame[end + 1] << 8


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
