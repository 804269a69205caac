"""Reads logs: header, parameters, and the rows in segments that each start from a State. Also logs that were cut."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from mcap import records
from mcap.opcode import Opcode

from gimbal.errors import UsageError
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
from gimbal.telemetry.mcap_file import MAGIC, Damaged, Record, chunk_bytes, parse, read_records


class NotALog(UsageError):
    """The file is no log of this program, or of a version this one can't read."""


class DamagedLog(UsageError):
    """The log's beginning is damaged: nothing can be read from it."""


@dataclass
class Segment:
    """Unbroken rows and the State before the first of them.

    ``state``: one-element array, or None where rows begin without one (after a gap, until the next snapshot).
    ``continues``: the rows follow the last segment's without a break, so its end must equal this ``state``.
    """

    first_index: int
    state: np.ndarray | None
    rows: np.ndarray
    continues: bool


@dataclass
class Gap:
    """Rows that are not in the log: ``count`` from index ``first_index``."""

    first_index: int
    count: int

    def __str__(self) -> str:
        return f"{self.count} rows missing from row {self.first_index} on"


@dataclass
class Log:
    """An opened log. ``header``: facts of the run; ``params``: one-element array; ``attachments``: name -> bytes.

    ``gaps`` and ``recovered`` are complete once the rows have been read: ``recovered`` says what was found where the
    file was cut or is damaged further in, or is "".
    """

    path: Path
    header: dict[str, Any]
    params: np.ndarray
    tick_dtype: np.dtype
    state_dtype: np.dtype
    attachments: dict[str, bytes]
    gaps: list[Gap] = field(default_factory=list)
    recovered: str = ""

    def segments(self) -> Iterator[Segment]:
        """Rows in order, about a second at a time, split where a State or a gap lies; constant memory."""
        reader = _Rows(self)
        for rows, first in reader.blocks():
            yield from reader.split(rows, first)

    def stretches(self) -> Iterator[Segment]:
        """The unbroken stretches whole: the State at its start and all its rows. For logs that fit in memory."""
        parts: list[Segment] = []
        for segment in self.segments():
            if parts and not segment.continues:
                yield _joined(parts)
                parts = []
            parts.append(segment)
        if parts:
            yield _joined(parts)

    def rows(self) -> np.ndarray:
        """Every row of the log, (n,)."""
        blocks = [s.rows.view(("V", self.tick_dtype.itemsize)) for s in self.segments()]
        return np.concatenate(blocks).view(self.tick_dtype) if blocks else np.zeros(0, self.tick_dtype)


def open_log(path: str | Path) -> Log:
    """Opens a log and reads what stands before its rows.

    Raises:
        NotALog: not one of ours, or of another log format (both are named).
        DamagedLog: its beginning is damaged or missing.
    """
    path = Path(path)
    head = _head(path)
    end = f"{path} holds no rows that can be read."
    values = head.metadata.get("gimbal", {})
    version = values.get("log_format", "none")
    if version != str(LOG_FORMAT):
        raise NotALog(
            f"{path} has log format {version}, made by gimbal {values.get('gimbal', 'unknown')}; this program reads "
            f"log format {LOG_FORMAT}. Open it with the version that made it."
        )
    try:
        layouts = {k: dtypes.build(v) for k, v in json.loads(head.attachments["layouts.json"]).items()}
        params = np.frombuffer(head.attachments["params.bin"], layouts["params"]).copy()
        tick, state = layouts["tick"], layouts["state"]
        header = json.loads(head.attachments["header.json"])
    except (KeyError, ValueError, TypeError) as error:
        raise DamagedLog(
            f"{end} The description of its records is damaged ({error}). Use a copy of the log."
        ) from error
    return Log(path, header, params, tick, state, head.attachments)


@dataclass
class _Head:
    metadata: dict[str, dict[str, str]]
    attachments: dict[str, bytes]


def _head(path: Path) -> _Head:
    """Everything up to the first channel."""
    head, seen = _Head({}, {}), None
    try:
        with path.open("rb") as file:
            if file.read(len(MAGIC)) != MAGIC:
                raise NotALog(f"{path} is not a log: it doesn't begin as an MCAP file. Give a .mcap file of 'gimbal'.")
            for record in read_records(file):
                if seen is None:
                    seen = parse(records.Header, record.content)
                    if record.opcode != Opcode.HEADER or seen.profile != PROFILE:
                        raise NotALog(
                            f"{path} is an MCAP file of another program (profile '{seen.profile}', library "
                            f"'{seen.library}'), not a log of gimbal. Give a log made with --log."
                        )
                elif record.opcode == Opcode.METADATA:
                    metadata = parse(records.Metadata, record.content)
                    head.metadata[metadata.name] = metadata.metadata
                elif record.opcode == Opcode.ATTACHMENT:
                    attachment = parse(records.Attachment, record.content)
                    head.attachments[attachment.name] = bytes(attachment.data)
                elif record.opcode in (Opcode.CHANNEL, Opcode.SCHEMA, Opcode.DATA_END):
                    return head
    except OSError as error:
        raise NotALog(f"{path} can't be read: {error.strerror or error}. Give the path of a .mcap log.") from error
    except Damaged as error:
        what = "was cut before anything was logged" if error.cut else f"is damaged {error}"
        raise DamagedLog(f"The log {path} {what}; nothing can be recovered from it. Record again.") from error
    except Exception as error:  # the mcap package parses small records: what damage makes it raise is not listed
        if isinstance(error, UsageError):
            raise
        raise DamagedLog(f"The log {path} is damaged at its beginning ({error!r}). Use a copy of it.") from error
    return head


