"""A SimpleBGC32 board as its bytes look to a host.

Written from BaseCam's sbgc32-serial-api 2.2.1 (core, gimbalControl, realtime, service, imu) and the specification's
tables; the sizes of all answers are those the maker's library insists on. Shares nothing with the driver.
"""

from __future__ import annotations

import math
import struct
from collections.abc import Mapping
from typing import Any

from firmware_bridge.emulators.base import NEVER, Emulator
from firmware_bridge.emulators.gimbal_physics import ANGLE, HOLD, SPEED, AngleCommand, GimbalState, angles_of

DEG = math.pi / 180
UNIT_14 = 2 * math.pi / 16384
UNIT_20 = 2 * math.pi / (1 << 20)
CYCLE_NS = 800_000
ERR_SIZE, ERR_PARAMS, ERR_UNKNOWN, ERR_UNSUPPORTED = 1, 2, 6, 9
BOOT_NS = 500_000_000
EMERGENCY = 0x800


def crc16(data: bytes) -> int:
    """As the maker's document draws it: bits of each byte from the lowest, register shifted left, 0x8005."""
    register = 0
    for byte in data:
        for bit in range(8):
            out = register >> 15
            register = register << 1 & 0xFFFF
            if (byte >> bit & 1) != out:
                register ^= 0x8005
    return register


class Stream:
    """One command the board pushes on its own."""

    def __init__(self, command: int, period_ns: int, flags: int, now_ns: int) -> None:
        self.command, self.period_ns, self.flags = command, period_ns, flags
        self.next_ns = now_ns + period_ns


