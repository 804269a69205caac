"""The operator's radio and bearings: failsafe, silence, damaged frames without a checksum, exposure times."""

from __future__ import annotations

import numpy as np
import pytest

from firmware_bridge.drivers import crsf_codec, sbus_codec
from firmware_bridge.emulators.physics import ImagePoint, Sticks
from firmware_bridge.interface import BEARING_ROW, Status
from firmware_bridge.memory_transport import memory_pair
from firmware_bridge.radio import HALF, StepGate
from firmware_bridge.registry import create_driver
from firmware_bridge.transport import SerialTransport, UdpTransport
from tests.contract.bridge_bench import make_bench

HELD = [1074, 828, 1238, 664] + [992] * 12


def opened(name: str, **options):
    bench = make_bench(name, options)
    bench.open()
    return bench


@pytest.mark.parametrize("name", ["sbus", "crsf"])
def test_channels_arrive(name):
    rows = opened(name).collect(500)
    assert np.allclose(rows["channel"][:, :5], (0.1, -0.2, 0.3, -0.4, 0.0), atol=1 / HALF)
    assert not rows["failsafe"].any() and not rows["frame_lost"].any() and (rows["n_channels"] == 16).all()
    assert len(rows) >= (30 if name == "sbus" else 70)
    if name == "crsf":
        assert (rows["link_quality"][20:] == 100).all() and (rows["rssi_dBm"][20:] == -60).all()


@pytest.mark.parametrize("name", ["sbus", "crsf"])
def test_failsafe_is_told_at_once_and_ends(name):
    bench = opened(name)
    bench.collect(100)
    held = bench.physics.held
    bench.physics.held = Sticks(held.channel, failsafe=True, link_quality=0)
    rows = bench.collect(300)
    assert rows["failsafe"][-1] == 1 and np.argmax(rows["failsafe"]) <= 16
    bench.physics.held = held
    assert bench.collect(300)["failsafe"][-1] == 0


@pytest.mark.parametrize("name", ["sbus", "crsf"])
def test_silence_gives_one_failsafe_row(name):
    bench = opened(name)
    bench.collect(100)
    bench.wire.frozen = True
    rows = bench.collect(500)
    assert rows["failsafe"].sum() == 1 and rows["failsafe"][-1] == 1
    assert np.allclose(rows["channel"][-1, :2], (0.1, -0.2), atol=1 / HALF)
    bench.wire.frozen = False
    assert bench.collect(300)["failsafe"][-1] == 0


