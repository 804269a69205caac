"""Frames of the gimbal makers' own software: each decodes and re-encodes exactly, and our emulators answer them."""

from __future__ import annotations

import re

import pytest

from firmware_bridge.drivers import sbgc_codec, storm32_codec
from firmware_bridge.emulators.gimbal_physics import FreeGimbal
from firmware_bridge.emulators.mavlink_gimbal import KNOWN
from firmware_bridge.emulators.mavlink_gimbal import x25 as emulators_x25
from firmware_bridge.emulators.sbgc import SbgcEmulator, crc16
from firmware_bridge.emulators.storm32 import Storm32Emulator
from firmware_bridge.emulators.storm32 import x25 as storm32_x25
from firmware_bridge.framing import BinaryFramer, mcrf4xx
from firmware_bridge.mavlink_frames import MavlinkFramer, MavlinkPacker
from tests.firmware_bridge.flips import flipped
from tests.shared_data import shared


def captured(name: str) -> list[tuple[str, bytes]]:
    """(direction, frame), lines with a bad checksum of the recorder's making left out."""
    text = shared(f"frames/{name}").read_text()
    found = re.findall(r"^(HOST->DEV|DEV->HOST) ([0-9a-f ]+?)\s*(?:#.*)?$", text, re.M)
    return [(way, bytes.fromhex(frame)) for way, frame in found]


SIZES = {86: 18, 20: 69, 73: 18, 61: 54, 23: 63, 25: 124}  # that BaseCam's library insists on


def test_sbgc_frames():
    decoded = 0
    frames = captured("sbgc32.txt")
    assert len(frames) >= 37
    for way, frame in frames:
        version = 2 if frame[0] == 0x24 else 1
        if frame[:2] == b"\x3e\x14":  # the library's broken protocol 1: no payload must sum to 0; a reply is cut off
            assert not (sbgc_codec.frame_length(frame, 0) == len(frame) and sbgc_codec.frame_valid(frame))
            continue
        if frame[:2] == b"\x3e\x56" and len(frame) == 23:
            assert sum(frame[4:-1]) % 256 == frame[-1]
        assert sbgc_codec.frame_length(frame, 0) == len(frame) and sbgc_codec.frame_valid(frame), frame.hex(" ")
        command, payload = sbgc_codec.unframe(frame)
        assert sbgc_codec.frame(command, payload, version) == frame
        to_board = way == "HOST->DEV"
        fields = sbgc_codec.decode(command, payload, to_board)
        if fields is not None:
            decoded += 1
            assert sbgc_codec.encode(command, fields, to_board) == payload
        if not to_board and command in SIZES:
            assert len(payload) == SIZES[command]
    assert decoded >= 25


def test_sbgc_emulator_takes_every_captured_frame_with_the_exact_sizes():
    emulator = SbgcEmulator(FreeGimbal())
    emulator.power_up(0)
    for way, frame in captured("sbgc32.txt"):
        if way != "HOST->DEV" or frame == bytes.fromhex("3e1400143d"):
            continue
        emulator.feed(frame, 1_000_000)
        for _, answer in emulator.out:
            assert sbgc_codec.frame_length(answer, 0) == len(answer) and sbgc_codec.frame_valid(answer)
            command, payload = sbgc_codec.unframe(answer)
            assert len(payload) == SIZES.get(command, len(payload))
            assert command != 67 or 1 <= len(payload) <= 6
            assert answer[0] == frame[0]  # in the protocol it was asked in
        emulator.out.clear()


def test_sbgc_realtime_data_decode_to_the_captured_numbers():
    frames = [
        sbgc_codec.unframe(frame) for way, frame in captured("sbgc32.txt") if way == "DEV->HOST" and frame[0] == 0x24
    ]
    third = next(payload for command, payload in frames if command == 23)
    fourth = next(payload for command, payload in frames if command == 25)
    custom = next(payload for command, payload in frames if command == 88)
    values = sbgc_codec.decode(23, third, False)
    assert values[16:19] == (100, 200, 300) and values[28] == 1480 and values[32:35] == (10, 20, 30)
    assert sbgc_codec.decode(25, fourth, False)[42] == 350 and sbgc_codec.decode(25, fourth, False)[46] == 41
    assert len(custom) == 78 and sbgc_codec.fast_row(custom) is None  # of other flags than ours


