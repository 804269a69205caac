"""The eye beside the daemon: what the emulated rig's camera sees is drawn live, OpenCV follows it in a process of its own,
and its bearings reach the tracker of the running loop over UDP."""

from __future__ import annotations

import json
import socket

import numpy as np
import pytest

from gimbal.records import TargetSource, TargetStatus
from hil_tests.harness import REPO, Running, wait_for

pytest.importorskip("cv2", reason="OpenCV is not installed (extra 'vision')")

# A calm chase: on a loaded machine frames and ticks come late, and what moves little forgives that.
SCENARIO = """
name = "calm"
rig = "{rig}"
mode = "track"
[carrier]
kind = "speedflight"
roll_swing_deg = 3.0
pitch_swing_deg = 2.0
heading_swing_deg = 2.0
spiral_first_s = 1000.0
buffeting_deg_s_rms = [1.0, 1.0, 1.0]
vibration_m_s2_rms = [0.2, 0.2, 0.2]
[target]
kind = "track"
file = "{track}"
distance_m = 40.0
"""


def free_port() -> int:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def calm_flight(file) -> None:
    """Ten minutes of gentle curves at 14 m/s."""
    t = np.arange(0.0, 600.0, 0.2)
    pos = np.column_stack([14.0 * t, 20.0 * np.sin(0.3 * t), 3.0 * t])
    vel = np.column_stack([np.full_like(t, 14.0), 6.0 * np.cos(0.3 * t), np.full_like(t, 3.0)])
    np.savez(file, t=t, pos=pos, vel=vel)


def test_the_eye_sees_the_flyer_and_the_tracker_fuses_it_with_the_beacon(place, daemon):
    port = free_port()
    text = (REPO / "configs/rigs/torque_camera.toml").read_text()
    text = text.replace('name = "torque_camera"', f'name = "{place.name}"', 1).replace("udp://:5602", f"udp://:{port}")
    place.rig.write_text(text)
    track, scenario, told = (place.folder / name for name in ("calm.npz", "calm.toml", "vision.json"))
    calm_flight(track)
    scenario.write_text(SCENARIO.format(rig=place.rig, track=track))
    gimbal = daemon("--mode", "track", "--port", f"camera=udp://:{port}", emulate=str(scenario))
    ticks, truths = place.reader("tick"), place.reader("truth")

    def target():
        return ticks.latest()[0]["target"]

    gimbal.arm()
    wait_for("the beacon is tracked", lambda: target()["status"] == TargetStatus.TRACKING)
    assert not target()["seen"]  # nobody has sent a box yet
    eye = Running(place, ["vision", "emulated", "--rig", str(place.rig), "--json", str(told)])
    eye.await_text("Looking: 320 x")
    wait_for("camera and beacon are one", lambda: target()["source"] == TargetSource.FUSED, 60.0)

    def in_the_middle() -> bool:
        """The subject stands within 4 degrees of the picture's middle; the frame has 8 and more to each side."""
        truth = truths.latest()[0]
        los = truth["target_pos_N"] - truth["camera_pos_N"]
        q = truth["q_NC"]
        ahead = np.array([1 - 2 * (q[2] ** 2 + q[3] ** 2), 2 * (q[1] * q[2] + q[0] * q[3]), 2 * (q[1] * q[3] - q[0] * q[2])])
        return target()["source"] == TargetSource.FUSED and ahead @ los > np.cos(np.radians(4.0)) * np.linalg.norm(los)

    wait_for("the subject is in the middle of the picture", in_the_middle)
    assert eye.alive()
    assert gimbal.end() == 0
    assert eye.join() == 0, eye.text()
    result = json.loads(told.read_text())
    assert result["frames"] > 10 and 4 < result["followed"] <= result["frames"]
