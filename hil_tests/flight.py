"""A whole rig in lock-step that can be broken: real drivers and emulators over lines in memory, one simulated clock.

``Flight`` is brought to its start once; each case then runs in a fork of it, so that seventy cases cost one take-off.
Everything is exact and the same each time: the host's times are whole ticks, the truth's whole milliseconds.
"""

from __future__ import annotations

import math
import os
import pickle
import random
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from gimbal.config.load import load_rig
from gimbal.config.pack import pack_params
from gimbal.emulated_faults import obey
from gimbal.emulated_world import World, driven_by
from gimbal.loop.lockstep import MODES, START_NS
from gimbal.loop.pipeline import new_state, step
from gimbal.records import COMMAND, INBOX, SENSE, TICK, Arm, Mode, Verb
from gimbal.rig.hardware import HardwareRig
from gimbal.rig.radio import OperatorRadio, radio_names
from gimbal.units import DEG
from hil_tests.table import Flight as Spec
from hil_tests.table import steps
from tests.contract.rig_flight import MemoryRig

MS = 1_000_000
RATE_LIFE_NS, RATE_EVERY_NS = 250 * MS, 50 * MS


class BreakableRig(MemoryRig):
    """MemoryRig whose ports are files that go with the cable, so that a lost line is looked for and found again."""

    def __init__(self, rig: str, scenario: str, seconds: float, seed: int = 1) -> None:
        super().__init__(rig, scenario, seconds, seed)
        self.folder = Path(tempfile.mkdtemp(prefix="gimbal-flight-"))
        self.truth: list[np.ndarray] | None = None  # a list: the truth of each millisecond is kept there

    def open(self, info: dict[str, Any]) -> None:
        for name in self.config.devices:
            (self.folder / name).touch()
        ports = {name: str(self.folder / name) for name in self.config.devices}

        def hardware(config: Any, _: Any, connect: Any, clock: Any, mend: Any) -> HardwareRig:
            return HardwareRig(config, ports, lambda path, baud: connect(Path(path).name, baud), clock, mend)

        super().open(info, hardware)
        self.world.publish_from(self._next_ns + self.dt_ns)

    def _world(self, period_ns: int) -> World:
        return World(self.plant, MS, self._keep, driven_by(self.config))

    def _keep(self, row: np.ndarray) -> None:
        if self.truth is not None:
            self.truth.append(row.copy())

    def radio(self, name: str, send: Callable[..., Any]) -> OperatorRadio:
        """The operator's receiver, looked at by the caller."""
        connect = lambda path, baud: self._connect(Path(path).name, baud)  # noqa: E731
        return OperatorRadio(self.config, name, str(self.folder / name), send, connect, threaded=False)

    def obey(self, line: str) -> None:
        verb, *words = line.split()
        if verb == "unplug":
            (self.folder / words[0]).unlink(missing_ok=True)
        elif verb == "replug":
            (self.folder / words[0]).touch()
        elif verb == "heal":
            for name in self.config.devices:
                (self.folder / name).touch()
        answer = obey(self, line, self.clock())
        assert not answer.startswith("error"), answer

    def skip_ticks(self, n: int) -> None:
        """The host does nothing for n periods; the world goes on."""
        self._next_ns += n * self.dt_ns
        self._go_to(self._next_ns)


