"""The delay as it is and not as it is told: drawn for every tick from what a loop on real lines showed.

    python -m gimbal.tuning.delays torque train_roof                # the distribution kept here
    python -m gimbal.tuning.delays torque train_roof --log LOG      # that of a log of `gimbal run`

The delay from the newest sample to a command's bytes has two parts. How old the sample is at the tick comes from a line
that has its own rate: known to the loop, by the sample's stamp. How long the tick then takes to send varies with the
machine's load: known a tick later, by the loop's own clock (SENSE.sent_ns, :mod:`gimbal.control.late`). Both are
flown: samples at the line's rate after their transit, joint readings as many whole ticks old as the line's, and a drawn
time from tick to bytes. Prints the jitter with the
config's fixed delay, with the drawn one of the same median, and with the drawn one that the loop isn't told of; and the
loops' margins where every command is as late as one in a thousand.
"""

from __future__ import annotations

import argparse
import sys
from collections import deque
from pathlib import Path
from typing import Any

import numpy as np

from gimbal.config.load import load_rig, load_scenario
from gimbal.config.schema import Rig
from gimbal.errors import UsageError
from gimbal.loop.lockstep import run_lockstep
from gimbal.rig.plant import PlantRig
from gimbal.tuning.margins import BLENDS, Margins, grid_hz, of_loop

# µs of `gimbal run torque --emulate train_roof --arm --mode lock` over ptys, 1 kHz, on two busy cores (load 6 to 9)
SHARES = (0.0, 0.01, 0.05, 0.25, 0.5, 0.75, 0.95, 0.99, 0.999, 0.9999, 1.0)
MEASURED_US = (526.0, 563.0, 591.0, 756.0, 924.0, 1117.0, 1583.0, 1824.0, 2432.0, 7646.0, 9058.0)  # sample to bytes
SENT_US = (18.0, 29.0, 34.0, 58.0, 90.0, 130.0, 200.0, 338.0, 928.0, 3295.0, 8248.0)  # of it tick to bytes
TRANSIT_MS = 0.45  # sample to its bytes read, at least
JOINTS_MS = 1.48  # age of the joints' readings at the tick, median; p1 1.42, p99 2.48
LINE_RATE = 0.797  # samples per tick of the line: 800 Hz, and never quite in step with the ticks
LATE = 0.999  # share of the ticks whose delay the margins are computed for
SETTLED = 2000  # ticks of a log left out: start-up


def measured_us(rows: np.ndarray) -> np.ndarray:
    """Of a log's TICK rows: newest IMU sample to motor bytes written, µs, of every tick that had a sample."""
    rows = rows[SETTLED:]
    got = rows[rows["sense"]["imu_n"] > 0]
    newest = got["sense"]["imu_t_ns"][np.arange(len(got)), got["sense"]["imu_n"] - 1]
    return np.asarray(1e-3 * (got["t_ns"] + got["timing"]["written_ns"] - newest))


def sent_us(rows: np.ndarray) -> np.ndarray:
    """Of a log's TICK rows: tick to motor bytes written, µs."""
    return np.asarray(1e-3 * rows[SETTLED:]["timing"]["written_ns"])


def joints_ms(rows: np.ndarray) -> float:
    """Of a log's TICK rows: age of the joints' readings at the tick, median, ms."""
    rows = rows[SETTLED:]
    new = rows["sense"]["joint_valid"].all(axis=1)
    if not new.any():
        raise UsageError("No row of this log has readings of all three joints. Give a log of `gimbal run` of over 3 s.")
    return 1e-6 * float(np.median(rows["t_ns"][new, None] - rows["sense"]["joint_t_ns"][new]))


def quantiles(us: np.ndarray) -> tuple[float, ...]:
    """At SHARES."""
    return tuple(float(x) for x in np.quantile(us, SHARES))


def later_ms(points_us: tuple[float, ...], share: float) -> float:
    """How much later than the median a tick of this share is, ms."""
    return 1e-3 * float(np.interp(share, SHARES, points_us) - np.interp(0.5, SHARES, points_us))


def drawn_ms(points_us: tuple[float, ...], told_ms: float, ticks: int, seed: int) -> list[float]:
    """A delay for every tick, by the distribution's form, its median the told delay."""
    at = np.random.default_rng([seed, 77]).uniform(size=ticks)
    x = 1e-3 * (np.interp(at, SHARES, points_us) - np.interp(0.5, SHARES, points_us))
    return [float(d) for d in np.maximum(told_ms + x, 0.0)]


