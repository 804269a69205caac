"""A SimpleFOC sketch with a Commander, as its bytes look to a host.

Written from simplefoc/Arduino-FOC src/communication/Commander.cpp and common/base_classes/FOCMotor.cpp (2.4.0): the
receive buffer of 20 characters with the line's end, the four kinds of verbosity, the answers, the monitor stream with
currents in mA. The sketch switches its motor off when the gate driver reports a fault. Shares nothing with the driver.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

from firmware_bridge.emulators.base import NEVER, Emulator
from firmware_bridge.emulators.physics import AxisDrive, AxisPhysics

MAX_COMMAND = 20
MOTION = ("torque", "vel", "angle", "vel open", "angle open", "angle nocascade", "custom")
TORQUE = ("volt", "dc curr", "foc curr", "est. curr")
FAULT_PIN_NS = 1_000_000  # how often the sketch looks at the gate driver's fault pin


class Motor:
    """One BLDCMotor object."""

    def __init__(self, axis: AxisPhysics, options: Mapping[str, Any]) -> None:
        self.axis = axis
        self.torque_constant = float(options.get("torque_constant_Nm_A") or 0.2)
        self.resistance = float(options.get("phase_resistance_ohm") or 1.0)
        self.starts_enabled = int(bool(options.get("starts_enabled")))
        self.power_up(0)

    def power_up(self, now_ns: int) -> None:
        self.target, self.enabled = 0.0, self.starts_enabled
        self.controller, self.torque_type = 1, 0
        self.limits = {"U": 12.0, "C": 2.0, "V": 20.0}
        self.gains = {"VP": 0.5, "VI": 10.0, "VD": 0.0, "VR": 1000.0, "VF": 0.005, "AP": 20.0, "QP": 3.0, "DP": 3.0}
        self.monitor, self.downsample, self.monitor_decimals = 0b1100011, 0, 4
        self.axis.set_command(AxisDrive(0), now_ns)

    def measure(self, now_ns: int) -> Any:
        s = self.axis.state(now_ns)
        if s.fault and self.enabled:
            self.enabled = 0
            self.axis.set_command(AxisDrive(0), now_ns)
        return s

    def drive(self, now_ns: int) -> None:
        if not self.enabled:
            self.axis.set_command(AxisDrive(0), now_ns)
            return
        most_A = self.limits["U"] / self.resistance if self.torque_type == 0 else self.limits["C"]
        most = most_A * self.torque_constant
        if self.controller == 0:
            amps = self.target
            if self.torque_type == 0:
                volts = max(-self.limits["U"], min(self.limits["U"], self.target))
                amps = (volts - self.torque_constant * self.axis.state(now_ns).rate_rad_s) / self.resistance
            drive = AxisDrive(1, max(-most, min(most, amps * self.torque_constant)))
        elif self.controller == 1:
            rate = max(-self.limits["V"], min(self.limits["V"], self.target))
            drive = AxisDrive(2, 0.0, rate, math.nan, most, 0.0, self.gains["VP"])
        else:
            gain = self.gains["VP"]
            drive = AxisDrive(3, 0.0, 0.0, self.target, most, gain * self.gains["AP"], gain)
        self.axis.set_command(drive, now_ns)

    def readings(self, now_ns: int) -> tuple[float, ...]:
        """target, Vq, Vd, Iq, Id, velocity, angle."""
        s = self.measure(now_ns)
        volts = s.current_A * self.resistance + self.torque_constant * s.rate_rad_s
        current = 0.0 if self.torque_type == 0 else s.current_A
        return self.target, volts, 0.0, current, 0.0, s.rate_rad_s, s.angle_rad


class SimplefocEmulator(Emulator):
    """Options of the driver: letters with roll_id and so on, torque_constant_Nm_A, phase_resistance_ohm. Of its own:
    loop_hz (of loop(), for the monitor stream), label, verbose (at power-up), gains as ``VP``,
    boot_ms (deaf and silent after a reboot: an estimate, sensors are aligned in it), starts_enabled (as init() of 2.4.0
    leaves a motor whose sketch says nothing else)."""

    def __init__(self, physics: Any, options: Mapping[str, object] | None = None) -> None:
        super().__init__(physics, options)
        letters = str(self.options.get("letters", "MNO"))
        keys = ("roll_id", "pitch_id", "yaw_id")
        ids = [int(str(self.options[key])) for key in keys if self.options.get(key) is not None]
        ids = ids or list(range(len(physics)))
        self.motors = {letters[i]: Motor(axis, self.options) for i, axis in zip(ids, physics, strict=True)}
        self.label = str(self.options.get("label", "motor"))
        self.loop_ns = int(1e9 / float(str(self.options.get("loop_hz", 5000.0))))
        self._buffer = b""
        self.verbose, self.decimals = 1, 3
        self._next_ns = NEVER
        self._monitor_ns = NEVER
        self._printed = b""
        self.boot_ns = int(float(str(self.options.get("boot_ms", 400.0))) * 1e6)
        self._silent_until_ns = 0

    def reboot(self, now_ns: int) -> None:
        super().reboot(now_ns)
        self._silent_until_ns = now_ns + self.boot_ns

    def power_up(self, now_ns: int) -> None:
        self._buffer = b""
        self.verbose, self.decimals = int(str(self.options.get("verbose", 1))), 3
        for motor in self.motors.values():
            motor.power_up(now_ns)
        self._next_ns = now_ns + FAULT_PIN_NS
        self._monitor_ns = NEVER

    def next_ns(self) -> int:
        return min(self._next_ns, self._monitor_ns)

    def service(self, now_ns: int) -> None:
        if self._next_ns <= now_ns:
            self._next_ns = now_ns + FAULT_PIN_NS
            for motor in self.motors.values():
                motor.measure(now_ns)
        if self._monitor_ns <= now_ns:
            self._stream(now_ns)

    def _stream(self, now_ns: int) -> None:
        downsamples = [motor.downsample for motor in self.motors.values() if motor.downsample]
        self._monitor_ns = now_ns + min(downsamples) * self.loop_ns if downsamples else NEVER
        for motor in self.motors.values():
            if motor.downsample and motor.enabled:
                scaled = [value * (1e3 if i in (3, 4) else 1.0) for i, value in enumerate(motor.readings(now_ns))]
                chosen = [value for i, value in enumerate(scaled) if motor.monitor >> (6 - i) & 1]
                text = "\t".join(f"{value:.{motor.monitor_decimals}f}" for value in chosen)
                self.send(text.encode() + b"\r\n", now_ns)

    def feed(self, data: bytes, now_ns: int) -> None:
        for byte in data if now_ns >= self._silent_until_ns else b"":
            self._buffer += bytes((byte,))
            if byte in b"\r\n":
                self._printed = b""
                self._run(self._buffer[:-1].split(b"\r")[0].decode("latin1"), now_ns)
                self._buffer = b""
                if self._printed:
                    self.send(self._printed, now_ns)
            elif len(self._buffer) >= MAX_COMMAND:
                self._buffer = b""  # without a word; what follows is taken as a new command

    # Printing, by verbosity: 0 nothing, 1 on request, 2 for people, 3 for machines.

    def _print(self, text: str) -> None:
        if self.verbose:
            self._printed += text.encode("latin1")

    def _machine(self, text: str) -> None:
        if self.verbose == 3:
            self._print(text)

    def _people(self, text: str) -> None:
        if self.verbose == 2:
            self._print(text)

    def _number(self, value: float) -> str:
        return f"{value:.{self.decimals}f}"

    def _run(self, line: str, now_ns: int) -> None:
        head, rest = line[:1], line[1:]
        if head == "?":
            for letter in self.motors:
                self._machine("?")
                self._print(f"{letter}:{self.label}\r\n")
        elif head == "@":
            if rest:
                self.verbose = int(_atof(rest)) if 0 <= _atof(rest) <= 3 else 1
            self._people("Verb:")
            self._machine("@")
            words = {0: "off!\r\n", 1: "on!\r\n", 2: "on!\r\n", 3: "machine\r\n"}
            self._print(words[self.verbose])
        elif head == "#":
            if rest:
                self.decimals = max(0, min(10, int(_atof(rest))))
            self._people("Decimal:")
            self._machine("#")
            self._print(f"{self.decimals}\r\n")
        elif head in self.motors:
            self._machine(head)
            self._motor(self.motors[head], rest, now_ns)

    def _motor(self, motor: Motor, text: str, now_ns: int) -> None:
        if not text or text[0].isdigit() or text[0] in "-+":
            self._target(motor, text, now_ns)
            return
        command, sub = text[0], text[1:2]
        has_sub = "A" <= sub <= "Z" or sub == "#"
        value_text = text[2:] if has_sub else text[1:]
        value = _atof(value_text)
        self._machine(command + (sub if "A" <= sub <= "Z" else ""))
        if command in "QDVA" and command + sub in motor.gains:
            if value_text:
                motor.gains[command + sub] = value
            self._print(self._number(motor.gains[command + sub]) + "\r\n")
        elif command == "L" and sub in motor.limits:
            if value_text:
                motor.limits[sub] = value
            self._print(self._number(motor.limits[sub]) + "\r\n")
        elif command == "C" and not has_sub:
            if value_text and 0 <= value < 7:
                motor.controller = int(value)
                motor.drive(now_ns)
            self._print(MOTION[motor.controller] + "\r\n")
        elif command == "T" and not has_sub:
            if value_text and 0 <= int(value) < 4:
                motor.torque_type = int(value)
                motor.drive(now_ns)
            self._print(TORQUE[motor.torque_type] + "\r\n")
        elif command == "E":
            self._enable(motor, value_text, value, now_ns)
        elif command == "M":
            self._monitor(motor, sub, value_text, value, now_ns)
        else:
            self._print("err\r\n")

    def _enable(self, motor: Motor, text: str, value: float, now_ns: int) -> None:
        motor.measure(now_ns)
        if text:
            motor.enabled = int(value != 0)
            motor.drive(now_ns)
        self._people("Status: ")
        self._print(f"{motor.enabled}\r\n")

    def _target(self, motor: Motor, text: str, now_ns: int) -> None:
        if not text:
            self._machine(self._number(motor.target) + "\r\n")
            return
        numbers = [_atof(word) for word in text.split(" ") if word]
        limits = {0: (), 1: ("C",), 2: ("V", "C")}.get(motor.controller, ())
        motor.target = numbers[0] if numbers else 0.0
        for name, value in zip(limits, numbers[1:]):
            motor.limits["U" if name == "C" and motor.torque_type == 0 else name] = value
        motor.drive(now_ns)
        self._people("Target: ")
        self._print(self._number(motor.target) + "\r\n")

    def _monitor(self, motor: Motor, sub: str, text: str, value: float, now_ns: int) -> None:
        if sub == "G" and 0 <= int(value) <= 7:
            readings = motor.readings(now_ns)
            chosen = readings if int(value) == 7 else readings[int(value) : int(value) + 1]
            self._print(";".join(map(self._number, chosen)) + "\r\n")
        elif sub == "D":
            if text:
                motor.downsample = max(0, min(1_000_000, int(value)))
                self._monitor_ns = now_ns + motor.downsample * self.loop_ns if motor.downsample else NEVER
            self._print(f"{motor.downsample}\r\n")
        elif sub == "C":
            motor.monitor = 0
            self._print("clear\r\n")
        elif sub == "S":
            if text:
                motor.monitor = 0
                for i, digit in enumerate(text[:7]):
                    motor.monitor |= (ord(digit) - 48 & 1) << (6 - i)
            self._print("".join(str(motor.monitor >> (6 - i) & 1) for i in range(7)) + "\r\n")
        else:
            self._print("err\r\n")


def _atof(text: str) -> float:
    """As C's atof on an Arduino: the number at the beginning, 0 where there is none."""
    end, seen_point = 0, False
    for i, char in enumerate(text.lstrip(" ")):
        if char == "." and not seen_point:
            seen_point = True
        elif not (char in "0123456789" or (i == 0 and char in "+-")):
            break
        end = i + 1
    try:
        return float(text.lstrip(" ")[:end])
    except ValueError:
        return 0.0
