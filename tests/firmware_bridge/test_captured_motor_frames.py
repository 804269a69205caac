"""Every captured frame of the makers' own implementations decodes and re-encodes exactly: ODrive, VESC, SimpleFOC,
ROBOTIS; and our emulators answer the captured commands with the captured bytes."""

from __future__ import annotations

import ast
import re

import numpy as np

from firmware_bridge.drivers import dynamixel_codec as dxl
from firmware_bridge.drivers import odrive_codec, simplefoc_codec
from firmware_bridge.drivers import vesc_codec as vesc
from firmware_bridge.emulators.dynamixel import DynamixelEmulator
from firmware_bridge.emulators.odrive import OdriveEmulator
from firmware_bridge.emulators.physics import FreeAxis
from firmware_bridge.emulators.simplefoc import SimplefocEmulator
from firmware_bridge.emulators.vesc import VescEmulator
from firmware_bridge.interface import AXIS_FEEDBACK, Counters
from tests.shared_data import shared


def transcript(name: str) -> list[tuple[bytes, bytes]]:
    """(to the device, its answer) of each line of a text protocol."""
    text = shared(f"frames/{name}").read_text()
    found = re.findall(r"^HOST->DEV (b'.*?')\s+DEV->HOST (b'.*?')$", text, re.M)
    assert len(found) >= 15
    return [(ast.literal_eval(sent), ast.literal_eval(answer)) for sent, answer in found]


def packets(name: str) -> list[tuple[str, bytes]]:
    """(direction, bytes) of each frame of a binary protocol."""
    text = shared(f"frames/{name}").read_text()
    found = re.findall(r"^(HOST->DEV|DEV->HOST) ((?:[0-9a-f]{2} )*[0-9a-f]{2})\b", text, re.M)
    assert len(found) >= 9
    return [(way, bytes.fromhex(frame)) for way, frame in found]


def answer_of(emulator, data: bytes, now_ns: int) -> bytes:
    emulator.feed(data, now_ns)
    got = b"".join(chunk for _, chunk in emulator.out)
    emulator.out.clear()
    return got


def test_odrive_lines():
    for sent, answer in transcript("odrive_ascii.txt"):
        text, star, _ = sent.rstrip(b"\r\n!").partition(b"*")
        assert sent[-1:] != b"\n" or sent[-2:] == b"\r\n" or odrive_codec.line(text, bool(star)) == sent
        for line in answer.split(b"\r\n")[:-1]:
            said = odrive_codec.read_line(line, b"*" in line)
            assert said is not None and odrive_codec.line(said, b"*" in line) == line + b"\n"


def test_odrive_readings_of_the_device():
    codec, rows = odrive_codec.OdriveCodec([0], 0.2, False, Counters()), np.zeros(1, AXIS_FEEDBACK)
    kinds = {b"f 0\n": "feedback", b"r axis0.motor.current_control.Iq_measured\n": "iq"}
    for sent, answer in transcript("odrive_ascii.txt"):
        if sent in kinds:
            codec.ask(kinds[sent], 0)
            assert codec.feed(answer, rows, 1) == (kinds[sent] == "feedback") and codec.pending is None
    assert rows[0]["angle_rad"] == 0.5 * odrive_codec.TURN and codec.values[0]["iq"] == 1.234568


def test_odrive_emulator_answers_as_the_device():
    axis = FreeAxis(angle_rad=0.5 * odrive_codec.TURN, rate_rad_s=-1.25 * odrive_codec.TURN, voltage_V=24.087744)
    axis.viscous_Nm_s_rad = 0.0
    emulator = OdriveEmulator([axis], {"roll_id": 0, "keeps_replies": True})
    stub = ("axis0.encoder.pos_estimate", "axis0.motor.current_control.Iq_measured")  # constants of that build
    for sent, answer in transcript("odrive_ascii.txt"):
        emulator.power_up(0)
        if not any(name.encode() in sent for name in stub):
            assert answer_of(emulator, sent, 0) == answer, sent
        else:
            assert answer_of(emulator, sent, 0).endswith(b"\r\n")


def test_vesc_packets():
    for way, data in packets("vesc.txt"):
        assert vesc.valid(data) and vesc.frame(vesc.payload_of(data)) == data
        if way == "DEV->HOST":
            assert vesc.short_length(data, 0) == len(data)


def test_vesc_values_by_the_documented_layout():
    values = vesc.decode_values(vesc.frame(bytes((vesc.GET_VALUES,)) + bytes(range(73)))[2:-3])
    assert len(values) == 24 and vesc.VALUES.size == 74
    assert vesc.encode_values(values) == bytes((vesc.GET_VALUES,)) + bytes(range(73))
    emulator = VescEmulator([FreeAxis(angle_rad=1.0)], {"roll_id": 9, "pole_pairs": 7})
    emulator.power_up(0)
    answer = answer_of(emulator, vesc.frame(bytes((vesc.GET_VALUES,))), 0)
    assert len(answer) == 79 and vesc.valid(answer)
    told = vesc.decode_values(vesc.payload_of(answer))
    assert (told[0], told[8], told[17]) == (30.0, 24.0, 9) and abs(told[16] - 57.29578) < 1e-5


