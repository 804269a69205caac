"""VESC controllers, one on the line and the others on its CAN bus, as their bytes look to a host.

Written from vedderb/bldc comm/packet.c, comm/commands.c, comm/comm_can.c, timeout.c, datatypes.h, confgenerator.c
(firmware 6). Shares nothing with the driver.
"""

from __future__ import annotations

import math
import struct
from collections.abc import Mapping
from typing import Any

from firmware_bridge.emulators.base import NEVER, Emulator, axis_ids
from firmware_bridge.emulators.physics import AxisDrive, AxisPhysics

TURN = 2 * math.pi
MAX_PAYLOAD = 512
TIMEOUT_THREAD_NS = 10_000_000  # timeout.c looks every 10 ms
FAULT_STOP_NS = 500_000_000  # a fault is shown for this long after its cause is gone, then the motor may run again
CAN_BITS = 135
APPCONF_SIGNATURE = 486554156  # of firmware 6.00; the layout's beginning is the same in 5 and 6


class Motor:
    """One controller: what drives it, timeout, fault, app configuration."""

    def __init__(self, can_id: int, axis: AxisPhysics, options: Mapping[str, Any]) -> None:
        self.can_id, self.axis = can_id, axis
        self.torque_constant = float(options.get("torque_constant_Nm_A") or 0.2)
        self.pole_pairs = int(options.get("pole_pairs") or 7)
        self.max_A = float(options.get("device_max_torque_Nm", 6.0)) / self.torque_constant
        self.speed_gain = float(options.get("vel_gain_Nm_s_rad", 0.5))
        self.position_gain = float(options.get("pos_gain_Nm_rad", 8.0))
        self.stored_timeout_ms, self.timeout_brake_A = int(options.get("stored_timeout_ms", 1000)), 0.0
        self.tail = bytes(range(256)) + bytes(150)  # the rest of the app configuration, opaque here
        self.power_up(0)

    def power_up(self, now_ns: int) -> None:
        self.started_ns = now_ns
        self.timeout_ms = self.stored_timeout_ms
        self.fed_ns = now_ns
        self.timed_out = False
        self.fault, self.fault_until_ns = 0, 0
        self.next_look_ns = now_ns + TIMEOUT_THREAD_NS

    def service(self, now_ns: int) -> None:
        if self.next_look_ns > now_ns:
            return
        self.next_look_ns = now_ns + TIMEOUT_THREAD_NS
        expired = self.timeout_ms != 0 and now_ns - self.fed_ns > self.timeout_ms * 1_000_000
        if expired and not self.timed_out:
            self.axis.set_command(AxisDrive(4 if self.timeout_brake_A else 0), now_ns)
        self.timed_out = expired

    def measure(self, now_ns: int) -> Any:
        s = self.axis.state(now_ns)
        if s.fault:
            if not self.fault:
                self.axis.set_command(AxisDrive(0), now_ns)
            self.fault, self.fault_until_ns = s.fault, now_ns + FAULT_STOP_NS
        elif self.fault and now_ns >= self.fault_until_ns:
            self.fault = 0
        return s

    def set(self, command: int, value: int, now_ns: int) -> None:
        """A SET command: it feeds the timeout and acts at once, unless a fault holds the motor."""
        self.fed_ns = now_ns
        self.timed_out = False
        self.measure(now_ns)
        if self.fault:
            return
        limit = self.max_A * self.torque_constant
        drive = AxisDrive(0)
        if command == 6 and value:
            amps = max(-self.max_A, min(self.max_A, value / 1000))
            drive = AxisDrive(1, amps * self.torque_constant)
        elif command == 5 and value:
            drive = AxisDrive(1, max(-1.0, min(1.0, value / 1e5)) * limit)  # a rough stand-in: duty as torque
        elif command in (7, 10) and value:
            drive = AxisDrive(4)
        elif command == 8:
            rate = value / self.pole_pairs * TURN / 60
            drive = AxisDrive(2, 0.0, rate, math.nan, limit, 0.0, self.speed_gain)
        elif command == 9:
            now_turns = self.axis.state(now_ns).angle_rad / TURN
            turns = now_turns + math.remainder(value / 360e6 - now_turns, 1.0)  # single turn, the shorter way
            drive = AxisDrive(3, 0.0, 0.0, turns * TURN, limit, self.position_gain, self.speed_gain)
        self.axis.set_command(drive, now_ns)

    def values(self, now_ns: int) -> list[tuple[str, int]]:
        """The fields of GET_VALUES as (struct code, raw value), in the order of its mask bits."""
        s = self.measure(now_ns)
        amps, duty = s.current_A, 0
        erpm = s.rate_rad_s * 60 / TURN * self.pole_pairs
        degrees = math.degrees(s.angle_rad) % 360.0
        temp = round(s.temp_degC * 10)
        return [("h", temp), ("h", temp), ("i", round(abs(amps) * 100)), ("i", 0), ("i", 0), ("i", round(amps * 100)),
                ("h", duty), ("i", round(erpm)), ("h", round(s.voltage_V * 10)), ("i", 0), ("i", 0), ("i", 0), ("i", 0),
                ("i", 0), ("i", 0), ("B", self.fault & 0xFF), ("i", round(degrees * 1e6)), ("B", self.can_id),
                ("3h", temp), ("i", 0), ("i", 0), ("B", int(self.timed_out))]  # fmt: skip

    def app_conf(self) -> bytes:
        head = struct.pack(">IBIf", APPCONF_SIGNATURE, self.can_id, self.timeout_ms, self.timeout_brake_A)
        return head + self.tail

    def set_app_conf(self, conf: bytes, store: bool, now_ns: int) -> bool:
        if len(conf) != 13 + len(self.tail):
            return False
        signature, can_id, timeout_ms, brake_A = struct.unpack_from(">IBIf", conf)
        if signature != APPCONF_SIGNATURE or not math.isfinite(brake_A):
            return False
        self.timeout_ms, self.timeout_brake_A, self.tail = timeout_ms, brake_A, conf[13:]
        if store:
            self.stored_timeout_ms = timeout_ms
        self.fed_ns = now_ns
        return True


