"""What is particular to moteus: links, checksums, strangers on the bus, time of the sample, states on the way."""

from __future__ import annotations

import math

import numpy as np
import pytest

from firmware_bridge.emulators.moteus import Servo
from firmware_bridge.emulators.physics import FreeAxis
from firmware_bridge.errors import DeviceRefused, NoAnswer, RateError, WrongDevice
from firmware_bridge.interface import AxisMode, BridgeFault, Status
from tests.contract.bridge_bench import make_bench


def test_an_adapter_of_before_checksums_is_spoken_to_without():
    bench = make_bench("moteus", {"plain": True})
    bench.open()
    assert not bench.driver.codec.checksum
    bench.driver.arm()
    bench.cycle(AxisMode.TORQUE, torque=0.1, ms=20)
    assert (bench.rows["mode"] == AxisMode.TORQUE).all()


def test_uart_always_has_checksums_and_a_budget_of_its_own():
    bench = make_bench("moteus", {"link": "uart"})
    bench.open()
    assert bench.driver.codec.checksum
    with pytest.raises(RateError, match=r"1000 Hz asked, but the line carries 334 Hz\. 276 bytes a cycle"):
        bench.driver.capabilities.require_rate(1000.0, "moteus")


def test_three_axes_on_one_bus_carry_1_khz_but_not_2():
    bench = make_bench("moteus")
    bench.open()
    bench.driver.capabilities.require_rate(1000.0, "moteus")
    with pytest.raises(RateError, match="6 CAN-FD frames"):
        bench.driver.capabilities.require_rate(2000.0, "moteus")


def test_a_missing_axis_is_named():
    bench = make_bench("moteus")
    del bench.wire.emulator.servos[2]
    with pytest.raises(NoAnswer, match="moteus id 2 on"):
        bench.open()


def test_two_controllers_with_one_id_are_noticed():
    bench = make_bench("moteus")
    emulator = bench.wire.emulator
    twin = Servo(1, FreeAxis(), {})
    twin.serial = (0xBAD, 0, 0)
    answer = emulator._can_frame

    def both(can_id, data, checksum, now_ns):
        answer(can_id, data, checksum, now_ns)
        first, emulator.servos[1] = emulator.servos[1], twin
        answer(can_id, data, checksum, now_ns)
        emulator.servos[1] = first

    emulator._can_frame = both
    with pytest.raises(WrongDevice, match="share an id"):
        bench.open()


@pytest.mark.parametrize("version, what", [(3, "its firmware"), (6, "this program")])
def test_another_register_map_asks_for_an_update(monkeypatch, version, what):
    bench = make_bench("moteus")
    measure = Servo._measure
    monkeypatch.setattr(Servo, "_measure", lambda self, now: {**measure(self, now), 0x102: version})
    with pytest.raises(WrongDevice, match=f"register map {version}.*Update {what}"):
        bench.open()


def test_the_watchdog_is_read_back_before_anything_moves():
    bench = make_bench("moteus", {"watchdog_ms": 70.0})
    bench.open()
    assert [servo.command[0x27] for servo in bench.wire.emulator.servos.values()] == [0.07] * 3
    assert all(axis.drive.mode == AxisMode.OFF for axis in bench.physics)
    n, zero = bench.n, [0.0] * bench.n
    bench.driver.arm()
    for _ in range(20):  # one axis alone: the others stand, and what a stop left in them is no fault of theirs
        bench.step()
        bench.driver.command([AxisMode.TORQUE, 0, 0], [0.1] * n, zero, zero)
    assert bench.driver.watchdog_applied_s[0] == pytest.approx(0.07) and (bench.rows["fault"] == 0).all()
    bench.cycle(AxisMode.TORQUE, torque=0.1, ms=20)
    assert bench.driver.watchdog_applied_s == pytest.approx([0.07] * 3) and (bench.rows["fault"] == 0).all()


def test_a_controller_that_takes_no_watchdog_is_refused_unless_accepted_by_name(monkeypatch):
    monkeypatch.setattr(Servo, "read", lambda self, register, read=Servo.read: (
        math.inf if register == 0x27 else read(self, register)))  # fmt: skip
    with pytest.raises(DeviceRefused, match="told a watchdog of 50 ms and reads back inf.*accept_no_watchdog"):
        make_bench("moteus").open()
    bench = make_bench("moteus", {"accept_no_watchdog": True})
    bench.open()
    bench.driver.arm()
    bench.cycle(AxisMode.TORQUE, torque=0.1, ms=20)
    assert all(axis.drive.mode == AxisMode.TORQUE for axis in bench.physics)


def test_a_watchdog_that_reads_otherwise_in_flight_keeps_its_axis_off(monkeypatch):
    bench = make_bench("moteus")
    bench.open()
    bench.driver.arm()
    monkeypatch.setattr(Servo, "read", lambda self, register, read=Servo.read: (
        9.0 if register == 0x27 and self.can_id == 2 else read(self, register)))  # fmt: skip
    bench.cycle(AxisMode.TORQUE, torque=0.1, ms=30)
    assert [axis.drive.mode for axis in bench.physics] == [AxisMode.TORQUE, AxisMode.OFF, AxisMode.TORQUE]
    assert list(bench.rows["fault"]) == [0, BridgeFault.NOT_READY, 0]


def test_leaving_stop_takes_a_moment_and_is_no_fault():
    bench = make_bench("moteus")
    bench.open()
    bench.driver.arm()
    seen = []
    for _ in range(15):
        bench.cycle(AxisMode.TORQUE)
        if bench.rows["valid"].all():
            seen.append((int(bench.rows["mode"][0]), int(bench.rows["fault"][0])))
    assert (-1, 0) in seen and seen[-1] == (AxisMode.TORQUE, 0)
    assert all(fault == 0 for _, fault in seen)


def test_the_sample_is_dated_within_a_usb_frame():
    bench = make_bench("moteus")
    bench.open()
    bench.driver.arm()
    bench.cycle(AxisMode.RATE, rate=3.0, ms=1500)  # steady
    errors = []
    for _ in range(50):
        bench.cycle(AxisMode.RATE, rate=3.0)
        axis, row = bench.physics[0], bench.rows[0]
        age_s = (bench.clock() - int(row["t_ns"])) * 1e-9
        axis.advance(bench.clock())
        errors.append((axis.angle_rad - row["angle_rad"]) / axis.rate_rad_s - age_s)
    assert np.abs(errors).max() < 1.1e-3


def test_a_full_line_is_reported():
    bench = make_bench("moteus")
    bench.open()
    bench.driver.arm()
    bench.transport.capacity = 600
    statuses = [bench.driver.command([1] * 3, [0.0] * 3, [0.0] * 3, [0.0] * 3) for _ in range(6)]
    assert statuses[0] == Status.OK and statuses[-1] == Status.LINE_FULL
    bench.driver.safe("off")
    for _ in range(5):
        bench.step()
        bench.transport.flush()
    assert all(axis.drive.mode == AxisMode.OFF for axis in bench.physics)


def test_how_soon_replies_come_is_learned_at_opening():
    """In frames of 1 ms each way: a stop just before one is answered by the next, none sooner."""
    bench = make_bench("moteus")
    bench.open()
    assert 1.0 <= bench.driver._questions.soonest_ns / 1e6 <= 1.4
