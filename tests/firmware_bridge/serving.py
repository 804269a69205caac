"""Emulators on ptys served in real time by a thread of the test."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Iterator

from firmware_bridge.emulators.pty_host import Host


@contextlib.contextmanager
def served(host: Host) -> Iterator[Host]:
    stop = threading.Event()
    thread = threading.Thread(target=host.run, args=(stop.is_set, 0.002))
    thread.start()
    try:
        yield host
    finally:
        stop.set()
        thread.join(5)
        host.close()
