"""MAVSDK, the ground station's library, drives the running daemon: what it asked for is where the plant's camera is.

The rig has the receiver and the IMU of a surveyor (two antennas, carrier phase, a calibrated accelerometer), for the
camera can't point better than the rig knows north and down. The plant's truth is read from its own shared memory.
A host that stalls for less than 0.1 s is no fault of this rig's.
"""

from __future__ import annotations

import contextlib
import math
import select
import signal
import socket
import subprocess
import sys
import threading
import time

import numpy as np
import pytest
from pymavlink.dialects.v20 import common as mav

from firmware_bridge.angles import euler_of
from firmware_bridge.mavlink_records import north_east_down
from gimbal.emulated_world import ORIGIN
from gimbal.faults import Code
from gimbal.records import Arm, Mode
from gimbal.telemetry.ring import RingReader
from hil_tests.harness import PATIENCE_S, REPO, wait_for

mavsdk = pytest.importorskip("mavsdk", reason="the mavsdk package is not installed")

TOLERANCE_DEG = 0.2
HOME_M = 1900.0  # above the sea, of the vehicle's home
SURVEYED = {
    "accel_bias_mg = 3.0": "accel_bias_mg = 0.3",
    "[gnss]\nrate_hz = 5.0": "[gnss]\nheading_std_deg = 0.2\nrate_hz = 5.0",
    "pos_walk_m = 1.0": "pos_walk_m = 0.02",
    "pos_white_m = 0.15": "pos_white_m = 0.01",
    "[gnss]": "[safety]\nimu_safe_ms = 200.0\nmotor_safe_ms = 200.0\ndevice_watchdog_ms = 100.0\n[gnss]",
    "baud = 115200": "baud = 115200\noptions = { heading = true }",
}


class Vehicle:
    """The autopilot between ground station and gimbal: passes datagrams on, and tells both where it is."""

    def __init__(self, gimbal_port: int, rows: RingReader, truth: RingReader) -> None:
        self.rows, self.truth = rows, truth
        self.ground, self.gimbal = (socket.socket(socket.AF_INET, socket.SOCK_DGRAM) for _ in range(2))
        self.ground.setblocking(False)
        self.gimbal.setblocking(False)
        self.ground.bind(("127.0.0.1", 0))
        self.gimbal.connect(("127.0.0.1", gimbal_port))
        self.station: tuple[str, int] | None = None
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run)
        self._thread.start()

    @property
    def url(self) -> str:
        return f"udpout://127.0.0.1:{self.ground.getsockname()[1]}"

    def latest(self) -> np.void:
        row = self.truth.latest()
        assert row is not None
        return row[0]

    def attitude(self) -> tuple[float, float, float]:
        """The camera's true roll, pitch, yaw, deg."""
        roll, pitch, yaw = euler_of(self.latest()["q_NC"].tolist())
        return math.degrees(roll), math.degrees(pitch), math.degrees(yaw)

    def heading(self) -> float:
        return euler_of(self.latest()["q_NB"].tolist())[2]

    def _run(self) -> None:
        autopilot = mav.MAVLink(None, srcSystem=1, srcComponent=1)
        lat, lon, height = ORIGIN
        here = mav.MAVLink_global_position_int_message(
            0, round(lat * 1e7), round(lon * 1e7), round(height * 1e3), round((height - HOME_M) * 1e3), 0, 0, 0, 0
        )
        beat = mav.MAVLink_heartbeat_message(2, 12, 0, 0, 4, 3)
        next_s = 0.0
        while not self._stop.is_set():
            for source in select.select([self.ground, self.gimbal], [], [], 0.05)[0]:
                with contextlib.suppress(ConnectionRefusedError, BlockingIOError):
                    if source is self.ground:
                        data, self.station = self.ground.recvfrom(2048)
                        self.gimbal.send(data)
                    elif self.station is not None:
                        self.ground.sendto(self.gimbal.recv(2048), self.station)
                    else:
                        self.gimbal.recv(2048)
            if time.monotonic() > next_s:
                next_s = time.monotonic() + 0.2
                attitude = mav.MAVLink_attitude_message(0, 0.0, 0.0, self.heading(), 0.0, 0.0, 0.0)
                for message in (beat, here, attitude):
                    data = message.pack(autopilot)
                    with contextlib.suppress(ConnectionRefusedError):
                        self.gimbal.send(data)
                        if self.station is not None:
                            self.ground.sendto(data, self.station)

    def close(self) -> None:
        self._stop.set()
        self._thread.join(5)
        self.ground.close()
        self.gimbal.close()


