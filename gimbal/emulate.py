"""``gimbal emulate``: the plant in real time behind emulated devices on ptys, and a socket to break them by.

A process of its own: under SCHED_FIFO, on another CPU than the loop's, where that is permitted. What breaks is named
in lines of text on ``emulator.sock`` in the same folder: see ``Breaker``.
"""

from __future__ import annotations

import gc
import json
import math
import os
import signal
import socket
import sys
import time
from argparse import Namespace
from functools import partial
from pathlib import Path
from typing import Any

from firmware_bridge import registry
from firmware_bridge.emulators.line import make_line
from firmware_bridge.emulators.pty_host import Host
from firmware_bridge.errors import BridgeError
from gimbal.config.load import load_rig, load_scenario
from gimbal.config.schema import Rig
from gimbal.emulated_board import PlantBoard
from gimbal.emulated_faults import obey
from gimbal.emulated_world import (
    OperatorSticks,
    PlantAutopilot,
    PlantAxis,
    PlantCarrierImu,
    PlantImage,
    PlantImu,
    PlantReceiver,
    Stage,
    World,
    driven_by,
)
from gimbal.errors import GimbalError, UsageError
from gimbal.frames import AXES
from gimbal.loop import realtime
from gimbal.rig.acceptance import device_defaults

FIFO_PRIORITY = 70  # below the loop's 80
SERVICE_S = 0.00025  # the longest sleep between looks at the lines
MOTION_S = 600.0  # the carrier flies this long when nobody says; after it the mount stands still
START_AHEAD_NS = 50_000_000
OUTLIVE_S, SEEN_S = 0.5, 0.05  # a host that ended left motors driven: the devices' own watchdogs are seen to act
PACED = {"bno08x_rvc": 1000.0}  # its emulator sums rates at this pace and sends attitudes


class Emulators:
    """Plant, devices and ptys of one rig. Used by the command, by the daemon's ``--emulate`` and by tests."""

    carrier_imu: PlantCarrierImu | None = None

    def __init__(self, spec: dict[str, Any]) -> None:
        """spec: rig, scenario (paths or names), dir; track, seed, seconds, truth (segment name), skip (devices)."""
        from gimbal.plant import base_motion
        from gimbal.plant.simulator import Plant

        rig = load_rig(spec["rig"]).config
        scenario = load_scenario(spec["scenario"]).config
        self.folder = Path(spec["dir"])
        self.ring: Any = None
        publish = self._open_truth(spec["truth"], rig) if spec.get("truth") else None
        period_ns = round(1e9 / rig.loop_rate_hz)
        # Everything slow comes before the plant's clock starts: making the motion, compiling, the first steps.
        seed = 1 if spec.get("seed") is None else spec["seed"]
        seconds = max(spec.get("seconds") or MOTION_S, scenario.seconds)
        motion = base_motion.make(scenario, seed, seconds, spec.get("track"))
        plant = partial(Plant, _paced(rig), scenario, seed=seed, motion=motion)
        rehearsal = plant()
        rehearsal.set_joint_command(0, 0)  # compiles or loads what a board first calls when its motors go on
        World(rehearsal, period_ns, lambda row: None).advance(20_000_000)
        self.plant = plant(t0_ns=time.monotonic_ns() + START_AHEAD_NS)
        self.world = World(self.plant, period_ns, publish, driven_by(rig))
        self.host = Host(self.folder, self._advance)
        self._populate(rig)
        for name, device in rig.devices.items():
            if name not in spec.get("skip", ()):
                self._add(name, device, rig, seed)

    def _advance(self, t_ns: int) -> None:
        self.world.advance(t_ns)

    def _open_truth(self, segment: str, rig: Rig) -> Any:
        from gimbal.plant.state import TRUTH
        from gimbal.telemetry.ring import RingWriter

        self.ring = RingWriter(segment, TRUTH, max(64, round(4 * rig.loop_rate_hz)), {"rig": rig.name})
        return self.ring.publish

    def _populate(self, rig: Rig) -> None:
        """The plant's side of the devices to come: three power stages, and ``parts``, what is behind each device."""
        self.axes: list[Stage] = [PlantAxis(self.world, rig, axis) for axis in range(3)]
        self.imu: PlantImu | None = None
        self.sticks = OperatorSticks()
        self.parts: dict[str, list[Any]] = {}

    def _add(self, name: str, device: Any, rig: Rig, seed: int = 1) -> None:
        entry = registry.entry(device.driver)
        kind = name if entry.kind == "position" else entry.kind
        options = device_defaults(rig, kind) | dict(device.options)
        physics: Any
        if entry.kind == "motor":
            used = [i for i, axis in enumerate(AXES) if f"{axis}_id" in options] or [0, 1, 2]
            physics = [self.axes[i] for i in used]
            options.setdefault("device_max_torque_Nm", rig.limits.max_torque_Nm)
        elif entry.kind == "imu" and name == "carrier_imu":
            physics = self.carrier_imu = PlantCarrierImu(self.world)
        elif entry.kind == "imu":
            physics = self.imu = PlantImu(self.world)
        elif entry.kind == "gimbal":
            physics = PlantBoard(self.world, rig, device.driver)
            self.axes = physics.stages
        elif entry.kind == "radio":
            physics = self.sticks
        elif entry.kind == "attitude":
            physics = PlantAutopilot(self.world, seed)
        elif entry.kind == "bearing":
            physics = PlantImage(self.world, rig, seed)
        elif name in ("gnss", "beacon"):
            physics = PlantReceiver(self.world, name)
        else:
            raise UsageError(f"Rig {rig.name!r}: devices.{name} can't be emulated; a receiver is 'gnss' or 'beacon'.")
        self.parts[name] = physics if isinstance(physics, list) else [physics]
        emulator = registry.load_emulator(device.driver)(physics, options)
        self.host.add_pty(name, emulator, partial(make_line, entry.line, device.baud))

    def close(self) -> None:
        self.host.close()
        if self.ring is not None:
            self.ring.close()


