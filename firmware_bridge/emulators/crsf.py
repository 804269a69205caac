"""An ExpressLRS receiver's CRSF output: channels at 150 Hz, link statistics at 10 Hz.

Written from the published CRSF specification (tbs-fpv/tbs-crsf-spec). Shares nothing with the driver. In failsafe it
sends no channels, and statistics with quality 0.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from firmware_bridge.emulators.base import Emulator


class CrsfEmulator(Emulator):
    """Of its own: rate_hz, no_pulses (in failsafe: none, else the last channels go on)."""

    def __init__(self, physics: Any, options: Mapping[str, object] | None = None) -> None:
        super().__init__(physics, options)
        self.rate_hz = float(str(self.options.get("rate_hz", 150.0)))
        self.no_pulses = bool(self.options.get("no_pulses", True))

    def power_up(self, now_ns: int) -> None:
        self._start_ns, self._count = now_ns, 0

    def next_ns(self) -> int:
        return self._start_ns + int((self._count + 1) * 1e9 / self.rate_hz)

    def feed(self, data: bytes, now_ns: int) -> None:
        """Telemetry to the transmitter is not looked at."""

    def service(self, now_ns: int) -> None:
        while self.next_ns() <= now_ns:
            t_ns = self.next_ns()
            self._count += 1
            sticks = self.physics.sticks(t_ns)
            if self._count % max(1, round(self.rate_hz / 10)) == 1:
                quality = 0 if sticks.failsafe else sticks.link_quality
                rssi = -sticks.rssi_dBm & 255
                stats = bytes([rssi, rssi + 5 & 255, quality, sticks.snr_dB & 255, 0, 7, 3, rssi, quality, 5])
                self.send(_frame(0x14, stats), t_ns)
            if not (sticks.failsafe and self.no_pulses):
                self.send(_frame(0x16, _packed(sticks.channel)), t_ns)


def _packed(channel: tuple[float, ...]) -> bytes:
    out, held, bits = bytearray(), 0, 0
    for value in channel[:16]:
        held |= max(0, min(1984, round(992 + 820 * value))) << bits
        bits += 11
        while bits >= 8:
            out.append(held & 255)
            held >>= 8
            bits -= 8
    return bytes(out)


def _frame(kind: int, payload: bytes) -> bytes:
    crc = 0
    for byte in (kind, *payload):
        crc ^= byte
        for _ in range(8):
            crc = crc << 1 ^ 0xD5 if crc & 0x80 else crc << 1
        crc &= 0xFF
    return bytes([0xC8, len(payload) + 2, kind]) + payload + bytes([crc])
