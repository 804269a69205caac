"""MAVSDK, the ground station's library, drives our gimbal over UDP in real time: what it asked for is where the
simulated camera truly is."""

from __future__ import annotations

import contextlib
import math
import threading
import time

import pytest
from pymavlink.dialects.v20 import common as mav

from firmware_bridge.mavlink_records import north_east_down
from firmware_bridge.transport import UdpTransport
from tests.firmware_bridge.simulated_rig import HERE, SimulatedRig

mavsdk = pytest.importorskip("mavsdk", reason="the mavsdk package is not installed")
pytestmark = pytest.mark.realtime

TOLERANCE_DEG = 0.2
HEADING = 0.5


class Vehicle:
    """Our gimbal and an autopilot on one UDP port, served by a thread."""

    def __init__(self) -> None:
        self.rig = SimulatedRig(heading=HEADING)
        self.rig.place = None  # by the autopilot's GLOBAL_POSITION_INT
        self.transport = UdpTransport(("127.0.0.1", 0))
        self.lock, self._stop = threading.Lock(), threading.Event()
        self._thread = threading.Thread(target=self._run)
        self._thread.start()

    @property
    def url(self) -> str:
        return f"udpout://127.0.0.1:{self.transport.local[1]}"

    def truth(self) -> tuple[float, ...]:
        with self.lock:
            return tuple(math.degrees(a) for a in self.rig.truth(time.monotonic_ns()))

    def _run(self) -> None:
        autopilot = mav.MAVLink(None, srcSystem=1, srcComponent=1)
        here = mav.MAVLink_global_position_int_message(
            0, round(HERE[0] * 1e7), round(HERE[1] * 1e7), round(HERE[2] * 1e3), 80_000, 0, 0, 0, 0)  # fmt: skip
        beat = mav.MAVLink_heartbeat_message(2, 12, 0, 0, 4, 3)
        attitude = mav.MAVLink_attitude_message(0, 0.0, 0.0, HEADING, 0.0, 0.0, 0.0)  # MAVSDK's way to the heading
        next_beat = 0.0
        while not self._stop.is_set():
            self.transport.wait(0.002)
            with self.lock:
                now = time.monotonic_ns()
                data = b""
                while datagram := self.transport.read():
                    data += datagram
                frames = self.rig.step(now, data)
                if time.monotonic() > next_beat:
                    next_beat = time.monotonic() + 0.5
                    frames.append(beat.pack(autopilot))
                    frames.append(attitude.pack(autopilot))
                    frames.append(here.pack(autopilot))
                    self.rig.step(now, frames[-1])  # the gimbal hears its autopilot too
            for frame in frames:
                self.transport.write(frame)

    def close(self) -> None:
        self._stop.set()
        self._thread.join(5)
        self.transport.close()


