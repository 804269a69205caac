"""How bytes travel: a UART at its baud, USB full speed in 1 ms frames; and what can go wrong on the way, seeded."""

from __future__ import annotations

import random
from dataclasses import dataclass, field


class UartLine:
    """8N1: ten bits a byte, one byte after the other (8E2: twelve)."""

    def __init__(self, baud: float, bits: int = 10) -> None:
        self.byte_ns = bits * 1e9 / baud
        self._free_ns = 0.0

    def schedule(self, t_ns: int, n: int) -> tuple[int, float]:
        """When the first of n bytes handed over at t_ns starts, and ns a byte from there."""
        start = max(float(t_ns), self._free_ns)
        self._free_ns = start + n * self.byte_ns
        return int(start), self.byte_ns


class UsbLine:
    """Full-speed bulk: what is handed over in one 1 ms frame crosses at the next one's start, at most 19 packets of
    64 bytes a frame (USB 2.0 specification, table 5-9)."""

    FRAME_NS = 1_000_000
    FRAME_BYTES = 19 * 64

    def __init__(self, phase_ns: int = 0) -> None:
        self.phase_ns = phase_ns % self.FRAME_NS
        self._frame = -1
        self._used = 0

    def schedule(self, t_ns: int, n: int) -> tuple[int, float]:
        frame = (t_ns - self.phase_ns) // self.FRAME_NS + 1
        if frame > self._frame:
            self._frame, self._used = frame, 0
        self._used += n
        while self._used > self.FRAME_BYTES:
            self._frame += 1
            self._used -= self.FRAME_BYTES
        return self._frame * self.FRAME_NS + self.phase_ns, 0.0


class FreeLine:
    """No pacing: for measuring host software alone."""

    def schedule(self, t_ns: int, n: int) -> tuple[int, float]:
        return t_ns, 0.0


Line = UartLine | UsbLine | FreeLine


def make_line(kind: str, baud: float) -> Line:
    """A line of the registry's kind, "uart", "uart8e2", "usb" or "free"."""
    if kind == "usb":
        return UsbLine()
    if kind == "uart8e2":
        return UartLine(baud, 12)
    return UartLine(baud) if kind == "uart" else FreeLine()


@dataclass
class Faults:
    """Chances per frame handed to the line (flip: per byte). All zero: a perfect line. Same seed, same faults."""

    seed: int = 1
    drop: float = 0.0
    flip: float = 0.0
    truncate: float = 0.0
    duplicate: float = 0.0
    garbage: float = 0.0
    delay: float = 0.0
    delay_ns: int = 5_000_000
    stalled_until_ns: int = 0  # the line carries nothing before; then all at once
    late_ns: int = 0  # every frame comes this much later
    reorder: float = 0.0  # a frame waits for the next one and comes after it
    thin: bool = False  # every second frame is missing: half speed
    babble: bool = False  # bytes of another kind of device in place of each frame
    speed: float = 1.0  # the reader's baud over the sender's
    count: int = 0
    _held: bytes = b""
    _odd: bool = False
    _rng: random.Random = field(default_factory=random.Random)

    def __post_init__(self) -> None:
        self._rng = random.Random(self.seed)

    def apply(self, t_ns: int, data: bytes) -> list[tuple[int, bytes]]:
        """What becomes of one frame."""
        t_ns = max(t_ns + self.late_ns, self.stalled_until_ns)
        if self.speed != 1.0:
            self.count += 1
            data = at_another_speed(data, self.speed)
        if self.thin or self.babble or self.reorder or self._held:
            return self._mixed_up(t_ns, data)
        if not (self.drop or self.flip or self.truncate or self.duplicate or self.garbage or self.delay):
            return [(t_ns, data)]
        rng = self._rng
        before = data
        if rng.random() < self.drop:
            self.count += 1
            return []
        if rng.random() < self.truncate:
            data = data[: rng.randrange(len(data))] if data else data
        if self.flip:
            data = bytes(b ^ (1 << rng.randrange(8)) if rng.random() < self.flip else b for b in data)
        if rng.random() < self.garbage:
            data = rng.randbytes(rng.randrange(1, 24)) + data
        if rng.random() < self.delay:
            t_ns += rng.randrange(self.delay_ns)
        frames = [(t_ns, data)]
        if rng.random() < self.duplicate:
            frames.append((t_ns, data))
        self.count += frames != [(t_ns, before)]
        return frames

    def _mixed_up(self, t_ns: int, data: bytes) -> list[tuple[int, bytes]]:
        """Frames missing, of another device, or out of order."""
        self.count += 1
        if self.thin:
            self._odd = not self._odd
            return [] if self._odd else [(t_ns, data)]
        if self.babble:
            return [(t_ns, (_BABBLE * (1 + len(data) // len(_BABBLE)))[: len(data)])]
        if self._held:
            held, self._held = self._held, b""
            return [(t_ns, data), (t_ns, held)]
        if self._rng.random() < self.reorder:
            self._held = data
            return []
        return [(t_ns, data)]


_BABBLE = b"$PXYZ,4807.038,N,01131.000,E,1,08,0.9,545.4,M*47\r\n\xb5\x00\xaa"


def at_another_speed(data: bytes, ratio: float) -> bytes:
    """What a UART of ``ratio`` times the sender's baud makes of 8N1 bytes sent one after the other: it looks at the
    middle of its own bits from each falling edge on; a byte without its stop bit is handed on all the same."""
    levels = [1]
    for byte in data:
        levels += [0, *(byte >> bit & 1 for bit in range(8)), 1]
    read, at = bytearray(), 1
    while at < len(levels):
        if levels[at] or not levels[at - 1]:
            at += 1
            continue
        seen = [levels[i] if (i := at + int((k + 0.5) / ratio)) < len(levels) else 1 for k in range(1, 9)]
        read.append(sum(bit << k for k, bit in enumerate(seen)))
        at += max(1, int(9.5 / ratio))
    return bytes(read)
