"""A radio receiver's SBUS output, as its bytes look after the inverter.

Written from the frame description in PX4's and ArduPilot's decoders. Shares nothing with the driver.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from firmware_bridge.emulators.base import Emulator


class SbusEmulator(Emulator):
    """Of its own: period_ms (14, or 7 in high speed mode), sbus2."""

    def __init__(self, physics: Any, options: Mapping[str, object] | None = None) -> None:
        super().__init__(physics, options)
        self.period_ns = int(1e6 * float(str(self.options.get("period_ms", 14.0))))
        self.footers = (0x04, 0x14, 0x24, 0x34) if self.options.get("sbus2") else (0x00,)

    def power_up(self, now_ns: int) -> None:
        self._next = now_ns + self.period_ns
        self._count = 0

    def next_ns(self) -> int:
        return self._next

    def feed(self, data: bytes, now_ns: int) -> None:
        """One wire, one way."""

    def service(self, now_ns: int) -> None:
        while self._next <= now_ns:
            sticks = self.physics.sticks(self._next)
            self.send(self._frame(sticks), self._next)
            self._next += self.period_ns

    def _frame(self, sticks: Any) -> bytes:
        bits = "".join(format(max(0, min(2047, round(992 + 820 * c))), "011b")[::-1] for c in sticks.channel[:16])
        data = bytes(int(bits[i : i + 8][::-1], 2) for i in range(0, 176, 8))
        flags = (4 if sticks.frame_lost or sticks.failsafe else 0) + (8 if sticks.failsafe else 0)
        footer = self.footers[self._count % len(self.footers)]
        self._count += 1
        return b"\x0f" + data + bytes([flags, footer])