@pytest.fixture
def flown(place, daemon):
    """(vehicle, MAVSDK's gimbal, the daemon's TICK rows), armed and with north found."""
    from mavsdk.plugins.gimbal import Gimbal

    text = place.rig.read_text()
    for old, new in SURVEYED.items():
        assert old in text
        text = text.replace(old, new, 1)
    place.rig.write_text(text)
    gimbal = daemon("--arm", "--mode", "lock")
    gimbal.await_state("armed")
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    words = ["--rig", place.name, "--endpoint", f"udpin:127.0.0.1:{port}", "--origin", ",".join(map(str, ORIGIN))]
    face = subprocess.Popen([sys.executable, "-m", "gimbal.telemetry.publishers.mavlink", *words], cwd=REPO,
                            env=place.environment())  # fmt: skip
    rows, truth = (place.reader(name) for name in ("tick", "truth"))
    vehicle = Vehicle(port, rows, truth)
    station = mavsdk.Mavsdk(mavsdk.Configuration.create_with_component_type(mavsdk.ComponentType.GROUND_STATION))
    try:
        station.add_any_connection(vehicle.url)
        wait_for("the vehicle is found", lambda: len(station.get_systems()) > 0)
        driver = Gimbal(station.get_systems()[0])
        wait_for("the gimbal is found", lambda: len(driver.gimbal_list().gimbals) > 0)
        wait_for("north is found", lambda: north_std_deg(rows) < 0.08, 60.0)
        yield vehicle, driver, rows
        with contextlib.suppress(Exception):
            driver.destroy()
    finally:
        with contextlib.suppress(Exception):
            station.destroy()
        vehicle.close()
        face.send_signal(signal.SIGTERM)
        assert face.wait(PATIENCE_S) == 0


def north_std_deg(rows: RingReader) -> float:
    row = rows.latest()
    return math.inf if row is None or not row[0]["nav"]["heading_valid"] else math.degrees(row[0]["nav"]["heading_std"])


def off(vehicle: Vehicle, want: tuple[float, float, float]) -> list[float]:
    return [math.remainder(a - b, 360.0) for a, b in zip(vehicle.attitude(), want)]


def reached(vehicle: Vehicle, want: tuple[float, float, float]) -> None:
    """Within the tolerance, and there for a whole second."""
    since = math.inf

    def there() -> bool:
        nonlocal since
        now = time.monotonic()
        since = min(since, now) if max(map(abs, off(vehicle, want))) < TOLERANCE_DEG else math.inf
        return now - since > 1.0

    try:
        wait_for(f"the camera at {want}", there)
    except AssertionError as error:
        health = vehicle.rows.latest()[0]["health"]
        state = Arm(int(health["arm"])).name, Code(int(health["fault"])).name if health["fault"] else "no fault"
        raise AssertionError(f"{error}; it is at {vehicle.attitude()}, {state}") from None
    print(*(f"{a:8.3f}" for a in want), "deg asked; roll, pitch, yaw off by", *(f"{e:.3f}" for e in off(vehicle, want)))


