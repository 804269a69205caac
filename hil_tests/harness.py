"""The real daemon as a process, and what a test does with it: start, ask, break, end, read the log."""

from __future__ import annotations

import json
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from gimbal.ctl import Client
from gimbal.daemon import instance
from gimbal.loop.realtime import die_with_parent
from gimbal.records import Arm
from gimbal.telemetry.reader import open_log
from gimbal.telemetry.ring import RingReader

REPO = Path(__file__).resolve().parents[1]
PATIENCE_S = 20.0  # for anything to happen on a machine that stalls; not a time that is tested
COMPILE_S = 600.0


def wait_for(what: str, true: Callable[[], Any], seconds: float = PATIENCE_S) -> Any:
    """Poll until ``true()`` is; fails the test, naming ``what``, when it never is."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        value = true()
        if value:
            return value
        time.sleep(0.01)
    raise AssertionError(f"{what}: not within {seconds:g} s")


def children(pid: int) -> list[int]:
    """Child processes, theirs included."""
    found = [int(child) for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]
    return found + [deeper for child in found for deeper in children(child)]


def command_of(pid: int) -> str:
    return Path(f"/proc/{pid}/cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace")


class Place:
    """A runtime folder, a rig file of its own name and a log folder: nothing is shared with another daemon."""

    def __init__(self, rig: str | None = None, text: str = "") -> None:
        """rig: a file of real hardware. text: a rig file's own, to be emulated; left out: the reference rig's."""
        self.folder = Path(tempfile.mkdtemp(prefix="gimbal-hil-", dir="/tmp"))  # short: a socket's path has 107 bytes
        self.name = f"hil-{self.folder.name[-8:]}"
        self.logs = self.folder / "logs"
        self.real = rig is not None
        text = text or Path(rig or REPO / "configs/rigs/torque.toml").read_text()
        if not self.real:
            text = re.sub(r'^name = "[^"]*"', f'name = "{self.name}"', text, count=1, flags=re.MULTILINE)
        else:
            self.name = text.split('name = "', 1)[1].split('"', 1)[0]
        self.rig = self.folder / "rig.toml"
        self.rig.write_text(text)
        self.running: list[Running] = []
        self.variables: dict[str, str] = {}  # of the environment, beside what is set here

    def environment(self) -> dict[str, str]:
        return os.environ | {"GIMBAL_RUNTIME_DIR": str(self.folder), "PYTHONPATH": str(REPO)} | self.variables

    def gimbal(self, *words: str, seconds: float = PATIENCE_S) -> subprocess.CompletedProcess[str]:
        """Run one command to its end."""
        command = [sys.executable, "-m", "gimbal", *words]
        return subprocess.run(command, env=self.environment(), capture_output=True, text=True, timeout=seconds)

    def reader(self, name: str) -> RingReader:
        """On a ring of the running daemon: "tick", or the plant's "truth"."""
        return RingReader(instance.segment_of_socket(self.folder / f"{self.name}.sock", name))

    def remove(self) -> None:
        """End whatever a test has left running, then the folder."""
        for process in self.running:
            process.kill()
        shutil.rmtree(self.folder, ignore_errors=True)


class Running:
    """A process of ours with its output collected in a file; ``text()`` is what it has said."""

    def __init__(self, place: Place, words: Sequence[str]) -> None:
        self.place = place
        self._output = place.folder / f"output-{time.monotonic_ns()}.txt"
        with self._output.open("wb") as file:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "gimbal", *words], env=place.environment(), stdin=subprocess.DEVNULL,
                stdout=file, stderr=subprocess.STDOUT, start_new_session=True,
                preexec_fn=partial(die_with_parent, os.getpid()),
            )  # fmt: skip
        place.running.append(self)

    def text(self) -> str:
        return self._output.read_text(errors="replace")

    def alive(self) -> bool:
        return self.process.poll() is None

    def await_text(self, text: str, seconds: float = COMPILE_S) -> None:
        wait_for(f"{text!r} in the output", lambda: text in self.text() or not self.alive(), seconds)
        assert text in self.text(), self.text()

    def signal(self, number: int) -> None:
        self.process.send_signal(number)

    def join(self, seconds: float = PATIENCE_S) -> int:
        return self.process.wait(seconds)

    def kill(self) -> None:
        """End it and its children, politely and then not."""
        if self.alive():
            self.process.terminate()
            try:
                self.process.wait(5)
            except subprocess.TimeoutExpired:
                os.killpg(self.process.pid, signal.SIGKILL)
                self.process.wait(PATIENCE_S)


