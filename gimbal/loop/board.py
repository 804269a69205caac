"""The board: one page of shared memory where the real-time process shows how far it is and how well it keeps time.

One writer per field and no lock: the real-time process writes everything but ``stop`` and ``go``, which
belong to the supervisor process. Readers may see a histogram in the middle of a tick; they only ever sum it.
"""

from __future__ import annotations

import enum
import mmap
import os
from pathlib import Path

import numpy as np

BINS = 20_000  # 1 us each; the bin after the last takes everything longer
SHM = Path("/dev/shm")


class Phase(enum.IntEnum):
    """How far the real-time process is. FAILED and ENDED are final; ``message`` then says why."""

    STARTING = 0
    COMPILING = 1
    OPENING = 2
    RUNNING = 3
    ENDED = 4
    FAILED = 5


_HISTOGRAM = np.dtype([("bins", "i8", BINS + 1), ("max_ns", "i8")])

BOARD = np.dtype(
    [
        ("phase", "i4"),
        ("exit_code", "i4"),
        ("pid", "i8"),
        ("stop", "u8"),  # not zero: leave the loop and make the rig safe
        ("go", "u8"),  # not zero: the ports are there, open them
        ("compiled", "i8"),  # kernels compiled so far, during COMPILING
        ("ticks", "i8"),
        ("skipped", "i8"),  # whole periods passed over
        ("unsent", "i8"),  # ticks whose COMMAND a motor line did not take whole
        ("overruns", "i8"),  # ticks that finished after the next deadline
        ("start_cpu_ns", "i8"),  # CPU time of the process when the loop began
        ("message", "S4000"),
        ("report", "S4000"),  # JSON of realtime.Report
        ("wake", _HISTOGRAM),  # deadline to wake-up
        ("work", _HISTOGRAM),  # wake-up to row published
        ("latency", _HISTOGRAM),  # newest IMU sample to motor bytes written
        ("written", _HISTOGRAM),  # deadline to motor bytes written
    ],
    align=True,
)
HISTOGRAMS = ("wake", "work", "latency", "written")


class Histogram:
    """Adds durations in ns to 1 us bins without allocating."""

    __slots__ = ("bins", "tail", "largest")

    def __init__(self, record: np.ndarray) -> None:
        self.bins = record["bins"].reshape(-1).view(np.int64).data
        self.tail = record["max_ns"].data
        self.largest = int(record["max_ns"][0])

    def add(self, duration_ns: int) -> None:
        index = duration_ns // 1000
        self.bins[index if 0 <= index < BINS else (BINS if index > 0 else 0)] += 1
        if duration_ns > self.largest:
            self.largest = self.tail[0] = duration_ns


def percentiles(record: np.ndarray) -> dict[str, float] | None:
    """``{"p50", "p99", "p99_9", "max"}`` in us of a histogram record, None when it is empty."""
    bins = np.asarray(record["bins"]).reshape(-1)
    total = int(bins.sum())
    if total == 0:
        return None
    below = np.cumsum(bins)
    largest = float(np.asarray(record["max_ns"]).reshape(-1)[0]) / 1000.0
    result = {}
    for name, share in (("p50", 0.5), ("p99", 0.99), ("p99_9", 0.999)):
        result[name] = min(float(np.searchsorted(below, share * total)) + 0.5, largest)
    return result | {"max": largest}


class Board:
    """Creates or attaches to a board in /dev/shm.

    Args:
        name: file name in /dev/shm.
        create: make it (fails if it exists) instead of attaching.
    """

    def __init__(self, name: str, *, create: bool = False) -> None:
        self.path = SHM / name
        flags = os.O_RDWR | os.O_CLOEXEC | ((os.O_CREAT | os.O_EXCL) if create else 0)
        descriptor = os.open(self.path, flags, 0o600)
        try:
            if create:
                os.ftruncate(descriptor, BOARD.itemsize)
            self._map = mmap.mmap(descriptor, BOARD.itemsize)
        finally:
            os.close(descriptor)
        self.record = np.frombuffer(self._map, BOARD, 1)
        if create:
            self.record.view(np.uint8)[:] = 0  # touches every page: none is faulted in inside the loop

    def __getitem__(self, field: str) -> int:
        return int(self.record[field][0])

    def __setitem__(self, field: str, value: int) -> None:
        self.record[field][0] = value

    @property
    def message(self) -> str:
        return bytes(self.record["message"][0]).decode(errors="replace")

    @message.setter
    def message(self, text: str) -> None:
        self.record["message"][0] = text.encode()[:3999]

    @property
    def report(self) -> str:
        return bytes(self.record["report"][0]).decode(errors="replace")

    @report.setter
    def report(self, text: str) -> None:
        self.record["report"][0] = text.encode()[:3999]

    def percentiles(self, histogram: str) -> dict[str, float] | None:
        return percentiles(self.record[histogram][0])

    def unlink(self) -> None:
        self.path.unlink(missing_ok=True)
