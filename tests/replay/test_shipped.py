"""The shipped tick on the simulated rig: its log replays byte for byte, from the start and from any snapshot."""

from __future__ import annotations

import numpy as np
import pytest

from gimbal.config.load import load_rig, load_scenario
from gimbal.loop.lockstep import run_lockstep
from gimbal.replay.diff import diff_logs
from gimbal.replay.replay import replay
from gimbal.rig.plant import PlantRig
from gimbal.telemetry.reader import open_log

SECONDS = 3.0


@pytest.fixture(scope="module")
def log(tmp_path_factory):
    return fly(tmp_path_factory.mktemp("shipped") / "a.mcap", seed=1)


def fly(path, seed: int):
    scenario = load_scenario("speedflight")
    rig = PlantRig(load_rig(scenario.config.rig).config, scenario.config)
    run_lockstep(rig, scenario, SECONDS, mode="track", seed=seed, log=path)
    return path


def test_the_log_of_a_run_replays_byte_for_byte(log):
    result = replay(log)
    assert result.identical, result.text()
    assert result.rows_verified == 3000 and result.states_verified == 2 and result.tolerance == 0


def test_the_log_names_its_origin(log):
    opened = open_log(log)
    assert {"rig.toml", "scenario.toml", "config.json"} <= opened.attachments.keys()
    assert opened.header["config_hash"] and opened.header["seed"] == 1


def test_a_changed_input_bit_changes_the_replay(log, tmp_path):
    """The comparison has teeth: one bit of one gyro sample, and the replay differs at that tick."""
    from gimbal.telemetry.log_writer import LogWriter

    opened = open_log(log)
    (stretch,) = opened.stretches()
    rows = stretch.rows
    rows["sense"]["imu_gyro_I"][2000, 0, 0] += 1e-6
    spoiled = LogWriter(tmp_path / "b.mcap", opened.header, params=opened.params, state_dtype=opened.state_dtype)
    spoiled.write_state(stretch.state, 0)
    spoiled.write_rows(rows, 0)
    spoiled.close()
    difference = replay(tmp_path / "b.mcap").difference
    assert difference is not None and difference.tick == 2000


def test_same_seed_same_rows_other_seed_other_rows(log, tmp_path):
    assert diff_logs(log, fly(tmp_path / "again.mcap", seed=1)).identical
    other = diff_logs(log, fly(tmp_path / "other.mcap", seed=2))
    assert any(d.field == "command.joint_torque_cmd" for d in other.fields)


def test_commands_are_in_the_rows(log):
    rows = open_log(log).rows()
    assert np.isfinite(rows["command"]["joint_torque_cmd"]).all()
    assert np.abs(rows["command"]["joint_torque_cmd"]).max() > 0.01


class Crossed(PlantRig):
    """A motor wired the wrong way round."""

    def write(self, command):
        turned = command.copy()
        turned["joint_torque_cmd"][0, 2] *= -1.0
        return super().write(turned)


def test_a_flight_that_ends_in_a_fault_replays_too(tmp_path):
    """The rows of a runaway are those one will want to believe."""
    scenario = load_scenario("speedflight")
    rig = Crossed(load_rig(scenario.config.rig).config, scenario.config)
    flown = run_lockstep(rig, scenario, 2.0, seed=1, log=tmp_path / "c.mcap")
    assert "runaway" in flown["faults"]
    result = replay(tmp_path / "c.mcap")
    assert result.identical and result.rows_verified == 2000, result.text()
