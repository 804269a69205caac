"""The eye beside the daemon: what the emulated rig's camera would see is drawn live, CSRT follows it, and its bearings
reach the tracker of the running loop over UDP."""

from __future__ import annotations

import json
import socket

import numpy as np
import pytest

from gimbal.records import TargetSource, TargetStatus
from hil_tests.harness import REPO, Running, wait_for

pytest.importorskip("cv2", reason="OpenCV is not installed (extra 'vision')")


def free_port() -> int:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def test_the_eye_finds_the_flyer_and_the_tracker_fuses_it(place, daemon):
    port = free_port()
    text = (REPO / "configs/rigs/torque_camera.toml").read_text()
    text = text.replace('name = "torque_camera"', f'name = "{place.name}"', 1).replace("udp://:5602", f"udp://:{port}")
    place.rig.write_text(text)
    gimbal = daemon("--mode", "track", "--port", f"camera=udp://:{port}", emulate="speedflight_track")
    ticks, truths = place.reader("tick"), place.reader("truth")

    def target():
        return ticks.latest()[0]["target"]

    wait_for("the beacon is tracked", lambda: target()["status"] == TargetStatus.TRACKING, 40.0)
    assert not target()["seen"]  # nobody has sent a box yet
    how = place.folder / "vision.json"
    eye = Running(place, ["vision", "emulated", "--rig", str(place.rig), "--json", str(how)])
    eye.await_text("Looking: 320 x")
    gimbal.arm()
    wait_for("camera and beacon are one", lambda: target()["source"] == TargetSource.FUSED, 60.0)

    def close() -> bool:
        """The line of sight is right to two degrees; the newest rows of loop and plant are milliseconds apart."""
        row, truth = ticks.latest()[0], truths.latest()[0]
        los = truth["target_pos_N"] - truth["camera_pos_N"]
        cos = row["target"]["los_N"] @ los / np.linalg.norm(los)
        return row["target"]["source"] == TargetSource.FUSED and cos > np.cos(np.radians(2.0))

    wait_for("the line of sight is right", close)
    assert eye.alive()
    assert gimbal.end() == 0
    assert eye.join() == 0, eye.text()
    told = json.loads(how.read_text())
    assert told["frames"] > 10 and 4 < told["followed"] <= told["frames"]
