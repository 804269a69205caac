"""Replay finds identical logs identical, and the first difference of any kind by tick and field."""

from __future__ import annotations

import json
from argparse import Namespace
from pathlib import Path

import numpy as np
import pytest

from gimbal.records import COMMAND, INBOX, SENSE, TICK
from gimbal.replay import replay as module
from gimbal.replay.diff import diff_logs
from gimbal.replay.replay import OtherVersion, replay, replay_command
from gimbal.telemetry.log_writer import LogWriter, environment
from gimbal.telemetry.reader import NotALog
from tests.telemetry.logs import STATE, params, writer


def small_step(par, state, sense, inbox, command, row):
    """A step with memory and arithmetic, in the shape of the shipped one."""
    row["sense"], row["inbox"] = sense, inbox
    row["tick"], row["t_ns"] = state["count"], sense["t_ns"]
    state["count"] += 1
    state["sum"] += np.sin(sense["joint_angle"]) * par["gain"]
    row["command"]["joint_torque_cmd"] = np.minimum(state["sum"], par["limit"])
    row["nav"]["q_NC_est"][0, 0] = state["sum"][0, 1]
    command[:] = row["command"]


def run(path: Path, n: int = 1200, *, step=small_step, lost=range(0), at=None, spoil=None, header=None) -> None:
    """Log n ticks of ``step`` on random inputs, a State every 500; ``spoil(row)`` changes row ``at``."""
    rng = np.random.default_rng(2)
    par, state = params(), np.zeros(1, STATE)
    state["noise"] = rng.normal(size=500)
    facts = {**environment(), **(header or {})}
    log = LogWriter(path, facts, params=par, state_dtype=STATE, min_free_bytes=0)
    for k in range(n):
        sense, inbox = np.zeros(1, SENSE), np.zeros(1, INBOX)
        command, row = np.zeros(1, COMMAND), np.zeros(1, TICK)
        sense["t_ns"], sense["joint_angle"] = (k + 1) * 1_000_000, rng.normal(size=3)
        inbox["seq"] = k
        if k % 500 == 0:
            log.write_state(state, k)
        step(par, state, sense, inbox, command, row)
        row["timing"]["wake_ns"] = rng.integers(0, 10**6)
        if k == at and spoil is not None:
            spoil(row)
        if k not in lost:
            log.write_rows(row, k)
        if k % 250 == 249:
            log.flush()
    log.close()


def test_the_same_step_gives_the_same_bytes(tmp_path):
    run(tmp_path / "a.mcap")
    seen = []
    result = replay(tmp_path / "a.mcap", progress=seen.append, step=small_step)
    assert result.identical and result.rows_verified == result.rows == 1200
    assert result.states_verified == 2 and result.stretches == 1 and result.tolerance == 0
    assert seen[-1] == 1200 and "1200 rows and 2 States byte-identical" in result.text()


def test_timing_is_the_only_thing_left_out(tmp_path):
    """Every other field of a row, changed by one bit, is found and named."""
    from gimbal.telemetry import dtypes

    rng = np.random.default_rng(8)
    leaves = [leaf for leaf in dtypes.leaves(TICK) if not leaf.path.startswith(("sense.", "inbox.", "timing."))]
    for leaf in rng.choice(len(leaves), 12, replace=False):
        chosen = leaves[int(leaf)]
        path = tmp_path / f"{chosen.path}.mcap"

        def spoil(row, where=chosen.offset):
            row.view(np.uint8)[where] ^= 1

        run(path, n=60, at=37, spoil=spoil)
        difference = replay(path, step=small_step).difference
        assert difference is not None and (difference.index, difference.where) == (37, "row")
        assert difference.field.split("[")[0] == chosen.path or chosen.path == "tick"


def test_the_first_differing_tick_and_field_are_named_with_both_values(tmp_path):
    def louder(par, state, sense, inbox, command, row):
        small_step(par, state, sense, inbox, command, row)
        if state["count"][0] > 700:
            row["command"]["joint_torque_cmd"][0, 2] += 1e-12

    run(tmp_path / "a.mcap")
    result = replay(tmp_path / "a.mcap", step=louder)
    assert not result.identical and result.difference is not None
    d = result.difference
    assert (d.index, d.tick, d.where, d.field) == (700, 700, "row", "command.joint_torque_cmd[2]")
    assert d.replayed - d.logged == pytest.approx(1e-12, rel=1e-2)
    assert "DIFFERENT at tick 700" in result.text() and "joint_torque_cmd[2]" in result.text()


def test_a_state_that_drifts_unseen_is_found_at_the_next_snapshot(tmp_path):
    def forgetful(par, state, sense, inbox, command, row):
        small_step(par, state, sense, inbox, command, row)
        if state["count"][0] == 123:
            state["noise"][0, 7] = 0.0  # shows in no row

    run(tmp_path / "a.mcap")
    d = replay(tmp_path / "a.mcap", step=forgetful).difference
    assert d is not None and (d.where, d.index, d.field) == ("state", 500, "noise[7]") and d.replayed == 0.0


def test_a_step_that_leans_on_the_row_before_is_found(tmp_path):
    kept = np.zeros(1, TICK)

    def leaning(par, state, sense, inbox, command, row):
        small_step(par, state, sense, inbox, command, row)
        row["goal"]["owner"] = kept["goal"]["owner"] if row is kept else 0
        row["goal"]["owner"] += 1

    def same_row(par, state, sense, inbox, command, row):
        leaning(par, state, sense, inbox, command, kept)
        row.view(np.uint8)[:] = kept.view(np.uint8)

    run(tmp_path / "a.mcap", n=20, step=same_row)
    d = replay(tmp_path / "a.mcap", step=leaning).difference
    assert d is not None and (d.tick, d.field) == (1, "goal.owner")


