"""``gimbal doctor`` and ``gimbal why`` as commands, and the daemon of a user without rights."""

from __future__ import annotations

import json
import os
import shutil
import site
import subprocess
import sys

import pytest

from hil_tests.harness import REPO, wait_for

NOBODY = 65534


def python_of_nobody() -> list[str]:
    """A Python that another user may start, with this one's packages; empty where there is none."""
    for python in (sys.executable, f"/usr/bin/python{sys.version_info.major}.{sys.version_info.minor}"):
        command = ["setpriv", "--reuid", str(NOBODY), "--regid", str(NOBODY), "--clear-groups"]
        probe = [*command, "/bin/sh", "-c", f"exec {python} -c 'import sys'"]
        if shutil.which("setpriv") and os.geteuid() == 0 and subprocess.run(probe, capture_output=True).returncode == 0:
            return [*command, python]
    return []


AS_NOBODY = python_of_nobody()
unprivileged = pytest.mark.skipif(not AS_NOBODY, reason="needs root, setpriv and a Python that others may start")


def as_nobody(place, *words: str, seconds: float = 120.0) -> subprocess.CompletedProcess[str]:
    """One command as user nobody, without a right."""
    for folder in (place.folder, place.rig):
        os.chown(folder, NOBODY, NOBODY)
    packages = os.pathsep.join([str(REPO), site.getsitepackages()[0]])
    environment = place.environment() | {"GIMBAL_CACHE_DIR": str(place.folder / "cache"), "HOME": str(place.folder),
                                         "PYTHONPATH": packages}  # fmt: skip
    command = [*AS_NOBODY, "-m", "gimbal", *words]
    return subprocess.run(command, env=environment, cwd=REPO, capture_output=True, text=True, timeout=seconds)


def test_doctor_tells_each_thing_with_its_fix(place):
    done = place.gimbal("doctor", str(place.rig), "--seconds", "0.5", "--log", str(place.logs), "--json", seconds=90)
    told = json.loads(done.stdout)
    names = [finding["name"] for finding in told["findings"]]
    assert {"kernel", "CPUs", "CPU frequency", "SCHED_FIFO", "jitter", "clock", "disk", "rig file", "daemon"} <= set(
        names
    )
    assert {f"port {name}" for name in ("imu", "motors", "gnss", "beacon")} <= set(names)
    assert done.returncode == (1 if told["failed"] else 0)
    for finding in told["findings"]:
        assert finding["verdict"] == "PASS" or finding["fix"], finding


def test_doctor_sees_ports_that_are_not_there_a_bad_rig_and_a_running_daemon(place, daemon):
    gone = place.gimbal("doctor", str(place.rig), "--seconds", "0.2", "--port", "imu=/dev/none", seconds=90)
    assert gone.returncode == 1 and "FAIL  port imu: /dev/none is not there" in gone.stdout
    gimbal = daemon()
    gimbal.await_state("idle")
    there = place.gimbal("doctor", str(place.rig), "--seconds", "0.2", seconds=90)
    assert f"is run by process {gimbal.process.pid}" in there.stdout
    assert gimbal.end() == 0
    place.rig.write_text(place.rig.read_text().replace("[limits]", "[limits]\nmax_torqe_Nm = 2.0"))
    bad = place.gimbal("doctor", str(place.rig), "--seconds", "0.2", seconds=90)
    assert bad.returncode == 1 and "Did you mean max_torque_Nm" in bad.stdout


def test_why_before_in_and_after_a_fault(place, daemon):
    nobody = place.gimbal("why")
    assert nobody.returncode == 2 and "name the log" in nobody.stderr
    gimbal = daemon()
    gimbal.arm()
    gimbal.await_state("armed")
    assert "It is armed." in place.gimbal("why", "--rig", place.name).stdout
    gimbal.breaker("mute imu")
    gimbal.await_state("safe")
    told = place.gimbal("why", "--rig", place.name).stdout
    assert "It stopped: No IMU sample for too long." in told and "Next:" in told
    assert "won't arm: " in told and "fresh samples" in told
    gimbal.breaker("heal")
    gimbal.acknowledge()
    wait_for("idle", lambda: "Nothing is in the way" in place.gimbal("why", "--rig", place.name).stdout)
    assert gimbal.end() == 0
    answer = json.loads(place.gimbal("why", str(place.logs), "--json").stdout)
    assert [event["fault"] for event in answer["faults"]] == ["imu_silent", "operator_stop"]
    assert answer["state"] == "safe" and "it stopped" in answer["says"][0]
    assert place.gimbal("why", str(place.folder / "none")).returncode == 2


@unprivileged
def test_nobody_gets_the_ladder_told_by_the_doctor(place):
    done = as_nobody(place, "doctor", "--seconds", "0.5", "--log", str(place.folder), "--json")
    told = {finding["name"]: finding for finding in json.loads(done.stdout)["findings"]}
    assert told["SCHED_FIFO"]["verdict"] == "WARN" and "rtprio 95" in told["SCHED_FIFO"]["fix"]
    assert told["real time"]["detail"].startswith("RT: degraded")
    assert told["disk"]["verdict"] == "PASS"


@pytest.mark.whole  # another user's numba may find the compiled cache stale: minutes
@unprivileged
def test_nobody_flies_degraded(place):
    """The daemon of a user without rights runs, says what is missing with its fix, arms, and ends safe."""
    from gimbal.kernels.build import cache_root

    shutil.copytree(cache_root(), place.folder / "cache")  # what is compiled already: not minutes of it again
    subprocess.run(["chown", "-R", f"{NOBODY}:{NOBODY}", str(place.folder)], check=True)
    seconds = ("--seconds", "3")
    done = as_nobody(place, "run", str(place.rig), "--emulate", "bench", "--arm", *seconds, seconds=600)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "RT: degraded: SCHED_FIFO" in done.stdout and "rtprio 95" in done.stdout