def late_margins(rig: Rig, later_s: float) -> list[Margins]:
    """Of every axis at level, safe loops and fast ones, the delay longer than the config's."""
    from gimbal.tuning.model import Change, Controller, loop_poles, loop_response, make_axis

    f = grid_hz(rig)
    z, out = np.exp(2j * np.pi * f / rig.loop_rate_hz), []
    for name in rig.kinematic_order:
        real, own = make_axis(rig, name, None, Change(delay_s=later_s)), Controller(rig, make_axis(rig, name))
        for blend in (BLENDS[0], BLENDS[-1]) if rig.control.fast else BLENDS[:1]:
            c = own.at(blend)
            stable = bool(np.max(np.abs(loop_poles(real, c))) < 1.0 - 1e-9)
            out.append(of_loop(loop_response(real, c, z), 2.0 * np.pi * f, stable, name, "late", blend))
    return out


class Line(PlantRig):
    """A rig whose joints tell what they were so many ticks ago."""

    joint_ticks = 0
    _fields = ("joint_valid", "joint_t_ns", "joint_angle", "joint_rate", "joint_torque_applied")

    def open(self, info: Any) -> None:
        super().open(info)
        self._told: deque[dict[str, np.ndarray]] = deque(maxlen=self.joint_ticks + 1)

    def read(self, sense: np.ndarray) -> int:
        status = super().read(sense)
        self._told.append({name: sense[name].copy() for name in self._fields})
        for name in self._fields:
            sense[name] = self._told[0][name]
        return status


class Untold(Line):
    """A rig that never says when its bytes went out."""

    def read(self, sense: np.ndarray) -> int:
        status = super().read(sense)
        sense["sent_ns"] = 0
        return status


def fly(
    rig: Rig,
    carrier: str,
    seconds: float,
    seed: int,
    sent_us: tuple[float, ...] | None,
    untold: bool = False,
    joints_ms: float = JOINTS_MS,
) -> dict[str, Any]:
    """Result keys of docs/contract.md, lock; the delay fixed (None), or as the line's own samples and a drawn time from
    tick to bytes make it, its median the told one."""
    real, told, transit, delays, joint_ticks = rig, rig.delay.sample_to_torque_ms, 0.0, None, 0
    if sent_us is not None:
        age = TRANSIT_MS + 500.0 / rig.loop_rate_hz  # median of the ticks that have a sample
        if told > age:  # else it is another line
            real = rig.model_copy(update={"imu": rig.imu.model_copy(update={"rate_hz": LINE_RATE * rig.loop_rate_hz})})
            told, transit = told - age, TRANSIT_MS
            joint_ticks = round(1e-3 * joints_ms * rig.loop_rate_hz)
        delays = drawn_ms(sent_us, told, int(seconds * rig.loop_rate_hz), seed)
    plant = (Untold if untold else Line)(
        real,
        load_scenario(carrier).config,
        seed=seed,
        seconds=1.01 * seconds + 1.0,  # skipped ticks take time too
        delays_ms=delays,
        transit_ms=transit,
    )
    plant.joint_ticks = joint_ticks
    return run_lockstep(plant, rig, seconds, seed=seed)


def main(argv: list[str] | None = None) -> int:
    """Entry of ``python -m gimbal.tuning.delays``; 1 where a flight ended in a fault."""
    p = argparse.ArgumentParser(prog="python -m gimbal.tuning.delays", description=__doc__.split("\n")[0])
    p.add_argument("rig")
    p.add_argument("carriers", help="names, with commas")
    p.add_argument("--log", type=Path, help="of `gimbal run`: its delays instead of those kept here")
    p.add_argument("--seconds", type=float, default=60.0)
    p.add_argument("--seed", type=int, default=1)
    a = p.parse_args(argv)
    points: tuple[float, ...] = MEASURED_US
    sent: tuple[float, ...] = SENT_US
    joints = JOINTS_MS
    rig, bad = load_rig(a.rig).config, False
    if a.log:
        from gimbal.telemetry.reader import open_log

        rows = open_log(a.log).rows()
        points, sent, joints = quantiles(measured_us(rows)), quantiles(sent_us(rows)), joints_ms(rows)
    told = rig.delay.sample_to_torque_ms
    for name, us in (("sample to bytes", points), ("tick to bytes", sent)):
        later = ", ".join(f"p{100 * s:g} {later_ms(us, s):+.2f}" for s in SHARES[1:-1])
        print(f"{name}, later than the median, ms: {later}")
    for m in late_margins(rig, 1e-3 * later_ms(points, LATE)):
        print(m.text())
    for carrier in a.carriers.split(","):
        flown = [
            fly(rig, carrier, a.seconds, a.seed, us, untold, joints)
            for us, untold in ((None, False), (sent, False), (sent, True))
        ]
        x, y, blind = (r["jitter_urad_rms"]["total"] for r in flown)
        faults = ", ".join(f for r in flown for f in r["faults"]) or "no fault"
        print(
            f"{carrier:12s} fixed {told:g} ms {x:7.1f} µrad   drawn {y:7.1f} µrad   ratio {y / x:.2f}   "
            f"the loop not told {blind:7.1f} µrad   {faults}",
            flush=True,
        )
        bad = bad or faults != "no fault"
    return int(bad)


if __name__ == "__main__":
    sys.exit(main())
