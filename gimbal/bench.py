"""``gimbal bench realtime``: the shipped loop on emulated devices beside cyclictest, in turn on the same CPU.

Slices of the two alternate in random order, so that a machine's bad minute hits both; each figure is the median over
slices of the slice's percentile. The loop is the daemon's own: drivers, ptys, the compiled tick, the telemetry ring.
"""

from __future__ import annotations

import json
import os
import random
import shutil
import subprocess
import tempfile
from argparse import Namespace
from pathlib import Path
from typing import Any

import numpy as np

from firmware_bridge.errors import BridgeError
from gimbal.daemon import instance
from gimbal.daemon.children import Child
from gimbal.errors import GimbalError, UsageError
from gimbal.loop.board import BINS, Board

RIG, FAST_RIG, SCENARIO = "torque", "torque_fast", "bench"
FAST_HZ = 1500.0  # beyond, one line doesn't carry three motors
CYCLICTEST_PRIORITY = 90
WARM_TICKS = 300  # before each slice: bytes that piled up are read, caches are warm
QUANTILES = {"p50": 0.5, "p99": 0.99, "p99_9": 0.999}


class LoopUnderTest:
    """The daemon's loop in this process, run for a slice at a time."""

    def __init__(self, rate_hz: float) -> None:
        from gimbal.config.load import load_rig
        from gimbal.config.pack import pack_params
        from gimbal.loop import realtime
        from gimbal.loop.pipeline import new_state, step
        from gimbal.records import TICK
        from gimbal.rig.hardware import HardwareRig
        from gimbal.telemetry.inbox import InboxReader, InboxWriter
        from gimbal.telemetry.ring import RingWriter

        self.period_ns = round(1e9 / rate_hz)
        self.folder = tempfile.TemporaryDirectory(prefix="gimbal-bench-")
        loaded = load_rig(RIG if rate_hz <= FAST_HZ else FAST_RIG)
        config = loaded.config.model_copy(update={"loop_rate_hz": rate_hz})
        self.params, self.step = pack_params(config), step
        self.state = new_state(self.params)
        name = f"bench-{os.getpid()}"
        self.inbox_writer = InboxWriter(instance.segment(name, "inbox"))
        self.inbox = InboxReader(instance.segment(name, "inbox"))
        self.ring = RingWriter(instance.segment(name, "tick"), TICK, 4096)
        self.states = RingWriter(instance.segment(name, "state"), self.state.dtype, 8)
        self.board = Board(instance.segment(name, "board"), create=True)
        spec = {"rig": str(loaded.path), "scenario": SCENARIO, "dir": self.folder.name}
        self.emulators = Child("gimbal.emulate", spec)
        self.emulators.wait_for_line("READY", 600.0)
        self.boost = Child("gimbal.loop.boost", {})  # as the daemon does while armed
        self.rig = HardwareRig(config, {name: str(Path(self.folder.name) / name) for name in config.devices})
        try:
            self.rig.open({"dt_s": 1.0 / rate_hz})
        except BridgeError as error:
            raise GimbalError(f"{error} Measure at a lower --rate.") from None
        self.report = realtime.acquire()
        self.slice(WARM_TICKS, spin=False)

    def slice(self, ticks: int, *, spin: bool) -> dict[str, np.ndarray | int]:
        """Histograms of wake-up and of deadline to motor bytes written, and skipped periods, of ``ticks`` ticks."""
        from gimbal.clock import MonotonicClock, spin_lead_ns
        from gimbal.loop.process import run_loop

        lead = spin_lead_ns(self.period_ns, prefetch=True) if spin else 0
        for count in (WARM_TICKS, ticks):
            self.board.record.view(np.uint8)[:] = 0
            clock = MonotonicClock(self.period_ns, lead)
            run_loop(
                self.rig, self.step, self.params, self.state, clock=clock, ring=self.ring, states=self.states,
                inbox=self.inbox, board=self.board, ticks=count,
            )  # fmt: skip
        record = self.board.record
        keep = {name: record[name]["bins"][0].copy() for name in ("wake", "written", "work")}
        return keep | {"skipped": self.board["skipped"]}

    def close(self) -> None:
        self.rig.safe()
        self.rig.close()
        self.boost.end()
        self.emulators.end()
        for segment in (self.ring, self.states, self.inbox_writer):
            segment.close()
        self.board.unlink()
        self.folder.cleanup()


