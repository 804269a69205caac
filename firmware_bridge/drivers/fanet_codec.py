"""FANET: the serial module's text lines and the tracking payload. Pure: no port, no clock.

Source: 3s1d/fanet-stm32 Src/fanet/radio/protocol.txt and Src/wire/serial_interface.h. The lines carry no checksum.
"""

from __future__ import annotations

import math
import struct
from typing import NamedTuple

from firmware_bridge.framing import LineFramer

MAX_LINE = 600
TRACKING = 1
VERSION, POWER_ON = b"#DGV\n", b"#DGP 1\n"
_HEX = frozenset("0123456789ABCDEFabcdef")


class FanetFramer:
    """Lines of the module, "#XXx …"; what is none is counted."""

    def __init__(self) -> None:
        self.bad_crc = self.garbage_bytes = 0
        self._lines = LineFramer(MAX_LINE)

    def feed(self, data: bytes) -> list[str]:
        before = self._lines.garbage_bytes
        found = []
        for line in self._lines.feed(data):
            start = line.rfind(b"#")
            text = line[start:]
            if start >= 0 and len(text) >= 4 and text.isascii() and text[1:4].isalpha() and text[1:3].isupper():
                found.append(text.decode("ascii"))
                self.garbage_bytes += start
            else:
                self.garbage_bytes += len(line)
        self.garbage_bytes += self._lines.garbage_bytes - before
        return found

    def reset(self) -> None:
        self._lines.reset()


class Heard(NamedTuple):
    """One #FNF line."""

    manufacturer: int
    ident: int
    broadcast: bool
    signature: int
    kind: int
    payload: bytes

    @property
    def address(self) -> str:
        return f"{self.manufacturer:02X}:{self.ident:04X}"


class Tracking(NamedTuple):
    """Payload of type 1."""

    lat_deg: float
    lon_deg: float
    altitude_m: float
    speed_m_s: float
    climb_m_s: float
    heading_rad: float
    aircraft: int
    online: bool


def read_heard(line: str) -> Heard | None:
    """manuf,id,broadcast,signature,type,length,payload, all hexadecimal; None when the line isn't exactly that."""
    words = line[5:].split(",")
    if not line.startswith("#FNF ") or len(words) != 7 or any(not w or not _HEX.issuperset(w) for w in words):
        return None
    manufacturer, ident, broadcast, signature, kind, length = (int(word, 16) for word in words[:6])
    if len(words[6]) != 2 * length or not 0 < manufacturer < 255 or not 0 < ident < 65535 or broadcast > 1:
        return None
    return Heard(manufacturer, ident, bool(broadcast), signature, kind, bytes.fromhex(words[6]))


def write_heard(heard: Heard) -> str:
    h = heard
    return (f"#FNF {h.manufacturer:X},{h.ident:X},{int(h.broadcast):X},{h.signature:X},{h.kind:X},"
            f"{len(h.payload):X},{h.payload.hex().upper()}")  # fmt: skip


def read_tracking(payload: bytes) -> Tracking | None:
    """None when too short or the place is none on earth."""
    if len(payload) < 11:
        return None
    lat = int.from_bytes(payload[0:3], "little", signed=True) / 93206
    lon = int.from_bytes(payload[3:6], "little", signed=True) / 46603
    word, speed, climb, heading = struct.unpack_from("<HBBB", payload, 6)
    if abs(lat) > 90 or abs(lon) > 180:
        return None
    altitude = (word & 0x7FF) * (4 if word & 0x800 else 1)
    kmh = (speed & 0x7F) * 0.5 * (5 if speed & 0x80 else 1)
    value = (climb & 0x7F) - (0x80 if climb & 0x40 else 0)
    climb_m_s = value * 0.1 * (5 if climb & 0x80 else 1)
    return Tracking(lat, lon, float(altitude), kmh / 3.6, climb_m_s, heading / 256 * 2 * math.pi,
                    word >> 12 & 7, bool(word & 0x8000))  # fmt: skip


def read_address(text: str) -> tuple[int, int] | None:
    """ "11:ABCD" -> manufacturer, id; None when it is none."""
    first, colon, second = text.partition(":")
    if not colon or not _HEX.issuperset(first + second) or not 1 <= len(first) <= 2 or not 1 <= len(second) <= 4:
        return None
    return int(first, 16), int(second, 16)
