"""What every registered driver must do. Parametrised over the registry: a driver without golden bytes, an emulator or
one of these behaviours fails here."""

from __future__ import annotations

import ast
import importlib
import inspect
import math
import random

import numpy as np
import pytest

from firmware_bridge import registry
from firmware_bridge.interface import (
    AxisMode,
    NoAnswer,
    OptionError,
    RateError,
    Status,
    WrongDevice,
    operator_text,
)
from firmware_bridge.memory_transport import memory_pair
from tests.contract.bridge_bench import make_bench

ALL = registry.names()
MOTORS = registry.names("motor")
OTHERS = [name for name in ALL if name not in MOTORS]


@pytest.mark.parametrize("name", ALL)
def test_golden_bytes(name):
    cases = importlib.import_module(registry.entry(name).golden or f"tests.golden.{name}").CASES
    assert len(cases) >= 3
    for case, (made, expected) in cases.items():
        assert made() == expected, case


@pytest.mark.parametrize("name", ALL)
def test_emulator_and_driver_share_no_code(name):
    for own, other in ((registry.load_emulator(name), "firmware_bridge.drivers"),
                       (registry.load_driver(name), "firmware_bridge.emulators")):  # fmt: skip
        module = inspect.getmodule(own)
        imported = {node.module for node in ast.walk(ast.parse(inspect.getsource(module)))
                    if isinstance(node, ast.ImportFrom) and node.module}  # fmt: skip
        assert not any(name.startswith((other, "gimbal")) for name in imported)


@pytest.mark.parametrize("name", ALL)
def test_opens_identifies_and_gives_rows(name):
    bench = make_bench(name)
    identity = bench.open()
    assert identity.device == name and str(identity) != name
    if bench.kind == "motor":
        bench.driver.arm()
        bench.cycle(AxisMode.TORQUE, ms=20)
    rows = bench.collect(1000) if bench.kind != "motor" else bench.rows[bench.rows["valid"] == 1]
    assert len(rows) >= (bench.n if bench.kind == "motor" else 3)
    assert bench.driver.counters.bad_crc == 0 and bench.driver.counters.garbage_bytes < 400
    now = bench.clock()
    assert (rows["t_ns"] <= now).all() and (rows["t_ns"] > now - 2_000_000_000 * bench.sensor.slow).all()
    assert bench.driver.capabilities.max_rate_hz > 0 and bench.driver.capabilities.budget


@pytest.mark.parametrize("name", ALL)
def test_rate_beyond_the_line_is_refused_with_the_arithmetic(name):
    bench = make_bench(name)
    bench.transport.baud = 9600
    bench.driver.attach(bench.transport, bench.options)
    with pytest.raises(RateError, match="Hz asked.*[0-9]+.*Lower"):
        bench.driver.capabilities.require_rate(1e5, name)


@pytest.mark.parametrize("name", ALL)
def test_unknown_and_bad_options_are_named(name):
    bench = make_bench(name)
    with pytest.raises(OptionError, match="no option 'sped'"):
        bench.driver.attach(bench.transport, {**bench.options, "sped": 1})
    key, option = next((k, o) for k, o in bench.driver.OPTIONS.items() if o.kind in (int, float))
    with pytest.raises(OptionError, match=key):
        bench.driver.attach(bench.transport, {**bench.options, key: "many"})
    if math.isfinite(option.high):
        with pytest.raises(OptionError, match="outside"):
            bench.driver.attach(bench.transport, {**bench.options, key: option.kind(option.high + 1)})


@pytest.mark.parametrize("name", ALL)
def test_silence_is_named(name):
    bench = make_bench(name)
    bench.wire.frozen = True
    with pytest.raises(NoAnswer, match=r"[Cc]heck"):
        bench.driver.open(bench.transport, bench.options)


@pytest.mark.parametrize("name", ALL)
def test_another_device_on_the_port_is_named(name):
    for other in ALL:
        if registry.entry(other).kind != registry.entry(name).kind:
            stranger, bench = make_bench(other), make_bench(name)
            with pytest.raises((WrongDevice, NoAnswer)) as caught:
                bench.driver.open(stranger.transport, bench.options)
            assert len(str(caught.value)) > 60


