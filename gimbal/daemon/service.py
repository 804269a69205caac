"""What the daemon tells systemd, where it was started by it (sd_notify(3), spoken directly: one datagram a message)."""

from __future__ import annotations

import os
import socket
import time


class Notifier:
    """READY once, WATCHDOG while ticks advance, STOPPING at the end. Does nothing without ``NOTIFY_SOCKET``."""

    def __init__(self) -> None:
        self._path = os.environ.pop("NOTIFY_SOCKET", "")  # not for the children
        self._ticks = -1
        self._every_s = int(os.environ.get("WATCHDOG_USEC", "0")) * 0.25e-6
        self._next = 0.0

    def say(self, state: str) -> None:
        """One message, such as ``READY=1``. Never raises: a deaf manager must not end a flight."""
        if not self._path:
            return
        address = "\0" + self._path[1:] if self._path.startswith("@") else self._path
        try:
            with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as notifier:
                notifier.sendto(state.encode(), address)
        except OSError:
            pass

    def alive(self, ticks: int) -> None:
        """Feed the watchdog, but only when the loop has ticked since the last time."""
        now = time.monotonic()
        if self._every_s and now >= self._next and ticks != self._ticks:
            self._ticks, self._next = ticks, now + self._every_s
            self.say("WATCHDOG=1")
