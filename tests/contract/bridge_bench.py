"""A driver against its emulator on an in-process line, in simulated time; one bench per kind of device."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from firmware_bridge import registry
from firmware_bridge.emulators.gimbal_physics import FreeGimbal
from firmware_bridge.emulators.line import make_line
from firmware_bridge.emulators.physics import Fix, FreeAxis, StillImu, StraightFlight
from firmware_bridge.emulators.pty_host import Host, SimClock, Wire
from firmware_bridge.gimbal_interface import GIMBAL_ROW
from firmware_bridge.interface import AXIS_FEEDBACK, FIX_ROW, IMU_ROW
from firmware_bridge.memory_transport import MemoryTransport
from tests.contract.motor_benches import IDS, Setup, setup_of
from tests.contract.sensor_benches import SensorSetup, sensor_setup, world

MS = 1_000_000
AXIS_OPTIONS = IDS


@dataclass
class Bench:
    name: str
    kind: str
    clock: SimClock
    host: Host
    wire: Wire
    transport: MemoryTransport
    driver: Any
    physics: Any
    options: dict[str, object]
    rows: np.ndarray
    setup: Setup
    sensor: SensorSetup

    @property
    def n(self) -> int:
        """Axes on the line."""
        return len(self.rows)

    def open(self) -> Any:
        return self.driver.open(self.transport, self.options)

    def step(self, ms: float = 1.0) -> int:
        """Let time pass, then poll once."""
        self.clock.now_ns += int(ms * MS) * self.sensor.slow
        self.host.service(self.clock())
        return self.driver.poll(self.rows)

    def cycle(self, mode: int, torque: float = 0.0, rate: float = 0.0, angle: float = 0.0, ms: int = 1) -> int:
        """``ms`` cycles of the setup's period: poll, then command all axes the same; the worst status of the commands.

        Rows filled by any of the polls stay valid: not every device reports every axis every cycle.
        """
        n, worst, seen = self.n, 0, np.zeros(self.n, bool)
        for _ in range(ms):
            self.step(self.setup.period_ms)
            seen |= self.rows["valid"] == 1
            worst = min(worst, self.driver.command([mode] * n, [torque] * n, [rate] * n, [angle] * n))
        self.rows["valid"] = seen
        return worst

    def collect(self, ms: int) -> np.ndarray:
        """All valid rows of the next ``ms`` milliseconds."""
        taken = []
        for _ in range(ms):
            n = self.step()
            if n > 0:
                taken.append(self.rows[self.rows["valid"] == 1] if self.kind == "motor" else self.rows[:n].copy())
        return np.concatenate(taken) if taken else self.rows[:0]


def make_bench(name: str, options: dict[str, object] | None = None) -> Bench:
    entry = registry.entry(name)
    setup = setup_of(name)
    physics: Any
    if entry.kind == "motor":
        physics, rows = [FreeAxis() for _ in range(setup.axes)], np.zeros(setup.axes, AXIS_FEEDBACK)
    elif entry.kind == "imu":
        physics, rows = StillImu(), np.zeros(8, IMU_ROW)
    elif entry.kind == "gimbal":
        physics, rows = FreeGimbal(), np.zeros(8, GIMBAL_ROW)
    elif entry.kind in ("attitude", "bearing", "radio"):
        physics, rows = world(entry.kind)
    else:
        physics, rows = StraightFlight(Fix(vel_N=(20.0, -5.0, 1.5))), np.zeros(8, FIX_ROW)
    sensor = sensor_setup(name)
    chosen = {**(setup.options if entry.kind == "motor" else sensor.options), **(options or {})}
    clock, host = SimClock(), Host()
    emulator = registry.load_emulator(name)(physics, chosen)
    wire, transport = host.add_memory(name, emulator, clock, lambda: make_line(entry.line, entry.baud))
    transport.baud = entry.baud
    driver = registry.create_driver(name)
    driver_options = {key: value for key, value in chosen.items() if key in driver.OPTIONS}
    return Bench(name, entry.kind, clock, host, wire, transport, driver, physics, driver_options, rows, setup, sensor)


def opened(name: str, options: dict[str, object] | None = None) -> Bench:
    """A bench whose driver is open."""
    bench = make_bench(name, options)
    bench.open()
    return bench
