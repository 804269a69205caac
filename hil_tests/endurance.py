"""What takes long: ``python -m hil_tests.endurance soak|torn|replug``. Each shows progress and prints its figures.

soak: simulated flights with a random fault every 10 s. torn: rows read while they are written. replug: a port pulled
and put back again and again, and how long the line takes to be read from again.
"""

from __future__ import annotations

import argparse
import json
import multiprocessing
import random
import sys
import tempfile
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from firmware_bridge.emulators.physics import StillImu
from firmware_bridge.emulators.pty_host import Host
from firmware_bridge.interface import IMU_ROW
from firmware_bridge.registry import load_emulator
from firmware_bridge.transport import open_transport
from gimbal.config.load import load_rig, load_scenario
from gimbal.config.pack import pack_params
from gimbal.loop.lockstep import START_NS
from gimbal.loop.pipeline import new_state, step
from gimbal.records import COMMAND, INBOX, SENSE, TICK, Arm, JointMode, Mode, Verb
from gimbal.rig.line import Line
from gimbal.rig.mender import AtOnce
from gimbal.rig.plant import PlantRig
from gimbal.telemetry.ring import RingReader, RingWriter
from gimbal.units import DEG
from hil_tests.realtime import Reference

FAULTS = ("imu_gap", "imu_freeze", "imu_nan", "imu_jump", "motor_silent", "motor_fault", "imu_unplug", "motor_unplug",
          "gnss_lost", "reverse", "supply", "hot", "host_stops", "stop", "encoder_jump")  # fmt: skip


