"""What comes wrong over a port, for every registered device: another speed, a line that works one way only, a cable
pulled in the middle of a frame, answers that come late or twice."""

from __future__ import annotations

import numpy as np
import pytest

from firmware_bridge import registry
from firmware_bridge.errors import NoAnswer, WrongDevice
from firmware_bridge.gimbal_interface import GimbalMode
from firmware_bridge.interface import AxisMode, Status, operator_text
from tests.contract.bridge_bench import Bench, make_bench

ALL = registry.names()
MOTORS = registry.names("motor")
ON_UARTS = [name for name in ALL if registry.entry(name).line.startswith("uart")]
DRIVEN = MOTORS + registry.names("gimbal")
# STorM32's answers carry neither a time nor a number.
DATED = [name for name in ALL if registry.entry(name).kind not in ("motor", "radio") and name != "storm32"]
ACCEPT = {"accept_no_watchdog": True}


def flying(name: str) -> Bench:
    """Armed and commanded where it can be."""
    bench = make_bench(name, ACCEPT if registry.entry(name).kind == "gimbal" else {})
    bench.open()
    if name in DRIVEN:
        assert bench.driver.arm() == Status.OK
    fly(bench, 300)
    return bench


def fly(bench: Bench, ms: int) -> np.ndarray:
    """Commands where there are any; the rows of the last poll that gave some."""
    if bench.kind == "motor":
        bench.cycle(AxisMode.TORQUE, torque=0.02, ms=max(1, round(ms / bench.setup.period_ms)))
        return bench.rows[bench.rows["valid"] == 1]
    last = bench.rows[:0]
    for k in range(ms):
        if (n := bench.step()) > 0:
            last = bench.rows[:n].copy()
        if bench.kind == "gimbal" and k % 8 == 0:
            bench.driver.command(GimbalMode.RATE, rate_C=(0.0, 0.02, 0.0))
    return last


@pytest.mark.parametrize("ratio", [0.5, 3.0])
@pytest.mark.parametrize("name", ON_UARTS)
def test_a_line_of_another_speed_is_named(name, ratio):
    bench = make_bench(name)
    bench.wire.faults_in.speed, bench.wire.faults_out.speed = 1 / ratio, ratio
    with pytest.raises((NoAnswer, WrongDevice), match="baud"):
        bench.open()


@pytest.mark.parametrize("name", DRIVEN)
def test_a_line_on_which_nothing_reaches_the_device(name):
    """Half open: its watchdog, where it has one, stops it; nothing goes on by itself once the line is whole again."""
    bench = flying(name)
    bench.wire.faults_in.drop = 1.0
    fly(bench, 1000)
    assert not moving(bench) or not bench.driver.capabilities.has_watchdog
    bench.wire.faults_in.drop = 0.0
    if bench.kind == "motor":
        fly(bench, 200)
        assert not moving(bench)  # latched: by the device, or by its driver, which saw nothing for too long
        assert bench.rows["fault"].all()


def moving(bench: Bench) -> bool:
    if bench.kind == "motor":
        drives = [axis.drive for axis in bench.physics]  # a rate of zero is how some stand still
        return any(drive.mode in (1, 3) or drive.mode == 2 and drive.rate_rad_s != 0 for drive in drives)
    return bool(np.abs(bench.physics.state(bench.clock()).rate_C).max() > 1e-3)


@pytest.mark.parametrize("name", DRIVEN)
def test_a_line_on_which_nothing_comes_back(name):
    bench = flying(name)
    bench.wire.faults_out.drop = 1.0
    bench.step(50)
    assert len(fly(bench, 300)) == 0  # never a row made of old ones
    bench.wire.faults_out.drop = 0.0


@pytest.mark.parametrize("name", DRIVEN)
def test_a_line_that_takes_no_more_bytes_blocks_nobody(name):
    bench = flying(name)
    sent: list[bytes] = []
    bench.transport._send = lambda data: 0
    statuses = [command(bench) for _ in range(5)]
    assert statuses[-1] == Status.LINE_FULL and "lower the rate" in operator_text(statuses[-1])
    assert bench.driver.safe("off") in (Status.OK, Status.LINE_FULL)
    bench.transport._send = lambda data: sent.append(data) or len(data)
    bench.transport.flush()
    assert len(sent) == 1  # the stop alone: what waited before it is of no use


def command(bench: Bench) -> int:
    if bench.kind == "gimbal":
        return bench.driver.command(GimbalMode.RATE, rate_C=(0.0, 0.02, 0.0))
    return bench.driver.command([1] * bench.n, [0.02] * bench.n, [0.0] * bench.n, [0.0] * bench.n)


@pytest.mark.parametrize("name", ALL)
def test_unplugged_in_the_middle_of_a_frame(name):
    bench = flying(name)
    read = bench.transport.read_into
    cut: list[int] = []

    def torn(buffer):
        n = read(buffer)
        if n > 1 and not cut:
            cut.append(n // 2)
            bench.wire.unplug(bench.clock())
            return n // 2
        return n

    bench.transport.read_into = torn
    for _ in range(3000):
        if fly(bench, 1) is not None and cut:
            break
    assert cut and [bench.step() for _ in range(3)][-1] == Status.LINK_LOST
    bench.transport.read_into = read
    counted = bench.driver.counters.bad_crc
    bench.wire.replug(bench.clock())
    assert bench.driver.reopen() == Status.OK
    bench.driver.configure()
    if bench.kind == "motor":
        bench.driver.arm()
    assert len(fly(bench, 1500)) > 0
    assert bench.driver.counters.bad_crc - counted <= 1  # of the torn frame nothing is left


@pytest.mark.parametrize("name", DATED)
def test_frames_that_come_twice_give_one_row(name):
    once, twice = make_bench(name), make_bench(name)
    once.open(), twice.open()
    twice.wire.faults_out.duplicate = 1.0
    expected, rows = once.collect(1500), twice.collect(1500)
    assert (np.diff(rows["t_ns"]) > 0).all()
    assert 0.8 * len(expected) <= len(rows) <= len(expected) + 2  # a UART may not carry all of them twice


@pytest.mark.parametrize("name", ALL)
def test_late_and_repeated_answers_are_never_dated_ahead_or_backwards(name):
    bench = flying(name)
    bench.wire.faults_out.duplicate = 1.0
    before = 0
    for k in range(900):
        if k == 450:
            bench.wire.faults_out.late_ns = 20_000_000
        rows = fly(bench, 1)
        assert (rows["t_ns"] <= bench.clock() + len(rows)).all()  # those of one moment are a ns apart
        if len(rows):
            assert rows["t_ns"].min() >= before
            before = rows["t_ns"].max() if bench.kind != "motor" else 0
            for field in rows.dtype.names:
                assert np.isfinite(rows[field]).all()
    assert before or bench.kind == "motor"
