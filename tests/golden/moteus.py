"""Lines of the official moteus library 1.1.1 (Apache-2.0) and of mjbots/moteus docs/protocol/can.md at db1a7623."""

from __future__ import annotations

import math

import numpy as np

from firmware_bridge.drivers import moteus_codec as codec
from firmware_bridge.interface import AXIS_FEEDBACK

LIBRARY_POSITION = (
    b"can send 8001 01000A0C06200000C07F0000003F8FC2F53D000000000000803F0000003F0D27CDCCCC3D11001F01130D"
    b"505050505050 BF *B9"
)
LIBRARY_REPLY = b"rcv 100 2100002f010000803e0000003fcdccccbd230d301f00 E B F *10"
OUR_REPLY = b"rcv 100 21000a2c04010000803e0000003fcdccccbd0000c03f270df000360100005050 E B F "  # no outside source
DOC_REPLY = b"rcv 100 2404000a005000000170ff230d181400"


def registers(line: bytes, checksum: bool) -> dict[int, float]:
    """What the codec takes from one reply of another layout than its own query's."""
    taker = codec.MoteusCodec([1], 0.05, math.nan, checksum)
    taker.feed(line + b"\n", np.zeros(1, AXIS_FEEDBACK), lambda axis: 0)
    return {key: round(value, 4) for key, value in taker.registers[0].items()}


def row(line: bytes) -> tuple:
    """Angle in turns, rate in turns/s, torque, current, V, °C, fault, mode of one reply to the codec's own query."""
    taker, feedback = codec.MoteusCodec([1], 0.05, math.nan, True), np.zeros(1, AXIS_FEEDBACK)
    assert taker.feed(line + b"\n", feedback, lambda axis: 0) == 1
    _, _, angle, rate, *rest = feedback[0].tolist()
    return (*(round(x, 4) for x in (angle / codec.TURN, rate / codec.TURN, *rest)),)


def encoded(mode: int, torque: float = 0.0, rate: float = 0.0, angle: float = 0.0) -> bytes:
    maker = codec.MoteusCodec([1], 0.1, 0.5, True)
    return maker.encode([mode], [torque], [rate], [angle])


# name -> (what our codec makes of it, what it must be)
CASES = {
    "the library's own line is rebuilt from its data": (
        lambda: codec.text_line(
            0x8001,
            bytes.fromhex("01000A0C06200000C07F0000003F8FC2F53D000000000000803F0000003F0D27CDCCCC3D11001F01130D"),
            True,
        ),
        LIBRARY_POSITION + b"\n",
    ),
    "acknowledge's checksum": (lambda: codec.crc8(b"OK "), 0xBD),
    "stop": (lambda: codec.text_line(0x8001, bytes.fromhex("01000011001F01130D"), True),
             b"can send 8001 01000011001F01130D505050 BF *CF\n"),
    "query": (lambda: codec.text_line(0x8001, bytes.fromhex("11001F01130D"), True),
              b"can send 8001 11001F01130D BF *AD\n"),
    "brake": (lambda: codec.text_line(0x8001, bytes.fromhex("01000F11001F01130D"), True),
              b"can send 8001 01000F11001F01130D505050 BF *94\n"),
    "library's reply": (lambda: registers(LIBRARY_REPLY, True),
                        {0: 0, 1: 0.25, 2: 0.5, 3: -0.1, 0x0D: 48, 0x0E: 31, 0x0F: 0}),
    "document's reply": (lambda: registers(DOC_REPLY, False),
                         {0: 10, 1: 80, 2: 256, 3: -144, 0x0D: 24, 0x0E: 20, 0x0F: 0}),
    "reply to our query": (lambda: row(OUR_REPLY + b"*%02X" % codec.crc8_97(OUR_REPLY)),
                           (0.25, 0.5, -0.1, 1.5, 24.0, 31.0, 0, 1)),
    "torque: position mode, no position, gains 0, torque 0.12, limit 0.5, watchdog 0.1 s": (
        lambda: encoded(1, torque=0.12).split()[3],
        b"01000a0120800d228fc2f53d0223000005253200052764001100" b"1c0401170d50"),
    "rate of half a turn a second": (
        lambda: encoded(2, rate=math.pi).split()[3],
        b"01000a0120800e210000003f00000000" b"05253200052764001100" b"1c0401170d50"),
}  # fmt: skip
