"""A CAMERA_TRACKING_IMAGE_STATUS of pymavlink 2.4.50, kept as bytes."""

from __future__ import annotations

from firmware_bridge.drivers import mavlink_codec as codec

mavlink = codec.load("tests")
STATUS = bytes.fromhex(
    "fd 1f 00 00 09 01 64 13 01 00 00 00 00 00 00 00 00 00 00 00 00 00 00 00 80 3e 00 00 00 3f 00 00 00 3f 00 00"
    "40 3f 01 02 01 18 9b"
)


CASES = {
    "valid": (lambda: codec.frame_valid(STATUS), True),
    "id": (lambda: codec.message_id(STATUS), 275),
    "corners": (lambda: (codec.decode(STATUS).rec_top_x, codec.decode(STATUS).rec_bottom_y), (0.25, 0.75)),
    "tracking a rectangle": (
        lambda: (codec.decode(STATUS).tracking_status, codec.decode(STATUS).tracking_mode), (1, 2)),
    "again": (lambda: codec.encode(codec.decode(STATUS), 1, 100, 9), STATUS),
}  # fmt: skip
