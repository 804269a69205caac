"""A STorM32 board as its bytes look to a host: simple commands and RC commands.

Written from olliw's c-library STorM32_lib.h and the wiki's Serial_Communication page. Shares nothing with the driver.
It has no watchdog: the last angles hold for ever.
"""

from __future__ import annotations

import math
import struct
from collections.abc import Callable, Mapping
from typing import Any

from firmware_bridge.emulators.base import NEVER, Emulator
from firmware_bridge.emulators.gimbal_physics import ANGLE, AngleCommand, GimbalState

DUMMY = b"\x33\x34"
OK, FAIL, DENIED, UNSUPPORTED, CRC_ERROR, LENGTH_ERROR = 0, 1, 2, 3, 151, 152
NORMAL, STANDBY, FAST_LEVEL = 6, 99, 7
BYTE_TIMEOUT_NS = 50_000_000
SIMPLE = b"tvds"
ANSWER_NS = 600_000  # it looks at the port once in its own cycle of 1.5 ms
SIGN = (-1.0, 1.0, -1.0)  # pitch, roll, yaw against FRD


def x25(data: bytes) -> int:
    """MAVLink's crc_accumulate over all bytes."""
    crc = 0xFFFF
    for byte in data:
        tmp = (byte ^ crc) & 0xFF
        tmp = (tmp ^ tmp << 4) & 0xFF
        crc = (crc >> 8 ^ tmp << 8 ^ tmp << 3 ^ tmp >> 4) & 0xFFFF
    return crc


