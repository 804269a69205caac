"""`gimbal sim`: a scenario on the simulated rig, its figures as a table, a JSON, a log and a plot."""

from __future__ import annotations

import argparse
import math
import sys
from typing import Any

from gimbal.config.load import CONFIGS, Loaded, load_rig, load_scenario
from gimbal.config.scenario import Scenario
from gimbal.errors import UsageError
from gimbal.loop.lockstep import check_mode, check_seconds, check_seed, half_frame, plain_pid, run_lockstep
from gimbal.metrics import jitter_between
from gimbal.output import check_writable, write_json
from gimbal.render import check_render, render_run

FALL_S = (7.0, 12.0)  # of cliff_jump: from when the ramp has died away to the opening
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
    margins.check(plain_pid(rig.config) if controller == "pid" else rig.config)
    mode = args.mode or scenario.config.mode
    seconds = args.seconds if args.seconds is not None else scenario.config.seconds
    check_mode(mode)
    check_seconds(seconds)
    rows, kept = [], [] if history is None else history
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
                keep=kept,
            )
        )
        if scenario.config.carrier.kind == "cliff_jump" and mode == "lock" and seconds > FALL_S[1] + 2.0:
            h = kept[-1]
            still = h["q_true"][int(FALL_S[0] * rig.config.loop_rate_hz)]
            rows[-1]["jitter_fall_urad_rms"] = jitter_between(
                h["q_true"] * 0.0 + still, h["q_true"], rig.config.loop_rate_hz, *FALL_S
            )
        if history is None:
            kept.clear()
    row = {**over_seeds(rows), "scenario": scenario.config.name, "controller": controller}
    if args.seeds > 1 and row["jitter_urad_rms"]:
        row["jitter_urad_by_seed"] = [r["jitter_urad_rms"]["total"] for r in rows]
    row["config_hash"] = rig.hash + scenario.hash
    if args.bound:
        from gimbal.tuning.carrier_bound import bound_keys, known_bound

        row |= bound_keys(row, known_bound(rig.config, scenario.config, seconds, args.seed, _say))
    return row


def _say(text: str) -> None:
    """A step that takes its time, on a terminal or not."""
    print(text, file=sys.stderr, flush=True)


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


def table(rows: list[dict[str, Any]]) -> str:
    """Jitter of every carrier beside its bounds, µrad, as Markdown; ``rows`` of both controllers."""
    head = ["carrier", "full", "seeds", "LQG bound", "robust bound", "sensor floor", "ratio", "plain PID", "PID / full"]
    lines = ["| " + " | ".join(head) + " |", "|---" * len(head) + "|"]
    full = [r for r in rows if r["controller"] == "full"]
    for r in full:
        pid = next(p for p in rows if p["controller"] == "pid" and p["scenario"] == r["scenario"])
        for key, label in (("jitter_urad_rms", r["scenario"]), ("jitter_fall_urad_rms", r["scenario"] + ", fall")):
            if not r.get(key):
                continue
            whole = key == "jitter_urad_rms"
            mine, plain = r[key]["total"], pid[key]["total"]
            stopped = ", ".join(pid["faults"])
            seeds = [f"{x:.0f}" for x in r.get("jitter_urad_by_seed", [])] if whole else []
            bounds = [r[k]["total"] if whole else None for k in ("bound_lqg_urad", "bound_robust_urad")]
            cells = [label, f"{mine:.1f}", " ".join(seeds)]
            cells += ["" if b is None else f"{b:.1f}" for b in (*bounds, r["sensor_floor_urad"]["total"])]
            cells += ["" if bounds[1] is None else f"{mine / bounds[1]:.2f}"]
            cells += [f"stopped: {stopped}", ""] if stopped else [f"{plain:.0f}", f"{plain / mine:.1f}"]
            lines.append("| " + " | ".join(cells) + " |")
    return "\n".join(lines)


def _all(args: argparse.Namespace) -> int:
    """Every scenario under both controllers; with --bound the carriers in lock mode, and a table."""
    names = sorted(p.stem for p in (CONFIGS / "scenarios").glob("*.toml"))
    loaded = [load_scenario(name) for name in names]
    if args.bound:
        args.mode = args.mode or "lock"
        loaded = [s for s in loaded if s.config.carrier.kind != "still" and s.config.mode == "lock"]
    rows = []
    for scenario in loaded:
        for controller in ("full", "pid"):
            rows.append(simulate(scenario, args, controller))
            print_row(rows[-1])
    if args.bound and args.mode == "lock":
        print(f"\nLock on {rows[0]['rig']}, {args.seeds} seeds from {args.seed}, jitter and bounds in µrad RMS\n")
        print(table(rows))
    write_json(args.json, {"rows": rows})
    return int(any(r["faults"] for r in rows if r["controller"] == "full"))