def storm32_frames() -> list[bytes]:
    text = shared("frames/storm32.txt").read_text()
    return [bytes.fromhex(hexes) for hexes in re.findall(r"((?:f9|fa|fb)(?: [0-9a-f]{2}){4,})", text)]


def test_storm32_frames():
    frames = storm32_frames()
    assert len(frames) >= 11
    for frame in frames:
        if frame[-2:] == b"\x33\x34":  # the dummy CRC of the python library, which our emulator takes
            emulator = Storm32Emulator(FreeGimbal())
            emulator.feed(frame, 0)
            assert emulator.errors == 0
            frame = storm32_codec.frame(frame[0], frame[2], frame[3:-2])
        assert storm32_codec.frame_length(frame, 0) == len(frame) and storm32_codec.frame_valid(frame)
        fields = storm32_codec.decode(frame[2], frame[3:-2])
        assert storm32_codec.encode(frame[0], frame[2], *(fields or ())) == frame
        assert fields is not None or len(frame) == 5


def test_storm32_emulator_takes_every_captured_command():
    for frame in storm32_frames():
        if frame[0] == 0xFB:
            continue
        emulator = Storm32Emulator(FreeGimbal())
        emulator.feed(frame, 0)
        answers = [data for _, data in emulator.out]
        assert emulator.errors == 0 and len(answers) == (frame[0] == 0xFA)
        for answer in answers:
            framer = BinaryFramer(b"\xfb", storm32_codec.frame_length, storm32_codec.frame_valid, 80)
            assert framer.feed(answer) == [answer]
            # as long as the maker's structures: 53 with versions, 2 + 6 angles, 14 + 16 of status and relative attitude
            assert len(answer) == {2: 53, 1: 11}.get(frame[2], {0x20: 13, 0x00: 37}.get(frame[3]))


def test_mavlink_frames():
    frames = captured("mavsdk.txt")
    assert len(frames) >= 47
    kinds = set()
    for _, frame in frames:
        (message,) = MavlinkFramer().messages(frame)
        packer = MavlinkPacker(message.get_srcSystem(), message.get_srcComponent())
        packer._mav.seq = message.get_seq()
        values = [getattr(message, name) for name in message.fieldnames]
        values = [value.encode("ascii") if isinstance(value, str) else value for value in values]
        again = packer.pack(type(message)(*values))
        assert again == frame, message
        kinds.add(message.get_msgId())
    assert kinds >= {0, 4, 75, 76, 77, 280, 281, 282, 283, 285}


def test_the_emulators_own_checks_agree():
    for data in (b"123456789", b"", bytes(range(256))):
        assert crc16(data) == sbgc_codec.crc(data)
        assert storm32_x25(data) == emulators_x25(data) == mcrf4xx(data)
    for _, frame in captured("mavsdk.txt"):
        number = int.from_bytes(frame[7:10], "little")
        if number in KNOWN:
            extra, full = KNOWN[number]
            assert frame[1] <= full
            assert emulators_x25(frame[1 : 10 + frame[1]] + bytes((extra,))) == int.from_bytes(frame[-2:], "little")


@pytest.mark.parametrize("version", [1, 2])
def test_no_flipped_bit_passes_an_sbgc_frame(version):
    frame = sbgc_codec.frame(88, bytes(range(26)), version)
    framer = BinaryFramer(frame[:1], sbgc_codec.frame_length, sbgc_codec.frame_valid, 262)
    for bad in flipped(frame):
        assert not framer.feed(bad)
        framer.reset()
    assert framer.feed(frame) == [frame]


def test_no_flipped_bit_passes_a_storm32_frame():
    frame = storm32_codec.frame(0xFB, 6, bytes(range(8)))
    framer = BinaryFramer(b"\xfb", storm32_codec.frame_length, storm32_codec.frame_valid, 80)
    for bad in flipped(frame):
        assert not framer.feed(bad)
        framer.reset()
    assert framer.feed(frame) == [frame]
