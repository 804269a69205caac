"""A tracking camera on the rig: its places in the picture arrive as tangents from the boresight, right and down."""

from __future__ import annotations

import numpy as np

from gimbal.config.load import CONFIGS
from gimbal.loop.lockstep import START_NS
from gimbal.records import COMMAND, SENSE
from gimbal.rig.line import LOST_VISION
from tests.contract.rig_flight import MemoryRig

VISION = '[devices.vision]\ndriver = "vision_json"\noptions = { must_hear = false }\n'


def in_camera(truth: dict) -> np.ndarray:
    """The target's tangents right and down, by a rotation matrix of the true attitude."""
    w, x, y, z = truth["q_NC"]
    to_N = np.array([
        [1 - 2 * (y * y + z * z), 2 * (x * y - w * z), 2 * (x * z + w * y)],
        [2 * (x * y + w * z), 1 - 2 * (x * x + z * z), 2 * (y * z - w * x)],
        [2 * (x * z - w * y), 2 * (y * z + w * x), 1 - 2 * (x * x + y * y)],
    ])  # fmt: skip
    v = to_N.T @ (np.asarray(truth["target_pos_N"]) - np.asarray(truth["camera_pos_N"]))
    return v[1:] / v[0]


def test_places_in_the_picture_become_tangents(tmp_path):
    file = tmp_path / "seeing.toml"
    file.write_text((CONFIGS / "rigs/torque.toml").read_text() + VISION)
    rig = MemoryRig(str(file), "speedflight", 2.0)
    camera = rig.config.camera.model_copy(update={"focal_mm": 4.0})  # so wide that the target is in it, unaimed
    rig.config = rig.config.model_copy(update={"camera": camera})
    sense, command = np.zeros(1, SENSE), np.zeros(1, COMMAND)
    rig.open({"dt_s": 1e-3, "t0_ns": START_NS})
    seen, truths = [], {}
    try:
        for _ in range(1500):
            sense[:] = 0
            rig.read(sense)
            truths[rig.plant.t_ns // 1_000_000] = in_camera(rig.truth())
            if sense["bearing_valid"][0]:
                seen.append(sense[0].copy())
            rig.write(command)
    finally:
        rig.safe()
        rig.close()
    assert not rig.lost & LOST_VISION
    pairs = [(s, truths[s["bearing_t_ns"] // 1_000_000]) for s in seen if s["bearing_t_ns"] // 1_000_000 in truths]
    assert len(pairs) >= 20
    errors = np.array([s["bearing_xy"] - true for s, true in pairs])
    spread = np.ptp([true for _, true in pairs], axis=0)
    assert spread.max() > 0.01, "nothing moved: the test would pass with any constant"
    assert np.abs(errors).max() < 0.02  # the dates are good to some ms, at up to 2 rad/s
    assert all(0 <= s["bearing_arrival_ns"] - s["bearing_t_ns"] < 200_000_000 for s, _ in pairs)
    assert all(s["bearing_std"] == 0.0 for s, _ in pairs)  # this source states none: the rig file's figures hold
