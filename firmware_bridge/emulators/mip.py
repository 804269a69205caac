"""A MicroStrain 3DM-CV7-AHRS on its UART, as its bytes look to a host.

Written from the packet and field descriptions of mip_sdk's documentation (MIT). Shares nothing with the driver. Powers
up idle. With the option time = "gps" it is a 3DM-GX5-25: no reference time, GPS time running freely.
"""

from __future__ import annotations

import math
import struct
from collections.abc import Mapping, Sequence
from typing import Any

from firmware_bridge.emulators.base import NEVER, Emulator
from firmware_bridge.emulators.physics import ImuSample

UNKNOWN, PARAMETER = 1, 3
G, DEG = 9.80665, math.pi / 180


class MipEmulator(Emulator):
    """Options of the driver read here: latency_us, time. Of its own: clock_ppm."""

    def __init__(self, physics: Any, options: Mapping[str, object] | None = None) -> None:
        super().__init__(physics, options)
        self.latency_ns = int(1e3 * float(str(self.options.get("latency_us", 1000.0))))
        self.rate = 1.0 + 1e-6 * float(str(self.options.get("clock_ppm", 0.0)))
        self.old = self.options.get("time") == "gps"
        self.base_hz = 500 if self.old else 1000
        self.known = {0x04, 0x05, 0x06, 0x12} if self.old else {0x04, 0x05, 0x06, 0x12, 0x18, 0xD5}

    def power_up(self, now_ns: int) -> None:
        self._tail = b""
        self._start_ns = now_ns
        self._count = 0
        self.format: list[tuple[int, int]] = []
        self.streaming = False
        self.idle = True

    def next_ns(self) -> int:
        live = self.streaming and self.format and not self.idle
        return self._tick_ns(self._count + 1) if live else NEVER

    def _tick_ns(self, count: int) -> int:
        return self._start_ns + int(count * 1e9 / self.base_hz / self.rate)

    def service(self, now_ns: int) -> None:
        while self._tick_ns(self._count + 1) <= now_ns:
            self._count += 1
            due = [descriptor for descriptor, decimation in self.format if self._count % decimation == 0]
            if due:
                self._data(due, self._tick_ns(self._count))

    def _data(self, due: list[int], t_ns: int) -> None:
        sample: ImuSample = self.physics.sample(t_ns)
        measured_ns = sample.t_ns if sample.t_ns >= 0 else t_ns
        device_ns = max(0, int((measured_ns - self._start_ns) * self.rate))
        values = {
            0x04: b"".join(struct.pack(">f", x / G) for x in sample.accel_m_s2),
            0x05: b"".join(struct.pack(">f", x) for x in sample.gyro_rad_s),
            0x06: bytes(12),
            0x12: struct.pack(">d", device_ns * 1e-9) + b"\x08\x9c\x00\x00",
            0x18: struct.pack(">H", _over(sample.accel_m_s2, 8 * G) | _over(sample.gyro_rad_s, 500 * DEG) << 4),
            0xD5: device_ns.to_bytes(8, "big"),
        }
        self._packet(0x80, [(descriptor, values[descriptor]) for descriptor in due], t_ns + self.latency_ns)

    def feed(self, data: bytes, now_ns: int) -> None:
        self._tail = (self._tail + data)[-1024:]
        while (start := self._tail.find(b"ue")) >= 0:
            self._tail = self._tail[start:]
            if len(self._tail) < 4 or len(self._tail) < self._tail[3] + 6:
                return
            size = self._tail[3] + 6
            packet = self._tail[:size]
            if packet[-2:] != _sums(packet[:-2]):
                self._tail = self._tail[2:]
                continue
            self._tail = self._tail[size:]
            at = 4
            while at + 1 < size - 2 and packet[at] >= 2:
                self._command(packet[2], packet[at + 1], packet[at + 2 : at + packet[at]], now_ns)
                at += packet[at]

    def _command(self, group: int, number: int, data: bytes, now_ns: int) -> None:
        fields: list[tuple[int, bytes]] = []
        code = 0
        if (group, number) == (0x01, 0x02):
            self.idle = True
        elif (group, number) == (0x01, 0x06):
            self.idle = False
            self._count = int((now_ns - self._start_ns) * self.rate * self.base_hz / 1e9)
        elif (group, number) == (0x01, 0x03):
            fields.append((0x81, self._info()))
        elif (group, number) == (0x0C, 0x0E):
            fields.append((0x8E, data[:1] + struct.pack(">H", self.base_hz)))
            code = 0 if data[:1] == b"\x80" else PARAMETER
        elif (group, number) == (0x0C, 0x0F):
            code = self._format(data, fields)
        elif (group, number) == (0x0C, 0x11) and len(data) == 3 and data[1] == 0x80:
            self.streaming = bool(data[2]) if data[0] == 1 else self.streaming
        elif (group, number) != (0x01, 0x01):
            code = UNKNOWN
        self._packet(group, [(0xF1, bytes([number, code])), *(fields if code == 0 else ())], now_ns)

    def _format(self, data: bytes, fields: list[tuple[int, bytes]]) -> int:
        if len(data) >= 2 and data[1] != 0x80 or len(data) < 2:
            return PARAMETER
        if data[0] == 2:
            listed = b"".join(struct.pack(">BH", *item) for item in self.format)
            fields.append((0x8F, bytes([0x80, len(self.format)]) + listed))
            return 0
        if data[0] != 1 or len(data) < 3 or len(data) != 3 + 3 * data[2]:
            return PARAMETER
        new = [struct.unpack_from(">BH", data, 3 + 3 * i) for i in range(data[2])]
        if any(descriptor not in self.known or decimation < 1 for descriptor, decimation in new):
            return PARAMETER
        self.format = [(int(a), int(b)) for a, b in new]
        return 0

    def _info(self) -> bytes:
        name = "3DM-GX5-25" if self.old else "3DM-CV7-AHRS"
        texts = (name, "6286-4220", "6286.100357", "I10P", "8g, 500d/s")
        return struct.pack(">H", 1105) + b"".join(text.rjust(16).encode() for text in texts)

    def _packet(self, group: int, fields: list[tuple[int, bytes]], t_ns: int) -> None:
        body = b"".join(bytes([2 + len(value), number]) + value for number, value in fields)
        head = b"ue" + bytes([group, len(body)]) + body
        self.send(head + _sums(head), t_ns)


def _over(values: Sequence[float], most: float) -> int:
    """A bit for each axis at its end of scale."""
    return sum((abs(value) >= most) << axis for axis, value in enumerate(values))


def _sums(data: bytes) -> bytes:
    a = b = 0
    for byte in data:
        a = a + byte & 0xFF
        b = b + a & 0xFF
    return bytes([a, b])
