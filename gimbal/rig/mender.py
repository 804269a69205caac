"""Reopening and configuring ports beside the loop: slow, blocking work in one thread that is there from the start.

The thread runs at ordinary priority away from the loop's CPU. Starting a thread from the loop would make the loop wait
for it, and opening a busy port takes 30 ms; a shared thread costs the loop one queue entry.
"""

from __future__ import annotations

import contextlib
import os
import queue
import threading
from collections.abc import Callable

Job = Callable[[], None]


def leave_the_loop_its_cpu() -> None:
    """Keep the calling thread off the CPU that the loop takes: the last one, where there is another."""
    allowed = os.sched_getaffinity(0)
    with contextlib.suppress(OSError):
        if len(allowed) > 1:
            os.sched_setaffinity(0, allowed - {max(allowed)})


class Mender:
    """Runs jobs one after the other in a thread of its own. A job must not raise."""

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
            job()


class AtOnce:
    """The same where time stands still between ticks (a simulated clock): the job is done when the call returns."""

    def __call__(self, job: Job) -> None:
        job()

    def close(self) -> None:
        pass
