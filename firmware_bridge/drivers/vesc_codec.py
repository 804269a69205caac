"""VESC packets: SI commands to frames, frames to SI feedback. Pure: no port, no clock.

``02 len payload crc 03`` (or ``03 len16 …`` from 256 bytes on), big endian, CRC-16/XMODEM over the payload. The values
asked for in the loop carry the controller's id, so answers that arrive merged or through CAN find their axis. Sources:
vedderb/bldc comm/packet.c, comm/commands.c, util/buffer.c, confgenerator.c at b9d287b3.
"""

from __future__ import annotations

import math
import struct
from collections.abc import Sequence

import numpy as np

from firmware_bridge.framing import BinaryFramer, xmodem
from firmware_bridge.interface import Counters

TURN = 2 * math.pi
_BIG = 1e6
FW_VERSION, GET_VALUES, SET_DUTY, SET_CURRENT, SET_CURRENT_BRAKE, SET_RPM, SET_POS = 0, 4, 5, 6, 7, 8, 9
SET_HANDBRAKE, SET_APPCONF, GET_APPCONF, ALIVE, FORWARD_CAN, GET_SELECTIVE, GET_STATS, SET_APPCONF_NO_STORE = (
    10, 16, 17, 30, 34, 50, 128, 149)  # fmt: skip
MAX_PAYLOAD = 512

# Bits of GET_VALUES_SELECTIVE, in the order of the reply: FET temperature, q current, electrical rpm, input voltage,
# fault, position, controller id, status.
MASK = 1 << 0 | 1 << 5 | 1 << 7 | 1 << 8 | 1 << 15 | 1 << 16 | 1 << 17 | 1 << 21
_SELECTED = struct.Struct(">BIhiihBiBB")
VALUES = struct.Struct(">x2h4ihih4i2iBiB3h2iB")  # the whole of GET_VALUES, 74 bytes with its command
VALUE_SCALES = (10, 10, 100, 100, 100, 100, 1000, 1, 10, 1e4, 1e4, 1e4, 1e4, 1, 1, 1, 1e6, 1, 10, 10, 10, 1e3, 1e3, 1)
_UPTIME = struct.Struct(">BIf")  # answer to _ASK_UPTIME: the mask again, seconds since its statistics began: its start
_ASK_UPTIME = struct.pack(">BH", GET_STATS, 1 << 10)
_CONF_HEAD = struct.Struct(">BIBI")  # command, signature, controller id, timeout ms
_ORDER = struct.Struct(">Bi")
_I32 = 2**31 - 1
_REPLIES = frozenset((FW_VERSION, GET_VALUES, SET_APPCONF, GET_APPCONF, GET_SELECTIVE, GET_STATS, SET_APPCONF_NO_STORE))
STATUS_TIMEOUT = 1


def frame(payload: bytes) -> bytes:
    """A packet around a payload of at most 512 bytes."""
    n = len(payload)
    head = bytes((2, n)) if n < 256 else bytes((3, n >> 8, n & 255))
    return head + payload + xmodem(payload).to_bytes(2, "big") + b"\x03"


def order(command: int, value: float) -> bytes:
    """The payload of a SET command; ``value`` already in the wire's unit."""
    return _ORDER.pack(command, max(-_I32, min(_I32, round(value))))


def forward(can_id: int, payload: bytes) -> bytes:
    """The payload that sends ``payload`` on over CAN."""
    return bytes((FORWARD_CAN, can_id)) + payload


def payload_of(packet: bytes) -> bytes:
    """What is inside a whole packet."""
    return packet[2:-3] if packet[0] == 2 else packet[3:-3]


def valid(packet: bytes) -> bool:
    """End byte and CRC."""
    inside = payload_of(packet)
    return packet[-1] == 3 and int.from_bytes(packet[-3:-1], "big") == xmodem(inside)


def short_length(buffer: bytes, start: int) -> int:
    """Total bytes of the ``02`` packet at start: 0 not known yet, -1 not one of the replies known here."""
    if len(buffer) < start + 3:
        return 0
    n, command = buffer[start + 1], buffer[start + 2]
    if command not in _REPLIES or not n or command == GET_SELECTIVE and n != _SELECTED.size:
        return -1
    return n + 5


