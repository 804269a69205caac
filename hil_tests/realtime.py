"""The cases in real time: the real daemon as a process on ptys, broken through its emulators' socket.

One daemon serves the cases in turn; what ends a process gets a daemon of its own, and so does a case that begins at a
moment of its flight. Each begins as its twin does: armed, the camera level, the filter sound. A thread that only sleeps
sees what the machine does to everybody: its longest stall in the time judged is taken off the times.
"""

from __future__ import annotations

import contextlib
import math
import os
import resource
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from typing import Any

import numpy as np

from gimbal import faults
from gimbal.config.load import load_rig
from gimbal.daemon import instance
from gimbal.errors import GimbalError
from gimbal.records import Arm
from gimbal.telemetry.ring import RingReader
from gimbal.units import DEG
from hil_tests.harness import REPO, Daemon, Place, children, command_of, wait_for
from hil_tests.judge import Case, Seen, complaints, figures, limits_in
from hil_tests.table import flights, steps

BEFORE_S, HEALED_S = 0.15, 0.4
LEVEL, LEVEL_S = 8.0 * DEG, 20.0  # a board lags behind the mount's swing
REST_S, REST_RATE, REST_ERR = 0.8, 1.0 * DEG, 1.0 * DEG  # a board comes up to its setpoint late
SOUND_S = 30.0  # for the filter to find itself after the case before
TRIES = 3
HOG = "import time; end = time.monotonic() + 1.2\nwhile time.monotonic() < end: pass"
# what flight.Flight does to the loop in lock-step: a share of the milliseconds end in 1 to 8 of somebody else's
THIEF = """
import os, random, sys, time
os.sched_setaffinity(0, {max(os.sched_getaffinity(0))})
os.sched_setscheduler(0, os.SCHED_FIFO, os.sched_param(90))
rest, share = random.Random(1), float(sys.argv[1])
print("ready", flush=True)
sys.stdin.readline()
end = time.monotonic() + 1.2
while time.monotonic() < end:
    time.sleep(0.001)
    until = time.monotonic() + (1e-3 * rest.randrange(1, 9) if rest.random() < share else 0.0)
    while time.monotonic() < until: pass
"""
# an operator's console: asks and reads all the time
CONSOLE = """
import sys
from gimbal.ctl import Client
from gimbal.telemetry.ring import RingReader
client, reader = Client(sys.argv[1]), RingReader(sys.argv[2])
print("ready", flush=True)
while True:
    client.request({"verb": "status"})
    reader.read_new()
"""
GONE = ("host stop 1000", "host hangup")  # no loop is left


class Reference(threading.Thread):
    """Sleeps 1 ms at a time and remembers when it was late."""

    def __init__(self) -> None:
        super().__init__(daemon=True)
        self.late: list[tuple[int, float]] = []  # when, ms
        self.over = False

    def run(self) -> None:
        with contextlib.suppress(OSError):
            os.sched_setscheduler(0, os.SCHED_FIFO | os.SCHED_RESET_ON_FORK, os.sched_param(75))
        last = time.monotonic_ns()
        while not self.over:
            time.sleep(0.001)
            now = time.monotonic_ns()
            if now - last > 3_000_000:
                self.late.append((now, (now - last) * 1e-6 - 1.0))
            last = now

    def stall_ms(self, from_ns: int, to_ns: int) -> float:
        return max((ms for at, ms in self.late if from_ns <= at <= to_ns + 50_000_000), default=0.0)


