"""`gimbal demo`: the main job on the simulated rig: the real daemon, real serial bytes, a log, a plot, a summary."""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import Any

import numpy as np

from gimbal.errors import UsageError
from gimbal.output import check_writable, write_json

RIG, SCENARIO = "torque", "speedflight"


def demo_command(args: argparse.Namespace) -> int:
    """Fly RIG in SCENARIO in mode track for ``args.seconds`` into the folder ``args.out``."""
    from gimbal.daemon.summary import format_summary
    from gimbal.run import Daemon, check_options

    out = Path(args.out)
    try:
        out.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise UsageError(f"--out {out} can't be made ({error.strerror}). Name a folder that can.") from error
    check_writable(args.json, "--json")
    options = check_options(
        argparse.Namespace(
            rig=RIG, emulate=SCENARIO, track=args.track, seed=1, arm=True, mode="track",
            seconds=args.seconds, log=str(out), port=[], json=str(out / "summary.json"),
        )
    )  # fmt: skip
    daemon = Daemon(options, lambda text: print(text, flush=True))
    summary = daemon.run()
    (out / "summary.json").write_text(json.dumps(summary, indent=1) + "\n", encoding="utf-8")
    write_json(args.json, summary)
    text = format_summary(summary)
    (out / "summary.txt").write_text(text + "\n", encoding="utf-8")
    print(text, flush=True)
    history = daemon_history(daemon, Path(summary["log"]))
    if len(history):
        from gimbal.loop.lockstep import half_frame
        from gimbal.plots import plot_run

        plot_run(out / "demo.png", history, summary, half_frame(daemon.config))
        print(f"plot                             {out / 'demo.png'}")
    print(f"check the log: gimbal replay {summary['log']} --verify")
    return 1 if summary["faults"] else 0


def daemon_history(daemon: Any, log: Path) -> np.ndarray:
    """HISTORY rows of a daemon's armed stretch: the plant's truth from its ring, the rest from the log."""
    from gimbal.loop.history import HISTORY
    from gimbal.records import Arm
    from gimbal.telemetry.reader import open_log

    rows = open_log(log).rows()
    rows = rows[rows["health"]["arm"] == Arm.ARMED]
    truth = daemon.history.truth.last(len(rows) + 1)
    if not len(rows) or not len(truth):
        return np.zeros(0, HISTORY)
    truth = truth[(truth["t_ns"] >= rows["t_ns"][0]) & (truth["t_ns"] <= rows["t_ns"][-1])]
    tick = rows[np.searchsorted(rows["t_ns"], truth["t_ns"]).clip(0, len(rows) - 1)]
    h = np.zeros(len(truth), HISTORY)
    h["t_ns"], h["q_true"], h["camera_pos_N"] = truth["t_ns"], truth["q"], truth["camera"]
    h["target_pos_N"] = np.where(truth["has_target"][:, None] != 0, truth["target"], np.nan)
    h["q_sp"], h["q_est"] = tick["setpoint"]["q_NC_sp"], tick["nav"]["q_NC_est"]
    h["torque"], h["joint_angle"] = tick["command"]["joint_torque_cmd"], tick["nav"]["joint_angle_est"]
    h["q_NB"], h["limits"], h["arm"] = tick["nav"]["q_NB_est"], tick["health"]["limits"], tick["health"]["arm"]
    return h
