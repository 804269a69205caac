"""The recorder: a process of its own that reads the rings and writes the log. It may die; the loop doesn't notice.

Every quarter of a second what has come is written as chunks and synced to the disk, so a kill or a power cut loses
less than half a second. SIGTERM, or the end of the loop, drains the ring and closes the file. What went wrong is a
sentence in its status record, which the daemon shows.
"""

from __future__ import annotations

import enum
import os
import pickle
import signal
import subprocess
import sys
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from gimbal.errors import GimbalError
from gimbal.telemetry.log_writer import MIN_FREE_BYTES, LogError, LogWriter
from gimbal.telemetry.ring import RingReader, RingWriter
from gimbal.telemetry.shm import SegmentMissing

FLUSH_S = 0.25  # written and synced this often; with the poll and the sync itself, under 0.5 s is ever at stake
POLL_S = 0.02
NICE = 5
MESSAGE_BYTES = 600


class RecorderState(enum.IntEnum):
    """STATUS.state."""

    STARTING = 0
    RECORDING = 1
    CLOSED = 2  # ended as asked; the log is complete
    STOPPED = 3  # ended by a problem; ``message`` says which, what is in the log is readable


STATUS = np.dtype(
    [
        ("state", "i4"),  # RecorderState
        ("pid", "i4"),
        ("rows", "u8"),  # on the disk
        ("lost", "u8"),  # rows overwritten before they were read
        ("gaps", "u4"),
        ("bytes", "u8"),
        ("t_ns", "i8"),  # CLOCK_MONOTONIC of this record
        ("message", f"S{MESSAGE_BYTES}"),  # utf-8
    ],
    align=True,
)


@dataclass
class Job:
    """What to record. ``ticks``, ``states``: names of the loop's rings; ``status``: name for the recorder's own.
    ``params`` one-element array; ``header``, ``attachments`` as LogWriter takes them. The loop may still be compiling:
    its rings are waited for."""

    ticks: str
    states: str
    status: str
    path: str
    header: dict[str, Any]
    params: np.ndarray
    attachments: dict[str, bytes]
    min_free_bytes: int = MIN_FREE_BYTES
    wait_s: float = 120.0


class _Status:
    """The recorder's own little ring with the newest STATUS."""

    def __init__(self, name: str) -> None:
        self._ring = RingWriter(name, STATUS, 4)
        self._record = np.zeros(1, STATUS)
        self._record["pid"] = os.getpid()

    def tell(self, state: RecorderState, message: str = "", *, facts: Mapping[str, int] | None = None) -> None:
        record = self._record
        record["state"], record["t_ns"] = state, time.monotonic_ns()
        for key, value in (facts or {}).items():
            record[key] = value
        if message:
            record["message"] = message.encode()[:MESSAGE_BYTES]
        self._ring.publish(record)

    def close(self) -> None:
        self._ring.close()


def run_recorder(job: Job) -> int:
    """Record until SIGTERM, SIGINT or the end of the ring. Returns 0, or 1 where recording stopped by a problem.

    For a process of its own (it sets signal handlers): ``multiprocessing`` spawn, or ``RecorderProcess``.
    """
    ending: list[int] = []
    signal.signal(signal.SIGTERM, lambda *_: ending.append(1))
    for number in (signal.SIGINT, signal.SIGQUIT, signal.SIGHUP):  # they reach the whole group: the daemon decides
        signal.signal(number, signal.SIG_IGN)
    status = _Status(job.status)
    status.tell(RecorderState.STARTING)
    log = None
    try:
        states = _wait_for(job, job.states, ending)
        ticks = _wait_for(job, job.ticks, ending)
        log = LogWriter(
            job.path,
            job.header,
            params=job.params,
            tick_dtype=ticks.dtype,
            state_dtype=states.dtype,
            attachments=job.attachments,
            min_free_bytes=job.min_free_bytes,
        )
        _record(log, ticks, states, status, ending)
        log.close()
    except (GimbalError, OSError) as error:
        if log is not None:
            log.abandon(str(error))
        status.tell(RecorderState.STOPPED, str(error))
        print(str(error), file=sys.stderr, flush=True)
        _linger(job.ticks, ending)
        status.close()
        return 1
    status.tell(RecorderState.CLOSED, facts={"rows": log.synced_rows, "bytes": log.size})
    status.close()
    return 0


def _wait_for(job: Job, name: str, ending: list[int]) -> RingReader:
    end = time.monotonic() + job.wait_s
    while True:
        try:
            return RingReader(name, start="oldest", may_request=name == job.ticks)
        except SegmentMissing:
            if ending or time.monotonic() > end:
                raise
            time.sleep(POLL_S)


def _record(log: LogWriter, ticks: RingReader, states: RingReader, status: _Status, ending: list[int]) -> None:
    gaps = 0
    ticks.request_state()  # joined in mid-run, the rows before the next snapshot could not be replayed
    due = time.monotonic()
    last = False
    while not last:
        last = bool(ending) or ticks.closed()  # looked at before reading: what came before it is still read
        t_ns = _pass(log, ticks, states)
        gaps += _note_gaps(log, ticks, t_ns)
        now = time.monotonic()
        if last or now >= due:
            log.flush()
            facts = {"rows": log.synced_rows, "lost": ticks.lost, "gaps": gaps, "bytes": log.size}
            status.tell(RecorderState.RECORDING, facts=facts)
            due = now + FLUSH_S
        if not last:
            time.sleep(POLL_S)


