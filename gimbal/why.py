"""``gimbal why``: why it won't arm, or why it stopped: from the running daemon, or from a log."""

from __future__ import annotations

import json
from argparse import Namespace
from pathlib import Path
from typing import Any

import numpy as np

from gimbal import faults
from gimbal.errors import UsageError
from gimbal.output import check_writable
from gimbal.records import Arm

LINKS = {1: "the IMU", 2: "the motors", 4: "the GNSS receiver", 8: "the beacon receiver", 16: "the tracking camera",
         32: "the carrier's IMU"}  # fmt: skip


def of_status(status: dict[str, Any]) -> dict[str, Any]:
    """The answer from ``gimbal ctl status``."""
    lost = [what for bit, what in LINKS.items() if int(status.get("link_lost", 0)) & bit]
    said: list[str] = []
    state = status["state"]
    if status.get("fault"):
        said.append(f"It stopped: {status['fault_text']}")
    now = status.get("fault_now", "")
    if now and state != "armed":
        again = now == status.get("fault")
        said.append("Its cause is still there." if again else f"A fault holds now: {status['fault_now_text']}")
    blockers = [text for text in status.get("blockers", []) if not (status.get("fault") and "latched" in text)]
    blockers = [text for text in blockers if not (now and text.startswith(faults.BLOCKER_TEXT[faults.Blocker.FAULT]))]
    if blockers and state != "armed":
        said.append(f"It won't arm: {'; '.join(blockers)}.")
    if lost:
        said.append(f"Not heard: {', '.join(lost)}.")
    if state == "armed":
        said.append("It is armed." + (f" Limits now: {', '.join(status['limits'])}." if status["limits"] else ""))
    if status.get("stalled_s"):
        said.append(f"Its loop has not ticked for {status['stalled_s']:g} s: `gimbal ctl stop` ends it.")
    if not said:
        said.append(f"Nothing is in the way: state {state}. `gimbal ctl arm` arms it.")
    rt = status.get("rt", "")
    if "degraded" in rt:
        said.append(rt)
    return {"source": "daemon", "rig": status.get("rig", ""), "state": state, "fault": status.get("fault", ""),
            "fault_now": now, "blockers": status.get("blockers", []), "not_heard": lost, "says": said}  # fmt: skip


def of_log(path: Path) -> dict[str, Any]:
    """The answer from a log: each latched fault with its time, and how it ended."""
    from gimbal.telemetry.reader import open_log

    log = open_log(path)
    rows = log.rows()
    if not len(rows):
        return {"source": str(path), "state": "", "fault": "", "faults": [], "says": ["The log holds no tick."]}
    fault, start = rows["health"]["fault"], int(rows["t_ns"][0])
    at = np.flatnonzero(np.diff(fault, prepend=0))
    events = [_event(rows[i], rows[max(i - 1, 0)], start) for i in at.tolist() if fault[i]]
    state = Arm(int(rows["health"]["arm"][-1])).name.lower()
    said = [f"At {e['t_s']:.3f} s (tick {e['tick']}) it stopped: {e['sentence']}" for e in events]
    if not said:
        said = [f"It never stopped by itself: the log ends in state {state}."]
    if state not in ("armed", "safe"):
        said += [f"At its end it would not arm: {text}." for text in _blockers(rows)]
    if state == "armed" and log.header.get("source") == "run":  # a simulated run ends armed
        said.append("The log ends while armed: the loop or the recorder was killed, or the power went.")
    last = events[-1]["fault"] if events else ""
    return {"source": str(path), "state": state, "fault": last, "faults": events, "says": said}


def _event(row: np.void, before: np.void, start_ns: int) -> dict[str, Any]:
    code = int(row["health"]["fault"])
    return {
        "t_s": round((int(row["t_ns"]) - start_ns) * 1e-9, 3),
        "tick": int(row["tick"]),
        "fault": faults.Code(code).name.lower(),
        "sentence": faults.sentence(code),
        "joint_deg": [round(float(np.degrees(a)), 1) for a in row["nav"]["joint_angle_est"]],
        "limits_before": faults.limit_names(int(before["health"]["limits"])),
    }


def _blockers(rows: np.ndarray) -> list[str]:
    return faults.blocker_sentences(int(rows["health"]["blockers"][-1]), faults.fault_now_of(rows[-1]))


def newest_log(place: Path) -> Path:
    """A log file itself, or the newest in a folder. Raises UsageError where there is none."""
    if place.is_file():
        return place
    found = sorted(place.glob("*.mcap"), key=lambda path: path.stat().st_mtime_ns) if place.is_dir() else []
    if not found:
        raise UsageError(f"There is no log at {place}. Name a log, or the folder given to `gimbal run --log`.")
    return found[-1]


def why_command(args: Namespace) -> int:
    """``gimbal why [LOG]``: from the log where one is named, else from the daemon."""
    check_writable(None if args.json == "-" else args.json, "--json")
    if args.log:
        answer = of_log(newest_log(Path(args.log)))
    else:
        from gimbal.ctl import Client
        from gimbal.daemon import instance

        try:
            path = instance.find_socket(args.rig)
        except UsageError as error:
            raise UsageError(f"{error} Or name the log of the flight: `gimbal why logs`.") from None
        answer = of_status(Client(path).request({"verb": "status"})["status"])
    if args.json == "-":
        print(json.dumps(answer, indent=1))
        return 0
    if args.json:
        Path(args.json).write_text(json.dumps(answer, indent=1) + "\n")
    print("\n".join(answer["says"]))
    return 0