class Storm32Emulator(Emulator):
    """``physics`` is a GimbalPhysics. Options of its own: startup_ms (states 0 to 5 after power-up; 0), firmware."""

    def __init__(self, physics: Any, options: Mapping[str, object] | None = None) -> None:
        super().__init__(physics, options)
        self.startup_ns = int(1e6 * float(str(self.options.get("startup_ms", 0))))
        self.parameters = {0: 270, 1: 150}
        self.link: dict[str, tuple[float, ...]] = {}
        self.commands: dict[int, tuple[int, Callable[[bytes, int], int]]] = {
            10: (2, self._stick(0)), 11: (2, self._stick(1)), 12: (2, self._stick(2)), 13: (1, self._pan_mode),
            14: (1, self._standby), 15: (6, self._accept), 17: (14, self._set_angles), 18: (6, self._sticks),
            19: (2, self._accept), 4: (4, self._set_parameter), 0xDA: (33, self._link),
        }  # fmt: skip
        self.power_up(0)

    def power_up(self, now_ns: int) -> None:
        self.start_ns = now_ns
        self.state = NORMAL
        self.targets = [AngleCommand(), AngleCommand(), AngleCommand()]  # roll, pitch, yaw
        self._tail, self._last_byte_ns = b"", now_ns
        self.errors = 0
        self.standby = True  # until told: the driver must be able to rely on nothing moving
        self._drive(now_ns)

    def next_ns(self) -> int:
        return NEVER

    def feed(self, data: bytes, now_ns: int) -> None:
        if now_ns - self._last_byte_ns > BYTE_TIMEOUT_NS:
            self._tail = b""
        self._last_byte_ns = now_ns
        buffer = self._tail + data
        at = 0
        while at < len(buffer):
            start = buffer[at]
            if start in (0xFA, 0xF9):
                if len(buffer) - at < 2 or len(buffer) - at < buffer[at + 1] + 5:
                    break
                size = buffer[at + 1]
                self._frame(start, buffer[at + 1 : at + 3 + size], buffer[at + 3 + size : at + 5 + size], now_ns)
                at += size + 5
            else:
                if start in SIMPLE:
                    self._simple(chr(start), now_ns)
                at += 1
        self._tail = buffer[at:]

    def _simple(self, letter: str, now_ns: int) -> None:
        answer = b""
        if letter == "v":
            answer = self._versions()
        elif letter == "d":
            answer = struct.pack("<32H", *self._data(now_ns))
        elif letter == "s":
            answer = struct.pack("<5H", *self._data(now_ns)[:5])
        if answer:
            answer += struct.pack("<H", x25(answer))
        self.send(answer + b"o", now_ns + ANSWER_NS)

    def _frame(self, start: int, body: bytes, check: bytes, now_ns: int) -> None:
        loud = start == 0xFA
        if check != DUMMY and struct.unpack("<H", check)[0] != x25(body):
            return self._ack(CRC_ERROR, loud, now_ns)
        command, payload = body[1], body[2:]
        if command in (1, 2, 3, 5, 6):
            answer = self._answer(command, payload, now_ns)
            if isinstance(answer, int):
                return self._ack(answer, True, now_ns)
            return self._say(command, answer, now_ns)
        known = self.commands.get(command)
        if known is None:
            return self._ack(UNSUPPORTED, loud, now_ns)
        size, action = known
        if len(payload) != size:
            return self._ack(LENGTH_ERROR, loud, now_ns)
        code = action(payload, now_ns)
        if command != 0xDA:
            self._ack(code, loud, now_ns)

    def _say(self, command: int, payload: bytes, now_ns: int) -> None:
        body = bytes((len(payload), command)) + payload
        self.send(b"\xfb" + body + struct.pack("<H", x25(body)), now_ns + ANSWER_NS)

    def _ack(self, code: int, loud: bool, now_ns: int) -> None:
        self.errors += code != OK
        if loud:
            self._say(150, bytes((code,)), now_ns)

    def _answer(self, command: int, payload: bytes, now_ns: int) -> bytes | int:
        if command == 1:
            return struct.pack("<HHH", 270, 150, 0)
        if command == 2:
            return self._versions()
        if command == 3:
            if len(payload) != 2:
                return LENGTH_ERROR
            number = struct.unpack("<H", payload)[0]
            return struct.pack("<HH", number, self.parameters.get(number, 0)) if number < 500 else FAIL
        if command == 5:
            return bytes((0, 0)) + struct.pack("<32H", *self._data(now_ns)) if len(payload) == 1 else LENGTH_ERROR
        if len(payload) != 2:
            return LENGTH_ERROR
        return self._fields(struct.unpack("<H", payload)[0], now_ns)

    def _versions(self) -> bytes:
        version = str(self.options.get("firmware", "v2.70")).encode()
        return struct.pack("<16s16s16s", version, b"STorM32", b"v3.3 F103RC")

    # What it measures.

    def _now_state(self, now_ns: int) -> int:
        if now_ns - self.start_ns < self.startup_ns:
            return int(6 * (now_ns - self.start_ns) / self.startup_ns)
        return STANDBY if self.standby else self.state

    def _measured(self, now_ns: int) -> GimbalState:
        state = self.physics.state(now_ns)
        if state.fault and self.state != FAST_LEVEL:
            self.state = FAST_LEVEL  # it levels itself anew, motors driven by nothing of ours
            self.targets = [AngleCommand(), AngleCommand(), AngleCommand()]
        return state

    @staticmethod
    def _centidegrees(roll_pitch_yaw: tuple[float, float, float]) -> list[int]:
        order = (roll_pitch_yaw[1], roll_pitch_yaw[0], roll_pitch_yaw[2])
        return [max(-32768, min(32767, round(100 * math.degrees(s * a)))) for s, a in zip(SIGN, order)]

    def _data(self, now_ns: int) -> list[int]:
        state = self._measured(now_ns)
        words = [0] * 32
        words[0] = self._now_state(now_ns)
        words[5], words[6] = min(65535, self.errors), round(1000 * state.voltage_V)
        words[7], words[8] = (now_ns // 16_000) & 0xFFFF, 1500
        words[12:15] = [a & 0xFFFF for a in self._centidegrees(state.euler_rad)]
        words[24:27] = [a & 0xFFFF for a in self._centidegrees(state.joint_rad)]
        words[29] = 10000
        return words

    def _fields(self, bits: int, now_ns: int) -> bytes | int:
        state, words = self._measured(now_ns), self._data(now_ns)
        body = struct.pack("<H", bits)
        if bits & 0x0020:
            body += struct.pack("<3H", *words[12:15])
        if bits & 0x2000:  # before the attitude, as the maker's structure has it
            body += struct.pack("<7H", *words[0:7])
        if bits & 0x1000:
            degrees = [a / 100 for a in self._centidegrees(state.euler_rad)]
            body += struct.pack("<Ifff", now_ns // 1_000_000 & 0xFFFFFFFF, *degrees)
        if bits & 0x4000:
            body += struct.pack("<3H", *words[24:27])
        return body if bits and not bits & ~0x7020 else FAIL

    # What it is told.

    def _drive(self, now_ns: int) -> None:
        self.physics.drive(None if self.standby else (self.targets[0], self.targets[1], self.targets[2]), now_ns)

    def _accept(self, payload: bytes, now_ns: int) -> int:
        return OK

    def _standby(self, payload: bytes, now_ns: int) -> int:
        if payload[0] > 1:
            return FAIL
        self.standby = bool(payload[0])
        if not self.standby:
            self.state = NORMAL
            self.targets = [AngleCommand(), AngleCommand(), AngleCommand()]
        self._drive(now_ns)
        return OK

    def _pan_mode(self, payload: bytes, now_ns: int) -> int:
        return OK if payload[0] <= 6 else FAIL

    def _set_parameter(self, payload: bytes, now_ns: int) -> int:
        number, value = struct.unpack("<HH", payload)
        self.parameters[number] = value
        return OK

    def _set_angles(self, payload: bytes, now_ns: int) -> int:
        pitch, roll, yaw, flags, _ = struct.unpack("<fffBB", payload)
        if not all(math.isfinite(a) and abs(a) <= 360 for a in (pitch, roll, yaw)):
            return FAIL
        turned = [math.radians(s * a) for s, a in zip(SIGN, (pitch, roll, yaw))]
        self._hold_at(turned[1], turned[0], turned[2], now_ns)
        return OK

    def _hold_at(self, roll: float, pitch: float, yaw: float, now_ns: int) -> None:
        self.targets = [AngleCommand(ANGLE, 0.0, a) for a in (roll, pitch, yaw)]
        self._drive(now_ns)

    def _stick(self, which: int) -> Callable[[bytes, int], int]:
        def move(payload: bytes, now_ns: int) -> int:
            return self._stick_to({which: struct.unpack("<H", payload)[0]}, now_ns)

        return move

    def _sticks(self, payload: bytes, now_ns: int) -> int:
        return self._stick_to(dict(enumerate(struct.unpack("<HHH", payload))), now_ns)

    def _stick_to(self, sticks: Mapping[int, int], now_ns: int) -> int:
        """Absolute sticks, as a profile may set them up: 500 us a 45 degrees; 0 recentres."""
        if any(value != 0 and not 700 <= value <= 2300 for value in sticks.values()):
            return FAIL
        for which, value in sticks.items():
            angle = 0.0 if value == 0 else SIGN[which] * math.radians((value - 1500) * 45 / 500)
            self.targets[(1, 0, 2)[which]] = AngleCommand(ANGLE, 0.0, angle)
        self._drive(now_ns)
        return OK

    def _link(self, payload: bytes, now_ns: int) -> int:
        _, status, _, yaw_rate, *numbers = struct.unpack("<BBBh7f", payload)
        if all(math.isfinite(x) for x in numbers):
            self.link = {"status": (status,), "q": tuple(numbers[:4]), "velocity": tuple(numbers[4:])}
        return OK
