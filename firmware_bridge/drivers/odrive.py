"""ODrive over its ASCII protocol: torque, rate, angle; the axis's own watchdog, set and read back.

One board a line, with one axis (0.6: Pro, S1, Micro) or two (0.5: v3.6). Every cycle sends the commands of all axes and
one request; of eight requests six are for position and velocity, one for the error and one, in turn, for state,
current, voltage and temperature. All that is written is gone when the board restarts, so it is written and read back
each time before an axis enters closed loop.
"""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Sequence
from typing import ClassVar

import numpy as np

from firmware_bridge.drivers.line_motor import BRAKE, MOTOR_OPTIONS, LineMotor, watchdog_option
from firmware_bridge.drivers.odrive_codec import CLOSED_LOOP, IDLE, OdriveCodec
from firmware_bridge.errors import DeviceRefused, NoAnswer, OptionError, WrongDevice
from firmware_bridge.framing import line_time_s
from firmware_bridge.interface import AxisMode, BridgeFault, Capabilities, Identity, Option, Status

_OUT, _ASK, _REPLY = 21, 8, 26  # bytes: the longer motion lines, `f 0*118`, its reply
_TURN_OF = ("feedback",) * 3 + ("error",) + ("feedback",) * 3 + ("other",)
_OTHERS = ("state", "iq", "state", "vbus", "state", "iq", "state", "temp")  # state: a restarted board is idle
_NOT_READY = int(BridgeFault.NOT_READY)
_GUARDS = ("watchdog_s", "watchdog_on", "input_mode")


