"""What is particular to VESC: its timeout, controllers behind CAN, turns, its CRC."""

from __future__ import annotations

import math

import numpy as np
import pytest

from firmware_bridge.drivers import vesc_codec as vesc
from firmware_bridge.errors import DeviceRefused, NoAnswer, WrongDevice
from firmware_bridge.interface import AXIS_FEEDBACK, AxisMode, Counters, Status
from tests.contract.bridge_bench import make_bench, opened
from tests.firmware_bridge.flips import flipped

TORQUE = AxisMode.TORQUE


def test_vesc_timeout_is_set_without_storing_it_and_read_back():
    bench = opened("vesc")
    for motor in bench.wire.emulator.motors.values():
        assert (motor.timeout_ms, motor.stored_timeout_ms) == (50, 1000)
    assert bench.driver.watchdog_applied_s == [0.05] * 3


def test_vesc_timeout_after_replugging_is_set_again_before_anything_moves():
    bench = opened("vesc")
    bench.driver.arm()
    bench.cycle(TORQUE, torque=0.1, ms=20)
    bench.wire.unplug(bench.clock())
    bench.step()
    bench.wire.replug(bench.clock())  # back at its stored second
    assert bench.driver.reopen() == Status.OK
    bench.driver.arm()
    moved_unguarded = False
    for _ in range(100):
        bench.cycle(TORQUE, torque=0.1)
        moving = [motor for motor in bench.wire.emulator.motors.values() if motor.axis.drive.mode]
        moved_unguarded |= any(motor.timeout_ms != 50 for motor in moving)
    assert not moved_unguarded and len(moving) == 3 and bench.driver.watchdog_applied_s == [0.05] * 3


def test_vesc_that_can_not_set_its_timeout_is_refused():
    for accept in (False, True):
        bench = make_bench("vesc", {"accept_no_watchdog": accept})
        for motor in bench.wire.emulator.motors.values():
            motor.set_app_conf = lambda conf, store, now: False
        if accept:
            bench.open()
        else:
            with pytest.raises(DeviceRefused, match="reads back 1000.*accept_no_watchdog"):
                bench.open()


def test_vesc_missing_behind_can_and_old_firmware_are_named():
    bench = make_bench("vesc")
    del bench.wire.emulator.motors[3]
    with pytest.raises(NoAnswer, match=r"\(id 1\) answers, but not id 3"):
        bench.open()
    with pytest.raises(WrongDevice, match="firmware 4.06.*Update"):
        make_bench("vesc", {"firmware": 4}).open()
    with pytest.raises(WrongDevice, match="has id 1, the rig file says local_id 2"):
        old = make_bench("vesc")
        old.driver.open(old.transport, {**old.options, "local_id": 2})


def test_vesc_turns_are_counted_across_zero():
    bench = opened("vesc")
    bench.driver.arm()
    bench.cycle(AxisMode.RATE, rate=6.0, ms=1200)
    assert bench.rows["angle_rad"][0] == pytest.approx(bench.physics[0].angle_rad, abs=0.05) and (
        bench.rows["angle_rad"][0] > 2 * math.tau
    )


def test_no_flipped_bit_passes_a_vesc_packet():
    bench = opened("vesc")
    reply = b""
    bench.wire.emulator.feed(vesc.frame(b"\x32" + vesc.MASK.to_bytes(4, "big")), bench.clock())
    reply = bench.wire.emulator.out.pop()[1]
    assert len(reply) == 29
    for bad in flipped(reply):
        codec, rows = vesc.VescCodec([1], 1, 0.2, 7, 5.0, Counters()), np.zeros(1, AXIS_FEEDBACK)
        assert codec.feed(bad, rows, [0]) == 0
        assert codec.feed(b"\0" * 300 + reply, rows, [0]) == 1  # and the next is found
