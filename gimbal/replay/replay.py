"""A log through the shipped step: every command, row and State must come out again, byte for byte.

Each unbroken stretch starts from the State in the log. Only a row's ``timing`` is left out: the process fills it with
what the clock said. Between different CPU types compiled arithmetic may differ in the last bits (fused multiply-add,
vector width): then values are compared within 1e-9, and the result says so.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

import gimbal
from gimbal.errors import GimbalError, UsageError
from gimbal.telemetry import dtypes
from gimbal.telemetry.reader import Log, Segment, open_log

NOT_COMPARED = ("timing",)
TOLERANCE = 1e-9  # absolute below 1, relative above; between CPU types only
BLOCK = 1000  # rows stepped between two comparisons

Step = Callable[[np.ndarray, np.ndarray, np.ndarray, np.ndarray, np.ndarray, np.ndarray], Any]


class OtherVersion(UsageError):
    """The log's records aren't this version's: both are named."""


@dataclass
class Difference:
    """The first place where log and replay differ. ``where``: "row" or "state" (the State before that row)."""

    index: int
    tick: int
    where: str
    field: str
    logged: Any
    replayed: Any

    def __str__(self) -> str:
        what = "field" if self.where == "row" else "State field"
        return (
            f"tick {self.tick} (row {self.index}), {what} {self.field}: logged {self.logged!r}, got {self.replayed!r}"
        )


@dataclass
class Result:
    """What a replay found. ``rows``: in the log; ``rows_verified``: stepped and compared."""

    log: str
    rows: int = 0
    rows_verified: int = 0
    states_verified: int = 0
    stretches: int = 0
    gaps: list[str] = field(default_factory=list)
    difference: Difference | None = None
    tolerance: float = 0.0
    recovered: str = ""
    notes: list[str] = field(default_factory=list)
    seconds: float = 0.0

    @property
    def identical(self) -> bool:
        """True when at least one row was verified and none differed."""
        return self.difference is None and self.rows_verified > 0

    def text(self) -> str:
        """For the terminal, several lines."""
        lines = [f"{self.log}: {self.rows} rows in {self.stretches} unbroken stretches"]
        lines += [f"  gap: {gap}" for gap in self.gaps]
        lines += [f"  {line}" for line in [self.recovered, *self.notes] if line]
        if self.rows - self.rows_verified and self.difference is None:
            lines.append(f"  {self.rows - self.rows_verified} rows not verified: no State stands before them")
        how = f"equal within {self.tolerance:g}" if self.tolerance else "byte-identical"
        if self.difference is not None:
            lines.append(f"DIFFERENT at {self.difference}")
        elif self.rows_verified:
            lines.append(f"identical: {self.rows_verified} rows and {self.states_verified} States {how}")
        else:
            lines.append("NOTHING VERIFIED: the log holds no row that follows a State")
        return "\n".join(lines)


def replay(
    path: str | Path,
    verify: bool = True,
    progress: Callable[[int], None] | None = None,
    *,
    step: Step | None = None,
) -> Result:
    """Re-run a log and compare.

    Args:
        path: the log. verify: False only reads it and counts. progress: called with the rows done, now and then.
        step: the function to run, ``step(params, state, sense, inbox, command, row)``; None is the shipped
        ``gimbal.loop.pipeline.step``, whose PARAMS and STATE the log must then match.

    Raises:
        NotALog, DamagedLog, OtherVersion: the file can't be replayed; the message says why.
    """
    log = open_log(path)
    result = Result(str(path))
    if verify and step is None:
        step = _shipped_step(log)
    if verify:
        _note_origin(log, result)
    started = time.perf_counter()
    machine = _Machine(log, step, result) if verify and step is not None else None
    for segment in log.segments():
        result.stretches += not segment.continues
        result.rows += len(segment.rows)
        if machine is not None and result.difference is None:
            machine.run(segment)
        if progress is not None:
            progress(result.rows)
    result.gaps, result.recovered = [str(gap) for gap in log.gaps], log.recovered
    result.seconds = time.perf_counter() - started
    return result


def _shipped_step(log: Log) -> Step:
    from gimbal.loop.pipeline import PARAMS, STATE, step  # compiles: only when a log is to be run
    from gimbal.records import TICK

    have = {"TICK": log.tick_dtype, "STATE": log.state_dtype, "PARAMS": log.params.dtype}
    want = {"TICK": TICK, "STATE": STATE, "PARAMS": PARAMS}
    ours, theirs = gimbal.__version__, log.header.get("gimbal", "unknown")
    for name, layout in want.items():
        if dtypes.describe(have[name]) != dtypes.describe(layout):
            fields = dtypes.missing_fields(have[name], layout)
            shown = ", ".join(fields[:5]) + (" …" if len(fields) > 5 else "") or "their order"
            raise OtherVersion(
                f"{log.path} was made by gimbal {theirs} and this is gimbal {ours}: the {name} record is not the same "
                f"({shown}). Replay it with the version that made it."
            )
    if theirs != ours:
        raise OtherVersion(
            f"{log.path} was made by gimbal {theirs} and this is gimbal {ours}: the step is another one. "
            "Replay it with the version that made it."
        )
    return step


def _note_origin(log: Log, result: Result) -> None:
    """What about the log's origin bears on the comparison."""
    from gimbal.telemetry.log_writer import environment

    here = environment()
    theirs = log.header.get("cpu")
    if theirs != here["cpu"]:
        result.tolerance = TOLERANCE
        result.notes.append(
            f"made on another CPU type ({theirs}; this is {here['cpu']}): compared within {TOLERANCE:g}, not by bytes"
        )
    if log.header.get("kernels", here["kernels"]) != here["kernels"]:
        result.notes.append(
            f"made by other sources of the same version (kernels {log.header['kernels']}, these {here['kernels']}): "
            "a difference may be the change between them"
        )
    for key in ("numba", "llvmlite"):
        if log.header.get(key) != here[key]:
            result.notes.append(f"made with {key} {log.header.get(key)}, this is {here[key]}: last bits may differ")