def test_one_flipped_bit_of_an_sbus_frame_moves_a_channel_by_max_step_at_most():
    good = sbus_codec.frame(HELD)
    bench = opened("sbus")
    seen = 0
    for bit in range(8 * len(good)):
        far, near = memory_pair(bench.clock)
        bench.driver.transport = near
        bench.driver.configure()
        bad = bytearray(good)
        bad[bit // 8] ^= 1 << bit % 8
        for frame in (good, good, bytes(bad), good, good):
            bench.clock.now_ns += 14_000_000
            far.write(frame)
            n = bench.driver.poll(bench.rows)
            for row in bench.rows[: max(n, 0)]:
                raw = row["channel"] * HALF + 992
                assert np.abs(raw - HELD).max() <= 300 + 1e-6
                seen += 1
        assert n == 1 and np.allclose(bench.rows[0]["channel"] * HALF + 992, HELD) and not bench.rows[0]["failsafe"]
    assert seen > 3 * 8 * len(good)


def test_no_flipped_bit_passes_a_crsf_frame():
    frame = crsf_codec.channels(HELD)
    bench = opened("crsf")
    for bit in range(8 * len(frame)):
        bad = bytearray(frame)
        bad[bit // 8] ^= 1 << bit % 8
        bench.driver.framer.reset()
        assert bench.driver.framer.feed(bytes(bad)) == []


def test_a_switch_comes_one_frame_late_and_a_fast_stick_keeps_moving():
    gate = StepGate(300)
    assert gate.check([992] * 16) is None
    assert gate.check([1811] * 16) == [992] * 16 and gate.check([1811] * 16) == [1811] * 16
    # A stick thrown across in four frames of 410 each: held back by one frame, not stopped.
    seen = [gate.check([value] * 16)[0] for value in (1401, 991, 581, 172, 172)]
    assert seen[1] < 1811 and seen[-1] == 172 and all(b <= a for a, b in zip(seen, seen[1:]))
    assert gate.check([0] * 16) == [172] * 16  # out of range: the last stays


def test_an_sbus_byte_that_looks_like_a_beginning_is_outlived():
    """Sticks whose bytes hold 0F and, 24 later, 00: the gap between frames gives the true beginning."""
    raw = list(HELD)
    raw[0] = 0x0F << 3 | 0
    frame = sbus_codec.frame(raw)
    bench = opened("sbus")
    far, near = memory_pair(bench.clock)
    bench.driver.transport = near
    bench.driver.configure()
    far.write(frame[1:])  # the host came in the middle of a frame
    rows = 0
    for _ in range(6):
        bench.driver.poll(bench.rows)
        bench.clock.now_ns += 14_000_000
        far.write(frame)
        rows += bench.driver.poll(bench.rows) == 1
    assert rows >= 4 and np.allclose(bench.rows[0]["channel"][1:4] * HALF + 992, raw[1:4])


def test_serial_format_is_kept_over_a_reopening(tmp_path):
    import os

    master, slave = os.openpty()
    port = SerialTransport(os.ttyname(slave), 100000)
    port.set_format("E", 2)
    port._hang_up()
    assert port.reopen() == Status.OK and port._format == ("E", 2)
    os.write(master, b"\x0f\xff")  # a pty knows no parity: bytes pass all the same
    assert port.wait(1.0) and port.read() == b"\x0f\xff"
    port.close()
    os.close(master)
    os.close(slave)


@pytest.mark.parametrize("clock", ["sender", "host"])
def test_bearings_are_dated_by_the_middle_of_the_exposure(clock):
    options = {"clock": clock, "exposure_us": 8000.0, "readout_us": 10000.0, "jitter_ms": 12.0, "clock_ppm": 0.0}
    bench = make_bench("vision_json", options)
    middles: list[int] = []
    image = bench.physics.image
    bench.physics.image = lambda t_ns: middles.append(t_ns) or image(t_ns)
    bench.open()
    bench.collect(1000)
    rows = bench.collect(1000)
    wanted = np.array(middles) + 5_000_000  # the target is half way down a rolling shutter
    error_ns = np.array([np.abs(wanted - t).min() for t in rows["t_ns"]])
    assert len(rows) >= 28 and error_ns.max() < 500_000
    assert np.allclose(rows["xy_image"][:, 1], 0.5) and (rows["tracking"] == 1).all() and rows["confidence"][0] == 0.9
    assert bench.driver.counters.lost_rows == 0


def test_repeated_and_overtaken_bearings_are_dropped():
    bench = opened("vision_json")
    bench.wire.faults_out.duplicate = 1.0
    bench.wire.faults_out.delay, bench.wire.faults_out.delay_ns = 0.5, 80_000_000
    rows = bench.collect(2000)
    assert len(rows) > 30 and (np.diff(rows["t_ns"]) > 0).all() and (np.diff(rows["seq"]) > 0).all()
    assert bench.driver.counters.duplicates > 30


def test_a_lost_target_and_a_point_instead_of_a_box():
    bench = opened("vision_mavlink", rectangle=False)
    rows = bench.collect(500)
    assert (rows["tracking"] == 1).all() and np.allclose(rows["size_image"], 0.05, atol=1e-6)
    assert np.allclose(rows["arrival_ns"] - rows["t_ns"], 80_000_000)
    bench.physics.point = ImagePoint(tracking=False)
    rows = bench.collect(500)
    assert rows["tracking"][-1] == 0 and rows["confidence"][-1] == 0


def test_bearings_over_real_udp():
    """Datagrams without line ends, as most trackers send them."""
    near = UdpTransport(("127.0.0.1", 0))
    far = UdpTransport(("127.0.0.1", 0), near.local)
    driver, rows = create_driver("vision_json"), np.zeros(8, BEARING_ROW)
    driver.attach(near, {"must_hear": False})
    driver.identify()
    driver.configure()
    for i in range(5):
        far.write(b'{"x":0.25,"y":0.5,"seq":%d}' % i)
        assert near.wait(1.0) and driver.poll(rows) == 1
    assert rows["seq"][0] == 4 and rows["xy_image"][0].tolist() == [0.25, 0.5]
    far.write(b'{"x":2.0,"y":0.5}')
    assert near.wait(1.0) and driver.poll(rows) == 0 and driver.counters.bad_values == 1
    near.close()
    far.close()
