"""A whole rig over lines in memory: the plant behind emulators, real bytes at their line's pace, HardwareRig's drivers.

Lock-step: one simulated clock for physics, devices, lines and loop, so a run gives the same result each time.
"""

from __future__ import annotations

import threading
import time
from collections import deque
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from firmware_bridge.emulators.base import Emulator
from firmware_bridge.emulators.pty_host import Host, SimClock, Wire
from firmware_bridge.errors import BridgeError
from gimbal.config.load import CONFIGS, load_rig, load_scenario
from gimbal.emulate import Emulators, _paced
from gimbal.emulated_world import World
from gimbal.loop.lockstep import START_NS, run_lockstep
from gimbal.metrics import level_attitude, q_mul, rotation_vector
from gimbal.plant import base_motion
from gimbal.plant.simulator import Plant
from gimbal.records import Arm
from gimbal.rig.hardware import HardwareRig
from gimbal.rig.mender import AtOnce

COMPUTE_NS = 200_000  # from the tick's reading to its command on the wire: the loop's own time on a small machine
OPENING_NS = 4_000_000_000  # the plant's clock starts this long before the first tick: opening takes simulated time


class MemoryHost(Host):
    """A Host whose devices are all in memory."""

    def __init__(self, clock: SimClock, advance: Any) -> None:
        super().__init__(None, advance)
        self.clock = clock
        self.lines: dict[str, Any] = {}

    def add_pty(self, name: str, emulator: Emulator, make: Any = None) -> Wire:
        wire, self.lines[name] = self.add_memory(name, emulator, self.clock, make)
        return wire


class InStep(AtOnce):
    """Jobs beside a simulated loop: one that waits on its line gives way to the ticks until its time has come."""

    def __init__(self) -> None:
        self._jobs: deque[Any] = deque()
        self._thread: threading.Thread | None = None
        self._go, self._back = threading.Semaphore(0), threading.Semaphore(0)
        self._over = False

    def __call__(self, job: Any) -> None:
        self._jobs.append(job)
        if self._thread is None:
            self._thread = threading.Thread(target=self._work, daemon=True)
            self._thread.start()
            self.turn()

    def turn(self) -> None:
        """Let the job in hand go on until it waits again or is through."""
        if self._thread is not None and self._thread.is_alive():  # a forked copy of a flight has no thread
            self._go.release()
            self._back.acquire()

    def close(self) -> None:
        self._over = True
        while self._thread is not None and self._thread.is_alive():
            self.turn()

    def wait(self, pump: Any, until_ns: int) -> None:
        """A line's ``pump``: the job's thread waits for the next tick; whoever else waits moves the clock."""
        if threading.current_thread() is not self._thread:
            pump(until_ns)
            return
        self._back.release()
        self._go.acquire()
        if self._over:
            raise SystemExit

    def _work(self) -> None:
        self._go.acquire()
        try:
            while self._jobs:
                self.carry_out(self._jobs.popleft())
        finally:
            self._thread = None
            self._back.release()