class Breaker:
    """A line to the emulators' socket."""

    def __init__(self, path: Path) -> None:
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self._socket.settimeout(PATIENCE_S)
        self._socket.connect(str(path))
        self._file = self._socket.makefile("r")

    def __call__(self, command: str) -> str:
        self._socket.sendall(command.encode() + b"\n")
        answer = self._file.readline().strip()
        assert answer and not answer.startswith("error"), answer
        return answer

    def joints(self) -> dict[str, list[float]]:
        return json.loads(self("state"))

    def flown_s(self) -> float:
        return json.loads(self("state"))["t_s"]

    def close(self) -> None:
        self._file.close()
        self._socket.close()


class Emulators(Running):
    """``gimbal emulate`` on its own, for what must outlive the daemon."""

    def __init__(self, place: Place, scenario: str = "bench") -> None:
        self.folder = place.folder / "ports"
        super().__init__(place, ["emulate", str(place.rig), "--scenario", scenario, "--dir", str(self.folder)])
        self.await_text("READY")
        self.breaker = Breaker(self.folder / "emulator.sock")

    def ports(self) -> list[str]:
        named = [line for line in self.text().splitlines() if "=" in line]
        return [word for line in named for word in ("--port", line)]

    def end(self) -> None:
        self.breaker.close()
        self.signal(signal.SIGTERM)
        self.join()


class Daemon(Running):
    """``gimbal run``: started, and (unless told otherwise) waited for until its loop runs."""

    def __init__(self, place: Place, *words: str, emulate: str | None = "bench", wait: bool = True) -> None:
        emulated = [] if emulate is None or place.real else ["--emulate", emulate]
        super().__init__(place, ["run", str(place.rig), *emulated, "--log", str(place.logs), *words])
        self._client: Client | None = None
        self._breaker: Breaker | None = None
        if wait:
            self.await_text("RT: ")

    @property
    def client(self) -> Client:
        if self._client is None:
            self._client = Client(self.place.folder / f"{self.place.name}.sock")
        return self._client

    @property
    def breaker(self) -> Breaker:
        if self._breaker is None:
            self._breaker = Breaker(next(self.place.folder.glob("gimbal-*/emulator.sock")))
        return self._breaker

    def ask(self, verb: str, **values: Any) -> dict[str, Any]:
        return self.client.request({"verb": verb} | values)

    def status(self) -> dict[str, Any]:
        return self.ask("status")["status"]

    def await_state(self, state: str) -> dict[str, Any]:
        def there() -> dict[str, Any] | None:
            status = self.status()
            return status if status["state"] == state else None

        return wait_for(f"state {state}", there)

    def arm(self) -> None:
        """Arm as an operator would: ask again while it says why not yet."""
        wait_for("armed", lambda: self.ask("arm")["ok"])

    def acknowledge(self) -> None:
        wait_for("acknowledged", lambda: self.ask("ack")["ok"])

    def end(self, number: int = signal.SIGTERM) -> int:
        for channel in (self._client, self._breaker):
            if channel is not None:
                channel.close()
        if self.alive():
            self.signal(number)
        return self.join()

    def log(self) -> Path:
        """The newest log."""
        return max(self.place.logs.glob("*.mcap"), key=lambda path: path.stat().st_mtime_ns)


def states_of(log: Path) -> list[str]:
    """The supervisor's states in order, without repeats."""
    arm = open_log(log).rows()["health"]["arm"]
    changes = np.flatnonzero(np.diff(arm, prepend=-1))
    return [Arm(int(value)).name.lower() for value in arm[changes]]


def faults_of(log: Path) -> list[str]:
    """Latched faults in order of appearance."""
    from gimbal.faults import Code

    fault = open_log(log).rows()["health"]["fault"]
    changes = np.flatnonzero(np.diff(fault, prepend=0))
    return [Code(int(value)).name.lower() for value in fault[changes] if value]