def soon(done, seconds: float = 8.0) -> bool:
    """True as soon as ``done()`` is."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        if done():
            return True
        time.sleep(0.02)
    return False


@pytest.fixture(scope="module")
def flown():
    from mavsdk.plugins.gimbal import Gimbal

    vehicle = Vehicle()
    station = mavsdk.Mavsdk(mavsdk.Configuration.create_with_component_type(mavsdk.ComponentType.GROUND_STATION))
    try:
        station.add_any_connection(vehicle.url)
        assert soon(lambda: len(station.get_systems()) > 0)
        gimbal = Gimbal(station.get_systems()[0])
        assert soon(lambda: len(gimbal.gimbal_list().gimbals) > 0)
        yield vehicle, gimbal
        with contextlib.suppress(Exception):
            gimbal.destroy()
    finally:
        with contextlib.suppress(Exception):
            station.destroy()
        vehicle.close()


def near(vehicle: Vehicle, want: tuple[float, float, float]) -> bool:
    return all(abs(math.remainder(a - b, 360.0)) < TOLERANCE_DEG for a, b in zip(vehicle.truth(), want))


def test_session(flown):
    """Discovery, control, angles once and streamed, rates, a place, release: in the order of a flight."""
    from mavsdk.plugins.gimbal.gimbal import ControlMode, GimbalError, GimbalMode, SendMode

    vehicle, gimbal = flown
    (item,) = gimbal.gimbal_list().gimbals
    assert item.gimbal_device_id == 154 and item.vendor_name == "gimbal-host"
    number = item.gimbal_id

    with pytest.raises(GimbalError):  # nobody has taken control
        gimbal.set_angles(number, 0.0, -10.0, 5.0, GimbalMode.YAW_LOCK, SendMode.ONCE)

    gimbal.take_control(number, ControlMode.PRIMARY)
    assert soon(lambda: gimbal.get_control_status(number).control_mode == ControlMode.PRIMARY)

    gimbal.set_angles(number, 0.0, -20.0, 35.0, GimbalMode.YAW_LOCK, SendMode.ONCE)
    assert soon(lambda: near(vehicle, (0.0, -20.0, 35.0))), vehicle.truth()
    gimbal.set_angles(number, 0.0, -12.0, 10.0, GimbalMode.YAW_FOLLOW, SendMode.ONCE)
    assert soon(lambda: near(vehicle, (0.0, -12.0, 10.0 + math.degrees(HEADING)))), vehicle.truth()
    gimbal.set_angles(number, 3.0, -8.0, -15.0, GimbalMode.YAW_LOCK, SendMode.STREAM)
    assert soon(lambda: near(vehicle, (3.0, -8.0, -15.0))), vehicle.truth()

    assert soon(lambda: math.isfinite(gimbal.get_attitude(number).euler_angle_forward.yaw_deg))
    told = gimbal.get_attitude(number)
    assert abs(told.euler_angle_north.pitch_deg - vehicle.truth()[1]) < TOLERANCE_DEG
    assert abs(told.euler_angle_north.yaw_deg - vehicle.truth()[2]) < TOLERANCE_DEG
    forward = vehicle.truth()[2] - math.degrees(HEADING)
    assert abs(math.remainder(told.euler_angle_forward.yaw_deg - forward, 360.0)) < TOLERANCE_DEG

    _rates(vehicle, gimbal, number, GimbalMode, SendMode)

    gimbal.set_roi_location(number, 47.004, 8.006, 250.0)  # above home, which lies at 400 m
    north, east, down = north_east_down(HERE, (47.004, 8.006, 650.0))
    want = (0.0, math.degrees(math.atan2(-down, math.hypot(north, east))), math.degrees(math.atan2(east, north)))
    assert soon(lambda: near(vehicle, want)), (vehicle.truth(), want)

    gimbal.release_control(number)
    assert soon(lambda: gimbal.get_control_status(number).control_mode == ControlMode.NONE)
    with pytest.raises(GimbalError):
        gimbal.set_angles(number, 0.0, 0.0, 0.0, GimbalMode.YAW_LOCK, SendMode.ONCE)


def _rates(vehicle: Vehicle, gimbal, number: int, modes, sending) -> None:
    """Streamed rates turn the camera; a rate sent once ends by itself."""
    start = vehicle.truth()
    for _ in range(20):
        gimbal.set_angular_rates(number, 0.0, 4.0, -6.0, modes.YAW_LOCK, sending.STREAM)
        time.sleep(0.05)
    assert soon(lambda: not any(vehicle.rig.done[-1].rate_C), 3.0)  # expired
    with vehicle.lock:
        asked = [r for r in vehicle.rig.done if r.verb == "rate"]
    assert len(asked) >= 18
    given_s = (asked[-1].t_ns - asked[0].t_ns) * 1e-9  # from the first until the last had expired
    assert soon(lambda: max(map(abs, vehicle.rig.gimbal.state(time.monotonic_ns()).rate_C)) < 1e-4, 3.0)
    moved = [b - a for a, b in zip(start, vehicle.truth())]  # from rest to rest: the simulated lag leaves nothing
    assert abs(moved[1] - 4.0 * given_s) < TOLERANCE_DEG and abs(moved[2] + 6.0 * given_s) < TOLERANCE_DEG
    gimbal.set_angular_rates(number, 0.0, 5.0, 0.0, modes.YAW_LOCK, sending.ONCE)
    assert soon(lambda: not any(vehicle.rig.done[-1].rate_C), 2.0)
