"""The layout of a moteus CAN frame, worked out once and kept: hosts send the same layouts a thousand times a second."""

from __future__ import annotations

import math
import struct
from collections.abc import Callable, Collection

from firmware_bridge.emulators.moteus_registers import FORMATS, MIN_RAW, scale_of

NOP = 0x50
READ_ERROR = 0x31
_UNKNOWN_REGISTER = 4


class Layout:
    """What a frame writes and reads, all but the values.

    writes: (register, worth of a count or None, raw NaN or None). reads: (register, worth of a count or None, lowest
    count or None) in the order of ``reply``'s values.
    """

    def __init__(self, data: bytes, known: Collection[int]) -> None:
        self.writes: list[tuple[int, float | None, int | None]] = []
        self.reads: list[tuple[int, float | None, int | None]] = []
        take, say, at = "<", "<", 0
        constants = bytearray()
        self._pieces: list[bytes] = []
        value_spans = []
        while at < len(data):
            if data[at] == NOP:
                take, at = take + "x", at + 1
                continue
            kind, resolution, count, start, after = subframe_head(data, at)
            if kind is None:
                break  # what this firmware doesn't know: the rest is not looked at
            width = struct.calcsize(FORMATS[resolution])
            if kind == "write":
                if after + width * count > len(data):
                    break
                take += "x" * (after - at) + FORMATS[resolution] * count
                value_spans.append((after, after + width * count))
                self.writes += [self._place(start + i, resolution) for i in range(count)]
                at = after + width * count
                continue
            take += "x" * (after - at)
            at = after
            bad = next((start + i for i in range(count) if start + i not in known), None)
            if bad is not None:
                constants += bytes([READ_ERROR]) + varuint(bad) + bytes([_UNKNOWN_REGISTER])
                continue
            constants += bytes([0x20 | resolution << 2 | (count if count < 4 else 0)])
            constants += (b"" if count < 4 else varuint(count)) + varuint(start)
            say += f"{len(constants)}s" + FORMATS[resolution] * count
            self._pieces.append(bytes(constants))
            constants.clear()
            self.reads += [(-1, None, None), *(self._place(start + i, resolution) for i in range(count))]
        if constants:
            say += f"{len(constants)}s"
            self._pieces.append(bytes(constants))
            self.reads.append((-1, None, None))
        self._take, self._say = struct.Struct(take), struct.Struct(say)
        self.size = len(data)
        self._mask = int.from_bytes(_mask(len(data), value_spans), "little")
        self._fixed = int.from_bytes(data, "little") & self._mask

    def _place(self, register: int, resolution: int) -> tuple[int, float | None, int | None]:
        if resolution == 3:
            return register, None, None
        # A plain number keeps its bits; one with a unit has its lowest count for NaN.
        return register, scale_of(register, resolution) or 0.0, MIN_RAW[resolution]

    def fits(self, data: bytes) -> bool:
        return len(data) == self.size and int.from_bytes(data, "little") & self._mask == self._fixed

    def written(self, data: bytes) -> list[tuple[int, float]]:
        """(register, value in the protocol's units), in order."""
        raw = self._take.unpack_from(data)
        return [
            (register, value if not lsb else math.nan if value == low else value * lsb)
            for (register, lsb, low), value in zip(self.writes, raw)
        ]

    def reply(self, read: Callable[[int], float]) -> bytes:
        """The answer to what the frame reads."""
        pieces = iter(self._pieces)
        values: list[object] = []
        for register, lsb, low in self.reads:
            if register < 0:
                values.append(next(pieces))
            elif low is None:
                values.append(read(register))
            else:
                values.append(_count(read(register), lsb or 0.0, low))
        return self._say.pack(*values)


def _count(value: float, lsb: float, low: int) -> int:
    if lsb:
        return low if not math.isfinite(value) else max(low + 1, min(-low - 1, round(value / lsb)))
    span = -2 * low  # a plain number: cut to size, as the firmware's cast does
    return (int(value) + span // 2) % span - span // 2 if math.isfinite(value) else 0


def _mask(size: int, spans: list[tuple[int, int]]) -> bytes:
    mask = bytearray(b"\xff" * size)
    for start, end in spans:
        mask[start:end] = bytes(end - start)
    return bytes(mask)


def subframe_head(data: bytes, at: int) -> tuple[str | None, int, int, int, int]:
    """kind, resolution, count, first register, place of what follows; kind None: not understood."""
    code = data[at]
    at += 1
    if code >= 0x20:
        return None, 0, 0, 0, at
    resolution, count = code >> 2 & 3, code & 3
    try:
        if count == 0:
            count, at = take_varuint(data, at)
        start, at = take_varuint(data, at)
    except IndexError:
        return None, 0, 0, 0, at
    if count > 32:  # more than any frame can hold
        return None, 0, 0, 0, at
    return ("read" if code & 0x10 else "write"), resolution, count, start, at


def take_varuint(data: bytes, at: int) -> tuple[int, int]:
    value, shift = 0, 0
    while True:
        byte = data[at]
        value |= (byte & 0x7F) << shift
        at, shift = at + 1, shift + 7
        if byte < 0x80 or shift > 28:
            return value, at


def varuint(value: int) -> bytes:
    out = bytearray()
    while value > 0x7F:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    return bytes([*out, value])
