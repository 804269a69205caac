"""Decoders that others wrote read our emulators: witmotion, adafruit-circuitpython-bno08x-rvc, pynmea2, pyubx2,
pymavlink."""

from __future__ import annotations

import io
import math
import sys
import time
import types

import numpy as np
import pytest

from firmware_bridge import registry
from firmware_bridge.emulators.line import UartLine
from firmware_bridge.emulators.physics import Fix, ImuSample, StillImage, StillImu, StraightFlight
from firmware_bridge.emulators.pty_host import Host, SimClock
from firmware_bridge.interface import ImuStatus
from tests.contract.bridge_bench import make_bench
from tests.firmware_bridge.serving import served

START = Fix(46.5, 7.9, 1500.0, (20.0, -5.0, 1.5), 1.2, 0.11, 3, 0.5)


class Turning:
    """A steady turn with gravity on z, or what else is given."""

    def __init__(self, gyro=(0.2, -0.1, 0.3), accel=(0.5, -0.25, 9.8)) -> None:
        self.gyro, self.accel = gyro, accel

    def sample(self, t_ns: int) -> ImuSample:
        return ImuSample(self.gyro, self.accel, 25.0)


def sent(name: str, physics, seconds: float, options=None) -> bytes:
    """What the emulator sends of its own accord."""
    clock, host = SimClock(), Host()
    _, transport = host.add_memory(name, registry.load_emulator(name)(physics, options), clock)
    got = b""
    for _ in range(int(seconds * 100)):
        clock.now_ns += 10_000_000
        host.service(clock())
        got += transport.read()
    return got


@pytest.mark.realtime
def test_witmotion_configures_and_reads_the_emulator(tmp_path):
    witmotion = pytest.importorskip("witmotion")
    from witmotion import protocol

    host = Host(tmp_path)
    host.add_pty("imu", registry.load_emulator("witmotion")(Turning()), lambda: UartLine(115200))
    times: list[float] = []
    with served(host):
        imu = witmotion.IMU(str(tmp_path / "imu"), 115200)
        try:
            imu.set_update_rate(100)
            imu.set_messages_enabled({protocol.AccelerationMessage, protocol.AngularVelocityMessage})
            time.sleep(0.1)
            imu.subscribe(lambda message: times.append(time.monotonic()), protocol.AngularVelocityMessage)
            end = time.monotonic() + 3
            while len(times) < 30 and time.monotonic() < end:
                time.sleep(0.02)
            rate, accel = imu.get_angular_velocity(), imu.get_acceleration()
        finally:
            imu.close()
            imu.ser.close()
    assert len(times) >= 30 and (times[-1] - times[0]) / (len(times) - 1) < 0.05  # no longer at the factory's 10 Hz
    assert np.allclose(np.radians(rate), (0.2, -0.1, 0.3), atol=1e-3)
    assert np.allclose(np.array(accel) / 9.8 * 9.80665, (0.5, -0.25, 9.8), atol=0.01)


