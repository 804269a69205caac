"""moteus servo controllers behind a fdcanusb, or one on its own UART, as their bytes look to a host.

Written from mjbots/moteus docs/protocol/{can,registers}.md, docs/integration/{uart,can-fd}.md,
docs/reference/configuration.md and fw/bldc_servo_structs.h at db1a7623. Shares nothing with the driver.
"""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Mapping
from typing import Any

from firmware_bridge.emulators.base import NEVER, Emulator, axis_ids
from firmware_bridge.emulators.moteus_frames import Layout
from firmware_bridge.emulators.moteus_stream import Diagnostics
from firmware_bridge.emulators.physics import AxisDrive, AxisPhysics

TURN = 2 * math.pi
STOPPED, FAULT, CALIBRATING, POSITION, TIMEOUT, ZERO_VELOCITY, BRAKE = 0, 1, 3, 10, 11, 12, 15
CAN_FD_SIZES = (0, 1, 2, 3, 4, 5, 6, 7, 8, 12, 16, 20, 24, 32, 48, 64)
PADDED = [next((size for size in CAN_FD_SIZES if size >= n), 64) for n in range(400)]
FAULT_UNDER_VOLTAGE, FAULT_START_OUTSIDE_LIMIT, FAULT_TIMEOUT_MODE = 40, 39, 42
READABLE = frozenset((*range(8), 0x0A, 0x0B, 0x0C, 0x0D, 0x0E, 0x0F, *range(0x20, 0x2E), 0x38, 0x39, 0x3A, 0x50, 0x51,
                      0x58, 0x70, 0x71, 0x100, 0x101, 0x102, 0x110, 0x120, 0x121, 0x122))  # fmt: skip
DEFAULTS = {0x20: 0.0, 0x21: 0.0, 0x22: 0.0, 0x23: 1.0, 0x24: 1.0, 0x25: math.nan, 0x27: 0.0}


