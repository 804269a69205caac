"""``gimbal ctl``: one command to the running daemon over its Unix socket, and its answer.

A line of JSON each way. When the daemon's supervisor process doesn't answer a ``stop`` within a moment, the client
ends the loop process itself, which leaves the rig safe.
"""

from __future__ import annotations

import json
import math
import socket
import sys
from argparse import Namespace
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from gimbal.daemon import end_process, instance
from gimbal.errors import GimbalError, UsageError
from gimbal.loop.board import Board
from gimbal.output import check_writable
from gimbal.records import Mode

VERBS = ("arm", "disarm", "stop", "ack", "mode", "rate", "point", "trim", "path", "status")
MODES = {mode.name.lower(): mode for mode in Mode}
ANSWER_S = 2.0
STOP_ANSWER_S = 1.0  # longer than the desk waits for the loop and then takes to end it
MAX_RATE_DEG_S = 1000.0


def build_request(verb: str, values: Sequence[str]) -> dict[str, Any]:
    """The JSON object for a verb and its words.

    Raises:
        UsageError: unknown verb or mode, wrong number of values, a rate that is no finite number.
    """
    if verb not in VERBS:
        raise UsageError(f"gimbal ctl knows no {verb!r}: use one of {', '.join(VERBS)}.")
    if verb == "mode":
        if len(values) != 1 or values[0].lower() not in MODES:
            given = " ".join(values) or "nothing"
            raise UsageError(
                f"gimbal ctl mode takes one of {', '.join(MODES)}, not {given}. Try `gimbal ctl mode track`."
            )
        return {"verb": "mode", "mode": values[0].lower()}
    if verb == "rate":
        return {"verb": "rate", "rate_deg_s": _rates(values)}
    if verb == "point":
        return {"verb": "point", "point_N_m": _numbers(values, 3, "point takes three numbers, metres north, east and "
                "down of the mount's start", "gimbal ctl point 120 -40 0", 1e5)}  # fmt: skip
    if verb == "trim":
        return {"verb": "trim", "trim_deg": _numbers(values, 2, "trim takes two numbers, degrees right and down",
                "gimbal ctl trim -4 2", 45.0)}  # fmt: skip
    if verb == "path":
        return _path(values)
    if values:
        raise UsageError(f"gimbal ctl {verb} takes no value, but {' '.join(values)!r} was given.")
    return {"verb": verb}


def _numbers(values: Sequence[str], count: int, what: str, example: str, most: float) -> list[float]:
    try:
        numbers = [float(value) for value in values]
    except ValueError:
        numbers = []
    if len(numbers) != count or not all(math.isfinite(n) and abs(n) <= most for n in numbers):
        given = " ".join(values) or "nothing"
        raise UsageError(f"gimbal ctl {what} within {most:g}, not {given}. Example: {example}")
    return numbers


def _path(values: Sequence[str]) -> dict[str, Any]:
    words = ("record", "stop", "play")
    if not values or values[0] not in words or len(values) > (2 if values[0] == "play" else 1):
        raise UsageError(
            f"gimbal ctl path takes record, stop, or play [SPEED], not {' '.join(values) or 'nothing'}. "
            "Example: gimbal ctl path play 0.5"
        )
    speed = (
        _numbers(values[1:], 1, "path play takes a speed", "gimbal ctl path play 0.5", 20.0)[0] if values[1:] else 1.0
    )
    return {"verb": "path", "path": values[0], "speed": speed}


def _rates(values: Sequence[str]) -> list[float]:
    try:
        rates = [float(value) for value in values]
    except ValueError:
        rates = []
    if len(rates) != 3 or not all(math.isfinite(r) and abs(r) <= MAX_RATE_DEG_S for r in rates):
        raise UsageError(
            f"gimbal ctl rate takes three numbers, roll pitch yaw in deg/s within {MAX_RATE_DEG_S:g}, not "
            f"{' '.join(values) or 'nothing'}. Example: gimbal ctl rate 0 5 -10"
        )
    return rates


