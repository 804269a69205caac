"""Heading from two antennas and from a calibrated magnetometer, through the shipped tick on the simulated rig."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest

from gimbal.config.calibration import Calibration, Magnetometer
from gimbal.config.load import load_rig, load_scenario
from gimbal.config.scenario import Scenario
from gimbal.config.schema import Rig
from gimbal.loop.lockstep import run_lockstep
from gimbal.metrics import axes_N
from gimbal.plant.assemble import FIELD_UT
from gimbal.rig.plant import PlantRig

BENCH = {"name": "bench", "mode": "lock", "seconds": 30.0, "carrier": {"kind": "still", "heading_deg": 140.0}}


def two_antennas(std_deg: float = 0.5, baseline_deg: float = 90.0) -> Rig:
    rig = load_rig("torque").config
    gnss = rig.gnss.model_copy(update={"heading_std_deg": std_deg, "baseline_deg": baseline_deg})
    return rig.model_copy(update={"gnss": gnss})


def compass(**found: Any) -> Rig:
    """A rig with a magnetometer; ``found`` changes what its calibration says."""
    rig = load_rig("torque").config
    values: dict[str, Any] = {
        "date": "", "hard_uT": (0.0, 0.0, 0.0), "hard_std_uT": (0.1, 0.1, 0.1), "soft_std": 0.01, "field_uT": 48.0,
        "soft": ((1.0, 0.0, 0.0), (0.0, 1.0, 0.0), (0.0, 0.0, 1.0)),
    }  # fmt: skip
    declination = math.degrees(math.atan2(FIELD_UT[1], FIELD_UT[0]))
    return rig.model_copy(
        update={
            "imu": rig.imu.model_copy(update={"mag_rate_hz": 50.0}),
            "estimation": rig.estimation.model_copy(update={"declination_deg": declination}),
            "calibrated": Calibration(serial="x", rig=rig.name, magnetometer=Magnetometer(**(values | found))),
        }
    )


class Changed:
    """A rig whose SENSE is changed on the way."""

    def __init__(self, rig: PlantRig, change: Any) -> None:
        self.rig, self.change = rig, change
        self.open, self.write, self.safe, self.close, self.truth = rig.open, rig.write, rig.safe, rig.close, rig.truth

    def read(self, sense: np.ndarray) -> int:
        status = self.rig.read(sense)
        self.change(sense, (int(sense["t_ns"][0]) - 1_000_000_000) * 1e-9)
        return status


def heading_error_deg(rig: Rig, scenario: Scenario, seconds: float, change: Any = None, seed: int = 1) -> np.ndarray:
    """(ticks,) error of the boresight's heading."""
    history: list[Any] = []
    plant: Any = PlantRig(rig, scenario, seed=seed, seconds=seconds)
    run_lockstep(Changed(plant, change) if change else plant, rig, seconds, mode="lock", seed=seed, keep=history)
    x = [axes_N(history[0][name])[0] for name in ("q_est", "q_true")]
    est, true = (np.arctan2(a[:, 1], a[:, 0]) for a in x)
    return np.degrees((est - true + np.pi) % (2 * np.pi) - np.pi)


def test_two_antennas_find_heading_at_rest() -> None:
    error = heading_error_deg(two_antennas(), Scenario.model_validate(BENCH), 6.0)
    assert abs(error[200]) > 100.0  # before the first measurement nothing points north
    assert np.abs(error[1500:]).max() < 1.5
    assert np.abs(error[5000:]).max() < 0.5


def test_late_headings_hold_in_motion() -> None:
    """150 ms late, on a base that turns with up to 60 deg/s: wrong by 9 degrees if taken as of now."""
    error = heading_error_deg(two_antennas(), load_scenario("speedflight").config, 20.0)
    assert np.sqrt(np.mean(error[5000:] ** 2)) < 0.6


def test_a_wrong_heading_counts_little_and_a_lasting_one_is_believed() -> None:
    def jump(sense: np.ndarray, t_s: float) -> None:
        if 5.0 < t_s < 7.0 or t_s > 9.0:
            sense["heading"] += 1.0

    error = heading_error_deg(two_antennas(), Scenario.model_validate(BENCH), 16.0, jump)
    assert np.abs(error[4900:8900]).max() < 20.0
    assert error[-1] == pytest.approx(math.degrees(1.0), abs=2.0)


def test_a_heading_without_accuracy_is_left_out() -> None:
    def harm(sense: np.ndarray, t_s: float) -> None:
        sense["heading_std"] = 0.0

    error = heading_error_deg(two_antennas(), Scenario.model_validate(BENCH), 3.0, harm)
    assert np.abs(error).min() > 100.0


def test_a_calibrated_magnetometer_gives_heading() -> None:
    error = heading_error_deg(compass(), Scenario.model_validate(BENCH), 5.0)
    assert np.abs(error[2000:]).max() < 4.0  # the first field of a tilted start is 3 degrees off


def test_hard_iron_turns_the_heading_where_the_calibration_is_wrong() -> None:
    bench = Scenario.model_validate(BENCH | {"errors": {"mag_hard_uT": (12.0, -20.0, 8.0)}})
    assert np.abs(heading_error_deg(compass(), bench, 3.0)[2000:]).min() > 20.0
    right = compass(hard_uT=(12.0, -20.0, 8.0))
    assert np.abs(heading_error_deg(right, bench, 3.0)[2000:]).max() < 2.5


def test_an_uncalibrated_magnetometer_is_not_used() -> None:
    rig = compass().model_copy(update={"calibrated": None})
    assert np.abs(heading_error_deg(rig, Scenario.model_validate(BENCH), 3.0)).min() > 100.0
