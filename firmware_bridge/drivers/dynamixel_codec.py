"""Dynamixel protocol 2.0, X series: packets, byte stuffing, fast sync read. Pure: no port, no clock.

``FF FF FD 00 id len16 instruction parameters crc16``, little endian, CRC-16/UMTS over all before it. In instruction and
parameters FF FF FD is followed by an inserted FD; the answer to a fast sync read is one packet of known length without
it, with a running CRC after each servo. Sources: ROBOTIS-GIT/emanual docs/en/dxl/protocol2.md and x/xm430-w350.md,
DynamixelSDK 2ded684d.
"""

from __future__ import annotations

import math
import struct
from collections.abc import Sequence

import numpy as np

from firmware_bridge.framing import BinaryFramer, umts
from firmware_bridge.interface import Counters

TURN = 2 * math.pi
TICKS = 4096
RATE_UNIT = 0.229 * TURN / 60  # rad/s
PING, READ, WRITE, REBOOT, STATUS, SYNC_READ, SYNC_WRITE, FAST_SYNC_READ = (
    0x01, 0x02, 0x03, 0x08, 0x55, 0x82, 0x83, 0x8A)  # fmt: skip
BROADCAST = 0xFE
HEADER = b"\xff\xff\xfd\x00"
ALERT = 0x80  # of a status packet's error: read HARDWARE_ERROR

RETURN_DELAY, OPERATING_MODE, CURRENT_LIMIT, TORQUE_ENABLE, RETURN_LEVEL, HARDWARE_ERROR = 9, 11, 38, 64, 68, 70
BUS_WATCHDOG, GOAL_CURRENT, GOAL_VELOCITY, GOAL_POSITION, REALTIME_TICK = 98, 102, 104, 116, 120
CURRENT_MODE, VELOCITY_MODE, EXTENDED_POSITION_MODE = 0, 1, 4
MODE_OF = {1: CURRENT_MODE, 2: VELOCITY_MODE, 3: EXTENDED_POSITION_MODE}  # by AxisMode
WATCHDOG_UNIT_S = 0.020
WATCHDOG_EXPIRED = 255

# What is read every cycle: bus watchdog (98) to temperature (146), 49 bytes.
BLOCK_AT, BLOCK_SIZE = 98, 49
_SLOT = struct.Struct("<BB B27x hii 8x HB H")  # error, id, watchdog, current, rate, position, 0.1 V, degC, crc
_MAX_PACKET = 1024


def packet(device: int, instruction: int, parameters: bytes = b"") -> bytes:
    """An instruction or status packet, stuffed."""
    body = stuff(bytes((instruction,)) + parameters)
    head = HEADER + bytes((device,)) + (len(body) + 2).to_bytes(2, "little") + body
    return head + umts(head).to_bytes(2, "little")


def stuff(body: bytes) -> bytes:
    """FF FF FD becomes FF FF FD FD."""
    return body.replace(b"\xff\xff\xfd", b"\xff\xff\xfd\xfd") if b"\xff\xff\xfd" in body else body


def unstuff(body: bytes) -> bytes:
    """Inverse of stuff."""
    return body.replace(b"\xff\xff\xfd\xfd", b"\xff\xff\xfd") if b"\xff\xff\xfd\xfd" in body else body


def length(buffer: bytes, start: int) -> int:
    """Total bytes of the packet at start: 0 not known yet, -1 no header."""
    if len(buffer) < start + 8:
        return 0
    n = buffer[start + 5] | buffer[start + 6] << 8
    return n + 7 if buffer[start + 3] == 0 and 3 <= n <= _MAX_PACKET else -1


def valid(data: bytes) -> bool:
    return umts(data[:-2]) == data[-2] | data[-1] << 8


def status_length(buffer: bytes, start: int) -> int:
    """As ``length``, but only answers: what a servo sends. A converter that echoes what we send is ignored so."""
    total = length(buffer, start)
    return total if total <= 0 or buffer[start + 7] == STATUS else -1


def write(device: int, address: int, value: int, size: int) -> bytes:
    return packet(device, WRITE, address.to_bytes(2, "little") + _raw(value, size))


def _raw(value: int, size: int) -> bytes:
    return (value & ((1 << 8 * size) - 1)).to_bytes(size, "little")


def read(device: int, address: int, size: int) -> bytes:
    return packet(device, READ, struct.pack("<HH", address, size))


