"""The wired stop's contact on a control line of a port: closed while all is well, so a cut wire reads as a stop.

The adapter feeds the contact itself: RTS or DTR, which an open port asserts, through the closed chain to CTS or DSR.
FTDI and CP210x adapters are asked over USB for the state of their lines, a millisecond and more: a thread beside the
loop asks, the loop reads its last answer.
"""

from __future__ import annotations

import threading
import time
from typing import Any

from gimbal.errors import UsageError
from gimbal.rig.mender import leave_the_loop_its_cpu

EVERY_S = 0.005
STALE_NS = 60_000_000  # an answer older than this is none: twice the longest stalls of a host that still keeps its loop


class WiredStop:
    """``open``: the chain is open, or nobody can tell any more: the port is gone, or the last answer is too old.

    Args:
        transport: of the port that carries the contact.
        line: "cts" or "dsr". threaded: ask beside the loop; else at each look (a simulated clock).

    Raises UsageError where the port has no such line.
    """

    def __init__(self, device: str, transport: Any, line: str, threaded: bool) -> None:
        self._transport, self._line = transport, line
        self._ended = threading.Event()
        self._answer, self._asked_ns = self._ask(), time.monotonic_ns()
        if transport.control_line(line) is None:
            raise UsageError(
                f"safety.wired_stop_device = {device!r}: its port {transport.name} tells nothing of {line.upper()} "
                "(a pty, UDP, or an adapter without modem lines). Wire the contact to a USB serial adapter that has "
                f"{line.upper()}, or take the key out: then the host senses the stop by the controllers' bus voltage."
            )
        self._thread = threading.Thread(target=self._watch, name="wired stop", daemon=True) if threaded else None
        if self._thread is not None:
            self._thread.start()

    @property
    def open(self) -> bool:
        if self._thread is None:
            return self._ask()
        return self._answer or time.monotonic_ns() - self._asked_ns > STALE_NS

    def close(self) -> None:
        """End the thread."""
        self._ended.set()

    def _ask(self) -> bool:
        return self._transport.control_line(self._line) is not True

    def _watch(self) -> None:
        leave_the_loop_its_cpu()
        while not self._ended.wait(EVERY_S):
            began_ns = time.monotonic_ns()  # of the asking: an adapter that takes long tells of the past
            self._answer = self._ask()
            self._asked_ns = began_ns
