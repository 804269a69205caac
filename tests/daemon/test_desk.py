"""The daemon's desk on rows written by hand: what it answers, and what it does when the loop takes no STOP."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
import uuid
from types import SimpleNamespace

import numpy as np
import pytest

from gimbal import ctl, faults
from gimbal.config.load import load_rig
from gimbal.daemon import end_process, instance
from gimbal.daemon.desk import Desk, Refused, row_status
from gimbal.faults import Blocker, Code
from gimbal.loop.board import Board, Phase
from gimbal.records import TICK, Arm, TargetSource, Verb
from gimbal.targeting.track_records import Status
from gimbal.telemetry.inbox import InboxWriter
from gimbal.telemetry.ring import RingWriter
from gimbal.why import of_status

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="the daemon runs on Linux")
CHILD = "import signal, sys, time; {}; print('there', flush=True); time.sleep(60)  # gimbal"
POLITE = "signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))"
DEAF = "signal.signal(signal.SIGTERM, signal.SIG_IGN)"


@pytest.fixture
def name():
    return f"desk-{uuid.uuid4().hex[:8]}"


@pytest.fixture
def ring(name):
    ring = RingWriter(instance.segment(name, "tick"), TICK, 64, {"rig": name})
    yield ring
    ring.close()


@pytest.fixture
def desk(name, ring):
    """A desk whose loop is a child that never ticks."""
    board = Board(instance.segment(name, "board"), create=True)
    inbox = InboxWriter(instance.segment(name, "inbox"))
    board["phase"] = Phase.RUNNING
    yield Desk(name, load_rig("torque").config, inbox, board, os.getpid())
    inbox.close()
    board.unlink()


@pytest.fixture
def child():
    """``child(SETUP)`` is a process of ours that has run SETUP."""
    started = []

    def start(setup: str) -> subprocess.Popen:
        process = subprocess.Popen([sys.executable, "-c", CHILD.format(setup)], stdout=subprocess.PIPE)
        started.append(process)
        assert process.stdout.readline()
        return process

    yield start
    for process in started:
        process.kill()
        process.wait()
        process.stdout.close()


@pytest.mark.parametrize(("setup", "number", "says"), [
    (POLITE, 0, "was ended"), (DEAF, 0, "was killed"), (POLITE, signal.SIGSTOP, "was killed"),
])  # fmt: skip
def test_a_loop_that_takes_no_stop_is_ended(desk, child, setup, number, says):
    process = child(setup)
    desk.board["pid"] = process.pid
    if number:
        os.kill(process.pid, number)
    began = time.monotonic()
    answer = desk.handle({"verb": "stop"}, 7)
    assert not answer["ok"] and says in answer["reason"]
    assert time.monotonic() - began < 10.0  # it doesn't wait for ever
    assert end_process.is_gone(process.pid) and desk.loop_ended


def test_who_has_no_watchdog_is_told_to_cut_the_wired_stop():
    assert "watchdogs stop" in end_process.after_a_kill(load_rig("torque").config)
    said = end_process.after_a_kill(load_rig("simplefoc").config)
    assert "roll_motor" in said and "CUT THE WIRED STOP" in said


def test_a_process_of_somebody_else_is_left_alone(desk):
    desk.board["pid"] = 1
    answer = desk.handle({"verb": "stop"}, 7)
    assert not answer["ok"] and "can't be found" in answer["reason"]


def test_the_client_claims_only_what_is_so(tmp_path, child, monkeypatch):
    name = f"desk-{uuid.uuid4().hex[:8]}"
    board = Board(instance.segment(name, "board"), create=True)
    socket = tmp_path / f"{name}.sock"
    socket.touch()
    try:
        for setup, ok, says in ((POLITE, True, "has ended"), (DEAF, False, "CUT THE WIRED STOP")):
            process = child(setup)
            board["pid"] = process.pid
            answer = ctl._stop_by_signal(socket)
            assert answer["ok"] is ok and says in (answer.get("text") or answer["reason"])
            assert end_process.is_gone(process.pid)
        with pytest.raises(ctl.GimbalError, match="can't be found"):
            ctl._stop_by_signal(socket)  # gone already
    finally:
        board.unlink()


def refused_row(**health):
    row = np.zeros(1, TICK)[0]
    for key, value in health.items():
        row["health"][key] = value
    return row


def test_refusals_name_the_fault_that_holds(desk):
    hot = {"blockers": 1 << Blocker.FAULT, "fault_now": Code.MOTOR_OVERHEAT}
    row = refused_row(arm=Arm.IDLE, **hot)
    with pytest.raises(Refused, match="above its temperature limit"):
        desk._answer(Verb.ARM, row, row, 1)
    row = refused_row(arm=Arm.SAFE, fault=Code.OPERATOR_STOP, **hot)
    with pytest.raises(Refused, match="above its temperature limit"):
        desk._answer(Verb.ACK, row, row, 1)
    status = desk.status() | row_status(refused_row(arm=Arm.IDLE, **hot))
    assert status["fault_now"] == "motor_overheat"
    assert "motor_overheat" in ctl.format_status(status)
    assert f"A fault holds now: {faults.sentence(Code.MOTOR_OVERHEAT)}" in of_status(status)["says"]


def test_why_blames_a_killed_loop_only_in_logs_of_the_daemon(tmp_path, monkeypatch):
    from gimbal import why

    rows = np.zeros(3, TICK)
    rows["health"]["arm"] = Arm.ARMED
    for source, said in (("run", True), ("", False)):
        log = SimpleNamespace(rows=lambda: rows, header={"source": source} if source else {})
        monkeypatch.setattr("gimbal.telemetry.reader.open_log", lambda path, log=log: log)
        assert any("was killed" in line for line in why.of_log(tmp_path)["says"]) is said


def test_status_tells_what_the_picture_rests_on_and_which_measurements_were_refused(desk, ring):
    row = np.zeros(1, TICK)
    row["target"]["status"], row["target"]["source"], row["target"]["range_m"] = 1, TargetSource.GNSS, 23.0
    row["goal"]["reason"] = Code.CAMERA_BLIND
    for fix_status in (Status.ACCEPTED, Status.FUTURE, Status.ACCEPTED, Status.GATED, Status.ACCEPTED):
        row["target"]["fix_status"] = fix_status
        ring.publish(row)
    status = desk.status()
    assert status["measurements_refused"] == ["gated", "future"]
    text = ctl.format_status(status)
    assert "target   tracking (gnss), 23 m" in text and faults.sentence(Code.CAMERA_BLIND) in text
    assert "refused  measurements of the subject: gated, future" in text
