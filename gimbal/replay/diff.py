"""Two logs side by side, field by field: what a change of code or tuning did to the same inputs."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from gimbal.telemetry import dtypes
from gimbal.telemetry.reader import Log, open_log


@dataclass
class FieldDiff:
    """One field that differs: in how many rows, by how much at most (None for what isn't a number), where first."""

    field: str
    rows: int
    largest: float | None
    first_tick: int


@dataclass
class LogDiff:
    """Result of ``diff_logs``. ``only_in_one``: fields that only one of the logs has, or with another type."""

    rows: int = 0
    fields: list[FieldDiff] = field(default_factory=list)
    only_in_one: list[str] = field(default_factory=list)
    unmatched_rows: int = 0

    @property
    def identical(self) -> bool:
        """True when all rows were compared and none differ."""
        return self.rows > 0 and not (self.fields or self.only_in_one or self.unmatched_rows)

    def text(self) -> str:
        """For the terminal, largest change first."""
        lines = [f"{self.rows} rows compared, {self.unmatched_rows} in one log only, {len(self.fields)} fields differ"]
        for d in sorted(self.fields, key=lambda d: -(d.largest or 0.0)):
            size = "" if d.largest is None else f", at most {d.largest:.6g}"
            lines.append(f"  {d.field}: {d.rows} rows from tick {d.first_tick}{size}")
        lines += [f"  {name}: only in one of them" for name in self.only_in_one]
        return "\n".join(lines)


def diff_logs(a: str | Path, b: str | Path, *, ignore: tuple[str, ...] = ("timing",)) -> LogDiff:
    """Compare the rows of two logs by their index.

    Args:
        a, b: the logs. ignore: top-level fields of the row that are left out.

    Raises:
        NotALog, DamagedLog.
    """
    logs = open_log(a), open_log(b)
    result = LogDiff()
    changed = dtypes.missing_fields(logs[0].tick_dtype, logs[1].tick_dtype)
    result.only_in_one = [path for path in changed if path.split(".")[0] not in ignore]
    common = _common(logs, ignore, set(changed))
    found: dict[str, FieldDiff] = {}
    for x, y in _matched(_blocks(logs[0]), _blocks(logs[1]), result):
        result.rows += len(x)
        if x.dtype == y.dtype and x.tobytes() == y.tobytes():
            continue
        for first, second in common:
            _compare(x, y, first, second, found)
    result.fields = list(found.values())
    return result


def _common(logs: tuple[Log, Log], ignore: tuple[str, ...], changed: set[str]) -> list[tuple[dtypes.Leaf, dtypes.Leaf]]:
    theirs = {leaf.path: leaf for leaf in dtypes.leaves(logs[1].tick_dtype)}
    leaves = [leaf for leaf in dtypes.leaves(logs[0].tick_dtype) if leaf.path not in changed]
    return [(leaf, theirs[leaf.path]) for leaf in leaves if leaf.path.split(".")[0] not in ignore]


def _blocks(log: Log) -> Iterator[tuple[int, np.ndarray]]:
    for segment in log.segments():
        yield segment.first_index, segment.rows


def _matched(
    a: Iterator[tuple[int, np.ndarray]], b: Iterator[tuple[int, np.ndarray]], result: LogDiff
) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """Pairs of equally long blocks with the same indices; rows of one log only are counted."""
    left, right = next(a, None), next(b, None)
    while left is not None and right is not None:
        (i, x), (j, y) = left, right
        start = max(i, j)
        skip_x, skip_y = min(start - i, len(x)), min(start - j, len(y))
        result.unmatched_rows += skip_x + skip_y
        x, y = x[skip_x:], y[skip_y:]
        n = min(len(x), len(y))
        if n:
            yield x[:n], y[:n]
        left = (start + n, x[n:]) if len(x) > n else next(a, None)
        right = (start + n, y[n:]) if len(y) > n else next(b, None)
    for rest, iterator in ((left, a), (right, b)):
        while rest is not None:
            result.unmatched_rows += len(rest[1])
            rest = next(iterator, None)


def _compare(
    x: np.ndarray, y: np.ndarray, first: dtypes.Leaf, second: dtypes.Leaf, found: dict[str, FieldDiff]
) -> None:
    u, v = _values(x, first), _values(y, second)
    differs = (u.view(np.uint8) != v.view(np.uint8)).any(axis=1)
    if not differs.any():
        return
    with np.errstate(invalid="ignore", over="ignore"):
        largest = float(np.nanmax(np.abs(u.astype(float) - v.astype(float)), initial=0.0))
    tick = int(x["tick"][int(np.flatnonzero(differs)[0])])
    entry = found.setdefault(first.path, FieldDiff(first.path, 0, 0.0, tick))
    entry.rows += int(differs.sum())
    entry.largest = max(entry.largest or 0.0, largest)


def _values(rows: np.ndarray, leaf: dtypes.Leaf) -> np.ndarray:
    """(n, k) contiguous values of a field."""
    raw = np.ascontiguousarray(rows).view(np.uint8).reshape(len(rows), -1)
    return np.ascontiguousarray(raw[:, leaf.offset : leaf.offset + leaf.size]).view(leaf.dtype)
