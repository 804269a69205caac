"""Heading from an autopilot's attitude, through the shipped tick on the simulated rig."""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Callable
from typing import Any

import numpy as np

from gimbal.config.load import load_rig, load_scenario
from gimbal.config.scenario import Scenario
from gimbal.loop.lockstep import run_lockstep
from gimbal.metrics import axes_N
from gimbal.plant.state import TRUTH
from gimbal.rig.plant import PlantRig
from tests.estimation.test_line import BENCH

EVERY, LATE = 200, 100  # ticks
STD_DEG, NOISE_DEG = 5.0, 1.0


class Piloted(PlantRig):
    """The simulated rig with an autopilot's heading of the base in SENSE. ``wrong(t_s)``: deg added to it."""

    def __init__(self, scenario: Scenario, seconds: float, wrong: Callable[[float], float]) -> None:
        super().__init__(load_rig("torque").config, scenario, seed=1, seconds=seconds)
        self.wrong, self.ticks = wrong, 0
        self.told: deque[tuple[int, float]] = deque(maxlen=LATE)
        self.row, self.rng = np.zeros(1, TRUTH), np.random.default_rng(3)

    def read(self, sense: np.ndarray) -> int:
        status = super().read(sense)
        self.truth_into(self.row)
        w, x, y, z = self.row["q_NB"][0]
        self.told.append((int(sense["t_ns"][0]), math.atan2(2.0 * (x * y + w * z), 1.0 - 2.0 * (y * y + z * z))))
        self.ticks += 1
        if self.ticks > 500 and self.ticks % EVERY == 0:
            t_ns, heading = self.told[0]
            wrong_deg = self.wrong(self.ticks * 1e-3) + NOISE_DEG * self.rng.standard_normal()
            sense["heading_valid"], sense["heading_soft"], sense["heading_t_ns"] = 1, 1, t_ns
            sense["heading"] = heading + math.radians(wrong_deg)
            sense["heading_std"] = math.radians(STD_DEG)
        return status


def heading_error_deg(scenario: Scenario, seconds: float, wrong: Callable[[float], float]) -> np.ndarray:
    """(ticks,) error of the boresight's heading."""
    history: list[Any] = []
    rig = Piloted(scenario, seconds, wrong)
    run_lockstep(rig, load_rig("torque").config, seconds, mode="lock", seed=1, keep=history)
    est, true = (np.arctan2(a[:, 1], a[:, 0]) for a in (axes_N(history[0][n])[0] for n in ("q_est", "q_true")))
    return np.degrees((est - true + np.pi) % (2 * np.pi) - np.pi)


def rms(error: np.ndarray) -> float:
    return float(np.sqrt(np.mean(error**2)))


def bench() -> Scenario:
    return Scenario.model_validate(BENCH)


def flight() -> Scenario:
    return load_scenario("speedflight").config


def test_a_rig_at_rest_finds_north_from_its_autopilot() -> None:
    error = heading_error_deg(bench(), 8.0, lambda t_s: 0.0)
    assert abs(error[400]) > 100.0
    assert np.abs(error[1500:]).max() < 4.0 and np.abs(error[6000:]).max() < 1.5


def test_one_that_sets_its_heading_anew_is_followed_while_it_is_the_only_word() -> None:
    error = heading_error_deg(bench(), 16.0, lambda t_s: -70.0 if t_s < 4.0 else 0.0)
    assert abs(error[3900] + 70.0) < 4.0 and np.abs(error[14000:]).max() < 4.0


def test_one_that_goes_wrong_in_flight_is_refused_where_gnss_knows_north() -> None:
    """Right for 20 s, then 40 degrees off for good."""
    right = heading_error_deg(flight(), 32.0, lambda t_s: 0.0)
    wrong = heading_error_deg(flight(), 32.0, lambda t_s: 40.0 if t_s > 20.0 else 0.0)
    assert rms(right[5000:]) < 3.0
    assert rms(wrong[20_500:]) < rms(right[20_500:]) + 1.0


def test_one_that_is_wrong_from_the_start_is_found_out_by_gnss() -> None:
    error = heading_error_deg(flight(), 32.0, lambda t_s: 60.0)
    assert rms(error[800:1500]) > 30.0  # believed at first: nothing else knows north
    assert rms(error[20_000:]) < 4.0