class Flown:
    """A daemon in flight with readers on its rows and on the plant's truth."""

    def __init__(self, kind: str) -> None:
        self.kind, self.spec = kind, flights()[kind]
        self.place = Place(text=self.spec.text())
        self.clock = self.place.folder / "clock"
        clock = os.pathsep.join((str(REPO / "hil_tests" / "clock"), str(REPO)))
        self.place.variables = {"PYTHONPATH": clock, "GIMBAL_TEST_CLOCK": str(self.clock)}
        self.gimbal = Daemon(self.place, "--mode", self.spec.mode, emulate=self.spec.scenario_path)
        self.gimbal.await_state("idle")
        self.others: list[subprocess.Popen[bytes]] = []

    def arm(self) -> None:
        """Armed with the ramp behind it and the camera level, whatever came before, at the flight's moment."""
        self.gimbal.breaker("heal")
        if self.gimbal.status()["state"] == "safe":
            self.gimbal.acknowledge()
        if self.gimbal.status()["state"] != "armed":
            self.gimbal.arm()
        wait_for("the ramp", lambda: "arm_ramp" not in self.gimbal.status()["limits"])
        sound = lambda: not {"estimator_fallback", "gnss_lost"} & set(self.gimbal.status()["limits"])  # noqa: E731
        wait_for("a sound filter", sound, SOUND_S)
        if not self.spec.timed:
            self.gimbal.ask("mode", mode="home")
            wait_for("the camera level", self._level, LEVEL_S)
        self.gimbal.ask("mode", mode=self.spec.mode)
        if not self.spec.timed:
            wait_for("the camera at rest on its setpoint", self._rests(), LEVEL_S)
        at_s = self.spec.seconds - BEFORE_S
        left_s = at_s - self.gimbal.breaker.flown_s() if self.spec.timed else 0.0
        if left_s < 0.0:
            raise RuntimeError(f"the start took {-left_s:.1f} s longer than the flight has until the fault")
        time.sleep(max(left_s, 0.3))
        began, script = time.monotonic(), steps(self.spec.begin)
        while time.monotonic() - began < self.spec.begin_s:
            while script and 1e3 * (time.monotonic() - began) >= script[0][0]:
                self.gimbal.breaker(script.pop(0)[1])
            time.sleep(0.005)

    def _level(self) -> bool:
        angles = self.gimbal.breaker.joints()["angle"]
        return all(abs((angle + math.pi) % (2.0 * math.pi) - math.pi) < LEVEL for angle in angles)

    def _rests(self) -> Callable[[], bool]:
        rows, moved_ns = self.readers()[0], time.monotonic_ns()

        def look() -> bool:
            nonlocal moved_ns
            new = rows.read_new()
            turns, off = (np.linalg.norm(new[part][name], axis=1) for part, name in
                          (("setpoint", "rate_sp_C"), ("control", "attitude_err_C")))  # fmt: skip
            moved_ns = max([moved_ns, *new["t_ns"][(turns > REST_RATE) | (off > REST_ERR)].tolist()])
            return bool(len(new)) and int(new["t_ns"][-1]) - moved_ns > 1e9 * REST_S

        return look

    def host(self, words: list[str]) -> None:
        """What happens to the machine and to the processes around the loop."""
        verb = words[0]
        if words == ["busy"]:
            for _ in range(os.cpu_count() or 1):
                self.start(HOG)
        elif verb == "busy":
            pipe = self.others[-1].stdin
            assert pipe is not None
            pipe.write(b"\n")
            pipe.flush()
        elif verb == "clock":
            self.clock.write_text(words[1])
        elif verb == "hangup":
            os.killpg(self.gimbal.process.pid, signal.SIGHUP)
        elif verb == "full":  # the recorder's next byte finds no room, as on a full disk
            log = self.gimbal.log().stat().st_size
            resource.prlimit(self.recorder(), resource.RLIMIT_FSIZE, (log, log))
        else:
            pid = self.recorder() if words[1] == "recorder" else self.others[-1].pid
            os.kill(pid, {"kill": signal.SIGKILL, "halt": signal.SIGSTOP, "go": signal.SIGCONT}[verb])

    def start(self, *words: str, wait: bool = False) -> None:
        pipe = subprocess.PIPE if wait else None
        command = [sys.executable, "-c", *words]
        self.others.append(subprocess.Popen(command, env=self.place.environment(), stdin=pipe, stdout=pipe))
        answer = self.others[-1].stdout
        if answer is not None and answer.readline().strip() != b"ready":
            raise RuntimeError("what is to stand beside the loop did not start; a hog above it needs the right to FIFO")

    def prepare(self, script: tuple[tuple[float, str], ...]) -> None:
        """Have what the script needs beside the loop up and waiting."""
        for command in (command for _, command in script):
            if command.startswith("host busy "):
                self.start(THIEF, command.split()[2], wait=True)
            elif command.startswith("host ") and command.endswith(" console"):
                socket = str(self.place.folder / f"{self.place.name}.sock")
                self.start(CONSOLE, socket, instance.segment(self.place.name, "tick"), wait=True)

    def recorder(self) -> int:
        (pid,) = [pid for pid in children(self.gimbal.process.pid) if "recorder" in command_of(pid)]
        return pid

    def readers(self) -> tuple[RingReader, RingReader]:
        return tuple(RingReader(instance.segment(self.place.name, name)) for name in ("tick", "truth"))  # type: ignore[return-value]

    def close(self) -> None:
        for other in self.others:
            other.kill()
            other.wait()
        with contextlib.suppress(AssertionError, Exception):
            os.kill(self.recorder(), signal.SIGCONT)
        with contextlib.suppress(AssertionError, Exception):
            self.gimbal.end()
        self.place.remove()


