"""Writes a log: rows, State snapshots and gaps into an MCAP file, in this process.

Lock-step simulation uses it directly; the recorder process feeds it from the rings. What the file holds and why is in
docs/log-format.md.
"""

from __future__ import annotations

import contextlib
import json
import os
import platform
import time
from collections.abc import Mapping
from importlib import metadata
from pathlib import Path
from typing import Any

import numpy as np

import gimbal
from gimbal.errors import GimbalError
from gimbal.kernels.sources import source_hash
from gimbal.records import TICK
from gimbal.telemetry import dtypes
from gimbal.telemetry.log_format import (
    GAP,
    GAP_TOPIC,
    LOG_FORMAT,
    PROFILE,
    STATE_TOPIC,
    TICK_TOPIC,
    RowCodec,
    state_record,
)
from gimbal.telemetry.mcap_file import McapWriter

BLOCK = 256  # rows a chunk holds in lock-step use
STATE_EVERY = 1000  # ticks between State snapshots
MIN_FREE_BYTES = 32 << 20  # below this a disk counts as full: room is left for the file's end, and for others


class LogError(GimbalError):
    """A log can't be started or continued: one paragraph with the cause and the next step."""


def cpu_type() -> str:
    """What decides the bits of compiled arithmetic: LLVM's name of this CPU and its vector features."""
    try:
        from llvmlite import binding

        features = binding.get_host_cpu_features()
        wide = [f for f in ("fma", "avx2", "avx512f") if features.get(f)]
        return "+".join([binding.get_host_cpu_name(), *wide])
    except (ImportError, RuntimeError):
        return platform.processor() or platform.machine()


def environment() -> dict[str, str]:
    """Versions, hash of the kernels' sources and CPU type for a log's header."""
    versions = {"gimbal": gimbal.__version__}
    for package in ("numpy", "numba", "llvmlite"):
        try:
            versions[package] = metadata.version(package)
        except metadata.PackageNotFoundError:
            versions[package] = "not installed"
    versions["kernels"] = source_hash()
    return {**versions, "python": platform.python_version(), "machine": platform.machine(), "cpu": cpu_type()}


def clock_pair() -> dict[str, int]:
    """The same moment on the monotonic and the wall clock, ns: the only place where a log meets the wall clock."""
    return {"mono_ns": time.monotonic_ns(), "wall_ns": time.time_ns()}


