"""What a daemon's run came to: the flat object of docs/contract.md, and the same for people."""

from __future__ import annotations

from typing import Any

import gimbal
from gimbal import faults
from gimbal.daemon.live import History, final_figures
from gimbal.loop.board import Board


def run_summary(options: Any, board: Board, history: History, report: dict[str, Any], recorder: Any) -> dict[str, Any]:
    """The keys of the contract for ``gimbal run``. Imports scipy: only after the loop has ended."""
    config, scenario = options.rig.config, options.scenario
    names = [faults.Code(code).name.lower() for code in history.faults]
    out: dict[str, Any] = {
        "scenario": scenario.config.name if scenario else None,
        "rig": config.name,
        "mode": options.mode,
        "seconds": board["ticks"] / config.loop_rate_hz,
        "seed": options.seed,
        "ticks": board["ticks"],
        "config_hash": options.rig.hash + (scenario.hash if scenario else ""),
        "version": gimbal.__version__,
        "faults": names,
        "overruns": board["overruns"],
        "skipped_periods": board["skipped"],
        "unsent_commands": board["unsent"],
        "wake_latency_us": board.percentiles("wake"),
        "tick_us": board.percentiles("work"),
        "sense_to_command_us": board.percentiles("latency"),
        "deadline_to_written_us": board.percentiles("written"),
        "realtime": report.get("line", ""),
        "start_cpu_s": board["start_cpu_ns"] * 1e-9,
        "log": str(recorder.path) if recorder is not None else None,
        "log_rows_lost": recorder.lost if recorder is not None else None,
    }
    return out | final_figures(history, options.mode, config)


def _times(figures: dict[str, float] | None) -> str:
    if figures is None:
        return "-"
    return "p50 {p50:.0f}  p99 {p99:.0f}  p99.9 {p99_9:.0f}  max {max:.0f}".format(**figures)


def format_summary(s: dict[str, Any]) -> str:
    """Lines for people."""
    lines = [
        f"rig {s['rig']}, {s['ticks']} ticks, mode {s['mode']}, faults: {', '.join(s['faults']) or 'none'}",
        s["realtime"],
        f"late ticks {s['overruns']}, skipped periods {s['skipped_periods']}, "
        f"commands a motor line did not take {s['unsent_commands']}",
        f"wake-up after the deadline, us   {_times(s['wake_latency_us'])}",
        f"read, tick, write, publish, us   {_times(s['tick_us'])}",
        f"IMU sample to motor bytes, us    {_times(s['sense_to_command_us'])}",
    ]
    if s["figures_seconds"]:
        lines.append(f"the picture: the last            {s['figures_seconds']:.1f} s armed without a break")
    if s["jitter_urad_rms"]:
        lines.append("jitter, urad                     " + _axes(s["jitter_urad_rms"]))
    if s["stabilisation_urad_rms"]:
        lines.append("against the setpoint, urad       " + _axes(s["stabilisation_urad_rms"]))
    if s["pointing_error_deg_rms"] is not None:
        error = f"{s['pointing_error_deg_rms']:.3f} RMS, {s['pointing_error_deg_p95']:.3f} p95"
        lines.append(f"pointing error, deg              {error}; in frame {s['time_in_frame']:.1%}")
    if s["horizon_error_deg_rms"] is not None:
        lines.append(f"horizon, deg                     {s['horizon_error_deg_rms']:.3f} RMS")
    if s["log"]:
        lines.append(f"log                              {s['log']} ({s['log_rows_lost']} rows lost)")
    return "\n".join(lines)


def _axes(figures: dict[str, float]) -> str:
    return "  ".join(f"{axis} {value:.1f}" for axis, value in figures.items())
