"""What the motor drivers of simple serial lines share: options in SI, asking before the loop, polling inside it.

A driver gives ``_feed(data, feedback)`` (rows filled), ``_stop()`` (bytes that take the torque away) and sets
``_needs`` (options without which its units can't be converted).
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import Any, ClassVar

import numpy as np

from firmware_bridge.errors import OptionError, PortError
from firmware_bridge.interface import AXIS_FEEDBACK, AXIS_ID_OPTIONS, AxisMode, MotorDriver, Option, Status, axis_ids

BIG = 1e6  # a command beyond this, in any SI unit, is a fault of the sender
BRAKE = int(AxisMode.BRAKE)  # to a device that knows none it is OFF, no bad value: what a safe state asks every tick
TURN = 2 * math.pi
RESTART_NS = 200_000_000  # a controller that leaves questions unanswered for so long may have restarted
_LINK_LOST = int(Status.LINK_LOST)

MOTOR_OPTIONS: Mapping[str, Option] = {
    **AXIS_ID_OPTIONS,
    "torque_constant_Nm_A": Option(float, None, "torque of the motor per ampere of q current", 1e-4, 100.0),
    "max_torque_Nm": Option(float, math.nan, "no torque command beyond this; left out: the device's limit", 0.0, 300.0),
    "accept_no_watchdog": Option(bool, False, "arm even though nothing stops the motors when the host dies"),
}  # fmt: skip


def watchdog_option(default_ms: float, low: float, high: float) -> Option:
    """The option ``watchdog_ms`` of a device that has one."""
    return Option(float, default_ms, "the device stops itself this long after the last command", low, high)


def required(who: str, spec: Mapping[str, Option], options: Mapping[str, Any], key: str) -> Any:
    """An option without a sensible default. Raises OptionError saying what it is and where to write it."""
    if options[key] is None:
        option = spec[key]
        raise OptionError(
            f"driver {who!r} needs option {key!r} ({option.text}): without it commands and readings can't be converted "
            f"to SI units. Measure it or take it from the motor's data sheet and add {key} = VALUE "
            f"({option.low:g} to {option.high:g}) to the device's options in the rig file."
        )
    return options[key]


class LineMotor(MotorDriver):
    """Base of drivers whose device is asked for its state on the same line that carries the commands."""

    _needs: ClassVar[tuple[str, ...]] = ("torque_constant_Nm_A",)

    def setup(self) -> None:
        for key in self._needs:
            required(self.NAME, self.OPTIONS, self.options, key)
        self.ids = axis_ids(self.NAME, self.options)
        self.n_axes = len(self.ids)
        self.armed = self.restarted = False
        self._unanswered_ns = [0] * self.n_axes  # since when questions are
        self.watchdog_applied_s = [math.nan] * self.n_axes  # read back from the device
        self.torque_constant = float(self.options.get("torque_constant_Nm_A") or 1.0)
        limit = float(self.options["max_torque_Nm"])
        self.max_torque_Nm = math.inf if math.isnan(limit) else limit
        self._scratch = np.zeros(self.n_axes, AXIS_FEEDBACK)
        self._off = [int(AxisMode.OFF)] * self.n_axes
        self._zero = [0.0] * self.n_axes

    def _feed(self, data: bytes, feedback: np.ndarray) -> int:
        raise NotImplementedError

    def _stop(self, action: str) -> bytes:
        raise NotImplementedError

    def _watchdog_known(self) -> bool:
        """The device's watchdog was set and read back, or the config accepts that there is none."""
        return bool(self.options["accept_no_watchdog"]) or not any(math.isnan(w) for w in self.watchdog_applied_s)

    def _silent_too_long(self, axis: int, waiting: bool, now_ns: int) -> bool:
        """Before each question: ``waiting`` says that the one before is still open."""
        if not waiting:
            self._unanswered_ns[axis] = 0
        elif not self._unanswered_ns[axis]:
            self._unanswered_ns[axis] = now_ns
        return waiting and now_ns - self._unanswered_ns[axis] > RESTART_NS

    # Before the loop: may wait.

    def _ask(self, request: bytes, done: Callable[[], bool], timeout_s: float) -> bool:
        """Write, then listen until ``done()`` or the time is over."""
        transport = self.transport
        if request and transport.write(request) == _LINK_LOST:
            return False
        end_ns = transport.clock() + int(timeout_s * 1e9)
        while not done():
            left_s = (end_ns - transport.clock()) * 1e-9
            if left_s <= 0 or transport.lost:
                return False
            transport.wait(min(0.01, left_s))
            self._feed(transport.read(), self._scratch)
        return True

    def _write_or_raise(self, data: bytes) -> None:
        if self.transport.write(data, urgent=True) == _LINK_LOST:
            raise PortError(f"the port {self.transport.name} went away while setting up: plug it in again.")

    # In the loop: nothing waits, nothing raises.

    def poll(self, feedback: np.ndarray) -> int:
        feedback["valid"] = 0
        transport, counters = self.transport, self.counters
        bad_crc, garbage = counters.bad_crc, counters.garbage_bytes
        filled = 0
        while data := transport.read():
            filled += self._feed(data, feedback)
        return filled or self._without_rows(bad_crc, garbage)

    def safe(self, action: str = "off") -> int:
        self.armed = False
        try:
            return self.transport.write(self._stop(action), urgent=True)
        except Exception:  # the last line of defence: whatever is wrong here, the caller still has other axes to stop
            return _LINK_LOST
