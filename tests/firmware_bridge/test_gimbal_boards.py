"""What is particular to each gimbal board: old firmware, exact streams, the carrier's motion, odd commands."""

from __future__ import annotations

import math
import random
import struct

import numpy as np
import pytest

from firmware_bridge.angles import euler_of, quat_of
from firmware_bridge.drivers import sbgc_codec, storm32_codec
from firmware_bridge.drivers.mavlink_gimbal import MavlinkGimbalDevice
from firmware_bridge.drivers.sbgc import Sbgc
from firmware_bridge.drivers.storm32 import Storm32
from firmware_bridge.emulators.gimbal_physics import FreeGimbal
from firmware_bridge.emulators.sbgc import SbgcEmulator
from firmware_bridge.emulators.storm32 import Storm32Emulator
from firmware_bridge.errors import DeviceRefused, NoAnswer, OptionError, RateError, WrongDevice
from firmware_bridge.gimbal_interface import CarrierState, GimbalHas, GimbalMode
from firmware_bridge.interface import Status
from tests.contract.bridge_bench import make_bench

DEG = math.pi / 180
G = 9.80665
BANKED = CarrierState(
    0, quat_of((0.5, -0.2, 1.1)), (0.1, -0.2, 0.3), (20.0, -5.0, 2.0), (1.5, -0.7, -11.0), 0.02, 0.15, True, True
)


def asked(emulator, frame: bytes, now_ns: int = 10_000_000) -> list[tuple[int, bytes]]:
    """(command, payload) of each SimpleBGC answer."""
    emulator.feed(frame, now_ns)
    answers = [sbgc_codec.unframe(data) for _, data in emulator.out]
    emulator.out.clear()
    return answers


# SimpleBGC


def test_sbgc_limits_are_read_back_and_the_watchdog_confirmed():
    bench = make_bench("sbgc")
    identity = bench.open()
    assert identity.firmware == "2.73.3" and identity.model == "board 3.6"
    assert bench.driver.watchdog_confirmed and bench.wire.emulator.timeout_ns == 250_000_000
    assert np.allclose(bench.driver.limits.pitch, np.array([-90, 30]) * DEG)
    turned = make_bench("sbgc", {"invert": "pitch"})
    turned.open()
    assert np.allclose(turned.driver.limits.pitch, np.array([-30, 90]) * DEG)


def test_sbgc_of_protocol_1():
    bench = make_bench("sbgc", {"old": True, "firmware": 2620, "extended": False, "protocol": 1})
    assert bench.open().firmware == "2.62.0"
    bench.driver.arm()
    for _ in range(200):
        bench.step(10)
        bench.driver.command(GimbalMode.ATTITUDE, q=quat_of((0.0, -0.3, 0.5)))
    assert np.allclose(bench.physics.state(bench.clock()).euler_rad, [0.0, -0.3, 0.5], atol=1e-3)
    with pytest.raises((NoAnswer, WrongDevice), match="protocol"):
        make_bench("sbgc", {"old": True}).open()


def test_sbgc_firmware_too_old():
    bench = make_bench("sbgc", {"firmware": 2400})
    with pytest.raises(DeviceRefused, match=r"2\.40.*2\.60"):
        bench.open()
    bench = make_bench("sbgc", {"firmware": 2605})
    bench.open()
    assert not bench.driver.capabilities.has_watchdog and bench.driver.arm() == Status.REFUSED


def test_sbgc_quaternion_only_where_the_board_has_it():
    for extended, command in ((True, 140), (False, 67)):
        bench = make_bench("sbgc", {"extended": extended})
        bench.open()
        bench.driver.arm()
        sent = []
        bench.transport.write = lambda data, urgent=False, sent=sent: sent.append(data) or 0
        bench.driver.command(GimbalMode.ATTITUDE, q=(1.0, 0.0, 0.0, 0.0))
        assert sent[-1][1] == command


def test_sbgc_rates_are_fine_when_slow_and_coarse_when_fast():
    frame = sbgc_codec.control_rate((0.5 * DEG, 40 * DEG, -200 * DEG), 2)
    modes, values = frame[4:7], struct.unpack("<6h", frame[7:19])
    assert modes == bytes((0x81, 0x01, 0x01)) and values[0] == 500
    assert values[2] * 0.1220740379 == pytest.approx(40, abs=0.07) and values[4] * 0.122074 == pytest.approx(
        -200, abs=0.07
    )


