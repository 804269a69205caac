"""Recordings of mis-calibrated simulated rigs, without a loop: samples as the rig hands them over."""

from __future__ import annotations

from typing import Any

import numpy as np

from gimbal.calibrate.recording import Recording, from_rows
from gimbal.config.load import load_rig
from gimbal.config.scenario import Scenario
from gimbal.config.schema import Rig
from gimbal.records import COMMAND, TICK
from gimbal.rig.plant import PlantRig

START_NS = 1_000_000_000


def scenario(carrier: dict[str, Any], hand: str, seconds: float, **errors: Any) -> Scenario:
    return Scenario.model_validate(
        {"name": "errors", "seconds": seconds, "mode": "off", "hand": hand, "carrier": carrier, "errors": errors}
    )


def record(
    carrier: dict[str, Any], hand: str, seconds: float, *, seed: int = 1, rig: Rig | None = None, **errors: Any
) -> tuple[Recording, np.void]:
    """The recording, and the PARAMS of the plant, which know what was put in. NAV has the true attitude."""
    config = rig or load_rig("torque").config
    plant = PlantRig(config, scenario(carrier, hand, seconds, **errors), seed=seed, seconds=seconds)
    plant.open({"dt_s": 0.001, "seed": seed, "t0_ns": START_NS})
    rows, command = np.zeros(round(seconds * 1000), TICK), np.zeros(1, COMMAND)
    for i in range(len(rows)):
        sense = rows["sense"][i : i + 1]
        plant.read(sense)
        rows["nav"]["q_NC_est"][i] = plant.truth()["q_NC"]
        plant.write(command)
    rows["t_ns"] = rows["sense"]["t_ns"]
    assert plant.plant is not None
    return from_rows(rows, config, "simulated", "2026-01-01T00:00:00Z"), plant.plant.params[0]