class SbgcEmulator(Emulator):
    """Options of its own: firmware (2733), old (True: a board that knows protocol 1 only), extended (CONTROL_QUAT),
    boot_ms (silent this long after power-up; 0). ``physics`` is a GimbalPhysics."""

    def __init__(self, physics: Any, options: Mapping[str, object] | None = None) -> None:
        super().__init__(physics, options)
        self.firmware = int(str(self.options.get("firmware", 2733)))
        self.old = bool(self.options.get("old", False))
        self.extended = bool(self.options.get("extended", True))
        self.boot_ns = int(1e6 * float(str(self.options.get("boot_ms", 0))))
        self.profile_limits_deg = ((-40, 40), (-90, 30), (-180, 180))
        self.handlers = {
            86: self._board_info, 20: self._board_info_3, 21: self._read_params, 77: self._motors_on,
            109: self._motors_off, 90: self._control_config, 67: self._control, 140: self._control_quat,
            73: self._get_angles, 61: self._get_angles_ext, 23: self._realtime_3, 25: self._realtime_4,
            88: self._realtime_custom, 85: self._stream_interval, 72: self._helper_data, 56: self._ahrs_helper,
            114: self._reset,
        }  # fmt: skip
        self.power_up(0)

    def power_up(self, now_ns: int) -> None:
        self.version = 1 if self.old else 2
        self.start_ns = now_ns
        self.ready_ns = now_ns + self.boot_ns
        self.motors, self.error = False, 0
        self.timeout_ns, self.deadline_ns = 0, NEVER
        self.confirm_control = True
        self.streams: dict[int, Stream] = {}
        self.target = [AngleCommand(), AngleCommand(), AngleCommand()]
        self.helper: dict[str, tuple[float, ...]] = {}
        self._tail = b""
        self.physics.drive(None, now_ns)

    # Bytes in.

    def feed(self, data: bytes, now_ns: int) -> None:
        buffer = self._tail + data
        at = 0
        while at < len(buffer):
            start = buffer[at]
            if start not in (0x3E, 0x24) or (self.old and start == 0x24):
                at += 1
                continue
            if len(buffer) - at < 4:
                break
            command, size, check = buffer[at + 1], buffer[at + 2], buffer[at + 3]
            if (command + size) % 256 != check:
                at += 1
                continue
            end = at + 4 + size + (2 if start == 0x24 else 1)
            if end > len(buffer):
                break
            payload, tail = buffer[at + 4 : at + 4 + size], buffer[at + 4 + size : end]
            if start == 0x24:
                good = crc16(buffer[at + 1 : at + 4] + payload) == tail[0] + 256 * tail[1]
            else:
                good = sum(payload) % 256 == tail[0]
            if not good:
                at += 1
                continue
            self.version = 2 if start == 0x24 else 1
            if now_ns >= self.ready_ns:
                self._command(command, payload, now_ns)
            at = end
        self._tail = buffer[at:]

    def _command(self, command: int, payload: bytes, now_ns: int) -> None:
        handler = self.handlers.get(command)
        if handler is None:
            return self._fail(command, ERR_UNKNOWN, now_ns)
        handler(command, payload, now_ns)

    def _say(self, command: int, payload: bytes, now_ns: int) -> None:
        head = bytes((command, len(payload), (command + len(payload)) % 256))
        if self.version == 2:
            self.send(b"$" + head + payload + struct.pack("<H", crc16(head + payload)), now_ns)
        else:
            self.send(b">" + head + payload + bytes((sum(payload) % 256,)), now_ns)

    def _confirm(self, command: int, now_ns: int) -> None:
        self._say(67, struct.pack("<BH", command, 0), now_ns)

    def _fail(self, command: int, code: int, now_ns: int) -> None:
        self._say(255, struct.pack("<BB4x", command, code), now_ns)

    # Time.

    def next_ns(self) -> int:
        return min([self.deadline_ns, *(stream.next_ns for stream in self.streams.values())])

    def service(self, now_ns: int) -> None:
        if self.deadline_ns <= now_ns:  # control goes back to the sticks, which are centred
            self.deadline_ns = NEVER
            self.target = [AngleCommand(), AngleCommand(), AngleCommand()]
            self._drive(now_ns)
        for stream in list(self.streams.values()):
            if stream.next_ns <= now_ns:
                self._push(stream, now_ns)
                stream.next_ns += stream.period_ns * ((now_ns - stream.next_ns) // stream.period_ns + 1)

    def _push(self, stream: Stream, now_ns: int) -> None:
        body = {23: self._rt3, 25: self._rt4, 88: lambda t: self._custom(stream.flags, t)}.get(stream.command)
        if body is not None:
            self._say(stream.command, body(now_ns), now_ns)

    def _drive(self, now_ns: int) -> None:
        self.physics.drive((self.target[0], self.target[1], self.target[2]) if self.motors else None, now_ns)

    def _state(self, now_ns: int) -> GimbalState:
        state = self.physics.state(now_ns)
        if state.fault and not self.error:
            self.error, self.motors = EMERGENCY, False
            self._drive(now_ns)
        return state

    # Settings and motors.

    def _board_info(self, command: int, payload: bytes, now_ns: int) -> None:
        features_ext = 7
        self._say(command, struct.pack("<BHBHBIHBBBH", 36, self.firmware, 1, 16, 0, 0, features_ext, 0, 0, 7,
                                       self.firmware), now_ns)  # fmt: skip

    def _board_info_3(self, command: int, payload: bytes, now_ns: int) -> None:
        flags = 8 if self.extended else 0
        self._say(command, struct.pack("<9s12sI5HBBB2s5HHIBBB10s", b"\1\2\3\4\5\6\7\x08\x09", b"mcu", 32768, *[0] * 5,
                                       0, 0, 0, b"", *[0] * 5, 0, flags, 0, 0, 0, b""), now_ns)  # fmt: skip

    def _read_params(self, command: int, payload: bytes, now_ns: int) -> None:
        if len(payload) != 1:
            return self._fail(command, ERR_SIZE, now_ns)
        body = bytearray(138)
        body[0] = 0 if payload[0] > 4 else payload[0]
        for axis, (low, high) in enumerate(self.profile_limits_deg):
            struct.pack_into("<hh", body, 26 + 8 * axis, low, high)
        self._say(command, bytes(body), now_ns)

    def _motors_on(self, command: int, payload: bytes, now_ns: int) -> None:
        self.motors, self.error = True, 0
        self.target = [AngleCommand(), AngleCommand(), AngleCommand()]
        self._drive(now_ns)
        self._confirm(command, now_ns)

    def _motors_off(self, command: int, payload: bytes, now_ns: int) -> None:
        if len(payload) > 1 or (payload and payload[0] > 2):
            return self._fail(command, ERR_PARAMS, now_ns)
        self.motors = False
        self._drive(now_ns)
        self._confirm(command, now_ns)

    def _control_config(self, command: int, payload: bytes, now_ns: int) -> None:
        if self.firmware < 2610:
            return self._fail(command, ERR_UNKNOWN, now_ns)
        if len(payload) != 41:
            return self._fail(command, ERR_SIZE, now_ns)
        timeout_ms, flags = struct.unpack_from("<H", payload)[0], struct.unpack_from("<H", payload, 29)[0]
        self.timeout_ns = timeout_ms * 1_000_000
        self.confirm_control = not flags & 1
        self._confirm(command, now_ns)

    def _reset(self, command: int, payload: bytes, now_ns: int) -> None:
        self.power_up(now_ns)
        self.ready_ns = now_ns + BOOT_NS

    # Control.

    def _control(self, command: int, payload: bytes, now_ns: int) -> None:
        if len(payload) not in (13, 15):
            return self._fail(command, ERR_SIZE, now_ns)
        modes = list(payload[:3]) if len(payload) == 15 else [payload[0]] * 3
        values = struct.unpack("<6h", payload[-12:])
        for axis, mode in enumerate(modes):
            speed_unit = 0.001 * DEG if mode & 0x80 else 0.1220740379 * DEG
            speed, angle = values[2 * axis] * speed_unit, values[2 * axis + 1] * UNIT_14
            kind = mode & 0x0F
            if kind in (1, 6):
                self.target[axis] = AngleCommand(SPEED, speed)
            elif kind in (2, 3, 5, 8):
                self.target[axis] = AngleCommand(ANGLE, abs(speed), angle)
            elif kind in (0, 4):
                self.target[axis] = AngleCommand(HOLD)
            elif kind != 7:
                return self._fail(command, ERR_PARAMS, now_ns)
        self._controlled(command, now_ns)

    def _controlled(self, command: int, now_ns: int) -> None:
        self.deadline_ns = now_ns + self.timeout_ns if self.timeout_ns else NEVER
        self._drive(now_ns)
        if self.confirm_control:
            self._confirm(command, now_ns)

    def _control_quat(self, command: int, payload: bytes, now_ns: int) -> None:
        if not self.extended or self.firmware < 2730:
            return self._fail(command, ERR_UNSUPPORTED, now_ns)
        if len(payload) < 2:
            return self._fail(command, ERR_SIZE, now_ns)
        mode = payload[0] & 0x0F
        need = {0: 2, 1: 14, 2: 18, 5: 30}.get(mode)
        if need is None or len(payload) != need:
            return self._fail(command, ERR_SIZE if need else ERR_PARAMS, now_ns)
        numbers = struct.unpack(f"<{(need - 2) // 4}f", payload[2:])
        if not all(math.isfinite(x) for x in numbers):
            return self._fail(command, ERR_PARAMS, now_ns)
        if mode == 1:
            self.target = [AngleCommand(SPEED, max(-50.0, min(50.0, w))) for w in numbers]
        elif mode in (2, 5):
            angles = angles_of(numbers[:4])
            if angles is None:
                return self._fail(command, ERR_PARAMS, now_ns)
            self.target = [AngleCommand(ANGLE, 0.0, angle) for angle in angles]
        self._controlled(command, now_ns)

    # Data.

    def _get_angles(self, command: int, payload: bytes, now_ns: int) -> None:
        state, words = self._state(now_ns), []
        for axis in range(3):
            words += [_i16(state.euler_rad[axis] / UNIT_14), _i16(self.target[axis].angle_rad / UNIT_14), 0]
        self._say(command, struct.pack("<9h", *words), now_ns)

    def _get_angles_ext(self, command: int, payload: bytes, now_ns: int) -> None:
        state, body = self._state(now_ns), b""
        for axis in range(3):
            body += struct.pack(
                "<hhi10x",
                _i16(state.euler_rad[axis] / UNIT_14),
                _i16(self.target[axis].angle_rad / UNIT_14),
                round(state.joint_rad[axis] / UNIT_14),
            )
        self._say(command, body, now_ns)

    def _realtime_3(self, command: int, payload: bytes, now_ns: int) -> None:
        self._say(command, self._rt3(now_ns), now_ns)

    def _realtime_4(self, command: int, payload: bytes, now_ns: int) -> None:
        self._say(command, self._rt4(now_ns), now_ns)

    def _realtime_custom(self, command: int, payload: bytes, now_ns: int) -> None:
        if self.firmware < 2600:
            return self._fail(command, ERR_UNKNOWN, now_ns)
        if len(payload) != 10:
            return self._fail(command, ERR_SIZE, now_ns)
        self._say(command, self._custom(struct.unpack("<I", payload[:4])[0], now_ns), now_ns)

    def _stream_interval(self, command: int, payload: bytes, now_ns: int) -> None:
        if len(payload) != 21:
            return self._fail(command, ERR_SIZE, now_ns)
        what, interval, flags = struct.unpack("<BHI", payload[:7])
        if what not in (23, 25, 88):
            return self._fail(command, ERR_PARAMS, now_ns)
        if interval:
            self.streams[what] = Stream(what, CYCLE_NS if interval == 1 else interval * 1_000_000, flags, now_ns)
        else:
            self.streams.pop(what, None)
        self._confirm(command, now_ns)

    def _gyro(self, state: GimbalState) -> list[int]:
        return [_i16(w / (0.06103701895 * DEG)) for w in state.rate_C]

    def _rt3(self, now_ns: int) -> bytes:
        state = self._state(now_ns)
        gyro, angles = self._gyro(state), [_i16(a / UNIT_14) for a in state.euler_rad]
        targets = [_i16(c.angle_rad / UNIT_14) for c in self.target]
        power = [min(255, round(255 * p)) for p in state.power] if self.motors else [0, 0, 0]
        body = b"".join(struct.pack("<hh", 0, g) for g in gyro)
        body += struct.pack("<HHB3x", 0, self.error, 8 if self.error else 0) + struct.pack("<6h", *[1500] * 3, 0, 0, 0)
        body += struct.pack("<9h", *angles, 0, 0, 0, *targets)
        body += struct.pack("<HHBHBBB", 800, 0, 0, round(100 * state.voltage_V), int(self.motors), 1, 0)
        return body + bytes(power)

    def _rt4(self, now_ns: int) -> bytes:
        state = self._state(now_ns)
        joints = [_i16(a / UNIT_14) for a in state.joint_rad]
        body = self._rt3(now_ns) + struct.pack("<3hB3hH", *joints, 0, 0, 0, 0, round(1000 * state.current_A))
        body += struct.pack("<3hbbBB3hBB", 0, 0, 0, round(state.temp_degC), 25, 0, 0, 0, 0, 0, 0, 0)
        return body + struct.pack("<3hI18x", 0, 0, 0, 0)

    def _custom(self, flags: int, now_ns: int) -> bytes:
        state = self._state(now_ns)
        blocks = {
            0: lambda: struct.pack("<3h", *(_i16(a / UNIT_14) for a in state.euler_rad)),
            1: lambda: struct.pack("<3h", *(_i16(c.angle_rad / UNIT_14) for c in self.target)),
            2: lambda: struct.pack("<3h", *(_i16(c.rate_rad_s / (0.06103701895 * DEG)) for c in self.target)),
            3: lambda: struct.pack("<3h", *(_i16(a / UNIT_14) for a in state.joint_rad)),
            4: lambda: struct.pack("<3h", *self._gyro(state)),
            15: lambda: self._power(state),
            17: lambda: struct.pack("<3i", *(round(a / UNIT_20) for a in state.euler_rad)),
            18: lambda: struct.pack("<3i", *(round(c.angle_rad / UNIT_20) for c in self.target)),
        }
        body = struct.pack("<H", (now_ns - self.start_ns) // 1_000_000 & 0xFFFF)
        return body + b"".join(block() for bit, block in sorted(blocks.items()) if flags >> bit & 1)

    def _power(self, state: GimbalState) -> bytes:
        body = b"".join(struct.pack("<hHbH6x", round(10000 * p), round(333 * state.current_A), round(state.temp_degC),
                                    4 if self.motors else 0) for p in state.power)  # fmt: skip
        return body + struct.pack("<bHHH", 1, round(100 * state.voltage_V), round(1000 * state.current_A), 0)

    def _helper_data(self, command: int, payload: bytes, now_ns: int) -> None:
        if len(payload) not in (10, 20):
            return self._fail(command, ERR_SIZE, now_ns)
        acc = tuple(a / 512 * 9.80665 for a in struct.unpack("<3h", payload[:6]))
        self.helper["accel_m_s2"] = acc  # right, forward, down of the frame
        self.helper["roll_pitch"] = tuple(a * UNIT_14 for a in struct.unpack("<2h", payload[6:10]))
        if len(payload) == 20:
            flags, *rest = struct.unpack("<B3hhB", payload[10:])
            self.helper["rate_rad_s"] = tuple(w * 0.06103701895 * DEG for w in rest[:3])
            self.helper["heading"] = (rest[3] * UNIT_14,) if flags & 0x80 else ()

    def _ahrs_helper(self, command: int, payload: bytes, now_ns: int) -> None:
        if len(payload) == 26 and payload[0] & 1:
            vectors = struct.unpack("<6f", payload[2:])
            self.helper["down"], self.helper["north"] = vectors[:3], vectors[3:]
        elif len(payload) != 2:
            self._fail(command, ERR_SIZE, now_ns)
        else:
            self._say(command, struct.pack("<6f", 0, 0, 1, 0, 1, 0), now_ns)


def _i16(value: float) -> int:
    return max(-32768, min(32767, round(value)))
