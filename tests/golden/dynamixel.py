"""Packets of the ROBOTIS eManual (protocol 2.0) and of dynamixel-sdk 4.1.0 (Apache-2.0)."""

from __future__ import annotations

import numpy as np

from firmware_bridge.drivers import dynamixel_codec as dxl
from firmware_bridge.interface import AXIS_FEEDBACK, Counters

FAST_REPLY = bytes.fromhex("fffffd00fe2b00550001fbff0a0000000108000099170002f6ff140000000208 0000031f0003f1ff1e000000"
                           "03080000144b")  # fmt: skip


def ping_answer() -> bytes:
    codec = dxl.DynamixelCodec([1], 0.2, 2.69e-3, 2048, Counters())
    codec.feed(bytes.fromhex("fffffd0001070055 00fc032d1743"), np.zeros(1, AXIS_FEEDBACK), 0)
    return codec.answers[1]


CASES = {
    "ping 1": (lambda: dxl.packet(1, dxl.PING), bytes.fromhex("fffffd00010300 01194e")),
    "its answer: model 1020, firmware 45": (ping_answer, bytes.fromhex("00fc032d")),
    "read operating mode": (lambda: dxl.read(1, dxl.OPERATING_MODE, 1), bytes.fromhex("fffffd0001070002 0b0001002247")),
    "torque on": (lambda: dxl.write(1, dxl.TORQUE_ENABLE, 1, 1), bytes.fromhex("fffffd00010600034000 01db66")),
    "goal position 2048": (lambda: dxl.write(1, dxl.GOAL_POSITION, 2048, 4),
                           bytes.fromhex("fffffd00010900037400000800004289")),
    "sync write of goal current 100, 200, 300": (
        lambda: dxl.sync_write(dxl.GOAL_CURRENT, 2, [(1, 100), (2, 200), (3, 300)]),
        bytes.fromhex("fffffd00fe1000836600020001640002c800032c01ecfa")),
    "fast sync read of 126, 10 bytes, of 1 2 3": (
        lambda: dxl.fast_sync_read(126, 10, (1, 2, 3)), bytes.fromhex("fffffd00fe0a008a7e000a00010203699b")),
    "its answer": (lambda: dxl.split_fast(FAST_REPLY, 10),
                   [(0, i, bytes.fromhex(data)) for i, data in
                    ((1, "fbff0a00000001080000"), (2, "f6ff1400000002080000"), (3, "f1ff1e00000003080000"))]),
    "stuffing": (lambda: dxl.write(1, dxl.GOAL_VELOCITY, 0x00FDFFFF, 4)[:-2],
                 bytes.fromhex("fffffd00010a00036800fffffdfd00")),
}  # fmt: skip