class Odrive(LineMotor):
    NAME = "odrive"
    OPTIONS: ClassVar = {
        **MOTOR_OPTIONS,
        "watchdog_ms": watchdog_option(50.0, 5.0, 1000.0),
        "link": Option(str, "usb", "usb (CDC) or uart", choices=("usb", "uart")),
        "checksum": Option(bool, True, "XOR checksum on every line, both ways"),
    }

    def setup(self) -> None:
        super().setup()
        if any(axis not in (0, 1) for axis in self.ids):
            raise OptionError(
                f"odrive: the axes of a board are 0 and 1, not {self.ids}. An ODrive's ASCII protocol has no address "
                "beyond the axis: give each board its own port, and the axis's number as roll_id, pitch_id or yaw_id."
            )
        self.codec = OdriveCodec(self.ids, self.torque_constant, self.options["checksum"], self.counters)
        uart = self.options["link"] == "uart"
        baud = self.transport.baud if uart else math.inf
        wait_s = 4e-3 if not uart else 2 * line_time_s(_OUT * self.n_axes + _ASK + _REPLY, baud) + 2e-3
        self._reply_timeout_ns = self._patience_ns = int(1e9 * wait_s)
        self._delay_ns = int(1e9 * line_time_s(_OUT * self.n_axes + _ASK, baud)) if uart else 500_000
        self._turns = [0] * self.n_axes
        self._others = [0] * self.n_axes
        self._next_axis = 0
        self._first: deque[tuple[str, int]] = deque(maxlen=32)  # asked before anything else
        self._asked_ns = self._written_ns = 0
        self._running = [False] * self.n_axes  # closed loop was requested
        self._guarded = self._unguarded = False  # the settings were read back since arm(): they hold; they don't
        self._stood = False  # all axes were idle since then
        self._doubted = [False] * self.n_axes  # idle without having been told so: its error is being asked for

    @property
    def capabilities(self) -> Capabilities:
        n = self.n_axes
        modes = frozenset((AxisMode.OFF, AxisMode.TORQUE, AxisMode.RATE, AxisMode.ANGLE))
        if self.options["link"] == "usb":
            text = f"One request in flight, 2 USB frames of 1 ms each way and axis, {n} axes."
            return Capabilities(modes, True, 1 / (2e-3 * n), text)
        each = _OUT * n + n * (_ASK + _REPLY)
        text = f"{each} bytes a cycle (one request in flight), 10 bits each, at {self.transport.baud:.0f} baud."
        return Capabilities(modes, True, 1 / line_time_s(each, self.transport.baud), text)

    def identify(self, timeout_s: float = 1.0) -> Identity:
        """``i``: hardware, firmware, serial number; then the named axes' states. Nothing moves."""
        self.transport.discard_input()
        codec = self.codec
        codec.texts.clear()
        self.transport.write(b"\n")  # what an earlier program left half-written ends here
        for _ in range(3):
            if self._ask(codec._line(b"i"), lambda: any(t[:6] == b"Serial" for t in codec.texts), timeout_s / 4):
                break
        told = dict(text.split(b": ", 1) for text in codec.texts if b": " in text)
        if b"Firmware version" not in told:
            self._raise_no_answer()
        firmware = told[b"Firmware version"].decode()
        version = [int(part) if part.isdigit() else 0 for part in firmware.lstrip("v").split(".")[:2]]
        if version < [0, 5]:
            raise WrongDevice(
                f"the ODrive on {self.transport.name} has firmware {firmware}; this driver speaks to 0.5 and 0.6, "
                "where torque is in N m and position in turns. Update it with `odrivetool dfu`."
            )
        codec.use_generation(0 if version < [0, 6] else 1)
        for axis, number in enumerate(self.ids):
            if not self._read("state", axis):
                raise NoAnswer(
                    f"the ODrive on {self.transport.name} has no axis{number}. Check roll_id, pitch_id and yaw_id in "
                    "the rig file: boards with firmware 0.6 have axis 0 only."
                )
        return Identity("odrive", told.get(b"Hardware version", b"").decode(), firmware,
                        told.get(b"Serial number", b"").decode())  # fmt: skip

    def _raise_no_answer(self) -> None:
        name = self.transport.name
        if self.counters.garbage_bytes + self.counters.bad_crc > 40:
            raise WrongDevice(
                f"what answers on {name} is no ODrive: its bytes are no ASCII protocol lines. Check which device this "
                "port is (`gimbal devices`) and its baud."
            )
        raise NoAnswer(
            f"no ODrive answers on {name}. Check its power and cable, that the ASCII protocol is enabled on this port "
            "(uart0_protocol, usb_cdc_protocol), the baud, and that no other program uses the port."
        )

    def _read(self, kind: str, axis: int) -> bool:
        values = self.codec.values[axis]
        values.pop(kind, None)
        return any(self._ask(self.codec.ask(kind, axis), lambda: kind in values, 0.25) for _ in range(4))

    def configure(self) -> None:
        """Idle, watchdog off but its time set and read back; passed-through inputs."""
        self.armed = False
        watchdog_s = self.options["watchdog_ms"] * 1e-3
        for axis, number in enumerate(self.ids):
            write = self.codec.write_property
            self._write_or_raise(
                self.codec.request_state(axis, IDLE) + write(axis, "config.enable_watchdog", 0)
                + write(axis, "config.watchdog_timeout", watchdog_s) + write(axis, "controller.config.input_mode", 1)
            )  # fmt: skip
            self.codec.active_mode[axis] = 0
            self._running[axis] = False
            got = self.codec.values[axis].get("watchdog_s") if self._read("watchdog_s", axis) else None
            if got is None or not math.isclose(got, watchdog_s, rel_tol=0.02):
                if self.options["accept_no_watchdog"]:
                    continue
                raise DeviceRefused(
                    f"axis{number} of the ODrive on {self.transport.name} was told watchdog_timeout {watchdog_s:g} s "
                    f"and reads back {got}. Without it the motor would go on when the host dies. Update the firmware, "
                    "or accept the risk by name: accept_no_watchdog = true."
                )
            for kind in ("vbus", "temp", "iq", "error", "state"):
                self._read(kind, axis)
        self.restarted, self._doubted = False, [False] * self.n_axes

    def arm(self) -> int:
        """Clear errors, watchdog on. An axis enters closed loop with its first command."""
        if self.restarted:
            return int(Status.REBOOTED)
        self.armed = True
        self._running, self._doubted = [False] * self.n_axes, [False] * self.n_axes
        data = self.codec._line(b"sc") + self._guard()
        for axis in range(self.n_axes):
            values = self.codec.values[axis]
            for kind in ("error", "state"):
                values.pop(kind, None)
                self._first.append((kind, axis))
        self._written_ns = self.transport.clock()
        return self.transport.write(data, urgent=True)

    def _guard(self) -> bytes:
        """Write the settings anew; no axis moves before they were read back."""
        data = b""
        for axis in range(self.n_axes):
            write = self.codec.write_property
            data += self.codec.feed_watchdog(axis) + write(axis, "controller.config.input_mode", 1)
            data += write(axis, "config.watchdog_timeout", self.options["watchdog_ms"] * 1e-3)
            data += write(axis, "config.enable_watchdog", 1)
            for kind in _GUARDS:
                self.codec.values[axis].pop(kind, None)
                self._first.append((kind, axis))
        self.watchdog_applied_s = [math.nan] * self.n_axes
        self._guarded, self._unguarded, self._stood = self.options["accept_no_watchdog"], False, False
        return data

    def disarm(self) -> int:
        self.armed = False
        return self.transport.write(self._stop("off"), urgent=True)

    def _stop(self, action: str) -> bytes:
        data = b"\n"
        for axis in range(self.n_axes):
            data += self.codec.request_state(axis, IDLE) + self.codec.write_property(axis, "config.enable_watchdog", 0)
            self.codec.active_mode[axis] = 0
            self._running[axis] = False
        return data

    def command(self, mode: Sequence[int] | np.ndarray, torque_Nm: Sequence[float] | np.ndarray,
                rate_rad_s: Sequence[float] | np.ndarray, angle_rad: Sequence[float] | np.ndarray) -> int:  # fmt: skip
        now = self.transport.clock()
        moving = any(mode)
        refused = not self.armed and moving
        again = b""
        if moving and self._stood and self.armed:  # it may have restarted while it stood
            again = self._guard()
        if refused or not self._guarded:
            mode = self._off
        elif not moving:
            self._stood = True
        self._after_silence(now)
        out, bad, limit = [again], False, self.max_torque_Nm
        for axis in range(self.n_axes):
            m = mode[axis] if mode[axis] != BRAKE else 0
            torque = torque_Nm[axis]
            if torque > limit or torque < -limit:
                torque = torque if abs(torque) > 1e6 else math.copysign(limit, torque)  # absurd ones are for motion()
            text = self.codec.motion(axis, m, torque, rate_rad_s[axis], angle_rad[axis]) if m else b""
            if text is None:
                bad = True
                self.counters.bad_values += 1
                m, text = 0, b""
            out.append(self._with_state(axis, m, text))
        out.append(self._request(now))
        self._written_ns = now
        status = self.transport.write(b"".join(out))
        if status == 0 and (bad or refused):
            return int(Status.BAD_VALUE if bad else Status.NOT_ARMED)
        return int(Status.REFUSED) if status == 0 and self._unguarded else status

    def _with_state(self, axis: int, mode: int, text: bytes) -> bytes:
        codec = self.codec
        codec.active_mode[axis] = int(mode)
        if mode and not self._running[axis]:
            self._running[axis], self._doubted[axis] = True, False
            text += codec.request_state(axis, CLOSED_LOOP)  # after its input, so that it starts from there
        elif not mode and self._running[axis]:
            self._running[axis] = False
            text = codec.request_state(axis, IDLE)
        elif not mode:
            return codec.feed_watchdog(axis) if self.armed else b""
        else:
            return text
        codec.values[axis].pop("state", None)
        self._first.append(("state", axis))
        return text

    def _after_silence(self, now: int) -> None:
        # A device that was not fed has disarmed itself: its error is asked for before its position.
        if self.armed and now - self._written_ns > 0.8e6 * self.options["watchdog_ms"]:
            for axis in range(self.n_axes):
                self._first.append(("error", axis))

    def _request(self, now: int) -> bytes:
        """The next request, when none is in flight."""
        codec = self.codec
        lost = None
        if codec.pending is not None:
            if now - self._asked_ns < self._patience_ns:
                return b""
            self.counters.lost_rows += 1
            # Where all replies are late, giving up on each before it comes would leave none: wait up to thrice as long.
            self._patience_ns = min(3 * self._reply_timeout_ns, self._patience_ns * 3 // 2)
            lost = codec.pending
        else:
            self._patience_ns = max(self._reply_timeout_ns, self._patience_ns * 99 // 100)
        self._asked_ns = now
        if lost is not None and lost[0] == "feedback":
            return codec.ask("error", lost[1])  # of the other shape: a late answer is told from this one's
        if lost is not None:
            self._first.append(lost)
        elif self._first:
            return codec.ask(*self._first.popleft())
        axis = self._next_axis
        self._next_axis = (axis + 1) % self.n_axes
        if lost is not None:
            return codec.ask("feedback", axis)
        kind = _TURN_OF[self._turns[axis] % 8]
        self._turns[axis] += 1
        if kind == "other":
            kind = _OTHERS[self._others[axis] % len(_OTHERS)]
            self._others[axis] += 1
        return codec.ask(kind, axis)

    def _feed(self, data: bytes, feedback: np.ndarray) -> int:
        transport = self.transport
        filled = self.codec.feed(data, feedback, min(self._asked_ns + self._delay_ns, transport.arrival_ns))
        if self.armed and not self._guarded:
            self._check_settings()
        if not filled:  # what came was the answer to another question than for position
            for axis in range(self.n_axes):
                if self._running[axis]:
                    self._look_for_restart(axis)
        elif self.restarted:
            feedback["fault"], feedback["mode"] = _NOT_READY, -1
        return filled

    def _look_for_restart(self, axis: int) -> None:
        """Idle, untold and without an error: the board has restarted."""
        values = self.codec.values[axis]
        if not self._doubted[axis]:
            if values.get("state") == IDLE:
                self._doubted[axis] = True
                values.pop("error", None)
                self._first.appendleft(("error", axis))
        elif "error" in values:
            self._doubted[axis] = False
            if values["error"] == 0:
                self.restarted, self.armed = True, False

    def _check_settings(self) -> None:
        """No axis is let go before every axis's watchdog was read back as on and set, its inputs as passed through."""
        wanted_s = self.options["watchdog_ms"] * 1e-3
        for axis, values in enumerate(self.codec.values):
            if any(kind not in values for kind in _GUARDS):
                return
            if (
                not values["watchdog_on"]
                or values["input_mode"] != 1
                or not math.isclose(values["watchdog_s"], wanted_s, rel_tol=0.02)
            ):
                self._unguarded = True
                return
            self.watchdog_applied_s[axis] = values["watchdog_s"]
        self._guarded = True
