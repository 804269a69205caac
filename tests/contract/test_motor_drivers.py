"""What every registered motor controller's driver must do besides: modes, arming, watchdog, faults, reboots."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest

from firmware_bridge import registry
from firmware_bridge.errors import DeviceRefused
from firmware_bridge.interface import AxisMode, BridgeError, BridgeFault, OptionError, Status
from tests.contract.bridge_bench import make_bench

MOTORS = registry.names("motor")
WITH_WATCHDOG = [name for name in MOTORS if name != "simplefoc"]  # which has none: test_simplefoc.py


@pytest.mark.parametrize("name", MOTORS)
def test_modes(name):
    bench = make_bench(name)
    bench.open()
    modes = bench.driver.capabilities.modes
    assert AxisMode.OFF in modes and modes & {AxisMode.TORQUE, AxisMode.RATE, AxisMode.ANGLE}
    bench.driver.arm()
    if AxisMode.TORQUE in modes:
        assert bench.cycle(AxisMode.TORQUE, torque=0.1, ms=100) == 0
        assert np.allclose(bench.rows["torque_Nm"], 0.1, atol=0.01) and (bench.rows["rate_rad_s"] > 0.2).all()
        assert (bench.rows["mode"] == AxisMode.TORQUE).all()
    if AxisMode.RATE in modes:
        bench.cycle(AxisMode.RATE, rate=2.0, ms=600)
        assert np.allclose(bench.rows["rate_rad_s"], 2.0, atol=0.3)
    if AxisMode.ANGLE in modes:
        bench.cycle(AxisMode.ANGLE, angle=1.0, ms=1300)
        assert np.allclose(bench.rows["angle_rad"], 1.0, atol=0.05)
    if AxisMode.BRAKE in modes:
        bench.cycle(AxisMode.BRAKE, ms=200)
        assert all(axis.drive.mode == AxisMode.BRAKE for axis in bench.physics)
    bench.cycle(AxisMode.OFF, ms=5)
    assert all(axis.drive.mode == AxisMode.OFF for axis in bench.physics)


@pytest.mark.parametrize("name", MOTORS)
def test_a_brake_is_taken_by_every_device_as_a_brake_or_as_off(name):
    bench = make_bench(name)
    bench.open()
    bench.driver.arm()
    bench.cycle(AxisMode.TORQUE, torque=0.1, ms=60)
    before = bench.driver.counters.bad_values
    assert bench.cycle(AxisMode.BRAKE, ms=20) == Status.OK and bench.driver.counters.bad_values == before
    brakes = AxisMode.BRAKE in bench.driver.capabilities.modes
    assert all(axis.drive.mode == (AxisMode.BRAKE if brakes else AxisMode.OFF) for axis in bench.physics)


@pytest.mark.parametrize("name", MOTORS)
def test_nothing_moves_before_arm_nor_after_disarm(name):
    bench = make_bench(name)
    bench.open()
    assert bench.cycle(AxisMode.TORQUE, torque=1.0, ms=20) == Status.NOT_ARMED
    assert all(axis.rate_rad_s == 0 for axis in bench.physics)
    bench.driver.arm()
    bench.cycle(AxisMode.TORQUE, torque=0.1, ms=20)
    bench.driver.disarm()
    bench.cycle(AxisMode.TORQUE, torque=0.1, ms=5)
    assert all(axis.drive.mode == AxisMode.OFF for axis in bench.physics)


@pytest.mark.parametrize("name", MOTORS)
def test_values_that_are_no_numbers_turn_the_axis_off(name):
    bench = make_bench(name)
    bench.open()
    bench.driver.arm()
    bench.cycle(AxisMode.TORQUE, torque=0.1, ms=10)
    for bad in (math.nan, math.inf, -math.inf, 1e30):
        bench.step()
        n, i = bench.n, bench.n // 2
        torques = [bad if axis == i else 0.1 for axis in range(n)]
        assert bench.driver.command([1] * n, torques, [0] * n, [0] * n) == Status.BAD_VALUE
    bench.step(3 * bench.setup.period_ms)
    assert [axis.drive.mode for axis in bench.physics] == [0 if axis == i else 1 for axis in range(n)]
    assert bench.driver.command([7, 1, 1][:n], [0.0] * n, [0] * n, [0] * n) == Status.BAD_VALUE


@pytest.mark.parametrize("name", MOTORS)
def test_watchdog(name):
    bench = make_bench(name)
    bench.open()
    if not bench.driver.capabilities.has_watchdog:
        pytest.skip(f"{name} has no watchdog: docs/devices.md says so, and arming needs the config to accept it")
    bench.driver.arm()
    bench.cycle(AxisMode.TORQUE, torque=0.1, ms=50)
    assert (bench.rows["fault"] == 0).all()
    watchdog_s = bench.driver.options["watchdog_ms"] * 1e-3
    assert np.allclose(bench.driver.watchdog_applied_s, watchdog_s, rtol=0.05)  # as the device reads it back
    for _ in range(int(watchdog_s * 1000) + 10):  # the host is silent
        bench.step()
    assert all(axis.drive.mode != AxisMode.TORQUE for axis in bench.physics)
    bench.cycle(AxisMode.TORQUE, torque=0.1, ms=10)  # latched: commands alone don't bring it back
    assert (bench.rows["fault"] == BridgeFault.WATCHDOG_EXPIRED).all() and (bench.rows["mode"] == -1).all()
    assert all(axis.drive.mode != AxisMode.TORQUE for axis in bench.physics)
    bench.driver.arm()
    bench.cycle(AxisMode.TORQUE, torque=0.1, ms=20)
    assert (bench.rows["fault"] == 0).all() and all(axis.drive.mode == AxisMode.TORQUE for axis in bench.physics)


def _keeps_its_own(emulator: Any, name: str) -> None:
    """The device takes no other watchdog than it has."""
    if name == "odrive":
        emulator._writable["axis0.config.watchdog_timeout"] = lambda value, now: None
    elif name == "vesc":
        for motor in emulator.motors.values():
            motor.set_app_conf = lambda conf, store, now: False
    else:
        for servo in emulator.servos.values():
            if name == "dynamixel":
                servo.write = lambda at, data, now, write=servo.write: 0 if at == 98 and any(data) else write(
                    at, data, now)  # fmt: skip
            else:
                servo.read = lambda register, read=servo.read: 9.0 if register == 0x27 else read(register)


@pytest.mark.parametrize("name", WITH_WATCHDOG)
def test_a_watchdog_that_is_not_taken_is_refused_unless_the_risk_is_accepted_by_name(name):
    bench = make_bench(name)
    _keeps_its_own(bench.wire.emulator, name)
    with pytest.raises(DeviceRefused, match=r"reads back.*(host dies).*accept_no_watchdog = true"):
        bench.open()
    bench = make_bench(name, {"accept_no_watchdog": True})
    _keeps_its_own(bench.wire.emulator, name)
    bench.open()
    assert bench.driver.arm() == Status.OK
    assert bench.cycle(AxisMode.TORQUE, torque=0.1, ms=60) == Status.OK
    assert all(axis.drive.mode == AxisMode.TORQUE for axis in bench.physics)


@pytest.mark.parametrize("name", WITH_WATCHDOG)
def test_a_watchdog_that_is_no_longer_taken_when_armed_moves_nothing_and_says_so(name):
    bench = make_bench(name)
    bench.open()
    bench.cycle(AxisMode.OFF, ms=round(300 / bench.setup.period_ms))
    _keeps_its_own(bench.wire.emulator, name)
    bench.wire.emulator.reboot(bench.clock())
    bench.cycle(AxisMode.OFF, ms=round(700 / bench.setup.period_ms))
    bench.driver.arm()
    worst = bench.cycle(AxisMode.TORQUE, torque=0.1, ms=round(1500 / bench.setup.period_ms))
    assert all(axis.drive.mode != AxisMode.TORQUE for axis in bench.physics)
    assert worst in (Status.REFUSED, Status.NOT_ARMED) or (bench.rows["fault"] == BridgeFault.NOT_READY).all()


@pytest.mark.parametrize("name", MOTORS)
@pytest.mark.parametrize("action", ["off", "brake"])
def test_safe(name, action):
    bench = make_bench(name)
    bench.open()
    bench.driver.arm()
    bench.cycle(AxisMode.TORQUE, torque=0.1, ms=20)
    assert bench.driver.safe(action) == 0 and bench.driver.safe(action) == 0
    for _ in range(10):
        bench.step()
    brake = action == "brake" and AxisMode.BRAKE in bench.driver.capabilities.modes
    assert all(axis.drive.mode == (AxisMode.BRAKE if brake else AxisMode.OFF) for axis in bench.physics)


@pytest.mark.parametrize("name", MOTORS)
def test_a_device_fault_is_reported_and_latched(name):
    bench = make_bench(name)
    bench.open()
    bench.driver.arm()
    bench.cycle(AxisMode.TORQUE, torque=0.05, ms=10)
    i, code = bench.n // 2, bench.setup.fault
    bench.physics[i].fault = 38
    bench.cycle(AxisMode.TORQUE, torque=0.05, ms=10)
    assert bench.rows["fault"].tolist() == [code if axis == i else 0 for axis in range(bench.n)]
    assert bench.rows["mode"][i] == -1 and bench.physics[i].drive.mode == AxisMode.OFF
    bench.physics[i].fault = 0
    bench.cycle(AxisMode.TORQUE, torque=0.05, ms=10 + bench.setup.recover_ms)
    assert bench.rows["fault"][i] == code
    bench.driver.arm()
    bench.cycle(AxisMode.TORQUE, torque=0.05, ms=20 + bench.setup.recover_ms)
    assert (bench.rows["fault"] == 0).all()


@pytest.mark.parametrize("name", MOTORS)
def test_a_reboot_in_flight_ends_in_the_safe_state_until_it_is_set_up_anew(name):
    """Whatever drives the motor, drives it with the device's settings in force: watchdog, limits, modes."""
    bench = make_bench(name)
    bench.open()
    bench.driver.arm()
    bench.cycle(AxisMode.TORQUE, torque=0.05, ms=40)
    assert all(axis.drive.mode == AxisMode.TORQUE for axis in bench.physics)
    unset = unset_drives(bench)

    bench.wire.emulator.reboot(bench.clock())
    second = int(1000 / bench.setup.period_ms)
    bench.cycle(AxisMode.TORQUE, torque=0.05, ms=second)  # the host commands on
    assert not unset and all(axis.drive.mode not in (1, 2, 3) for axis in bench.physics)
    assert ((bench.rows["valid"] == 0) | (bench.rows["fault"] != 0)).all()  # silent, or says what it is
    bench.driver.arm()  # refused, or it sets the device up first
    bench.cycle(AxisMode.TORQUE, torque=0.05, ms=second)
    assert not unset

    bench.driver.disarm()
    bench.cycle(AxisMode.OFF, ms=10)
    bench.driver.configure()
    assert bench.cycle(AxisMode.TORQUE, torque=0.05, ms=10) == Status.NOT_ARMED
    assert bench.driver.arm() == Status.OK
    bench.cycle(AxisMode.TORQUE, torque=0.05, ms=second)
    assert not unset and (bench.rows["fault"] == 0).all()
    assert all(axis.drive.mode == AxisMode.TORQUE for axis in bench.physics)