class MemoryRig(Emulators):
    """The Rig protocol over emulators, for ``run_lockstep``."""

    def __init__(
        self, rig: str, scenario: str, seconds: float, seed: int = 1, control: dict[str, Any] | None = None
    ) -> None:
        self.config, self.scenario = load_rig(rig).config, load_scenario(scenario).config
        if control:
            changed = self.config.control.model_copy(update=control)
            self.config = self.config.model_copy(update={"control": changed})
        self.seconds, self.seed = seconds, seed
        self.plant: Any = None
        self.cycles_ns: list[int] = []  # wall time of reading and commanding all devices, a tick each
        self.wall_open_ns = 0

    def open(self, info: dict[str, Any], hardware: Any = HardwareRig) -> None:
        config, t0_ns = self.config, START_NS
        self.clock = SimClock(t0_ns)
        motion = base_motion.make(self.scenario, self.seed, self.seconds + OPENING_NS * 1e-9 + 1.0, None)
        self.plant = Plant(_paced(config), self.scenario, seed=self.seed, motion=motion, t0_ns=t0_ns)
        self.world = self._world(round(1e9 * info["dt_s"]))
        self.host = memory = MemoryHost(self.clock, self._advance)
        self._lines = memory.lines
        self._populate(config)
        self.ring = None
        for name, device in config.devices.items():
            self._add(name, device, config)
        self.mend = InStep()
        ports = {name: name for name in config.devices}
        self.hardware = hardware(config, ports, self._connect, self.clock, self.mend)
        self.hardware.open(info)
        self.dt_ns = round(1e9 * info["dt_s"])
        self._next_ns = self.clock() + self.dt_ns
        self._go_to(self._next_ns)

    def _world(self, period_ns: int) -> World:
        return World(self.plant, period_ns)

    def _connect(self, path: str, baud: int) -> Any:
        line = self._lines[path]
        line.baud = baud
        line.pump = partial(self.mend.wait, line.pump)
        return line

    def _go_to(self, t_ns: int) -> None:
        self.clock.now_ns = t_ns
        self.host.service(t_ns)

    def read(self, sense: np.ndarray) -> int:
        sense["t_ns"] = self._next_ns
        self.mend.turn()
        began = time.perf_counter_ns()
        self.lost = self.hardware.read(sense)
        self._spent_ns = time.perf_counter_ns() - began
        return 0

    def write(self, command: np.ndarray) -> int:
        self._go_to(self._next_ns + min(COMPUTE_NS, self.dt_ns // 4))
        began = time.perf_counter_ns()
        self.hardware.write(command)
        self.cycles_ns.append(self._spent_ns + time.perf_counter_ns() - began)
        self._next_ns += self.dt_ns
        self._go_to(self._next_ns)
        return 0

    def safe(self) -> None:
        if self.plant is not None:
            self.hardware.safe()

    def close(self) -> None:
        if self.plant is not None:
            self.hardware.close()
            self.host.close()

    def truth(self) -> dict[str, Any]:
        return self.plant.truth()


def rigs() -> list[str]:
    """Every rig file by name."""
    return sorted(path.stem for path in Path(CONFIGS, "rigs").glob("*.toml"))


def fly(
    rig: str,
    seconds: float,
    scenario: str = "speedflight",
    mode: str = "track",
    seed: int = 1,
    control: dict[str, Any] | None = None,
) -> dict[str, Any]:
    """One flight: run_lockstep's keys, and figures over its last part, for runs too short for those.

    ``control``: keys of the rig's [control] to change. ``horizon_deg``, ``pointing_deg``: RMS; ``shake_urad``: RMS of
    the fast part (above 0.5 Hz, by a moving mean) of the camera against the line of sight; ``armed``: share of ticks;
    ``cycle_us``: median wall time of reading and commanding every device; ``budget_hz``: what the slowest line carries;
    ``identities``, ``bad_frames``.
    """
    keep: list[np.ndarray] = []
    memory = MemoryRig(rig, scenario, seconds, seed, control)
    result = run_lockstep(memory, memory.config, seconds, mode=mode, seed=seed, keep=keep)
    lines = memory.hardware.lines
    counters = [line.driver.counters for line in lines]
    return {
        **result,
        **figures(keep[0], memory.config.loop_rate_hz),
        "cycle_us": 1e-3 * float(np.median(memory.cycles_ns)),
        "budget_hz": min(line.driver.capabilities.max_rate_hz for line in lines if line.kind in ("motor", "gimbal")),
        "identities": memory.hardware.identities,
        "armed": float(np.mean(keep[0]["arm"][len(keep[0]) // 2 :] == Arm.ARMED)),
        "bad_frames": sum(counter.bad_crc + counter.bad_values for counter in counters),
        "link_lost": memory.lost,
    }


def figures(history: np.ndarray, rate_hz: float, tail: float = 0.5) -> dict[str, float]:
    """Figures over the last ``tail`` of a run."""
    h = history[int((1.0 - tail) * len(history)) :]
    w, x, y, z = h["q_true"].T
    horizon = np.degrees(np.arcsin(np.clip(2 * (y * z + w * x), -1, 1)))
    q_ref = level_attitude(h["target_pos_N"] - h["camera_pos_N"], 0.0, 0.0)
    error = rotation_vector(q_mul(q_ref * [1, -1, -1, -1], h["q_true"]))
    n = min(len(error) // 2, max(3, int(2.0 * rate_hz)))
    smooth = np.stack([np.convolve(error[:, a], np.ones(n) / n, "valid") for a in range(3)], -1)
    fast = error[n // 2 : n // 2 + len(smooth)] - smooth
    rms = lambda v: float(np.sqrt(np.mean(np.sum(np.atleast_2d(v.T) ** 2, 0))))  # noqa: E731
    return {
        "horizon_deg": rms(horizon),
        "pointing_deg": float(np.degrees(rms(error[:, 1:]))),
        "shake_urad": 1e6 * rms(fast),
    }


__all__ = ["BridgeError", "MemoryRig", "figures", "fly", "rigs"]
