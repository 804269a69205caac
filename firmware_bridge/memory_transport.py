"""A line in memory with the face of :mod:`firmware_bridge.transport`: for lock-step runs and tests."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable

from firmware_bridge.interface import Status
from firmware_bridge.transport import Clock, Transport

_LINK_LOST = int(Status.LINK_LOST)


class MemoryTransport(Transport):
    """One end of an in-process line. Bytes carry the time from which the reader may see them.

    ``pump(until_ns)`` is called by wait(): it advances whatever speaks on the other end, and the clock with it.
    """

    def __init__(self, name: str, clock: Clock, capacity: int = 20480, baud: float = 1e9) -> None:
        super().__init__(name, baud, clock)
        self.capacity = capacity
        self.inbound: deque[tuple[int, bytes]] = deque()
        self.outbound: deque[tuple[int, bytes]] = deque()
        self.pump: Callable[[int], None] | None = None
        self.try_reopen: Callable[[], bool] | None = None
        self.asserted: set[str] | None = None  # of the other end's control lines; None: it has none

    def control_line(self, name: str) -> bool | None:
        return None if self.lost or self.asserted is None else name in self.asserted

    def read_into(self, buffer: memoryview) -> int:
        if self.lost:
            return _LINK_LOST
        now, n = self.clock(), 0
        while self.inbound and self.inbound[0][0] <= now and n < len(buffer):
            release_ns, data = self.inbound.popleft()
            room = len(buffer) - n
            if len(data) > room:
                self.inbound.appendleft((release_ns, data[room:]))
                data = data[:room]
            buffer[n : n + len(data)] = data
            n += len(data)
        if n:
            self.arrival_ns = now
            self.counters.bytes_in += n
        return n

    def _send(self, data: bytes) -> int:
        room = self.capacity - sum(len(chunk) for _, chunk in self.outbound)
        if room <= 0:
            return 0
        self.outbound.append((self.clock(), data[:room]))
        self.counters.bytes_out += min(room, len(data))
        return min(room, len(data))

    def wait(self, timeout_s: float) -> bool:
        end = self.clock() + int(max(0.0, timeout_s) * 1e9)
        while not self.lost:
            now = self.clock()
            if self.inbound and self.inbound[0][0] <= now:
                return True
            if self.pump is None or now >= end:
                return False
            self.pump(min(end, now + 200_000))
        return False

    def reopen(self) -> int:
        if self.lost and self.try_reopen is not None and self.try_reopen():
            self.lost = False
            self.counters.reopened += 1
        return super().reopen()

    def hang_up(self) -> None:
        """The other side pulls the plug."""
        self._hang_up()
        self.inbound.clear()
        self.outbound.clear()


def memory_pair(clock: Clock = time.monotonic_ns, capacity: int = 20480) -> tuple[MemoryTransport, MemoryTransport]:
    """Two ends of one line."""
    a, b = MemoryTransport("memory", clock, capacity), MemoryTransport("memory", clock, capacity)
    a.inbound, a.outbound = b.outbound, b.inbound
    return a, b
