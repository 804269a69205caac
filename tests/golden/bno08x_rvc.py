"""The BNO08X datasheet's frame, decoded as adafruit-circuitpython-bno08x-rvc 1.0.24 (MIT) does."""

from __future__ import annotations

from firmware_bridge.drivers import bno08x_rvc_codec as codec

DATASHEET = bytes.fromhex("aa aa de 01 00 92 ff 25 08 8d fe ec ff d1 03 00 00 00 e7")
OTHER = bytes.fromhex("aa aa de 01 00 92 ff d7 fe fd ff 06 00 e8 03 00 00 00 32")


def accel() -> list[float]:
    taken = codec.read(DATASHEET)
    assert taken is not None
    return [round(a, 3) for a in taken[2]]


CASES = {
    "datasheet": (lambda: codec.raw(DATASHEET), (0xDE, (1, -110, 2085), (-371, -20, 977), b"\0\0\0")),
    "valid": (lambda: codec.frame_valid(DATASHEET) and codec.frame_valid(OTHER), True),
    "m/s2": (accel, [-3.638, -0.196, 9.581]),
    "again": (lambda: codec.frame(*codec.raw(DATASHEET)), DATASHEET),
    "captured, again": (lambda: codec.frame(*codec.raw(OTHER)), OTHER),
}