class Flight:
    """The tick by tick run. ``rows`` (TICK) and ``truth`` (TRUTH, each millisecond) of what is flown under ``keep``."""

    def __init__(self, spec: Spec, seed: int = 1, seconds: float = 60.0) -> None:
        self.spec = spec
        self.config = load_rig(spec.path).config
        self.rig = BreakableRig(str(spec.path), spec.scenario_path, seconds, seed)
        self.params = pack_params(self.config, start_armed=True)
        self.params["supervisor"]["rough_tilt"] = self.config.safety.accept_rough_tilt  # armed as a daemon would be
        self.state = new_state(self.params)
        self.state["arbiter"]["mode"] = MODES[spec.mode]
        self.sense, self.command = np.zeros(1, SENSE), np.zeros(1, COMMAND)
        self.inbox, self.row = np.zeros(1, INBOX), np.zeros(1, TICK)
        self.dt_s = 1.0 / self.config.loop_rate_hz
        self.rows: list[np.ndarray] = []
        self.truth: list[np.ndarray] = []
        self.wants: list[tuple[Verb, int, tuple[float, float, float], int]] = []  # verb, mode, vector, deadline
        self.rate_C: tuple[float, float, float] | None = None  # an operator's hand on the stick, until it is gone
        self._next_rate_ns = 0
        self.busy = 0.0  # share of ticks that something else takes from the loop
        self.random = random.Random(seed)
        self.seq = 0
        self.rig.open({
            "dt_s": self.dt_s, "seed": seed, "kinematic_order": list(self.config.kinematic_order), "t0_ns": START_NS,
        })  # fmt: skip
        self.radios = [self.rig.radio(name, self._radio_sends) for name in radio_names(self.config)]

    @property
    def keep(self) -> bool:
        return self.rig.truth is not None

    @keep.setter
    def keep(self, on: bool) -> None:
        self.rig.truth = self.truth if on else None

    def _radio_sends(self, verb: Verb, *, owner: int, deadline_ns: int, mode: int = 0, vector: Any = (0, 0, 0)) -> None:
        self.wants.append((verb, mode, vector, deadline_ns))

    def begin(self) -> None:
        """What the flight does before any case."""
        script, began = steps(self.spec.begin), self.rig.clock()
        for _ in range(round(self.spec.begin_s / self.dt_s)):
            while script and self.rig.clock() - began >= 1e6 * script[0][0]:
                self.obey(script.pop(0)[1])
            self.tick()

    @property
    def t_ns(self) -> int:
        return int(self.sense["t_ns"][0])

    def tick(self) -> None:
        """One tick of the shipped step over the rig."""
        self.sense[:] = 0
        self.rig.read(self.sense)
        for radio in self.radios:
            radio.look()
        self._operate()
        step(self.params, self.state, self.sense, self.inbox, self.command, self.row)
        if self.keep:
            self.rows.append(self.row.copy())
        self.rig.write(self.command)
        if self.busy and self.random.random() < self.busy:
            self.host_stops(self.random.randrange(1, 9))

    def _operate(self) -> None:
        """One typed command into the inbox: those waiting first, then the stick every 50 ms."""
        now = int(self.sense["t_ns"][0])
        if not self.wants and self.rate_C is not None and now >= self._next_rate_ns:
            self._next_rate_ns = now + RATE_EVERY_NS
            self._want(Verb.RATE, vector=self.rate_C)
        box = self.inbox[0]
        if not self.wants:
            return
        verb, mode, vector, deadline_ns = self.wants.pop(0)
        self.seq += 1
        box["seq"], box["owner"], box["verb"], box["deadline_ns"] = self.seq, 1, int(verb), deadline_ns
        box["mode"], box["vector"] = mode, vector
        if verb is Verb.STOP:
            box["verb"] = int(Verb.NONE)
            box["stop_count"] += 1

    def _want(self, verb: Verb, mode: int = 0, vector: tuple[float, float, float] = (0.0, 0.0, 0.0)) -> None:
        self.wants.append((verb, mode, vector, self.rig.clock() + RATE_LIFE_NS))

    def run(self, seconds: float) -> None:
        for _ in range(round(seconds / self.dt_s)):
            self.tick()

    def host_stops(self, ticks: int) -> None:
        """The loop's process stands still; what the plant does meanwhile is kept as truth."""
        self.rig.skip_ticks(ticks)

    def obey(self, line: str) -> None:
        """A command of gimbal.emulated_faults, or of the host: ``host stop MS``, ``host busy SHARE``, ``ctl VERB …``,
        ``estimator nan``."""
        verb, *words = line.split()
        if verb == "host":
            if words[0] == "stop":
                self.host_stops(round(float(words[1]) * 1e-3 / self.dt_s))
            else:
                self.busy = float(words[1])
        elif verb == "ctl":
            self._ctl(words)
        elif verb == "estimator":
            self.state["estimation"]["q"][0] = math.nan
        elif verb == "wire_stop":
            self.rig.obey("supply 2")
        else:
            self.rig.obey(line)

    def _ctl(self, words: list[str]) -> None:
        if words[0] == "rate":
            x, y, z = (float(word) * DEG for word in words[1:4])
            self.rate_C = (x, y, z)
        elif words[0] == "gone":
            self.rate_C = None
        elif words[0] == "mode":
            self._want(Verb.MODE, int(Mode[words[1].upper()]))
        else:
            self._want(Verb[words[0].upper()])

    def settled(self) -> bool:
        return int(self.row["health"]["arm"][0]) == Arm.ARMED and float(self.row["health"]["ramp"][0]) >= 1.0


def in_a_fork(work: Callable[[], Any]) -> Any:
    """``work()`` in a copy of this process; what it returns. An exception there is raised here as RuntimeError."""
    reading, writing = os.pipe()
    pid = os.fork()
    if pid == 0:
        os.close(reading)
        try:
            answer: Any = (True, work())
        except BaseException as error:  # the copy must end here whatever happened
            import traceback

            answer = (False, f"{error!r}\n{traceback.format_exc(limit=-5)}")
        with os.fdopen(writing, "wb") as file:
            pickle.dump(answer, file)
        os._exit(0)
    os.close(writing)
    with os.fdopen(reading, "rb") as file:
        data = file.read()
    os.waitpid(pid, 0)
    good, value = pickle.loads(data) if data else (False, "the fork ended without a word")
    if not good:
        raise RuntimeError(value)
    return value


__all__ = ["BreakableRig", "Flight", "in_a_fork"]
