"""UBX: frames, NAV-PVT and NAV-RELPOSNED to numbers, configuration to frames. Pure: no port, no clock.

Source: field lists of pyubx2 1.4.0 (UBX_PAYLOADS_GET), checked against its frames; configuration keys as in its
UBX_CONFIG_DATABASE.
"""

from __future__ import annotations

import struct
from collections.abc import Mapping
from typing import NamedTuple

from firmware_bridge.framing import fletcher8

SYNC = b"\xb5\x62"
MAX_FRAME = 1024
NAV_PVT, NAV_RELPOSNED, MON_VER = b"\x01\x07", b"\x01\x3c", b"\x0a\x04"
ACK_ACK, ACK_NAK, CFG_VALSET = b"\x05\x01", b"\x05\x00", b"\x06\x8a"
_PVT = struct.Struct("<IHBBBBBBIiBBBBiiiiIIiiiiiIIHH4xihH")
_PVT_OLD = 84
_RELPOS = struct.Struct("<BBHIiiiiiIbbbbIIIIIII")

KEYS = {
    "rate_ms": (0x30210001, "H"),
    "pvt_uart1": (0x20910007, "B"),
    "pvt_usb": (0x20910009, "B"),
    "relposned_uart1": (0x2091008E, "B"),
    "relposned_usb": (0x20910090, "B"),
    "nmea_uart1": (0x10740002, "B"),
    "nmea_usb": (0x10780002, "B"),
    "dynamic_model": (0x20110021, "B"),
    "baud_uart1": (0x40520001, "I"),
}


class Pvt(NamedTuple):
    tow_ms: int
    lat_deg: float
    lon_deg: float
    height_m: float
    vel_N: tuple[float, float, float]
    h_acc_m: float
    v_acc_m: float
    s_acc_m_s: float
    fix: int  # as FIX_ROW.fix
    satellites: int


class RelPos(NamedTuple):
    tow_ms: int
    baseline_N: tuple[float, float, float]
    heading_deg: float
    heading_std_deg: float
    valid: bool


def frame(message: bytes, payload: bytes = b"") -> bytes:
    """message: class and id, two bytes."""
    body = message + struct.pack("<H", len(payload)) + payload
    return SYNC + body + bytes(fletcher8(body))


def frame_length(buffer: bytes, start: int) -> int:
    """For BinaryFramer."""
    if len(buffer) < start + 6:
        return 0
    return 8 + (buffer[start + 4] | buffer[start + 5] << 8)


def frame_valid(data: bytes) -> bool:
    a, b = fletcher8(data[2:-2])
    return data[-2] == a and data[-1] == b


def read_pvt(payload: bytes) -> Pvt | None:
    """NAV-PVT's 92 bytes, or the 84 of protocol 14 (u-blox 7), which end before what is not used here; None when
    too short."""
    if len(payload) < _PVT_OLD:
        return None
    v = _PVT.unpack_from(payload.ljust(_PVT.size, b"\0"))
    kind, flags = v[10], v[11]
    fix = kind if kind in (2, 3) and flags & 1 else 3 if kind == 4 and flags & 1 else 0
    if fix == 3:
        fix += flags >> 6 & 3 if flags >> 6 & 3 < 3 else 0
    return Pvt(v[0], v[15] * 1e-7, v[14] * 1e-7, v[16] * 1e-3, (v[20] * 1e-3, v[21] * 1e-3, v[22] * 1e-3),
               v[18] * 1e-3, v[19] * 1e-3, v[25] * 1e-3, fix, v[13])  # fmt: skip


def read_relposned(payload: bytes) -> RelPos | None:
    """NAV-RELPOSNED version 1, 64 bytes; None when another version."""
    if len(payload) < _RELPOS.size or payload[0] != 1:
        return None
    v = _RELPOS.unpack_from(payload)
    north, east, down = (v[4 + i] * 1e-2 + v[10 + i] * 1e-4 for i in range(3))
    flags = v[20]
    return RelPos(v[3], (north, east, down), v[8] * 1e-5, v[18] * 1e-5, bool(flags & 4 and flags & 0x100))


def valset(values: Mapping[str, int], layers: int = 1) -> bytes:
    """CFG-VALSET, into RAM unless told otherwise."""
    payload = struct.pack("<BBH", 0, layers, 0)
    for name, value in values.items():
        key, kind = KEYS[name]
        payload += struct.pack("<I" + kind, key, value)
    return frame(CFG_VALSET, payload)