class LogWriter:
    """One log file.

    Rows come by ``append`` (one, from a lock-step loop) or ``write_rows`` (many, from the ring). A State snapshot
    belongs before the row with its index: write it before that row is flushed. Every method raises LogError when the
    disk won't take it; what was written before stays readable.
    """

    def __init__(
        self,
        path: str | Path,
        header: Mapping[str, Any],
        *,
        params: np.ndarray,
        state_dtype: np.dtype,
        tick_dtype: np.dtype = TICK,
        attachments: Mapping[str, bytes] | None = None,
        min_free_bytes: int = MIN_FREE_BYTES,
    ) -> None:
        """Start a new file; an existing one is never overwritten.

        Args:
            path: the file to make. header: JSON-able facts; ``config_hash`` belongs there, the wall-clock pair of
            ``clock_pair()`` for a real run, and ``environment()`` unless it is in it. params: one-element array of
            the PARAMS dtype. attachments: name -> content, as rig.toml, scenario.toml, calibration.toml.
        """
        self.path = Path(path)
        self.rows = 0  # rows handed in, flushed or not
        self.synced_rows = 0
        self._tick_dtype, self._state_dtype, self._min_free = tick_dtype, state_dtype, min_free_bytes
        facts = {**({} if "cpu" in header else environment()), "log_format": LOG_FORMAT, **header}
        self._offset = int(facts.get("wall_ns", 0)) - int(facts.get("mono_ns", 0))
        self._next = 0
        self._block = np.zeros(BLOCK, ("V", tick_dtype.itemsize))
        self._block_bytes = self._block.view(np.uint8).reshape(BLOCK, -1)
        self._filled = 0
        self._row: Any = None
        self._pending: list[tuple[int, np.ndarray]] = []
        self._closed = False
        self._begin(facts, params, dict(attachments or {}))

    def _begin(self, facts: dict[str, Any], params: np.ndarray, attachments: dict[str, bytes]) -> None:
        try:
            library = f"gimbal-host {facts.get('gimbal', '')}".strip()
            self._file = McapWriter(self.path, PROFILE, library)
        except OSError as error:
            raise LogError(self._sentence("can't be started", error)) from error
        layouts = {"tick": self._tick_dtype, "state": self._state_dtype, "params": params.dtype}
        text = json.dumps({k: dtypes.describe(v) for k, v in layouts.items()}).encode()
        self._tick = RowCodec(self._tick_dtype, "Tick", 1)
        self._state = RowCodec(state_record(self._state_dtype), "State", 2)
        self._gap = RowCodec(GAP, "Gap", 3)
        try:
            self._check_space("can't be started")
            values = {k: v if isinstance(v, str) else json.dumps(v) for k, v in facts.items()}
            self._file.add_metadata("gimbal", values)
            self._file.attach("header.json", "application/json", json.dumps(facts).encode())
            self._file.attach("layouts.json", "application/json", text)
            self._file.attach("params.bin", "application/octet-stream", params.tobytes())
            for name, content in attachments.items():
                self._file.attach(name, "application/toml" if name.endswith(".toml") else "", content)
            for topic, codec in ((TICK_TOPIC, self._tick), (STATE_TOPIC, self._state), (GAP_TOPIC, self._gap)):
                layout = {"dtype_hash": f"{dtypes.dtype_hash(codec.dtype):016x}"}
                self._file.add_channel(topic, f"gimbal.{codec.message}", codec.schema(), layout)
            self._file.sync()
        except (OSError, LogError) as error:
            self._file.close()
            self.path.unlink(missing_ok=True)
            if isinstance(error, LogError):
                raise
            raise LogError(self._sentence("can't be started", error)) from error

    def append(self, row: np.ndarray) -> None:
        """The next row, a one-element array. Pass the same array object each time: its buffer is looked up once."""
        if row is not self._row:
            self._row, self._row_bytes = row, row.view(np.uint8)
        self._block_bytes[self._filled] = self._row_bytes
        self._filled += 1
        self.rows += 1
        if self._filled == BLOCK:
            self.flush(sync=False)

    def write(self, row: np.ndarray, state: np.ndarray) -> None:
        """After a lock-step tick: its row, and the State it left, of which every 1000th is kept."""
        self.append(row)
        if self.rows % STATE_EVERY == 0:
            self.write_state(state, t_ns=int(row["t_ns"][0]))

    def write_rows(self, rows: np.ndarray, first_index: int) -> None:
        """Rows (n,) whose first has the ring's index ``first_index``. They are kept until ``flush``."""
        if len(rows):
            self._pending.append((first_index, rows))
            self.rows += len(rows)

    def write_state(self, state: np.ndarray, index: int | None = None, t_ns: int = 0) -> None:
        """The State before row ``index``; None: before the next row of ``append``."""
        record = np.zeros(1, self._state.dtype)
        record["index"] = self._next + self._filled if index is None else index
        record["t_ns"], record["dtype_hash"] = t_ns, dtypes.dtype_hash(self._state_dtype)
        record["data"] = np.ascontiguousarray(state).view(np.uint8)
        self._write(self._state, record, record["index"], np.array([t_ns]))

    def write_gap(self, first_index: int, count: int, t_ns: int = 0) -> None:
        """Note that ``count`` rows from ``first_index`` on were never received."""
        record = np.array([(first_index, count, t_ns)], GAP)
        self._write(self._gap, record, record["first_index"], np.array([t_ns]))

    def flush(self, sync: bool = True) -> None:
        """Rows handed in go to the file, as a chunk each; with ``sync`` they are on the disk on return."""
        if self._filled:
            rows = self._block[: self._filled].view(self._tick_dtype)
            self._write_ticks(rows, self._next)
            self._next += self._filled
            self._filled = 0
        pending, self._pending = self._pending, []
        for first, rows in _merge(pending):
            self._write_ticks(rows, first)
        if sync:
            try:
                self._file.sync()
            except OSError as error:
                raise LogError(self._sentence("has stopped", error)) from error
            self.synced_rows = self.rows

    def _write_ticks(self, rows: np.ndarray, first: int) -> None:
        self._write(self._tick, rows, first + np.arange(len(rows)), rows["t_ns"])

    def _write(self, codec: RowCodec, rows: np.ndarray, seq: np.ndarray, t_ns: np.ndarray) -> None:
        self._check_space("has stopped")
        log_ns = np.maximum(t_ns + self._offset, 0)
        try:
            messages = codec.encode(rows, seq & 0xFFFFFFFF, log_ns, np.maximum(t_ns, 0))
            self._file.write_chunk(codec.channel, messages, log_ns)
        except OSError as error:
            raise LogError(self._sentence("has stopped", error)) from error

    def _check_space(self, what: str) -> None:
        stats = os.fstatvfs(self._file.fileno()) if hasattr(os, "fstatvfs") else None
        if stats and stats.f_bavail * stats.f_frsize < self._min_free:
            free = stats.f_bavail * stats.f_frsize / 1e6
            raise LogError(
                f"The log {self.path} {what}: only {free:.0f} MB are free on its disk, and at least "
                f"{self._min_free / 1e6:.0f} MB must be. {self._kept()} Free space there, or name another folder."
            )

    def _kept(self) -> str:
        return f"The {self.synced_rows} rows already recorded are kept." if self.synced_rows else ""

    def _sentence(self, what: str, error: OSError) -> str:
        reason = error.strerror or str(error)
        return (
            f"The log {self.path} {what}: {reason}. {self._kept()} "
            "Give a folder that exists, is writable and has space, and that holds no log of this name."
        ).replace("  ", " ")

    @property
    def size(self) -> int:
        """Bytes in the file."""
        return self._file.size

    def close(self, reason: str = "closed") -> None:
        """Flush, write the file's end and close it. ``reason`` is kept in the log. Safe to call twice."""
        if self._closed:
            return
        self._closed = True
        try:
            self.flush(sync=False)
            self._finish(reason)
        finally:
            self._file.close()

    def abandon(self, reason: str) -> None:
        """End a log whose disk is full: nothing pending is written, the end only if it fits. Never raises."""
        if not self._closed:
            self._closed = True
            with contextlib.suppress(LogError):
                self._finish(reason)
            self._file.close()

    def _finish(self, reason: str) -> None:
        try:
            self._file.add_metadata("gimbal.end", {"reason": reason, "rows": str(self.rows)})
            self._file.finish()
            self._file.sync()
        except OSError as error:
            raise LogError(self._sentence("has stopped", error)) from error
        self.synced_rows = self.rows

    def __enter__(self) -> LogWriter:
        return self

    def __exit__(self, *exc: object) -> None:
        self.close("closed" if exc[0] is None else "the run ended with an error")


def _merge(pending: list[tuple[int, np.ndarray]]) -> list[tuple[int, np.ndarray]]:
    """Neighbouring blocks of rows joined, so that a flush makes one chunk. Joined as bytes: numpy copies nested
    records field by field."""
    groups: list[tuple[int, list[np.ndarray]]] = []
    end = -1
    for first, rows in pending:
        if first == end:
            groups[-1][1].append(rows)
        else:
            groups.append((first, [rows]))
        end = first + len(rows)
    merged = []
    for first, parts in groups:
        raw = [np.ascontiguousarray(p).view(("V", p.dtype.itemsize)) for p in parts]
        merged.append((first, (np.concatenate(raw) if len(raw) > 1 else raw[0]).view(parts[0].dtype)))
    return merged
