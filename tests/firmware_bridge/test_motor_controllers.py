"""What is particular to ODrive, VESC, SimpleFOC and Dynamixel: budgets, options, watchdogs, and what one flipped bit
can do on each line."""

from __future__ import annotations

import math

import numpy as np
import pytest

from firmware_bridge import registry
from firmware_bridge.drivers import dynamixel_codec as dxl
from firmware_bridge.drivers import odrive_codec, simplefoc_codec
from firmware_bridge.drivers import vesc_codec as vesc
from firmware_bridge.errors import DeviceRefused, NoAnswer, OptionError, RateError, WrongDevice
from firmware_bridge.interface import AXIS_FEEDBACK, AxisMode, BridgeFault, Counters, Status
from firmware_bridge.memory_transport import memory_pair
from gimbal.config.load import load_rig
from gimbal.rig.acceptance import device_defaults
from tests.contract.bridge_bench import make_bench

TORQUE = AxisMode.TORQUE
NEW = ("odrive", "vesc", "simplefoc", "dynamixel")


def opened(name: str, options: dict[str, object] | None = None):
    bench = make_bench(name, options)
    bench.open()
    return bench


def flipped(frame: bytes):
    for bit in range(8 * len(frame)):
        data = bytearray(frame)
        data[bit // 8] ^= 1 << bit % 8
        yield bytes(data)


@pytest.mark.parametrize("name, options, hz, text", [
    ("odrive", {}, 500, "One request in flight"),
    ("odrive", {"link": "uart"}, 115200 / 550, "55 bytes a cycle"),
    ("vesc", {}, 1e6 / 14 / 135, "14 CAN frames of 135 bits"),
    ("vesc", {"link": "uart"}, 115200 / 870, "87 bytes a cycle"),
    ("simplefoc", {}, 115200 / 840, "84 bytes a cycle"),
    ("simplefoc", {"link": "usb"}, 250, "250 cycles a second"),
    ("dynamixel", {}, 1 / (2070 / 4e6 + 50e-6), "207 bytes a cycle both ways"),
])  # fmt: skip
def test_rate_budget_from_line_speed(name, options, hz, text):
    bench = opened(name, options)
    can = bench.driver.capabilities
    assert can.max_rate_hz == pytest.approx(hz, rel=1e-6)
    with pytest.raises(RateError, match=text):
        can.require_rate(hz * 1.01, name)


@pytest.mark.parametrize("name, baud, hz", [("simplefoc", 460800, 200), ("dynamixel", 4000000, 1000),
                                            ("dynamixel", 3000000, 1000)])  # fmt: skip
def test_the_rigs_rates_fit(name, baud, hz):
    bench = make_bench(name)
    bench.transport.baud = baud
    bench.driver.attach(bench.transport, bench.options)
    bench.driver.capabilities.require_rate(hz, name)


@pytest.mark.parametrize("name, key", [(name, "torque_constant_Nm_A") for name in NEW]
                         + [("vesc", "pole_pairs"), ("simplefoc", "max_current_A")])  # fmt: skip
def test_a_missing_conversion_is_named(name, key):
    bench = make_bench(name)
    options = {k: v for k, v in bench.options.items() if k != key}
    with pytest.raises(OptionError, match=f"needs option '{key}'.*add {key} = VALUE"):
        bench.driver.attach(bench.transport, options)


@pytest.mark.parametrize("name", NEW)
def test_torque_is_limited_on_the_way_out(name):
    bench = opened(name, {"max_torque_Nm": 0.05})
    bench.driver.arm()
    bench.cycle(TORQUE, torque=2.0, ms=40)
    assert all(abs(axis.drive.torque_Nm) == pytest.approx(0.05, abs=1e-3) for axis in bench.physics)


# ODrive


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
    from firmware_bridge.emulators.odrive import OdriveEmulator
    from firmware_bridge.emulators.physics import FreeAxis

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


# VESC


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


# SimpleFOC


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
                b"MMG0.05;0.1;0;0.05;0;1.2345;%.4f\r\n" % (-3.21 - 1.2345 * 0.005 * (3 - i)), rows, i * 5_000_000
            )
        assert rows[0]["valid"]
        codec.ask(0)
        rows["valid"] = 0
        if codec.feed(bad + b"\r\n", rows, 15_000_000):
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
        codec.feed(line + b"\r\n", rows, 0)
        assert not codec.settings_lost
    for lost in (False, True):
        codec.ask(0)
        codec.feed(damaged + b"\r\n", rows, 0)
        assert codec.settings_lost == lost
    codec.ask(0)
    codec.feed(good + b"\r\n", rows, 0)
    assert codec.settings_lost  # until it is configured


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


# Dynamixel


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


# The rigs


@pytest.mark.parametrize("rig", NEW)
def test_the_rig_file_fits_its_lines_and_names_every_axis_once(rig):
    config = load_rig(rig).config
    axes = []
    for device in config.devices.values():
        if device.driver != rig:
            continue
        driver = registry.create_driver(device.driver)
        _, near = memory_pair()
        near.baud = device.baud
        options = {k: v for k, v in device_defaults(config, "motor").items() if k in driver.OPTIONS}
        driver.attach(near, options | dict(device.options))
        driver.capabilities.require_rate(config.loop_rate_hz, rig)
        assert driver.capabilities.has_watchdog or rig in config.safety.accept_no_watchdog
        axes += [key for key in device.options if key in ("roll_id", "pitch_id", "yaw_id")]
    assert sorted(axes) == ["pitch_id", "roll_id", "yaw_id"]
