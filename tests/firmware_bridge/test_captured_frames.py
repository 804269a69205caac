"""Every captured frame of the makers' own implementations decodes and re-encodes exactly."""

from __future__ import annotations

import re

import numpy as np

from firmware_bridge.drivers import moteus_codec, vectornav_codec
from firmware_bridge.emulators.moteus import MoteusEmulator
from firmware_bridge.emulators.physics import FreeAxis
from firmware_bridge.interface import AXIS_FEEDBACK
from tests.firmware_bridge.flips import flipped
from tests.shared_data import shared


def frames(name: str) -> list[tuple[str, str]]:
    """(direction, text) of each captured line."""
    text = shared(f"frames/{name}").read_text()
    found = re.findall(r"^(HOST->DEV|DEV->HOST) (.*)$", text, re.M)
    assert len(found) >= 6
    return [(way, line.split("  #")[0].strip()) for way, line in found]


def test_moteus_lines():
    for way, text in frames("moteus.txt"):
        line = text.encode()
        body, star, check = line.rpartition(b"*")
        if star and len(check) == 2:
            assert b"%02X" % moteus_codec.crc8(body) == check
        if way == "HOST->DEV":
            words = text.split()
            data = bytes.fromhex(words[3])
            assert moteus_codec.text_line(int(words[2], 16), data, b"*" in line) == line + b"\n"
        elif text.startswith("rcv"):
            can_id = int(text.split()[1], 16) >> 8
            codec = moteus_codec.MoteusCodec([can_id], 0.05, float("nan"), b"*" in line)
            codec.feed(line + b"\n", np.zeros(1, AXIS_FEEDBACK), lambda axis: 0)
            assert codec.registers[0][0x0D] in (48, 24) and codec.counters.bad_crc == 0


def test_moteus_emulator_takes_every_captured_command():
    emulator = MoteusEmulator([FreeAxis() for _ in range(3)])
    emulator.power_up(0)
    for way, text in frames("moteus.txt"):
        if way == "HOST->DEV":
            emulator.feed(text.encode() + b"\n", 0)
            answers = [data for _, data in emulator.out]
            emulator.out.clear()
            wants_reply = int(text.split()[2], 16) & 0x8000
            assert answers[0].startswith(b"OK *BD") and len(answers) == (2 if wants_reply else 1)


def test_vectornav_frames():
    binary = 0
    for _, text in frames("vectornav.txt"):
        if text.startswith("$"):
            line = text.replace(r"\r\n", "\r\n").encode()
            words = vectornav_codec.read_ascii(line)
            assert words is not None and vectornav_codec.ascii_line(",".join(words)) == line
            continue
        frame = bytes.fromhex(text)
        assert vectornav_codec.frame_valid(frame) and vectornav_codec.frame_length(frame, 0) == len(frame)
        assert vectornav_codec.encode(*vectornav_codec.decode(frame)) == frame
        binary += 1
    assert binary


def test_no_flipped_bit_passes_in_a_captured_vectornav_frame():
    frame = bytes.fromhex(next(text for _, text in frames("vectornav.txt") if text.startswith("fa")))
    for bad in flipped(frame):
        good = bad[0] == 0xFA and vectornav_codec.frame_length(bad, 0) == len(bad)
        assert not (good and vectornav_codec.frame_valid(bad))