class _Machine:
    """Params, State and the step, and where they stand in the log."""

    def __init__(self, log: Log, step: Step, result: Result) -> None:
        self.step, self.result = step, result
        self.params = log.params
        self.state: np.ndarray | None = None
        self.tick_dtype = log.tick_dtype
        self.row_mask = dtypes.byte_mask(log.tick_dtype, NOT_COMPARED)
        self.state_mask = dtypes.byte_mask(log.state_dtype)
        self.command = np.zeros(1, log.tick_dtype["command"])

    def run(self, segment: Segment) -> None:
        """Step over a segment's rows, from its State or on from the last segment's end."""
        if not segment.continues:
            self.state = None
        if segment.state is not None:
            if self.state is not None:
                tick = int(segment.rows["tick"][0])
                self._compare(segment.state, self.state, self.state_mask, segment.first_index, [tick], "state")
                self.result.states_verified += 1
            self.state = _copy(segment.state)
        if self.state is None:
            return
        for at in range(0, len(segment.rows), BLOCK):
            if self.result.difference is not None:
                return
            rows = segment.rows[at : at + BLOCK]
            again = self._step_over(rows)
            self._compare(rows, again, self.row_mask, segment.first_index + at, rows["tick"], "row")
            self.result.rows_verified += len(rows)

    def _step_over(self, rows: np.ndarray) -> np.ndarray:
        """The rows that the step makes of the inputs in ``rows``. Each starts from zeros: a field that the step left
        from the row before would show up as a difference, as it must."""
        sense, inbox = _column(rows, "sense"), _column(rows, "inbox")
        again = np.zeros(len(rows), self.tick_dtype)
        step, params, state, command = self.step, self.params, self.state, self.command
        assert state is not None
        for k in range(len(rows)):
            step(params, state, sense[k : k + 1], inbox[k : k + 1], command, again[k : k + 1])
        return again

    def _compare(
        self, logged: np.ndarray, again: np.ndarray, mask: np.ndarray, index: int, ticks: Any, where: str
    ) -> None:
        a, b = _raw(logged), _raw(again)
        different = (a != b) & mask
        if not different.any():
            return
        if self.result.tolerance:
            different &= _beyond(logged, again, self.result.tolerance)
            if not different.any():
                return
        k, byte = (int(v) for v in np.argwhere(different)[0])
        path, leaf, element = dtypes.field_at(logged.dtype, byte)
        values = [dtypes.value_at(rows[k : k + 1], leaf, element) for rows in (logged, again)]
        self.result.difference = Difference(index + k, int(ticks[k]), where, path, *values)


def _raw(rows: np.ndarray) -> np.ndarray:
    return np.ascontiguousarray(rows).view(np.uint8).reshape(len(rows), -1)


def _copy(record: np.ndarray) -> np.ndarray:
    """A writable copy (as bytes: numpy copies nested records field by field)."""
    return record.view(np.uint8).copy().view(record.dtype)


def _column(rows: np.ndarray, name: str) -> np.ndarray:
    """One sub-record of every row, contiguous."""
    layout, offset = rows.dtype.fields[name][:2]  # type: ignore[index]
    return np.ascontiguousarray(_raw(rows)[:, offset : offset + layout.itemsize]).reshape(-1).view(layout)


def _beyond(logged: np.ndarray, again: np.ndarray, tolerance: float) -> np.ndarray:
    """bool (n, itemsize): bytes of floats that differ by more than the tolerance, and of all other fields."""
    a, b = _raw(logged), _raw(again)
    out = np.ones(a.shape, bool)
    for leaf in dtypes.leaves(logged.dtype):
        if leaf.dtype.kind != "f":
            continue
        part = slice(leaf.offset, leaf.offset + leaf.size)
        x, y = (np.ascontiguousarray(v[:, part]).view(leaf.dtype) for v in (a, b))
        close = np.abs(x - y) <= tolerance * np.maximum(1.0, np.abs(x))
        close |= np.isnan(x) & np.isnan(y)
        out[:, part] = np.repeat(~close, leaf.dtype.itemsize, axis=1)
    return out


def replay_command(args: Any) -> int:
    """``gimbal replay LOG [--verify] [--json FILE]``: prints what it found.

    Returns 0 identical (or, without --verify, readable), 1 different or nothing to verify, 2 not a log or another
    version.
    """
    verify, report = bool(getattr(args, "verify", False)), getattr(args, "json", None)
    try:
        if report:
            _check_writable(report)
        result = replay(args.log, verify, _progress if sys.stderr.isatty() else None)
    except GimbalError as error:
        print(error, file=sys.stderr)
        return error.exit_code
    lines = result.text().splitlines()
    print("\n".join(lines if verify else lines[: 1 + len(result.gaps) + bool(result.recovered)]))
    if report:
        write_json(result, report)
    return 0 if not verify or result.identical else 1


def _check_writable(path: str | Path) -> None:
    try:
        Path(path).open("a").close()
    except OSError as error:
        raise UsageError(
            f"--json {path} can't be written: {error.strerror or error}. Name a file in a folder that can be."
        ) from error


def write_json(result: Result, path: str | Path) -> None:
    """The result as one flat JSON object."""
    import json

    facts = asdict(result) | {"identical": result.identical}
    Path(path).write_text(json.dumps(facts, default=repr, indent=1) + "\n")


def _progress(rows: int) -> None:
    print(f"\r{rows} rows", end="\r", file=sys.stderr, flush=True)
