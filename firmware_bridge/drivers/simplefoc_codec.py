"""SimpleFOC Commander: SI commands to lines, lines to SI feedback, and the gates that stand in for a checksum. Pure.

No line carries a check or an address, so a flipped bit can look like a good value. A reading is taken only when it lies
where the last one, its rate and the command allow, or when two readings in a row agree. Sources: simplefoc/Arduino-FOC
src/communication/{Commander.cpp,commands.h}, common/base_classes/FOCMotor.cpp at 7f9c45f (2.4.0).
"""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from firmware_bridge.feedback_writer import FeedbackWriter
from firmware_bridge.interface import Counters

MAX_LINE = 20  # the device's buffer, with the line's end: longer ones vanish without an answer
_MAX_REPLY = 120
DECIMALS = 4  # of every number it prints, as told by the driver; a Commander that has just started prints 3
# Plain decimal numbers as the device prints them: nothing else that float() would take.
_NUMBER = r"(-?[0-9]{1,9}(?:\.[0-9]{1,9})?)"
_ONE = re.compile(_NUMBER).fullmatch
_LEFT_OUT = _NUMBER.replace("(-", "(?:-", 1)
# A reading with the decimals it was told to print: without their points its numbers are whole ones, which Python reads
# in a third of the time; divided by 10 ** DECIMALS they are the very floats.
_AS_TOLD = re.compile(";".join([rf"-?[0-9]{{1,9}}\.[0-9]{{{DECIMALS}}}"] * 7)).fullmatch
_SCALE = 10.0**DECIMALS
# target; Vq; Vd; Iq; Id; velocity; angle: of the two on the q axis one is used
_BY_CURRENT = re.compile(";".join([_NUMBER, _LEFT_OUT, _LEFT_OUT, _NUMBER, _LEFT_OUT, _NUMBER, _NUMBER])).fullmatch
_BY_VOLTAGE = re.compile(";".join([_NUMBER, _NUMBER, _LEFT_OUT, _LEFT_OUT, _LEFT_OUT, _NUMBER, _NUMBER])).fullmatch
_BIG = 1e6
TORQUE, RATE, ANGLE = 0, 1, 2  # of the command MC
MOTION_WORDS = {b"torque": TORQUE, b"vel": RATE, b"angle": ANGLE}
TORQUE_WORDS = {"voltage": (0, b"volt"), "dc_current": (1, b"dc curr"), "foc_current": (2, b"foc curr")}


@dataclass
class Gates:
    """What a reading may be. The tolerances are per reading; ``max_accel`` widens them with the time between two."""

    max_rate_rad_s: float = 60.0
    max_accel_rad_s2: float = 400.0
    max_A: float = 15.0
    angle_step_rad: float = 0.02
    rate_step_rad_s: float = 0.5
    current_step_A: float = 0.4


class Gate:
    """Range and rate of change of one axis's readings (angle, rate, current)."""

    def __init__(self, gates: Gates) -> None:
        self.gates = gates
        self._good: tuple[float, float, float] | None = None
        self._good_ns = 0
        self._last: tuple[float, float, float] | None = None  # the newest, whether taken or not
        self._last_ns = 0

    def reset(self) -> None:
        self._good = self._last = None

    def take(self, angle: float, rate: float, current: float, expected_A: float, t_ns: int) -> float:
        """The current to use when the reading can be believed, else NaN. ``expected_A``: what the device was told.

        Nothing is controlled by the current, so one that can't be believed does not cost the reading: it is brought
        to within ``current_step_A`` of what it was, or was told to be.
        """
        g = self.gates
        max_rate, max_A = g.max_rate_rad_s, 1.2 * g.max_A
        if not (-max_rate < rate < max_rate and -max_A < current < max_A and -_BIG < angle < _BIG):
            return math.nan
        reading = angle, rate, current
        if self._good is not None and self._near(self._good, self._good_ns, angle, rate, t_ns):
            was = self._good[2]
        elif self._last is not None and self._near(self._last, self._last_ns, angle, rate, t_ns):
            # Two in a row that agree are the truth: one flipped bit can't do that.
            was = self._good[2] if self._good is not None else current
        else:
            self._last, self._last_ns = reading, t_ns
            return math.nan
        self._last, self._last_ns = reading, t_ns
        step = g.current_step_A
        if not -step <= current - expected_A <= step:
            current = min(max(current, was - step), was + step)
            reading = angle, rate, current
        self._good, self._good_ns = reading, t_ns
        return current

    def _near(self, before: tuple[float, float, float], before_ns: int, angle: float, rate: float, t_ns: int) -> bool:
        g = self.gates
        dt = (t_ns - before_ns) * 1e-9
        if not 0.0 <= dt <= 0.2:
            dt = 0.0 if dt < 0.0 else 0.2
        rate_step = g.rate_step_rad_s + g.max_accel_rad_s2 * dt
        if not -rate_step <= rate - before[1] <= rate_step:
            return False
        return abs(angle - before[0] - 0.5 * (rate + before[1]) * dt) <= g.angle_step_rad + 0.5 * rate_step * dt


