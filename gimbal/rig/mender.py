"""Reopening and configuring ports beside the loop: slow, blocking work in one thread that is there from the start.

The thread runs at ordinary priority away from the loop's CPU. Starting a thread from the loop would make the loop wait
for it, and opening a busy port takes 30 ms; a shared thread costs the loop one queue entry.
"""

from __future__ import annotations

import contextlib
import os
import queue
import sys
import threading
import traceback
from collections.abc import Callable

Job = Callable[[], None]


def leave_the_loop_its_cpu() -> None:
    """Keep the calling thread off the CPU that the loop takes: the last one, where there is another."""
    allowed = os.sched_getaffinity(0)
    with contextlib.suppress(OSError):
        if len(allowed) > 1:
            os.sched_setaffinity(0, allowed - {max(allowed)})


class AtOnce:
    """Where time stands still between ticks (a simulated clock): the job is done when the call returns.

    A job that raises what nobody foresaw ends alone: ``failed`` counts them, the first is told on stderr, the next run.
    """

    failed = 0

    def __call__(self, job: Job) -> None:
        self.carry_out(job)

    def close(self) -> None:
        pass

    def carry_out(self, job: Job) -> None:
        try:
            job()
        except Exception:
            self.failed += 1
            if self.failed == 1:
                print("gimbal: mending a port met the unforeseen, it is tried again:", file=sys.stderr)
                traceback.print_exc()


class Mender(AtOnce):
    """The same in a thread of its own, one job after the other."""

    def __init__(self) -> None:
        self._jobs: queue.SimpleQueue[Job | None] = queue.SimpleQueue()
        self._thread = threading.Thread(target=self._work, name="mender", daemon=True)
        self._thread.start()

    def __call__(self, job: Job) -> None:
        self._jobs.put(job)

    def close(self) -> None:
        """End the thread after the job in hand."""
        self._jobs.put(None)

    def _work(self) -> None:
        leave_the_loop_its_cpu()
        while (job := self._jobs.get()) is not None:
            self.carry_out(job)
