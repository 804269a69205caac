"""What is particular to SimpleFOC: no watchdog, no checksum, the gates that stand in for one, its short buffer."""

from __future__ import annotations

import math

import numpy as np
import pytest

from firmware_bridge.drivers import simplefoc_codec
from firmware_bridge.interface import AXIS_FEEDBACK, AxisMode, Counters, Status
from tests.contract.bridge_bench import opened
from tests.firmware_bridge.flips import flipped

TORQUE = AxisMode.TORQUE


def test_simplefoc_is_not_armed_without_the_risk_being_accepted():
    bench = opened("simplefoc", {"accept_no_watchdog": False})
    assert bench.driver.arm() == Status.REFUSED
    assert bench.cycle(TORQUE, torque=0.1, ms=10) == Status.NOT_ARMED and bench.physics[0].drive.mode == 0


def test_simplefoc_overlong_line_gets_no_answer_and_its_tail_is_a_command():
    emulator = opened("simplefoc").wire.emulator
    emulator.feed(b"M1.234567 20.5 8.555M9\n", 0)
    assert not emulator.out or emulator.out.pop()[1].startswith(b"M9")
    codec = simplefoc_codec.SimplefocCodec(["M"], 0.2, None, simplefoc_codec.Gates(), Counters())
    assert all(len(codec.target(0, m, v, v, v)) <= 20 for m in (1, 2, 3) for v in (-199999.0, 1e-9, 123.456789))


def test_simplefoc_by_voltage():
    bench = opened("simplefoc", {"torque_mode": "voltage", "phase_resistance_ohm": 0.9, "current_step_A": 2.0})
    bench.driver.arm()
    bench.cycle(TORQUE, torque=0.1, ms=60)
    assert bench.rows["torque_Nm"][0] == pytest.approx(0.1, abs=0.02)
    assert bench.physics[0].torque_Nm == pytest.approx(0.1, abs=0.02)


def test_simplefoc_switches_are_said_again_until_echoed():
    bench = opened("simplefoc")
    bench.driver.arm()
    bench.wire.faults_in.drop = 0.3
    bench.cycle(TORQUE, torque=0.1, ms=150)
    assert bench.physics[0].drive.mode == TORQUE
    bench.cycle(AxisMode.OFF, ms=60)
    assert bench.physics[0].drive.mode == AxisMode.OFF


def test_what_a_flipped_bit_can_do_to_a_simplefoc_reading_is_bounded():
    """After a steady stream, every single flip of one answer is thrown away or changes little."""
    gates = simplefoc_codec.Gates(max_A=10.0)
    good = b"MMG0.0500;0.1000;0.0000;0.0500;0.0000;1.2345;-3.2100\r\n"
    passed = 0
    for bad in flipped(good[:-2]):
        codec, rows = simplefoc_codec.SimplefocCodec(["M"], 0.2, None, gates, Counters()), np.zeros(1, AXIS_FEEDBACK)
        codec.motion_mode[0], codec.enabled[0] = simplefoc_codec.TORQUE, 1
        for i in range(3):
            codec.ask(0)
            codec.feed(
                b"MMG0.05;0.1;0;0.05;0;1.2345;%.4f\r\n" % (-3.21 - 1.2345 * 0.005 * (3 - i)), rows, [i * 5_000_000]
            )
        assert rows[0]["valid"]
        codec.ask(0)
        rows["valid"] = 0
        if codec.feed(bad + b"\r\n", rows, [15_000_000] * 3):
            passed += 1
            assert abs(rows[0]["angle_rad"] + 3.21) < 0.03
            assert abs(rows[0]["rate_rad_s"] - 1.2345) <= gates.rate_step_rad_s + gates.max_accel_rad_s2 * 0.005
            assert abs(rows[0]["current_A"] - 0.05) <= gates.current_step_A + 1e-9
    assert 5 < passed < 200


@pytest.mark.parametrize(
    "damaged", [b"0500;0.1000;0.0000;0.0500;0.0000;1.2345;-3.2100", b"MMG0.050;0.1;0;0.05;0;1.234;-3.21"]
)
def test_one_damaged_reply_is_no_restart_of_a_simplefoc_and_two_in_a_row_are(damaged):
    """An overrun that eats a reply's head leaves what a Commander says that has just started."""
    codec, rows = (
        simplefoc_codec.SimplefocCodec(["M"], 0.2, None, simplefoc_codec.Gates(), Counters()),
        np.zeros(1, AXIS_FEEDBACK),
    )
    good = b"MMG0.0500;0.1000;0.0000;0.0500;0.0000;1.2345;-3.2100"
    for line in (good, damaged, good, damaged, good):
        codec.ask(0)
        codec.feed(line + b"\r\n", rows, [0, 0, 0])
        assert not codec.settings_lost
    for lost in (False, True):
        codec.ask(0)
        codec.feed(damaged + b"\r\n", rows, [0, 0, 0])
        assert codec.settings_lost == lost
    codec.ask(0)
    codec.feed(good + b"\r\n", rows, [0, 0, 0])
    assert codec.settings_lost  # until it is configured