@pytest.mark.parametrize("name", ALL)
def test_unplugging_and_replugging(name):
    bench = make_bench(name)
    bench.open()
    if bench.kind == "motor":
        bench.driver.arm()
        bench.cycle(AxisMode.TORQUE, ms=10)
    bench.collect(300)
    bench.wire.unplug(bench.clock())
    statuses = [bench.step() for _ in range(5)]
    assert statuses[-1] == Status.LINK_LOST and bench.driver.counters is not None
    assert "plug" in operator_text(statuses[-1])
    if bench.kind == "motor":
        n = bench.n
        assert bench.driver.command([1] * n, [0] * n, [0] * n, [0] * n) == Status.LINK_LOST
        assert bench.driver.safe("brake") == Status.LINK_LOST
        assert bench.driver.safe("brake") == Status.LINK_LOST
    assert bench.driver.reopen() == Status.LINK_LOST
    bench.wire.replug(bench.clock())
    assert bench.driver.reopen() == Status.OK
    bench.driver.configure()
    if bench.kind == "motor":
        assert bench.cycle(AxisMode.TORQUE, torque=1.0, ms=5) == Status.NOT_ARMED  # only arm() makes it move again
        assert all(axis.drive.mode == 0 for axis in bench.physics)
        bench.driver.arm()
        bench.cycle(AxisMode.TORQUE, ms=10)
    rows = bench.collect(1000) if bench.kind != "motor" else bench.rows[bench.rows["valid"] == 1]
    assert len(rows) >= (bench.n if bench.kind == "motor" else 3)


@pytest.mark.parametrize("name", ALL)
def test_garbage_on_the_line_is_counted_and_survived(name):
    bench = make_bench(name)
    bench.open()
    if bench.kind == "motor":
        bench.driver.arm()
    faults = bench.wire.faults_out
    faults.drop, faults.flip, faults.truncate, faults.garbage, faults.duplicate = 0.05, 0.004, 0.05, 0.1, 0.05
    for _ in range(1200 if bench.kind == "motor" else 3000):
        status = bench.step(bench.setup.period_ms)
        assert status >= 0 or Status(status) in (Status.GARBAGE, Status.BAD_CRC)
        if bench.kind == "motor":
            n = bench.n
            bench.driver.command([1] * n, [0.01, -0.01, 0.0][:n], [0] * n, [0] * n)
        _assert_plausible(bench)
    assert faults.count > 2
    faults.drop = faults.flip = faults.truncate = faults.garbage = faults.duplicate = 0.0
    if bench.kind == "motor":
        bench.cycle(AxisMode.TORQUE, ms=10)
        assert bench.rows["valid"].all()
    else:
        assert len(bench.collect(1000)) >= 4
    counters = bench.driver.counters
    assert counters.bad_crc + counters.garbage_bytes > 0


def _assert_plausible(bench):
    rows = bench.rows[bench.rows["valid"] == 1] if bench.kind == "motor" else bench.rows
    for field in rows.dtype.names:
        assert np.isfinite(rows[field]).all(), field
    if bench.kind == "imu":
        assert np.abs(rows["gyro_rad_s"]).max() < 1 and np.abs(rows["accel_m_s2"]).max() < 12
    elif bench.kind == "position":
        assert np.abs(rows["lat_deg"]).max() < 47 and np.abs(rows["vel_N"]).max() <= bench.sensor.max_speed_m_s
    elif bench.kind == "attitude":
        assert (np.abs(np.linalg.norm(rows["q_NA"], axis=1) - 1.0) < 1e-6).all() or not rows["t_ns"].all()
    elif bench.kind == "bearing":
        assert 0 <= rows["xy_image"].min() and rows["xy_image"].max() <= 1 and rows["confidence"].max() <= 1
    elif bench.kind == "radio":
        assert np.abs(rows["channel"]).max() < 1.4  # and what one damaged frame may change: tests of each
    elif bench.kind == "gimbal":
        assert np.abs(rows["euler_rad"]).max() < 0.01 and np.abs(rows["rate_C"]).max() < 0.01
    elif len(rows):
        assert np.abs(rows["torque_Nm"]).max() < 0.1 and np.abs(rows["rate_rad_s"]).max() < 10


@pytest.mark.parametrize("name", ALL)
def test_random_bytes_never_raise_in_the_loop(name):
    bench = make_bench(name)
    bench.open()
    far, near = memory_pair(bench.clock)
    bench.driver.transport = near
    rng = random.Random(7)
    for _ in range(500):
        far.write(rng.randbytes(rng.randrange(200)))
        assert bench.driver.poll(bench.rows) in (0, Status.GARBAGE, Status.BAD_CRC) or bench.kind == "motor"


@pytest.mark.parametrize("name", OTHERS)
def test_sensors_lose_rows_not_order(name):
    bench = make_bench(name)
    bench.open()
    bench.collect(300)
    bench.clock.now_ns += 500_000_000  # the host sleeps
    rows = bench.collect(1000)
    assert (np.diff(rows["t_ns"]) > 0).all()
