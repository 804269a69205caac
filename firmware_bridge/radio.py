"""What SBUS and CRSF share: sixteen 11-bit channels, gates against damaged frames, silence."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from firmware_bridge.interface import RadioDriver
from firmware_bridge.row_driver import RowDriver

CHANNELS = 16
CENTRE, HALF = 992, 820  # 172 is -1, 1811 is 1 less a step
LOW, HIGH = 100, 1950  # beyond any transmitter's extended ends


def unpack_channels(data: bytes) -> list[int]:
    """22 bytes, least significant bit first."""
    bits = int.from_bytes(data, "little")
    return [bits >> 11 * i & 0x7FF for i in range(CHANNELS)]


def pack_channels(raw: Sequence[int]) -> bytes:
    """Inverse of unpack_channels."""
    return sum((value & 0x7FF) << 11 * i for i, value in enumerate(raw)).to_bytes(22, "little")


class StepGate:
    """Rate of change, per channel: a jump beyond max_step is taken when the next frame jumps the same way, and then
    only as far as the nearer of the two. One damaged frame thus moves a channel by max_step at most; a switch comes one
    frame late. Values out of range keep the last."""

    def __init__(self, max_step: int) -> None:
        self.max_step = max_step
        self.held_back = 0
        self.reset()

    def reset(self) -> None:
        self._last: list[int] | None = None
        self._waiting = [0] * CHANNELS

    def check(self, raw: Sequence[int]) -> list[int] | None:
        """The channels to use; None for the first frame, which has nothing to be held against."""
        if self._last is None:
            self._last = [value if LOW <= value <= HIGH else CENTRE for value in raw]
            return None
        for i, value in enumerate(raw):
            if LOW <= value <= HIGH:
                self._last[i] = self._step(i, self._last[i], value)
        return list(self._last)

    def _step(self, i: int, last: int, value: int) -> int:
        jump, waiting = value - last, self._waiting[i]
        self._waiting[i] = 0
        if abs(jump) <= self.max_step:
            return value
        if jump * waiting > 0:
            taken = jump if abs(jump) < abs(waiting) else waiting
            self._waiting[i] = jump - taken  # a stick in full swing follows one frame behind
            return last + taken
        self._waiting[i] = jump
        self.held_back += 1
        return last


class ChannelDriver(RowDriver, RadioDriver):
    """A receiver of sixteen channels. Silence beyond ``timeout_ms`` gives one row with failsafe set."""

    def start_radio(self) -> None:
        """Call in ``setup`` and ``configure``."""
        self._channels = (0.0,) * CHANNELS
        self._heard_ns = self._last_ns = -1
        self._link = (255, 0, 0)  # quality, RSSI, SNR

    def give(self, raw: Sequence[int], lost: bool, failsafe: bool, arrival_ns: int, line_ns: int) -> None:
        """A row of one frame."""
        self._channels = tuple((value - CENTRE) / HALF for value in raw)
        self._heard_ns = arrival_ns
        self._row(max(arrival_ns - line_ns, self._last_ns + 1), arrival_ns, lost, failsafe)

    def _row(self, t_ns: int, arrival_ns: int, lost: bool, failsafe: bool) -> None:
        self._last_ns = t_ns
        self.queue((t_ns, arrival_ns, self._channels, CHANNELS, int(lost), int(failsafe), *self._link))

    def poll(self, rows: np.ndarray) -> int:
        n = super().poll(rows)
        if n > 0 or self._heard_ns < 0:
            return n
        now_ns = self.transport.clock()
        if now_ns - self._heard_ns <= 1e6 * self.options["timeout_ms"]:
            return n
        self._heard_ns = -1  # said once
        self._row(max(now_ns, self._last_ns + 1), now_ns, True, True)
        rows[0] = self._pending.popleft()
        self.counters.rows += 1
        return 1
