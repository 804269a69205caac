"""An Xsens MTi-630 on its UART, as its bytes look to a host.

Written from the MT low level communication protocol as ethz-asl/ethzasl_xsens_driver and its recorded traffic show it.
Shares nothing with the driver. Powers up measuring: counter, time and quaternion at 100 Hz; the output configuration
is kept over a power cycle, as the device does.
"""

from __future__ import annotations

import math
import struct
from collections.abc import Mapping
from typing import Any

from firmware_bridge.emulators.base import NEVER, Emulator
from firmware_bridge.emulators.physics import ImuSample

FACTORY = ((0x1020, 0xFFFF), (0x1060, 0xFFFF), (0x2010, 100), (0xE020, 0xFFFF))
SIZES = {0x10: {0x20: 2, 0x60: 4}, 0x20: {0x10: 16, 0x30: 12}, 0x40: {0x20: 12, 0x40: 12}, 0x80: {0x20: 12, 0x40: 12},
         0xC0: {0x20: 12}, 0xE0: {0x20: 4}, 0x08: {0x10: 4}}  # fmt: skip
TOP_HZ = {0x4040: 2000, 0x8040: 1600, 0x0810: 1, 0xC020: 100}
BASE_HZ = 2000


class XsensEmulator(Emulator):
    """Options of the driver read here: latency_us. Of its own: clock_ppm, product."""

    def __init__(self, physics: Any, options: Mapping[str, object] | None = None) -> None:
        super().__init__(physics, options)
        self.latency_ns = int(1e3 * float(str(self.options.get("latency_us", 2000.0))))
        self.rate = 1.0 + 1e-6 * float(str(self.options.get("clock_ppm", 0.0)))
        self.product = str(self.options.get("product", "MTi-630-8A1G6")).ljust(20).encode()
        self.outputs: list[tuple[int, int]] = list(FACTORY)

    def power_up(self, now_ns: int) -> None:
        self._tail = b""
        self._start_ns = now_ns
        self._count = self._packet = 0
        self.measuring = True
        self._message(0x3E, b"", now_ns)

    def next_ns(self) -> int:
        return self._tick_ns(self._count + self._step()) if self.measuring and self._step() else NEVER

    def _step(self) -> int:
        """2 kHz ticks between packets: the fastest output sets it."""
        top = max((hz for _, hz in self.outputs if 0 < hz < 0xFFFF), default=0)
        return BASE_HZ // top if top else 0

    def _tick_ns(self, count: int) -> int:
        return self._start_ns + int(count * 1e9 / BASE_HZ / self.rate)

    def service(self, now_ns: int) -> None:
        step = self._step()
        while self.measuring and step and self._tick_ns(self._count + step) <= now_ns:
            self._count += step
            self._data(self._tick_ns(self._count))

    def _data(self, t_ns: int) -> None:
        sample: ImuSample = self.physics.sample(t_ns)
        measured_ns = sample.t_ns if sample.t_ns >= 0 else t_ns
        self._packet = self._packet + 1 & 0xFFFF
        body = b""
        for identifier, hz in self.outputs:
            if hz == 0xFFFF or hz and self._count % (BASE_HZ // hz) == 0:
                value = self._value(identifier, measured_ns, sample)
                body += identifier.to_bytes(2, "big") + bytes([len(value)]) + value
        self._message(0x36, body, t_ns + self.latency_ns)

    def _value(self, identifier: int, t_ns: int, sample: ImuSample) -> bytes:
        group = identifier & 0xFFF0
        if group == 0x1020:
            return self._packet.to_bytes(2, "big")
        if group == 0x1060:
            return (int((t_ns - self._start_ns) * self.rate / 1e5) & 0xFFFFFFFF).to_bytes(4, "big")
        if group in (0x4020, 0x4040):
            return b"".join(struct.pack(">f", x) for x in sample.accel_m_s2)
        if group in (0x8020, 0x8040):
            return b"".join(struct.pack(">f", x) for x in sample.gyro_rad_s)
        if group == 0x2010:
            return struct.pack(">f", 1.0) + bytes(12)
        if group == 0xE020:
            clip = sum(1 << 11 + i for i, g in enumerate(sample.gyro_rad_s) if abs(g) > math.radians(2000))
            clip |= sum(1 << 8 + i for i, a in enumerate(sample.accel_m_s2) if abs(a) > 10 * 9.80665)
            return (0x03 | clip | (1 << 19 if clip else 0)).to_bytes(4, "big")
        return bytes(SIZES[group >> 8][group & 0xFF])

    def feed(self, data: bytes, now_ns: int) -> None:
        self._tail = (self._tail + data)[-1024:]
        while (start := self._tail.find(b"\xfa\xff")) >= 0:
            self._tail = self._tail[start:]
            if len(self._tail) < 5:
                return
            size = self._tail[3]
            if size == 255:  # nothing this long is taken
                self._tail = self._tail[2:]
                continue
            if len(self._tail) < size + 5:
                return
            message = self._tail[: size + 5]
            if sum(message[1:]) % 256:
                self._tail = self._tail[2:]
                continue
            self._tail = self._tail[size + 5 :]
            self._command(message[2], message[4:-1], now_ns)

    def _command(self, mid: int, data: bytes, now_ns: int) -> None:
        if mid == 0x30:
            self.measuring = False
            self._message(0x31, b"", now_ns)
        elif mid == 0x10:
            self.measuring = True
            self._count = int((now_ns - self._start_ns) * self.rate * BASE_HZ / 1e9)
            step = self._step() or 1
            self._count -= self._count % step
            self._message(0x11, b"", now_ns)
        elif self.measuring:
            self._message(0x42, b"\x04", now_ns)  # only in config
        elif mid in (0x00, 0x1C, 0x12):
            answer = {0x00: b"\x07\x70\x23\x45", 0x1C: self.product, 0x12: b"\x01\x0a\x00"}[mid]
            self._message(mid + 1, answer, now_ns)
        elif mid == 0xC0:
            self._configure(data, now_ns)
        else:
            self._message(0x42, b"\x04", now_ns)

    def _configure(self, data: bytes, now_ns: int) -> None:
        if len(data) % 4:
            return self._message(0x42, b"\x04", now_ns)
        new = []
        for at in range(0, len(data), 4):
            identifier, hz = int.from_bytes(data[at : at + 2], "big"), int.from_bytes(data[at + 2 : at + 4], "big")
            group = identifier & 0xFFF0
            if group & 0xFF not in SIZES.get(group >> 8, {}) or identifier & 3:
                return self._message(0x42, b"\x21", now_ns)
            if hz != 0xFFFF and hz:
                top = TOP_HZ.get(group, 400)
                hz = min(hz, top)
                while BASE_HZ % hz:  # the device takes the next rate that it can divide to
                    hz -= 1
            new.append((identifier, hz))
        self.outputs = new
        self._message(0xC1, b"".join(i.to_bytes(2, "big") + h.to_bytes(2, "big") for i, h in new), now_ns)

    def _message(self, mid: int, data: bytes, t_ns: int) -> None:
        body = bytes([0xFF, mid, len(data)]) + data
        self.send(b"\xfa" + body + bytes([(256 - sum(body) % 256) % 256]), t_ns)
