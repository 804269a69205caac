"""A shared-memory ring of records: one writer that never waits, any number of readers that may die at any time.

Each slot holds a sequence word, a tag and the row (a seqlock per slot). Row n goes to slot n mod capacity; its word is
2n+1 while it is being written and 2n+2 once whole, and ``head`` is then n+1. A reader copies, then looks at the words
again: a row whose word is no longer 2n+2 was overwritten meanwhile, and counts as lost. The form is msgq's (commaai,
2019): readers are overrun, never waited for.

Memory order: the protocol needs stores seen in program order and loads not reordered, as x86 (TSO) gives. Python has no
fences; on ARM a torn row could pass the check, so there a CRC would have to travel in the slot. ``create`` says so.
"""

from __future__ import annotations

import platform
from typing import Any

import numpy as np

from gimbal.telemetry import dtypes
from gimbal.telemetry.shm import FIRST_WORD, Attached, Segment, SharedMemoryError

W_HEAD = FIRST_WORD
R_STATE_REQUEST = 0  # readers' word: grows when a reader wants a State snapshot
SLOT_ALIGN = 64
TSO_MACHINES = ("x86_64", "AMD64", "i686")


def slot_dtype(dtype: np.dtype) -> np.dtype:
    """A slot: ``seq``, ``tag`` and the row as opaque bytes, padded to whole cache lines."""
    size = -(-(16 + dtype.itemsize) // SLOT_ALIGN) * SLOT_ALIGN
    row = np.dtype(("V", dtype.itemsize))
    return np.dtype(
        {"names": ["seq", "tag", "row"], "formats": ["<u8", "<u8", row], "offsets": [0, 8, 16], "itemsize": size}
    )


class RingWriter:
    """The writing end; owns the segment.

    ``publish(row, tag)`` copies a one-element array into the next slot. The same array object should be passed each
    time: its buffer is looked up only when it changes.
    """

    def __init__(self, name: str, dtype: np.dtype, capacity: int, description: dict[str, Any] | None = None) -> None:
        """Args: name of the segment; record dtype; slots, at least 2; further JSON-able facts for the readers.

        Raises:
            SegmentBusy: another process writes it. SharedMemoryError: no room, no permission, or not an x86 machine.
        """
        if capacity < 2:
            raise ValueError(f"capacity is {capacity}; a ring needs at least 2 slots")
        if platform.machine() not in TSO_MACHINES:
            raise SharedMemoryError(
                f"The telemetry ring relies on the memory order of x86; this machine is {platform.machine()}. "
                "Run the daemon on an x86-64 machine; simulation, logs and replay work here."
            )
        slot = slot_dtype(dtype)
        self.dtype, self.capacity, self.written = dtype, capacity, 0
        facts = {**(description or {}), "dtype": dtypes.describe(dtype), "capacity": capacity, "slot": slot.itemsize}
        self._segment = Segment(name, facts, capacity * slot.itemsize)
        data, step = self._segment.data, slot.itemsize
        self._heads = [data[k * step : k * step + 16].cast("Q") for k in range(capacity)]
        self._rows = [data[k * step + 16 : k * step + 16 + dtype.itemsize] for k in range(capacity)]
        self._words, self._requests = self._segment.words, self._segment.requests
        self._row: Any = None
        self._bytes = memoryview(b"")

    def publish(self, row: np.ndarray, tag: int = 0) -> None:
        """Writes one row. Never waits, never raises for the right dtype. ``tag``: u64 the reader gets with it."""
        if row is not self._row:
            self._bind(row)
        n = self.written
        k = n % self.capacity
        head = self._heads[k]
        head[0] = 2 * n + 1
        head[1] = tag
        self._rows[k][:] = self._bytes
        head[0] = 2 * n + 2
        self.written = n + 1
        self._words[W_HEAD] = n + 1

    def _bind(self, row: np.ndarray) -> None:
        if row.dtype != self.dtype or row.shape != (1,):
            raise TypeError(f"publish takes a one-element array of the ring's dtype, not {row.shape} of {row.dtype}")
        self._row, self._bytes = row, row.view(np.uint8).data

    @property
    def state_requests(self) -> int:
        """How often readers have asked for a State snapshot."""
        return self._requests[R_STATE_REQUEST]

    def close(self) -> None:
        """Readers drain what is there and see the end. Safe to call twice."""
        self._segment.close()


class RingReader:
    """A reading end. Several may read one ring; none can disturb it.

    ``next_index``: the row that comes next. ``lost``: rows overwritten before they were read. ``first``, ``tags``:
    index of the first row and tags of the rows of the last ``read_new``. ``gaps``: [first lost index, count], to be
    cleared by whoever handles them.
    """

    def __init__(self, name: str, *, start: str = "newest", may_request: bool = False) -> None:
        """Args: name; start "newest" (only rows from now on) or "oldest" (all that is still there); may_request: map
        the readers' page writable, for ``request_state``.

        Raises:
            SegmentMissing, SharedMemoryError.
        """
        self._segment = Attached(name, requests_writable=may_request)
        self.description = self._segment.description
        self.dtype = dtypes.build(self.description["dtype"])
        self.capacity = int(self.description["capacity"])
        slot = slot_dtype(self.dtype)
        if slot.itemsize != self.description["slot"]:
            raise SharedMemoryError(f"{self._segment.path} was made by another version: restart its daemon.")
        self._slots = np.frombuffer(self._segment.data, slot, count=self.capacity)
        self._row_bytes, self._seqs, self._tags = self._slots["row"], self._slots["seq"], self._slots["tag"]
        self._words = self._segment.words
        self.lost = 0
        self.gaps: list[list[int]] = []
        self.first = 0
        self.tags = np.zeros(0, np.uint64)
        self.next_index = self.head if start == "newest" else max(0, self.head - self.capacity + self._margin)

    @property
    def head(self) -> int:
        """Rows written so far."""
        return self._words[W_HEAD]

    @property
    def _margin(self) -> int:
        """Slots left free before the writer when a reader was overrun, so that the next copy succeeds."""
        return max(1, self.capacity // 16)

    def read_new(self, max_n: int | None = None) -> np.ndarray:
        """Rows not read before, oldest first: (n,) of the ring's dtype, a copy. Empty when there is nothing new."""
        head = self.head
        start = self.next_index
        if head - start > self.capacity - 1:
            start = head - self.capacity + self._margin
        n = head - start if max_n is None else min(head - start, max_n)
        indices = np.arange(start, start + n)
        places = indices % self.capacity
        rows, tags = self._copy(start % self.capacity, n)
        words = self._seqs[places].astype(np.int64)
        bad = np.flatnonzero(words != 2 * indices + 2)
        torn = int(bad[-1]) + 1 if bad.size else 0  # the writer overwrites oldest first
        self._count_lost(self.next_index, start + torn - self.next_index)
        self.next_index = start + n
        self.first = start + torn
        self.tags = tags[torn:]
        return rows[torn:]

    def _copy(self, place: int, n: int) -> tuple[np.ndarray, np.ndarray]:
        straight = min(n, self.capacity - place)
        rows = np.empty(n, self._row_bytes.dtype)
        tags = np.empty(n, np.uint64)
        for to, at, count in ((0, place, straight), (straight, 0, n - straight)):
            rows[to : to + count] = self._row_bytes[at : at + count]
            tags[to : to + count] = self._tags[at : at + count]
        return rows.view(self.dtype), tags

    def _count_lost(self, first: int, count: int) -> None:
        if count > 0:
            self.lost += count
            if self.gaps and self.gaps[-1][0] + self.gaps[-1][1] == first:
                self.gaps[-1][1] += count
            else:
                self.gaps.append([first, count])

    def latest(self) -> np.ndarray | None:
        """The newest whole row, a one-element copy, or None before the first. Doesn't count as reading.

        ``first`` and ``tags`` are the row's.
        """
        while True:
            head = self.head
            if head == 0:
                return None
            place = (head - 1) % self.capacity
            row = self._row_bytes[place : place + 1].copy()
            tags = self._tags[place : place + 1].copy()
            if self._seqs[place] == 2 * head:
                self.first, self.tags = head - 1, tags
                return row.view(self.dtype)  # bytes until here: numpy copies a nested record field by field, 50 us

    def request_state(self) -> None:
        """Ask the loop for a State snapshot (needs ``may_request``)."""
        self._segment.requests[R_STATE_REQUEST] += 1

    def closed(self) -> bool:
        """True when the writer has closed the ring or died. Rows may still be waiting to be read."""
        return self._segment.closed()
