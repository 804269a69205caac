"""Damage for tests: every single bit of a frame, flipped."""

from __future__ import annotations

from collections.abc import Iterator


def flipped(frame: bytes) -> Iterator[bytes]:
    for bit in range(8 * len(frame)):
        data = bytearray(frame)
        data[bit // 8] ^= 1 << bit % 8
        yield bytes(data)
