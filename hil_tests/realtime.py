"""The cases in real time: the real daemon as a process on ptys, broken through its emulators' socket.

One daemon serves the cases in turn; what ends a process gets a daemon of its own. A thread that only sleeps sees what
the machine does to everybody: its longest stall in the time judged is taken off the times.
"""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import threading
import time
from typing import Any

import numpy as np

from gimbal import faults
from gimbal.config.load import load_rig
from gimbal.daemon import instance
from gimbal.errors import GimbalError
from gimbal.records import Arm
from gimbal.telemetry.ring import RingReader
from hil_tests.harness import Daemon, Place, wait_for
from hil_tests.judge import Case, Seen, complaints, figures, limits_in
from hil_tests.table import flights, steps

BEFORE_S, HEALED_S = 0.15, 0.4
SETTLED_S = 3.0  # a flight that takes longer to where its cases start is armed for as long first
TRIES = 3
HOG = "import time; end = time.monotonic() + 1.2\nwhile time.monotonic() < end: pass"


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
        self.gimbal = Daemon(self.place, "--mode", self.spec.mode, emulate=self.spec.scenario)
        self.gimbal.await_state("idle")
        if self.spec.seconds > SETTLED_S:
            self.arm()
            time.sleep(self.spec.seconds)

    def arm(self) -> None:
        """Armed with the ramp behind it, whatever came before."""
        self.gimbal.breaker("heal")
        if self.gimbal.status()["state"] == "safe":
            self.gimbal.acknowledge()
        if self.gimbal.status()["state"] != "armed":
            self.gimbal.arm()
        self.gimbal.ask("mode", mode=self.spec.mode)
        wait_for("the ramp", lambda: "arm_ramp" not in self.gimbal.status()["limits"])
        time.sleep(0.3)
        began, script = time.monotonic(), steps(self.spec.begin)
        while time.monotonic() - began < self.spec.begin_s:
            while script and 1e3 * (time.monotonic() - began) >= script[0][0]:
                self.gimbal.breaker(script.pop(0)[1])
            time.sleep(0.005)

    def readers(self) -> tuple[RingReader, RingReader]:
        return tuple(RingReader(instance.segment(self.place.name, name)) for name in ("tick", "truth"))  # type: ignore[return-value]

    def close(self) -> None:
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
        if case.realtime == "own":
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
        time.sleep(BEFORE_S)
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
        elif verb == "host":
            self._host(words, rt_pid)
        else:
            flown.gimbal.breaker(command)
        return stick

    @staticmethod
    def _host(words: list[str], rt_pid: int) -> None:
        ms = float(words[1]) if words[0] == "stop" else 0.0
        if words[0] == "stop" and ms >= 1000:
            os.kill(rt_pid, signal.SIGKILL)
        elif words[0] == "stop":
            os.kill(rt_pid, signal.SIGSTOP)
            time.sleep(ms * 1e-3)
            os.kill(rt_pid, signal.SIGCONT)
        elif words[0] == "busy":
            for _ in range(os.cpu_count() or 1):
                subprocess.Popen([sys.executable, "-c", HOG], start_new_session=True)

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
        killed = any(command == "host stop 1000" for _, command in case.script)
        before = rows[rows["t_ns"] < injected]
        limits = int(np.bitwise_or.reduce(before["health"]["limits"])) if len(before) else 0
        if "loop_overrun" not in case.codes:
            limits |= 1 << faults.Code.LOOP_OVERRUN  # a host that stalls is no answer to the fault
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
