"""`gimbal sim`: a scenario on the simulated rig, its figures as a table, a JSON, a log and a plot."""

from __future__ import annotations

import argparse
import math
import sys
from typing import Any

from gimbal.config.load import CONFIGS, Loaded, load_rig, load_scenario
from gimbal.config.scenario import Scenario
from gimbal.errors import UsageError
from gimbal.loop.lockstep import check_mode, check_seconds, check_seed, half_frame, run_lockstep
from gimbal.output import check_writable, write_json
from gimbal.render import check_render, render_run

NOT_AVERAGED = ("scenario", "rig", "mode", "seconds", "seed", "ticks", "config_hash", "version", "faults")


def _progress(label: str) -> Any:
    """A progress bar on a terminal, nothing in a pipe."""
    if not sys.stderr.isatty():
        return None

    def show(done: int, total: int) -> None:
        filled = round(30 * done / total)
        end = "\n" if done == total else ""
        print(f"\r{label} [{'#' * filled}{'.' * (30 - filled)}] {100 * done // total:3d} %", end=end, file=sys.stderr)

    return show


def _rms(values: list[Any]) -> Any:
    """Root mean square over seeds, inside dicts too; None where any is None."""
    if isinstance(values[0], dict):
        return {k: _rms([v[k] for v in values]) for k in values[0]}
    if any(v is None or isinstance(v, str) for v in values):
        return values[0] if all(v == values[0] for v in values) else None
    return math.sqrt(sum(v * v for v in values) / len(values))


def over_seeds(rows: list[dict[str, Any]]) -> dict[str, Any]:
    """One row from the rows of several seeds: figures RMS, faults joined."""
    out = dict(rows[0])
    for key in out:
        if key not in NOT_AVERAGED:
            out[key] = _rms([r[key] for r in rows])
    out["faults"] = sorted({f for r in rows for f in r["faults"]})
    return out


def simulate(
    scenario: Loaded[Scenario], args: argparse.Namespace, controller: str, history: Any = None
) -> dict[str, Any]:
    """One row: a scenario with one controller, over the asked seeds."""
    from gimbal.rig.plant import PlantRig
    from gimbal.tuning import margins

    rig = load_rig(args.rig or scenario.config.rig)
    margins.check(rig.config)
    mode = args.mode or scenario.config.mode
    seconds = args.seconds if args.seconds is not None else scenario.config.seconds
    check_mode(mode)
    check_seconds(seconds)
    rows = []
    for seed in range(args.seed, args.seed + args.seeds):
        plant = PlantRig(rig.config, scenario.config, seed=seed, track=args.track, seconds=seconds)
        rows.append(
            run_lockstep(
                plant,
                rig,
                seconds,
                mode=mode,
                seed=seed,
                log=args.log,
                scenario=scenario,
                controller=controller,
                progress=_progress(f"{scenario.config.name} {controller} seed {seed}"),
                keep=history,
            )
        )
    row = {**over_seeds(rows), "scenario": scenario.config.name, "controller": controller}
    row["config_hash"] = rig.hash + scenario.hash
    if args.bound and scenario.config.carrier.kind != "still":
        from gimbal.tuning.carrier_bound import bound_keys, known_bound

        row |= bound_keys(row, known_bound(rig.config, scenario.config, seconds, args.seed))
    return row


def print_row(row: dict[str, Any]) -> None:
    """The figures a person looks for first."""
    print(
        f"{row['scenario']} on {row['rig']}, mode {row['mode']}, {row['seconds']:g} s, controller {row['controller']}"
    )
    for key, unit in (("jitter_urad_rms", "µrad"), ("stabilisation_urad_rms", "µrad")):
        if row[key]:
            parts = "  ".join(f"{axis} {value:.1f}" for axis, value in row[key].items())
            print(f"  {key.split('_')[0]:14s} {parts} {unit} RMS above 0.5 Hz")
    for key, label in (
        ("bound_robust_urad", "robust bound"),
        ("bound_lqg_urad", "LQG bound"),
        ("sensor_floor_urad", "floor"),
    ):
        if row.get(key):
            print(
                f"  {label:14s} " + "  ".join(f"{axis} {value:.1f}" for axis, value in row[key].items()) + " µrad RMS"
            )
    if row.get("bound_ratio"):
        print(f"  ratio          {row['bound_ratio']['total']:.2f} of the robust bound")
    for key, label, unit in (
        ("pointing_error_deg_rms", "pointing", "deg RMS"),
        ("pointing_error_deg_p95", "", "deg, 95th percentile"),
        ("time_in_frame", "in frame", "of the time"),
        ("horizon_error_deg_rms", "horizon", "deg RMS"),
        ("attitude_tilt_error_deg_rms", "tilt estimate", "deg RMS"),
    ):
        if row[key] is not None:
            print(f"  {label:14s} {row[key]:.3f} {unit}")
    print(f"  faults         {', '.join(row['faults']) or 'none'}")
    print(f"  speed          {row['realtime_factor']:.0f} x real time")


def sim_command(args: argparse.Namespace) -> int:
    """Entry of `gimbal sim`."""
    if bool(args.scenario) == bool(args.all):
        raise UsageError("Name one scenario, or give --all. For example: gimbal sim speedflight.")
    if args.seeds < 1:
        raise UsageError(f"--seeds {args.seeds} isn't a number of runs: give 1 or more.")
    check_seed(args.seed)
    if args.log and (args.all or args.seeds > 1):
        raise UsageError("--log takes one run: leave out --all and --seeds, or --log.")
    for path, what in ((args.json, "--json"), (args.log, "--log"), (args.plot, "--plot")):
        check_writable(path, what)
    if args.all:
        names = sorted(p.stem for p in (CONFIGS / "scenarios").glob("*.toml"))
        rows = []
        for name in names:
            for controller in ("full", "pid"):
                rows.append(simulate(load_scenario(name), args, controller))
                print_row(rows[-1])
        write_json(args.json, {"rows": rows})
        return int(any(r["faults"] for r in rows))
    check_render(args.render)
    history: list[Any] = []
    row = simulate(load_scenario(args.scenario), args, args.controller, history)
    print_row(row)
    write_json(args.json, row)
    if args.plot:
        from gimbal.plots import plot_run

        plot_run(
            args.plot,
            history[-1],
            row,
            half_frame(load_rig(args.rig or load_scenario(args.scenario).config.rig).config),
        )
        print(f"  plot           {args.plot}")
    if args.render:
        rig = load_rig(args.rig or load_scenario(args.scenario).config.rig).config
        print(f"  video          {args.render}, {render_run(args.render, history[-1], rig.camera, args.seed)} frames")
    return 1 if row["faults"] else 0
