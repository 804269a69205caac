"""A WitMotion WT901C on its UART, as its bytes look to a host.

Written from the traffic and register list of the witmotion package 0.0.1.dev0 and the maker's description of the 0x55
protocol. Shares nothing with the driver. Powers up sending acceleration, rate, angle and field at 10 Hz.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

from firmware_bridge.emulators.base import NEVER, Emulator
from firmware_bridge.emulators.physics import ImuSample

HZ = {1: 0.2, 2: 0.5, 3: 1, 4: 2, 5: 5, 6: 10, 7: 20, 8: 50, 9: 100, 10: 125, 11: 200}
UNLOCK_NS = 10_000_000_000
G = 9.80665


class WitMotionEmulator(Emulator):
    """Options of the driver read here: latency_us. Of its own: clock_ppm."""

    def __init__(self, physics: Any, options: Mapping[str, object] | None = None) -> None:
        super().__init__(physics, options)
        self.latency_ns = int(1e3 * float(str(self.options.get("latency_us", 5000.0))))
        self.rate = 1.0 + 1e-6 * float(str(self.options.get("clock_ppm", 0.0)))
        self.stored = {0x02: 0x1E, 0x03: 0x06, 0x04: 0x06}

    def power_up(self, now_ns: int) -> None:
        self.registers = dict(self.stored)
        self._tail = b""
        self._start_ns = now_ns
        self._unlocked_until = -1
        self._next = now_ns + self._period_ns() if self._period_ns() else NEVER

    def _period_ns(self) -> int:
        hz = HZ.get(self.registers[0x03], 0)
        return int(1e9 / hz / self.rate) if hz else 0

    def next_ns(self) -> int:
        return self._next

    def service(self, now_ns: int) -> None:
        while self._next <= now_ns:
            self._sample(self._next)
            self._next += self._period_ns()

    def _sample(self, t_ns: int) -> None:
        sample: ImuSample = self.physics.sample(t_ns)
        measured_ns = sample.t_ns if sample.t_ns >= 0 else t_ns
        clock_ms = int((measured_ns - self._start_ns) * self.rate / 1e6)
        out = b""
        temp = round(sample.temp_degC * 100)
        if self.registers[0x02] & 1:
            seconds, ms = divmod(clock_ms, 1000)
            clock = bytes([15, 1, 1 + seconds // 86400 % 28, seconds // 3600 % 24, seconds // 60 % 60, seconds % 60])
            out += _frame(0x50, clock + ms.to_bytes(2, "little"))
        if self.registers[0x02] & 2:
            out += _words(0x51, [x / (16 * G) * 32768 for x in sample.accel_m_s2], temp)
        if self.registers[0x02] & 4:
            out += _words(0x52, [math.degrees(x) / 2000 * 32768 for x in sample.gyro_rad_s], temp)
        if self.registers[0x02] & 8:
            out += _words(0x53, [0, 0, 0], 0x1234)
        if self.registers[0x02] & 16:
            out += _words(0x54, [200, -100, 400], temp)
        self.send(out, t_ns + self.latency_ns)

    def feed(self, data: bytes, now_ns: int) -> None:
        self._tail = (self._tail + data)[-64:]
        while (start := self._tail.find(b"\xff\xaa")) >= 0:
            self._tail = self._tail[start:]
            if len(self._tail) < 5:
                return
            register, value = self._tail[2], int.from_bytes(self._tail[3:5], "little")
            self._tail = self._tail[5:]
            self._command(register, value, now_ns)

    def _command(self, register: int, value: int, now_ns: int) -> None:
        if register == 0x69:
            self._unlocked_until = now_ns + UNLOCK_NS if value == 0xB588 else -1
        elif register == 0x27:
            words = [self.registers.get(value + i, 0) for i in range(4)]
            self.send(_frame(0x5F, b"".join((w & 0xFFFF).to_bytes(2, "little") for w in words)), now_ns)
        elif now_ns > self._unlocked_until:
            return  # locked: silently ignored
        elif register == 0x00:
            self.stored = dict(self.registers) if value == 0 else {0x02: 0x1E, 0x03: 0x06, 0x04: 0x06}
        elif register in self.registers:
            self.registers[register] = value
            if register == 0x03:
                self._next = now_ns + self._period_ns() if self._period_ns() else NEVER


def _words(kind: int, three: list[float], fourth: int) -> bytes:
    words = [max(-32768, min(32767, round(x))) for x in (*three, fourth)]
    return _frame(kind, b"".join(w.to_bytes(2, "little", signed=True) for w in words))


def _frame(kind: int, payload: bytes) -> bytes:
    total = 0x55 + kind
    for byte in payload:
        total += byte
    return bytes([0x55, kind]) + payload + bytes([total % 256])