def test_gaps_are_listed_and_each_stretch_verified_from_its_state(tmp_path):
    run(tmp_path / "a.mcap", lost=range(600, 650))
    result = replay(tmp_path / "a.mcap", step=small_step)
    assert result.identical and result.gaps == ["50 rows missing from row 600 on"]
    assert result.rows == 1150 and result.stretches == 2
    assert result.rows_verified == 600 + 200, "350 rows after the gap have no State before them"
    assert "350 rows not verified" in result.text()


def test_a_cut_log_is_verified_as_far_as_it_goes(tmp_path):
    run(tmp_path / "a.mcap")
    data = (tmp_path / "a.mcap").read_bytes()
    (tmp_path / "cut.mcap").write_bytes(data[: len(data) * 3 // 5])
    result = replay(tmp_path / "cut.mcap", step=small_step)
    assert result.identical and 0 < result.rows_verified < 1200
    assert "ends without its last part" in result.recovered and result.recovered in result.text()


def test_nothing_to_verify_is_not_identical(tmp_path):
    log = writer(tmp_path / "a.mcap")
    log.write_rows(np.zeros(5, TICK), 0)
    log.close()
    result = replay(tmp_path / "a.mcap", step=small_step)
    assert not result.identical and "NOTHING VERIFIED" in result.text()


def test_another_cpu_type_is_compared_within_a_tolerance_and_said(tmp_path):
    def nearly(par, state, sense, inbox, command, row):
        small_step(par, state, sense, inbox, command, row)
        row["command"]["joint_torque_cmd"] *= 1 + 1e-12

    def off(par, state, sense, inbox, command, row):
        small_step(par, state, sense, inbox, command, row)
        row["command"]["joint_torque_cmd"] += 1e-7

    def wrong_count(par, state, sense, inbox, command, row):
        small_step(par, state, sense, inbox, command, row)
        row["health"]["commands_refused"] = 1

    run(tmp_path / "a.mcap", header={"cpu": "cortex-a76"})
    result = replay(tmp_path / "a.mcap", step=nearly)
    assert result.identical and result.tolerance == 1e-9
    assert "another CPU type (cortex-a76" in result.text() and "equal within 1e-09" in result.text()
    far = replay(tmp_path / "a.mcap", step=off).difference
    assert far is not None and far.tick == 0 and far.field == "command.joint_torque_cmd[0]"
    assert replay(tmp_path / "a.mcap", step=wrong_count).difference is not None, "integers must be equal"


def test_another_version_or_other_records_name_both(tmp_path):
    pytest.importorskip("gimbal.loop.pipeline")
    run(tmp_path / "a.mcap", n=5)
    with pytest.raises(OtherVersion, match=r"the STATE record is not the same|the PARAMS record is not the same"):
        replay(tmp_path / "a.mcap")
    assert OtherVersion("").exit_code == 2


def test_command_line_codes(tmp_path, capsys, monkeypatch):
    monkeypatch.setattr(module, "_shipped_step", lambda log: small_step)
    run(tmp_path / "a.mcap", n=300)
    ok = Namespace(log=tmp_path / "a.mcap", verify=True, json=tmp_path / "out.json")
    assert replay_command(ok) == 0
    assert "identical" in capsys.readouterr().out
    facts = json.loads((tmp_path / "out.json").read_text())
    assert facts["identical"] is True and facts["rows_verified"] == 300 and facts["difference"] is None

    def other(*args):
        small_step(*args)
        args[-1]["nav"]["tilt_std"] = 1.0

    monkeypatch.setattr(module, "_shipped_step", lambda log: other)
    assert replay_command(ok) == 1
    assert "nav.tilt_std" in capsys.readouterr().out
    assert json.loads((tmp_path / "out.json").read_text())["difference"]["field"] == "nav.tilt_std"
    assert replay_command(Namespace(log=tmp_path / "a.mcap", verify=True, json=tmp_path / "no" / "o.json")) == 2
    assert "o.json can't be written" in capsys.readouterr().err
    (tmp_path / "no.mcap").write_text("no log")
    assert replay_command(Namespace(log=tmp_path / "no.mcap", verify=True)) == 2
    assert "is not a log" in capsys.readouterr().err
    assert replay_command(Namespace(log=tmp_path / "a.mcap", verify=False)) == 0
    assert capsys.readouterr().out.count("\n") == 1
    with pytest.raises(NotALog):
        replay(tmp_path / "no.mcap", step=small_step)


def test_diff_of_two_logs_names_fields_and_sizes(tmp_path):
    def tuned(par, state, sense, inbox, command, row):
        small_step(par, state, sense, inbox, command, row)
        if state["count"][0] > 100:
            row["command"]["joint_torque_cmd"][0, 1] += 0.25

    run(tmp_path / "a.mcap", n=400)
    run(tmp_path / "same.mcap", n=400)
    run(tmp_path / "b.mcap", n=400, step=tuned, lost=range(10, 20))
    assert diff_logs(tmp_path / "a.mcap", tmp_path / "same.mcap").identical
    result = diff_logs(tmp_path / "a.mcap", tmp_path / "b.mcap")
    assert not result.identical and result.rows == 390 and result.unmatched_rows == 10
    (only,) = result.fields
    assert (only.field, only.rows, only.first_tick) == ("command.joint_torque_cmd", 300, 100)
    assert only.largest == pytest.approx(0.25) and "joint_torque_cmd" in result.text()
