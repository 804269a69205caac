"""Packets built and parsed by MicroStrain's own MIP SDK (LORD-MicroStrain/mip_sdk e5a847d8, MIT)."""

from __future__ import annotations

from firmware_bridge.drivers import mip_codec as codec

DATA = bytes.fromhex(
    "75 65 80 1c 0e 04 3c 23 d7 0a bc a3 d7 0a bf 80 00 00 0e 05 3d cc cc cd 3e 4c cc cd 3e 99 99 9a 29 b9"
)
FORMAT = codec.message_format(codec.WRITE, codec.SENSOR, [(0x04, 1), (0x05, 1), (0x12, 1)])


def data() -> tuple:
    found = dict(codec.fields(DATA) or ())
    accel, gyro = codec.vector(found[0x04]), codec.vector(found[0x05])
    assert accel and gyro
    return tuple(round(x, 5) for x in (*accel, *gyro))


CASES = {
    "ping": (lambda: codec.command(1, codec.PING), bytes.fromhex("75 65 01 02 02 01 e0 c6")),
    "idle": (lambda: codec.command(1, codec.IDLE), bytes.fromhex("75 65 01 02 02 02 e1 c7")),
    "resume": (lambda: codec.command(1, codec.RESUME), bytes.fromhex("75 65 01 02 02 06 e5 cb")),
    "message format": (lambda: codec.command(0x0C, codec.MESSAGE_FORMAT, FORMAT),
                       bytes.fromhex("75 65 0c 0e 0e 0f 01 80 03 04 00 01 05 00 01 12 00 01 b3 36")),
    "stream on": (lambda: codec.command(0x0C, codec.DATASTREAM, b"\x01\x80\x01"),
                  bytes.fromhex("75 65 0c 05 05 11 01 80 01 83 18")),
    "data is valid": (lambda: codec.frame_valid(DATA), True),
    "data": (data, (0.01, -0.02, -1.0, 0.1, 0.2, 0.3)),
    "data again": (lambda: codec.packet(0x80, codec.fields(DATA) or ()), DATA),
}  # fmt: skip
