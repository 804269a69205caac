"""Dynamixel X servos on one half-duplex bus, as their bytes look to a host.

Written from ROBOTIS-GIT/emanual docs/en/dxl/protocol2.md, x/xm430-w350.md and _includes/en/dxl/
control_table_buswatchdog.md: control table, EEPROM locked with torque on, status return level, return delay, bus
watchdog, hardware errors and reboot, byte stuffing, fast sync and bulk read. Shares nothing with the driver.
"""

from __future__ import annotations

import math
import struct
from collections.abc import Mapping
from typing import Any

from firmware_bridge.emulators.base import NEVER, Emulator, axis_ids
from firmware_bridge.emulators.physics import AxisDrive, AxisPhysics

TURN = 2 * math.pi
RATE_UNIT = 0.229 * TURN / 60
TABLE_SIZE = 661
FAIL, BAD_INSTRUCTION, DATA_RANGE, DATA_LENGTH, DATA_LIMIT, ACCESS = 1, 2, 4, 5, 6, 7
MODES = (0, 1, 3, 4, 5, 16)
WATCHDOG_UNIT_NS = 20_000_000


class Servo:
    """One servo: its control table and what it makes of it."""

    def __init__(self, device: int, axis: AxisPhysics, options: Mapping[str, Any]) -> None:
        self.axis = axis
        self.torque_constant = float(options.get("torque_constant_Nm_A") or 0.2)
        self.unit_A = float(options.get("current_unit_mA") or 2.69) * 1e-3
        self.centre = int(options.get("centre_ticks", 2048))
        self.speed_gain = float(options.get("vel_gain_Nm_s_rad", 0.5))
        self.position_gain = float(options.get("pos_gain_Nm_rad", 8.0))
        self.reboot_ns = int(float(options.get("reboot_ms", 200.0)) * 1e6)
        self.table = bytearray(TABLE_SIZE)
        limit = min(2047, round(float(options.get("device_max_torque_Nm", 5.5)) / self.torque_constant / self.unit_A))
        for address, size, value in ((0, 2, 1020), (6, 1, 45), (7, 1, device), (8, 1, 6), (9, 1, 250), (11, 1, 3),
                                     (13, 1, 2), (38, 2, limit), (44, 4, 1023), (63, 1, 52)):  # fmt: skip
            self.put(address, size, value)
        self.registered: tuple[int, bytes] | None = None
        self.factory = bytes(self.table[:64])
        self.whole_turns = 0  # taken off by a clear
        self.power_up(0)

    def power_up(self, now_ns: int) -> None:
        self.table[64:] = bytes(TABLE_SIZE - 64)
        self.put(68, 1, 2)
        self.put(100, 2, 885)
        self.put(102, 2, self.get(38, 2))
        self.silent_until_ns = 0
        self.deadline_ns = NEVER

    def get(self, address: int, size: int, signed: bool = False) -> int:
        return int.from_bytes(self.table[address : address + size], "little", signed=signed)

    def put(self, address: int, size: int, value: int) -> None:
        self.table[address : address + size] = (value & ((1 << 8 * size) - 1)).to_bytes(size, "little")

    @property
    def torque_on(self) -> bool:
        return self.table[64] == 1

    def clear_turns(self) -> int:
        """The present position back into one turn; the error number."""
        if self.torque_on:
            return ACCESS
        self.whole_turns += self.get(132, 4, True) // 4096
        return 0

    def factory_reset(self, what: int) -> int:
        """0xFF all, 1 all but the id, 2 all but id and baud; the error number. The id itself stays the bus's key."""
        if what not in (0xFF, 1, 2) or self.torque_on:
            return DATA_RANGE
        device, baud = self.table[7], self.table[8]
        self.table[:64] = self.factory
        self.table[7] = device
        self.table[8] = baud if what == 2 else 1
        return 0

    def heard(self, now_ns: int) -> None:
        """An instruction packet passed by: the bus watchdog starts anew."""
        counts = self.table[98]
        self.deadline_ns = now_ns + counts * WATCHDOG_UNIT_NS if self.torque_on and 0 < counts <= 127 else NEVER

    def service(self, now_ns: int) -> None:
        if self.deadline_ns <= now_ns:
            self.deadline_ns = NEVER
            self.table[98] = 255
            self.axis.set_command(AxisDrive(0), now_ns)

    def measure(self, now_ns: int) -> int:
        """Present values into the table; the error byte's alert bit."""
        s = self.axis.state(now_ns)
        if s.fault:
            self.table[70] |= s.fault & 0xFF
            if self.torque_on:
                self.table[64] = 0
                self.axis.set_command(AxisDrive(0), now_ns)
        self.put(120, 2, now_ns // 1_000_000)
        self.put(126, 2, _clip(s.current_A / self.unit_A, 15))
        self.put(128, 4, _clip(s.rate_rad_s / RATE_UNIT, 31))
        self.put(132, 4, _clip(s.angle_rad * 4096 / TURN + self.centre - 4096 * self.whole_turns, 31))
        self.put(144, 2, _clip(s.voltage_V * 10, 15))
        self.put(146, 1, _clip(s.temp_degC, 7))
        return 0x80 if self.table[70] else 0

    def read(self, address: int, size: int) -> bytes | None:
        return bytes(self.table[address : address + size]) if size and address + size <= TABLE_SIZE else None

    def write(self, address: int, data: bytes, now_ns: int) -> int:
        """The error number; nothing is written unless all is."""
        end = address + len(data)
        if not data:
            return DATA_LENGTH
        if end > TABLE_SIZE or address in (0, 2, 6) or 120 <= address < 168:
            return ACCESS
        if address < 64 and self.torque_on:
            return ACCESS
        if self.table[98] == 255 and address < 120 and end > 100:
            return DATA_RANGE  # goals are read-only until the watchdog is cleared
        error = self._limits(address, data)
        if error:
            return error
        was_on, mode = self.torque_on, self.table[11]
        self.table[address:end] = data
        if self.torque_on and self.table[70]:
            self.table[64] = 0
        if self.torque_on and not was_on:
            self.put(116, 4, self.get(132, 4))  # torque comes on where the shaft is
        if self.table[11] != mode:
            self.put(102, 2, 0 if self.table[11] == 0 else self.get(38, 2))
            self.put(104, 4, 0)
        self._drive(now_ns)
        return 0

    def _limits(self, address: int, data: bytes) -> int:
        value = int.from_bytes(data, "little", signed=len(data) > 1)
        size = len(data)
        if (address, size) == (11, 1) and value not in MODES or (address, size) == (64, 1) and value > 1:
            return DATA_RANGE
        if (address, size) == (98, 1) and 127 < value < 255:
            return DATA_RANGE
        if (address, size) == (102, 2) and abs(value) > self.get(38, 2):
            return DATA_LIMIT
        if (address, size) == (104, 4) and abs(value) > self.get(44, 4):
            return DATA_LIMIT
        return 0

    def _drive(self, now_ns: int) -> None:
        if not self.torque_on or self.table[98] == 255:
            self.axis.set_command(AxisDrive(0), now_ns)
            return
        mode = self.table[11]
        limit = self.get(38, 2) * self.unit_A * self.torque_constant
        if mode == 0:
            drive = AxisDrive(1, self.get(102, 2, True) * self.unit_A * self.torque_constant)
        elif mode == 1:
            drive = AxisDrive(2, 0.0, self.get(104, 4, True) * RATE_UNIT, math.nan, limit, 0.0, self.speed_gain)
        elif mode == 16:
            drive = AxisDrive(1, max(-1.0, min(1.0, self.get(100, 2, True) / 885)) * limit)
        else:
            angle = (self.get(116, 4, True) - self.centre + 4096 * self.whole_turns) * TURN / 4096
            drive = AxisDrive(3, 0.0, 0.0, angle, limit, self.position_gain, self.speed_gain)
        self.axis.set_command(drive, now_ns)


class DynamixelEmulator(Emulator):
    """Options of the driver: roll_id and so on, torque_constant_Nm_A, current_unit_mA, centre_ticks. Of its own:
    reboot_ms, device_max_torque_Nm, vel_gain_Nm_s_rad, pos_gain_Nm_rad, twin_id (two servos have it: where their
    answers differ, the bus carries a mixture), fast_sync (False: firmware that doesn't know the fast sync read)."""

    def __init__(self, physics: Any, options: Mapping[str, object] | None = None) -> None:
        super().__init__(physics, options)
        ids = axis_ids(self.options) or list(range(1, len(physics) + 1))
        self.servos = {device: Servo(device, axis, self.options) for device, axis in zip(ids, physics, strict=True)}
        self.twin_id, self.fast_sync = self.options.get("twin_id"), bool(self.options.get("fast_sync", True))
        self._buffer = b""

    def power_up(self, now_ns: int) -> None:
        self._buffer = b""
        for servo in self.servos.values():
            servo.power_up(now_ns)
            servo.axis.set_command(AxisDrive(0), now_ns)

    def next_ns(self) -> int:
        return min((servo.deadline_ns for servo in self.servos.values()), default=NEVER)

    def service(self, now_ns: int) -> None:
        for servo in self.servos.values():
            servo.service(now_ns)

    def feed(self, data: bytes, now_ns: int) -> None:
        buffer = self._buffer + data
        while True:
            start = buffer.find(b"\xff\xff\xfd\x00")
            if start < 0:
                buffer = buffer[-3:]
                break
            buffer = buffer[start:]
            if len(buffer) < 7:
                break
            total = 7 + (buffer[5] | buffer[6] << 8)
            if not 10 <= total <= 1100:
                buffer = buffer[1:]
                continue
            if len(buffer) < total:
                break
            packet = buffer[:total]
            if _crc(packet[:-2]) != packet[-2] | packet[-1] << 8:
                buffer = buffer[1:]  # a servo says nothing to a broken packet that may not be its own
                continue
            buffer = buffer[total:]
            self._packet(packet[4], packet[7:-2].replace(b"\xff\xff\xfd\xfd", b"\xff\xff\xfd"), now_ns)
        self._buffer = buffer

    def _present(self, device: int, now_ns: int) -> Servo | None:
        servo = self.servos.get(device)
        return servo if servo is not None and now_ns >= servo.silent_until_ns else None

    def _packet(self, device: int, body: bytes, now_ns: int) -> None:
        instruction, params = body[0], body[1:]
        if instruction == 0x55:
            return  # a status packet, somebody else's
        for servo in self.servos.values():
            servo.heard(now_ns)
        if instruction in (0x8A, 0x9A) and not self.fast_sync:
            return
        if instruction in (0x82, 0x83, 0x8A, 0x92, 0x93, 0x9A):
            self._group(instruction, params, now_ns)
        elif device == 0xFE:
            for one in sorted(self.servos):
                self._single(one, instruction, params, now_ns, broadcast=True)
        else:
            self._single(device, instruction, params, now_ns, broadcast=False)
        for servo in self.servos.values():
            servo.heard(now_ns)

    def _single(self, device: int, instruction: int, params: bytes, now_ns: int, broadcast: bool) -> None:
        servo = self._present(device, now_ns)
        if servo is None:
            return
        alert, error, answer, level = servo.measure(now_ns), 0, b"", 2
        if instruction == 1:
            answer, level = bytes(servo.table[0:2]) + bytes((servo.table[6],)), 0
        elif instruction == 2:
            level = 1
            data = servo.read(*struct.unpack("<HH", params)) if len(params) == 4 else None
            error, answer = (ACCESS if len(params) == 4 else DATA_LENGTH, b"") if data is None else (0, data)
        elif instruction in (3, 4):
            if len(params) < 3:
                error = DATA_LENGTH
            elif instruction == 3:
                error = servo.write(int.from_bytes(params[:2], "little"), params[2:], now_ns)
            else:
                servo.registered = int.from_bytes(params[:2], "little"), params[2:]
        elif instruction == 5:
            if servo.registered is not None:
                servo.write(*servo.registered, now_ns)
                servo.registered = None
        elif instruction == 8:
            self._reboot(servo, now_ns)
        elif instruction == 6:
            error = servo.factory_reset(params[0]) if len(params) == 1 else DATA_LENGTH
        elif instruction == 0x10:
            error = servo.clear_turns() if params == b"\x01DXL\x22" else DATA_RANGE
        else:
            error = BAD_INSTRUCTION
        if (not broadcast or instruction == 1) and servo.table[68] >= level:
            self._say(device, bytes((alert | error,)) + answer, servo, now_ns)

    def _reboot(self, servo: Servo, now_ns: int) -> None:
        servo.power_up(now_ns)
        servo.axis.set_command(AxisDrive(0), now_ns)
        servo.silent_until_ns = now_ns + servo.reboot_ns

    def _group(self, instruction: int, params: bytes, now_ns: int) -> None:
        if instruction == 0x83:
            self._sync_write(params, now_ns)
        elif instruction == 0x93:
            self._bulk_write(params, now_ns)
        elif instruction in (0x82, 0x8A):
            if len(params) > 4:
                address, size = struct.unpack_from("<HH", params)
                self._answers([(d, address, size) for d in params[4:]], instruction == 0x8A, now_ns)
        else:
            wanted = [struct.unpack_from("<BHH", params, at) for at in range(0, len(params) - 4, 5)]
            self._answers([(int(d), int(a), int(n)) for d, a, n in wanted], instruction == 0x9A, now_ns)

    def _sync_write(self, params: bytes, now_ns: int) -> None:
        if len(params) < 4:
            return
        address, size = struct.unpack_from("<HH", params)
        for at in range(4, len(params) - size, size + 1):
            servo = self._present(params[at], now_ns)
            if servo is not None and size:
                servo.measure(now_ns)
                servo.write(address, params[at + 1 : at + 1 + size], now_ns)

    def _bulk_write(self, params: bytes, now_ns: int) -> None:
        at = 0
        while at + 5 <= len(params):
            device, address, size = struct.unpack_from("<BHH", params, at)
            servo = self._present(device, now_ns)
            if servo is not None and len(params) >= at + 5 + size:
                servo.write(address, params[at + 5 : at + 5 + size], now_ns)
            at += 5 + size

    def _answers(self, wanted: list[tuple[int, int, int]], fast: bool, now_ns: int) -> None:
        """Each servo speaks after the one before it; where one is silent, those behind it are."""
        if fast:
            return self._fast_answer(wanted, now_ns)
        for device, address, size in wanted:
            servo = self._present(device, now_ns)
            if servo is None:
                return
            if servo.table[68] >= 1:
                alert, data = servo.measure(now_ns), servo.read(address, size)
                body = bytes((alert | (ACCESS if data is None else 0),)) + (data or b"")
                self._say(device, body, servo, now_ns)

    def _fast_answer(self, wanted: list[tuple[int, int, int]], now_ns: int) -> None:
        total = 3 - 2 + sum(size + 4 for _, _, size in wanted)
        packet = b"\xff\xff\xfd\x00\xfe" + total.to_bytes(2, "little") + b"\x55"
        crc, checked, first = 0, 0, True
        for device, address, size in wanted:
            servo = self._present(device, now_ns)
            data = None if servo is None or servo.table[68] < 1 else servo.read(address, size)
            if servo is None or data is None:
                break
            alert = servo.measure(now_ns)
            packet += bytes((alert, device)) + (servo.read(address, size) or b"")
            crc = _crc(packet[checked:], crc)  # running on
            checked = len(packet)
            packet += crc.to_bytes(2, "little")
            first = False
        if not first:
            delay_ns = self.servos[wanted[0][0]].table[9] * 2000
            self.send(packet, now_ns + delay_ns)

    def _say(self, device: int, body: bytes, servo: Servo, now_ns: int) -> None:
        body = (b"\x55" + body).replace(b"\xff\xff\xfd", b"\xff\xff\xfd\xfd")
        packet = b"\xff\xff\xfd\x00" + bytes((device,)) + (len(body) + 2).to_bytes(2, "little") + body
        packet += _crc(packet).to_bytes(2, "little")
        if device == self.twin_id and len(body) > 10:  # present values: the other's clock and place are its own
            packet = packet[:9] + bytes(byte & 0x5A for byte in packet[9:])
        self.send(packet, now_ns + servo.table[9] * 2000)


def _clip(value: float, bits: int) -> int:
    return max(-(1 << bits), min((1 << bits) - 1, round(value)))


def _crc_of_byte(byte: int) -> int:
    # x^16 + x^15 + x^2 + 1, most significant bit first, from zero.
    crc = byte << 8
    for _ in range(8):
        crc = (crc << 1 ^ 0x8005) & 0xFFFF if crc & 0x8000 else crc << 1
    return crc


_CRC_OF = tuple(_crc_of_byte(byte) for byte in range(256))


def _crc(data: bytes, crc: int = 0) -> int:
    table = _CRC_OF
    for byte in data:
        crc = (crc << 8 & 0xFFFF) ^ table[crc >> 8 ^ byte]
    return crc