def _report(args: argparse.Namespace, history: Any, row: dict[str, Any]) -> None:
    """The run of the last seed as a page, its spectrum against the bound where --bound found one."""
    from gimbal.report import write_report
    from gimbal.tuning.carrier_bound import known_bound

    scenario = load_scenario(args.scenario)
    rig = load_rig(args.rig or scenario.config.rig).config
    lock = args.bound and row.get("bound_ratio")
    found = known_bound(rig, scenario.config, row["seconds"], args.seed) if lock else None
    write_report(args.report, history, row, rig, found)
    print(f"  report         {args.report}")


def _worth(args: argparse.Namespace) -> int:
    """The table of feed-forward terms of one scenario."""
    from gimbal.worth import text, worth

    scenario = load_scenario(args.scenario)
    seconds = check_seconds(args.seconds if args.seconds is not None else scenario.config.seconds)
    rows = worth(scenario, args.rig, seconds, args.seed, _say)
    print(text(scenario.config.name, rows))
    write_json(args.json, {"scenario": scenario.config.name, "rows": rows})
    return int(bool(rows[0]["faults"]))


def _refuse_ignored(args: argparse.Namespace) -> None:
    """An option that would do nothing is refused, not passed over. Raises UsageError."""

    def given(*names: str) -> str:
        neutral = {"seeds": 1}
        return ", ".join(f"--{n}" for n in names if getattr(args, n) not in (None, False, neutral.get(n)))

    if args.all and (one := given("plot", "report", "render", "log", "worth")):
        raise UsageError(f"{one}: of one run only. Name the scenario in place of --all.")
    if args.all and (one := given("controller")):
        raise UsageError(f"{one}: --all flies both controllers. Leave it out, or name the scenario.")
    idle = ("mode", "controller", "track", "seeds", "bound", "plot", "report", "render", "log")
    if args.worth and (one := given(*idle)):
        raise UsageError(
            f"{one}: --worth flies lock mode with the full controller once for each term and prints a table; it takes "
            "--rig, --seconds, --seed and --json. Leave one or the other out."
        )


def _check_bound(scenario: Scenario, mode: str) -> None:
    """Raises UsageError where there is no bound; says where there is no ratio."""
    if scenario.carrier.kind == "still":
        raise UsageError(
            f"--bound: scenario {scenario.name} has a carrier that stands still, so there is no disturbance to bound. "
            "Leave --bound out, or name a carrier: gimbal sim speedflight --bound."
        )
    if mode != "lock":
        _say(f"--bound: bounds are of lock mode, so there is no ratio in mode {mode}; --mode lock gives one")


def sim_command(args: argparse.Namespace) -> int:
    """Entry of `gimbal sim`."""
    if bool(args.scenario) == bool(args.all):
        raise UsageError("Name one scenario, or give --all. For example: gimbal sim speedflight.")
    if args.seeds < 1:
        raise UsageError(f"--seeds {args.seeds} isn't a number of runs: give 1 or more.")
    check_seed(args.seed)
    if args.log and (args.all or args.seeds > 1):
        raise UsageError("--log takes one run: leave out --all and --seeds, or --log.")
    _refuse_ignored(args)
    check_render(args.render)
    for name in ("json", "log", "plot", "report"):
        check_writable(getattr(args, name), f"--{name}")
    if args.all:
        return _all(args)
    if args.worth:
        return _worth(args)
    scenario = load_scenario(args.scenario)
    if args.bound:
        _check_bound(scenario.config, args.mode or scenario.config.mode)
    history: list[Any] = []
    row = simulate(scenario, args, args.controller or "full", history)
    print_row(row)
    write_json(args.json, row)
    if args.plot:
        from gimbal.plots import plot_run

        plot_run(
            args.plot,
            history[-1],
            row,
            half_frame(load_rig(args.rig or scenario.config.rig).config),
        )
        print(f"  plot           {args.plot}")
    if args.render:
        rig = load_rig(args.rig or scenario.config.rig).config
        print(f"  video          {args.render}, {render_run(args.render, history[-1], rig.camera, args.seed)} frames")
    if args.report:
        _report(args, history[-1], row)
    return 1 if row["faults"] else 0
