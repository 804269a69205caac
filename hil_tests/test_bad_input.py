"""What can be wrong before the first tick: each is one paragraph with cause and next step; nothing is left behind."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest

from firmware_bridge.emulators.pty_host import Host
from gimbal.daemon import instance
from hil_tests.harness import Daemon, wait_for


def failed(place, *words: str, code: int, says: str, seconds: float = 600.0) -> str:
    done = place.gimbal("run", str(place.rig), *words, seconds=seconds)
    assert done.returncode == code, (done.returncode, done.stdout, done.stderr)
    assert says in done.stderr, done.stderr
    assert "Traceback" not in done.stderr
    assert len(done.stderr.strip().splitlines()) == 1, "one paragraph"
    left = [path for path in Path("/dev/shm").glob(f"gimbal-*-{place.name}*")]
    assert not left and not (place.folder / f"{place.name}.sock").exists()
    return done.stderr


@pytest.mark.parametrize("seconds", ["0", "-1", "nan", "inf"])
def test_seconds_that_are_no_time(place, seconds):
    failed(place, "--seconds", seconds, code=2, says="no length of time", seconds=30)


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (("--port", "imu"), "not NAME=PATH"),
        (("--port", "radar=/dev/null"), "names 'radar'"),
        (("--mode", "sideways"), "--mode 'sideways'"),
        (("--track", "nowhere.csv"), "needs --emulate"),
        (("--emulate", "speedflight", "--track", "nowhere.csv"), "no track file nowhere.csv"),
        (("--emulate", "moonwalk"), "no scenario called moonwalk"),
        (("--json", "/proc/nothing/here.json"), "can't be written"),
    ],
)
def test_words_that_make_no_sense(place, words, says):
    failed(place, *words, code=2, says=says, seconds=30)


def test_unknown_key_in_the_rig_file(place):
    place.rig.write_text(place.rig.read_text().replace("[limits]", "[limits]\nmax_torqe_Nm = 2.0"))
    error = failed(place, code=2, says="max_torqe_Nm", seconds=30)
    assert "Did you mean max_torque_Nm" in error and str(place.rig) in error


def test_log_folder_that_cannot_be_written(place):
    blocked = place.folder / "file"
    blocked.write_text("")
    failed(place, "--log", str(blocked / "logs"), code=1, says="can't be written", seconds=30)


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can mount a small disk")
def test_log_folder_that_is_full_at_the_start(place):
    small = place.folder / "small"
    small.mkdir()
    mounted = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=8m", "tmpfs", str(small)], capture_output=True)
    if mounted.returncode:
        pytest.skip("mounting is not permitted here")
    try:
        failed(place, "--log", str(small), code=1, says="8 MB left", seconds=30)
    finally:
        subprocess.run(["umount", str(small)], check=True)


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can mount a small disk")
def test_log_folder_that_fills_up_in_flight(place, daemon):
    """The recorder stops and says so; the loop flies on; what was logged is readable."""
    from gimbal.telemetry.reader import open_log

    place.logs.mkdir()
    mounted = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=60m", "tmpfs", str(place.logs)], capture_output=True)
    if mounted.returncode:
        pytest.skip("mounting is not permitted here")
    try:
        gimbal = daemon("--arm")
        gimbal.await_state("armed")
        wait_for("some log", lambda: gimbal.status()["ticks"] > 1500)
        (place.logs / "filler").write_bytes(bytes(34 << 20))
        gimbal.await_text("flies on without a log", 20)
        ticks = gimbal.status()["ticks"]
        wait_for("flying on", lambda: gimbal.status()["ticks"] > ticks + 500)
        assert gimbal.status()["state"] == "armed"
        assert gimbal.end() == 0
        assert len(open_log(gimbal.log()).rows()) > 500
    finally:
        subprocess.run(["umount", str(place.logs)], check=True)


def test_ports_that_are_not_named_or_not_there(place):
    failed(place, code=2, says="no port is named for imu", seconds=30)
    given = [
        word for name in ("imu", "motors", "gnss", "beacon") for word in ("--port", f"{name}=/dev/serial/by-id/none")
    ]
    error = failed(place, *given, code=1, says="is not there")
    assert error.count("imu") >= 1


def test_port_that_is_busy_names_its_holder(place, emulators):
    holder = Daemon(place, *emulators.ports(), emulate=None)
    holder.await_state("idle")
    place.rig.write_text(place.rig.read_text().replace('name = "', 'name = "b', 1))
    place.name = "b" + place.name
    error = failed(place, *emulators.ports(), code=1, says="is busy: held by")
    assert "python" in error
    assert holder.end() == 0


def test_device_that_answers_as_something_else(place, emulators):
    paths = dict(word.split("=") for word in emulators.ports() if "=" in word)
    paths["imu"], paths["gnss"] = str(emulators.folder / "gnss"), str(emulators.folder / "imu")
    ports = [word for name, path in paths.items() for word in ("--port", f"{name}={path}")]
    failed(place, *ports, code=1, says="imu, vectornav")


def test_garbage_on_the_line(place, emulators):
    """A line full of noise is no IMU."""
    import threading
    import time

    from firmware_bridge.emulators.base import Emulator

    class Noise(Emulator):
        def feed(self, data: bytes, now_ns: int) -> None:
            pass

        def next_ns(self) -> int:
            return self._next

        _next = 0

        def service(self, now_ns: int) -> None:
            self.send(os.urandom(64), now_ns)
            self._next = now_ns + 2_000_000

    host = Host(place.folder)
    host.add_pty("noise", Noise(None))
    over = threading.Event()
    thread = threading.Thread(target=host.run, args=(over.is_set,), daemon=True)
    thread.start()
    time.sleep(0.05)
    try:
        named = [word for word in emulators.ports() if "=" in word and not word.startswith("imu=")]
        ports = [word for name in named for word in ("--port", name)]
        failed(place, *ports, "--port", f"imu={place.folder / 'noise'}", code=1, says="imu, vectornav")
    finally:
        over.set()
        thread.join()
        host.close()


def test_runtime_folder_of_another_user(place):
    place.folder.chmod(0o777)
    failed(place, "--emulate", "bench", code=1, says="others may write in it", seconds=60)
    place.folder.chmod(0o700)


def test_names_stay_file_names():
    assert instance.safe_name("torque") == "torque"
    assert instance.safe_name("a/b") != instance.safe_name("a_b")
    assert "/" not in instance.segment("../x y", "tick")
