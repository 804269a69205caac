"""`gimbal vision` as a process beside a running loop: what the simulated camera sees is drawn live, OpenCV follows it,
and its bearings come back over UDP and are the only ones the tracker gets. Each side waits for the other, so that the
flight is the same however loaded the machine is."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from firmware_bridge.drivers.vision_json_codec import JsonFramer, read
from gimbal.config.load import load_rig, load_scenario
from gimbal.config.pack import pack_params
from gimbal.daemon.instance import segment
from gimbal.loop.pipeline import new_state, step
from gimbal.plant.state import TRUTH
from gimbal.records import COMMAND, INBOX, SENSE, TICK, Mode, TargetSource
from gimbal.rig.plant import PlantRig
from gimbal.telemetry.ring import RingWriter

pytest.importorskip("cv2", reason="OpenCV is not installed (extra 'vision')")

REPO = Path(__file__).resolve().parents[2]
SECONDS, START_S = 6.0, 2.5  # of flight; the eye looks from START_S on
LATE_NS = 80_000_000  # a bearing's age on arrival
PATIENCE_S = 120.0


class Eye:
    """The process and the socket it sends to."""

    def __init__(self, rig_file: Path) -> None:
        self.socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self.socket.bind(("127.0.0.1", 0))
        self.socket.settimeout(PATIENCE_S)
        self.told = rig_file.with_suffix(".json")
        words = ["vision", "emulated", "--rig", str(rig_file), "--json", str(self.told)]
        words += ["--to", f"udp://127.0.0.1:{self.socket.getsockname()[1]}"]
        environment = os.environ | {"PYTHONPATH": str(REPO)}
        self.process = subprocess.Popen([sys.executable, "-m", "gimbal", *words], env=environment)
        self.framer, self.newest_ns = JsonFramer(), 0

    def bearings(self, until_ns: int):
        """What was seen, up to the frame of until_ns or the next after: waits for it."""
        while self.newest_ns < until_ns:
            for value in self.framer.feed(self.socket.recv(4096)):
                found = read(value)
                assert found is not None, value
                self.newest_ns = found.t_ns
                yield found


@pytest.fixture(scope="module")
def flight(tmp_path_factory):
    """Per ms: the angle (deg) from the picture's middle to the subject, and what the line of sight rests on."""
    file = tmp_path_factory.mktemp("eye") / "rig.toml"
    name = f"eye-{os.getpid()}"
    text = (REPO / "configs/rigs/torque_camera.toml").read_text()
    file.write_text(text.replace('name = "torque_camera"', f'name = "{name}"', 1))
    rig = load_rig(str(file)).config
    scenario = load_scenario("speedflight_track").config.model_copy(update={"box": False})
    plant = PlantRig(rig, scenario, seed=1, seconds=SECONDS)
    params = pack_params(rig, start_armed=True)
    state = new_state(params)
    state["arbiter"]["mode"] = Mode.TRACK
    sense, command, row = np.zeros(1, SENSE), np.zeros(1, COMMAND), np.zeros(1, TICK)
    inbox, truth = np.zeros(1, INBOX), np.zeros(1, TRUTH)
    plant.open({"dt_s": 1e-3, "seed": 1, "kinematic_order": list(rig.kinematic_order), "t0_ns": 10**9})
    ticks, truths = RingWriter(segment(name, "tick"), TICK, 2048), RingWriter(segment(name, "truth"), TRUTH, 2048)
    wide, high = (side / rig.camera.focal_mm for side in rig.camera.sensor_mm)
    period = round(1e9 / rig.camera.frames_s)
    eye, waiting, off, source = None, [], [], []
    try:
        for k in range(round(1000 * SECONDS)):
            sense[:] = 0
            plant.read(sense)
            now = int(sense["t_ns"][0])
            if waiting and waiting[0].middle_ns + LATE_NS <= now:
                b = waiting.pop(0)
                sense["bearing_valid"], sense["bearing_arrival_ns"] = b.tracking, now
                sense["bearing_t_ns"], sense["bearing_std"] = b.middle_ns, b.std * wide
                sense["bearing_xy"] = (b.x - 0.5) * wide, (b.y - 0.5) * high
            step(params, state, sense, inbox, command, row)
            plant.truth_into(truth)
            ticks.publish(row)
            truths.publish(truth)
            if k == round(1000 * START_S):
                eye = Eye(file)
            if eye is not None and k % 60 == 0:
                waiting += eye.bearings(now - 2 * period)
            los, q = truth["target_pos_N"][0] - truth["camera_pos_N"][0], truth["q_NC"][0]
            ahead = np.array([1 - 2 * (q[2] ** 2 + q[3] ** 2), 2 * (q[1] * q[2] + q[0] * q[3]),
                              2 * (q[1] * q[3] - q[0] * q[2])])  # fmt: skip
            off.append(np.degrees(np.arccos(np.clip(ahead @ los / np.linalg.norm(los), -1, 1))))
            source.append(row["target"]["source"][0])
            plant.write(command)
        ticks.close()
        truths.close()
        assert eye is not None and eye.process.wait(PATIENCE_S) == 0
        told = json.loads(eye.told.read_text())
    finally:
        if eye is not None:
            eye.process.kill()
            eye.process.wait()
            eye.socket.close()
        plant.close()
        ticks.close()
        truths.close()
    return np.array(off), np.array(source), told


def test_what_the_eye_sees_becomes_one_with_the_beacon_and_stays_so(flight):
    _, source, told = flight
    assert source[round(1000 * START_S) - 1] == TargetSource.GNSS
    assert (source[4500:] == TargetSource.FUSED).mean() > 0.95
    assert told["frames"] > 10 * (SECONDS - START_S) and told["followed"] > 0.7 * told["frames"]


def test_the_subject_is_held_in_the_middle_of_the_picture(flight):
    off, _, _ = flight
    assert off[4500:].max() < 4.0  # of 8 to the nearest edge
