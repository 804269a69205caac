"""The delay as it is and not as it is told: drawn for every tick from what a loop on real lines showed.

    python -m gimbal.tuning.delays torque train_roof                # the distribution kept here
    python -m gimbal.tuning.delays torque train_roof --log LOG      # that of a log of `gimbal run`

Prints the jitter with the config's fixed delay and with drawn ones of the same median, and the loops' margins where
every command is as late as one in a thousand.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import Any

import numpy as np

from gimbal.config.load import load_rig, load_scenario
from gimbal.config.schema import Rig
from gimbal.loop.lockstep import run_lockstep
from gimbal.rig.plant import PlantRig
from gimbal.tuning.margins import BLENDS, Margins, grid_hz, of_loop

# Newest IMU sample to motor bytes written, µs: `gimbal run torque --emulate train_roof --arm --mode lock --seconds 30`
# over ptys, 1 kHz, under load; the line's own 800 Hz samples against 1 kHz ticks are in it
SHARES = (0.0, 0.01, 0.05, 0.25, 0.5, 0.75, 0.95, 0.99, 0.999, 0.9999, 1.0)
MEASURED_US = (526.0, 563.0, 591.0, 756.0, 924.0, 1117.0, 1583.0, 1824.0, 2432.0, 7646.0, 9058.0)
LATE = 0.999  # share of the ticks whose delay the margins are computed for
SETTLED = 2000  # ticks of a log left out: start-up


def measured_us(rows: np.ndarray) -> np.ndarray:
    """Of a log's TICK rows: newest IMU sample to motor bytes written, µs, of every tick that had a sample."""
    rows = rows[SETTLED:]
    got = rows[rows["sense"]["imu_n"] > 0]
    newest = got["sense"]["imu_t_ns"][np.arange(len(got)), got["sense"]["imu_n"] - 1]
    return np.asarray(1e-3 * (got["t_ns"] + got["timing"]["written_ns"] - newest))


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


def fly(rig: Rig, carrier: str, seconds: float, seed: int, points_us: tuple[float, ...] | None) -> dict[str, Any]:
    """Result keys of docs/contract.md, lock; the delay fixed (None) or drawn."""
    delays = None
    if points_us is not None:
        ticks = int(seconds * rig.loop_rate_hz)
        delays = drawn_ms(points_us, rig.delay.sample_to_torque_ms, ticks, seed)
    plant = PlantRig(rig, load_scenario(carrier).config, seed=seed, seconds=seconds, delays_ms=delays)
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
    rig, bad = load_rig(a.rig).config, False
    if a.log:
        from gimbal.telemetry.reader import open_log

        points = quantiles(measured_us(open_log(a.log).rows()))
    told = rig.delay.sample_to_torque_ms
    print("later than the median, ms: " + ", ".join(f"p{100 * s:g} {later_ms(points, s):+.2f}" for s in SHARES[1:-1]))
    for m in late_margins(rig, 1e-3 * later_ms(points, LATE)):
        print(m.text())
    for carrier in a.carriers.split(","):
        fixed, drawn = (fly(rig, carrier, a.seconds, a.seed, x) for x in (None, points))
        x, y = fixed["jitter_urad_rms"]["total"], drawn["jitter_urad_rms"]["total"]
        faults = ", ".join(fixed["faults"] + drawn["faults"]) or "no fault"
        print(f"{carrier:12s} fixed {told:g} ms {x:7.1f} µrad   drawn {y:7.1f} µrad   ratio {y / x:.2f}   {faults}")
        bad = bad or faults != "no fault"
    return int(bad)


if __name__ == "__main__":
    sys.exit(main())