class _Rows:
    """Walks the chunks of a log once."""

    def __init__(self, log: Log) -> None:
        self.log = log
        self.tick = RowCodec(log.tick_dtype, "Tick", 1)
        self.state = RowCodec(state_record(log.state_dtype), "State", 2)
        self.gap = RowCodec(GAP, "Gap", 3)
        self.state_hash = dtypes.dtype_hash(log.state_dtype)
        self.states: dict[int, np.ndarray] = {}
        self.next_index: int | None = None
        self.read = self.damaged = 0
        log.gaps.clear()
        log.recovered = ""

    def blocks(self) -> Iterator[tuple[np.ndarray, int]]:
        """(rows, index of the first) of each chunk of rows, cut where indices jump; collects States on the way."""
        channels: dict[int, str] = {}
        with self.log.path.open("rb") as file:
            try:
                for record in read_records(file):
                    if record.opcode == Opcode.CHANNEL:
                        channel = parse(records.Channel, record.content)
                        channels[channel.id] = channel.topic
                        self._check(channel)
                    elif record.opcode == Opcode.CHUNK:
                        yield from self._chunk(record, channels)
            except Damaged as error:
                self._say_recovered(error)
                return
        if self.damaged:
            self._say_recovered(None)

    def _check(self, channel: records.Channel) -> None:
        codecs = {TICK_TOPIC: self.tick, STATE_TOPIC: self.state, GAP_TOPIC: self.gap}
        codec = codecs.get(channel.topic)
        if codec and channel.metadata.get("dtype_hash") != f"{dtypes.dtype_hash(codec.dtype):016x}":
            raise DamagedLog(
                f"The log {self.log.path} says of {channel.topic} that it has another layout than the one described: "
                "it is damaged or was edited. Use the original."
            )

    def _chunk(self, record: Record, channels: dict[int, str]) -> Iterator[tuple[np.ndarray, int]]:
        try:
            data = chunk_bytes(record)
        except Damaged:
            self.damaged += 1  # its rows show up as a gap; the records after it are whole
            return
        topic = channels.get(int.from_bytes(data[9:11], "little"), "")
        try:
            if topic == TICK_TOPIC:
                rows, headers = self.tick.decode(data)
                yield from self._unbroken(rows, headers["seq"].astype(np.int64))
            elif topic == STATE_TOPIC:
                for snapshot in self.state.decode(data)[0]:
                    if snapshot["dtype_hash"] == self.state_hash:
                        raw = np.ascontiguousarray(snapshot["data"])
                        self.states[int(snapshot["index"])] = raw.view(self.log.state_dtype)
        except ValueError as error:
            raise Damaged(record.at, str(error)) from error

    def _unbroken(self, rows: np.ndarray, seq: np.ndarray) -> Iterator[tuple[np.ndarray, int]]:
        starts = [0, *(np.flatnonzero(np.diff(seq) % (1 << 32) != 1) + 1).tolist(), len(rows)]
        for a, b in zip(starts[:-1], starts[1:], strict=True):
            base = self.next_index or 0
            first = base + (int(seq[a]) - base) % (1 << 32)  # the file has the low 32 bits
            self.read += b - a
            yield rows[a:b], first

    def split(self, rows: np.ndarray, first: int) -> Iterator[Segment]:
        """One block of unbroken rows at the States that lie in it."""
        continues = first == self.next_index
        if not continues and (first > 0 or self.next_index is not None):
            known = self.next_index or 0
            self.log.gaps.append(Gap(known, first - known))
        end = first + len(rows)
        cuts = sorted(k for k in self.states if first <= k < end)
        edges = [first, *(k for k in cuts if k != first), end]
        for a, b in zip(edges[:-1], edges[1:], strict=True):
            yield Segment(a, self.states.get(a), rows[a - first : b - first], continues)
            continues = True
        self.next_index = end
        self.states = {k: v for k, v in self.states.items() if k >= end}

    def _say_recovered(self, error: Damaged | None) -> None:
        what = []
        if self.damaged:
            what.append(f"has {self.damaged} damaged chunks, left out as gaps")
        if error is not None and error.cut:
            what.append("ends without its last part (its writer was killed, the power failed, or the disk was full)")
        elif error is not None:
            what.append(f"is damaged {error}")
        self.log.recovered = f"The log {self.log.path} {' and '.join(what)}; {self.read} rows were recovered."


def _joined(parts: list[Segment]) -> Segment:
    size = parts[0].rows.dtype
    raw = np.concatenate([np.ascontiguousarray(p.rows).view(("V", size.itemsize)) for p in parts])
    return Segment(parts[0].first_index, parts[0].state, raw.view(size), parts[0].continues)
