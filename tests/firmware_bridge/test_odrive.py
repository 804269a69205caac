"""What is particular to ODrive: its generations, one request in flight, lost replies, its checksum."""

from __future__ import annotations

import numpy as np
import pytest

from firmware_bridge.drivers import odrive_codec
from firmware_bridge.emulators.odrive import OdriveEmulator
from firmware_bridge.emulators.physics import FreeAxis
from firmware_bridge.errors import NoAnswer, OptionError
from firmware_bridge.interface import AXIS_FEEDBACK, AxisMode, BridgeFault, Counters
from tests.contract.bridge_bench import make_bench, opened
from tests.firmware_bridge.flips import flipped

TORQUE = AxisMode.TORQUE


@pytest.mark.parametrize("firmware, code", [("0.5.6", 0x800), ("0.6.11", 0x1000000)])
def test_odrive_of_both_generations_disarms_on_its_watchdog(firmware, code):
    bench = opened("odrive", {"firmware": firmware})
    assert firmware in str(bench.driver.identity)
    bench.driver.arm()
    bench.cycle(TORQUE, torque=0.1, ms=30)
    assert bench.rows["mode"][0] == TORQUE and bench.driver.watchdog_applied_s == [0.05]
    bench.step(70)
    assert bench.wire.emulator.axes[0].error == code and bench.wire.emulator.axes[0].state == odrive_codec.IDLE
    bench.cycle(TORQUE, torque=0.1, ms=10)
    assert bench.rows["fault"][0] == BridgeFault.WATCHDOG_EXPIRED


def test_odrive_two_axes_share_one_request_at_a_time():
    bench = make_bench("odrive")
    axes = [FreeAxis(), FreeAxis()]
    options = {"roll_id": 0, "pitch_id": 1, "torque_constant_Nm_A": 0.2}
    bench.wire.emulator = OdriveEmulator(axes, options)
    bench.driver.open(bench.transport, options)
    rows = np.zeros(2, AXIS_FEEDBACK)
    bench.driver.arm()
    seen = np.zeros(2, int)
    for _ in range(200):
        bench.clock.now_ns += 2_000_000
        bench.host.service(bench.clock())
        bench.driver.poll(rows)
        seen += rows["valid"]
        bench.driver.command([1, 1], [0.1, -0.1], [0, 0], [0, 0])
    assert rows["rate_rad_s"][0] > 0.2 and rows["rate_rad_s"][1] < -0.2
    assert seen.min() > 60 and bench.wire.emulator.dropped == 0  # one request in flight: nothing was dropped


def test_odrive_drops_a_reply_while_one_is_being_sent():
    bench = opened("odrive")
    emulator, now = bench.wire.emulator, bench.clock() + 10_000_000
    emulator.feed(b"f 0\nr vbus_voltage\n", now + 1)
    assert len(emulator.out) == 1 and emulator.dropped == 1


def test_odrive_lost_replies_are_asked_again_and_never_taken_for_others():
    bench = opened("odrive")
    bench.driver.arm()
    bench.cycle(TORQUE, torque=0.0, ms=20)
    bench.wire.faults_out.drop = 0.2
    for _ in range(300):
        bench.cycle(TORQUE, torque=0.0)
        row = bench.rows[0]
        assert abs(row["angle_rad"]) < 1e-3 and row["voltage_V"] in (0.0, pytest.approx(24.0)) and row["fault"] == 0
    assert bench.driver.counters.lost_rows > 20


def test_odrive_replies_that_all_come_late_are_waited_for():
    """3 ms more than the line's own time: later than the first patience, which would leave the motor silent."""
    bench = opened("odrive")
    bench.driver.arm()
    bench.cycle(TORQUE, torque=0.02, ms=60)
    bench.wire.faults_in.late_ns = bench.wire.faults_out.late_ns = 1_500_000
    bench.cycle(TORQUE, torque=0.02, ms=50)
    rows = 0
    for _ in range(250):  # half a second
        bench.cycle(TORQUE, torque=0.02)
        rows += int(bench.rows["valid"][0])
    assert rows > 40 and bench.rows["fault"][0] == 0
    bench.wire.faults_in.late_ns = bench.wire.faults_out.late_ns = 0
    before = bench.driver.counters.lost_rows
    bench.cycle(TORQUE, torque=0.02, ms=1000)
    assert bench.driver.counters.lost_rows == before and bench.driver._patience_ns == bench.driver._reply_timeout_ns


def test_odrive_axis_2_is_refused():
    bench = make_bench("odrive")
    with pytest.raises(OptionError, match="axes of a board are 0 and 1"):
        bench.driver.attach(bench.transport, {**bench.options, "roll_id": 2})
    with pytest.raises(NoAnswer, match="has no axis1"):
        modern = make_bench("odrive", {"firmware": "0.6.11"})
        modern.driver.open(modern.transport, {**modern.options, "roll_id": 1})


def test_no_flipped_bit_passes_an_odrive_line():
    line = b"-0.512345 -1.250000"
    line += b"*%d" % odrive_codec.xor8(line)
    for bad in flipped(line):
        codec, rows = odrive_codec.OdriveCodec([0], 0.2, True, Counters()), np.zeros(1, AXIS_FEEDBACK)
        codec.ask("feedback", 0)
        assert codec.feed(bad + b"\r\n", rows, 0) == 0, bad
    codec.ask("feedback", 0)
    assert codec.feed(line + b"\r\n", rows, 0) == 1
