"""What is particular to Dynamixel: bus watchdog, EEPROM, stuffing, its CRC."""

from __future__ import annotations

import math

import numpy as np
import pytest

from firmware_bridge.drivers import dynamixel_codec as dxl
from firmware_bridge.errors import NoAnswer
from firmware_bridge.interface import AXIS_FEEDBACK, AxisMode, BridgeFault, Counters
from tests.contract.bridge_bench import make_bench, opened
from tests.firmware_bridge.flips import flipped

TORQUE = AxisMode.TORQUE


def test_dynamixel_watchdog_counts_in_20_ms_and_latches_in_the_servo():
    bench = opened("dynamixel", {"watchdog_ms": 50.0})
    bench.driver.arm()
    bench.cycle(TORQUE, torque=0.1, ms=20)
    assert bench.driver.watchdog_applied_s == [0.04] * 3
    bench.step(60)
    assert all(servo.table[98] == 255 for servo in bench.wire.emulator.servos.values())


def test_dynamixel_that_restarts_in_flight_stays_off_until_armed():
    bench = opened("dynamixel", {"reboot_ms": 5.0})
    bench.driver.arm()
    bench.cycle(TORQUE, torque=0.1, ms=20)
    servo = bench.wire.emulator.servos[2]
    bench.wire.emulator._reboot(servo, bench.clock())
    bench.cycle(TORQUE, torque=0.1, ms=40)
    assert bench.rows["fault"].tolist() == [0, BridgeFault.NOT_READY, 0] and servo.axis.drive.mode == 0
    bench.driver.arm()
    bench.cycle(TORQUE, torque=0.1, ms=20)
    assert (bench.rows["fault"] == 0).all() and servo.axis.drive.mode == TORQUE


def test_dynamixel_eeprom_is_written_only_where_it_differs():
    bench = opened("dynamixel")
    servo = bench.wire.emulator.servos[1]
    assert servo.table[9] == 0 and servo.table[11] == dxl.CURRENT_MODE
    written = []
    write = servo.write
    servo.write = lambda address, data, now: (written.append(address), write(address, data, now))[1]
    bench.driver.configure()
    assert all(address >= 64 for address in written)


def test_dynamixel_missing_servo_is_named():
    bench = make_bench("dynamixel")
    del bench.wire.emulator.servos[2]
    with pytest.raises(NoAnswer, match="Dynamixel id 2 on"):
        bench.open()


def test_dynamixel_header_inside_data_comes_through():
    bench = opened("dynamixel")
    bench.driver.arm()
    for angle in (0xFDFFFF, 0x00FDFF, -0x020001):  # ticks whose bytes, after a velocity of -1, spell the header
        bench.physics[0].angle_rad = (angle - 2048) * math.tau / 4096
        bench.physics[0].rate_rad_s = -dxl.RATE_UNIT
        bench.cycle(AxisMode.OFF, ms=4)
        assert bench.rows["angle_rad"][0] == pytest.approx(bench.physics[0].angle_rad, abs=0.01)
    assert bench.driver.counters.bad_crc == 0


def test_no_flipped_bit_passes_a_dynamixel_packet():
    bench = opened("dynamixel")
    bench.wire.emulator.feed(bench.driver.codec.ask_all, bench.clock())
    reply = bench.wire.emulator.out.pop()[1]
    assert len(reply) == 167
    for bad in flipped(reply):
        codec = dxl.DynamixelCodec([1, 2, 3], 0.2, 2.69e-3, 2048, Counters())
        assert codec.feed(bad + bytes(1100), np.zeros(3, AXIS_FEEDBACK), 0) == 0
    assert codec.feed(reply, np.zeros(3, AXIS_FEEDBACK), 0) == 3


def test_stuffing_round_trip_of_anything():
    rng = np.random.default_rng(5)
    for _ in range(3000):
        body = bytes(rng.choice([0xFF, 0xFD, 0x00], rng.integers(1, 30)).astype(np.uint8))
        assert dxl.unstuff(dxl.stuff(body)) == body and b"\xff\xff\xfd\x00" not in dxl.stuff(body)
