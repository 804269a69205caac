"""Frames of pymavlink 2.4.50, kept as bytes."""

from __future__ import annotations

from firmware_bridge.drivers import mavlink_codec as codec

mavlink = codec.load("tests")
GLOBAL = bytes.fromhex(
    "fd 1c 00 00 07 2a 01 21 00 00 60 ea 00 00 40 56 b7 1b c0 71 b5 04 60 e3 16 00 20 a1 07 00 d0 07 0c fe 96 00"
    "28 87 18 d9"
)
FOLLOW = bytes.fromhex(
    "fd 5d 00 00 08 2a 01 90 00 00 60 ea 00 00 00 00 00 00 00 00 00 00 00 00 00 00 40 56 b7 1b c0 71 b5 04 00 80"
    "bb 44 00 00 a0 41 00 00 a0 c0 00 00 c0 3f 00 00 00 00 00 00 00 00 00 00 00 00 00 00 80 3f 00 00 00 00 00 00"
    "00 00 00 00 00 00 00 00 00 00 00 00 00 00 00 00 00 00 00 00 c0 3f 00 00 c0 3f 00 00 00 40 03 dc 9b"
)


def place() -> tuple:
    m = codec.decode(GLOBAL)
    return m.time_boot_ms, m.lat, m.lon, m.alt, m.vx, m.vy, m.vz, m.hdg, m.get_srcSystem()


CASES = {
    "GLOBAL_POSITION_INT": (place, (60_000, 465_000_000, 79_000_000, 1_500_000, 2000, -500, 150, 34_600, 42)),
    "valid": (lambda: codec.frame_valid(GLOBAL) and codec.frame_valid(FOLLOW), True),
    "FOLLOW_TARGET": (
        lambda: (codec.decode(FOLLOW).timestamp, list(codec.decode(FOLLOW).vel)),
        (60_000, [20, -5, 1.5]),
    ),
    "again": (lambda: codec.encode(codec.decode(GLOBAL), 42, 1, 7), GLOBAL),
    "again, FOLLOW_TARGET": (lambda: codec.encode(codec.decode(FOLLOW), 42, 1, 8), FOLLOW),
}