def test_vesc_emulator_takes_every_captured_packet():
    axis = FreeAxis()
    emulator = VescEmulator([axis, FreeAxis()], {"roll_id": 1, "pitch_id": 7})
    emulator.power_up(0)
    modes = []
    for way, data in packets("vesc.txt"):
        if way == "HOST->DEV":
            answer_of(emulator, data, 1000)
            modes.append(axis.drive.mode)
    assert modes[:2] == [1, 2] and 3 in modes and 4 in modes
    assert answer_of(emulator, vesc.frame(b"\0"), 1000) == next(d for w, d in packets("vesc.txt") if w == "DEV->HOST")
    emulator.service(emulator.next_ns())
    assert emulator.motors[7].axis.drive.torque_Nm < 0  # through CAN


def test_simplefoc_lines():
    codec = simplefoc_codec.SimplefocCodec(["M"], 1.0, None, simplefoc_codec.Gates(max_A=10.0), Counters())
    codec.gates[0].take = lambda *reading: True
    rows = np.zeros(1, AXIS_FEEDBACK)
    for sent, answer in transcript("simplefoc.txt"):
        fits = len(sent) <= simplefoc_codec.MAX_LINE
        assert fits == (sent != b"M1.234567 20.5 8.5555\n")
        if fits and sent[:1] == b"M":
            assert codec.say(0, sent[1:-1]) == sent
        before = codec.counters.garbage_bytes
        codec.asked[0] = True
        codec.feed(answer, rows, [0])
        assert codec.counters.garbage_bytes == before
    assert codec.enabled[0] == 0 and codec.motion_mode[0] == simplefoc_codec.ANGLE and codec.limit_A[0] == 8.0
    assert codec.scan == {b"M": b"motor", b"T": b"motion"} and codec.counters.device_errors == 1


def test_simplefoc_stream():
    text = shared("frames/simplefoc.txt").read_text()
    stream = ast.literal_eval(re.search(r"^monitor stream (b'.*')$", text, re.M)[1])
    rows = [simplefoc_codec.read_stream(line, "1100011") for line in stream.split(b"\r\n")[1:-1]]
    assert len(rows) == 4 and [row["angle"] for row in rows] == [10.2487, 10.7487, 11.2487, 11.7488]
    for row, line in zip(rows, stream.split(b"\r\n")[1:]):
        assert "\t".join(f"{value:.4f}" for value in row.values()).encode() == line


def test_simplefoc_emulator_answers_as_the_device():
    axis = FreeAxis(angle_rad=3.654)
    emulator = SimplefocEmulator([axis], {"roll_id": 0, "verbose": 3})
    emulator.power_up(0)
    for sent, answer in transcript("simplefoc.txt"):
        got = answer_of(emulator, sent, 0)
        if sent == b"?\n":
            assert got == b"?M:motor\r\n"  # that build had a second command, and wasn't yet in machine mode
        elif sent in (b"@\n", b"M\n"):
            assert got.endswith(b"\r\n")
        elif sent == b"#4\n":
            assert got == b"#4\r\n"
        else:
            assert got == answer, sent


def test_dynamixel_packets():
    for way, data in packets("dynamixel.txt"):
        assert dxl.valid(data) and dxl.length(data, 0) == len(data)
        body = dxl.unstuff(data[7:-2])
        if way == "DEV->HOST":
            assert body[0] == dxl.STATUS
        if data[4] != dxl.BROADCAST or body[0] != dxl.STATUS:
            assert dxl.packet(data[4], body[0], body[1:]) == data
        else:
            slots = dxl.split_fast(data, 10)
            assert slots is not None and [device for _, device, _ in slots] == [1, 2, 3]


def test_dynamixel_emulator_answers_the_captured_fast_sync_read():
    ask = next(d for w, d in packets("dynamixel.txt") if w == "HOST->DEV" and d[7] == dxl.FAST_SYNC_READ)
    captured = next(d for w, d in packets("dynamixel.txt") if d[4] == dxl.BROADCAST and d[7] == dxl.STATUS)
    axes = [FreeAxis() for _ in range(3)]
    emulator = DynamixelEmulator(axes)
    emulator.power_up(0)
    for number, (servo, (_, _, data)) in enumerate(zip(emulator.servos.values(), dxl.split_fast(captured, 10))):
        servo.measure = lambda now: 0
        servo.table[126:136] = data
        assert number < 3
    assert answer_of(emulator, ask, 0) == captured