def test_sbgc_errors_confirmations_and_streams():
    emulator = SbgcEmulator(FreeGimbal())
    assert asked(emulator, sbgc_codec.frame(200)) == [(255, bytes((200, 6, 0, 0, 0, 0)))]
    assert asked(emulator, sbgc_codec.frame(67, b"\1")) == [(255, bytes((67, 1, 0, 0, 0, 0)))]
    assert asked(emulator, sbgc_codec.control_rate((0, 0, 0), 2)) == [(67, b"\x43\0\0")]  # confirmed until told not to
    assert asked(emulator, sbgc_codec.control_config(100, 2)) == [(67, b"\x5a\0\0")]
    assert asked(emulator, sbgc_codec.control_rate((0, 0, 0), 2)) == []
    for what, size in ((23, 63), (25, 124), (88, 26)):
        (confirm,) = asked(emulator, sbgc_codec.stream(what, 10, sbgc_codec.FAST, 2))
        assert confirm == (67, b"\x55\0\0")
        times = []
        while len(times) < 5:
            now = emulator.next_ns()
            emulator.service(now)
            for _, data in emulator.out:
                command, payload = sbgc_codec.unframe(data)
                times += [now] if command == what and len(payload) == size else []
            emulator.out.clear()
        assert set(np.diff(times)) == {10_000_000}
        asked(emulator, sbgc_codec.stream(what, 0, 0, 2))


def test_sbgc_is_told_how_its_carrier_moves():
    bench = make_bench("sbgc", {"carrier_hz": 50.0})
    bench.open()
    assert bench.driver.feed_carrier(BANKED) == Status.OK
    bench.step(20)
    told = bench.wire.emulator.helper
    # by hand, brought forward by the attitude's age
    roll, pitch, yaw = euler_of(_advanced(BANKED))
    down_B = (-math.sin(pitch), math.sin(roll) * math.cos(pitch), math.cos(roll) * math.cos(pitch))
    accel = [f + G * d for f, d in zip(BANKED.force_B, down_B)]
    assert np.allclose(told["accel_m_s2"], (accel[1], accel[0], accel[2]), atol=0.02)
    assert np.allclose(told["roll_pitch"], (roll, pitch), atol=0.0005) and np.allclose(
        told["heading"], yaw, atol=0.0005
    )
    assert np.allclose(told["rate_rad_s"], (-0.2, 0.1, 0.3), atol=0.002)
    assert np.allclose(told["down"], (down_B[1], down_B[0], down_B[2]), atol=1e-6)
    north_B = (
        math.cos(pitch) * math.cos(yaw),
        math.sin(roll) * math.sin(pitch) * math.cos(yaw) - math.cos(roll) * math.sin(yaw),
    )
    assert np.allclose(told["north"][:2], (north_B[1], north_B[0]), atol=1e-6)
    bench.wire.emulator.helper.clear()
    bench.driver.feed_carrier(BANKED)
    bench.step(2)
    bench.driver.feed_carrier(BANKED)
    bench.step(2)
    assert not bench.wire.emulator.helper or bench.driver._carrier_ns  # no more often than carrier_hz
    sent = bench.transport.counters.bytes_out
    assert bench.driver.feed_carrier(BANKED) == Status.OK and bench.transport.counters.bytes_out == sent
    assert make_driver(Sbgc, carrier_hz=0.0).feed_carrier(BANKED) == Status.REFUSED


def _advanced(carrier: CarrierState):
    """The attitude at this moment, by many small steps of the rates."""
    q, n = np.array(carrier.q_NB), 1000
    p, qq, r = (w * carrier.attitude_delay_s / n for w in carrier.rate_B)
    for _ in range(n):
        w, x, y, z = q
        q = q + 0.5 * np.array(
            [-x * p - y * qq - z * r, w * p + y * r - z * qq, w * qq + z * p - x * r, w * r + x * qq - y * p]
        )
    return q / np.linalg.norm(q)


def make_driver(kind, **options):
    bench = make_bench(kind.NAME)
    driver = kind()
    driver.attach(bench.transport, options)
    return driver


# STorM32


