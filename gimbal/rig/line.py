"""One device on its port: noticed when it goes, found when it comes back, without the loop waiting for either."""

from __future__ import annotations

import contextlib
import os
import threading
import time
from typing import Any

from firmware_bridge import interface, registry

LOST_IMU, LOST_MOTORS, LOST_GNSS, LOST_BEACON, LOST_VISION = 1, 2, 4, 8, 16  # bits of SENSE.link_lost
LOST_BIT = {
    "imu": LOST_IMU,
    "motor": LOST_MOTORS,
    "gimbal": LOST_MOTORS,
    "gnss": LOST_GNSS,
    "beacon": LOST_BEACON,
    "bearing": LOST_VISION,
}
_RETRY_FAST_NS, _RETRY_SLOW_NS, _FAST_FOR_NS = 5_000_000, 50_000_000, 1_000_000_000
SILENT_NS = 1_000_000_000  # a controller that says nothing for so long on an open port has lost its settings
_UNCONFIGURED_NS = 300_000_000  # a reopened line silent for this long has lost its settings


class Line:
    """One device on its port, with what is needed to lose it and find it again."""

    def __init__(self, name: str, driver_name: str, kind: str, path: str) -> None:
        self.name, self.driver_name, self.kind, self.path = name, driver_name, kind, path
        self.driver: Any = registry.create_driver(driver_name)
        self.bit = LOST_BIT.get(kind, 0)
        self.receives_fixes = kind in (
            "gnss",
            "beacon",
            "bearing",
        )  # lost when silent, too; IMU and motors show their ages
        self.drives = kind in ("motor", "gimbal")
        self.axes: list[int] = []
        self.last_row_ns = 0
        self.watched = -1  # descriptor among the polled ones
        self.troubled = True  # to be looked at each tick whether bytes have come or not
        self.lost_since_ns = 0  # 0: the port is there
        self.next_try_ns = 0
        self.reopened_ns = 0  # not 0: waiting for the first row after a replug
        self.worker: threading.Thread | None = None

    def descriptor(self) -> int:
        """The line's descriptor while it is open, else -1."""
        transport = getattr(self.driver, "transport", None)
        if self.lost_since_ns or transport is None or not hasattr(transport, "fileno"):
            return -1
        return int(transport.fileno())

    def usable(self, now_ns: int, at_rest: bool = False) -> bool:
        """Poll this line now? A lost one is looked for: its path every 5 ms for a second, then every 50 ms, and the
        port is opened only once the path is there again. Settings lost with the power are written by a thread; those
        of a motor controller or gimbal board only while nothing is asked of it (``at_rest``)."""
        if self.worker is not None:
            if self.worker.is_alive():
                return False
            self.worker = None
            self.reopened_ns = self.last_row_ns = now_ns
        if self.lost_since_ns:
            return now_ns >= self.next_try_ns and self._reopen(now_ns)
        lost_settings = not self.drives and self.reopened_ns and now_ns - self.reopened_ns > _UNCONFIGURED_NS
        if lost_settings or (self.drives and at_rest and now_ns - self.last_row_ns > SILENT_NS):
            self.worker = threading.Thread(target=self._configure, daemon=True)
            self.worker.start()
            return False
        return True

    def hang_up(self, now_ns: int) -> None:
        self.troubled = True
        if not self.lost_since_ns:
            self.lost_since_ns = now_ns
            self.next_try_ns = now_ns + _RETRY_FAST_NS

    def _reopen(self, now_ns: int) -> bool:
        fast = now_ns - self.lost_since_ns < _FAST_FOR_NS
        self.next_try_ns = now_ns + (_RETRY_FAST_NS if fast else _RETRY_SLOW_NS)
        try:
            os.stat(self.path)
        except OSError:
            return False
        if self.driver.reopen() != 0:
            return False
        self.lost_since_ns = 0
        self.reopened_ns = now_ns
        return True

    def _configure(self) -> None:
        _leave_the_loop()
        try:
            self.driver.configure()
        except interface.BridgeError:
            time.sleep(0.5)  # the next silence starts another try


def _leave_the_loop() -> None:
    """This thread to ordinary priority and away from the loop's CPU, where the machine has another."""
    with contextlib.suppress(OSError, AttributeError):
        os.sched_setscheduler(0, os.SCHED_OTHER, os.sched_param(0))
    others = set(range(os.cpu_count() or 1)) - os.sched_getaffinity(0)
    with contextlib.suppress(OSError):
        if others:
            os.sched_setaffinity(0, others)
