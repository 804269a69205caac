"""Frames of pyubx2 1.4.0 (BSD-3)."""

from __future__ import annotations

from firmware_bridge.drivers import ublox_codec as ubx

NAV_PVT = bytes.fromhex(
    "b5 62 01 07 5c 00 00 ca 5b 07 ea 07 0b 16 0a 11 24 00 19 00 00 00 2e fb ff ff 03 01 00 12 28 5c 17 05 28 24 3d 1c"
    "87 d6 12 00 b8 1c 12 00 52 03 00 00 b0 04 00 00 39 30 00 00 d7 f6 ff ff 6e b2 00 00 16 31 00 00 c8 e9 14 02"
    "78 00 00 00 4f c3 00 00 78 00" + "00" * 14 + "3e 05"
)
VALSET = bytes.fromhex("b5 62 06 8a 17 00 00 01 00 00 01 00 21 30 28 00 07 00 91 20 01 01 00 52 40 00 08 07 00 7d d0")


def pvt() -> tuple:
    assert ubx.frame_valid(NAV_PVT)
    p = ubx.read_pvt(NAV_PVT[6:-2])
    assert p is not None
    return (p.tow_ms, round(p.lat_deg, 7), round(p.lon_deg, 7), round(p.height_m, 3), p.fix, p.satellites,
            tuple(round(v, 3) for v in p.vel_N), round(p.h_acc_m, 3), round(p.s_acc_m_s, 3))  # fmt: skip


CASES = {
    "NAV-PVT": (pvt, (123456000, 47.3769, 8.5417, 1234.567, 3, 18, (12.345, -2.345, 45.678), 0.85, 0.12)),
    "CFG-VALSET in RAM: 40 ms, NAV-PVT on UART1, 460800 baud": (
        lambda: ubx.valset({"rate_ms": 40, "pvt_uart1": 1, "baud_uart1": 460800}), VALSET),
    "MON-VER poll": (lambda: ubx.frame(ubx.MON_VER), bytes.fromhex("b5 62 0a 04 00 00 0e 34")),
}  # fmt: skip
