"""What every registered gimbal board's driver must do, beyond the contract of all drivers."""

from __future__ import annotations

import math

import numpy as np
import pytest

from firmware_bridge import registry
from firmware_bridge.angles import body_rates, quat_of
from firmware_bridge.errors import NoAnswer
from firmware_bridge.gimbal_interface import CarrierState, GimbalHas, GimbalMode
from firmware_bridge.interface import Status, WrongDevice
from tests.contract.bridge_bench import make_bench

GIMBALS = registry.names("gimbal")
DEG = math.pi / 180
STILL = CarrierState(0, (1.0, 0.0, 0.0, 0.0), (0.0, 0.0, 0.0), (0.0, 0.0, 0.0), (0.0, 0.0, -9.80665))


def opened(name: str, **options):
    """A bench whose driver may be armed: the risk of a missing watchdog accepted by name."""
    bench = make_bench(name, {**({"accept_no_watchdog": True}), **options})
    bench.open()
    return bench


def armed(name: str, **options):
    bench = opened(name, **options)
    assert bench.driver.arm() == Status.OK
    bench.collect(100)
    return bench


def driven(bench, ms: int, mode: int, **what) -> int:
    """Command every 8 ms for ``ms``; the worst status."""
    worst = 0
    for k in range(ms):
        bench.step()
        if k % 8 == 0:
            worst = min(worst, bench.driver.command(mode, **what))
    return worst


def euler(bench) -> np.ndarray:
    return np.array(bench.physics.state(bench.clock()).euler_rad)


@pytest.mark.parametrize("name", GIMBALS)
def test_angles_get_there_and_are_measured(name):
    bench = armed(name)
    want = np.array([3.0, -20.0, 35.0]) * DEG
    assert driven(bench, 3000, GimbalMode.ANGLE, euler_rad=want.tolist()) == 0
    assert np.allclose(euler(bench), want, atol=0.06 * DEG)
    rows = bench.collect(100)
    assert np.allclose(rows["euler_rad"][-1], want, atol=0.1 * DEG)
    if rows["has"][-1] & GimbalHas.JOINT:
        joints = bench.physics.state(bench.clock()).joint_rad
        assert np.allclose(rows["joint_rad"][-1], joints, atol=0.06 * DEG)


@pytest.mark.parametrize("name", GIMBALS)
def test_a_quaternion_gets_there(name):
    bench = armed(name)
    want = np.array([-2.0, 15.0, -40.0]) * DEG
    assert driven(bench, 3000, GimbalMode.ATTITUDE, q=quat_of(want)) == 0
    assert np.allclose(euler(bench), want, atol=0.06 * DEG)


@pytest.mark.parametrize("name", GIMBALS)
def test_rates_are_about_the_cameras_axes(name):
    bench = armed(name)
    driven(bench, 2500, GimbalMode.ANGLE, euler_rad=[0.0, -30 * DEG, 0.0])
    want = (0.0, 4.0 * DEG, 10.0 * DEG)
    driven(bench, 400, GimbalMode.RATE, rate_C=want)
    angles = euler(bench)
    driven(bench, 400, GimbalMode.RATE, rate_C=want)
    rates = (euler(bench) - angles) / 0.4
    assert np.allclose(body_rates((euler(bench) + angles) / 2, rates), want, atol=0.5 * DEG)


@pytest.mark.parametrize("name", GIMBALS)
@pytest.mark.parametrize("wrong", ["pitch", "yaw", "pitch yaw roll"])
def test_the_sense_of_each_axis_can_be_turned(name, wrong):
    plain, turned = armed(name, invert=""), armed(name, invert=wrong)
    want = np.array([4.0, -8.0, 15.0]) * DEG
    for bench in (plain, turned):
        driven(bench, 2500, GimbalMode.ANGLE, euler_rad=want.tolist())
        assert np.allclose(bench.collect(100)["euler_rad"][-1], want, atol=0.1 * DEG)
    flips = [-1.0 if axis in wrong else 1.0 for axis in ("roll", "pitch", "yaw")]
    assert np.allclose(euler(turned), np.array(flips) * euler(plain), atol=0.1 * DEG)


@pytest.mark.parametrize("name", GIMBALS)
def test_a_rate_that_is_not_repeated_ends(name):
    bench = armed(name)
    driven(bench, 200, GimbalMode.RATE, rate_C=(0.0, 0.0, 20 * DEG))
    before = euler(bench)[2]
    for _ in range(600):  # the loop polls on, but commands no more
        bench.step()
    stopped = euler(bench)[2]
    assert 0 < stopped - before < 20 * DEG * 0.4
    for _ in range(300):
        bench.step()
    assert abs(euler(bench)[2] - stopped) < 0.05 * DEG


@pytest.mark.parametrize("name", GIMBALS)
def test_nothing_moves_before_arm_nor_after_disarm(name):
    bench = opened(name)
    assert driven(bench, 100, GimbalMode.RATE, rate_C=(0.0, 0.3, 0.0)) == Status.NOT_ARMED
    assert abs(euler(bench)).max() == 0 and bench.physics.commands is None
    assert bench.driver.arm() == 0
    driven(bench, 200, GimbalMode.RATE, rate_C=(0.0, 0.3, 0.0))
    assert bench.physics.commands is not None and euler(bench)[1] > 0.01
    bench.driver.disarm()
    bench.collect(100)
    assert bench.physics.commands is None
    assert driven(bench, 50, GimbalMode.RATE, rate_C=(0.0, 0.3, 0.0)) == Status.NOT_ARMED
    assert bench.physics.commands is None