def test_each_axis_of_a_simplefoc_line_has_the_time_of_its_own_question():
    letters, feedback = ["M", "N", "O"], np.zeros(3, AXIS_FEEDBACK)
    codec = simplefoc_codec.SimplefocCodec(letters, 0.2, None, simplefoc_codec.Gates(), Counters())
    for k in range(3):
        for axis in range(3):
            codec.ask(axis)
        said = b"".join(b"%sMG0.05;0.1;0;0.05;0;0.0;-3.21\r\n" % x.encode() for x in letters)
        codec.feed(said, feedback, [k * 5_000_000 + axis * 700_000 for axis in range(3)])
    assert feedback["valid"].all() and feedback["t_ns"].tolist() == [10_000_000, 10_700_000, 11_400_000]


def test_a_simplefoc_driver_dates_a_reading_by_when_it_asked_for_it():
    bench = opened("simplefoc")
    driver, codec, fed = bench.driver, bench.driver.codec, []
    feed, asked = codec.feed, [0] * driver.n_axes
    ask = codec.ask

    def asking(axis):
        asked[axis] = driver.transport.clock()
        return ask(axis)

    def feeding(data, feedback, t_ns):
        fed.append((list(t_ns), [min(t + driver._delay_ns, driver.transport.arrival_ns) for t in asked]))
        return feed(data, feedback, t_ns)

    driver.arm()
    bench.cycle(TORQUE, torque=0.05, ms=40)
    codec.ask, codec.feed, bench.wire.faults_in.drop = asking, feeding, 0.05
    bench.cycle(TORQUE, torque=0.05, ms=200)
    told, due = zip(*fed[50:], strict=True)
    assert told == due and len(set(map(tuple, due))) > 10


def test_a_dropped_head_does_not_disarm_a_simplefoc_in_flight():
    bench = opened("simplefoc")
    bench.driver.arm()
    bench.cycle(TORQUE, torque=0.05, ms=40)
    codec = bench.driver.codec
    feed, eaten = codec.feed, []

    def overrun(data, feedback, t_ns):
        if not eaten and b"MG" in data and data.rstrip().count(b";") >= 6:
            eaten.append(data[: data.index(b"MG") + 2])
            data = data.replace(eaten[0], b"", 1)
        return feed(data, feedback, t_ns)

    codec.feed = overrun
    bench.cycle(TORQUE, torque=0.05, ms=60)
    assert eaten and codec.unlike == 0 and not bench.driver.restarted and bench.driver.armed
    assert bench.physics[0].drive.mode == TORQUE


def test_simplefoc_gate_follows_when_the_world_has_jumped():
    gate = simplefoc_codec.Gate(simplefoc_codec.Gates())
    assert math.isnan(gate.take(0.0, 0.0, 0.0, 0.0, 0)) and gate.take(0.0, 0.0, 0.0, 0.0, 5_000_000) == 0.0
    assert math.isnan(gate.take(2.0, 0.0, 0.0, 0.0, 10_000_000))  # one alone is not believed
    assert gate.take(2.0, 0.0, 0.0, 0.0, 15_000_000) == 0.0  # two are
    assert math.isnan(gate.take(2.0, 100.0, 0.0, 0.0, 20_000_000) + gate.take(2.0, 100.0, 0.0, 0.0, 25_000_000))


def test_numbers_with_the_told_decimals_are_read_to_the_last_bit_as_any_others():
    rng, read = np.random.default_rng(3), []
    codec = simplefoc_codec.SimplefocCodec(["M"], 0.2, None, simplefoc_codec.Gates(max_A=60.0), Counters())
    codec.gates[0].take = lambda angle, rate, current, expected, t_ns: read.append((angle, rate, expected)) or 0.0
    codec.motion_mode[0], codec.enabled[0] = simplefoc_codec.TORQUE, 1
    for n in range(600):
        texts = [f"{value:.4f}" for value in rng.uniform(-1.0, 1.0, 7) * (1e-3, 1.0, 59.0)[n % 3]]
        codec.ask(0)
        codec.feed(f"MMG{';'.join(texts)}\r\n".encode(), np.zeros(1, AXIS_FEEDBACK), [0, 0, 0])
        assert read.pop() == (float(texts[6]), float(texts[5]), float(texts[0]))
