"""SimpleFOC's Commander: torque, rate, angle, without a checksum and without a watchdog.

Since nothing stops the motor when the host dies, arming needs ``accept_no_watchdog``. Since a line can change on its
way, what was switched (enable, kind of motion) is taken as done only once it is echoed, and said again until then; the
device's own limit is set and read back; readings go through gates.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import ClassVar

import numpy as np

from firmware_bridge.drivers.line_motor import BRAKE, MOTOR_OPTIONS, LineMotor, required
from firmware_bridge.drivers.simplefoc_codec import DECIMALS, TORQUE_WORDS, Gates, SimplefocCodec
from firmware_bridge.errors import DeviceRefused, NoAnswer, OptionError, WrongDevice
from firmware_bridge.framing import line_time_s
from firmware_bridge.interface import AxisMode, BridgeFault, Capabilities, Identity, Option, Status

_OUT, _IN = 11 + 5 + 2, 13 + 68 + 3  # bytes an axis and cycle: target, question, a share of the checks; their answers
_USB_LINES = 250.0  # lines a second a Commander reads without disturbing the motor loop much (two an axis and cycle)
_REPLY_NS = 15_000_000  # an answer doesn't say to which question: until then no other is asked
_REPEAT_NS = 25_000_000
_CHECK_EVERY = 4  # cycles between questions whether the motor is still enabled
_NOT_READY = int(BridgeFault.NOT_READY)


class Simplefoc(LineMotor):
    NAME = "simplefoc"
    OPTIONS: ClassVar = {
        **{key: option for key, option in MOTOR_OPTIONS.items()},
        "letters": Option(str, "MNO", "Commander letters of the motors with id 0, 1, 2"),
        "torque_mode": Option(str, "foc_current", "what a torque target is on the device", choices=tuple(TORQUE_WORDS)),
        "phase_resistance_ohm": Option(float, None, "of the motor; needed where torque_mode is voltage", 1e-3, 1000.0),
        "max_current_A": Option(float, None, "the device's current limit, set and read back", 0.01, 500.0),
        "max_rate_rad_s": Option(float, 60.0, "a reading beyond this is not believed", 0.1, 1e4),
        "max_accel_rad_s2": Option(float, 400.0, "a change of rate beyond this is not believed", 1.0, 1e6),
        "angle_step_rad": Option(float, 0.02, "scatter of the angle that is believed", 1e-4, 1.0),
        "rate_step_rad_s": Option(float, 0.5, "scatter of the rate that is believed", 1e-3, 100.0),
        "current_step_A": Option(float, 0.4, "deviation of the current from its target that is believed", 1e-3, 100.0),
        "link": Option(str, "uart", "usb (CDC) or uart", choices=("usb", "uart")),
    }  # fmt: skip
    _needs: ClassVar = ("torque_constant_Nm_A", "max_current_A")

    def setup(self) -> None:
        super().setup()
        o = self.options
        letters = str(o["letters"])
        if any(not 0 <= i < len(letters) for i in self.ids) or not letters.isascii() or not letters.isalpha():
            raise OptionError(
                f"simplefoc: letters {letters!r} don't name a motor for each of the ids {self.ids}. Ids count from 0: "
                "with letters = 'MN', roll_id = 1 is the motor that the sketch added to its Commander as 'N'."
            )
        self._by_voltage = o["torque_mode"] == "voltage"
        resistance = required(self.NAME, self.OPTIONS, o, "phase_resistance_ohm") if self._by_voltage else None
        gates = Gates(o["max_rate_rad_s"], o["max_accel_rad_s2"], o["max_current_A"], o["angle_step_rad"],
                      o["rate_step_rad_s"], o["current_step_A"])  # fmt: skip
        self.codec = SimplefocCodec(
            [letters[i] for i in self.ids], self.torque_constant, resistance, gates, self.counters
        )
        self.max_torque_Nm = min(self.max_torque_Nm, o["max_current_A"] * self.torque_constant)
        n = self.n_axes
        self._limit = o["max_current_A"] * (resistance or 1.0)
        self._mode = [0] * n  # as commanded, once carried out
        self._latched = [0] * n
        self._said_ns = [[0, 0] for _ in range(n)]  # enable, kind of motion: when last said
        self._was_enabled = [False] * n
        self._cycle = 0
        self._asked_axis_ns = [0] * n
        uart = o["link"] == "uart"
        self._delay_ns = int(1e9 * line_time_s((_OUT - 2) * n, self.transport.baud)) if uart else 500_000

    @property
    def capabilities(self) -> Capabilities:
        n = self.n_axes
        modes = frozenset((AxisMode.OFF, AxisMode.TORQUE, AxisMode.RATE, AxisMode.ANGLE))
        text = f"two lines an axis and cycle, {_USB_LINES:.0f} cycles a second beside the motor loop"
        rate = _USB_LINES / n
        if self.options["link"] == "uart":
            busiest = max(_OUT, _IN) * n
            text = f"{busiest} bytes a cycle the busier way, 10 bits each, at {self.transport.baud:.0f} baud; " + text
            rate = min(rate, 1 / line_time_s(busiest, self.transport.baud))
        return Capabilities(modes, False, rate, text + ".")

    def identify(self, timeout_s: float = 1.0) -> Identity:
        """The Commander's list of letters. Nothing moves."""
        codec, transport = self.codec, self.transport
        transport.discard_input()
        for _ in range(4):
            # An empty line ends what an earlier program left; @3 makes every answer name what it answers.
            if self._ask(b"\n@3\n?\n", lambda: all(letter in codec.scan for letter in codec.letters), timeout_s / 4):
                break
        missing = [letter.decode() for letter in codec.letters if letter not in codec.scan]
        if not codec.scan:
            self._raise_no_answer()
        if missing:
            known = ", ".join(sorted(letter.decode("ascii", "replace") for letter in codec.scan))
            raise WrongDevice(
                f"the Commander on {transport.name} has no motor {', '.join(missing)}; it has {known}. Correct letters "
                "and ids in the rig file, or the sketch's command.add()."
            )
        labels = "/".join(codec.scan[letter].decode("ascii", "replace") for letter in codec.letters)
        return Identity("simplefoc", labels, "Commander")

    def _raise_no_answer(self) -> None:
        name = self.transport.name
        if self.counters.garbage_bytes > 40:
            raise WrongDevice(
                f"what answers on {name} is no SimpleFOC Commander: its lines are of another kind. Check which device "
                "this port is (`gimbal devices`) and its baud."
            )
        raise NoAnswer(
            f"no SimpleFOC Commander answers on {name}. Check power and cable, the baud of Serial.begin(), that the "
            "sketch calls command.run() in its loop, and that its line end is a line feed."
        )

    def configure(self) -> None:
        """Motors off; decimals, kind of torque and the device's own current limit set and read back."""
        self.armed = False
        codec = self.codec
        self._unanswered_ns = [0] * self.n_axes
        self._write_or_raise(self._stop("off") + b"@3\n#%d\n" % DECIMALS)
        number, word = TORQUE_WORDS[str(self.options["torque_mode"])]
        for axis in range(self.n_axes):
            self._mode[axis] = 0
            codec.gates[axis].reset()
            limit = b"LU%.3f" if self._by_voltage else b"LC%.3f"
            checks = (
                (b"E0", lambda a=axis: codec.enabled[a] == 0, "to switch off"),
                (b"T%d" % number, lambda a=axis: codec.torque_word[a] == word, f"torque by {word.decode()}"),
                (limit % self._limit, lambda a=axis: self._limit_is_set(a), f"a limit of {self._limit:g}"),
            )
            for text, done, what in checks:
                if not any(self._ask(codec.say(axis, text), done, 0.1) for _ in range(5)):
                    raise DeviceRefused(
                        f"motor {codec.letters[axis].decode()} of the Commander on {self.transport.name} was told "
                        f"{what} and does not confirm it. Check the sketch (command.motor for this letter, current "
                        "sense for torque by current) and the line's baud."
                    )
        self.restarted, self._latched = False, [0] * self.n_axes
        codec.settings_lost, codec.unlike, codec.changed = False, 0, True

    def _limit_is_set(self, axis: int) -> bool:
        got = self.codec.limit_A[axis]
        return got is not None and math.isclose(got, self._limit, rel_tol=1e-3, abs_tol=1e-3)

    def arm(self) -> int:
        """REFUSED unless the config accepts a device without a watchdog."""
        if self.restarted:
            return int(Status.REBOOTED)
        if not self.options["accept_no_watchdog"]:
            self.armed = False
            return int(Status.REFUSED)
        self.armed = True
        self._latched = [0] * self.n_axes
        self._was_enabled = [False] * self.n_axes
        return self.transport.write(self._stop("off"), urgent=True)

    def disarm(self) -> int:
        self.armed = False
        return self.transport.write(self._stop("off"), urgent=True)

    def _stop(self, action: str) -> bytes:
        # Said twice: there is no checksum, and a line that was changed on its way stops nothing.
        self._mode = [0] * self.n_axes
        self.codec.enabled[:], self.codec.changed = [None] * self.n_axes, True
        return b"\n" + b"".join(self.codec.say(axis, b"E0") for axis in range(self.n_axes)) * 2

    def command(self, mode: Sequence[int] | np.ndarray, torque_Nm: Sequence[float] | np.ndarray,
                rate_rad_s: Sequence[float] | np.ndarray, angle_rad: Sequence[float] | np.ndarray) -> int:  # fmt: skip
        now, codec, limit = self.transport.clock(), self.codec, self.max_torque_Nm
        out: list[bytes] = []
        bad = False
        self._cycle += 1
        for axis in range(self.n_axes):
            gone = codec.settings_lost or self._silent_too_long(axis, codec.asked[axis], now)
            if gone and not self.restarted:
                self.restarted, self.armed, self._latched = True, False, [_NOT_READY] * self.n_axes
                codec.changed = True
            m, torque = int(mode[axis]) if mode[axis] != BRAKE else 0, torque_Nm[axis]
            if torque > limit or torque < -limit:
                torque = torque if abs(torque) > 1e6 else math.copysign(limit, torque)  # absurd ones are for target()
            text: bytes | None = b""
            if not self.armed or self._latched[axis]:
                m = 0
            elif m:
                text = codec.target(axis, m, torque, rate_rad_s[axis], angle_rad[axis]) if m in (1, 2, 3) else None
                if text is None:
                    bad = True
                    self.counters.bad_values += 1
                    m = 0
            self._switch(axis, m, text or b"", now, out)
            if not codec.asked[axis] or now - self._asked_axis_ns[axis] > _REPLY_NS:
                self._asked_axis_ns[axis] = now
                out.append(codec.ask(axis))
            if self._cycle % _CHECK_EVERY == 0:
                out.append(codec.say(axis, b"E"))
            elif self._cycle % _CHECK_EVERY == 2 and m:
                out.append(codec.say(axis, b"C"))
        status = self.transport.write(b"".join(out))
        if status == 0 and bad:
            return int(Status.BAD_VALUE)
        if status == 0 and not self.armed and any(mode):
            return int(Status.NOT_ARMED)
        return status

    def _switch(self, axis: int, mode: int, target: bytes, now: int, out: list[bytes]) -> None:
        """Bring the device to ``mode``, one echoed step after the other; the target only where it is understood."""
        codec, said = self.codec, self._said_ns[axis]
        if mode != self._mode[axis]:
            said[0] = said[1] = 0
            self._mode[axis] = mode
            codec.changed = True
        if not mode:
            if codec.enabled[axis] != 0 and now - said[0] > _REPEAT_NS:
                said[0] = now
                out.append(codec.say(axis, b"E0"))
            return
        if codec.motion_mode[axis] != mode - 1:
            if now - said[1] > _REPEAT_NS:
                said[1] = now
                if codec.enabled[axis]:
                    out.append(codec.say(axis, b"E0"))  # never in the old kind of motion with the new one's target
                    codec.enabled[axis] = None
                    self._was_enabled[axis] = False
                out.append(codec.say(axis, b"C%d" % (mode - 1)))
            return
        out.append(target)
        if codec.enabled[axis] != 1 and not self._latched[axis] and now - said[0] > _REPEAT_NS:
            said[0] = now
            out.append(codec.say(axis, b"E1"))

    def _feed(self, data: bytes, feedback: np.ndarray) -> int:
        codec = self.codec
        arrival = self.transport.arrival_ns
        filled = codec.feed(data, feedback, [min(t + self._delay_ns, arrival) for t in self._asked_axis_ns])
        if codec.changed:
            codec.changed = False
            self._show()
        return filled

    def _show(self) -> None:
        """Fault and mode of the rows, from what the device said and was told."""
        codec = self.codec
        for axis in range(self.n_axes):
            enabled, mode = codec.enabled[axis], self._mode[axis]
            if mode and enabled == 0 and self._was_enabled[axis] and self.armed:
                self._latched[axis] = _NOT_READY  # it was switched off by the sketch or a driver's fault
            self._was_enabled[axis] = bool(enabled) and mode != 0
            latched = self._latched[axis]
            ready = enabled == 1 and codec.motion_mode[axis] == mode - 1
            codec.shown[axis] = (latched, -1) if latched else (0, mode if ready else 0)