class Servo:
    """One controller: its mode machine, command registers and watchdog."""

    def __init__(self, can_id: int, axis: AxisPhysics, options: Mapping[str, Any]) -> None:
        self.can_id, self.axis = can_id, axis
        self.kp_Nm_rad = float(options.get("kp_Nm_rev", 25.0)) / TURN  # servo.pid_position, N m per revolution
        self.kd_Nm_s_rad = float(options.get("kd_Nm_s_rev", 1.0)) / TURN
        self.device_max_torque_Nm = float(options.get("device_max_torque_Nm", 6.0))
        self.timeout_max_torque_Nm = 5.0  # servo.timeout_max_torque_Nm
        self.default_timeout_s = 0.1  # servo.default_timeout_s
        self.timeout_mode = int(options.get("timeout_mode", ZERO_VELOCITY))  # servo.timeout_mode
        self.calibrate_ns = int(float(options.get("calibrate_ms", 5.0)) * 1e6)  # current offsets, leaving stop
        self.firmware = 0x00010C
        self.serial = (0x1000 + can_id, 0x2000, 0x3000)
        self._layouts: deque[Layout] = deque(maxlen=16)
        self.stream = Diagnostics(self, lambda now_ns: self.set_mode(STOPPED, now_ns))
        self.power_up(0)

    def power_up(self, now_ns: int) -> None:
        self.mode, self.fault = STOPPED, 0
        self.deadline_ns = self.ready_ns = NEVER
        self.command = dict(DEFAULTS)
        self.start_ns = now_ns
        self._snapshot: dict[int, float] = {}
        self.stream.power_up()

    def next_ns(self) -> int:
        return min(self.deadline_ns, self.ready_ns)

    def service(self, now_ns: int) -> None:
        if self.ready_ns <= now_ns:
            self.ready_ns = NEVER
            self.mode = POSITION
            self._drive_position(now_ns)
        if self.deadline_ns <= now_ns:
            self._watchdog_expired(now_ns)

    def _watchdog_expired(self, now_ns: int) -> None:
        self.deadline_ns = self.ready_ns = NEVER
        self.mode = TIMEOUT
        stop_by = {STOPPED: AxisDrive(0), BRAKE: AxisDrive(4)}
        still = AxisDrive(2, 0.0, 0.0, math.nan, self.timeout_max_torque_Nm, 0.0, self.kd_Nm_s_rad)
        self.axis.set_command(stop_by.get(self.timeout_mode, still), now_ns)

    def raise_fault(self, code: int, now_ns: int) -> None:
        """The power stage switches off and stays so until a stop command."""
        self.mode, self.fault = FAULT, code
        self.deadline_ns = self.ready_ns = NEVER
        self.axis.set_command(AxisDrive(0), now_ns)

    def set_mode(self, mode: int, now_ns: int) -> None:
        """A frame that wrote the mode register has ended: take the command it carried."""
        if mode == STOPPED:
            self.mode, self.fault = STOPPED, 0
            self.deadline_ns = self.ready_ns = NEVER
            self.axis.set_command(AxisDrive(0), now_ns)
        elif self.mode in (FAULT, TIMEOUT):
            return  # latched: only a stop leads out
        elif mode == BRAKE:
            self.mode = BRAKE
            self.deadline_ns = self.ready_ns = NEVER
            self.axis.set_command(AxisDrive(4), now_ns)
        elif mode in (POSITION, ZERO_VELOCITY):
            if mode == ZERO_VELOCITY:
                self.command.update({0x20: math.nan, 0x21: 0.0, 0x23: 0.0})
            self._arm_watchdog(now_ns)
            if self.mode == STOPPED and self.calibrate_ns:
                self.mode, self.ready_ns = CALIBRATING, now_ns + self.calibrate_ns
            elif self.mode != CALIBRATING:
                self.mode = mode
                self._drive_position(now_ns)

    def _arm_watchdog(self, now_ns: int) -> None:
        timeout_s = self.command[0x27]
        if timeout_s == 0.0:
            timeout_s = self.default_timeout_s
        self.deadline_ns = NEVER if math.isnan(timeout_s) else now_ns + int(timeout_s * 1e9)

    def _drive_position(self, now_ns: int) -> None:
        c = self.command
        limit = self.device_max_torque_Nm if math.isnan(c[0x25]) else min(abs(c[0x25]), self.device_max_torque_Nm)
        rate = 0.0 if math.isnan(c[0x21]) else c[0x21] * TURN
        kp, kd = self.kp_Nm_rad * c[0x23], self.kd_Nm_s_rad * c[0x24]
        has_angle = not math.isnan(c[0x20])
        kind = 3 if has_angle and kp else 2 if kd else 1
        torque = 0.0 if math.isnan(c[0x22]) else c[0x22]
        self.axis.set_command(AxisDrive(kind, torque, rate, c[0x20] * TURN, limit, kp, kd), now_ns)

    def read(self, register: int) -> float:
        """Value in the protocol's units (revolutions), at the time of the frame in hand."""
        value = self._snapshot.get(register)
        return self.command.get(register, 0.0) if value is None else value

    def _measure(self, now_ns: int) -> dict[int, float]:
        s = self.axis.state(now_ns)
        if s.fault and self.mode != FAULT:
            self.raise_fault(s.fault, now_ns)
        turns, rate = s.angle_rad / TURN, s.rate_rad_s / TURN
        return {
            0x000: self.mode, 0x001: turns, 0x002: rate, 0x003: s.torque_Nm,
            0x004: s.current_A, 0x005: 0.0, 0x006: turns % 1.0, 0x007: s.torque_Nm * s.rate_rad_s,
            0x00A: s.temp_degC, 0x00B: 0, 0x00C: 0, 0x00D: s.voltage_V, 0x00E: s.temp_degC, 0x00F: self.fault,
            0x038: self.command[0x20], 0x039: self.command[0x21], 0x03A: s.torque_Nm,
            0x050: turns % 1.0, 0x051: rate, 0x058: 1,
            0x070: ((now_ns - self.start_ns) // 1_000_000) & 0xFFFF, 0x071: 0,
            0x100: 0x00010000, 0x101: self.firmware, 0x102: 5, 0x110: self.can_id,
            0x120: self.serial[0], 0x121: self.serial[1], 0x122: self.serial[2],
        }  # fmt: skip

    def frame(self, data: bytes, now_ns: int) -> bytes:
        """Do what one CAN frame says; the reply's subframes."""
        if data[:1] in (b"\x40", b"\x42"):
            return self.stream.frame(data, now_ns)
        layout = self._layout(data)
        new_mode = None
        for register, value in layout.written(data):
            if register == 0:
                new_mode = int(value) if math.isfinite(value) else -1
                self.command = dict(DEFAULTS)
            elif 0x20 <= register <= 0x2D:
                self.command[register] = value
        reply = b""
        if layout.reads:
            self._snapshot = self._measure(now_ns)
            reply = layout.reply(self.read)
        if new_mode is not None:
            self.set_mode(new_mode, now_ns)
        return reply

    def _layout(self, data: bytes) -> Layout:
        for layout in self._layouts:
            if layout.fits(data):
                return layout
        self._layouts.appendleft(Layout(data, READABLE))
        return self._layouts[0]


class MoteusEmulator(Emulator):
    """A bus of controllers behind one text line. Options: roll_id, pitch_id, yaw_id; link "fdcanusb" or "uart".
    Of its own: plain, kp_Nm_rev, kd_Nm_s_rev, device_max_torque_Nm, timeout_mode, calibrate_ms.

    On a UART every answer has a checksum, and after the first command that has one all must (docs/integration/uart.md).
    """

    MAX_LINE = 300

    def __init__(self, physics: Any, options: Mapping[str, object] | None = None) -> None:
        super().__init__(physics, options)
        ids = axis_ids(self.options) or list(range(1, len(physics) + 1))
        self.servos = {can_id: Servo(can_id, axis, self.options) for can_id, axis in zip(ids, physics, strict=True)}
        self.uart = self.options.get("link") == "uart"
        self.plain = bool(self.options.get("plain", False))  # an adapter of before checksums
        self._require_checksum = False
        self._tail = b""

    def power_up(self, now_ns: int) -> None:
        self._tail = b""
        self._require_checksum = False

    def reboot(self, now_ns: int) -> None:
        super().reboot(now_ns)
        for servo in self.servos.values():
            servo.power_up(now_ns)

    def next_ns(self) -> int:
        return min(servo.next_ns() for servo in self.servos.values())

    def service(self, now_ns: int) -> None:
        for servo in self.servos.values():
            servo.service(now_ns)

    def feed(self, data: bytes, now_ns: int) -> None:
        lines = (self._tail + data).replace(b"\r", b"\n").split(b"\n")
        self._tail = lines.pop()[-self.MAX_LINE :]
        for line in lines:
            if line:
                self._line(line, now_ns)

    def _line(self, line: bytes, now_ns: int) -> None:
        star = line.rfind(b"*")
        has_checksum = star >= 0 and star == len(line) - 3
        if has_checksum:
            if self.plain:
                return self._say(b"ERR unknown flag", False, now_ns)
            if b"%02X" % _crc8(line[:star]) != line[star + 1 :].upper():
                return self._say(b"ERR checksum", True, now_ns)
            self._require_checksum = True
            line = line[:star].rstrip()
        elif self._require_checksum:
            return self._say(b"ERR checksum", True, now_ns)
        words = line.split()
        if words[:2] != [b"can", b"send"] or len(words) < 4:
            return self._say(b"ERR unknown command", has_checksum, now_ns)
        try:
            can_id, data = int(words[2], 16), bytes.fromhex(words[3].decode("ascii"))
        except (ValueError, UnicodeDecodeError):
            return self._say(b"ERR invalid data", has_checksum, now_ns)
        self.send(b"OK *BD\r\n" if has_checksum or self.uart else b"OK\r\n", now_ns)
        self._can_frame(can_id, data, has_checksum, now_ns)

    def _can_frame(self, can_id: int, data: bytes, checksum: bool, now_ns: int) -> None:
        source, wanted = can_id >> 8 & 0x7F, can_id & 0x7F
        wants_reply = bool(can_id & 0x8000)
        for servo in self.servos.values():
            if wanted not in (servo.can_id, 0x7F):
                continue
            reply = servo.frame(data, now_ns)
            if wants_reply and reply:
                padded = reply.ljust(PADDED[len(reply)], b"\x50")[:64]
                text = b"rcv %x %s E B F" % (servo.can_id << 8 | source, padded.hex().encode())
                self._say(text, checksum, now_ns)

    def _say(self, text: bytes, checksum: bool, now_ns: int) -> None:
        if checksum or self.uart:
            text += b" "
            text += b"*%02X" % _crc8(text)
        self.send(text + b"\r\n", now_ns)


def _crc8_of_byte(byte: int) -> int:
    # Bit by bit, as the polynomial is written: x^8 + x^7 + x^4 + x^2 + x + 1 less its top, 0x97.
    for _ in range(8):
        byte = (byte << 1 ^ 0x97) & 0xFF if byte & 0x80 else byte << 1
    return byte


_CRC8_OF = tuple(_crc8_of_byte(byte) for byte in range(256))


def _crc8(data: bytes) -> int:
    crc = 0
    for byte in data:
        crc = _CRC8_OF[crc ^ byte]
    return crc