def cyclictest(seconds: float, rate_hz: float, cpu: int) -> np.ndarray:
    """Wake-up latencies of cyclictest as a histogram of 1 us bins, the last for everything longer.

    Raises:
        GimbalError: it can't run here.
    """
    command = [
        "cyclictest", "-m", f"-p{CYCLICTEST_PRIORITY}", f"-a{cpu}", f"-i{round(1e6 / rate_hz)}",
        f"-D{max(1, round(seconds))}", "-q", f"-h{BINS}",
    ]  # fmt: skip
    done = subprocess.run(command, capture_output=True, text=True)
    bins = np.zeros(BINS + 1, np.int64)
    for line in done.stdout.splitlines():
        words = line.split()
        if len(words) == 2 and words[0].isdigit():
            bins[min(int(words[0]), BINS)] += int(words[1])
        elif line.startswith("# Histogram Overflows:"):
            bins[BINS] += int(words[3])
    if done.returncode or not bins.sum():
        raise GimbalError(f"cyclictest could not run: {(done.stderr or done.stdout).strip()[:300]}")
    return bins


def quantiles(bins: np.ndarray) -> dict[str, float]:
    """p50, p99, p99.9 in us of a histogram of 1 us bins, linear within a bin."""
    below = np.cumsum(bins)
    found = {}
    for name, share in QUANTILES.items():
        wanted = share * below[-1]
        index = int(np.searchsorted(below, wanted))
        inside = (wanted - (below[index - 1] if index else 0)) / max(int(bins[index]), 1)
        found[name] = index + float(inside)
    return found


def skipped_share(bins: np.ndarray, period_us: float) -> float:
    """Share of periods that passed before a thread woke from one before them."""
    late = np.arange(len(bins)) // period_us
    lost = float(np.sum(bins * late))
    return lost / (float(bins.sum()) + lost)


def median_of(slices: list[dict[str, float]]) -> dict[str, float]:
    return {name: float(np.median([s[name] for s in slices])) for name in slices[0]}


def ratio(ours: dict[str, float], theirs: dict[str, float] | None) -> dict[str, float] | None:
    return None if theirs is None else {name: ours[name] / theirs[name] for name in ours if theirs[name] > 0}


def measure(seconds: float, slices: int, rate_hz: float, say: Any = print) -> dict[str, Any]:
    """Run the slices and return one flat object."""
    present = shutil.which("cyclictest") is not None
    if not present:
        say("cyclictest is not installed (Debian package rt-tests): the loop is measured alone, without ratios")
    loop = LoopUnderTest(rate_hz)
    kinds = ["spin", "sleep"] if loop.report.spin else ["sleep"]
    order = [
        kind for _ in range(slices) for kind in random.sample([*kinds, *["cyclictest"] * present], len(kinds) + present)
    ]
    wake: dict[str, list[dict[str, float]]] = {kind: [] for kind in (*kinds, "cyclictest")}
    written: dict[str, list[dict[str, float]]] = {kind: [] for kind in kinds}
    work: dict[str, list[dict[str, float]]] = {kind: [] for kind in kinds}
    skipped: dict[str, list[float]] = {kind: [] for kind in (*kinds, "cyclictest")}
    try:
        for number, kind in enumerate(order):
            if kind == "cyclictest":
                bins = cyclictest(seconds, rate_hz, loop.report.cpu)
                skipped[kind].append(skipped_share(bins, 1e6 / rate_hz))
            else:
                ticks = round(seconds * rate_hz)
                result = loop.slice(ticks, spin=kind == "spin")
                bins = np.asarray(result["wake"])
                written[kind].append(quantiles(np.asarray(result["written"])))
                work[kind].append(quantiles(np.asarray(result["work"])))
                lost = int(result["skipped"])
                skipped[kind].append(lost / (ticks + lost))
            wake[kind].append(quantiles(bins))
            figures = "  ".join(f"{name} {value:.1f}" for name, value in wake[kind][-1].items())
            say(f"slice {number + 1} of {len(order)}: {kind:10s} wake-up us: {figures}")
    finally:
        loop.close()
    return _report(loop, rate_hz, seconds, slices, wake, written, work, skipped)


