"""CRSF (TBS Crossfire, ExpressLRS) from the receiver to us. Pure: no port, no clock.

Source: tbs-fpv/tbs-crsf-spec crsf.md; frames of betaflight src/test/unit/rx_crsf_unittest.cc.
"""

from __future__ import annotations

import struct
from collections.abc import Sequence
from typing import NamedTuple

from fastcrc import crc8

from firmware_bridge.radio import pack_channels, unpack_channels

SYNC, SYNC_OF_EDGETX = b"\xc8", b"\xee"  # what a transmitter's module port sends
MAX_FRAME = 64
LINK_STATISTICS, CHANNELS = 0x14, 0x16
_LINK = struct.Struct("<BBBbBBBBBb")


class Link(NamedTuple):
    rssi_dBm: int  # of the antenna in use
    quality: int  # percent
    snr_dB: int
    mode: int


def frame(kind: int, payload: bytes, address: int = 0xC8) -> bytes:
    body = bytes([kind]) + payload
    return bytes([address, len(body) + 1]) + body + bytes([crc8.dvb_s2(body)])


def frame_length(buffer: bytes, start: int) -> int:
    """For BinaryFramer."""
    if len(buffer) < start + 2:
        return 0
    return buffer[start + 1] + 2 if 2 <= buffer[start + 1] <= 62 else -1


def frame_valid(data: bytes) -> bool:
    return crc8.dvb_s2(data[2:-1]) == data[-1]


def read_channels(data: bytes) -> list[int] | None:
    """Raw channels of a CHANNELS frame; None when it is shorter. What newer senders append is not looked at."""
    return unpack_channels(data[3:25]) if len(data) >= 26 else None


def channels(raw: Sequence[int]) -> bytes:
    return frame(CHANNELS, pack_channels(raw))


def read_link(data: bytes) -> Link | None:
    if len(data) < 14:
        return None
    rssi1, rssi2, quality, snr, antenna, mode, *_ = _LINK.unpack_from(data, 3)
    return Link(-(rssi2 if antenna else rssi1), min(quality, 100), snr, mode)