@pytest.mark.parametrize("name", GIMBALS)
def test_values_that_are_no_numbers_stop_the_motion(name):
    bench = armed(name)
    driven(bench, 200, GimbalMode.RATE, rate_C=(0.0, 0.3, 0.0))
    for bad in (math.nan, math.inf, -math.inf, 1e30):
        bench.step(8)
        assert bench.driver.command(GimbalMode.RATE, rate_C=(0.0, bad, 0.0)) == Status.BAD_VALUE
        assert bench.driver.command(GimbalMode.ANGLE, euler_rad=(bad, 0.0, 0.0)) == Status.BAD_VALUE
        assert bench.driver.command(GimbalMode.ATTITUDE, q=(1.0, bad, 0.0, 0.0)) == Status.BAD_VALUE
    assert bench.driver.command(7) == Status.BAD_VALUE
    bench.collect(600)
    assert abs(np.array(bench.physics.state(bench.clock()).rate_C)).max() < 0.01


@pytest.mark.parametrize("name", GIMBALS)
@pytest.mark.parametrize("action", ["off", "brake"])
def test_safe(name, action):
    bench = armed(name)
    driven(bench, 200, GimbalMode.RATE, rate_C=(0.0, 0.3, 0.0))
    assert bench.driver.safe(action) == 0 and bench.driver.safe(action) == 0
    bench.collect(900)
    still = euler(bench)
    bench.collect(200)
    assert np.allclose(euler(bench), still, atol=1e-4)
    assert action == "brake" or bench.physics.commands is None


@pytest.mark.parametrize("name", GIMBALS)
def test_a_board_without_a_watchdog_is_armed_only_by_name(name):
    bench = make_bench(name)
    bench.open()
    if bench.driver.capabilities.has_watchdog:
        assert bench.driver.arm() == Status.OK
    else:
        assert bench.driver.arm() == Status.REFUSED
        bench.collect(50)
        assert bench.physics.commands is None


@pytest.mark.parametrize("name", GIMBALS)
def test_the_devices_watchdog_stops_it_when_the_host_dies(name):
    bench = armed(name)
    if not bench.driver.capabilities.has_watchdog:
        pytest.skip(f"{name} has no watchdog: docs/devices.md says so, and arming needs the option accept_no_watchdog")
    driven(bench, 200, GimbalMode.RATE, rate_C=(0.0, 0.0, 0.3))
    for _ in range(bench.driver.options["watchdog_ms"] + 200):
        bench.clock.now_ns += 1_000_000
        bench.host.service(bench.clock())  # nobody polls: the host is dead
    assert abs(np.array(bench.physics.state(bench.clock()).rate_C)).max() < 0.001


@pytest.mark.parametrize("name", GIMBALS)
def test_a_fault_is_reported_and_stays_until_armed_again(name):
    bench = armed(name)
    bench.physics.fault = 1
    rows = bench.collect(1500)
    assert rows["fault"][-1] != 0 and rows["mode"][-1] == -1
    assert bench.physics.commands is None
    bench.physics.fault = 0
    bench.driver.arm()
    rows = bench.collect(1500)
    assert rows["fault"][-1] == 0 and rows["mode"][-1] == 1


@pytest.mark.parametrize("name", GIMBALS)
def test_the_carriers_motion_is_fed_or_refused(name):
    bench = armed(name)
    status = bench.driver.feed_carrier(STILL)
    assert status in (Status.OK, Status.REFUSED)
    bench.step(50)
    bad = CarrierState(0, (math.nan,) * 4, (0.0,) * 3, (0.0,) * 3, (0.0,) * 3)
    assert bench.driver.feed_carrier(bad) in (Status.BAD_VALUE, Status.REFUSED)


@pytest.mark.parametrize("name", GIMBALS)
def test_another_gimbal_on_the_port_is_named(name):
    for other in GIMBALS:
        if other != name:
            stranger, bench = make_bench(other), make_bench(name)
            with pytest.raises((WrongDevice, NoAnswer)) as caught:
                bench.driver.open(stranger.transport, bench.options)
            assert len(str(caught.value)) > 60


@pytest.mark.parametrize("name", GIMBALS)
def test_the_rate_asked_for_comes_and_is_within_the_line(name):
    bench = opened(name)
    can = bench.driver.capabilities
    rate = bench.driver.options["rate_hz"]
    assert rate <= can.max_rate_hz, can.budget
    bench.collect(500)
    assert len(bench.collect(1000)) == pytest.approx(rate, rel=0.06)


@pytest.mark.parametrize("name", GIMBALS)
def test_rows_are_as_old_as_they_say(name):
    bench = armed(name)
    turning = 0.4
    driven(bench, 500, GimbalMode.RATE, rate_C=(0.0, 0.0, turning))
    late = []
    for _ in range(400):
        n = bench.step()
        if bench.clock() % 8_000_000 == 0:
            bench.driver.command(GimbalMode.RATE, rate_C=(0.0, 0.0, turning))
        for row in bench.rows[: max(0, n)]:
            behind = (bench.clock() - row["t_ns"]) * 1e-9
            late.append(euler(bench)[2] - row["euler_rad"][2] - turning * behind)
    assert len(late) > 3
    assert abs(np.median(late)) < turning * 0.012  # the stated time is right to a few ms
