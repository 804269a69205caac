"""The device's end of a line: the master of a pty linked by name, or the far end of a memory line."""

from __future__ import annotations

import fcntl
import os
import termios
import threading
import tty
from collections.abc import Callable
from pathlib import Path

from firmware_bridge.memory_transport import MemoryTransport, memory_pair


class PtyPort:
    """A pty whose slave appears as ``link``. Replugging makes a new pty under the same name."""

    def __init__(self, link: Path) -> None:
        self.link = link
        self.lost_bytes = 0  # the host didn't read and the pty was full
        self._lock = threading.Lock()
        self._master = self._slave = -1
        self._last_clear_ns = 0
        self.connect()

    def connect(self) -> None:
        if self._master >= 0:
            return
        master, slave = os.openpty()
        tty.setraw(master)
        tty.setraw(slave)
        os.set_blocking(master, False)
        # The slave stays open here, or master reads would fail while no host has it open.
        fresh = self.link.with_name(self.link.name + ".new")
        fresh.unlink(missing_ok=True)
        fresh.symlink_to(os.ttyname(slave))
        with self._lock:  # the host's thread reads from the moment it sees these
            self._master, self._slave = master, slave
        os.rename(fresh, self.link)

    def disconnect(self) -> None:
        """As if the cable were pulled: the link goes, the host sees a hang-up."""
        if self._master < 0:
            return
        self.link.unlink(missing_ok=True)
        with self._lock:  # a number that is closed under a reader may already be another file's
            os.close(self._slave)
            os.close(self._master)
            self._master = self._slave = -1

    @property
    def connected(self) -> bool:
        return self._master >= 0

    def fileno(self) -> int:
        return self._master

    def read(self, now_ns: int) -> list[tuple[int, bytes]]:
        """(time, bytes) since the last call."""
        with self._lock:
            if self._master < 0:
                return []
            self._clear_exclusive(now_ns)
            try:
                data = os.read(self._master, 1 << 16)
            except (BlockingIOError, OSError):
                return []
        return [(now_ns, data)] if data else []

    def _clear_exclusive(self, now_ns: int) -> None:
        # A host that was killed leaves the exclusive flag on the pty, as the slave open here keeps the tty alive; a
        # real port would lose it. The flock, which dies with its process, still keeps a second host out.
        if now_ns - self._last_clear_ns > 1_000_000_000:
            self._last_clear_ns = now_ns
            fcntl.ioctl(self._slave, termios.TIOCNXCL)

    def write(self, data: bytes, release_ns: int) -> None:
        with self._lock:
            if self._master < 0:
                return
            try:
                sent = os.write(self._master, data)
            except (BlockingIOError, OSError):
                sent = 0
        self.lost_bytes += len(data) - sent


class MemoryPort:
    """The device's end of a memory line; ``host_end`` is the driver's."""

    def __init__(self, clock: Callable[[], int]) -> None:
        self.host_end: MemoryTransport
        self.host_end, self._own = memory_pair(clock)
        self._connected = True
        self.host_end.try_reopen = self._try_reopen

    def _try_reopen(self) -> bool:
        return self._connected

    def connect(self) -> None:
        self._connected = True
        self._own.lost = False

    def disconnect(self) -> None:
        self._connected = False
        self.host_end.hang_up()

    @property
    def connected(self) -> bool:
        return self._connected

    def fileno(self) -> int:
        return -1

    def read(self, now_ns: int) -> list[tuple[int, bytes]]:
        inbound = self._own.inbound
        taken = []
        while inbound and inbound[0][0] <= now_ns:
            taken.append(inbound.popleft())
        return taken

    def write(self, data: bytes, release_ns: int) -> None:
        if self._connected:
            self._own.outbound.append((release_ns, data))
