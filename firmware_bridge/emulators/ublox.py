"""A u-blox receiver of generation 9 (ZED-F9P, HPG 1.32) on its UART, as its bytes look to a host.

Written from the message descriptions of the u-blox F9 HPG 1.32 interface description. Shares nothing with the driver.
Powers up as it leaves the factory: NMEA GGA and RMC at 1 Hz, no UBX, until configured; with the option passive it is
a beacon set up beforehand: NAV-PVT at rate_hz, deaf.
"""

from __future__ import annotations

import datetime
import math
from collections.abc import Mapping
from typing import Any

from firmware_bridge.emulators.base import Emulator
from firmware_bridge.emulators.physics import Fix

WEEK_MS = 604_800_000
# Key -> bytes of its value, and what it is after power-up.
KEYS = {
    0x30210001: (2, 1000), 0x30210002: (2, 1), 0x20910007: (1, 0), 0x20910009: (1, 0), 0x2091008E: (1, 0),
    0x20910090: (1, 0), 0x10740002: (1, 1), 0x10780002: (1, 1), 0x20110021: (1, 0), 0x40520001: (4, 38400),
}  # fmt: skip
RATE, PVT, RELPOSNED, NMEA = 0x30210001, 0x20910007, 0x2091008E, 0x10740002
SIZE_OF_KEY = {1: 1, 2: 1, 3: 2, 4: 4, 5: 8}  # by bits 28 to 30 of the key


