"""HardwareRig on real ptys with emulated devices: places, signs, lost lines, and what it refuses."""

from __future__ import annotations

import math
import threading
import time

import numpy as np
import pytest

from firmware_bridge.emulators.gimbal_physics import FreeGimbal
from firmware_bridge.emulators.physics import Fix, FreeAxis, StillImu
from firmware_bridge.emulators.pty_host import Host
from firmware_bridge.registry import load_emulator
from gimbal.config.load import load_rig
from gimbal.config.schema import Device, Rig
from gimbal.emulated_world import ORIGIN, place_of
from gimbal.errors import UsageError
from gimbal.frames import AXES
from gimbal.records import COMMAND, SENSE, JointMode
from gimbal.rig.acceptance import device_defaults
from gimbal.rig.hardware import HardwareRig
from gimbal.rig.line import Line
from gimbal.rig.local_frame import LocalFrame


class Places:
    """A receiver that stands where it is put."""

    def __init__(self, pos_N: tuple[float, float, float]) -> None:
        self.pos_N = pos_N

    def fix(self, t_ns: int) -> Fix:
        lat, lon, height = place_of(np.array(self.pos_N))
        return Fix(lat, lon, height, (1.0, -2.0, 0.5), 1.2, 0.1)


@pytest.fixture
def rig_config() -> Rig:
    config = load_rig("torque").config
    joints = config.joints.model_copy(
        update={"pitch": config.joints.pitch.model_copy(update={"direction": -1, "zero_deg": 30.0})}
    )
    return config.model_copy(update={"joints": joints})


class Bench:
    """The rig's devices on ptys, served by a thread."""

    def __init__(self, config: Rig, folder) -> None:
        self.config = config
        self.axes = [FreeAxis(), FreeAxis(), FreeAxis()]
        self.host = Host(folder)
        physics = {
            "imu": StillImu(),
            "motors": self.axes,
            "gimbal": FreeGimbal(),
            "gnss": Places((0.0, 0.0, 0.0)),
            "beacon": Places((30.0, -20.0, 12.0)),
            **{f"{name}_motor": [axis] for name, axis in zip(AXES, self.axes)},
        }
        for name, device in config.devices.items():
            options = device_defaults(config, name if name in ("gnss", "beacon") else "motor") | dict(device.options)
            options |= {"latency_ms": 0.0} if name in ("gnss", "beacon") else {}
            self.host.add_pty(name, load_emulator(device.driver)(physics[name], options))
        self._over = threading.Event()
        self._thread = threading.Thread(target=self.host.run, args=(self._over.is_set, 0.001), daemon=True)
        self._thread.start()
        self.rig = HardwareRig(config, {name: str(folder / name) for name in config.devices})
        self.rig.open({"dt_s": 1.0 / config.loop_rate_hz})
        self.sense, self.command = np.zeros(1, SENSE), np.zeros(1, COMMAND)

    def until(self, what: str, true, seconds: float = 10.0) -> np.ndarray:
        """Tick until ``true(sense)``; returns that tick's SENSE."""
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            self.sense.view(np.uint8)[:] = 0
            self.rig.read(self.sense)
            self.rig.write(self.command)
            if true(self.sense[0]):
                return self.sense.copy()
            time.sleep(0.001)
        raise AssertionError(f"{what}: not within {seconds:g} s")

    def close(self) -> None:
        self.rig.safe()
        self.rig.close()
        self._over.set()
        self._thread.join()
        self.host.close()


@pytest.fixture
def bench(rig_config, tmp_path):
    running = Bench(rig_config, tmp_path)
    yield running
    running.close()


def test_every_device_reaches_its_fields(bench):
    sense = bench.until("IMU", lambda s: s["imu_n"] > 0)
    assert abs(sense["imu_accel_I"][0, 0, 2] + 9.80665) < 0.2
    assert 0 < sense["imu_t_ns"][0, 0] <= time.monotonic_ns()
    sense = bench.until("beacon", lambda s: s["beacon_valid"])
    assert np.allclose(sense["beacon_pos_N"][0], (30.0, -20.0, 12.0), atol=0.02)
    assert np.allclose(sense["beacon_vel_N"][0], (1.0, -2.0, 0.5), atol=1e-3)
    sense = bench.until("motors", lambda s: s["joint_valid"].all())
    assert sense["bus_V"][0] == pytest.approx(24.0, abs=0.2)
    assert sense["link_lost"][0] == 0


def test_replies_are_told_tick_by_tick_where_the_motors_line_has_frames(bench):
    told = []
    bench.rig.replies.tick = lambda valid, axes: told.append(([int(v) for v in valid], list(axes)))
    seen = []
    bench.until("motors", lambda s: seen.append([int(v) for v in s["joint_valid"]]) or s["joint_valid"].all())
    assert told == [(valid, [0, 1, 2]) for valid in seen]


