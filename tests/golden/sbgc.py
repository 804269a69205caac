"""Frames of BaseCam's own sbgc32-serial-api 2.2.1 (ee3292a), seen between it and a device; CRC by its document."""

from __future__ import annotations

from firmware_bridge.drivers import sbgc_codec as codec

H = bytes.fromhex


def taken(text: str, to_board: bool) -> tuple:
    """Command and fields of one frame."""
    frame = H(text)
    assert codec.frame_length(frame, 0) == len(frame) and codec.frame_valid(frame)
    command, payload = codec.unframe(frame)
    return (command, *(codec.decode(command, payload, to_board) or ()))


# name -> (what our codec makes of it, what it must be)
CASES = {
    "CRC check value of 123456789": (lambda: codec.crc(b"123456789"), 0xBCDD),
    "ask for board information": (lambda: codec.frame(codec.BOARD_INFO, b"\0\0"), H("24560258 0000 e613")),
    "motors on": (lambda: codec.frame(codec.MOTORS_ON), H("244d004d440a")),
    "motors off, safe stop": (lambda: codec.frame(codec.MOTORS_OFF, b"\2"), H("246d016e02b307")),
    "rates +1, -2, +3 deg/s, fine": (
        lambda: codec.control_rate((1 * codec.DEG, -2 * codec.DEG, 3 * codec.DEG), 2),
        H("24430f52818181e803000030f80000b80b0000c2c8")),
    "timeout 500 ms, own channel first, no confirmations": (
        lambda: codec.control_config(500, 2),
        H("245a2983f4010000000001000000000000000000000000000000000000000000000100000000000000000000003053")),
    "stream of angles and gyro, every cycle": (
        lambda: codec.stream(codec.CUSTOM, 1, 0x11, 2)[:12], H("2455156a5801001100000000")),
    "board information": (
        lambda: taken("2456126824ad0a01100000000000000000000007ad0a0202", False)[:3], (86, 36, 2733)),
    "motors on confirmed": (lambda: taken("244303464d000035f3", False), (67, 77, 0)),
    "angles": (
        lambda: taken("2449125b0a000b000c001400150016001e001f002000bb73", False),
        (73, 10, 11, 12, 20, 21, 22, 30, 31, 32)),
    "protocol 1, sum 0 of nothing": (lambda: codec.frame(codec.BOARD_INFO_3, b"", 1), H("3e14001400")),
    "protocol 1, board information asked": (lambda: codec.frame(codec.BOARD_INFO, b"\0\0", 1), H("3e560258000000")),
}  # fmt: skip
