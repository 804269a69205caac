"""Frames of olliw's own C library (storm32bgc/c-library/STorM32_lib.h, 17 Nov 2020) and of his o323BGCTool v2.40."""

from __future__ import annotations

from firmware_bridge.drivers import storm32_codec as codec
from firmware_bridge.framing import mcrf4xx

H = bytes.fromhex
ACK_OK = H("fb0196 00 622e")


def taken(frame: bytes) -> tuple:
    """Command and fields of one frame."""
    assert codec.frame_length(frame, 0) == len(frame) and codec.frame_valid(frame)
    return (frame[2], *(codec.decode(frame[2], frame[3:-2]) or ()))


# name -> (what our codec makes of it, what it must be)
CASES = {
    "CRC check value of 123456789": (lambda: mcrf4xx(b"123456789"), 0x6F91),
    "version text": (lambda: codec.frame(codec.WITH_REPLY, codec.GET_VERSION_TEXT), H("fa0002aad3")),
    "ask for the angles": (lambda: codec.ask(codec.ANGLES), H("fa02062000bdcf")),
    "ask for status and attitude": (lambda: codec.ask(0x3000), H("fa020600300ddd")),
    "angles pitch 10, roll 0, yaw -20.5": (
        lambda: codec.set_angles(10.0, 0.0, -20.5, False), H("f90e11000020410000000000 00a4c10000bce5")),
    "sticks 1600, 1500, recentre": (
        lambda: codec.encode(codec.WITHOUT_REPLY, codec.SET_STICKS, 1600, 1500, 0), H("f906124006dc050000f78c")),
    "pan mode hold hold hold": (lambda: codec.encode(0xF9, codec.SET_PAN_MODE, 2), H("f9010d0285f0")),
    "shutter": (lambda: codec.encode(0xF9, codec.DO_CAMERA, 0, 1), H("f9060f0001000000008d73")),
    "carrier": (
        lambda: codec.link(1, 0x83, (1.0, 0.0, 0.0, 0.0), (1.0, 2.0, -3.0)),
        H("f921da018300000000 00803f000000000000000000000000 0000803f00000040000040c0d1ad")),
    "acknowledged": (lambda: taken(ACK_OK), (150, 0)),
    "acknowledged, made": (lambda: codec.encode(codec.FROM_BOARD, codec.ACK, 0), ACK_OK),
}  # fmt: skip