class Session:
    """Runs cases, starting what they need."""

    def __init__(self) -> None:
        self.reference = Reference()
        self.reference.start()
        self.flown: Flown | None = None

    def run(self, case: Case) -> dict[str, Any]:
        """Best of three by time; an outcome that is not allowed in any of them fails."""
        best: dict[str, Any] | None = None
        for _ in range(TRIES):
            result = self._once(case)
            if best is None or len(result["complaints"]) < len(best["complaints"]):
                best = result
            if result["passed"] or any("outcome" in text or "armed" in text for text in result["complaints"]):
                return result
        assert best is not None
        return best

    def _once(self, case: Case) -> dict[str, Any]:
        try:
            seen = self._fly(case)
        except (AssertionError, OSError, RuntimeError, GimbalError) as error:  # not to be flown on: a new one is next
            self._drop()
            nothing = {"outcome": "none", "detect_ms": None, "safe_ms": None, "max_joint_rate_deg_s": 0.0,
                       "excursion_deg": 0.0, "rearmed": False, "log_has_cause": False, "sentence": ""}  # fmt: skip
            return {"case": case.name, "kind": "realtime", "passed": False, **nothing, "complaints": [str(error)[:300]]}
        result = figures(case, seen)
        joints = load_rig(flights()[case.flight].path).config.joints
        joint_max = min(getattr(joints, axis).max_rate_deg_s for axis in ("roll", "pitch", "yaw"))
        wrong = complaints(case, result, joint_max, "realtime")
        if case.realtime == "own" or (self.flown is not None and self.flown.spec.timed):
            self._drop()
        return {"case": case.name, "kind": "realtime", "passed": not wrong, **result, "complaints": wrong}

    def _on(self, kind: str) -> Flown:
        if self.flown is None or self.flown.kind != kind or not self.flown.gimbal.alive():
            self._drop()
            self.flown = Flown(kind)
        self.flown.arm()
        return self.flown

    def _fly(self, case: Case) -> Seen:
        flown = self._on(case.flight)
        rows, truth = flown.readers()
        parts: list[np.ndarray] = []
        truths: list[np.ndarray] = []
        rt_pid = int(flown.gimbal.status()["rt_pid"])
        flown.prepare(case.script)
        time.sleep(BEFORE_S)
        before = flown.gimbal.status()
        if before["state"] != "armed":
            raise RuntimeError(f"not armed when the fault was to begin: {before['state']}, {before['fault']}")
        injected = time.monotonic_ns()
        script = list(case.script)
        end = injected + int(case.window_ms * 1e6)
        stick: list[float] | None = None
        next_stick = 0
        while (now := time.monotonic_ns()) < end:
            while script and now - injected >= script[0][0] * 1e6:
                stick = self._do(flown, script.pop(0)[1], rt_pid, stick)
            if stick is not None and now >= next_stick:
                flown.gimbal.ask("rate", rate_deg_s=stick)
                next_stick = now + 80_000_000
            _drain(rows, parts), _drain(truth, truths)
            time.sleep(0.002)
        was_safe = bool(parts) and int(parts[-1]["health"]["arm"][-1]) == Arm.SAFE
        armed_after = self._healed(flown, rows, was_safe)
        return self._seen(case, parts, truths, injected, armed_after)

    def _do(self, flown: Flown, command: str, rt_pid: int, stick: list[float] | None) -> list[float] | None:
        verb, *words = command.split()
        if verb == "ctl" and words[0] == "rate":
            return [float(word) for word in words[1:4]]
        if verb == "ctl" and words[0] == "gone":
            return None
        if verb == "ctl":
            flown.gimbal.ask(words[0])
        elif verb == "host" and words[0] == "stop":
            self._stop(float(words[1]), rt_pid)
        elif verb == "host":
            flown.host(words)
        else:
            flown.gimbal.breaker(command)
        return stick

    @staticmethod
    def _stop(ms: float, rt_pid: int) -> None:
        if ms >= 1000:
            os.kill(rt_pid, signal.SIGKILL)
            return
        os.kill(rt_pid, signal.SIGSTOP)
        time.sleep(ms * 1e-3)
        os.kill(rt_pid, signal.SIGCONT)

    @staticmethod
    def _healed(flown: Flown, rows: RingReader, was_safe: bool) -> bool:
        if not flown.gimbal.alive():
            return False
        flown.gimbal.breaker("heal")
        time.sleep(HEALED_S)
        new = rows.read_new()
        return was_safe and bool((new["health"]["arm"] == Arm.ARMED).any())

    def _seen(self, case: Case, parts: list[np.ndarray], truths: list[np.ndarray], injected: int,
              armed_after: bool) -> Seen:  # fmt: skip
        rows, truth = np.concatenate(parts), np.concatenate(truths)
        killed = any(command in GONE for _, command in case.script)
        before = rows[rows["t_ns"] < injected]
        limits = int(np.bitwise_or.reduce(before["health"]["limits"])) if len(before) else 0
        lost = 1 << faults.Code.LOOP_OVERRUN  # a host that stalls is no answer to the fault, nor hides one
        limits = limits & ~lost if "loop_overrun" in case.codes else limits | lost
        window = rows[rows["t_ns"] >= injected]
        truth = truth[truth["t_ns"] >= injected]
        driven = truth["driven"].any(axis=1)
        onset = injected + int(case.onset_ms * 1e6)
        codes = window["health"]["fault"] if len(window) else np.zeros(0, int)
        names = [faults.Code(int(v)).name.lower() for v in dict.fromkeys(codes.tolist()) if v]
        stall = self.reference.stall_ms(injected, injected + int(case.safe_ms * 1e6))
        return Seen(truth["t_ns"], truth, driven, window if len(window) else rows[-1:], onset, limits, 0.0, armed_after,
                    names, limits_in(window), stall, killed)  # fmt: skip

    def _drop(self) -> None:
        if self.flown is not None:
            self.flown.close()
            self.flown = None

    def close(self) -> None:
        self._drop()
        self.reference.over = True


def _drain(reader: RingReader, parts: list[np.ndarray]) -> None:
    new = reader.read_new()
    if len(new):
        parts.append(new)


__all__ = ["Session"]
