"""A frame of a Futaba R7008SB, recorded in PX4 (src/lib/rc/rc_tests/test_data/sbus2_r7008SB.txt, BSD)."""

from __future__ import annotations

from firmware_bridge.drivers import sbus_codec as codec

FRAME = bytes.fromhex("0f 11 04 20 a8 01 08 16 50 03 10 80 00 04 20 00 01 08 40 00 02 10 80 00 14")


CASES = {
    "valid": (lambda: codec.frame_valid(FRAME), True),
    "first channels": (lambda: codec.read(FRAME)[0][:2], [1041, 1024]),
    "flags, slot": (lambda: codec.read(FRAME)[1:], (0, 0x14)),
    "again": (lambda: codec.frame(*codec.read(FRAME)), FRAME),
}
