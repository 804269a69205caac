"""moteus: SI commands to text lines, text lines to SI feedback. Pure: no port, no clock.

Every command of an axis is one CAN-FD frame of 32 bytes: mode, the registers that matter, the watchdog, and a read of
mode, position, velocity, torque, q current, voltage, temperature and fault. Sources: mjbots/moteus
docs/protocol/{can,registers}.md, docs/integration/uart.md, lib 1.1.1 fdcanusb_device.py.
"""

from __future__ import annotations

import math
import struct
from binascii import unhexlify
from collections.abc import Callable, Sequence

import numpy as np

from firmware_bridge.framing import CRC8_97, crc8_97
from firmware_bridge.interface import AxisMode, Counters

TURN = 2 * math.pi
_MAX_LINE = 300
_QUERY = "11001c0401170d"  # read i8 mode; 4 f32 from position; 3 i16 from voltage
_REPLY = struct.Struct("<H b 3s ffff H hhh")  # to _QUERY
_REPLY_HEAD, _REPLY_FLOATS, _REPLY_SHORTS = 0x0021, b"\x2c\x04\x01", 0x0D27
_ACKNOWLEDGED = frozenset((b"OK", b"OK\r", b"OK *BD", b"OK *BD\r", b"", b"\r"))
_HEX = tuple(b"*%02X" % value for value in range(256))
_CAN_FD_SIZES = (0, 1, 2, 3, 4, 5, 6, 7, 8, 12, 16, 20, 24, 32, 48, 64)
_FLOAT = struct.Struct("<f")
_FLOAT2 = struct.Struct("<ff")
_FLOAT3 = struct.Struct("<fff")
_RAW = ("b", "h", "i", "f")
_BIG = 1e6  # a command beyond this, in any SI unit, is a fault of the sender

DEVICE_STOPPED, DEVICE_FAULT, DEVICE_POSITION, DEVICE_TIMEOUT, DEVICE_BRAKE = 0, 1, 10, 11, 15
_TRANSIENT = (2, 3, 4)  # enabling and calibrating, on the way out of stop


def _make_masks() -> tuple[int, ...]:
    # CRC bit -> the message bits whose parity it is (the CRC is linear). Counted from the message's end, as the bits of
    # a big-endian integer, so one set serves every length.
    masks = [0] * 8
    weight = [1 << bit for bit in range(8)]
    for byte in range(_MAX_LINE):
        weight = [CRC8_97[w] for w in weight]
        for bit, value in enumerate(weight):
            for out in range(8):
                masks[out] |= (value >> out & 1) << (8 * byte + bit)
    return tuple(masks)


_A, _B, _C, _D, _E, _F, _G, _H = _make_masks()


def crc8(data: bytes) -> int:
    """crc8_97 of at most 300 bytes by eight parities of one big integer: 1 us for a line instead of 3."""
    v = int.from_bytes(data, "big")
    return (
        (v & _A).bit_count() & 1
        | ((v & _B).bit_count() & 1) << 1
        | ((v & _C).bit_count() & 1) << 2
        | ((v & _D).bit_count() & 1) << 3
        | ((v & _E).bit_count() & 1) << 4
        | ((v & _F).bit_count() & 1) << 5
        | ((v & _G).bit_count() & 1) << 6
        | ((v & _H).bit_count() & 1) << 7
    )


def text_line(can_id: int, data: bytes, checksum: bool) -> bytes:
    """One ``can send`` line for any frame: padded to a CAN-FD size, bit rate switched."""
    size = next(size for size in _CAN_FD_SIZES if size >= len(data))
    padded = data + b"\x50" * (size - len(data))
    line = b"can send %04x %s BF" % (can_id, padded.hex().upper().encode())
    return close_line(line, checksum)


def close_line(line: bytes, checksum: bool) -> bytes:
    """Checksum, if wanted, and the line's end."""
    if checksum:
        line += b" "
        line += b"*%02X" % crc8(line)
    return line + b"\n"


class _Template:
    """A line that is constant but for the hex digits of some floats: only those digits go through the CRC."""

    def __init__(self, can_id: int, head: str, n_floats: int, tail: str, checksum: bool) -> None:
        whole = bytes.fromhex(head + "00" * 4 * n_floats + tail)
        size = next(size for size in _CAN_FD_SIZES if size >= len(whole))
        padding = "50" * (size - len(whole))
        self.prefix = b"can send %04x %s" % (can_id, head.encode())
        body_end = f"{tail}{padding} BF".encode()
        self.start_crc = crc8_97(self.prefix)
        # For every CRC that can stand before the constant end: the finished end of the line.
        self.ends = [
            body_end + b" *%02X\n" % crc8_97(body_end + b" ", crc) if checksum else body_end + b"\n"
            for crc in range(256)
        ]
        self.checksum = checksum

    def fill(self, digits: bytes) -> bytes:
        if not self.checksum:
            return self.prefix + digits + self.ends[0]
        table, crc = CRC8_97, self.start_crc
        for byte in digits:
            crc = table[crc ^ byte]
        return self.prefix + digits + self.ends[crc]


