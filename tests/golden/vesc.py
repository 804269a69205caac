"""Packets accepted and made by the VESC firmware's own comm/packet.c, util/crc.c, util/buffer.c (vedderb/bldc b9d287b3,
2026-08-13), compiled for Linux and run on a pty."""

from __future__ import annotations

from firmware_bridge.drivers import vesc_codec as vesc
from firmware_bridge.drivers.vesc_codec import forward, frame, order
from firmware_bridge.interface import Counters

FIRMWARE = bytes.fromhex("02160006063630001111111111111111111111110000 0000a90f03")


def codec() -> vesc.VescCodec:
    return vesc.VescCodec([3, 7], 3, 0.2, 7, 0.5, Counters())


def firmware() -> tuple:
    taker = codec()
    taker._other(vesc.payload_of(FIRMWARE))
    return taker.firmware, taker.hardware, taker.serial


CASES = {
    "current 1.5 A": (lambda: frame(order(vesc.SET_CURRENT, 1500)), bytes.fromhex("0205060000 05dc388103")),
    "the same, 0.3 N m at 0.2 N m/A": (lambda: codec().motion(0, 1, 0.3, 0, 0), bytes.fromhex("020506000005dc388103")),
    "-3000 electrical rpm": (lambda: frame(order(vesc.SET_RPM, -3000)), bytes.fromhex("020508fffff448902403")),
    "90 degrees": (lambda: codec().motion(0, 3, 0, 0, 1.5707963267948966), bytes.fromhex("0205 09055d4a807b2903")),
    "brake 0.5 A": (lambda: codec().motion(0, 4, 0, 0, 0), bytes.fromhex("020507000001f4fb7e03")),
    "handbrake 2 A": (lambda: frame(order(vesc.SET_HANDBRAKE, 2000)), bytes.fromhex("02050a000007d0144403")),
    "values": (lambda: frame(bytes((vesc.GET_VALUES,))), bytes.fromhex("020104408403")),
    "alive": (lambda: frame(bytes((vesc.ALIVE,))), bytes.fromhex("02011ef3ff03")),
    "through CAN to 7: -0.25 A": (lambda: frame(forward(7, order(vesc.SET_CURRENT, -250))),
                                  bytes.fromhex("0207220706ffffff06ec2803")),
    "the same, -0.05 N m": (lambda: codec().motion(1, 1, -0.05, 0, 0), bytes.fromhex("0207220706ffffff06ec2803")),
    "firmware": (firmware, ((6, 6), "60", "11" * 12)),
    "firmware packet is whole": (lambda: (vesc.short_length(FIRMWARE, 0), vesc.valid(FIRMWARE)), (27, True)),
}  # fmt: skip
