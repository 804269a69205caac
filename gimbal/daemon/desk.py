"""The daemon's desk: takes requests from clients, puts them in the loop's inbox and answers by what the loop did.

An answer is read off the TICK rows: the row that took the command says whether it was acted on, and why not.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

import numpy as np

from gimbal import faults
from gimbal.daemon import end_process, instance
from gimbal.loop.board import Board, Phase
from gimbal.records import Arm, Mode, TargetSource, TargetStatus, Verb
from gimbal.targeting.track_records import Status
from gimbal.telemetry.inbox import InboxWriter
from gimbal.telemetry.ring import RingReader
from gimbal.telemetry.shm import SharedMemoryError
from gimbal.units import DEG

WAIT_S = 0.5
STOP_WAIT_S = 0.25  # a loop that doesn't take a STOP in this time is ended
STALLED_S = 0.3
LOOK_BACK = 1000  # rows: of these status tells which measurements of the subject were refused
RATE_LIFE_NS = 250_000_000
LIFE_NS = 500_000_000
PATH_WORDS = {"stop": 0, "record": 1, "play": 2}
_VERBS = {
    "arm": Verb.ARM, "disarm": Verb.DISARM, "ack": Verb.ACK, "mode": Verb.MODE, "rate": Verb.RATE, "point": Verb.POINT,
    "trim": Verb.TRIM, "path": Verb.PATH,
}  # fmt: skip
_PHASE_TEXT = {
    Phase.STARTING: "starting",
    Phase.COMPILING: "compiling its kernels",
    Phase.OPENING: "opening its devices",
    Phase.ENDED: "ended",
    Phase.FAILED: "failed",
}


class Refused(Exception):
    """The request is not carried out; the text says why."""


class Desk:
    """One for all clients; every method may be called from several threads."""

    def __init__(self, rig_name: str, config: Any, inbox: InboxWriter, board: Board, pid: int) -> None:
        self.rig_name, self.config, self.inbox, self.board, self.pid = rig_name, config, inbox, board, pid
        self.loop_ended = ""  # what was said when a STOP ended the loop's process

    def handle(self, request: Any, owner: int) -> dict[str, Any]:
        """Answer one request: ``{"ok", "reason"}`` or ``{"ok", "text", …}``. Never raises."""
        try:
            verb = request.get("verb") if isinstance(request, dict) else None
            if verb == "stop":
                return self.stop()
            if verb == "status":
                return {"ok": True, "status": self.status()}
            if verb not in _VERBS:
                known = ", ".join([*_VERBS, "stop", "status"])
                raise Refused(f"the request has no known verb ({verb!r}): send one of {known}")
            return self._command(_VERBS[verb], request, owner)
        except (Refused, SharedMemoryError) as refusal:
            return {"ok": False, "reason": str(refusal)}
        except Exception as error:  # a client's word must end neither its thread nor the daemon
            return {"ok": False, "reason": f"the request could not be answered ({type(error).__name__}: {error})"}

    def _reader(self) -> RingReader:
        phase = Phase(self.board["phase"])
        if phase is not Phase.RUNNING:
            raise Refused(f"the daemon is {_PHASE_TEXT[phase]}: wait for its loop to run")
        try:
            return RingReader(instance.segment(self.rig_name, "tick"))
        except SharedMemoryError as error:
            raise Refused(str(error)) from None

    def stop(self) -> dict[str, Any]:
        """STOP: rung before anything is looked at; acts in the tick that reads it."""
        count = self.inbox.stop()
        reader = self._reader()
        row, _ = self._watch(reader, lambda rows: rows["inbox"]["stop_count"] >= count, STOP_WAIT_S)
        if row is None:
            raise Refused(self._end_loop())
        return {
            "ok": True,
            "text": "stopped: the safe state is latched until `gimbal ctl ack`",
            "tick": int(row["tick"]),
        }

    def _end_loop(self) -> str:
        """The loop took no STOP: end its process, so that the rig is made safe or the devices' watchdogs act."""
        if Phase(self.board["phase"]) is Phase.ENDED:
            return "the loop has ended already, and left the rig safe"
        pid = self.board["pid"]
        said = f"the loop has not ticked for {STOP_WAIT_S:g} s, so STOP did not act in it"
        if not end_process.is_ours(pid):
            return f"{said}, and its process can't be found. CUT THE WIRED STOP"
        how = end_process.end_loop(self.board)
        if how == "ended":
            self.loop_ended = f"{said}; its process {pid} was ended, which leaves the rig safe"
        elif how == "killed":
            self.loop_ended = f"{said}; its process {pid} was killed; {end_process.after_a_kill(self.config)}"
        else:
            return f"{said}, and its process {pid} can't be killed. CUT THE WIRED STOP"
        return self.loop_ended

    def _command(self, verb: Verb, request: dict[str, Any], owner: int) -> dict[str, Any]:
        mode, vector = 0, (0.0, 0.0, 0.0)
        if verb is Verb.MODE:
            mode = self._mode(request.get("mode"))
        elif verb is Verb.RATE:
            vector = self._vector(request.get("rate_deg_s"))
        elif verb is Verb.POINT:
            vector = self._place(request.get("point_N_m"))
        elif verb is Verb.TRIM:
            vector = (*self._trim(request.get("trim_deg")), 0.0)
        elif verb is Verb.PATH:
            vector = self._path(request)
        reader = self._reader()
        before = reader.latest()
        life_ns = RATE_LIFE_NS if verb is Verb.RATE else LIFE_NS
        receipt = self.inbox.send(
            verb, owner=owner, deadline_ns=time.monotonic_ns() + life_ns, mode=mode, vector=vector
        )
        if not receipt.accepted:
            raise Refused(receipt.refused)
        row, previous = self._watch(reader, lambda rows: rows["inbox"]["seq"] == receipt.seq)
        if row is None:
            raise Refused("the loop did not take it in time: a STOP came between, or the loop has stalled")
        if previous is None:
            previous = before[0] if before is not None else row
        return self._answer(verb, row, previous, owner)

    def _mode(self, name: Any) -> int:
        try:
            return int(Mode[str(name).upper()])
        except KeyError:
            raise Refused(f"there is no mode {name!r}: use one of {', '.join(m.name.lower() for m in Mode)}") from None

    def _vector(self, rates: Any) -> tuple[float, float, float]:
        try:
            roll, pitch, yaw = (float(rate) * DEG for rate in rates)
        except (TypeError, ValueError):
            raise Refused(f"rate_deg_s must be three numbers, not {rates!r}") from None
        return roll, pitch, yaw

    @staticmethod
    def _place(point: Any) -> tuple[float, float, float]:
        try:
            north, east, down = (float(metres) for metres in point)
        except (TypeError, ValueError):
            raise Refused(f"point_N_m must be three numbers, metres north, east and down, not {point!r}") from None
        return north, east, down

    @staticmethod
    def _trim(angles: Any) -> tuple[float, float]:
        try:
            right, down = (float(angle) for angle in angles)
        except (TypeError, ValueError):
            raise Refused(f"trim_deg must be two numbers, degrees right and down, not {angles!r}") from None
        if not (abs(right) <= 45.0 and abs(down) <= 45.0):
            raise Refused(f"trim_deg must lie within 45 degrees, not {angles!r}")
        return right * DEG, down * DEG

    @staticmethod
    def _path(request: dict[str, Any]) -> tuple[float, float, float]:
        what, speed = request.get("path"), request.get("speed", 1.0)
        if what not in PATH_WORDS:
            raise Refused(f"path takes one of {', '.join(PATH_WORDS)}, not {what!r}")
        if not isinstance(speed, (int, float)) or not 0.05 <= speed <= 20.0:
            raise Refused(f"the speed of a move is 0.05 to 20 times that of its recording, not {speed!r}")
        return float(PATH_WORDS[what]), float(speed), 0.0

    def _watch(
        self, reader: RingReader, wanted: Callable[[np.ndarray], Any], seconds: float = WAIT_S
    ) -> tuple[Any, Any]:
        """The first row for which ``wanted`` is true and the one before it; None where there is none in time."""
        end, previous = time.monotonic() + seconds, None
        while time.monotonic() < end:
            rows = reader.read_new()
            if len(rows):
                hits = np.flatnonzero(wanted(rows))
                if hits.size:
                    at = int(hits[0])
                    return rows[at], rows[at - 1] if at else previous
                previous = rows[-1]
            elif reader.closed():
                break
            time.sleep(0.0005)
        return None, previous

    def _answer(self, verb: Verb, row: Any, previous: Any, owner: int) -> dict[str, Any]:
        health = row["health"]
        arm = Arm(int(health["arm"]))
        if verb is Verb.ARM and arm is not Arm.ARMED:
            reasons = faults.blocker_sentences(int(health["blockers"]), faults.fault_now_of(row))
            reasons = reasons or [f"it is in state {arm.name.lower()}"]
            raise Refused("; ".join(reasons))
        if verb is Verb.ACK and arm is Arm.SAFE:
            now = faults.fault_now_of(row)
            if not now:
                raise Refused("a STOP came at the same moment: acknowledge again")
            raise Refused(f"the cause is still there: {faults.sentence(now)}")
        if int(health["commands_refused"]) > int(previous["health"]["commands_refused"]):
            holder = int(row["goal"]["owner"])
            if holder not in (0, owner):
                raise Refused(f"client {holder} has control: it must fall silent first, or press STOP")
            raise Refused("it came too late, or this mode needs more than a word")
        return {"ok": True, "text": self._said(verb, row, arm), "tick": int(row["tick"])}

    @staticmethod
    def _said(verb: Verb, row: Any, arm: Arm) -> str:
        if verb is Verb.MODE:
            mode = Mode(int(row["goal"]["mode"])).name.lower()
            reason = int(row["goal"]["reason"])
            return f"mode {mode}" + (f" for now: {faults.sentence(reason)}" if reason else "")
        if verb is Verb.RATE:
            return f"rate, for {RATE_LIFE_NS // 1_000_000} ms"
        if verb is Verb.POINT:
            return "point taken: mode point looks at it"
        if verb is Verb.TRIM:
            return "framing trimmed"
        if verb is Verb.PATH:
            return "taken"
        return f"state {arm.name.lower()}"

    def status(self) -> dict[str, Any]:
        """What ``gimbal ctl status`` shows, and tests read."""
        import json

        board, status = self.board, _EMPTY_STATUS.copy()
        report = json.loads(board.report or "{}")
        status |= {
            "rig": self.rig_name, "pid": self.pid, "rt_pid": board["pid"], "ticks": board["ticks"],
            "overruns": board["overruns"], "skipped": board["skipped"], "unsent": board["unsent"],
            "rt": report.get("line", ""), "devices": report.get("devices", {}),
        }  # fmt: skip
        try:
            reader = self._reader()
        except Refused:
            status["state"] = Phase(board["phase"]).name.lower()
            return status
        row = reader.latest()
        if row is None:
            return status
        reader.next_index = max(reader.first - LOOK_BACK, 0)
        status["measurements_refused"] = refused_measurements(reader.read_new(LOOK_BACK))
        age_s = 1e-9 * (time.monotonic_ns() - int(row[0]["t_ns"]))
        return status | row_status(row[0]) | {"stalled_s": round(age_s, 2) if age_s > STALLED_S else 0.0}


