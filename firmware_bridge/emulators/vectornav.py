"""A VectorNav VN-100 on its UART, as its bytes look to a host.

Written from the field tables of ArduPilot AP_ExternalAHRS_VectorNav.cpp, fdcl-gwu/arduino-vn100 and the traffic of the
maker's C++ library 1.2.0.0. Shares nothing with the driver. Registers: 1 to 7 and the binary outputs 75 to 77.
"""

from __future__ import annotations

import math
import struct
from collections.abc import Mapping
from typing import Any

from firmware_bridge.emulators.base import NEVER, Emulator
from firmware_bridge.emulators.physics import ImuSample

BASE_HZ = 800
ERR_CHECKSUM, ERR_COMMAND, ERR_FEW, ERR_PARAMETER, ERR_REGISTER, ERR_BAUD = 3, 4, 5, 7, 8, 12
BAUDS = (9600, 19200, 38400, 57600, 115200, 128000, 230400, 460800, 921600)
ASYNC_HZ = (1, 2, 4, 5, 10, 20, 25, 40, 50, 100, 200)
WRITABLE = {5, 6, 7, 75, 76, 77}


class VectorNavEmulator(Emulator):
    """Options of the driver read here: latency_us. Of its own: clock_ppm, model, baud."""

    def __init__(self, physics: Any, options: Mapping[str, object] | None = None) -> None:
        super().__init__(physics, options)
        self.latency_ns = int(1e3 * float(str(self.options.get("latency_us", 0.0))))
        self.rate = 1.0 + 1e-6 * float(str(self.options.get("clock_ppm", 0.0)))
        self.model = str(self.options.get("model", "VN-100T-CR"))
        self.stored_baud = int(str(self.options.get("baud", 921600)))
        self._tail = b""
        self._start_ns = 0

    def power_up(self, now_ns: int) -> None:
        self.registers = {
            1: self.model, 2: "7", 3: "0100012345", 4: "2.1.0.0", 5: str(self.stored_baud), 6: "14", 7: "40",
            75: "0,0,0", 76: "0,0,0", 77: "0,0,0",
        }  # fmt: skip
        self.paused = False
        self.serial_ok = True
        self._tail = b""
        self._start_ns = now_ns
        self._count = 0  # of the 800 Hz clock

    def next_ns(self) -> int:
        if self.paused or not self._anything():
            return NEVER
        return self._tick_ns(self._count + 1)

    def _tick_ns(self, count: int) -> int:
        # Sampling runs on the device's own crystal.
        return self._start_ns + int(count * 1e9 / BASE_HZ / self.rate)

    def _anything(self) -> bool:
        return bool(int(self.registers[6].split(",")[0])) or any(self._output(r)[1] for r in (75, 76, 77))

    def _output(self, register: int) -> tuple[int, int, tuple[int, ...]]:
        """divisor, groups, field words."""
        words = self.registers[register].split(",")
        return int(words[1]), int(words[2], 16), tuple(int(word, 16) for word in words[3:])

    def service(self, now_ns: int) -> None:
        while self._tick_ns(self._count + 1) <= now_ns:
            self._count += 1
            self._tick(self._count, self._tick_ns(self._count))

    def _tick(self, count: int, t_ns: int) -> None:
        sample: ImuSample | None = None
        for register in (75, 76, 77):
            divisor, groups, fields = self._output(register)
            if groups and count % divisor == 0:
                sample = sample or self.physics.sample(t_ns)
                self.send(self._binary(groups, fields, sample, t_ns), t_ns + self.latency_ns)
        kind, hz = int(self.registers[6].split(",")[0]), int(self.registers[7].split(",")[0])
        if kind and count % (BASE_HZ // hz) == 0:
            sample = sample or self.physics.sample(t_ns)
            a, g = sample.accel_m_s2, sample.gyro_rad_s
            text = (
                f"VNYMR,+000.000,+00.000,+000.000,+01.0000,+00.0000,+01.0000,{a[0]:+07.3f},{a[1]:+07.3f},{a[2]:+07.3f},"
            )
            self._line(text + f"{g[0]:+010.6f},{g[1]:+010.6f},{g[2]:+010.6f}", t_ns + self.latency_ns)

    def _binary(self, groups: int, fields: tuple[int, ...], sample: ImuSample, t_ns: int) -> bytes:
        measured_ns = sample.t_ns if sample.t_ns >= 0 else t_ns
        startup = max(0, int((measured_ns - self._start_ns) * self.rate))
        body = bytearray([groups])
        for word in fields:
            body += struct.pack("<H", word)
        words = iter(fields)
        for group in range(7):
            if groups >> group & 1:
                word = next(words)
                for bit in range(16):
                    if word >> bit & 1:
                        body += _field(group, bit, startup, sample)
        return b"\xfa" + bytes(body) + struct.pack(">H", _crc(bytes(body)))

    def feed(self, data: bytes, now_ns: int) -> None:
        self._tail = (self._tail + data)[-512:]
        while (end := self._tail.find(b"\n")) >= 0:
            line, self._tail = self._tail[:end].strip(), self._tail[end + 1 :]
            start = line.find(b"$VN")
            if start >= 0:
                self._command(line[start + 1 :], now_ns)

    def _command(self, line: bytes, now_ns: int) -> None:
        body, star, check = line.partition(b"*")
        total = 0
        for byte in body:
            total ^= byte
        if not star or check not in (b"XX", b"%02X" % total, b"%02x" % total):
            return self._error(ERR_CHECKSUM, now_ns)
        words = body.decode("ascii", "replace").split(",")
        if words[0] == "VNRRG":
            self._read(words, now_ns)
        elif words[0] == "VNWRG":
            self._write(words, now_ns)
        elif words[0] == "VNASY" and len(words) > 1 and words[1] in "01":
            self._pause(words[1] == "0", now_ns)
        elif words[0] == "VNRST":
            self._line("VNRST", now_ns)
            self.power_up(now_ns)
        else:
            self._error(ERR_COMMAND, now_ns)

    def _pause(self, pause: bool, now_ns: int) -> None:
        self._line(f"VNASY,{0 if pause else 1}", now_ns)
        self.paused = pause
        self._skip_to(now_ns)

    def _skip_to(self, now_ns: int) -> None:
        # The sampling clock ran on while nothing was sent.
        self._count = max(self._count, int((now_ns - self._start_ns) * self.rate * BASE_HZ / 1e9))

    def _read(self, words: list[str], now_ns: int) -> None:
        number = _number(words, 1)
        if number not in self.registers:
            return self._error(ERR_REGISTER, now_ns)
        self._line(f"VNRRG,{number:02d},{self.registers[number]}", now_ns)

    def _write(self, words: list[str], now_ns: int) -> None:
        number = _number(words, 1)
        if number not in WRITABLE:
            return self._error(ERR_REGISTER, now_ns)
        if len(words) < 3:
            return self._error(ERR_FEW, now_ns)
        error = self._problem(number, words[2:])
        if error:
            return self._error(error, now_ns)
        self._skip_to(now_ns)
        self.registers[number] = ",".join(words[2:])
        self._line(",".join(words), now_ns)

    def _problem(self, number: int, values: list[str]) -> int:
        try:
            if number == 5:
                return 0 if int(values[0]) in BAUDS else ERR_PARAMETER
            if number == 6:
                return 0 if 0 <= int(values[0]) <= 30 else ERR_PARAMETER
            if number == 7:
                return 0 if int(values[0]) in ASYNC_HZ else ERR_PARAMETER
            if len(values) < 3:
                return ERR_FEW
            port, divisor, groups = int(values[0]), int(values[1]), int(values[2], 16)
            fields = [int(word, 16) for word in values[3:]]
        except ValueError:
            return ERR_PARAMETER
        if port not in (0, 1, 2, 3) or divisor < 1 or not 0 <= groups <= 0x7F or len(fields) != groups.bit_count():
            return ERR_PARAMETER
        sizes, words = 0, iter(fields)
        for group in range(7):
            if groups >> group & 1:
                word = next(words)
                known = SIZES[group]
                if word >> len(known):
                    return ERR_PARAMETER
                sizes += sum(size for bit, size in enumerate(known) if word >> bit & 1)
        frame = 4 + 2 * len(fields) + sizes
        return ERR_BAUD if frame * 10 * BASE_HZ / divisor > int(self.registers[5].split(",")[0]) else 0

    def _error(self, code: int, now_ns: int) -> None:
        self._line(f"VNERR,{code:02d}", now_ns)

    def _line(self, body: str, t_ns: int) -> None:
        total = 0
        for byte in body.encode():
            total ^= byte
        self.send(f"${body}*{total:02X}\r\n".encode(), t_ns)


def _number(words: list[str], at: int) -> int:
    return int(words[at]) if len(words) > at and words[at].isdigit() else -1


# Bytes of each field, by group and bit.
SIZES = (
    (8, 8, 8, 12, 16, 12, 24, 12, 12, 24, 20, 28, 2, 4, 8),
    (8, 8, 8, 2, 8, 8, 8, 4, 4, 1),
    (2, 12, 12, 12, 4, 4, 16, 12, 12, 12, 12, 2),
    (8, 8, 2, 1, 1, 24, 24, 12, 12, 12, 4, 4, 2, 28),
    (2, 12, 16, 36, 12, 12, 12, 12, 12, 12),
    (2, 24, 24, 12, 12, 12, 12, 12, 12, 4, 4),
    (8, 8, 2, 1, 1, 24, 24, 12, 12, 12, 4, 4, 2, 28),
)
_ACCEL, _GYRO, _MAG = {(0, 8), (2, 2), (2, 9)}, {(0, 5), (2, 3), (2, 10)}, {(2, 1), (2, 8)}


def _field(group: int, bit: int, startup_ns: int, sample: ImuSample) -> bytes:
    place = (group, bit)
    if place in ((0, 0), (1, 0)):
        return struct.pack("<Q", startup_ns)
    if place in _MAG:
        return struct.pack("<3f", *(0.01 * uT for uT in sample.mag_uT))  # gauss
    if place in _ACCEL:
        return struct.pack("<3f", *sample.accel_m_s2)
    if place in _GYRO:
        return struct.pack("<3f", *sample.gyro_rad_s)
    if place == (0, 9):
        return struct.pack("<6f", *sample.accel_m_s2, *sample.gyro_rad_s)
    if place in ((0, 4), (4, 2)):
        return struct.pack("<4f", 0.0, 0.0, 0.0, 1.0)  # x, y, z, w: level, heading north
    if place == (2, 4):
        return struct.pack("<f", sample.temp_degC)
    if place == (2, 11):
        clipped = any(abs(g) > math.radians(2000) for g in sample.gyro_rad_s)
        return struct.pack("<H", 0x1C0 if clipped else 0)
    return bytes(SIZES[group][bit])


def _crc_of_byte(byte: int) -> int:
    crc = byte << 8
    for _ in range(8):
        crc = (crc << 1 ^ 0x1021) & 0xFFFF if crc & 0x8000 else crc << 1
    return crc


_CRC = tuple(_crc_of_byte(byte) for byte in range(256))


def _crc(data: bytes) -> int:
    crc = 0
    for byte in data:
        crc = crc << 8 & 0xFFFF ^ _CRC[crc >> 8 ^ byte]
    return crc