def long_length(buffer: bytes, start: int) -> int:
    """The same of a ``03`` packet; only the app configuration is that long."""
    if len(buffer) < start + 4:
        return 0
    n = buffer[start + 1] << 8 | buffer[start + 2]
    return n + 6 if 256 <= n <= MAX_PAYLOAD and buffer[start + 3] == GET_APPCONF else -1


class VescCodec:
    """Controllers ``ids`` behind one line; the one with ``local_id`` is spoken to directly, the others through CAN."""

    def __init__(self, ids: Sequence[int], local_id: int | None, torque_constant: float, pole_pairs: int,
                 brake_A: float, counters: Counters) -> None:  # fmt: skip
        self.ids, self.counters, self.torque_constant = list(ids), counters, torque_constant
        self.local_id = local_id
        self.axis_of = {can_id: axis for axis, can_id in enumerate(self.ids)}
        n = len(self.ids)
        self.last_id: int | None = None  # who sent the newest values
        self.heard = [0] * n  # answers with values
        self.firmware: tuple[int, int] | None = None
        self.hardware, self.serial = "", ""
        self.app_conf: list[bytes | None] = [None] * n  # newest app configuration, by axis
        self.acknowledged = 0
        self.asked = [False] * n  # for values, and not answered yet
        self.status, self.fault = [0] * n, [0] * n  # as reported
        self.restarts = 0  # answers that say a controller has been up for less time than before
        self.uptime_asked = -1  # the axis whose uptime is awaited: its answer doesn't say whose it is
        self._uptime_s = [math.nan] * n
        self._turns: list[float | None] = [None] * n  # unwrapped position
        self._amps_per_Nm = 1e3 / torque_constant
        self._erpm = 60 * pole_pairs / TURN
        self._brake = order(SET_CURRENT_BRAKE, brake_A * 1e3)
        self._release = order(SET_CURRENT, 0)
        self._short = BinaryFramer(b"\x02", short_length, valid, 261)
        self._long = BinaryFramer(b"\x03", long_length, valid, MAX_PAYLOAD + 6)
        self.expect_long = False
        self._make_queries()

    def _make_queries(self) -> None:
        ask = struct.pack(">BI", GET_SELECTIVE, MASK)
        self._queries = [self.to(axis, ask) for axis in range(len(self.ids))]

    def use_local_id(self, local_id: int) -> None:
        self.local_id = local_id
        self._make_queries()

    def to(self, axis: int, payload: bytes) -> bytes:
        """A packet for one axis, forwarded where it must be."""
        can_id = self.ids[axis]
        return frame(payload if can_id == self.local_id else forward(can_id, payload))

    def query(self, axis: int) -> bytes:
        self.asked[axis] = True
        return self._queries[axis]

    def ask_uptime(self, axis: int) -> bytes:
        self.uptime_asked = axis
        return self.to(axis, _ASK_UPTIME)

    def forget_uptimes(self) -> None:
        self.restarts, self.uptime_asked, self._uptime_s = 0, -1, [math.nan] * len(self.ids)

    def motion(self, axis: int, mode: int, torque_Nm: float, rate_rad_s: float, angle_rad: float) -> bytes | None:
        """The command of one axis; None when a value is no number or absurd."""
        if mode == 1:
            if -_BIG < torque_Nm < _BIG:
                return self.to(axis, order(SET_CURRENT, torque_Nm * self._amps_per_Nm))
        elif mode == 2:
            if -_BIG < rate_rad_s < _BIG:
                return self.to(axis, order(SET_RPM, rate_rad_s * self._erpm))
        elif mode == 3:
            if -_BIG < angle_rad < _BIG:  # one turn only: the device goes the shorter way
                return self.to(axis, order(SET_POS, math.degrees(angle_rad) % 360.0 * 1e6))
        elif mode == 0:
            return self.to(axis, self._release)
        elif mode == 4:
            return self.to(axis, self._brake)
        return None

    def with_timeout(self, axis: int, timeout_ms: int) -> bytes | None:
        """The axis's own configuration with another timeout, applied without storing it; None before it was read."""
        conf = self.app_conf[axis]
        if conf is None:
            return None
        changed = bytes((SET_APPCONF_NO_STORE,)) + conf[1:6] + timeout_ms.to_bytes(4, "big") + conf[10:]
        return self.to(axis, changed)

    def timeout_ms(self, axis: int) -> int | None:
        """As the newest configuration read says."""
        conf = self.app_conf[axis]
        return None if conf is None else int.from_bytes(conf[6:10], "big")

    def feed(self, data: bytes, feedback: np.ndarray, t_ns: Sequence[int]) -> int:
        """Take bytes; fill ``feedback`` of the axes whose values came, with their time; returns how many."""
        short, counters = self._short, self.counters
        garbage, bad = short.garbage_bytes, short.bad_crc
        filled = 0
        frames = short.feed(data)
        if self.expect_long:
            for packet in self._long.feed(data):
                self._configuration(payload_of(packet))
        else:
            counters.garbage_bytes += short.garbage_bytes - garbage
            counters.bad_crc += short.bad_crc - bad
        for packet in frames:
            if packet[2] == GET_SELECTIVE:
                filled += self._values(packet, feedback, t_ns)
            else:
                self._other(payload_of(packet))
        return filled

    def _values(self, packet: bytes, feedback: np.ndarray, t_ns: Sequence[int]) -> int:
        _, mask, temp, current, erpm, voltage, fault, position, can_id, status = _SELECTED.unpack_from(packet, 2)
        self.last_id = can_id
        axis = self.axis_of.get(can_id)
        if axis is None or mask != MASK:
            self.counters.unknown_frames += 1
            return 0
        turns = position / 360e6
        before = self._turns[axis]
        if before is None:
            turns -= math.floor(turns + 0.5)  # from half a turn below zero to half above
        else:
            turns = before + math.remainder(turns - before, 1.0)
        self._turns[axis] = turns
        self.asked[axis] = False
        self.heard[axis] += 1
        self.status[axis], self.fault[axis] = status, fault
        amps = current * 0.01
        feedback[axis] = (1, t_ns[axis], turns * TURN, erpm / self._erpm, amps * self.torque_constant, amps,
                          voltage * 0.1, temp * 0.1, fault, 0)  # fmt: skip
        self.counters.rows += 1
        return 1

    def _other(self, payload: bytes) -> None:
        command = payload[0]
        if command == FW_VERSION and len(payload) >= 17:
            self.firmware = payload[1], payload[2]
            name, _, rest = payload[3:].partition(b"\0")
            self.hardware, self.serial = name.decode("ascii", "replace"), rest[:12].hex()
        elif command == GET_STATS and len(payload) == _UPTIME.size and self.uptime_asked >= 0:
            axis, self.uptime_asked = self.uptime_asked, -1
            uptime_s = _UPTIME.unpack(payload)[2]
            self.restarts += uptime_s < self._uptime_s[axis]
            self._uptime_s[axis] = uptime_s
        elif command == GET_APPCONF:
            self._configuration(payload)
        elif command in (SET_APPCONF, SET_APPCONF_NO_STORE):
            self.acknowledged += 1
        else:
            self.counters.unknown_frames += 1

    def _configuration(self, payload: bytes) -> None:
        if len(payload) < _CONF_HEAD.size + 4:
            self.counters.unknown_frames += 1
            return
        axis = self.axis_of.get(payload[5])
        if axis is not None:
            self.app_conf[axis] = payload


def decode_values(payload: bytes) -> tuple[float, ...]:
    """All of GET_VALUES, scaled, in the order of the firmware."""
    return tuple(raw / scale for raw, scale in zip(VALUES.unpack_from(payload), VALUE_SCALES))


def encode_values(values: Sequence[float]) -> bytes:
    """Inverse of decode_values."""
    raw = [round(value * scale) for value, scale in zip(values, VALUE_SCALES)]
    return bytes((GET_VALUES,)) + VALUES.pack(*raw)[1:]
