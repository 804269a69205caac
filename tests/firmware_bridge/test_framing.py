"""Checks against published check values and slow oracles; framers resynchronise and stay bounded."""

from __future__ import annotations

import itertools
import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from firmware_bridge import framing
from firmware_bridge.drivers import moteus_codec
from firmware_bridge.framing import BinaryFramer, LineFramer

DIGITS = b"123456789"


def crc8_by_bits(data: bytes) -> int:
    crc = 0
    for byte in data:
        crc ^= byte
        for _ in range(8):
            crc = (crc << 1) ^ (0x197 if crc & 0x80 else 0)
    return crc


@pytest.mark.parametrize("check, value", [("xmodem", 0x31C3), ("mcrf4xx", 0x6F91), ("umts", 0xFEE8), ("arc", 0xBB3D)])
def test_published_check_values(check, value):
    assert getattr(framing, check)(DIGITS) == value


@given(st.binary(max_size=300))
def test_crc8_three_ways(data):
    assert framing.crc8_97(data) == crc8_by_bits(data) == moteus_codec.crc8(data)


@given(st.binary(max_size=100))
def test_sums_against_their_definitions(data):
    assert framing.fletcher8(data) == (sum(data) & 255, sum(itertools.accumulate(data)) & 255)
    total = 0
    for byte in data:
        total ^= byte
    assert framing.xor8(data) == total


@given(st.binary(max_size=600))
def test_cobs_round_trip(data):
    stuffed = framing.cobs_encode(data)
    assert 0 not in stuffed and len(stuffed) <= len(data) + 1 + len(data) // 254
    assert framing.cobs_decode(stuffed) == data


@pytest.mark.parametrize("n", [0, 253, 254, 255, 508, 509])
def test_cobs_block_borders(n):
    assert framing.cobs_decode(framing.cobs_encode(b"\x01" * n)) == b"\x01" * n
    assert framing.cobs_decode(framing.cobs_encode(b"\x01" * n + b"\0")) == b"\x01" * n + b"\0"


@pytest.mark.parametrize("bad", [b"\x00", b"\x05\x01", b"\x03\x01\x00"])
def test_cobs_inconsistent(bad):
    assert framing.cobs_decode(bad) is None


def toy_framer() -> BinaryFramer:
    """AA 55, length of the payload, payload, sum."""
    return BinaryFramer(b"\xaa\x55", lambda b, s: 0 if len(b) < s + 3 else 4 + b[s + 2],
                        lambda f: sum(f[:-1]) & 255 == f[-1], 64)  # fmt: skip


def toy_frame(payload: bytes) -> bytes:
    head = b"\xaa\x55" + bytes([len(payload)]) + payload
    return head + bytes([sum(head) & 255])


@given(st.lists(st.binary(max_size=60), max_size=8), st.integers(1, 7))
def test_frames_come_through_however_they_are_cut(payloads, step):
    framer, stream = toy_framer(), b"".join(map(toy_frame, payloads))
    got = [frame for i in range(0, len(stream), step) for frame in framer.feed(stream[i : i + step])]
    assert got == [toy_frame(p) for p in payloads]
    assert framer.garbage_bytes == 0


def test_a_good_frame_inside_a_damaged_one_is_found():
    framer, good = toy_framer(), toy_frame(b"good")
    assert framer.feed(b"\xaa\x55\x30" + good + b"x" * 60) == [good]
    assert framer.bad_crc == 1


@given(st.binary(max_size=400))
def test_next_good_frame_after_any_bytes(junk):
    framer, good = toy_framer(), toy_frame(b"the next good one")
    framer.feed(junk)
    # A header in the junk may claim up to 64 bytes more: silence or frames that long settle it.
    assert good in framer.feed(good + bytes(64) + good)


def test_lines_are_cut_at_either_end_and_bounded():
    framer = LineFramer(20)
    assert framer.feed(b"one\r\ntwo\nth") == [b"one", b"two"]
    assert framer.feed(b"ree\r\r\n\n") == [b"three"]
    for _ in range(100):
        assert framer.feed(b"x" * 50) == []
    assert framer.feed(b"\nok\n")[-1:] == [b"ok"]
    assert framer.garbage_bytes >= 5000


def test_line_framer_random_bytes():
    framer, rng = LineFramer(64), random.Random(3)
    for _ in range(2000):
        for line in framer.feed(rng.randbytes(rng.randrange(40))):
            assert 0 < len(line) <= 64