class Client:
    """A connection to a daemon; ``request`` may be called many times."""

    def __init__(self, path: Path) -> None:
        """Raises GimbalError where nobody listens or the socket belongs to another user."""
        self._path = path
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self._socket.settimeout(ANSWER_S)  # of connect: a stopped daemon's backlog still accepts
        try:
            self._socket.connect(str(path))
        except OSError as error:
            self._socket.close()
            raise GimbalError(
                f"The daemon behind {path} can't be reached ({error.strerror}): it ended, or is another user's. "
                "Start it with `gimbal run RIG`, or run this as its user."
            ) from error
        self._file = self._socket.makefile("rb")

    def request(self, request: dict[str, Any]) -> dict[str, Any]:
        """Send one request and wait for its answer. Raises GimbalError when none comes."""
        try:
            self._socket.settimeout(STOP_ANSWER_S if request["verb"] == "stop" else ANSWER_S)
            self._socket.sendall(json.dumps(request).encode() + b"\n")
            line = self._file.readline()
        except OSError:
            line = b""
        if not line:
            if request["verb"] == "stop":
                return _stop_by_signal(self._path)
            raise GimbalError(
                f"The daemon did not answer {request['verb']!r} within {ANSWER_S:g} s. Look at its console; "
                "if the picture moves unasked, cut motor power with the wired stop."
            )
        return json.loads(line)

    def close(self) -> None:
        self._file.close()
        self._socket.close()


def _stop_by_signal(path: Path) -> dict[str, Any]:
    """The supervisor process hangs: end the loop process, which makes the rig safe as it goes."""
    try:
        board = Board(instance.segment_of_socket(path, "board"))
    except OSError:
        board = None
    pid = 0 if board is None else board["pid"]
    if board is None or not end_process.is_ours(pid):
        raise GimbalError("The daemon hangs and its loop process can't be found. Cut motor power with the wired stop.")
    how = end_process.end_loop(board)
    if how == "ended":
        return {"ok": True, "text": f"the daemon hangs; its loop process {pid} has ended, which leaves the rig safe"}
    was = "was killed, so only the devices' own watchdogs stop the motors" if how == "killed" else "can't be killed"
    return {"ok": False, "reason": f"the daemon hangs and its loop process {pid} {was}. CUT THE WIRED STOP"}


def format_status(status: dict[str, Any]) -> str:
    """The answer to ``status`` as lines for people."""
    loop = f"{status['ticks']} ticks, {status['overruns']} late, {status['skipped']} periods skipped"
    if status["unsent"]:
        loop += f", {status['unsent']} commands a motor line did not take"
    lines = [
        f"rig      {status['rig']} (daemon {status['pid']}, loop {status['rt_pid']})",
        f"state    {status['state']}",
        f"mode     {status['mode']}" + (f" (owner {status['owner']})" if status["owner"] else ""),
        f"loop     {loop}; {status['rt']}",
    ]
    if status["fault"]:
        lines.append(f"fault    {status['fault']}: {status['fault_text']}")
    if status.get("fault_now") and status["fault_now"] != status["fault"]:
        lines.append(f"now      {status['fault_now']}: {status['fault_now_text']}")
    if status.get("stalled_s"):
        lines.append(f"STALLED  the loop has not ticked for {status['stalled_s']:g} s: `gimbal ctl stop` ends it")
    lines += [f"no arm   {reason}" for reason in status["blockers"]]
    if status["limits"]:
        lines.append(f"limits   {', '.join(status['limits'])}")
    if status["mode_reason"]:
        lines.append(f"for now  {status['mode_reason']}")
    if status["target"] != "none":
        lines.append(f"target   {status['target']} ({status['target_source']}), {status['target_range_m']:g} m")
    if status["measurements_refused"]:
        lines.append(f"refused  measurements of the subject: {', '.join(status['measurements_refused'])}")
    angles, rates = status["joint_deg"], status["rate_deg_s"]
    lines.append(f"joints   roll {angles[0]:+.1f}  pitch {angles[1]:+.1f}  yaw {angles[2]:+.1f} deg")
    lines.append(f"rates    roll {rates[0]:+.1f}  pitch {rates[1]:+.1f}  yaw {rates[2]:+.1f} deg/s")
    return "\n".join(lines)


def ctl_command(args: Namespace) -> int:
    """Send ``args.verb`` with ``args.values`` to the daemon of ``args.rig`` (None: the only one). 0 = accepted."""
    request = build_request(args.verb, list(args.values or []))
    check_writable(getattr(args, "json", None), "--json")
    client = Client(instance.find_socket(_rig_name(args.rig)))
    try:
        answer = client.request(request)
    finally:
        client.close()
    if getattr(args, "json", None):
        Path(args.json).write_text(json.dumps(answer, indent=1) + "\n")
    if not answer["ok"]:
        print(f"refused: {answer['reason']}", file=sys.stderr)
        return 1
    print(format_status(answer["status"]) if args.verb == "status" else f"accepted: {answer['text']}")
    return 0


def _rig_name(rig: str | None) -> str | None:
    """A rig is named by its name or by its file: the name inside counts."""
    if rig is None or not (rig.endswith(".toml") or "/" in rig):
        return rig
    from gimbal.config.load import load_rig

    return load_rig(rig).config.name
