"""Operator commands into the loop, through shared memory: one process sends, the loop takes at most one a tick.

The daemon's main process serialises its clients and owns the segment; the loop attaches. STOP doesn't queue: it is a
counter that every tick reads, and it also drops the commands still waiting, so that none sent before it acts after it.
"""

from __future__ import annotations

import math
import threading
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np

from gimbal.records import INBOX, Verb
from gimbal.telemetry.shm import FIRST_WORD, Attached, Segment, SharedMemoryError

CAPACITY = 32  # commands that may wait; the loop takes a thousand a second
W_HEAD, W_STOPS, W_DROPPED = FIRST_WORD, FIRST_WORD + 1, FIRST_WORD + 2
R_TAKEN = 0
_STOP_WORD = INBOX.fields["stop_count"][1] // 8  # type: ignore[index]


class Receipt(NamedTuple):
    """Answer to ``send``: ``seq`` the command goes by (0 for a stop or a refusal), ``refused`` the reason, or ""."""

    seq: int
    refused: str

    @property
    def accepted(self) -> bool:
        return not self.refused


class InboxWriter:
    """The sending end; owns the segment. Calls may come from several threads."""

    def __init__(self, name: str) -> None:
        """Raises SegmentBusy where another daemon runs on this rig, SharedMemoryError without room or permission."""
        self._segment = Segment(name, {"itemsize": INBOX.itemsize, "capacity": CAPACITY}, CAPACITY * INBOX.itemsize)
        self._slots = np.frombuffer(self._segment.data, INBOX, count=CAPACITY)
        self._words, self._requests = self._segment.words, self._segment.requests
        self._lock = threading.Lock()
        self._seq = 0

    def send(
        self, verb: Verb, *, owner: int, deadline_ns: int, mode: int = 0, vector: Sequence[float] = (0.0, 0.0, 0.0)
    ) -> Receipt:
        """Queue one command; STOP acts at once.

        Args: owner, the client's number; deadline_ns, CLOCK_MONOTONIC, not acted on later; mode with MODE; vector
        (3,), rad/s about roll, pitch, yaw of the camera with RATE, or m in N with POINT.
        """
        if verb == Verb.STOP:
            self.stop()
            return Receipt(0, "")
        if len(vector) != 3 or not all(math.isfinite(v) for v in vector):
            return Receipt(0, f"the vector {list(vector)} must be three finite numbers")
        with self._lock:
            waiting = self.waiting()
            if waiting >= CAPACITY:
                return Receipt(
                    0,
                    f"{waiting} commands are waiting and the loop takes none: it has stopped or stalled",
                )
            head = self._words[W_HEAD]
            self._seq += 1
            slot = self._slots[head % CAPACITY]
            slot["seq"], slot["owner"], slot["verb"], slot["mode"] = self._seq, owner, int(verb), int(mode)
            slot["vector"], slot["deadline_ns"] = vector, deadline_ns
            self._words[W_HEAD] = head + 1
            return Receipt(self._seq, "")

    def stop(self) -> int:
        """STOP: seen by the loop's next read whatever is queued. Returns the new count."""
        with self._lock:
            self._words[W_DROPPED] = self._words[W_HEAD]
            self._words[W_STOPS] += 1
            return self._words[W_STOPS]

    def waiting(self) -> int:
        """Commands the loop has not taken yet."""
        return self._words[W_HEAD] - max(self._requests[R_TAKEN], self._words[W_DROPPED])

    def close(self) -> None:
        """Remove the segment. The loop keeps its mapping and sees no further commands."""
        self._segment.close()


class InboxReader:
    """The loop's end."""

    def __init__(self, name: str) -> None:
        """Raises SegmentMissing, SharedMemoryError."""
        self._segment = Attached(name, requests_writable=True)
        facts = self._segment.description
        if facts != {"itemsize": INBOX.itemsize, "capacity": CAPACITY}:
            raise SharedMemoryError(f"{self._segment.path} was made by another version: restart its daemon.")
        data, size = self._segment.data, INBOX.itemsize
        self._slots = [data[k * size : (k + 1) * size] for k in range(CAPACITY)]
        self._words, self._requests = self._segment.words, self._segment.requests
        self._taken = self._requests[R_TAKEN]
        self._zero = bytes(size)
        self._record: Any = None
        self._bytes = self._longs = memoryview(b"")

    def read_into(self, record: np.ndarray) -> bool:
        """Fill ``record`` (one-element INBOX array) with the oldest waiting command, or zeros; ``stop_count`` always.

        True when there was a command. Never waits. Pass the same array each time.
        """
        if record is not self._record:
            self._bind(record)
        words, taken = self._words, self._taken
        stops = words[W_STOPS]
        dropped = words[W_DROPPED]  # read after the stops: a stop is never seen without its drop
        if taken < dropped:
            taken = dropped
        found = words[W_HEAD] != taken
        if found:
            self._bytes[:] = self._slots[taken % CAPACITY]
            taken += 1
        else:
            self._bytes[:] = self._zero
        if taken != self._taken:
            self._taken = self._requests[R_TAKEN] = taken
        self._longs[_STOP_WORD] = stops
        return found

    def _bind(self, record: np.ndarray) -> None:
        if record.dtype != INBOX or record.shape != (1,):
            raise TypeError(f"read_into takes a one-element INBOX array, not {record.shape} of {record.dtype}")
        self._record = record
        self._bytes = record.view(np.uint8).data
        self._longs = record.view(np.uint64).data