def _paced(rig: Rig) -> Rig:
    """The rig with its plant's IMUs at the devices' own output rates."""
    for name, device in rig.devices.items():
        if registry.entry(device.driver).kind == "imu":
            role = "carrier_imu" if name == "carrier_imu" else "imu"
            rate_hz = PACED.get(device.driver, device.options.get("rate_hz"))
            figures = getattr(rig, role)
            if rate_hz is not None and figures is not None:
                rig = rig.model_copy(update={role: figures.model_copy(update={"rate_hz": float(rate_hz)})})
    return rig


class Breaker:
    """Breaks devices on request, by the commands of gimbal.emulated_faults: a line each, ``ok`` or ``error: …``."""

    def __init__(self, emulators: Emulators) -> None:
        self.emulators = emulators
        self.path = emulators.folder / "emulator.sock"
        self.path.unlink(missing_ok=True)
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self._socket.bind(str(self.path))
        os.chmod(self.path, 0o600)
        self._socket.listen(4)
        self._socket.setblocking(False)
        self._clients: list[socket.socket] = []

    def poll(self) -> None:
        """Carry out what has arrived. Never waits."""
        try:
            client, _ = self._socket.accept()
            client.setblocking(False)
            self._clients.append(client)
        except BlockingIOError:
            pass
        for client in list(self._clients):
            try:
                data = client.recv(4096)
            except BlockingIOError:
                continue
            except OSError:
                data = b""
            if not data:
                self._clients.remove(client)
                client.close()
                continue
            for line in data.decode(errors="replace").splitlines():
                client.send((self.obey(line) + "\n").encode())

    def obey(self, line: str) -> str:
        """Carry out one command: see gimbal.emulated_faults."""
        return obey(self.emulators, line, time.monotonic_ns())

    def close(self) -> None:
        self._socket.close()
        self.path.unlink(missing_ok=True)


def _ask_for_time() -> None:
    """FIFO below the loop's, away from the loop's CPU; without the right it runs on as it is."""
    cpus = sorted(os.sched_getaffinity(0))
    if len(cpus) > 1:
        realtime.pin_to(cpus[0])
    realtime.timer_slack()
    realtime.ask_fifo(FIFO_PRIORITY)
    realtime.freeze_garbage()


def serve(spec: dict[str, Any]) -> int:
    """Build everything, print the ports and READY, and run until SIGTERM (or Ctrl-C where that is not ignored)."""
    ending: list[float] = []
    driven_s = -math.inf
    signal.signal(signal.SIGTERM, lambda n, _: ending.append(time.monotonic()))
    emulators = Emulators(spec)
    breaker = Breaker(emulators)

    def stop() -> bool:
        nonlocal driven_s
        breaker.poll()
        if not ending:
            return False
        now_s = time.monotonic()
        driven_s = now_s if emulators.world.follows().any() else driven_s
        return now_s > min(ending[0] + OUTLIVE_S, driven_s + SEEN_S)

    try:
        for name in emulators.host.wires:
            print(f"{name}={emulators.folder / name}")
        _ask_for_time()
        emulators.host.service(time.monotonic_ns())
        print("READY", flush=True)
        emulators.host.run(stop, SERVICE_S)
    finally:
        gc.enable()
        breaker.close()
        emulators.close()
    return 0


def emulate_command(args: Namespace) -> int:
    """``gimbal emulate RIG --scenario SCENARIO --dir DIR [--seed N] [--track FILE]``."""
    folder = Path(args.dir)
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise UsageError(f"The ports' folder {folder} can't be made ({error.strerror}). Name another.") from error
    spec = {"rig": args.rig, "scenario": args.scenario, "dir": str(folder), "seed": args.seed, "track": args.track}
    try:
        return serve(spec | {"seconds": getattr(args, "seconds", None)})
    except KeyboardInterrupt:
        return 0
    except BridgeError as error:
        raise UsageError(str(error)) from error


def main() -> int:
    """``python -m gimbal.emulate SPEC``: the daemon's child."""
    spec = json.loads(sys.argv[1])
    realtime.die_with_parent(spec["parent"])
    realtime.leave_endings_to_parent()
    try:
        return serve(spec)
    except (GimbalError, BridgeError) as error:
        print(error, file=sys.stderr, flush=True)
        return getattr(error, "exit_code", 1)


if __name__ == "__main__":
    sys.exit(main())
