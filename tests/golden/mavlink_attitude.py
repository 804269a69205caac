"""Frames of pymavlink 2.4.50, kept as bytes."""

from __future__ import annotations

from firmware_bridge.drivers import mavlink_codec as codec

mavlink = codec.load("tests")
ATTITUDE = bytes.fromhex(
    "fd 1c 00 00 07 01 01 1e 00 00 60 ea 00 00 00 00 80 3e 00 00 00 be 00 00 20 c0 00 00 00 3f 00 00 00"
    " 00 00 00 80 be c6 76"
)
QUATERNION = bytes.fromhex(
    "fd 20 00 00 08 01 01 1f 00 00 60 ea 00 00 00 00 00 3f 00 00 00 bf 00 00 00 3f 00 00 00 3f 00 00 00"
    " 3f 00 00 00 00 00 00 80 be a2 7a"
)

CASES = {
    "valid": (lambda: codec.frame_valid(ATTITUDE) and codec.frame_valid(QUATERNION), True),
    "ATTITUDE": (lambda: (codec.decode(ATTITUDE).time_boot_ms, codec.decode(ATTITUDE).yaw), (60_000, -2.5)),
    "ATTITUDE_QUATERNION": (
        lambda: [getattr(codec.decode(QUATERNION), f"q{i}") for i in (1, 2, 3, 4)],
        [0.5, -0.5, 0.5, 0.5],
    ),
    "again": (lambda: codec.encode(codec.decode(ATTITUDE), 1, 1, 7), ATTITUDE),
    "again, ATTITUDE_QUATERNION": (lambda: codec.encode(codec.decode(QUATERNION), 1, 1, 8), QUATERNION),
}
