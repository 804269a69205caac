"""Traffic of ethz-asl/ethzasl_xsens_driver mtdevice.py (BSD)."""

from __future__ import annotations

from firmware_bridge.drivers import xsens_codec as codec

CONFIG = bytes.fromhex("fa ff c0 18 10 20 ff ff 10 60 ff ff 20 10 00 64 80 20 00 64 40 20 00 64 e0 20 ff ff 33")
WANTED = [(0x1020, 0xFFFF), (0x1060, 0xFFFF), (0x2010, 100), (0x8020, 100), (0x4020, 100), (0xE020, 0xFFFF)]
DATA = bytes.fromhex(
    "fa ff 36 44 10 20 02 00 01 10 60 04 00 00 00 64 20 10 10 3f 80 00 00 00 00 00 00 00 00 00 00 00 00 00 00 80 20 0c"
    "3c 23 d7 0a 3c a3 d7 0a 3c f5 c2 8f 40 20 0c 3d cc cc cd 3e 4c cc cd 41 1c f5 c3 e0 20 04 00 00 00 07 fe"
)


def data() -> tuple:
    mid, payload = codec.split(DATA)
    items = dict(codec.read_items(payload) or ())
    gyro, accel = codec.vector(0x8020, items[0x8020]), codec.vector(0x4020, items[0x4020])
    assert gyro and accel
    return (mid, codec.unsigned(items[0x1020]), codec.unsigned(items[0x1060]), tuple(round(x, 5) for x in gyro),
            tuple(round(x, 5) for x in accel), codec.unsigned(items[0xE020]))  # fmt: skip


CASES = {
    "GoToConfig": (lambda: codec.frame(codec.GO_TO_CONFIG), bytes.fromhex("fa ff 30 00 d1")),
    "ReqProductCode": (lambda: codec.frame(codec.REQ_PRODUCT), bytes.fromhex("fa ff 1c 00 e5")),
    "SetOutputConfiguration": (lambda: codec.frame(codec.SET_OUTPUT, codec.output_configuration(WANTED)), CONFIG),
    "configuration read": (lambda: codec.read_output_configuration(codec.split(CONFIG)[1]), WANTED),
    "MTData2 is valid": (lambda: codec.frame_valid(DATA), True),
    "MTData2": (data, (0x36, 1, 100, (0.01, 0.02, 0.03), (0.1, 0.2, 9.81), 7)),
    "MTData2 again": (
        lambda: codec.frame(0x36, codec.write_items(codec.read_items(codec.split(DATA)[1]) or ())), DATA),
}  # fmt: skip
