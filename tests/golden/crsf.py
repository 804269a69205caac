"""Frames of betaflight's unit test rx_crsf_unittest.cc and its expected values."""

from __future__ import annotations

from firmware_bridge.drivers import crsf_codec as codec

CAPTURED = bytes.fromhex("00 18 16 bd 08 9f f4 ae f7 bd ef 7d ef fb ad fd 45 2b 5a 01 00 00 00 00 00 6c")
OTHER = bytes.fromhex("00 18 16 bd 08 9f f4 aa f7 bd ef 7d ef fb ad fd 45 2b 5a 01 00 00 00 00 00 94")
SUBSET = bytes.fromhex("c8 09 17 24 00 a0 d9 e9 ff 0f d1")


CASES = {
    "channels": (lambda: (codec.read_channels(CAPTURED) or [])[:4], [189, 993, 978, 983]),
    "channels of the next": (lambda: (codec.read_channels(OTHER) or [])[:4], [189, 993, 978, 981]),
    "valid": (lambda: all(map(codec.frame_valid, (CAPTURED, OTHER, SUBSET))), True),
    "again": (lambda: codec.frame(0x16, codec.pack_channels(codec.read_channels(CAPTURED) or []), 0), CAPTURED),
    "link statistics": (
        lambda: codec.read_link(codec.frame(0x14, bytes([55, 60, 98, 0xFC, 1, 7, 3, 50, 99, 9]))), (-60, 98, -4, 7)),
}  # fmt: skip
