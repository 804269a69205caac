"""What all listening drivers share: read, cut into frames, take each, hand rows over oldest first.

A driver gives ``take(frame, arrival_ns)``, which calls ``queue(row)``; the framer and the counters do the rest.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from typing import Any, Protocol

import numpy as np

from firmware_bridge.errors import NoAnswer, WrongDevice
from firmware_bridge.interface import Driver, Status

_STRANGER_BYTES = 200


class Framer(Protocol):
    bad_crc: int
    garbage_bytes: int

    def feed(self, data: bytes) -> list[Any]: ...

    def reset(self) -> None: ...


class RowDriver(Driver):
    """Mixin before ImuDriver, PositionDriver, BearingDriver or RadioDriver."""

    def start(self, framer: Framer, depth: int = 64) -> None:
        """Call in ``setup``. depth: rows kept when the host doesn't poll; the oldest are lost first, and counted."""
        self.framer = framer
        self.senders: set[int] = set()  # MAVLink systems, where the line has such
        self.system_id = 0
        self._pending: deque[tuple] = deque(maxlen=depth)
        self._notice = 0

    def take(self, frame: Any, arrival_ns: int) -> None:
        """One frame whose check is right."""
        raise NotImplementedError

    def queue(self, row: tuple) -> None:
        """A row for the next poll."""
        self.counters.lost_rows += len(self._pending) == self._pending.maxlen
        self._pending.append(row)

    def notice(self, status: Status) -> None:
        """A status for the next poll that has no rows."""
        self._notice = int(status)

    def forget(self) -> None:
        """Rows and partial frames of before a configuration or an outage are of no use."""
        self.framer.reset()
        self._pending.clear()
        self._notice = 0

    def drain(self) -> None:
        """Everything that waits on the line, taken."""
        transport, framer = self.transport, self.framer
        while data := transport.read():
            for frame in framer.feed(data):
                self.take(frame, transport.arrival_ns)

    def poll(self, rows: np.ndarray) -> int:
        counters, framer = self.counters, self.framer
        bad, garbage = framer.bad_crc, framer.garbage_bytes
        self.drain()
        counters.bad_crc, counters.garbage_bytes = framer.bad_crc, framer.garbage_bytes
        n = min(len(rows), len(self._pending))
        for i in range(n):
            rows[i] = self._pending.popleft()
        if n:
            counters.rows += n
            return n
        if self.transport.lost:
            return int(Status.LINK_LOST)
        if self._notice:
            notice, self._notice = self._notice, 0
            return notice
        if framer.bad_crc != bad:
            return int(Status.BAD_CRC)
        return int(Status.GARBAGE) if framer.garbage_bytes != garbage else 0

    # Before the loop.

    def listen(self, timeout_s: float, done: Callable[[], bool]) -> bool:
        """Take what comes until ``done`` or the time is over."""
        end_ns = self.transport.clock() + int(timeout_s * 1e9)
        while not done():
            left_s = (end_ns - self.transport.clock()) * 1e-9
            if left_s <= 0 or self.transport.lost:
                return False
            self.transport.wait(min(0.02, left_s))
            self.drain()
        return True

    def set_line(self, baud: int) -> None:
        """Another speed; what was heard at the old one is forgotten."""
        if baud != self.transport.baud:
            self.transport.set_baud(baud)
        self.transport.discard_input()
        self.forget()

    def hear(self, what: str, timeout_s: float, done: Callable[[], bool], check: str) -> None:
        """Listen for a device that only sends. Raises WrongDevice when others speak, NoAnswer when none does."""
        before = self.framer.garbage_bytes
        if not self.listen(timeout_s, done):
            self.raise_stranger(what, before, check)

    def one_sender(self, what: str, who: str, messages: str, seconds: float) -> int:
        """Of a line on which several MAVLink systems may speak: the one whose ``what`` to take, 0 where none need be
        heard. ``senders`` is filled by the driver's ``take``. Raises WrongDevice, NoAnswer."""
        wanted = int(self.options["system_id"])
        self.senders.clear()
        if self.options["must_hear"]:
            self.system_id = wanted or 255  # nothing is taken before it is known whose it is
            self.listen(seconds, lambda: bool(wanted) and wanted in self.senders)
            heard = sorted(self.senders)
            if len(heard) > 1 and not wanted:
                raise WrongDevice(
                    f"{what} of MAVLink systems {heard} are heard on {self.transport.name}. Say whose are meant as "
                    "system_id."
                )
            if not heard or (wanted and wanted not in heard):
                self.raise_stranger(
                    f"MAVLink {who} {wanted or ''}".strip(),
                    0,
                    f"{what.capitalize()} came from: {heard or 'nobody'}. Check power, baud, system_id, and that it "
                    f"streams {messages}.",
                )
        return wanted or min(self.senders, default=0)

    def raise_stranger(self, what: str, garbage_before: int, check: str) -> None:
        name = self.transport.name
        if self.framer.garbage_bytes - garbage_before > _STRANGER_BYTES or self.framer.bad_crc > 20:
            raise WrongDevice(f"what sends on {name} is no {what}, or sends at another speed than "
                              f"{self.transport.baud:.0f} baud. Check which device this port is "
                              f"(`gimbal devices`) and its baud.")  # fmt: skip
        raise NoAnswer(f"no {what} is heard on {name}. {check}")
