"""Lets the kernel threads that carry tty bytes keep up with the loop, while armed and where permitted.

Every tty (ptys, and USB serial by the same path) delivers its bytes through an unbound SCHED_OTHER kworker. Under load
these, not Python, are the tail: raising them to FIFO 60, below loop and emulators, cut the round trip's p99.9 10 to 25
times on a loaded 2-core machine, and removed stalls of up to 7 ms inside non-blocking reads and writes of the loop.
Workers come and go, so the scan repeats. Needs CAP_SYS_NICE and sight of the kernel's threads (not in a container).
"""

from __future__ import annotations

import json
import os
import sys
import time

PRIORITY = 60
SCAN_S = 0.5


class WorkerBoost:
    """Raises unbound kworkers; ``restore`` gives them back their policy."""

    def __init__(self) -> None:
        self.raised: set[int] = set()
        self.refused = ""
        self._others: set[str] = set()  # processes seen not to be such workers: their ids come back rarely

    def scan(self) -> int:
        """Raise the workers that are not raised yet; returns how many are now. Never raises."""
        if self.refused:
            return 0
        here = {name for name in os.listdir("/proc") if name.isdigit()}
        self._others &= here
        self.raised &= {int(name) for name in here}
        for name in here - self._others:
            if int(name) in self.raised:
                continue
            if not _comm(name).startswith("kworker/u"):
                self._others.add(name)
                continue
            try:
                os.sched_setscheduler(int(name), os.SCHED_FIFO, os.sched_param(PRIORITY))
                self.raised.add(int(name))
            except ProcessLookupError:
                continue
            except OSError as error:
                self.refused = error.strerror or str(error)
                break
        return len(self.raised)

    def restore(self) -> None:
        for pid in self.raised:
            try:
                os.sched_setscheduler(pid, os.SCHED_OTHER, os.sched_param(0))
            except OSError:
                continue  # gone
        self.raised.clear()


def _comm(name: str) -> str:
    try:
        with open(f"/proc/{name}/comm") as file:
            return file.read()
    except OSError:
        return ""


def main() -> None:
    """``python -m gimbal.loop.boost SPEC``: raise them until ended. For tools whose own process has no time to scan."""
    from gimbal.loop.realtime import die_with_parent

    die_with_parent(json.loads(sys.argv[1])["parent"])
    boost = WorkerBoost()
    while True:
        boost.scan()
        time.sleep(SCAN_S)


if __name__ == "__main__":
    main()