@pytest.mark.parametrize("name", MOTORS)
def test_a_reboot_while_it_stands_armed(name):
    bench = make_bench(name)
    bench.open()
    bench.driver.arm()
    bench.cycle(AxisMode.TORQUE, torque=0.05, ms=40)
    bench.cycle(AxisMode.OFF, ms=20)
    unset = unset_drives(bench)
    bench.wire.emulator.reboot(bench.clock())
    bench.cycle(AxisMode.OFF, ms=int(1000 / bench.setup.period_ms))
    bench.cycle(AxisMode.TORQUE, torque=0.05, ms=int(1000 / bench.setup.period_ms))
    assert not unset


@pytest.mark.parametrize(
    "name, options, unset_ms",
    [("vesc", {}, 130), ("simplefoc", {"verbose": 3, "starts_enabled": True}, 40), ("simplefoc", {"verbose": 1}, 0)],
)
def test_a_restart_too_short_to_be_missed_is_seen_by_its_settings(name, options, unset_ms):
    """20 ms of silence are nothing; its uptime (VESC) or the way it prints (SimpleFOC) tell."""
    bench = make_bench(name, {"boot_ms": 20.0, **options})
    bench.open()
    bench.driver.arm()
    bench.cycle(AxisMode.TORQUE, torque=0.05, ms=round(300 / bench.setup.period_ms))
    assert all(axis.drive.mode == AxisMode.TORQUE for axis in bench.physics) and not bench.driver.restarted
    unset = unset_drives(bench)
    bench.wire.emulator.reboot(bench.clock())
    rebooted_ns = bench.clock()
    bench.cycle(AxisMode.TORQUE, torque=0.05, ms=round(150 / bench.setup.period_ms))
    assert bench.driver.restarted and bench.driver.arm() == Status.REBOOTED
    assert all(t_ns - rebooted_ns < 1e6 * unset_ms for _, _, t_ns in unset)
    bench.cycle(AxisMode.TORQUE, torque=0.05, ms=round(1200 / bench.setup.period_ms))
    assert all(axis.drive.mode not in (1, 2, 3) for axis in bench.physics)
    bench.driver.disarm()
    bench.driver.configure()
    assert bench.driver.arm() == Status.OK
    bench.cycle(AxisMode.TORQUE, torque=0.05, ms=round(500 / bench.setup.period_ms))
    assert (bench.rows["fault"] == 0).all() and not bench.driver.restarted
    assert all(axis.drive.mode == AxisMode.TORQUE for axis in bench.physics)


def unset_drives(bench):
    """From now on: the motions (axis, drive, when) that a device begins without its settings."""
    found = []
    for axis, physics in enumerate(bench.physics):

        def drive(what, t_ns, axis=axis, carry_out=physics.set_command):
            if what.mode in (1, 2, 3) and not bench.setup.set_up(bench.wire.emulator, axis, bench.driver.options):
                found.append((axis, what, t_ns))
            carry_out(what, t_ns)

        physics.set_command = drive
    return found


def test_two_axes_with_one_id_are_refused():
    bench = make_bench("moteus")
    with pytest.raises(OptionError, match="share an id"):
        bench.driver.attach(bench.transport, {"roll_id": 1, "pitch_id": 1})
    with pytest.raises(BridgeError, match="no axis is named"):
        bench.driver.attach(bench.transport, {})
