"""Frames that the PyPI package witmotion 0.0.1.dev0 decoded over a pty, and its unlocking command."""

from __future__ import annotations

from firmware_bridge.drivers import witmotion_codec as codec

ANGLE = bytes.fromhex("55 53 1c 07 72 fc 00 40 34 12 bf")
GYRO = bytes.fromhex("55 52 a4 00 b8 fe 10 00 c4 09 de")


CASES = {
    "roll 10, pitch -5, yaw 90": (lambda: [round(v * 180 / 32768, 1) for v in codec.values(ANGLE)[:3]], [10, -5, 90]),
    "rate": (lambda: [round(v * codec.GYRO_SCALE * 57.29577951, 5) for v in codec.values(GYRO)[:3]],
                     [10.00977, -20.01953, 0.97656]),
    "valid": (lambda: codec.frame_valid(ANGLE) and codec.frame_valid(GYRO), True),
    "again": (lambda: codec.frame(codec.GYRO, codec.values(GYRO)), GYRO),
    "unlock": (lambda: codec.write_register(codec.KEY, codec.UNLOCK), bytes.fromhex("ff aa 69 88 b5")),
    "100 Hz": (lambda: codec.write_register(codec.RATE, codec.RATES[100]), bytes.fromhex("ff aa 03 09 00")),
}  # fmt: skip
