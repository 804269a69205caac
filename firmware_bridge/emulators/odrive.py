"""An ODrive board on its ASCII protocol, as its bytes look to a host.

Written from odriverobotics/ODrive Firmware/communication/ascii_protocol.cpp (f9b5419c, firmware 0.5.6: line parser,
replies, checksums, nine characters of a property) and from the manual of 0.6 (one axis, error bits, a reply is dropped
while the one before is being sent). Shares nothing with the driver.
"""

from __future__ import annotations

import math
import struct
from collections.abc import Callable, Mapping
from typing import Any

from firmware_bridge.emulators.base import NEVER, Emulator, axis_ids
from firmware_bridge.emulators.physics import AxisDrive, AxisPhysics, FreeAxis

TURN = 2 * math.pi
IDLE, CLOSED_LOOP = 1, 8
TORQUE_CONTROL, VELOCITY_CONTROL, POSITION_CONTROL = 1, 2, 3
PASSTHROUGH, TRAP_TRAJ = 1, 5
MAX_LINE = 256
USB_FRAME_NS = 1_000_000


def f32(value: float) -> float:
    """As the firmware holds it: single precision; what doesn't fit is infinite."""
    try:
        return struct.unpack("<f", struct.pack("<f", value))[0]
    except OverflowError:
        return math.copysign(math.inf, value)


class Axis:
    """One axis: state, control mode, inputs, watchdog, errors."""

    def __init__(self, axis: AxisPhysics, modern: bool, options: Mapping[str, Any]) -> None:
        self.axis, self.modern = axis, modern
        self.pos_gain = float(options.get("pos_gain", 20.0))  # 1/s
        self.vel_gain_Nm_s_rad = float(options.get("vel_gain_Nm_s_rad", 0.5))
        self.device_max_torque_Nm = float(options.get("device_max_torque_Nm", 6.0))
        self.watchdog_bit = 0x1000000 if modern else 0x800
        self.power_up(0)

    def power_up(self, now_ns: int) -> None:
        self.state, self.error = IDLE, 0
        self.control_mode, self.input_mode = POSITION_CONTROL, PASSTHROUGH
        self.pos, self.vel, self.torque = 0.0, 0.0, 0.0
        self.watchdog_timeout_s, self.watchdog_on = 0.0, False
        self.deadline_ns = NEVER

    def feed(self, now_ns: int) -> None:
        on = self.watchdog_on and self.watchdog_timeout_s > 0
        self.deadline_ns = now_ns + int(self.watchdog_timeout_s * 1e9) if on else NEVER

    def enable_watchdog(self, value: float, now_ns: int) -> None:
        self.watchdog_on = bool(value)
        self.feed(now_ns)

    def service(self, now_ns: int) -> None:
        if self.deadline_ns <= now_ns:
            self.deadline_ns = NEVER
            self.disarm(self.watchdog_bit, now_ns)

    def disarm(self, error: int, now_ns: int) -> None:
        self.error |= error
        self.state = IDLE
        self.axis.set_command(AxisDrive(0), now_ns)

    def request_state(self, state: int, now_ns: int) -> None:
        if state == CLOSED_LOOP:
            if self.error:
                return  # errors must be cleared first
            self.state = CLOSED_LOOP
            self.drive(now_ns)
        elif state == IDLE:
            self.state = IDLE
            self.axis.set_command(AxisDrive(0), now_ns)

    def clear_errors(self) -> None:
        self.error = 0

    def measure(self, now_ns: int) -> Any:
        s = self.axis.state(now_ns)
        if s.fault and not self.error:
            self.disarm(s.fault, now_ns)
        return s

    def drive(self, now_ns: int) -> None:
        """What the power stage does with the inputs; nothing outside closed loop."""
        if self.state != CLOSED_LOOP:
            return
        limit, kd = self.device_max_torque_Nm, self.vel_gain_Nm_s_rad
        if self.control_mode == TORQUE_CONTROL:
            drive = AxisDrive(1, self.torque, max_torque_Nm=limit)
        elif self.control_mode == VELOCITY_CONTROL:
            drive = AxisDrive(2, self.torque, self.vel * TURN, math.nan, limit, 0.0, kd)
        else:
            drive = AxisDrive(3, self.torque, self.vel * TURN, self.pos * TURN, limit, kd * self.pos_gain, kd)
        self.axis.set_command(drive, now_ns)