_EMPTY_STATUS: dict[str, Any] = {
    "state": "boot", "mode": "off", "owner": 0, "fault": "", "fault_text": "", "blockers": [], "limits": [],
    "fault_now": "", "fault_now_text": "", "stalled_s": 0.0,
    "link_lost": 0, "joint_deg": [0.0] * 3, "rate_deg_s": [0.0] * 3, "command_mode": [0] * 3, "tick": 0,
    "mode_reason": "", "target": "none", "target_source": "none", "target_range_m": 0.0, "measurements_refused": [],
}  # fmt: skip


def refused_measurements(rows: np.ndarray) -> list[str]:
    """Why, in these TICK rows, measurements of the subject weren't used: names of tracker statuses."""
    seen = {Status(int(code)) for code in np.unique(rows["target"]["fix_status"])}
    return [status.name.lower() for status in sorted(seen - {Status.ACCEPTED, Status.PENDING})]


def row_status(row: Any) -> dict[str, Any]:
    """The part of the status that one TICK row gives."""
    health, fault, now = row["health"], int(row["health"]["fault"]), faults.fault_now_of(row)
    return {
        "state": Arm(int(health["arm"])).name.lower(),
        "mode": Mode(int(row["goal"]["mode"])).name.lower(),
        "owner": int(row["goal"]["owner"]),
        "fault": faults.Code(fault).name.lower() if fault else "",
        "fault_text": faults.sentence(fault) if fault else "",
        "fault_now": faults.Code(now).name.lower() if now else "",
        "fault_now_text": faults.sentence(now) if now else "",
        "blockers": faults.blocker_sentences(int(health["blockers"]), now),
        "limits": faults.limit_names(int(health["limits"])),
        "link_lost": int(row["sense"]["link_lost"]),
        "joint_deg": [float(a / DEG) for a in row["nav"]["joint_angle_est"]],
        "rate_deg_s": [float(w / DEG) for w in row["nav"]["omega_NC_C_est"]],
        "command_mode": [int(m) for m in row["command"]["mode"]],
        "tick": int(row["tick"]),
        "mode_reason": faults.sentence(int(row["goal"]["reason"])) if row["goal"]["reason"] else "",
        "target": TargetStatus(int(row["target"]["status"])).name.lower(),
        "target_source": TargetSource(int(row["target"]["source"])).name.lower(),
        "target_range_m": round(float(row["target"]["range_m"]), 1),
    }