def test_storm32_simple_commands():
    emulator = Storm32Emulator(FreeGimbal())
    for letter, size in ((b"t", 1), (b"v", 51), (b"d", 67), (b"s", 13)):
        emulator.feed(letter, 0)
        ((_, answer),) = emulator.out
        emulator.out.clear()
        assert answer.endswith(b"o") and len(answer) == size
    assert struct.unpack_from("<H", answer)[0] == 99  # standby until told otherwise


@pytest.mark.parametrize("frame,code", [
    (storm32_codec.frame(0xFA, 17, bytes(13)), 152),
    (storm32_codec.frame(0xFA, 99, b""), 3),
    (storm32_codec.frame(0xFA, 14, b"\7"), 1),
    (storm32_codec.frame(0xFA, 18, struct.pack("<HHH", 3000, 0, 0)), 1),
    (storm32_codec.frame(0xFA, 17, bytes(14))[:-1] + b"\xee", 151),
    (storm32_codec.frame(0xFA, 18, struct.pack("<HHH", 1600, 1500, 0)), 0),
])  # fmt: skip
def test_storm32_acknowledges(frame, code):
    emulator = Storm32Emulator(FreeGimbal())
    emulator.feed(frame, 0)
    ((_, answer),) = emulator.out
    assert answer == storm32_codec.encode(0xFB, storm32_codec.ACK, code)
    emulator.out.clear()
    emulator.feed(b"\xf9" + frame[1:], 10**9)
    assert not emulator.out  # F9 wants no answer


def test_storm32_holds_its_last_angles_without_a_host():
    bench = make_bench("storm32", {"accept_no_watchdog": True})
    bench.open()
    bench.driver.arm()
    for _ in range(100):
        bench.step(10)
        bench.driver.command(GimbalMode.ANGLE, euler_rad=(0.0, -0.4, 0.2))
    for _ in range(5000):
        bench.clock.now_ns += 1_000_000
    bench.host.service(bench.clock())
    assert np.allclose(bench.physics.state(bench.clock()).euler_rad, [0.0, -0.4, 0.2], atol=1e-3)
    assert not bench.driver.capabilities.has_watchdog


def test_storm32_standby_and_start_up_are_told():
    bench = make_bench("storm32", {"accept_no_watchdog": True, "startup_ms": 2000})
    bench.open()
    assert bench.collect(500)["mode"][-1] == -1
    bench.collect(2000)
    assert bench.collect(500)["mode"][-1] == 0
    bench.driver.arm()
    rows = bench.collect(500)
    assert rows["mode"][-1] == 1 and bench.driver.acknowledged == 0
    assert rows["voltage_V"][-1] == pytest.approx(15.0, abs=0.01) and rows["has"][-1] & GimbalHas.JOINT


def test_storm32_is_told_how_its_carrier_moves():
    bench = make_bench("storm32")
    bench.open()
    assert bench.driver.feed_carrier(BANKED) == Status.OK
    bench.step(20)
    link = bench.wire.emulator.link
    assert np.allclose(link["velocity"], BANKED.vel_N) and np.allclose(link["q"], _advanced(BANKED), atol=1e-5)


# MAVLink devices


def test_mavlink_device_tells_its_limits_and_who_it_is():
    bench = make_bench("mavlink_gimbal")
    identity = bench.open()
    assert identity.model == "EMULATED Three axes" and identity.firmware == "1.2.3.0" and identity.serial == "1234"
    assert np.allclose(bench.driver.limits.roll, (-0.8, 0.8))


def test_mavlink_device_that_knows_no_message_interval():
    bench = make_bench("mavlink_gimbal", {"knows_interval": False, "status_hz": 25})
    bench.open()
    assert len(bench.collect(1000)) == pytest.approx(25, abs=1) and bench.driver.counters.device_errors >= 1


def test_mavlink_device_of_another_component_is_named():
    bench = make_bench("mavlink_gimbal", {"component": 171})
    bench.options = {**bench.options, "component": 154}
    with pytest.raises(WrongDevice, match="1/171"):
        bench.open()


def test_mavlink_device_is_told_how_its_carrier_moves_with_both_delays():
    bench = make_bench("mavlink_gimbal")
    bench.open()
    assert bench.driver.feed_carrier(BANKED) == Status.OK
    bench.step(20)
    told = bench.wire.emulator.autopilot
    assert np.allclose(told["q"], BANKED.q_NB, atol=1e-6) and told["q_delay_us"] == (20_000,)
    assert np.allclose(told["velocity"], BANKED.vel_N) and told["v_delay_us"] == (150_000,)