def test_mavsdk_finds_takes_turns_and_releases_the_daemon(flown):
    from mavsdk.plugins.gimbal.gimbal import ControlMode, GimbalError, GimbalMode, SendMode

    vehicle, gimbal, rows = flown
    (item,) = gimbal.gimbal_list().gimbals
    assert item.gimbal_device_id == 154 and item.vendor_name == "gimbal-host"
    number = item.gimbal_id
    with pytest.raises(GimbalError):  # nobody has taken control
        gimbal.set_angles(number, 0.0, -10.0, 5.0, GimbalMode.YAW_LOCK, SendMode.ONCE)
    gimbal.take_control(number, ControlMode.PRIMARY)
    wait_for("control", lambda: gimbal.get_control_status(number).control_mode == ControlMode.PRIMARY)

    gimbal.set_angles(number, 0.0, -20.0, 35.0, GimbalMode.YAW_LOCK, SendMode.ONCE)
    reached(vehicle, (0.0, -20.0, 35.0))
    told, true = gimbal.get_attitude(number), vehicle.attitude()
    assert abs(told.euler_angle_north.pitch_deg - true[1]) < TOLERANCE_DEG
    assert abs(math.remainder(told.euler_angle_north.yaw_deg - true[2], 360.0)) < TOLERANCE_DEG
    forward = true[2] - math.degrees(vehicle.heading())
    assert abs(math.remainder(told.euler_angle_forward.yaw_deg - forward, 360.0)) < TOLERANCE_DEG
    gimbal.set_angles(number, 0.0, -12.0, 10.0, GimbalMode.YAW_FOLLOW, SendMode.ONCE)
    reached(vehicle, (0.0, -12.0, 10.0 + math.degrees(vehicle.heading())))
    gimbal.set_angles(number, 0.0, -8.0, -15.0, GimbalMode.YAW_LOCK, SendMode.STREAM)
    reached(vehicle, (0.0, -8.0, -15.0))

    turned_by_rates(vehicle, gimbal, number, rows, GimbalMode, SendMode)

    place = (ORIGIN[0] + 0.012, ORIGIN[1] + 0.018, 2150.0)
    gimbal.set_roi_location(number, place[0], place[1], place[2] - HOME_M)
    north, east, down = north_east_down(ORIGIN, place)
    up, right = math.atan2(-down, math.hypot(north, east)), math.atan2(east, north)
    reached(vehicle, (0.0, math.degrees(up), math.degrees(right)))

    gimbal.release_control(number)
    wait_for("release", lambda: gimbal.get_control_status(number).control_mode == ControlMode.NONE)
    with pytest.raises(GimbalError):
        gimbal.set_angles(number, 0.0, 0.0, 0.0, GimbalMode.YAW_LOCK, SendMode.ONCE)


def turned_by_rates(vehicle: Vehicle, gimbal, number: int, rows: RingReader, modes, sending) -> None:
    """Rates turn the camera by their integral over the time they were in force; the last one ends by itself."""
    before = vehicle.attitude()
    rows.read_new()
    lost = rows.lost
    taken: list[np.ndarray] = []
    end = time.monotonic() + 1.5
    while time.monotonic() < end:
        gimbal.set_angular_rates(number, 0.0, 4.0, -6.0, modes.YAW_LOCK, sending.STREAM)
        taken.append(rows.read_new())
        time.sleep(0.05)

    def ended() -> bool:
        taken.append(rows.read_new())
        last = taken[-1]
        return len(last) > 0 and not last["goal"]["rate_goal_C"][-1].any()

    wait_for("the rates' end", ended)
    flown = np.concatenate(taken)
    assert rows.lost == lost
    goal = flown["goal"]
    rate = np.where((goal["mode"] == Mode.RATE)[:, None], goal["rate_goal_C"], 0.0)
    _, y, z = np.degrees(rate.sum(axis=0)) * 1e-3  # the loop's ticks are 1 ms
    assert y > 3.0
    level = math.cos(math.radians(before[1] + 0.5 * y))
    want = (0.0, before[1] + y, before[2] + z / level)
    reached(vehicle, want)
    assert abs((want[2] - before[2]) / (want[1] - before[1]) + 1.5) < 0.05  # -6 to 4
    gimbal.set_angular_rates(number, 0.0, 5.0, 0.0, modes.YAW_LOCK, sending.ONCE)
    wait_for("the end of a rate sent once", ended)