def sync_write(address: int, size: int, values: Sequence[tuple[int, int]]) -> bytes:
    """``values``: (id, value) of each servo."""
    parameters = struct.pack("<HH", address, size)
    for device, value in values:
        parameters += bytes((device,)) + _raw(value, size)
    return packet(BROADCAST, SYNC_WRITE, parameters)


def fast_sync_read(address: int, size: int, ids: Sequence[int]) -> bytes:
    return packet(BROADCAST, FAST_SYNC_READ, struct.pack("<HH", address, size) + bytes(ids))


def split_fast(data: bytes, size: int) -> list[tuple[int, int, bytes]] | None:
    """(error, id, data) of each servo in a fast sync read's answer; None when a running CRC is wrong."""
    at, out = 8, []
    while at + 2 + size + 2 <= len(data):
        end = at + 2 + size
        if umts(data[:end]) != data[end] | data[end + 1] << 8:
            return None
        out.append((data[at], data[at + 1], data[at + 2 : end]))
        at = end + 2
    return out if at == len(data) else None


class DynamixelCodec:
    """Servos ``ids`` on one bus. ``current_unit_A``: of one count of goal and present current."""

    def __init__(self, ids: Sequence[int], torque_constant: float, current_unit_A: float, centre_ticks: int,
                 counters: Counters) -> None:  # fmt: skip
        self.ids, self.counters, self.torque_constant = list(ids), counters, torque_constant
        self.unit_A, self.centre = current_unit_A, centre_ticks
        self.axis_of = {device: axis for axis, device in enumerate(self.ids)}
        n = len(self.ids)
        self.error = [0] * n  # of the newest status
        self.watchdog = [0] * n  # register 98 as reported: counts, 255 expired
        self.answers: dict[int, bytes] = {}  # id -> parameters of its newest other status, error first
        self.ask_all = fast_sync_read(BLOCK_AT, BLOCK_SIZE, self.ids)
        self._fast_size = 8 + n * _SLOT.size
        self._framer = BinaryFramer(HEADER[:3], status_length, valid, _MAX_PACKET + 7)
        self._counts_per_Nm = 1.0 / (torque_constant * current_unit_A)
        self._rate_unit = 1.0 / RATE_UNIT

    def current(self, torque_Nm: float) -> int:
        return max(-32767, min(32767, round(torque_Nm * self._counts_per_Nm)))

    def velocity(self, rate_rad_s: float) -> int:
        return max(-(2**31) + 1, min(2**31 - 1, round(rate_rad_s * self._rate_unit)))

    def position(self, angle_rad: float) -> int:
        return max(-(2**31) + 1, min(2**31 - 1, round(angle_rad * (TICKS / TURN)) + self.centre))

    def feed(self, data: bytes, feedback: np.ndarray, t_ns: int) -> int:
        """Take bytes; fill ``feedback`` of the servos in a whole answer, dated t_ns; returns how many."""
        framer, counters = self._framer, self.counters
        filled = 0
        for found in framer.feed(data):
            if found[4] == BROADCAST:
                filled += self._fast(found, feedback, t_ns)
            else:
                self.answers[found[4]] = unstuff(found[8:-2])
        if framer.garbage_bytes:
            counters.garbage_bytes += framer.garbage_bytes
            counters.bad_crc += framer.bad_crc
            framer.garbage_bytes = framer.bad_crc = 0
        return filled

    def _fast(self, data: bytes, feedback: np.ndarray, t_ns: int) -> int:
        if len(data) != self._fast_size:  # a servo that stuffs its part after all
            data = data[:8] + unstuff(data[8:])
        if len(data) != self._fast_size:
            self.counters.unknown_frames += 1
            return 0
        filled = 0
        for slot in range(len(self.ids)):
            error, device, watchdog, current, rate, position, volts, temp, _ = _SLOT.unpack_from(
                data, 8 + _SLOT.size * slot
            )
            axis = self.axis_of.get(device)
            if axis is None:
                self.counters.unknown_frames += 1
                continue
            self.error[axis], self.watchdog[axis] = error, watchdog
            amps = current * self.unit_A
            feedback[axis] = (1, t_ns, (position - self.centre) * (TURN / TICKS), rate * RATE_UNIT,
                              amps * self.torque_constant, amps, volts * 0.1, temp, 0, 0)  # fmt: skip
            filled += 1
        self.counters.rows += filled
        return filled
