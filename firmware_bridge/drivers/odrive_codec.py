"""ODrive ASCII: SI commands to lines, lines to SI feedback. Pure: no port, no clock.

A reply does not say what it answers, and a device drops a reply while the one before is still being sent, so there is
one request in flight; the codec remembers which. ``f`` is answered by two numbers, ``r`` by one: a late answer of the
other shape is never taken for the one that is waited for. Sources: odriverobotics/ODrive
Firmware/communication/ascii_protocol.cpp at f9b5419c, docs "ASCII protocol" of 0.6.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

from firmware_bridge.feedback_writer import FeedbackWriter
from firmware_bridge.framing import xor8
from firmware_bridge.interface import Counters

TURN = 2 * math.pi
_BIG, _ABSURD = 1e6, 1e12
_MAX_LINE = 256
IDLE, CLOSED_LOOP = 1, 8
WATCHDOG_EXPIRED, NOT_READY = 0x10000, 0x10001  # BridgeFault

# What is read, by firmware (0.5, 0.6): property of the axis, or of the board where it starts with a slash.
PROPERTIES = {
    "error": ("error", "disarm_reason"),
    "state": ("current_state", "current_state"),
    "iq": ("motor.current_control.Iq_measured", "motor.foc.Iq_measured"),
    "temp": ("motor.fet_thermistor.temperature", "motor.fet_thermistor.temperature"),
    "vbus": ("/vbus_voltage", "/vbus_voltage"),
    "watchdog_s": ("config.watchdog_timeout", "config.watchdog_timeout"),
    "watchdog_on": ("config.enable_watchdog", "config.enable_watchdog"),
    "input_mode": ("controller.config.input_mode", "controller.config.input_mode"),
}
_WATCHDOG_BIT = (0x800, 0x1000000)
_FEEDBACK = "feedback"
_CHECKS = {b"%d" % value: value for value in range(256)}  # as they are written, without leading zeros


def line(text: bytes, checksum: bool) -> bytes:
    """One command line. The checksum is the decimal XOR of all before the star; a bare LF ends it (CR would be a
    second, empty command)."""
    return b"%b*%d\n" % (text, xor8(text)) if checksum else text + b"\n"


def read_line(data: bytes, checksum: bool) -> bytes | None:
    """The text of a reply, or None when its check is wrong or missing though asked for."""
    text, star, check = data.rpartition(b"*")
    if not star:
        return None if checksum else data
    return text if _CHECKS.get(check) == xor8(text) else None


class OdriveCodec:
    """Axes ``ids`` (0 or 1) of one board. ``generation``: 0 for firmware 0.5, 1 for 0.6."""

    def __init__(self, ids: Sequence[int], torque_constant: float, checksum: bool, counters: Counters) -> None:
        self.ids, self.torque_constant, self.checksum, self.counters = list(ids), torque_constant, checksum, counters
        self.generation = 0
        n = len(self.ids)
        self.pending: tuple[str, int] | None = None  # what is asked for, of which axis (by index)
        self.values: list[dict[str, float]] = [{} for _ in range(n)]  # newest reply by what was asked
        self.texts: list[bytes] = []  # lines that are no numbers, newest last, at most eight
        self.active_mode = [0] * n  # as commanded
        self._tail = b""
        self._put = FeedbackWriter().put
        self._feedback_lines = [line(b"f %d" % i, checksum) for i in self.ids]
        self._feed_lines = [line(b"u %d" % i, checksum) for i in self.ids]
        self._make_queries()

    def _make_queries(self) -> None:
        g = self.generation
        self._queries = [
            {kind: self._line(self._name(axis, names[g])) for kind, names in PROPERTIES.items()} for axis in self.ids
        ]

    def use_generation(self, generation: int) -> None:
        """After the firmware's version is known."""
        self.generation = generation
        self._make_queries()

    def _name(self, axis: int, name: str) -> bytes:
        return b"r " + (name[1:] if name[0] == "/" else f"axis{axis}.{name}").encode()

    def _line(self, text: bytes) -> bytes:
        return line(text, self.checksum)

    def write_property(self, axis: int, name: str, value: float) -> bytes:
        """``w axisN.name value``; no reply."""
        return self._line(b"w axis%d.%b %.6g" % (self.ids[axis], name.encode(), value))

    def request_state(self, axis: int, state: int) -> bytes:
        return self._line(b"w axis%d.requested_state %d" % (self.ids[axis], state))

    def feed_watchdog(self, axis: int) -> bytes:
        return self._feed_lines[axis]

    def motion(self, axis: int, mode: int, torque_Nm: float, rate_rad_s: float, angle_rad: float) -> bytes | None:
        """The line of one axis; None when a value is no number or absurd."""
        number = self.ids[axis]
        if mode == 1:
            if -_BIG < torque_Nm < _BIG:
                return line(b"c %d %.5f" % (number, torque_Nm), self.checksum)
        elif mode == 2:
            if -_BIG < rate_rad_s < _BIG and -_BIG < torque_Nm < _BIG:
                return line(b"v %d %.6f %.5f" % (number, rate_rad_s / TURN, torque_Nm), self.checksum)
        elif mode == 3:
            if -_BIG < angle_rad < _BIG and -_BIG < rate_rad_s < _BIG and -_BIG < torque_Nm < _BIG:
                return line(b"p %d %.6f %.6f %.5f" % (number, angle_rad / TURN, rate_rad_s / TURN, torque_Nm),
                            self.checksum)  # fmt: skip
        return None

    def ask(self, kind: str, axis: int) -> bytes:
        """The request, remembered as the one in flight."""
        self.pending = (kind, axis)
        return self._feedback_lines[axis] if kind == _FEEDBACK else self._queries[axis][kind]

    def feed(self, data: bytes, feedback: np.ndarray, t_ns: int) -> int:
        """Take bytes; fill ``feedback`` where position and velocity came, dated t_ns; returns how many."""
        end = len(data) - 2
        if not self._tail and data.find(b"\r") == end > 0 and data.find(b"\n") == end + 1:  # one whole line, as usual
            return self._reply(data[:end], feedback, t_ns)
        lines = (self._tail + data).split(b"\n")
        tail = lines.pop()
        if b"\r" in tail:  # a line that lost its LF
            *more, tail = tail.split(b"\r")
            lines += more
        if len(tail) > _MAX_LINE:
            self.counters.garbage_bytes += len(tail)
            tail = b"\xff"
        self._tail = tail
        filled = 0
        for text in lines:
            text = text.strip(b"\r")
            if b"\r" in text:
                filled += sum(self._reply(part, feedback, t_ns) for part in text.split(b"\r") if part)
            elif text:
                filled += self._reply(text, feedback, t_ns)
        return filled

    def _reply(self, data: bytes, feedback: np.ndarray, t_ns: int) -> int:
        if len(data) > _MAX_LINE:
            self.counters.garbage_bytes += len(data)
            return 0
        text = read_line(data, self.checksum)
        if text is None:
            if b"*" in data:
                self.counters.bad_crc += 1
            else:
                self.counters.garbage_bytes += len(data)
            return 0
        try:
            numbers = list(map(float, text.decode("latin1").split(" ")))  # float() reads str faster than bytes
        except ValueError:
            return self._words(text)
        pending = self.pending
        if pending is None or len(numbers) != (2 if pending[0] == _FEEDBACK else 1):
            self.counters.unknown_frames += 1
            return 0
        self.pending = None
        kind, axis = pending
        first, last = numbers[0], numbers[-1]
        if not (-_ABSURD < first < _ABSURD and -_ABSURD < last < _ABSURD):
            self.counters.bad_values += 1
            return 0
        if kind != _FEEDBACK:
            self.values[axis][kind] = first
            return 0
        self._fill(axis, first * TURN, last * TURN, feedback, t_ns)
        self.counters.rows += 1
        return 1

    def _words(self, text: bytes) -> int:
        if not text.isascii() or not text[:1].isalpha():
            self.counters.garbage_bytes += len(text)
            return 0
        self.texts = [*self.texts[-7:], text]
        if text.startswith((b"invalid", b"unknown", b"not ")):
            self.counters.device_errors += 1
            self.pending = None
        return 0

    def _fill(self, axis: int, angle: float, rate: float, feedback: np.ndarray, t_ns: int) -> None:
        get = self.values[axis].get
        current = get("iq", 0.0)
        fault, mode = self.fault_and_mode(axis)
        self._put(feedback, axis, t_ns, angle, rate, current * self.torque_constant, current, get("vbus", 0.0),
                  get("temp", 0.0), fault, mode)  # fmt: skip

    def fault_and_mode(self, axis: int) -> tuple[int, int]:
        """(AXIS_FEEDBACK.fault, .mode) from the newest error and state."""
        values, wanted = self.values[axis], self.active_mode[axis]
        error, state = int(values.get("error", 0)), values.get("state")
        if error:
            expired = error & _WATCHDOG_BIT[self.generation]
            return (WATCHDOG_EXPIRED if expired else error & 0xFFFFFFFF), -1
        if state is None:
            return 0, -1
        if state == CLOSED_LOOP:
            return 0, wanted
        if state == IDLE:
            return (0, 0) if wanted == 0 else (NOT_READY, -1)
        return 0, -1