def test_motors_are_told_when_their_line_was_looked_at_before(bench):
    line = next(x for x in bench.rig.lines if x.kind == "motor")
    poll, told, looks = line.driver.poll, [], []

    def polled(rows):
        told.append((line.driver.looked_ns, len(looks)))
        return poll(rows)

    line.driver.poll, clock = polled, bench.rig.clock
    bench.rig.clock = lambda: looks.append(clock()) or looks[-1]  # read asks once, first of all
    bench.until("motors' replies", lambda s: len(told) > 5)
    assert all(looked == looks[n - 2] for looked, n in told if n > 1)


@pytest.mark.parametrize(("link", "driven"), [("uart", []), ("usb", [0, 1, 2])])
def test_only_lines_in_frames_count_for_the_phase(link, driven, tmp_path):
    config = load_rig("simplefoc").config
    devices = {
        name: device.model_copy(update={"options": device.options | {"link": link}})
        for name, device in config.devices.items()
        if device.driver == "simplefoc"
    }
    bench = Bench(config.model_copy(update={"devices": config.devices | devices}), tmp_path)
    try:
        assert bench.rig._driven == driven
    finally:
        bench.close()


def test_signs_and_zeros_are_the_rig_files(bench):
    bench.axes[1].angle_rad = math.radians(50.0)  # the device's sense: ours is -(50 - 30)
    wanted = math.radians(-20.0)
    bench.until("pitch at -20", lambda s: s["joint_valid"][1] and abs(s["joint_angle"][1] - wanted) < 2e-3)
    bench.command["mode"] = JointMode.TORQUE
    bench.command["joint_torque_cmd"][0] = (0.0, 0.05, 0.0)
    bench.until("pitch turns", lambda s: s["joint_valid"][1] and s["joint_rate"][1] > 0.1)
    assert bench.axes[1].drive.torque_Nm == pytest.approx(-0.05, abs=1e-3)
    assert bench.axes[1].rate_rad_s < -0.1


def test_unplug_is_seen_and_replug_comes_back_configured(bench):
    bench.until("IMU", lambda s: s["imu_n"] > 0)
    wire = bench.host.wires["imu"]
    wire.unplug(time.monotonic_ns())
    bench.until("lost", lambda s: s["link_lost"] & 1)
    bench.until("no sample left", lambda s: s["link_lost"] & 1 and s["imu_n"] == 0)
    wire.replug(time.monotonic_ns())  # with its power: the device has forgotten its settings
    bench.until("port back", lambda s: not s["link_lost"] & 1)
    bench.until("samples back", lambda s: s["imu_n"] > 0)


@pytest.mark.parametrize(("name", "field"), [("imu", "imu_n"), ("gnss", "gnss_valid")])
def test_a_device_that_restarts_on_a_port_that_stays_is_configured_again(bench, name, field):
    bench.until("rows", lambda s: s[field])
    wire = bench.host.wires[name]
    wire.frozen = True  # its power is gone, its port has one of its own
    wire.emulator.reboot(time.monotonic_ns())
    end = time.monotonic() + 0.3
    while time.monotonic() < end:
        bench.until("a tick", lambda s: True)
    wire.emulator.reboot(time.monotonic_ns())
    wire.frozen = False
    bench.until("what was on its way", lambda s: not s[field])
    bench.until("configured again", lambda s: s[field], 20.0)
    assert bench.rig.lines[[line.name for line in bench.rig.lines].index(name)].configured_ns > 0


def test_a_board_that_was_asked_in_vain_is_asked_again(tmp_path):
    """Its line has no byte then by which it would be looked at."""
    bench = Bench(load_rig("storm32").config, tmp_path)
    try:
        bench.until("joints", lambda s: s["joint_valid"].all())
        wire = bench.host.wires["gimbal"]
        next(line for line in bench.rig.lines if line.name == "gimbal").quiet_ns = 10**12  # not by its long silence
        wire.faults_in.drop = 1.0
        bench.until("none", lambda s: not s["joint_valid"].any())
        lost_ns = time.monotonic_ns()
        bench.until("every question lost", lambda s: time.monotonic_ns() - lost_ns > 150_000_000)
        wire.faults_in.drop = 0.0
        bench.until("joints again", lambda s: s["joint_valid"].all() and s["joint_t_ns"][0] > lost_ns + 150_000_000)
    finally:
        bench.close()


def test_safe_never_raises(bench):
    bench.host.wires["motors"].unplug(time.monotonic_ns())
    bench.until("lost", lambda s: s["link_lost"] & 2)
    bench.rig.safe()
    bench.rig.safe()
    bench.rig.close()
    bench.rig.close()
    bench.rig.safe()


