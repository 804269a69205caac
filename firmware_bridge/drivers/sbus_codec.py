"""Futaba SBUS and SBUS2 frames. Pure: no port, no clock. There is no checksum.

Sources: PX4 src/lib/rc (recordings of a Futaba R7008SB and others in rc_tests/test_data); betaflight rx/sbus.c.
"""

from __future__ import annotations

from collections.abc import Sequence

from firmware_bridge.radio import pack_channels, unpack_channels

SYNC = b"\x0f"
FRAME_BYTES = 25
LOST, FAILSAFE = 4, 8
FOOTERS = (0x00, 0x04, 0x14, 0x24, 0x34)  # SBUS, and the four slots of SBUS2


def frame_length(buffer: bytes, start: int) -> int:
    """For BinaryFramer."""
    return FRAME_BYTES


def frame_valid(data: bytes) -> bool:
    """All that there is to check: the last byte, and flags that no receiver sets."""
    return data[24] in FOOTERS and not data[23] & 0xF0


def read(data: bytes) -> tuple[list[int], int, int]:
    """Raw channels, flags, footer."""
    return unpack_channels(data[1:23]), data[23], data[24]


def frame(raw: Sequence[int], flags: int = 0, footer: int = 0) -> bytes:
    return SYNC + pack_channels(raw) + bytes([flags, footer])
