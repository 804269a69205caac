"""One device on its port: noticed when it goes, found when it comes back, without the loop waiting for either."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Callable
from typing import Any

from firmware_bridge import interface, registry

LOST_IMU, LOST_MOTORS, LOST_GNSS, LOST_BEACON, LOST_VISION, LOST_CARRIER = 1, 2, 4, 8, 16, 32  # SENSE.link_lost
LOST_BIT = {
    "imu": LOST_IMU,
    "motor": LOST_MOTORS,
    "gimbal": LOST_MOTORS,
    "gnss": LOST_GNSS,
    "beacon": LOST_BEACON,
    "bearing": LOST_VISION,
    "carrier_imu": LOST_CARRIER,
}
Mend = Callable[[Callable[[], None]], None]
_RETRY_FAST_NS, _RETRY_SLOW_NS, _FAST_FOR_NS = 3_000_000, 50_000_000, 1_000_000_000
SILENT_NS = 1_000_000_000  # a controller that says nothing for so long on an open port has lost its settings
_UNCONFIGURED_NS = 300_000_000  # a reopened line, or an IMU's, silent for this long has lost its settings
_PERIODS = 5  # of a slow receiver, before it counts as silent


class Line:
    """One device on its port, with what is needed to lose it and find it again."""

    def __init__(self, name: str, driver_name: str, kind: str, path: str, rate_hz: float = 0.0) -> None:
        """rate_hz: of a receiver's rows; 0: as they come."""
        self.name, self.driver_name, self.kind, self.path = name, driver_name, kind, path
        self.driver: Any = registry.create_driver(driver_name)
        self.bit = LOST_BIT.get(kind, 0)
        self.receives_fixes = kind in (
            "gnss",
            "beacon",
            "bearing",
        )  # lost when silent, too; IMU and motors show their ages
        self.drives = kind in ("motor", "gimbal")
        self.asks = kind == "gimbal"  # its poll also sends what is due: after an answer that was lost no byte comes
        self.axes: list[int] = []
        least_ns = _UNCONFIGURED_NS if kind in ("imu", "carrier_imu") else SILENT_NS
        self.quiet_ns = max(least_ns, int(_PERIODS * 1e9 / rate_hz) if rate_hz > 0.0 else 0)
        self.last_row_ns = 0
        self.configured_ns = 0  # the last try to, once the loop runs
        self.watched = -1  # descriptor among the polled ones
        self.troubled = True  # to be looked at each tick whether bytes have come or not
        self.lost_since_ns = 0  # 0: the port is there
        self.next_try_ns = 0
        self.reopened_ns = 0  # not 0: waiting for the first row after a replug
        self.mending = False

    @property
    def restarted(self) -> bool:
        """Its motor controller was seen to have lost its settings."""
        return bool(getattr(self.driver, "restarted", False))

    def descriptor(self) -> int:
        """The line's descriptor while it is open, else -1."""
        transport = getattr(self.driver, "transport", None)
        if self.lost_since_ns or transport is None or not hasattr(transport, "fileno"):
            return -1
        return int(transport.fileno())

    def usable(self, now_ns: int, mend: Mend, at_rest: bool = False) -> bool:
        """Poll this line now? A lost one is looked for: its path every 3 ms for a second, then every 50 ms, and the
        port is opened only once the path is there again. Settings lost with the power are written again, also where the
        port stayed; those of a motor controller or gimbal board only while nothing is asked of it (``at_rest``).
        ``mend`` does the slow part.
        """
        if self.mending:
            return False
        if self.lost_since_ns:
            if now_ns < self.next_try_ns:
                return False
            fast = now_ns - self.lost_since_ns < _FAST_FOR_NS
            self.next_try_ns = now_ns + (_RETRY_FAST_NS if fast else _RETRY_SLOW_NS)
            self._have_mended(mend, self._reopen)
        else:
            if self._unset(now_ns, at_rest):
                self._have_mended(mend, self._configure)
        return not self.mending and not self.lost_since_ns

    def _unset(self, now_ns: int, at_rest: bool) -> bool:
        """The port is there, and its device has lost its settings: it says so, or nothing at all any more."""
        silent_ns = now_ns - max(self.last_row_ns, self.configured_ns)
        if self.drives:
            again = self.restarted and now_ns - self.configured_ns > SILENT_NS
            return at_rest and (again or silent_ns > self.quiet_ns)
        if self.reopened_ns:
            return now_ns - max(self.reopened_ns, self.configured_ns) > _UNCONFIGURED_NS
        return silent_ns > self.quiet_ns

    def hang_up(self, now_ns: int) -> None:
        self.troubled = True
        if not self.lost_since_ns:
            self.lost_since_ns = now_ns
            self.next_try_ns = now_ns + _RETRY_FAST_NS

    def _have_mended(self, mend: Mend, work: Callable[[], None]) -> None:
        """Nobody else touches the driver until ``work`` is through."""

        def job() -> None:
            try:
                work()
            finally:
                self.mending = False

        self.mending = True
        mend(job)

    def _reopen(self) -> None:
        with contextlib.suppress(OSError):
            os.stat(self.path)
            if self.driver.reopen() == 0:
                self.reopened_ns = self.driver.transport.clock()
                self.lost_since_ns = 0

    def _configure(self) -> None:
        try:
            with contextlib.suppress(interface.BridgeError):  # silent again: the next try follows
                self.driver.configure()
        finally:
            self.configured_ns = self.driver.transport.clock()  # it has as long again before the next try
