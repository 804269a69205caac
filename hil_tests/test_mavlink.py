"""The real daemon with its MAVLink face beside it, over UDP: what a ground station asks for is what the truth shows."""

from __future__ import annotations

import math
import os
import signal
import socket
import subprocess
import sys
import time

import numpy as np
import pytest
from pymavlink.dialects.v20 import common as mav

from firmware_bridge.angles import euler_of
from hil_tests.harness import PATIENCE_S, REPO, wait_for

NAN = math.nan


class Station:
    """A ground station of pymavlink on a UDP socket."""

    def __init__(self, port: int) -> None:
        self.to = ("127.0.0.1", port)
        self.socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self.socket.setblocking(False)
        self.mav, self.parser = mav.MAVLink(None, srcSystem=245, srcComponent=190), mav.MAVLink(None)
        self.last: dict = {}

    def send(self, message) -> None:
        self.socket.sendto(message.pack(self.mav), self.to)

    def hear(self) -> dict:
        while True:
            try:
                data = self.socket.recv(2048)
            except (BlockingIOError, ConnectionRefusedError):
                return self.last
            for message in self.parser.parse_buffer(data) or []:
                self.last[message.get_type()] = message

    def ask(self, command: int, *p: float) -> int:
        """The result of a command, sent until it is acknowledged."""
        self.last.pop("COMMAND_ACK", None)

        def acknowledged():
            ack = self.hear().get("COMMAND_ACK")
            if ack is not None and ack.command == command:
                return ack
            self.send(mav.MAVLink_command_long_message(1, 154, command, 0, *p, *[0.0] * (7 - len(p))))
            time.sleep(0.1)
            return None

        return wait_for(f"command {command} acknowledged", acknowledged).result

    def attitude(self) -> tuple[float, float, float]:
        """Roll, pitch, yaw against north, deg, as told."""
        status = self.hear()["GIMBAL_DEVICE_ATTITUDE_STATUS"]
        roll, pitch, yaw = euler_of(status.q)
        if status.flags & 32:
            yaw += status.delta_yaw
        return math.degrees(roll), math.degrees(pitch), math.degrees(yaw)


@pytest.fixture
def station(place, daemon):
    gimbal = daemon("--arm", "--mode", "lock", emulate="speedflight")  # in flight: on a bench nothing tells north
    gimbal.await_state("armed")
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    words = ["--rig", place.name, "--endpoint", f"udpin:127.0.0.1:{port}", "--origin", "47.0,8.0,480"]
    face = subprocess.Popen([sys.executable, "-m", "gimbal.telemetry.publishers.mavlink", *words], cwd=REPO,
                            env=dict(os.environ) | place.environment())  # fmt: skip
    made = Station(port)

    def heard():
        made.send(mav.MAVLink_heartbeat_message(6, 8, 0, 0, 0, 3))
        time.sleep(0.05)
        return "GIMBAL_DEVICE_ATTITUDE_STATUS" in made.hear()

    try:
        wait_for("the gimbal is heard", heard)
        yield made, gimbal, face
    finally:
        face.send_signal(signal.SIGTERM)
        assert face.wait(PATIENCE_S) == 0
        made.socket.close()


def near(station: Station, pitch: float, yaw: float) -> bool:
    _, p, y = station.attitude()
    return abs(p - pitch) < 1.5 and abs(math.remainder(y - yaw, 360.0)) < 4.0


def test_a_ground_station_takes_control_points_turns_and_lets_go(station):
    ground, gimbal, face = station
    set_pitchyaw = mav.MAVLink_gimbal_manager_set_pitchyaw_message
    assert ground.ask(512, 283) == 0
    wait_for("its information", lambda: "GIMBAL_DEVICE_INFORMATION" in ground.hear())
    assert ground.last["GIMBAL_DEVICE_INFORMATION"].vendor_name == "gimbal-host"
    assert ground.ask(1000, -10.0, 0.0, NAN, NAN, 28.0, 0.0, 154.0) == 2  # nobody has taken control
    assert ground.ask(1001, -2.0, -2.0, -1.0, -1.0, 0.0, 0.0, 154.0) == 0

    wait_for("north is found", lambda: math.isfinite(ground.attitude()[2]), 60.0)
    ground.send(set_pitchyaw(1, 154, 28, 154, math.radians(-20), math.radians(35), NAN, NAN))
    wait_for("pitch -20, yaw 35", lambda: near(ground, -20.0, 35.0), 60.0)  # north settles in flight, in its own time
    assert gimbal.status()["mode"] == "point"

    start = ground.attitude()[2]

    def turned() -> float:
        return math.remainder(ground.attitude()[2] - start, 360.0)

    begun = time.monotonic()
    while time.monotonic() - begun < 1.5:
        ground.send(set_pitchyaw(1, 154, 28, 154, NAN, NAN, 0.0, math.radians(8)))
        time.sleep(0.05)
    assert 8.0 < turned() < 20.0  # 12 deg asked, on a carrier that thrashes

    assert gimbal.status()["mode"] == "rate"
    time.sleep(1.0)  # the rate has expired: it holds where it was turned to
    held = turned()
    time.sleep(1.0)
    assert 8.0 < held < 20.0 and abs(turned() - held) < 4.0
    ground.send(set_pitchyaw(1, 154, 28, 154, math.radians(-20), math.radians(35), NAN, NAN))
    wait_for("pitch -20, yaw 35 again", lambda: near(ground, -20.0, 35.0))
    assert gimbal.status()["mode"] == "point"

    assert ground.ask(1001, -3.0, -3.0, -3.0, -3.0, 0.0, 0.0, 154.0) == 0
    assert ground.ask(1000, 0.0, 0.0, NAN, NAN, 28.0, 0.0, 154.0) == 2
    assert face.poll() is None and np.isfinite(ground.attitude()).all()