class Soak:
    """One flight with faults; ``wrong`` collects whatever is unsafe."""

    def __init__(self, seed: int, minutes: float, every_s: float, scenario: str = "speedflight") -> None:
        found = load_scenario(scenario).config
        self.config = load_rig(found.rig).config
        self.ticks, self.every = round(minutes * 60e3), round(every_s * 1e3)
        self.random = random.Random(seed)
        self.params = pack_params(self.config, start_armed=True)
        self.state = new_state(self.params)
        self.state["arbiter"]["mode"] = Mode.LOCK
        self.rig = PlantRig(self.config, found, seed=seed, seconds=minutes * 60.0 + 5.0)
        self.rig.open({"dt_s": 1e-3, "seed": seed, "t0_ns": START_NS})
        self.sense, self.command = np.zeros(1, SENSE), np.zeros(1, COMMAND)
        self.inbox, self.row = np.zeros(1, INBOX), np.zeros(1, TICK)
        self.most = 1.2 * min(getattr(self.config.joints, a).max_rate_deg_s for a in ("roll", "pitch", "yaw")) * DEG
        self.fault, self.until, self.seq = "", 0, 0
        self.kept = np.zeros(1, SENSE)
        self.wrong: list[str] = []
        self.injected = self.stopped = self.fastest = 0.0
        self.asked_ns = 0

    def run(self, say: Callable[[float], None]) -> dict[str, Any]:
        before = Arm.BOOT
        began = time.monotonic()
        for tick in range(self.ticks):
            if tick % self.every == self.every - 1:
                self.fault = self.random.choice(FAULTS)
                self.until = tick + self.random.randrange(5, 1500)
                self.injected += 1
            elif tick == self.until:
                self.fault = ""
            self._tick(tick)
            before = self._check(tick, before)
            if tick % 20_000 == 19_999:
                say((tick + 1) / self.ticks)
        return {
            "minutes": self.ticks / 60e3, "faults": int(self.injected), "stops": int(self.stopped),
            "fastest_deg_s": round(self.fastest / DEG, 1), "wrong": self.wrong[:20],
            "times_real": round(self.ticks * 1e-3 / (time.monotonic() - began), 1),
        }  # fmt: skip

    def _tick(self, tick: int) -> None:
        self.sense[:] = 0
        self.rig.read(self.sense)
        s, now = self.sense[0], int(self.sense["t_ns"][0])
        if self.fault:
            self._spoil(s)
        else:
            self.kept[:] = self.sense
        self._operate(tick, now)
        step(self.params, self.state, self.sense, self.inbox, self.command, self.row)
        sent = self.command
        if self.fault == "reverse":
            sent = self.command.copy()
            sent["joint_torque_cmd"][0, 1] *= -1.0
        self.rig.write(sent)
        if self.fault == "host_stops":
            for _ in range(self.random.randrange(0, 4)):
                self.rig.write(sent)

    def _spoil(self, s: np.void) -> None:
        fault = self.fault
        if fault in ("imu_gap", "imu_unplug"):
            s["imu_n"] = 0
            s["link_lost"] |= 1 if fault == "imu_unplug" else 0
        elif fault == "imu_freeze":
            s["imu_gyro_I"][:], s["imu_accel_I"][:] = self.kept[0]["imu_gyro_I"][0], self.kept[0]["imu_accel_I"][0]
        elif fault == "imu_nan":
            s["imu_gyro_I"][:] = np.nan
        elif fault == "imu_jump":
            s["imu_gyro_I"][:, 1] += 3.0
        elif fault in ("motor_silent", "motor_unplug"):
            s["joint_valid"][:] = 0
            s["link_lost"] |= 2 if fault == "motor_unplug" else 0
        elif fault == "motor_fault":
            s["motor_fault"][1] = 33
        elif fault == "gnss_lost":
            s["gnss_valid"] = 0
            s["link_lost"] |= 4
        elif fault == "supply":
            s["bus_V"] = self.random.choice((3.0, 15.0, 17.0))
        elif fault == "hot":
            s["motor_temp_degC"][2] = 140.0
        elif fault == "encoder_jump":
            s["joint_angle"][0] += 1.0

    def _operate(self, tick: int, now: int) -> None:
        """Well again, somebody acknowledges and arms; the fault "stop" is somebody's hand, too."""
        box, arm = self.inbox[0], int(self.row["health"]["arm"][0])
        if self.fault == "stop" and tick == self.until - 1:
            box["stop_count"] += 1
        if self.fault or tick % 200 or arm not in (Arm.SAFE, Arm.IDLE) or tick < 1000:
            return
        self.seq += 1
        box["seq"], box["owner"], box["deadline_ns"] = self.seq, 1, now + 100_000_000
        box["verb"] = int(Verb.ACK if arm == Arm.SAFE else Verb.ARM)
        self.asked_ns = now

    def _check(self, tick: int, before: Arm) -> Arm:
        health, command = self.row["health"][0], self.command[0]
        arm = Arm(int(health["arm"]))
        rate = float(np.abs(self.rig.plant.state[0]["rate"]).max())  # type: ignore[union-attr]
        driven = bool((command["mode"] == JointMode.TORQUE).any())
        now = int(self.sense["t_ns"][0])
        if driven:
            self.fastest = max(self.fastest, rate)
            if rate > self.most:
                self.wrong.append(f"tick {tick}: {rate / DEG:.0f} deg/s under torque ({self.fault})")
        if not np.isfinite(command["joint_torque_cmd"]).all():
            self.wrong.append(f"tick {tick}: a torque that is no number")
        if arm is not Arm.ARMED and driven:
            self.wrong.append(f"tick {tick}: torque while {arm.name}")
        if arm is Arm.ARMED and before is not Arm.ARMED and tick > 1000 and now != self.asked_ns:
            self.wrong.append(f"tick {tick}: armed by itself")
        if int(self.row["tick"][0]) != tick:
            self.wrong.append(f"tick {tick}: a row is missing")
        self.stopped += arm is Arm.SAFE and before is not Arm.SAFE
        return arm


def soak(seeds: int, minutes: float, every_s: float, first: int = 1) -> dict[str, Any]:
    """Seeds one after the other. Figures of each; ``unsafe`` is how many things were wrong in all."""
    rows = []
    for seed in range(first, first + seeds):
        tell = lambda share, seed=seed: print(f"\rseed {seed}: {100 * share:3.0f} %", end="", flush=True)  # noqa: E731
        rows.append({"seed": seed} | Soak(seed, minutes, every_s).run(tell))
        print(f"\r{rows[-1]}", flush=True)
    return {"flights": rows, "unsafe": sum(len(row["wrong"]) for row in rows)}


PATTERN = np.dtype([("n", "u8"), ("body", "u8", 200)])


def _write(name: str, stop: Any) -> None:
    writer = RingWriter(name, PATTERN, 64)
    row = np.zeros(1, PATTERN)
    n = 0
    while not stop.is_set():
        n += 1
        row["n"] = n
        row["body"] = n
        writer.publish(row, n)
    writer.close()