def _pass(log: LogWriter, ticks: RingReader, states: RingReader) -> int:
    """Rows first, then States: every State that belongs before one of these rows is then at hand, and is written
    first. Returns the newest row's time."""
    rows = ticks.read_new()
    snapshots = states.read_new()
    for k in range(len(snapshots)):
        log.write_state(snapshots[k : k + 1], int(states.tags[k]), _time_of(rows, int(states.tags[k]) - ticks.first))
    log.write_rows(rows, ticks.first)
    return int(rows["t_ns"][-1]) if len(rows) else 0


def _time_of(rows: np.ndarray, k: int) -> int:
    """t_ns of the row a snapshot stands before, for viewers; the nearest where that row is not here."""
    return int(rows["t_ns"][min(max(k, 0), len(rows) - 1)]) if len(rows) else 0


def _note_gaps(log: LogWriter, ticks: RingReader, t_ns: int) -> int:
    """Write each gap down and ask for a State to start the next unbroken stretch from."""
    gaps, ticks.gaps = ticks.gaps, []
    for first, count in gaps:
        log.write_gap(first, count, t_ns)
    if gaps:
        ticks.request_state()
    return len(gaps)


def _linger(name: str, ending: list[int]) -> None:
    """Keep the status readable until the daemon has ended or says so: a reason nobody can read helps nobody."""
    try:
        ticks = RingReader(name)
    except GimbalError:
        return
    while not ending and not ticks.closed():
        time.sleep(0.1)


class RecorderProcess:
    """Starts the recorder as a child process, watches and ends it."""

    def __init__(self, job: Job) -> None:
        """Starts at once."""
        self._name = job.status
        self._status: RingReader | None = None
        command = [sys.executable, "-m", "gimbal.telemetry.recorder"]
        self._child = subprocess.Popen(command, stdin=subprocess.PIPE, stderr=subprocess.PIPE)
        assert self._child.stdin is not None
        self._child.stdin.write(pickle.dumps(job))
        self._child.stdin.close()

    @property
    def pid(self) -> int:
        """Its process id."""
        return self._child.pid

    def status(self) -> Mapping[str, Any]:
        """The newest STATUS as a dict: state (RecorderState), rows, lost, gaps, bytes, message (str)."""
        try:
            if self._status is None:
                self._status = RingReader(self._name)
            record = self._status.latest()
        except SegmentMissing:
            record = None
        if record is None or int(record["pid"][0]) != self.pid:
            self._status = None  # not up yet, or the status of one before
            return {"state": RecorderState.STARTING, "rows": 0, "lost": 0, "gaps": 0, "bytes": 0, "message": ""}
        out = {key: record[key][0].item() for key in ("rows", "lost", "gaps", "bytes")}
        message = record["message"][0].decode("utf-8", "ignore")
        return {**out, "state": RecorderState(int(record["state"][0])), "message": message}

    def wait_started(self, timeout_s: float = 20.0) -> Mapping[str, Any]:
        """Until it records, or has failed: the status then. Poll ``status`` instead where the caller can't wait."""
        end = time.monotonic() + timeout_s
        while time.monotonic() < end:
            status = self.status()
            if status["state"] != RecorderState.STARTING:
                return status
            if self._child.poll() is not None:
                why = self._stderr() or f"the recorder ended with code {self._child.returncode}"
                return {**status, "state": RecorderState.STOPPED, "message": why}
            time.sleep(0.01)
        return self.status()

    def stop(self, timeout_s: float = 10.0) -> int:
        """SIGTERM: it drains the ring, closes the log. Its exit code: 0 good, 1 recording had stopped, -9 killed."""
        if self._child.poll() is None:
            self._child.terminate()
        try:
            code = self._child.wait(timeout_s)
        except subprocess.TimeoutExpired:
            self._child.kill()
            code = self._child.wait()
        self._stderr()
        return code

    def _stderr(self) -> str:
        stream = self._child.stderr
        return "" if stream is None or stream.closed else stream.read().decode(errors="replace").strip()


def log_path(folder: str | Path, rig: str, *, wall_s: float | None = None) -> Path:
    """A new file name in a log folder: rig and UTC time. The folder is made.

    Raises:
        LogError: the folder can't be made or written.
    """
    folder = Path(folder)
    stamp = time.strftime("%Y%m%dT%H%M%SZ", time.gmtime(time.time() if wall_s is None else wall_s))
    try:
        folder.mkdir(parents=True, exist_ok=True)
        if not os.access(folder, os.W_OK):
            raise PermissionError(13, "Permission denied")
    except OSError as error:
        raise LogError(
            f"The log folder {folder} can't be used: {error.strerror or error}. "
            "Name a folder that can be written with --log, or change its permissions."
        ) from error
    path = folder / f"{rig}-{stamp}.mcap"
    for k in range(2, 1000):
        if not path.exists():
            break
        path = folder / f"{rig}-{stamp}-{k}.mcap"
    return path


def main() -> int:
    """``python -m gimbal.telemetry.recorder``: the Job comes pickled on stdin, from the daemon that started it."""
    job = pickle.load(sys.stdin.buffer)
    try:
        os.nice(NICE)
    except OSError:
        pass
    try:
        return run_recorder(job)
    except GimbalError as error:  # another recorder holds the status record
        print(error, file=sys.stderr)
        return 1


if __name__ == "__main__":
    sys.exit(main())