def test_two_reads_of_one_tick_append(bench):
    start_ns = time.monotonic_ns()
    bench.until("a second of IMU", lambda s: s["imu_n"] > 0 and s["imu_t_ns"][0] > start_ns + 1_000_000_000)
    bench.sense.view(np.uint8)[:] = 0
    while bench.sense["imu_n"][0] < 3:
        bench.rig.prefetch(bench.sense)
        time.sleep(0.001)
    n = int(bench.sense["imu_n"][0])
    assert (np.diff(bench.sense["imu_t_ns"][0, :n]) > 0).all()


class Queue:
    """A driver with samples that wait, 1 ms apart."""

    transport = None

    def __init__(self) -> None:
        self.waiting: list[int] = []
        self.said = 0

    def send(self, n: int) -> None:
        self.waiting += range(self.said + 1, self.said + n + 1)
        self.said += n

    def poll(self, rows: np.ndarray) -> int:
        n = min(len(rows), len(self.waiting))
        rows[:n] = 0
        rows["t_ns"][:n], rows["gyro_rad_s"][:n, 0] = self.waiting[:n], self.waiting[:n]
        del self.waiting[:n]
        return n


def queued(config: Rig, kind: str):
    """A rig with one line of this kind alone, and that line's driver."""
    rig, line = HardwareRig(config), Line(kind, "vectornav", kind, "none")
    line.driver = driver = Queue()
    rig.lines = [line]
    return rig, driver


def test_a_carrier_imu_faster_than_the_tick_takes_does_not_age(rig_config):
    rig, driver = queued(rig_config, "carrier_imu")
    sense = np.zeros(1, SENSE)
    for _ in range(20):
        sense.view(np.uint8)[:] = 0
        driver.send(10)
        rig.read(sense)
        newest = [driver.said - 3, driver.said - 2, driver.said - 1, driver.said]
        assert sense["carrier_n"][0] == 4 and sense["carrier_t_ns"][0].tolist() == newest
        assert sense["carrier_gyro_I"][0, :, 0].tolist() == newest and sense["carrier_status"][0] == 2
    for n, status in ((3, 0), (2, 2)):  # two looks of one tick
        sense.view(np.uint8)[:] = 0 if n == 3 else sense.view(np.uint8)
        driver.send(n)
        rig.prefetch(sense)
        assert sense["carrier_status"][0] == status
    assert sense["carrier_t_ns"][0].tolist() == [driver.said - 3 + k for k in range(4)]


def test_what_a_full_look_left_in_the_driver_is_fetched_the_next_tick(rig_config):
    """No more bytes come: a look in two parts filled SENSE with 5 and 3 samples, fewer than a look takes."""
    rig, driver = queued(rig_config, "imu")
    sense, line = np.zeros(1, SENSE), rig.lines[0]
    line.watched, line.descriptor = 99, lambda: 99  # as of an open port
    for n in (5, 6):
        driver.send(n)
        rig._bind(sense)
        rig._take(line, 0)
    assert sense["imu_n"][0] == 8 and len(driver.waiting) == 3 and line.troubled
    sense.view(np.uint8)[:] = 0
    rig._take(line, 0)
    assert sense["imu_n"][0] == 3 and not line.troubled


def with_devices(config: Rig, **devices: Device) -> Rig:
    return config.model_copy(update={"devices": devices})


@pytest.mark.parametrize(
    ("devices", "says"),
    [
        ({}, "needs one IMU"),
        ({"imu": Device(driver="vectornav"), "motors": Device(driver="moteus", options={"roll_id": 1})}, "has roll"),
        ({"tail": Device(driver="ublox")}, "must be called 'gnss'"),
    ],
)
def test_devices_that_make_no_rig(rig_config, devices, says):
    with pytest.raises(UsageError, match=says):
        HardwareRig(with_devices(rig_config, **devices)).open({"dt_s": 0.001})


@pytest.mark.parametrize("north_m", [0.0, 500.0, 5000.0])
@pytest.mark.parametrize("east_m", [0.0, -3000.0])
def test_local_frame_against_earth_centred_coordinates(north_m, east_m):
    """The offset between rig and subject, which points the camera, in the level frame at the rig's place."""
    frame = LocalFrame()
    frame.set_origin(*ORIGIN)
    rig_N = np.array((north_m, east_m, -200.0))
    subject_N = rig_N + (40.0, -15.0, 8.0)
    offset = np.subtract(frame.position_N(*place_of(subject_N)), frame.position_N(*place_of(rig_N)))
    # The tangent plane at the origin leans by distance over radius against the level there; the scale by tan(lat).
    allowed = 43.5 * (1e-6 + 2.5 * math.hypot(north_m, east_m, 200.0) / 6.37e6)
    assert np.linalg.norm(offset - (40.0, -15.0, 8.0)) < allowed