# All


@pytest.mark.parametrize("kind,baud,least,most", [
    (Sbgc, 115200, 300, 400), (Sbgc, 57600, 130, 180),
    (Storm32, 115200, 250, 350), (MavlinkGimbalDevice, 115200, 150, 250),
])  # fmt: skip
def test_the_rate_budget_is_the_lines_arithmetic(kind, baud, least, most):
    driver = make_driver(kind)
    driver.transport.baud = baud
    can = driver.capabilities
    assert least < can.max_rate_hz < most
    assert str(baud) in can.budget
    can.require_rate(least, kind.NAME)
    with pytest.raises(RateError, match=f"{kind.NAME}.*1000 Hz asked"):
        can.require_rate(1000, kind.NAME)


def test_sbgc_carrier_takes_its_share_of_the_line():
    rates = [make_driver(Sbgc, carrier_hz=hz).capabilities.max_rate_hz for hz in (0.0, 100.0, 125.0)]
    assert rates[0] > rates[1] > rates[2] > 150
    a_second = 11520
    assert rates[2] == pytest.approx((a_second - 58 * 125) / 21)


def test_a_rate_option_out_of_range_is_named():
    with pytest.raises(OptionError, match="rate_hz.*outside 10 to 500"):
        make_driver(Sbgc, rate_hz=1000)


@pytest.mark.parametrize("name", ["sbgc", "storm32", "mavlink_gimbal"])
def test_mangled_commands_leave_the_emulator_whole(name):
    """The contract's fuzzer sends what opening sends; here every kind of command is mangled."""
    bench = make_bench(name, {"accept_no_watchdog": True})
    sent: list[bytes] = []
    bench.open()
    real = bench.transport._send
    bench.transport._send = lambda data: sent.append(data) or real(data)
    bench.driver.arm()
    for mode in (0, 2, 3, 5):
        bench.step(30)
        bench.driver.command(mode, (0.1, 0.2, 0.3), (0.1, 0.2, 0.3), quat_of((0.1, 0.2, 0.3)))
        bench.driver.feed_carrier(BANKED)
    bench.driver.safe("off")
    rng, emulator, now = random.Random(5), bench.wire.emulator, bench.clock()
    for _ in range(4000):
        data = bytearray(rng.choice(sent))
        for _ in range(rng.randrange(4)):
            data[rng.randrange(len(data))] ^= 1 << rng.randrange(8)
        emulator.feed(bytes(data[: rng.randrange(len(data) + 1)] if rng.random() < 0.2 else data), now)
        now += 100_000
        if emulator.next_ns() <= now:
            emulator.service(now)
        emulator.out.clear()
    assert np.isfinite(bench.physics.state(now).euler_rad).all()
    # payloads of any content under a right check
    for _ in range(3000):
        command, payload = (
            rng.choice([67, 72, 85, 90, 140, 56, 17, 14, 18, 6, 5, 3, 0xDA]),
            rng.randbytes(rng.randrange(45)),
        )
        if name == "sbgc":
            emulator.feed(sbgc_codec.frame(command, payload, 2), now)
        elif name == "storm32":
            emulator.feed(storm32_codec.frame(0xFA, command, payload), now)
        now += 100_000_000
        emulator.out.clear()
    assert np.isfinite(bench.physics.state(now).euler_rad).all()


@pytest.mark.parametrize("rig", ["sbgc", "storm32", "mavlink"])
def test_the_rig_files_fit_their_lines(rig):
    import tomllib
    from pathlib import Path

    from firmware_bridge import registry

    text = (Path(__file__).resolve().parents[2] / f"configs/rigs/{rig}.toml").read_text()
    config = tomllib.loads(text)
    device = config["devices"]["gimbal"]
    driver = registry.create_driver(device["driver"])
    transport = make_bench(device["driver"]).transport
    transport.baud = device["baud"]
    driver.attach(transport, device["options"])
    driver.capabilities.require_rate(config["loop_rate_hz"], rig)
    driver.capabilities.require_rate(device["options"]["rate_hz"], rig)
    watched = device["driver"] == "sbgc"
    assert watched or device["driver"] in config["safety"]["accept_no_watchdog"]