class VescEmulator(Emulator):
    """Options of the driver: roll_id and so on (controller ids), local_id (left out: the first), torque_constant_Nm_A,
    pole_pairs, can_baud. Of its own: stored_timeout_ms, device_max_torque_Nm, vel_gain_Nm_s_rad, pos_gain_Nm_rad,
    firmware (major), boot_ms (deaf and silent after a reboot), twin_id (two controllers behind CAN have it)."""

    def __init__(self, physics: Any, options: Mapping[str, object] | None = None) -> None:
        super().__init__(physics, options)
        ids = axis_ids(self.options) or list(range(1, len(physics) + 1))
        self.motors = {can_id: Motor(can_id, axis, self.options) for can_id, axis in zip(ids, physics, strict=True)}
        local = self.options.get("local_id")
        self.local_id = ids[0] if local is None else int(str(local))
        self.firmware = int(str(self.options.get("firmware", 6)))
        self.twin_id = self.options.get("twin_id")
        self.can_frame_ns = int(CAN_BITS * 1e9 / float(str(self.options.get("can_baud", 500000))))
        self._can_free_ns = 0
        self._buffer = b""
        self._waiting: list[tuple[int, int, bytes]] = []  # on the CAN bus: when, to whom, what
        self.boot_ns = int(float(str(self.options.get("boot_ms", 400.0))) * 1e6)  # an estimate
        self._silent_until_ns = 0

    def power_up(self, now_ns: int) -> None:
        self._buffer, self._can_free_ns = b"", 0
        self._waiting.clear()
        for motor in self.motors.values():
            motor.power_up(now_ns)

    def reboot(self, now_ns: int) -> None:
        super().reboot(now_ns)
        self._silent_until_ns = now_ns + self.boot_ns

    def next_ns(self) -> int:
        own = min(motor.next_look_ns for motor in self.motors.values())
        return min([own, *(due for due, _, _ in self._waiting)]) if self.motors else NEVER

    def service(self, now_ns: int) -> None:
        for motor in self.motors.values():
            motor.service(now_ns)
        while self._waiting and self._waiting[0][0] <= now_ns:
            _, can_id, payload = self._waiting.pop(0)
            answer = self._process(self.motors[can_id], payload, now_ns)
            for _ in range(1 + (can_id == self.twin_id) if answer else 0):
                self._say(answer, self._over_can(len(answer), now_ns))

    def feed(self, data: bytes, now_ns: int) -> None:
        """packet.c: wait for the length the header promises; a frame that fails is shifted out by one byte."""
        if now_ns < self._silent_until_ns:
            return
        buffer = self._buffer + data
        while buffer:
            start = buffer[0]
            if start not in (2, 3):
                buffer = buffer[1:]
                continue
            head = 2 if start == 2 else 3
            if len(buffer) < head:
                break
            length = buffer[1] if start == 2 else buffer[1] << 8 | buffer[2]
            if not 0 < length <= MAX_PAYLOAD or start == 3 and length < 255:
                buffer = buffer[1:]
                continue
            total = head + length + 3
            if len(buffer) < total:
                break
            payload = buffer[head : head + length]
            if buffer[total - 1] == 3 and _crc(payload) == buffer[total - 3] << 8 | buffer[total - 2]:
                self._packet(payload, now_ns)
                buffer = buffer[total:]
            else:
                buffer = buffer[1:]
        self._buffer = buffer

    def _packet(self, payload: bytes, now_ns: int) -> None:
        if payload[0] == 34:  # FORWARD_CAN
            if len(payload) < 3 or payload[1] not in self.motors or payload[1] == self.local_id:
                return  # nobody there: no answer
            inner = payload[2:]
            self._waiting.append((self._over_can(len(inner), now_ns), payload[1], inner))
            return
        motor = self.motors.get(self.local_id)
        if motor is not None:
            answer = self._process(motor, payload, now_ns)
            if answer:
                self._say(answer, now_ns)

    def _over_can(self, n: int, now_ns: int) -> int:
        """When n bytes have crossed the bus: up to six in one frame, more in pieces of seven and one to end them."""
        frames = 1 if n <= 6 else math.ceil(n / 7) + 1
        self._can_free_ns = max(self._can_free_ns, now_ns) + frames * self.can_frame_ns
        return self._can_free_ns

    def _process(self, motor: Motor, payload: bytes, now_ns: int) -> bytes:
        command, body = payload[0], payload[1:]
        if command in (5, 6, 7, 8, 9, 10):
            if len(body) >= 4:
                motor.set(command, struct.unpack_from(">i", body)[0], now_ns)
        elif command == 30:
            motor.fed_ns = now_ns
        elif command == 0:
            return bytes((0, self.firmware, 6)) + b"60\0" + b"\x11" * 12 + bytes(4)
        elif command == 4:
            return self._values(motor, (1 << 22) - 1, now_ns, b"\x04")
        elif command == 50 and len(body) >= 4:
            mask = struct.unpack_from(">I", body)[0]
            if self.firmware < 5:
                mask &= (1 << 21) - 1
            return self._values(motor, mask, now_ns, b"\x32" + body[:4])
        elif command == 128 and self.firmware >= 6 and len(body) >= 2:
            mask = struct.unpack_from(">H", body)[0]
            count_time_s = (now_ns - motor.started_ns) * 1e-9  # mc_interface_stat_count_time
            return b"\x80" + struct.pack(">I", mask) + (struct.pack(">f", count_time_s) if mask == 1 << 10 else b"")
        elif command == 17:
            return b"\x11" + motor.app_conf()
        elif command in (16, 149) and motor.set_app_conf(body, command == 16, now_ns):
            return bytes((command,))
        return b""

    def _values(self, motor: Motor, mask: int, now_ns: int, head: bytes) -> bytes:
        out = head
        for bit, (code, value) in enumerate(motor.values(now_ns)):
            if mask >> bit & 1:
                out += struct.pack(">" + code, *([value] * 3 if code == "3h" else [value]))
        return out

    def _say(self, payload: bytes, t_ns: int) -> None:
        n = len(payload)
        head = bytes((2, n)) if n <= 255 else bytes((3, n >> 8, n & 255))
        self.send(head + payload + _crc(payload).to_bytes(2, "big") + b"\x03", t_ns)


def _crc_of_byte(byte: int) -> int:
    # x^16 + x^12 + x^5 + 1, most significant bit first, from zero.
    crc = byte << 8
    for _ in range(8):
        crc = (crc << 1 ^ 0x1021) & 0xFFFF if crc & 0x8000 else crc << 1
    return crc


_CRC_OF = tuple(_crc_of_byte(byte) for byte in range(256))


def _crc(data: bytes) -> int:
    crc = 0
    for byte in data:
        crc = (crc << 8 & 0xFFFF) ^ _CRC_OF[crc >> 8 ^ byte]
    return crc