def _report(
    loop: LoopUnderTest, rate_hz: float, seconds: float, slices: int, wake: Any, written: Any, work: Any, skipped: Any
) -> dict[str, Any]:
    theirs = median_of(wake["cyclictest"]) if wake["cyclictest"] else None
    their_skips = float(np.median(skipped["cyclictest"])) if theirs else None
    out: dict[str, Any] = {
        "rate_hz": rate_hz, "slice_s": seconds, "slices": slices, "cpu": loop.report.cpu,
        "realtime": loop.report.line(), "cyclictest_us": theirs, "cyclictest_skipped": their_skips,
        "load_1min": os.getloadavg()[0],
    }  # fmt: skip
    for kind in written:
        ours = median_of(wake[kind])
        out[f"wake_{kind}_us"] = ours
        out[f"wake_{kind}_ratio"] = ratio(ours, theirs)
        out[f"written_{kind}_us"] = median_of(written[kind])
        out[f"written_{kind}_ratio"] = ratio(out[f"written_{kind}_us"], theirs)
        out[f"tick_{kind}_us"] = median_of(work[kind])
        out[f"skipped_{kind}"] = float(np.median(skipped[kind]))
    return out


def format_report(out: dict[str, Any]) -> str:
    """Lines for people."""

    def row(name: str, figures: dict[str, float] | None, unit: str = "us") -> str:
        if figures is None:
            return f"{name:44s}-"
        return f"{name:44s}" + "  ".join(f"{key} {value:8.2f}" for key, value in figures.items()) + f"  {unit}"

    lines = [
        out["realtime"],
        f"{out['slices']} slices of {out['slice_s']:g} s at {out['rate_hz']:g} Hz on cpu {out['cpu']}",
    ]
    lines.append(row("cyclictest, wake-up", out["cyclictest_us"]))
    for kind, text in (("spin", "with spin tail"), ("sleep", "without spin")):
        if f"wake_{kind}_us" not in out:
            continue
        lines += [
            row(f"loop {text}, wake-up", out[f"wake_{kind}_us"]),
            row("   against cyclictest", out[f"wake_{kind}_ratio"], "x"),
            row("   deadline to motor bytes written", out[f"written_{kind}_us"]),
            row("   against cyclictest's wake-up", out[f"written_{kind}_ratio"], "x"),
            row("   read, tick, write, publish", out[f"tick_{kind}_us"]),
            f"   skipped periods {out[f'skipped_{kind}']:.3%}",
        ]
    if out["cyclictest_skipped"] is not None:
        lines.append(f"skipped periods of cyclictest {out['cyclictest_skipped']:.3%}")
    return "\n".join(lines)


def bench_command(args: Namespace) -> int:
    """``gimbal bench realtime [--seconds S] [--slices N] [--rate HZ] [--json FILE]``."""
    if not (args.seconds >= 1 and args.slices >= 1 and 50 <= args.rate <= 4000):
        raise UsageError("bench realtime takes --seconds of 1 or more, --slices of 1 or more, --rate from 50 to 4000.")
    out = measure(args.seconds, args.slices, args.rate, lambda text: print(text, flush=True))
    if args.json:
        Path(args.json).write_text(json.dumps(out, indent=1) + "\n")
    print(format_report(out))
    return 0