def test_adafruit_reads_the_rvc_emulator(monkeypatch):
    monkeypatch.setitem(sys.modules, "busio", types.SimpleNamespace(UART=object))
    rvc = pytest.importorskip("adafruit_bno08x_rvc")
    data = sent("bno08x_rvc", Turning(), 0.5)

    class Uart(io.BytesIO):
        def reset_input_buffer(self) -> None:
            """Nothing is older."""

    device = rvc.BNO08x_RVC(Uart(data))
    headings = [device.heading for _ in range(len(data) // 19)]
    assert len(headings) >= 45
    assert np.allclose(np.array(headings)[:, 3:], (0.5, -0.25, 9.8), atol=0.006)
    # The sum of the rates over the time, small angles: yaw first.
    assert headings[9][0] == pytest.approx(math.degrees(0.3 * 0.1), abs=0.06)
    assert headings[9][2] == pytest.approx(math.degrees(0.2 * 0.1), abs=0.06)


def test_pynmea2_reads_receiver_and_flarm():
    pynmea2 = pytest.importorskip("pynmea2")
    for name in ("nmea", "flarm"):
        lines = sent(name, StraightFlight(START), 2.0, {"sentences": "RMC GGA GST"}).decode().splitlines()
        messages = [pynmea2.parse(line, check=True) for line in lines]
        kinds = {type(message).__name__ for message in messages}
        assert {"GGA", "RMC"} <= kinds and len(messages) >= 6
    text = sent("nmea", StraightFlight(START), 1.0, {"sentences": "RMC GGA GST"}).decode()
    receiver = [pynmea2.parse(line, check=True) for line in text.splitlines()]
    gga = next(message for message in receiver if message.sentence_type == "GGA")
    assert gga.latitude == pytest.approx(46.5, abs=1e-3) and float(gga.altitude) + float(gga.geo_sep) > 1490
    rmc = next(message for message in receiver if message.sentence_type == "RMC")
    assert rmc.spd_over_grnd * 1852 / 3600 == pytest.approx(math.hypot(20, 5), abs=0.01)
    assert rmc.true_course == pytest.approx(360 - math.degrees(math.atan2(5, 20)), abs=0.01)


def test_pynmea2_and_our_codec_agree():
    pynmea2 = pytest.importorskip("pynmea2")
    from firmware_bridge.drivers import nmea_codec

    for lat, lon in ((46.5, 7.9), (-33.999999, 151.0), (0.000001, -0.5), (59.99999999, -179.99999)):
        data = sent("nmea", StraightFlight(Fix(lat, lon)), 0.5, {"sentences": "GGA"}).splitlines()[0]
        theirs, ours = pynmea2.parse(data.decode(), check=True), nmea_codec.read_gga(nmea_codec.read(data))
        assert ours.lat_deg == pytest.approx(theirs.latitude, abs=1e-9) == pytest.approx(lat, abs=1e-7)
        assert ours.lon_deg == pytest.approx(theirs.longitude, abs=1e-9) == pytest.approx(lon, abs=1e-7)


def test_ublox_heading_reaches_the_driver():
    """NAV-RELPOSNED of pyubx2, field by field, against ours."""
    pyubx2 = pytest.importorskip("pyubx2")
    from firmware_bridge.drivers import ublox_codec as ubx

    values = {"version": 1, "iTOW": 5000, "relPosN": 87, "relPosE": -50, "relPosD": 3, "relPosLength": 100,
              "relPosHeading": 330.12345, "relPosHPN": 0.5, "accHeading": 0.5, "gnssFixOK": 1, "relPosValid": 1,
              "relPosHeadingValid": 1}  # fmt: skip
    message = pyubx2.UBXMessage("NAV", "NAV-RELPOSNED", pyubx2.GET, **values)
    relpos = ubx.read_relposned(message.payload)
    assert relpos is not None and relpos.valid and relpos.heading_deg == pytest.approx(330.12345, abs=1e-5)
    assert relpos.heading_std_deg == pytest.approx(0.5, abs=1e-4) and relpos.baseline_N[0] == pytest.approx(
        0.87, abs=0.01
    )
    bench = make_bench("ublox", {"heading": True})
    bench.physics.start.heading_rad = 0.5
    bench.open()
    bench.collect(1000)
    heading = bench.driver.heading[0]
    assert heading["valid"] == 1 and heading["heading_rad"] == pytest.approx(0.5, abs=1e-6)
    assert 0 < bench.clock() - heading["t_ns"] < 500_000_000


@pytest.mark.parametrize("kind", ["global_position_int", "follow_target"])
def test_pymavlink_reads_the_beacon(kind):
    pytest.importorskip("pymavlink")
    from pymavlink.dialects.v20 import common

    data = sent("mavlink_beacon", StraightFlight(START), 2.0, {"message": kind, "system_id": 7, "stranger": False})
    messages = common.MAVLink(None).parse_buffer(data)
    names = [message.get_type() for message in messages]
    assert names.count("HEARTBEAT") == 2 and names.count(kind.upper()) >= 8 and "BAD_DATA" not in names
    last = [message for message in messages if message.get_type() == kind.upper()][-1]
    assert last.get_srcSystem() == 7 and last.lat * 1e-7 == pytest.approx(46.5, abs=1e-3)
    if kind == "follow_target":
        assert list(last.vel) == [20, -5, 1.5] and last.est_capabilities == 3
    else:
        assert (last.vx, last.vy, last.vz) == (2000, -500, 150)


def test_pymavlink_reads_the_tracking_camera():
    pytest.importorskip("pymavlink")
    from pymavlink.dialects.v20 import common

    messages = common.MAVLink(None).parse_buffer(sent("vision_mavlink", StillImage(), 1.0))
    last = messages[-1]
    assert last.get_type() == "CAMERA_TRACKING_IMAGE_STATUS" and last.tracking_status == 1 and last.tracking_mode == 2
    assert (last.rec_top_x + last.rec_bottom_x) / 2 == pytest.approx(0.51, abs=0.01)


@pytest.mark.parametrize("name", ["xsens", "mip", "witmotion", "bno08x_rvc"])
@pytest.mark.parametrize("ppm", [-200, 200])
def test_samples_are_dated_by_the_devices_clock(name, ppm):
    """Against the emulator's own times: arrivals scatter, the dates don't."""
    bench = make_bench(name, {"clock_ppm": ppm})
    taken: list[int] = []
    sample = bench.physics.sample

    def noted(t_ns):
        taken.append(t_ns)
        return sample(t_ns)

    bench.physics.sample = noted
    bench.open()
    bench.collect(2000)
    rows = bench.collect(1500)
    true = np.array(taken)
    after = np.clip(np.searchsorted(true, rows["t_ns"]), 1, len(true) - 1)
    error_ns = np.minimum(np.abs(rows["t_ns"] - true[after - 1]), np.abs(rows["t_ns"] - true[after]))
    limit = 2_000_000 if name == "witmotion" else 700_000  # its clock counts whole ms, and so does the poll
    assert len(rows) > 100 and error_ns.max() < limit
    assert (np.diff(rows["t_ns"]) > 0).all() and (rows["t_ns"] <= rows["arrival_ns"]).all()


def test_rows_carry_what_the_sensor_measured():
    for name in ("xsens", "mip", "witmotion", "bno08x_rvc"):
        bench = make_bench(name)
        bench.wire.emulator.physics = Turning()
        bench.open()
        rows = bench.collect(200)
        coarse = 0.02 if name == "bno08x_rvc" else 1e-3
        assert np.allclose(rows["gyro_rad_s"], (0.2, -0.1, 0.3), atol=coarse), name
        assert np.allclose(rows["accel_m_s2"], (0.5, -0.25, 9.8), atol=0.006), name
        says = bench.driver.capabilities.carrier_only
        assert bool(says) == (name in ("bno08x_rvc", "witmotion"))
    assert "carrier" in make_bench("bno08x_rvc").open().model


@pytest.mark.parametrize("name, options", [
    ("vectornav", {}), ("vectornav", {"output": "common"}), ("xsens", {}), ("mip", {"time": "gps"}), ("witmotion", {}),
    ("mip", {"gyro_range_deg_s": 1e4, "accel_range_g": 1e3}),  # by its own flags, whatever is said
    ("xsens", {"gyro_range_deg_s": 1e4, "accel_range_g": 1e3}),
])  # fmt: skip
def test_samples_at_full_scale_are_marked(name, options):
    bench = make_bench(name, options)
    bench.open()
    quiet = bench.collect(100)
    assert not (quiet["status"] & ImuStatus.CLIPPED).any()
    bench.wire.emulator.physics = Turning((0.2, -40.0, 0.3), (0.5, -0.25, 9.8))
    assert (bench.collect(100)["status"][-5:] & ImuStatus.CLIPPED).all()
    bench.wire.emulator.physics = Turning((0.2, -0.1, 0.3), (0.5, -0.25, 170.0))
    assert (bench.collect(100)["status"][-5:] & ImuStatus.CLIPPED).all()


def test_fix_rows_hold_plain_numbers():
    bench = make_bench("nmea", {"sentences": "GGA RMC PUBX GST"})
    bench.open()
    rows = bench.collect(1000)
    rows = rows[1:]  # the first epoch doesn't know yet that PUBX will follow
    assert (rows["has_vel"] == 1).all() and np.allclose(rows["vel_N"], (20, -5, 1.5), atol=0.01)
    assert np.allclose(rows["pos_std_m"], 1.2, atol=0.01) and (rows["tow_ms"] % 200 == 0).all()
    plain = make_bench("nmea")
    plain.open()
    rows = plain.collect(1000)
    assert (rows["has_vel"] == 0).all() and (rows["vel_N"][:, 2] == 0).all()  # NMEA has no vertical speed
    taken = make_bench("nmea", {"vertical": "altitude"})
    taken.open()
    assert np.allclose(taken.collect(3000)["vel_N"][5:, 2], 1.5, atol=0.6)  # heights come in steps of 0.1 m


def test_still_imu_is_still():
    assert StillImu().sample(0).accel_m_s2[2] == pytest.approx(-9.8, abs=0.2)
