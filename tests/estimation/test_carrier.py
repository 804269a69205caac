"""A second IMU on the carrier: flights on the simulated rig in which either IMU, or an encoder, fails or lies."""

from __future__ import annotations

from functools import cache

import numpy as np
import pytest

from gimbal.config.load import load_rig, load_scenario
from gimbal.config.pack import pack_params
from gimbal.estimation.layout import APART
from gimbal.faults import Code
from gimbal.loop.lockstep import START_NS, run_lockstep
from gimbal.loop.pipeline import new_state, step
from gimbal.metrics import axes_N, q_mul, rotation_vector
from gimbal.records import COMMAND, INBOX, SENSE, TICK, Mode
from gimbal.replay.replay import replay
from gimbal.rig.plant import PlantRig
from gimbal.tuning.plant_table import tilt_error_deg

SECONDS = 14.0
LOST = {"imu": ("imu_n", 0), "carrier": ("carrier_n", 0), "encoder": ("joint_valid", (1, 0, 1))}


class Flight:
    """NAV and HEALTH of each tick of a speed-flight in lock mode; ``spoil(t_s, sense)`` has its way with SENSE."""

    def __init__(self, spoil, seconds: float = SECONDS) -> None:
        config = load_rig("torque_carrier").config
        rig = PlantRig(config, load_scenario("speedflight").config, seed=2, seconds=seconds)
        params = pack_params(config, start_armed=True)
        state = new_state(params)
        state["arbiter"]["mode"] = Mode.LOCK
        sense, command = np.zeros(1, SENSE), np.zeros(1, COMMAND)
        inbox, row = np.zeros(1, INBOX), np.zeros(1, TICK)
        n = round(1000 * seconds)
        self.t_s = np.arange(n) * 1e-3
        self.nav, self.health = np.zeros(n, row["nav"].dtype), np.zeros(n, row["health"].dtype)
        self.q_NC = np.zeros((n, 4))
        self.meas_status = 0
        rig.open({"dt_s": 1e-3, "seed": 2, "t0_ns": START_NS})
        for k in range(n):
            sense[:] = 0
            rig.read(sense)
            spoil(self.t_s[k], sense)
            step(params, state, sense, inbox, command, row)
            self.nav[k], self.health[k] = row["nav"][0], row["health"][0]
            self.q_NC[k] = rig.truth()["q_NC"]
            self.meas_status |= int(state["meas"]["carrier_status"][0])
            rig.write(command)

    def tilt_deg(self, from_s: float, to_s: float) -> np.ndarray:
        inside = (self.t_s >= from_s) & (self.t_s < to_s)
        return tilt_error_deg(self.q_NC[inside], self.nav["q_NC_est"][inside])

    def heading_deg(self, from_s: float, to_s: float) -> np.ndarray:
        inside = (self.t_s >= from_s) & (self.t_s < to_s)
        ahead, true = (axes_N(q)[0] for q in (self.nav["q_NC_est"][inside], self.q_NC[inside]))
        error = np.arctan2(ahead[:, 1], ahead[:, 0]) - np.arctan2(true[:, 1], true[:, 0])
        return np.degrees((error + np.pi) % (2 * np.pi) - np.pi)

    def largest_step_deg(self, from_s: float, to_s: float) -> float:
        """Of the estimate against the truth, from tick to tick."""
        inside = (self.t_s >= from_s) & (self.t_s < to_s)
        error = rotation_vector(q_mul(self.nav["q_NC_est"][inside], self.q_NC[inside] * [1, -1, -1, -1]))
        return float(np.degrees(np.abs(np.diff(error, axis=0)).max()))


@cache
def lost(what: str, from_s: float, to_s: float) -> Flight:
    def spoil(t_s, sense):
        if what and from_s <= t_s < to_s:
            name, value = LOST[what]
            sense[name] = value

    return Flight(spoil)


def rms(x: np.ndarray) -> float:
    return float(np.sqrt(np.mean(x**2)))


def test_both_together() -> None:
    """Some seconds of one seed tell no accuracy (docs/estimation.md does): it is told surer, and rightly so."""
    both, alone = lost("", 0.0, 0.0), lost("carrier", 0.0, 99.0)
    assert (both.nav["carrier_valid"][2000:] == 1).all() and not alone.nav["carrier_valid"].any()
    late = both.nav["tilt_std"][10_000:]
    assert late.mean() < alone.nav["tilt_std"][10_000:].mean()
    assert rms(np.radians(both.tilt_deg(10.0, SECONDS)) / late) < 2.0 * np.sqrt(2.0)
    assert both.nav["carrier_rate_off"].max() < 0.1 and not both.health["fault"].any()
    assert not (both.nav["status"] & APART).any()