def torn(reads: int) -> dict[str, Any]:
    """A writer as fast as it can, a reader beside it: every row whole?"""
    name = f"gimbal-torn-{random.randrange(1 << 30)}"
    context = multiprocessing.get_context("spawn")
    stop = context.Event()
    process = context.Process(target=_write, args=(name, stop), daemon=True)
    process.start()
    reader = None
    while reader is None:
        try:
            reader = RingReader(name)
        except Exception:  # not there yet
            time.sleep(0.05)
    done = bad = 0
    said = time.monotonic()
    try:
        while done < reads:
            rows = reader.read_new()
            done += len(rows)
            if len(rows):
                bad += int((rows["body"] != rows["n"][:, None]).any(axis=1).sum())
            if time.monotonic() - said > 1.0:
                said = time.monotonic()
                print(f"\r{done} of {reads} rows, {bad} torn", end="", flush=True)
    finally:
        stop.set()
        process.join(10)
    print()
    return {"reads": done, "torn": bad}


def replug(cycles: int) -> dict[str, Any]:
    """An emulated IMU's pty pulled and put back: ms from the path's return to the line being open again."""
    reference = Reference()
    reference.start()
    took, stalls, missed, mend = [], [], 0, AtOnce()
    with tempfile.TemporaryDirectory() as folder:
        host = Host(Path(folder))
        wire = host.add_pty("imu", load_emulator("vectornav")(StillImu(), {}))
        line = Line("imu", "vectornav", "imu", str(Path(folder) / "imu"))
        _open(host, line)
        rows = np.zeros(8, IMU_ROW)
        for cycle in range(cycles):
            wire.unplug(time.monotonic_ns())
            _until(lambda: line.driver.poll(rows) < 0 and line.driver.transport.lost, 1.0)
            line.hang_up(time.monotonic_ns())
            time.sleep(random.uniform(0.0, 0.02))
            wire.replug(time.monotonic_ns())
            back = time.monotonic_ns()
            if not _until(lambda: line.usable(time.monotonic_ns(), mend) and not line.lost_since_ns, 5.0):
                missed += 1
            now = time.monotonic_ns()
            took.append((now - back) * 1e-6)
            stalls.append(reference.stall_ms(back, now))
            if cycle % 50 == 49:
                print(f"\r{cycle + 1} of {cycles}", end="", flush=True)
        host.close()
    print()
    long = [{"ms": round(t, 1), "stall_ms": round(s, 1)} for t, s in zip(took, stalls, strict=True) if t > 10.0]
    return {"cycles": cycles, "missed": missed, "median_ms": float(np.median(took)), "max_ms": max(took), "long": long}


def _open(host: Any, line: Any) -> None:
    over = threading.Event()
    thread = threading.Thread(target=host.run, args=(over.is_set, 0.001), daemon=True)
    thread.start()
    line.driver.open(open_transport(line.path, 921600), {})
    over.set()
    thread.join()


def _until(true: Callable[[], Any], seconds: float) -> bool:
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        if true():
            return True
        time.sleep(0.001)
    return False


def main(argv: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m hil_tests.endurance", description=__doc__)
    parser.add_argument("what", choices=("soak", "torn", "replug"))
    parser.add_argument("--seeds", type=int, default=20)
    parser.add_argument("--first", type=int, default=1, help="the first seed")
    parser.add_argument("--minutes", type=float, default=30.0)
    parser.add_argument("--every", type=float, default=10.0, help="seconds between faults")
    parser.add_argument("--count", type=int, help="rows to read (torn, default 1e7), cycles (replug, default 1000)")
    parser.add_argument("--json", metavar="FILE")
    args = parser.parse_args(argv)
    if args.what == "soak":
        out = soak(args.seeds, args.minutes, args.every, args.first)
        bad = out["unsafe"]
    elif args.what == "torn":
        out = torn(args.count or 10_000_000)
        bad = out["torn"]
    else:
        out = replug(args.count or 1000)
        bad = out["missed"]
    print(json.dumps(out, indent=1))
    if args.json:
        Path(args.json).write_text(json.dumps(out, indent=1) + "\n")
    return 1 if bad else 0


if __name__ == "__main__":
    sys.exit(main())