class MoteusCodec:
    """n axes on one line, in the order of ``ids``. ``counters`` are shared with the driver.

    watchdog_s: of every torque, rate and angle command. max_torque_Nm NaN: the device's own limit.
    """

    def __init__(self, ids: Sequence[int], watchdog_s: float, max_torque_Nm: float, checksum: bool,
                 counters: Counters | None = None) -> None:  # fmt: skip
        self.ids = list(ids)
        self.counters = counters or Counters()
        self.checksum = checksum
        self.registers: list[dict[int, float]] = [{} for _ in self.ids]  # other replies, by axis
        self.errors: list[bytes] = []  # ERR lines, newest last, at most eight
        self.twins = False  # one id gave two serial numbers
        self.device_mode = [0] * len(self.ids)
        self._tail = b""
        self._watchdog = struct.pack("<h", round(watchdog_s * 1000))
        self._axis_of = {b"%x" % (can_id << 8): i for i, can_id in enumerate(self.ids)}
        self._templates = [self._make(can_id, max_torque_Nm) for can_id in self.ids]

    def _make(self, can_id: int, max_torque_Nm: float) -> tuple[_Template, ...]:
        dst = 0x8000 | can_id
        limit = struct.pack("<h", -32768 if math.isnan(max_torque_Nm) else min(32767, round(max_torque_Nm * 100))).hex()
        end = "0525" + limit + "0527" + self._watchdog.hex() + _QUERY
        check = self.checksum

        def made(head: str, floats: int, tail: str) -> _Template:
            return _Template(dst, head, floats, tail, check)

        return (  # indexed by AxisMode
            made("010000", 0, _QUERY),
            made("01000a" "012080" "0d22", 1, "02230000" + end),  # pos NaN, torque, kp and kd scale 0
            made("01000a" "012080" "0e21", 2, end),  # pos NaN, velocity, torque
            made("01000a" "0f20", 3, end),  # position, velocity, torque
            made("01000f", 0, _QUERY),
        )  # fmt: skip

    def encode(self, mode: Sequence[int], torque_Nm: Sequence[float], rate_rad_s: Sequence[float],
               angle_rad: Sequence[float]) -> bytes:  # fmt: skip
        """One line an axis. A value that is no number or absurd turns its axis off and is counted."""
        out = []
        for i, templates in enumerate(self._templates):
            m = mode[i]
            if m == 1:
                torque = torque_Nm[i]
                if -_BIG < torque < _BIG:
                    out.append(templates[1].fill(_FLOAT.pack(torque).hex().encode()))
                    continue
            elif m == 2:
                rate, torque = rate_rad_s[i], torque_Nm[i]
                if -_BIG < rate < _BIG and -_BIG < torque < _BIG:
                    out.append(templates[2].fill(_FLOAT2.pack(rate / TURN, torque).hex().encode()))
                    continue
            elif m == 3:
                angle, rate, torque = angle_rad[i], rate_rad_s[i], torque_Nm[i]
                if -_BIG < angle < _BIG and -_BIG < rate < _BIG and -_BIG < torque < _BIG:
                    out.append(templates[3].fill(_FLOAT3.pack(angle / TURN, rate / TURN, torque).hex().encode()))
                    continue
            elif m == 0 or m == 4:
                out.append(templates[m].fill(b""))
                continue
            self.counters.bad_values += 1
            out.append(templates[0].fill(b""))
        return b"".join(out)

    def stop_with_watchdog(self, axis: int) -> bytes:
        """A stop that sets the watchdog of the commands and asks for it in the same frame: nothing moves."""
        return text_line(0x8000 | self.ids[axis], b"\x01\x00\x00" + b"\x05\x27" + self._watchdog + b"\x1d\x27",
                         self.checksum)  # fmt: skip

    def read_registers(self, axis: int, start: int, count: int, resolution: int) -> bytes:
        """A line that asks for ``count`` registers from ``start``; resolution 0 i8, 1 i16, 2 i32, 3 f32."""
        frame = bytes([0x10 | resolution << 2]) + _varuint(count) + _varuint(start)
        return text_line(0x8000 | self.ids[axis], frame, self.checksum)

    def feed(self, data: bytes, feedback: np.ndarray, asked: Callable[[int], int]) -> int:
        """Take bytes; fill ``feedback`` of the axes whose replies are whole, with the time that ``asked`` gives for the
        axis; returns how many."""
        lines = (self._tail + data).split(b"\n") if self._tail else data.split(b"\n")
        tail = lines.pop()
        if len(tail) > _MAX_LINE:
            self.counters.garbage_bytes += len(tail)
            tail = b"\xff"
        self._tail = tail
        filled = 0
        for line in lines:
            if line not in _ACKNOWLEDGED:
                filled += self._line(line, feedback, asked)
        return filled

    def _line(self, line: bytes, feedback: np.ndarray, asked: Callable[[int], int]) -> int:
        line = line.strip(b" \r\t")
        if line[-3:-2] == b"*":
            if len(line) > _MAX_LINE or _HEX[crc8(line[:-3])] != line[-3:].upper():
                self.counters.bad_crc += 1
                return 0
        elif self.checksum:
            self.counters.garbage_bytes += len(line)
            return 0
        if line[:4] != b"rcv ":
            return self._other(line)
        id_end = line.find(b" ", 4)
        axis = self._axis_of.get(line[4:id_end])
        if axis is None:
            self.counters.unknown_frames += 1
            return 0
        data_end = line.find(b" ", id_end + 1)
        try:
            raw = unhexlify(line[id_end + 1 : data_end if data_end > 0 else len(line)])
        except ValueError:
            self.counters.garbage_bytes += len(line)
            return 0
        if len(raw) < _REPLY.size:
            return self._subframes(axis, raw)
        head, mode, floats, position, velocity, torque, current, shorts, voltage, temp, fault = _REPLY.unpack_from(raw)
        if head != _REPLY_HEAD or floats != _REPLY_FLOATS or shorts != _REPLY_SHORTS:
            return self._subframes(axis, raw)
        if not (
            -_BIG < position < _BIG and -_BIG < velocity < _BIG and -_BIG < torque < _BIG and -_BIG < current < _BIG
        ):
            self.counters.bad_values += 1
            return 0
        self.device_mode[axis] = mode
        if mode == DEVICE_TIMEOUT:
            fault = 0x10000  # BridgeFault.WATCHDOG_EXPIRED
        feedback[axis] = (1, asked(axis), position * TURN, velocity * TURN, torque, current, voltage * 0.1, temp * 0.1,
                          fault & 0xFFFFFFFF, _MEANING.get(mode, -1))  # fmt: skip
        self.counters.rows += 1
        return 1

    def _other(self, line: bytes) -> int:
        if line[:3] == b"ERR":
            self.counters.device_errors += 1
            self.errors = [*self.errors[-7:], line]
        elif line != b"OK":
            self.counters.garbage_bytes += len(line)
        return 0

    def _subframes(self, axis: int, raw: bytes) -> int:
        """Any other reply: registers, unscaled, into ``registers[axis]``."""
        at, found = 0, self.registers[axis]
        try:
            while at < len(raw):
                code = raw[at]
                at += 1
                if code == 0x50:
                    continue
                if code == 0x30 or code == 0x31:
                    self.counters.device_errors += 1
                    return 0
                if code & 0xF0 != 0x20:
                    break
                kind, count = _RAW[code >> 2 & 3], code & 3
                if count == 0:
                    count, at = raw[at], at + 1
                start, at = _take_varuint(raw, at)
                values = dict(zip(range(start, start + count), struct.unpack_from(f"<{count}{kind}", raw, at)))
                at += struct.calcsize(f"<{count}{kind}")
                self.twins |= 0x120 in values and values[0x120] != found.get(0x120, values[0x120])
                found.update(values)
        except (IndexError, struct.error):
            pass
        else:
            if at >= len(raw):
                return 0
        self.counters.unknown_frames += 1
        return 0


# What a device mode is in our words; position mode may be torque, rate or angle, and the driver knows which it sent.
_MEANING = {
    DEVICE_STOPPED: AxisMode.OFF,
    DEVICE_BRAKE: AxisMode.BRAKE,
    DEVICE_POSITION: AxisMode.TORQUE,
    12: AxisMode.RATE,
}


def _varuint(value: int) -> bytes:
    return bytes([value]) if value < 0x80 else bytes([value & 0x7F | 0x80]) + _varuint(value >> 7)


def _take_varuint(data: bytes, at: int) -> tuple[int, int]:
    value = shift = 0
    while shift < 35:
        byte = data[at]
        at += 1
        value |= (byte & 0x7F) << shift
        if byte < 0x80:
            return value, at
        shift += 7
    raise IndexError("varuint too long")