class SimplefocCodec:
    """Motors ``letters`` of one Commander. ``voltage``: torque by voltage (no current sense), then ``resistance``."""

    def __init__(self, letters: Sequence[str], torque_constant: float, resistance: float | None, gates: Gates,
                 counters: Counters) -> None:  # fmt: skip
        self.letters = [letter.encode() for letter in letters]
        self.axis_of = {letter[0]: axis for axis, letter in enumerate(self.letters)}
        self.torque_constant, self.resistance, self.counters = torque_constant, resistance, counters
        n = len(self.letters)
        self.gates = [Gate(gates) for _ in range(n)]
        self.asked = [False] * n  # a reading is expected: only one is taken
        self.enabled: list[int | None] = [None] * n  # as the device echoes
        self.motion_mode: list[int | None] = [None] * n
        self.torque_word: list[bytes] = [b""] * n
        self.limit_A: list[float | None] = [None] * n  # or volts, where torque is by voltage
        self.scan: dict[bytes, bytes] = {}  # letter -> label
        self.settings_lost = False  # it prints as it does after its start,
        self.unlike = 0  # replies in a row that look so: a line that lost its head does, too
        self.verbose_ok = False
        self.echo_ok = [True] * n  # the newest target came back as sent
        self.shown: list[tuple[int, int]] = [(0, 0)] * n  # fault and mode of the rows, by the driver
        self.changed = True  # the device said something of its state: ``shown`` is to be worked out anew
        self._rate = [0.0] * n
        self._sent = [0.0] * n
        self._echo = [b""] * n  # of the newest target, as it is expected back
        self._tail = b""
        self._put = FeedbackWriter().put
        self._readings, self._q = (_BY_CURRENT, 3) if resistance is None else (_BY_VOLTAGE, 1)
        self._get = [letter + b"MG7\n" for letter in self.letters]
        self._said: dict[bytes, tuple[list[int | None], int, int]] = {}  # line -> list, axis, value
        for axis, letter in enumerate(self.letters):
            self._said |= {letter + b"E%d" % on: (self.enabled, axis, on) for on in (0, 1)}
            self._said |= {letter + b"C" + word: (self.motion_mode, axis, mode) for word, mode in MOTION_WORDS.items()}

    def target(self, axis: int, mode: int, torque_Nm: float, rate_rad_s: float, angle_rad: float) -> bytes | None:
        """The target's line; None when a value is no number, absurd, or too long for the device's buffer."""
        if mode == 1:
            if not -_BIG < torque_Nm < _BIG:
                return None
            value = torque_Nm / self.torque_constant
            if self.resistance is not None:  # volts for that current at this speed
                value = value * self.resistance + self.torque_constant * self._rate[axis]
        else:
            value = rate_rad_s if mode == 2 else angle_rad
        if not -_BIG < value < _BIG:
            return None
        self._sent[axis] = value
        self._echo[axis] = echo = b"%b%.4f" % (self.letters[axis], value)
        return echo + b"\n"

    def say(self, axis: int, text: bytes) -> bytes:
        """A line for one motor. It must fit the device's buffer."""
        made = self.letters[axis] + text + b"\n"
        if len(made) > MAX_LINE:
            raise ValueError(f"{made!r} is longer than the {MAX_LINE} bytes a Commander takes")
        return made

    def ask(self, axis: int) -> bytes:
        """All of a motor's readings."""
        self.asked[axis] = True
        return self._get[axis]

    def feed(self, data: bytes, feedback: np.ndarray, t_ns: Sequence[int]) -> int:
        """Take bytes; fill ``feedback`` of the axes whose readings came and passed their gates, taken at ``t_ns`` of
        each; returns how many."""
        lines = (self._tail + data).split(b"\r\n")  # println's end; a line that lost it spoils its neighbour too
        tail = lines.pop()
        if len(tail) > _MAX_REPLY:
            self.counters.garbage_bytes += len(tail)
            tail = b"\xff"
        self._tail = tail
        filled, axis_of = 0, self.axis_of
        for line in lines:
            if line in self._said:
                where, axis, value = self._said[line]
                if where[axis] != value:
                    where[axis], self.changed = value, True
            elif line:
                of = axis_of.get(line[0])
                if of is None or len(line) > _MAX_REPLY:
                    self._general(line)
                elif line[1:3] == b"MG":
                    filled += self._reading(of, line[3:], feedback, t_ns[of])
                elif line == self._echo[of]:
                    self.echo_ok[of] = True
                else:
                    self._other(of, line)
        return filled

    def _other(self, axis: int, line: bytes) -> None:
        kind, rest = line[1:2], line[2:]
        if kind == b"T":
            self.torque_word[axis] = rest
        elif kind == b"L" and rest[:1] in (b"C", b"U"):
            self.limit_A[axis] = _number(rest[1:])
        elif kind.isdigit() or kind == b"-":
            echoed = _number(line[1:])
            self.echo_ok[axis] = echoed is not None and abs(echoed - self._sent[axis]) < 2e-4
        elif line.endswith(b"err"):
            self.counters.device_errors += 1
        elif kind == b":":
            self.scan[line[:1]] = rest
        elif kind.isalpha() and line.isascii():
            self.counters.unknown_frames += 1
        else:
            self.counters.garbage_bytes += len(line)

    def _general(self, line: bytes) -> None:
        if line[:1] == b"?" and line[2:3] == b":":
            self.scan[line[1:2]] = line[3:]
        elif line[1:2] == b":" and line[:1].isalpha():
            self.scan[line[:1]] = line[2:]
        elif line == b"@machine":
            self.verbose_ok = True
        elif line.count(b";") == 6 and self._readings(line.decode("latin1")):
            self._unlike_told()  # readings that don't say whose they are
        elif line[:1] != b"#" and not line.startswith(b"Verb"):
            self.counters.garbage_bytes += len(line)

    def _unlike_told(self) -> None:
        """A reply as of a device that has just started; the second in a row is believed."""
        self.unlike += 1
        self.settings_lost = self.settings_lost or self.unlike > 1

    def _reading(self, axis: int, text: bytes, feedback: np.ndarray, t_ns: int) -> int:
        """target; Vq; Vd; Iq; Id (A); velocity; angle."""
        words = text.decode("latin1")
        as_told = _AS_TOLD(words) is not None
        found = None if as_told else self._readings(words)
        if found is None and not as_told:
            if _ONE(words) is None:
                self.counters.garbage_bytes += len(text)
            return 0
        if not self.asked[axis]:
            self.counters.unknown_frames += 1  # a second answer to one question
            return 0
        self.asked[axis] = False
        if found is None:
            self.unlike = 0
            whole = words.replace(".", "").split(";")
            expected, current = int(whole[0]) / _SCALE, int(whole[self._q]) / _SCALE
            rate, angle = int(whole[5]) / _SCALE, int(whole[6]) / _SCALE
        else:
            if words.find(";") - words.find(".") != DECIMALS + 1 and len(words) - words.rfind(".") != DECIMALS + 1:
                self._unlike_told()  # the first number and the last: one damaged byte is not believed
            else:
                self.unlike = 0
            expected, current, rate, angle = map(float, found.groups())
        if self.resistance is not None:  # no current is measured: what voltage and speed make of it
            current = (current - self.torque_constant * rate) / self.resistance
            expected = (expected - self.torque_constant * rate) / self.resistance
        if self.motion_mode[axis] != TORQUE or not self.enabled[axis]:
            expected = math.inf  # the device's own loops set the current: its rate of change is all there is to check
        current = self.gates[axis].take(angle, rate, current, expected, t_ns)
        if current != current:
            self.counters.bad_values += 1
            return 0
        self._rate[axis] = rate
        fault, mode = self.shown[axis]
        self._put(feedback, axis, t_ns, angle, rate, current * self.torque_constant, current, 0.0, 0.0, fault, mode)
        self.counters.rows += 1
        return 1


def read_stream(line: bytes, fields: str) -> dict[str, float] | None:
    """One line of the monitor stream (``MMS`` with a 1 for each of target, Vq, Vd, Iq, Id, velocity, angle). The stream
    gives currents in mA where the questions above give A: they are returned in A."""
    names = [name for name, on in zip(("target", "Vq", "Vd", "Iq", "Id", "rate", "angle"), fields) if on == "1"]
    numbers = [_number(word) for word in line.rstrip(b"\r\n").split(b"\t")]
    if len(numbers) != len(names) or any(number is None for number in numbers):
        return None
    return {name: (number or 0.0) * (1e-3 if name in ("Iq", "Id") else 1.0) for name, number in zip(names, numbers)}


def _number(text: bytes) -> float | None:
    words = text.decode("latin1")
    return float(words) if _ONE(words) else None
