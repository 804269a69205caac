"""Cutting a byte stream into frames: checks, COBS, lines and binary frames with resynchronisation.

The framers keep a partial frame between calls, are bounded in memory, and after a bad frame look again one byte
further on, so a good frame that starts inside a damaged one is still found.
"""

from __future__ import annotations

import math
from collections.abc import Callable

from fastcrc import crc16

Check = Callable[[bytes], int]

xmodem: Check = crc16.xmodem  # VESC, VectorNav
mcrf4xx: Check = crc16.mcrf4xx  # STorM32, MAVLink
umts: Check = crc16.umts  # Dynamixel
arc: Check = crc16.arc  # SimpleBGC32, then bit-reversed


def _crc8_table(poly: int) -> bytes:
    table = bytearray(256)
    for i in range(256):
        crc = i
        for _ in range(8):
            crc = ((crc << 1) ^ poly if crc & 0x80 else crc << 1) & 0xFF
        table[i] = crc
    return bytes(table)


CRC8_97 = _crc8_table(0x97)


def crc8_97(data: bytes, crc: int = 0) -> int:
    """CRC-8, polynomial 0x97, initial 0: moteus text lines. ``crc``: of what came before."""
    table = CRC8_97
    for byte in data:
        crc = table[crc ^ byte]
    return crc


def xor8(data: bytes) -> int:
    """XOR of all bytes: NMEA and its kin, ODrive ASCII."""
    # A big integer is folded upon itself: its lowest byte then holds the xor of all, log2(n) steps instead of n.
    value = int.from_bytes(data, "little")
    n = len(data)
    if n > 32:
        bits = 256
        while bits < 8 * n:
            bits *= 2
        while bits > 256:
            bits //= 2
            value ^= value >> bits
    value ^= value >> 128
    value ^= value >> 64
    value ^= value >> 32
    value ^= value >> 16
    return (value ^ value >> 8) & 0xFF


def fletcher8(data: bytes) -> tuple[int, int]:
    """The two sums of UBX and MIP, each modulo 256."""
    n = len(data)
    return sum(data) & 0xFF, sum(map(int.__mul__, data, range(n, 0, -1))) & 0xFF


def cobs_encode(data: bytes) -> bytes:
    """Consistent Overhead Byte Stuffing (Cheshire and Baker, 1999, doi 10.1109/90.769765), without the closing 0."""
    out = bytearray()
    blocks = data.split(b"\0")
    for index, block in enumerate(blocks):
        while len(block) >= 254:
            out.append(255)
            out += block[:254]
            block = block[254:]
            if not block and index == len(blocks) - 1:
                return bytes(out)
        out.append(len(block) + 1)
        out += block
    return bytes(out)


def cobs_decode(data: bytes) -> bytes | None:
    """Inverse of cobs_encode; None when the stuffing is inconsistent."""
    out = bytearray()
    i, n = 0, len(data)
    while i < n:
        code = data[i]
        block = data[i + 1 : i + code]
        if code == 0 or len(block) != code - 1 or 0 in block:
            return None
        out += block
        i += code
        if code < 255 and i < n:
            out.append(0)
    return bytes(out)


class LineFramer:
    """Text lines ended by LF, CR or both; longer ones than ``max_length`` are thrown away and counted."""

    def __init__(self, max_length: int = 512) -> None:
        self.max_length = max_length
        self.garbage_bytes = 0
        self._tail = b""

    def feed(self, data: bytes) -> list[bytes]:
        """Whole lines, without their ends, empty ones left out."""
        if b"\r" in data:
            data = data.replace(b"\r", b"\n")
        lines = (self._tail + data).split(b"\n")
        tail = lines.pop()
        if len(tail) > self.max_length:
            self.garbage_bytes += len(tail)
            tail = b"\xff"  # marks the rest of this line as garbage: no text protocol here starts a line so
        self._tail = tail
        return [line for line in lines if line and self._fits(line)]

    def _fits(self, line: bytes) -> bool:
        if len(line) <= self.max_length:
            return True
        self.garbage_bytes += len(line)
        return False

    def reset(self) -> None:
        self._tail = b""


class BinaryFramer:
    """Frames that begin with ``sync`` and tell their length in the header.

    length(buffer, start): total bytes of the frame at start, 0 when more bytes are needed to know, -1 when this is
    no header. valid(frame): the check over the whole frame. also: another beginning, where both are one byte.
    """

    def __init__(self, sync: bytes, length: Callable[[bytes, int], int], valid: Callable[[bytes], bool],
                 max_length: int, also: bytes = b"") -> None:  # fmt: skip
        self.sync, self.length, self.valid, self.max_length, self.also = sync, length, valid, max_length, also
        self.garbage_bytes = 0
        self.bad_crc = 0
        self._tail = b""

    def feed(self, data: bytes) -> list[bytes]:
        """Whole frames whose check is right, oldest first."""
        buffer = self._tail + data if self._tail else data
        frames: list[bytes] = []
        at, size, keep = 0, len(buffer), len(self.sync) - 1
        while True:
            start = buffer.find(self.sync, at)
            if self.also and 0 <= (other := buffer.find(self.also, at, start if start >= 0 else size)):
                start = other
            if start < 0:
                start = max(at, size - keep)  # part of a sync word may be at the end
                while start < size and not self.sync.startswith(buffer[start:]):
                    start += 1
                break
            self.garbage_bytes += start - at
            at = start
            total = self.length(buffer, start)
            if total == 0 or 0 < total <= self.max_length and start + total > size:
                break
            frame = buffer[start : start + total]
            if 0 < total <= self.max_length and self.valid(frame):
                frames.append(frame)
                at = start + total
                continue
            self.bad_crc += 0 < total <= self.max_length
            self.garbage_bytes += 1
            at = start + 1
        self.garbage_bytes += start - at
        self._tail = bytes(buffer[start:])
        return frames

    def reset(self) -> None:
        self._tail = b""


def line_time_s(n_bytes: int, baud: float) -> float:
    """Seconds that n bytes take on an 8N1 line: ten bits a byte."""
    return n_bytes * 10 / baud if baud > 0 else math.inf