@pytest.mark.parametrize("seconds", [0.2, 2.0])
def test_the_camera_imu_fails_and_comes_back(seconds: float) -> None:
    flight = lost("imu", 9.0, 9.0 + seconds)
    gone = (flight.t_s > 9.03) & (flight.t_s < 9.0 + seconds)
    assert flight.nav["carried"][gone].all() and flight.nav["valid"].all()
    assert not flight.nav["carried"][flight.t_s > 9.01 + seconds].any()
    assert flight.health["fault"][-1] == Code.IMU_SILENT  # the picture's loop has no gyro: that isn't the estimator's
    assert flight.tilt_deg(9.0, 9.0 + seconds).max() < 1.0 + 0.4 * seconds
    heading = flight.heading_deg(8.9, 12.0)
    assert np.abs(heading - heading[0]).max() < 3.0
    for change in (9.02, 9.0 + seconds):  # it takes over, it gives back; a correction's step is up to 0.5 between
        assert flight.largest_step_deg(change - 0.003, change + 0.005) < 0.1


@pytest.mark.parametrize("what", ["carrier", "encoder"])
def test_the_carriers_side_fails_without_a_step(what: str) -> None:
    flight = lost(what, 9.0, 99.0)
    after = flight.t_s > 9.1
    assert not flight.nav["carrier_valid"][after].any() and not flight.nav["carried"].any()
    assert flight.nav["valid"].all() and flight.tilt_deg(9.0, SECONDS).max() < 1.0
    assert flight.largest_step_deg(9.0, 9.2) < 1.5 * lost("", 0.0, 0.0).largest_step_deg(9.0, 9.2) + 0.02
    assert flight.health["fault"][-1] == (Code.MOTOR_SILENT if what == "encoder" else 0)


def test_a_gyro_that_lies_slowly_is_told_from_the_carrier() -> None:
    """30 deg/s more within a second: no jump that gyro and encoders alone could tell from a turning base."""

    def spoil(t_s, sense):
        sense["imu_gyro_I"][0, :, 2] += np.radians(30.0) * min(max(t_s - 9.0, 0.0), 1.0)

    flight = Flight(spoil, 11.0)
    assert flight.health["fault"][-1] == Code.IMU_DISAGREES
    assert not flight.health["fault"][flight.t_s < 9.0].any()


def test_a_carrier_imu_mounted_askew_moves_nothing() -> None:
    """20 deg of roll that the rig file doesn't know: the two disagree, the camera's counts."""
    roll = np.radians(20.0)
    turn = np.array([[1, 0, 0], [0, np.cos(roll), -np.sin(roll)], [0, np.sin(roll), np.cos(roll)]])

    def spoil(t_s, sense):
        for name in ("carrier_gyro_I", "carrier_accel_I"):
            sense[name] = sense[name] @ turn

    flight = Flight(spoil)
    assert (flight.nav["status"][-3000:] & APART).all()
    assert rms(flight.tilt_deg(11.0, SECONDS)) < 0.6


@pytest.mark.parametrize("harm", ["nan", "future", "beyond", "stuck"])
def test_bad_samples_of_the_carrier_reach_nothing(harm: str) -> None:
    def spoil(t_s, sense):
        if t_s < 4.0:
            return
        if harm == "nan":
            sense["carrier_accel_I"][0, :, 1] = np.nan
        elif harm == "future":
            sense["carrier_t_ns"] += 10**9
        elif harm == "beyond":
            sense["carrier_gyro_I"][0, :, 0] = 1e6
        else:
            sense["carrier_gyro_I"], sense["carrier_accel_I"] = 0.1, -5.0

    flight = Flight(spoil, 6.0)
    assert flight.meas_status & {"nan": 8, "future": 16, "beyond": 8, "stuck": 4}[harm]
    assert not flight.nav["carrier_valid"][flight.t_s > 4.2].any() and np.isfinite(flight.nav["q_NC_est"]).all()
    assert rms(flight.tilt_deg(5.0, 6.0)) < 1.0 and not flight.health["fault"].any()


def test_a_log_with_a_carrier_replays_byte_for_byte(tmp_path) -> None:
    config, scenario = load_rig("torque_carrier"), load_scenario("helicopter")
    log = tmp_path / "a.mcap"
    run_lockstep(PlantRig(config.config, scenario.config), config, 2.0, log=log, scenario=scenario)
    assert replay(log).identical
