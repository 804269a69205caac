"""Every captured frame of the sensor makers' own or independent implementations decodes and re-encodes exactly, and no
single flipped bit of one passes."""

from __future__ import annotations

import re

import pytest

from firmware_bridge.drivers import bno08x_rvc_codec as rvc
from firmware_bridge.drivers import mip_codec as mip
from firmware_bridge.drivers import witmotion_codec as wit
from firmware_bridge.drivers import xsens_codec as xsens
from firmware_bridge.emulators.mip import MipEmulator
from firmware_bridge.emulators.physics import StillImu
from firmware_bridge.emulators.xsens import XsensEmulator
from firmware_bridge.framing import BinaryFramer
from tests.firmware_bridge.flips import flipped
from tests.shared_data import shared

HEX = re.compile(r"(?:\b[0-9a-f]{2}\b ?){5,}")


def hex_frames(name: str, start: str) -> list[bytes]:
    """All runs of hexadecimal bytes of a file that begin with ``start``, in order."""
    text = shared(f"frames/{name}").read_text()
    found = [bytes.fromhex(run) for run in re.findall(HEX, text)]
    begin = bytes.fromhex(start)
    frames = [run[run.find(begin) :] for run in found if run.find(begin) in (0, 1)]  # a length may stand before it
    assert frames
    return frames


def one(frame: bytes, framer: BinaryFramer) -> bytes:
    """What a framer cuts from garbage, the frame, and half a frame more."""
    framer.reset()
    got = framer.feed(b"\x00\x12\x34" + frame + frame[: len(frame) // 2])
    assert len(got) == 1
    return got[0]


XSENS = BinaryFramer(xsens.SYNC, xsens.frame_length, xsens.frame_valid, xsens.MAX_FRAME)
MIP = BinaryFramer(mip.SYNC, mip.frame_length, mip.frame_valid, mip.MAX_FRAME)
RVC = BinaryFramer(rvc.SYNC, rvc.frame_length, rvc.frame_valid, rvc.FRAME_BYTES)
WIT = BinaryFramer(wit.SYNC, wit.frame_length, wit.frame_valid, wit.FRAME_BYTES)
ALL = {"xsens": ("xsens.txt", "fa ff", XSENS, 11), "mip": ("mip.txt", "75 65", MIP, 7),
       "rvc": ("witmotion_rvc.txt", "aa aa", RVC, 1), "witmotion": ("witmotion_rvc.txt", "55", WIT, 4)}  # fmt: skip


@pytest.mark.parametrize("name", ALL)
def test_every_frame_is_cut_and_checked(name):
    file, start, framer, least = ALL[name]
    frames = hex_frames(file, start)
    assert len(frames) >= least
    for frame in frames:
        assert one(frame, framer) == frame


@pytest.mark.parametrize("name", ALL)
def test_no_flipped_bit_passes(name):
    file, start, framer, _ = ALL[name]
    for frame in hex_frames(file, start):
        for bad in flipped(frame):
            framer.reset()
            assert framer.feed(bad) == [], (frame.hex(" "), bad.hex(" "))


def test_xsens_encodes_again():
    for frame in hex_frames("xsens.txt", "fa ff"):
        mid, payload = xsens.split(frame)
        assert xsens.frame(mid, payload) == frame
        if mid == xsens.MT_DATA2:
            assert xsens.write_items(xsens.read_items(payload)) == payload
        elif mid in (xsens.SET_OUTPUT, xsens.SET_OUTPUT + 1):
            assert xsens.output_configuration(xsens.read_output_configuration(payload)) == payload


def test_mip_encodes_again():
    for frame in hex_frames("mip.txt", "75 65"):
        assert mip.packet(frame[2], mip.fields(frame)) == frame


def test_rvc_and_witmotion_encode_again():
    for frame in hex_frames("witmotion_rvc.txt", "aa aa"):
        assert rvc.frame(*rvc.raw(frame)) == frame
    for frame in hex_frames("witmotion_rvc.txt", "55"):
        assert wit.frame(frame[1], wit.values(frame)) == frame


def test_emulators_answer_the_captured_commands():
    device = XsensEmulator(StillImu())
    device.power_up(0)
    device.out.clear()
    lines = shared("frames/xsens.txt").read_text().splitlines()
    for line in lines:
        if line.startswith("HOST->DEV"):
            command = bytes.fromhex(line.split("#")[0].split(" ", 1)[1])
            device.feed(command, 1000)
            reply = device.out.popleft()[1]
            assert XSENS.feed(reply) == [reply] and reply[2] == command[2] + 1
    device = MipEmulator(StillImu(), {"time": "gps"})
    device.power_up(0)
    for frame in hex_frames("mip.txt", "75 65"):
        if frame[2] != mip.SENSOR:
            device.feed(frame, 1000)
            reply = mip.fields(device.out.popleft()[1])
            assert reply[0] == (mip.ACK_FIELD, bytes([frame[5], 0]))
