"""What happens around the daemon must not end the flight, or must end it safe: terminals, log folders, idle clients."""

from __future__ import annotations

import os
import shutil
import signal
import socket

from gimbal.records import Arm
from gimbal.telemetry.reader import open_log
from hil_tests.harness import children, command_of, wait_for


def test_a_closed_terminal_ends_the_flight_safe(daemon):
    gimbal = daemon("--arm")
    gimbal.await_state("armed")
    os.killpg(gimbal.process.pid, signal.SIGHUP)
    assert gimbal.join() == 0, gimbal.text()
    rows = open_log(gimbal.log()).rows()
    assert rows["health"]["arm"][-1] == Arm.SAFE
    assert not rows["command"]["joint_torque_cmd"][-1].any()


def test_a_lost_log_folder_does_not_end_the_flight(place, daemon):
    gimbal = daemon("--arm")
    gimbal.await_state("armed")
    (recorder,) = [pid for pid in children(gimbal.process.pid) if "recorder" in command_of(pid)]
    shutil.rmtree(place.logs)
    place.logs.write_text("in the way")
    os.kill(recorder, signal.SIGKILL)
    wait_for("it is said", lambda: "flies on without a log" in gimbal.text())
    assert gimbal.status()["state"] == "armed"
    assert gimbal.end() == 0


def test_stop_works_past_any_number_of_idle_clients(place, daemon):
    gimbal = daemon("--arm")
    gimbal.await_state("armed")
    idle = []
    for _ in range(40):
        client = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        client.connect(str(place.folder / f"{place.name}.sock"))
        idle.append(client)
    done = place.gimbal("ctl", "stop", "--rig", place.name)
    for client in idle:
        client.close()
    assert done.returncode == 0 and "latched" in done.stdout, (done.stdout, done.stderr)
    gimbal.await_state("safe")
    assert gimbal.end() == 0