class UbloxEmulator(Emulator):
    """Options of the driver read here: passive, rate_hz, latency_ms. Of its own: epoch_s, GPS seconds of week at
    host time zero."""

    def __init__(self, physics: Any, options: Mapping[str, object] | None = None) -> None:
        super().__init__(physics, options)
        self.passive = bool(self.options.get("passive", False))
        self.latency_ns = int(1e6 * float(str(self.options.get("latency_ms", 60.0))))
        self.epoch_ms = int(1e3 * float(str(self.options.get("epoch_s", 345_600.0))))
        self._tail = b""

    def power_up(self, now_ns: int) -> None:
        self.config = {key: value for key, (_, value) in KEYS.items()}
        if self.passive:
            self.config.update({RATE: round(1000 / int(str(self.options.get("rate_hz", 5)))), PVT: 1, NMEA: 0})
        self._tail = b""
        self._epoch_ns = self._next_epoch(now_ns)

    def _next_epoch(self, now_ns: int) -> int:
        # Epochs lie on whole multiples of the period in GPS time.
        step = self.config[RATE] * 1_000_000
        return (now_ns // step + 1) * step

    def next_ns(self) -> int:
        return self._epoch_ns

    def service(self, now_ns: int) -> None:
        while self._epoch_ns <= now_ns:
            self._epoch(self._epoch_ns)
            self._epoch_ns += self.config[RATE] * 1_000_000

    def _epoch(self, t_ns: int) -> None:
        fix = self.physics.fix(t_ns)
        if fix is None:
            return
        measured_ns = fix.t_ns if fix.t_ns >= 0 else t_ns
        out_ns = max(t_ns, measured_ns + self.latency_ns)
        tow_ms = (measured_ns // 1_000_000 + self.epoch_ms) % WEEK_MS
        if self.config[PVT]:
            self.send(_ubx(0x01, 0x07, _pvt(fix, tow_ms)), out_ns)
        if self.config[RELPOSNED] and not math.isnan(fix.heading_rad):
            self.send(_ubx(0x01, 0x3C, _relposned(fix, tow_ms)), out_ns)
        if self.config[NMEA]:
            self.send(_nmea(fix, tow_ms), out_ns)

    def feed(self, data: bytes, now_ns: int) -> None:
        if self.passive:
            return
        self._tail = (self._tail + data)[-2048:]
        while (start := self._tail.find(b"\xb5b")) >= 0:
            self._tail = self._tail[start:]
            if len(self._tail) < 8:
                return
            size = int.from_bytes(self._tail[4:6], "little")
            if size > 1024:
                self._tail = self._tail[2:]
                continue
            if len(self._tail) < size + 8:
                return
            message = self._tail[: size + 8]
            if message == _ubx(message[2], message[3], message[6:-2]):
                self._tail = self._tail[size + 8 :]
                self._message(message[2], message[3], message[6:-2], now_ns)
            else:
                self._tail = self._tail[2:]

    def _message(self, cls: int, number: int, payload: bytes, now_ns: int) -> None:
        if (cls, number) == (0x0A, 0x04):
            self.send(_ubx(0x0A, 0x04, _version(str(self.options.get("protocol", "27.31")))), now_ns)
        elif (cls, number) == (0x06, 0x8A):
            self._acknowledge(self._valset(payload, now_ns), cls, number, now_ns)
        elif (cls, number) == (0x06, 0x8B):
            self._valget(payload, now_ns)
        elif cls == 0x06:
            self._acknowledge(False, cls, number, now_ns)

    def _acknowledge(self, good: bool, cls: int, number: int, now_ns: int) -> None:
        self.send(_ubx(0x05, int(good), bytes([cls, number])), now_ns)

    def _valset(self, payload: bytes, now_ns: int) -> bool:
        """All or nothing; a key this module lacks, or a rate beyond 25 Hz, is refused."""
        new, at = {}, 4
        while at + 4 < len(payload):
            key = int.from_bytes(payload[at : at + 4], "little")
            size = SIZE_OF_KEY.get(key >> 28 & 7, 0)
            if key not in KEYS or at + 4 + size > len(payload):
                return False
            new[key] = int.from_bytes(payload[at + 4 : at + 4 + size], "little")
            at += 4 + size
        if new.get(RATE, 1000) < 40:
            return False
        self.config.update(new)
        if RATE in new:
            self._epoch_ns = self._next_epoch(now_ns)
        return True

    def _valget(self, payload: bytes, now_ns: int) -> None:
        values = b""
        for at in range(4, len(payload) - 3, 4):
            key = int.from_bytes(payload[at : at + 4], "little")
            if key not in KEYS:
                return self._acknowledge(False, 0x06, 0x8B, now_ns)
            values += key.to_bytes(4, "little") + self.config[key].to_bytes(KEYS[key][0], "little")
        self.send(_ubx(0x06, 0x8B, b"\x01\x00\x00\x00" + values), now_ns)
        self._acknowledge(True, 0x06, 0x8B, now_ns)


def _ubx(cls: int, number: int, payload: bytes) -> bytes:
    body = bytes([cls, number]) + len(payload).to_bytes(2, "little") + payload
    a = b = 0
    for byte in body:
        a = a + byte & 0xFF
        b = b + a & 0xFF
    return b"\xb5b" + body + bytes([a, b])


def _int(value: float, size: int) -> bytes:
    top = 1 << 8 * size - 1
    return max(-top, min(top - 1, round(value))).to_bytes(size, "little", signed=True)


def _whole(value: float, size: int) -> bytes:
    return max(0, min((1 << 8 * size) - 1, round(value))).to_bytes(size, "little")


def _when(tow_ms: int) -> datetime.datetime:
    # A Sunday; UTC is 18 s behind GPS since 2017.
    return datetime.datetime(2026, 1, 4) + datetime.timedelta(milliseconds=tow_ms - 18_000)


def _pvt(fix: Fix, tow_ms: int) -> bytes:
    now = _when(tow_ms)
    carrier = {4: 1, 5: 2}.get(fix.fix, 0)
    kind = 3 if fix.fix >= 3 else fix.fix
    speed = math.hypot(fix.vel_N[0], fix.vel_N[1])
    course = math.degrees(math.atan2(fix.vel_N[1], fix.vel_N[0])) % 360.0
    return b"".join((
        _whole(tow_ms, 4), _whole(now.year, 2), bytes([now.month, now.day, now.hour, now.minute, now.second, 0x07]),
        _whole(25, 4), _int(now.microsecond * 1000, 4), bytes([kind, (1 if kind >= 2 else 0) | carrier << 6, 0, 18]),
        _int(fix.lon_deg * 1e7, 4), _int(fix.lat_deg * 1e7, 4), _int(fix.height_m * 1e3, 4),
        _int((fix.height_m - 48.0) * 1e3, 4), _whole(fix.pos_std_m * 1e3, 4), _whole(fix.pos_std_m * 1.5e3, 4),
        *(_int(v * 1e3, 4) for v in fix.vel_N), _int(speed * 1e3, 4), _int(course * 1e5, 4),
        _whole(fix.vel_std_m_s * 1e3, 4), _whole(5e5, 4), _whole(110, 2), bytes(2), bytes(4), bytes(4), bytes(4),
    ))  # fmt: skip


def _relposned(fix: Fix, tow_ms: int) -> bytes:
    length_cm = 100.0
    north, east = length_cm * math.cos(fix.heading_rad), length_cm * math.sin(fix.heading_rad)
    flags = 1 | 1 << 2 | 2 << 3 | 1 << 8
    return b"".join((
        b"\x01\x00", bytes(2), _whole(tow_ms, 4), _int(int(north), 4), _int(int(east), 4), _int(0, 4),
        _int(length_cm, 4), _int(math.degrees(fix.heading_rad) % 360 * 1e5, 4), bytes(4),
        _int((north - int(north)) * 100, 1), _int((east - int(east)) * 100, 1), bytes(2),
        *(_whole(100, 4) for _ in range(4)), _whole(0.5e5, 4), bytes(4), _whole(flags, 4),
    ))  # fmt: skip


def _version(protocol: str) -> bytes:
    texts = ("FWVER=HPG 1.32", f"PROTVER={protocol}", "MOD=ZED-F9P", "GPS;GLO;GAL;BDS")
    return (
        b"EXT CORE 1.00 (3fda8e)".ljust(30, b"\0")
        + b"00190000".ljust(10, b"\0")
        + b"".join(text.encode().ljust(30, b"\0") for text in texts)
    )


def _nmea(fix: Fix, tow_ms: int) -> bytes:
    now = _when(tow_ms)
    clock = f"{now:%H%M%S}.{now.microsecond // 10000:02d}"
    lat, lon = _minutes(fix.lat_deg, 2, "NS"), _minutes(fix.lon_deg, 3, "EW")
    knots = math.hypot(fix.vel_N[0], fix.vel_N[1]) / 0.514444
    course = math.degrees(math.atan2(fix.vel_N[1], fix.vel_N[0])) % 360.0
    quality = 1 if fix.fix >= 2 else 0
    bodies = (
        f"GNGGA,{clock},{lat},{lon},{quality},12,0.80,{fix.height_m - 48.0:.1f},M,48.0,M,,",
        f"GNRMC,{clock},{'A' if quality else 'V'},{lat},{lon},{knots:.3f},{course:.2f},{now:%d%m%y},,,A,V",
    )
    out = b""
    for body in bodies:
        total = 0
        for byte in body.encode():
            total ^= byte
        out += f"${body}*{total:02X}\r\n".encode()
    return out


def _minutes(angle_deg: float, width: int, signs: str) -> str:
    whole = int(abs(angle_deg))
    return f"{whole:0{width}d}{(abs(angle_deg) - whole) * 60:08.5f},{signs[angle_deg < 0]}"