class OdriveEmulator(Emulator):
    """Options of the driver: roll_id and so on (axis numbers), link, baud. Of its own: firmware "0.5.6" or "0.6.11",
    keeps_replies (nothing is ever dropped), pos_gain, vel_gain_Nm_s_rad, device_max_torque_Nm."""

    def __init__(self, physics: Any, options: Mapping[str, object] | None = None) -> None:
        super().__init__(physics, options)
        self.firmware = str(self.options.get("firmware", "0.5.6"))
        self.modern = self.firmware >= "0.6"
        numbers = axis_ids(self.options) or list(range(len(physics)))
        known = dict(zip(numbers, physics, strict=True))
        count = 1 if self.modern else 2
        self.axes = [Axis(known.get(i) or FreeAxis(), self.modern, self.options) for i in range(count)]
        uart = self.options.get("link") == "uart"
        self.byte_ns = 10e9 / float(str(self.options.get("baud", 115200))) if uart else 0.0
        self.keeps_replies = bool(self.options.get("keeps_replies", False))
        self.dropped = 0
        self._line = bytearray()
        self._skipping = False
        self._busy_until_ns = 0
        self._readable: dict[str, Callable[[int], float | int]] = {}
        self._writable: dict[str, Callable[[float, int], None]] = {}
        self._make_properties()

    def power_up(self, now_ns: int) -> None:
        self._line.clear()
        self._skipping = False
        self._busy_until_ns = 0
        for axis in self.axes:
            axis.power_up(now_ns)

    def next_ns(self) -> int:
        return min(axis.deadline_ns for axis in self.axes)

    def service(self, now_ns: int) -> None:
        for axis in self.axes:
            axis.service(now_ns)

    def _make_properties(self) -> None:
        read = self._readable
        read["vbus_voltage"] = lambda now: float(self.axes[0].axis.state(now).voltage_V)
        read["ibus"] = lambda now: 0.0
        for part, number in zip(("major", "minor", "revision"), self.firmware.split(".")):
            read[f"fw_version_{part}"] = _constant(int(number))
        for i, axis in enumerate(self.axes):
            self._axis_properties(f"axis{i}.", axis)

    def _axis_properties(self, at: str, axis: Axis) -> None:
        read, write = self._readable, self._writable
        new = self.modern
        read[at + "current_state"] = lambda now: (axis.measure(now), axis.state)[1]
        for name in ("active_errors", "disarm_reason") if new else ("error",):
            read[at + name] = lambda now: (axis.measure(now), axis.error)[1]
        current = "motor.foc.Iq_measured" if new else "motor.current_control.Iq_measured"
        read[at + current] = lambda now: float(axis.axis.state(now).current_A)
        read[at + "motor.fet_thermistor.temperature"] = lambda now: float(axis.axis.state(now).temp_degC)
        prefix = at if new else at + "encoder."
        read[prefix + "pos_estimate"] = lambda now: axis.axis.state(now).angle_rad / TURN
        read[prefix + "vel_estimate"] = lambda now: axis.axis.state(now).rate_rad_s / TURN
        fields = {
            "config.watchdog_timeout": "watchdog_timeout_s",
            "config.enable_watchdog": "watchdog_on",
            "controller.config.input_mode": "input_mode",
            "controller.config.control_mode": "control_mode",
        }
        for name, field in fields.items():
            read[at + name] = _reader(axis, field)
        write[at + "requested_state"] = lambda value, now: axis.request_state(int(value), now)
        write[at + "config.watchdog_timeout"] = lambda value, now: setattr(axis, "watchdog_timeout_s", f32(value))
        write[at + "config.enable_watchdog"] = axis.enable_watchdog
        write[at + "controller.config.input_mode"] = lambda value, now: setattr(axis, "input_mode", int(value))
        write[at + "controller.config.control_mode"] = lambda value, now: setattr(axis, "control_mode", int(value))

    def feed(self, data: bytes, now_ns: int) -> None:
        for byte in data:
            if len(self._line) >= MAX_LINE:
                self._skipping = True
                self._line.clear()
            if byte in b"\r\n!":
                if not self._skipping:
                    # As on the device that was recorded: an empty line between CR and LF is a command, and unknown.
                    self._process(bytes(self._line), byte, now_ns)
                self._line.clear()
                self._skipping = False
            elif not self._skipping:
                self._line.append(byte)
            self._last = byte

    _last = 0

    def _process(self, line: bytes, end: int, now_ns: int) -> None:
        if not line:
            if end == 0x0A and self._last == 0x0D:
                self._respond(["unknown command"], False, now_ns)
            return
        line = line.split(b";", 1)[0]
        text, star, check = line.partition(b"*")
        if star:
            digits = check.split()[0] if check.split() else b""
            if not digits.isdigit() or int(digits) != _xor(text):
                return  # silently ignored
        self._command(text.decode("latin1"), bool(star), now_ns)

    def _command(self, text: str, checked: bool, now_ns: int) -> None:
        words = text.split()
        kind = text[:1]
        answer: list[str] = []
        if kind in ("c", "v", "p", "q", "t", "f", "u"):
            answer = self._motion(kind, words[1:], now_ns)
        elif kind == "i":
            answer = ["Hardware version: 3.6-56V", f"Firmware version: {self.firmware}", "Serial number: 206237793548"]
        elif kind == "r":
            answer = self._read(words[1] if len(words) > 1 else "", now_ns)
        elif kind == "w":
            answer = self._write(words[1:], now_ns)
        elif text[:2] == "sc":
            for axis in self.axes:
                axis.clear_errors()
        elif text[:2] == "sr":
            self.reboot(now_ns)
        elif text[:2] not in ("ss", "se") and text:
            answer = ["unknown command"]
        self._respond(answer, checked, now_ns)

    def _motion(self, kind: str, words: list[str], now_ns: int) -> list[str]:
        numbers = _scan(words)
        if len(numbers) < (1 if kind in "fu" else 2):
            return ["invalid command format"]
        index = int(numbers[0])
        if not 0 <= index < len(self.axes):
            return [f"invalid motor {index}"]
        axis, values = self.axes[index], [*numbers[1:], 0.0, 0.0]
        if kind == "f":
            s = axis.measure(now_ns)
            return [f"{f32(s.angle_rad / TURN):f} {f32(s.rate_rad_s / TURN):f}"]
        axis.feed(now_ns)
        if kind == "u":
            return []
        if not all(math.isfinite(f32(value)) for value in values):
            axis.disarm(0x200, now_ns)  # the controller fails on what is no number
            return []
        if kind == "c":
            axis.control_mode, axis.torque = TORQUE_CONTROL, values[0]
        elif kind == "v":
            axis.control_mode, axis.vel, axis.torque = VELOCITY_CONTROL, values[0], values[1]
        else:
            axis.control_mode, axis.pos = POSITION_CONTROL, values[0]
            axis.vel, axis.torque = (values[1], values[2]) if kind == "p" else (0.0, 0.0)
            if kind == "t":
                axis.input_mode = TRAP_TRAJ  # and stays so: the trap of this command
        axis.drive(now_ns)
        return []

    def _read(self, name: str, now_ns: int) -> list[str]:
        if not name:
            return ["invalid command format"]
        reader = self._readable.get(name)
        if reader is None:
            return ["invalid property"]
        value = reader(now_ns)
        return [(f"{f32(value):f}" if isinstance(value, float) else str(value))[:9]]  # char response[10]

    def _write(self, words: list[str], now_ns: int) -> list[str]:
        if not words:
            return ["invalid command format"]
        writer, numbers = self._writable.get(words[0]), _scan(words[1:2])
        if writer is None:
            return ["invalid property" if words[0] not in self._readable else "not implemented"]
        if not numbers or not abs(numbers[0]) < 1e9:
            return ["not implemented"]
        writer(numbers[0], now_ns)
        return []

    def _respond(self, lines: list[str], checked: bool, now_ns: int) -> None:
        if not lines:
            return
        if now_ns < self._busy_until_ns and not self.keeps_replies:
            self.dropped += 1
            return
        data = b""
        for line in lines:
            text = line.encode("latin1")
            data += text + (b"*%d" % _xor(text) if checked else b"") + b"\r\n"
        # A USB packet waits for the host's next frame; a UART is busy for the bytes' own time.
        busy_ns = int(len(data) * self.byte_ns) or USB_FRAME_NS - now_ns % USB_FRAME_NS
        self._busy_until_ns = now_ns + busy_ns
        self.send(data, now_ns)


def _constant(value: int) -> Callable[[int], float | int]:
    return lambda now: value


def _reader(axis: Axis, field: str) -> Callable[[int], float | int]:
    def read(now: int) -> float | int:
        value = getattr(axis, field)
        return int(value) if isinstance(value, (bool, int)) else float(value)

    return read


def _scan(words: list[str]) -> list[float]:
    """Numbers up to the first word that is none, as sscanf reads them."""
    numbers = []
    for word in words:
        try:
            numbers.append(float(word))
        except ValueError:
            break
    return [n for n in numbers if n == n] if len(numbers) == 1 else numbers


def _xor(data: bytes) -> int:
    value = 0
    for byte in data:
        value ^= byte
    return value
