"""How a daemon starts, is talked to and ends: by an operator, a signal, a kill, a second daemon, a dead helper."""

from __future__ import annotations

import json
import os
import signal
import time

import numpy as np
import pytest

from gimbal.telemetry.reader import open_log
from hil_tests.harness import Daemon, faults_of, states_of, wait_for


@pytest.mark.harmless
def test_starts_disarmed_and_ends_safe_on_sigterm(place, daemon):
    gimbal = daemon()
    status = gimbal.await_state("idle")
    assert status["rt"].startswith("RT: ")
    assert status["devices"].keys() >= {"imu", "motors"}
    ticks = status["ticks"]
    wait_for("ticks go on", lambda: gimbal.status()["ticks"] > ticks + 200)
    assert gimbal.status()["state"] == "idle"
    assert gimbal.end(signal.SIGTERM) == 0
    rows = open_log(gimbal.log()).rows()
    assert not rows["command"]["mode"][rows["health"]["arm"] == 2].any()  # idle: every motor off
    assert rows["health"]["arm"][-1] == 4


@pytest.mark.harmless
def test_second_daemon_is_refused_and_named(place, daemon):
    gimbal = daemon()
    second = daemon(wait=False)
    assert second.join() == 1
    assert f"already run by process {gimbal.process.pid}" in second.text()
    assert gimbal.alive() and gimbal.await_state("idle")
    assert gimbal.end() == 0


@pytest.mark.harmless
def test_stop_from_any_client_acts_within_two_ticks(place, daemon):
    gimbal = daemon()
    gimbal.await_state("idle")
    done = place.gimbal("ctl", "stop", "--rig", place.name)
    assert done.returncode == 0, done.stderr
    assert gimbal.await_state("safe")["fault"] == "operator_stop"
    assert not gimbal.ask("arm")["ok"]
    assert place.gimbal("ctl", "ack", "--rig", place.name).returncode == 0
    gimbal.await_state("idle")
    assert gimbal.end(signal.SIGINT) == 0
    rows = open_log(gimbal.log()).rows()
    rung = int(np.flatnonzero(np.diff(rows["inbox"]["stop_count"].astype(int)))[0]) + 1
    acted = int(np.flatnonzero(rows["health"]["arm"] == 4)[0])
    assert 0 <= acted - rung <= 2


def test_ctl_speaks_the_contract(place, daemon):
    gimbal = daemon("--arm")
    gimbal.await_state("armed")
    rig = ("--rig", place.name)
    assert place.gimbal("ctl", "mode", "stow", *rig).returncode == 0
    wait_for("stowing", lambda: gimbal.status()["mode"] == "stow")
    assert place.gimbal("ctl", "rate", "0", "5", "-10", *rig).returncode == 0
    wait_for("rate mode", lambda: gimbal.status()["mode"] == "rate")
    wait_for("the rate expires", lambda: "command_expired" in gimbal.status()["limits"])
    answer = place.folder / "answer.json"
    shown = place.gimbal("ctl", "status", "--json", str(answer), *rig)
    assert shown.returncode == 0 and "state    armed" in shown.stdout
    assert json.loads(answer.read_text())["status"]["state"] == "armed"
    for words, complaint in ((("mode", "sideways"), "takes one of"), (("rate", "1", "nan", "2"), "three numbers")):
        bad = place.gimbal("ctl", *words, *rig)
        assert bad.returncode == 2 and complaint in bad.stderr
    assert place.gimbal("ctl", "disarm", *rig).returncode == 0
    assert gimbal.await_state("idle")
    assert oct((place.folder / f"{place.name}.sock").stat().st_mode & 0o777) == "0o600"
    assert gimbal.end() == 0
    gone = place.gimbal("ctl", "status", *rig)
    assert gone.returncode != 0 and "No daemon runs" in gone.stderr


def test_sigkill_of_the_daemon_leaves_the_watchdogs(place, emulators):
    """Every process of the daemon is killed: the emulated controllers stop themselves, and a new daemon can start."""
    gimbal = Daemon(place, "--arm", *emulators.ports(), emulate=None)
    gimbal.await_state("armed")
    wait_for("torque", lambda: emulators.breaker.joints()["mode"] == [1, 1, 1])
    os.killpg(gimbal.process.pid, signal.SIGKILL)
    gimbal.process.wait(10)
    wait_for("no torque", lambda: 1 not in emulators.breaker.joints()["mode"])
    wait_for("at rest", lambda: max(map(abs, emulators.breaker.joints()["rate"])) < 0.5)
    again = Daemon(place, *emulators.ports(), emulate=None)
    again.arm()
    again.await_state("armed")
    assert again.end() == 0


def test_sigkill_of_the_supervisor_ends_the_loop_safe(place, emulators):
    gimbal = Daemon(place, "--arm", *emulators.ports(), emulate=None)
    status = gimbal.await_state("armed")
    gimbal.process.kill()
    gimbal.process.wait(10)
    wait_for("the loop ends", lambda: not os.path.exists(f"/proc/{status['rt_pid']}"))
    wait_for("no torque", lambda: 1 not in emulators.breaker.joints()["mode"])


def test_sigkill_of_the_loop_is_reported(place, daemon):
    gimbal = daemon("--arm")
    status = gimbal.await_state("armed")
    os.kill(status["rt_pid"], signal.SIGKILL)
    assert gimbal.join() == 1
    assert "real-time process ended by itself (exit -9)" in gimbal.text()
    rows = open_log(gimbal.log()).rows()
    assert len(rows) and rows["health"]["arm"][-1] == 3


def test_stop_reaches_the_loop_past_a_stopped_supervisor(place, emulators):
    gimbal = Daemon(place, "--arm", *emulators.ports(), emulate=None)
    status = gimbal.await_state("armed")
    gimbal.signal(signal.SIGSTOP)
    try:
        done = place.gimbal("ctl", "stop", "--rig", place.name)
        assert done.returncode == 0, done.stderr
        assert "loop process" in done.stdout
        wait_for("no torque", lambda: 1 not in emulators.breaker.joints()["mode"])
    finally:
        gimbal.signal(signal.SIGCONT)
    assert gimbal.join() == 1
    assert status["rt_pid"]


def test_stop_ends_a_loop_that_stands_still(place, emulators):
    """The loop's process is stopped while armed: it is said aloud, STOP doesn't claim what isn't so and ends it."""
    gimbal = Daemon(place, "--arm", *emulators.ports(), emulate=None)
    status = gimbal.await_state("armed")
    os.kill(status["rt_pid"], signal.SIGSTOP)
    gimbal.await_text("THE LOOP STANDS STILL", 20)
    done = place.gimbal("ctl", "stop", "--rig", place.name)
    assert done.returncode == 1, done.stdout
    assert "did not act" in done.stderr and f"process {status['rt_pid']} was killed" in done.stderr
    assert gimbal.join() == 1
    assert "STOP: the loop has not ticked" in gimbal.text()
    wait_for("no torque", lambda: 1 not in emulators.breaker.joints()["mode"])


def test_arm_is_dropped_at_a_blocker_whose_end_arms_nothing(place, emulators):
    """A motor is too hot at the start: --arm gives up, and a motor that has cooled arms nothing."""
    emulators.breaker("heat pitch 150")
    gimbal = Daemon(place, "--arm", *emulators.ports(), emulate=None)
    gimbal.await_text("--arm is dropped: A motor is above its temperature limit")
    assert gimbal.status()["fault_now"] == "motor_overheat"
    emulators.breaker("heal")
    gimbal.await_state("idle")
    ticks = gimbal.status()["ticks"]
    wait_for("a second more", lambda: gimbal.status()["ticks"] > ticks + 1000)
    assert gimbal.status()["state"] == "idle"
    assert gimbal.end() == 1


def test_a_killed_recorder_is_replaced_and_the_loop_flies_on(place, daemon):
    gimbal = daemon("--arm")
    gimbal.await_state("armed")
    first = gimbal.log()
    children = [int(pid) for pid in _children(gimbal.process.pid) if b"recorder" in _words(pid)]
    assert len(children) == 1
    time.sleep(1.0)
    os.kill(children[0], signal.SIGKILL)
    wait_for("a second log", lambda: len(list(place.logs.glob("*.mcap"))) == 2)
    ticks = gimbal.status()["ticks"]
    wait_for("flying on", lambda: gimbal.status()["ticks"] > ticks + 500)
    assert gimbal.status()["state"] == "armed"
    assert gimbal.end() == 0
    assert len(open_log(first).rows()) > 300
    assert states_of(gimbal.log())[-1] == "safe"


def test_end_of_the_time_disarms(place, daemon):
    summary = place.folder / "summary.json"
    gimbal = daemon("--arm", "--seconds", "9", "--json", str(summary))
    assert gimbal.join(60) == 0, gimbal.text()
    figures = json.loads(summary.read_text())
    assert figures["faults"] == [] and figures["ticks"] > 5000
    for key in ("wake_latency_us", "tick_us", "sense_to_command_us"):
        assert set(figures[key]) == {"p50", "p99", "p99_9", "max"}
    assert figures["jitter_urad_rms"]["total"] > 0
    assert states_of(gimbal.log())[-2:] == ["armed", "idle"]
    assert faults_of(gimbal.log()) == []
    verified = place.gimbal("replay", str(gimbal.log()), "--verify", seconds=120)
    assert verified.returncode == 0, verified.stdout + verified.stderr


def _children(pid: int) -> list[str]:
    with open(f"/proc/{pid}/task/{pid}/children") as file:
        return file.read().split()


def _words(pid: str) -> bytes:
    try:
        with open(f"/proc/{pid}/cmdline", "rb") as file:
            return file.read()
    except OSError:
        return b""
