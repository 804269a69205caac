"""STorM32 over its RC commands: angles only. Rates are integrated here; the board holds what it was last told.

The board never speaks unasked: each poll that is due asks for the angles, now and then for the encoders and the
status. It has no watchdog, so ``arm`` refuses unless the option accept_no_watchdog says so.
"""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from typing import ClassVar

import numpy as np

from firmware_bridge.angles import Quat, euler_of, euler_rates, multiply, signs, unit, wrap
from firmware_bridge.drivers import storm32_codec as codec
from firmware_bridge.errors import DeviceRefused, NoAnswer, WrongDevice
from firmware_bridge.framing import BinaryFramer, line_time_s
from firmware_bridge.gimbal_interface import GIMBAL_ROW, CarrierState, GimbalDriver, GimbalHas, GimbalMode
from firmware_bridge.interface import BridgeFault, Capabilities, Identity, Option, Status

_ASK_BYTES, _ANSWER_BYTES, _SET_BYTES, _LINK_BYTES = 7, 13, 19, 38
_BOARD_S = 1.5e-3  # the board looks at its serial port once in its own cycle
_ANSWER_LATE_NS = 60_000_000
_BIG = 100.0
_ORDER = (1, 0, 2)  # pitch, roll, yaw of our roll, pitch, yaw; its own inverse
# STorM32-Link status: written by ArduPilot; attitude good, filter started, velocity good, 3D fix, armed.
_LINK_ATTITUDE, _LINK_VELOCITY = 0x03, 0x0C
_OLDEST = (2, 69)  # firmware


class Storm32(GimbalDriver):
    NAME = "storm32"
    OPTIONS: ClassVar = {
        "rate_hz": Option(int, 100, "rows a second", 5, 200),
        "rate_expiry_ms": Option(float, 250.0, "a rate not sent again becomes zero", 20.0, 1000.0),
        "invert": Option(str, "pitch yaw", "axes whose sense is the other way; the board's own is pitch and yaw"),
        "limited": Option(bool, True, "commanded angles stay within the profile's limits"),
        "carrier_hz": Option(float, 20.0, "how often the mount's motion is passed on; 0: never", 0.0, 100.0),
        "accept_no_watchdog": Option(bool, False, "arm although the board holds its last command for ever"),
    }  # fmt: skip

    def setup(self) -> None:
        self.armed = False
        self._sign = signs(self.options["invert"])
        self._framer = BinaryFramer(bytes((codec.FROM_BOARD,)), codec.frame_length, codec.frame_valid, 80)
        self._row = np.zeros(1, GIMBAL_ROW)[0]
        self._answers: dict[int, bytes] = {}
        self.acknowledged = -1  # the newest ACK's code
        self._asked_ns = self._due_ns = self._sent_ns = self._rate_ns = 0
        self._waiting, self._asked = False, 0
        self._turn = 0
        self._sequence = 0
        self._target: list[float] | None = None  # roll, pitch, yaw that rates move
        self._answer_ns = int(1e9 * line_time_s(_ANSWER_BYTES, self.transport.baud))

    @property
    def capabilities(self) -> Capabilities:
        a_second = self.transport.baud / 10
        each_s = (_ASK_BYTES + _ANSWER_BYTES) / a_second + _BOARD_S
        link = _LINK_BYTES * self.options["carrier_hz"]
        out_hz = (a_second - link) / (_ASK_BYTES + _SET_BYTES)
        rate = max(0.0, min(1 / each_s, out_hz))
        text = (f"question {_ASK_BYTES} and answer {_ANSWER_BYTES} bytes one after the other, {_BOARD_S * 1e3:g} ms "
                f"in the board, {_SET_BYTES} bytes a command and {link:.0f} a second of the carrier, 10 bits each, at "
                f"{self.transport.baud:.0f} baud.")  # fmt: skip
        return Capabilities(frozenset(GimbalMode), False, rate, text)

    # Before the loop.

    def _ask(self, command: int, data: bytes, tries: int) -> bytes | None:
        for _ in range(tries):
            self._answers.pop(command, None)
            self.transport.write(data)
            if self._listen(0.15, lambda: command in self._answers):
                return self._answers[command]
        return None

    def identify(self, timeout_s: float = 1.0) -> Identity:
        """Name, board and firmware; nothing moves."""
        self.transport.discard_input()
        text = self._ask(codec.GET_VERSION_TEXT, codec.frame(codec.WITH_REPLY, codec.GET_VERSION_TEXT),
                         max(1, round(timeout_s / 0.15)))  # fmt: skip
        if text is None or len(text) != 48:
            raise self._silence()
        version, name, board = (
            text[i : i + 16].split(b"\0")[0].decode("ascii", "replace").strip() for i in (0, 16, 32)
        )
        number = re.match(r"v?(\d+)\.(\d+)", version)
        if number and (int(number[1]), int(number[2])) < _OLDEST:
            raise WrongDevice(
                f"the STorM32 on {self.transport.name} has firmware {version}; this driver needs 2.69a or later, whose "
                "data fields it reads. Update it with o323BGCTool."
            )
        return Identity("storm32", board, version, name)

    def _silence(self) -> NoAnswer | WrongDevice:
        name = self.transport.name
        if self._framer.garbage_bytes + self._framer.bad_crc > 40 or codec.GET_VERSION_TEXT in self._answers:
            return WrongDevice(
                f"what answers on {name} is no STorM32: its bytes are no answers to RC commands. Check which device "
                "this port is (`gimbal devices`) and its baud; a port set to MAVLink needs the driver mavlink_gimbal."
            )
        return NoAnswer(
            f"no STorM32 answers on {name}. Check its power, wiring and baud (115200 as shipped); a port on which its "
            "MAVLink component is enabled takes MAVLink only: use the driver mavlink_gimbal, or disable it."
        )

    def configure(self) -> None:
        """Nothing is stored in the board; it must at least tell its angles. Raises DeviceRefused."""
        self.armed = False
        self._target = None
        for bit in (codec.STATUS, codec.ANGLES, codec.ENCODERS):
            answer = self._ask(codec.GET_FIELDS, codec.ask(bit), 3)
            if (answer is None or codec.fields(answer) is None) and bit != codec.ENCODERS:
                raise DeviceRefused(
                    f"the STorM32 on {self.transport.name} does not tell its data (fields {bit:#06x}). Firmware "
                    "2.69a or later is needed: update it with o323BGCTool."
                )

    # In the loop.

    def arm(self) -> int:
        if not self.options["accept_no_watchdog"]:
            return int(Status.REFUSED)
        self.armed = True
        self._target = None
        return self.transport.write(codec.encode(codec.WITH_REPLY, codec.SET_STANDBY, 0), urgent=True)

    def _off(self) -> int:
        self._target = None
        return self._standby()

    def _command(self, mode: int, rate_C: Sequence[float], euler_rad: Sequence[float], q: Sequence[float]) -> int:
        target = self._wanted(mode, rate_C, euler_rad, q)
        if target is None:
            self.counters.bad_values += 1
            self._rate_ns = 0
            return int(Status.BAD_VALUE)  # nothing is sent: the board holds the angles it was told last
        self._target = target
        p, r, y = (math.degrees(self._sign[axis] * target[axis]) for axis in _ORDER)
        return self.transport.write(codec.set_angles(p, r, y, self.options["limited"]))

    def _wanted(
        self, mode: int, rate_C: Sequence[float], euler: Sequence[float], q: Sequence[float]
    ) -> list[float] | None:
        now = self.transport.clock()
        if mode == GimbalMode.RATE:
            if not all(-_BIG < w < _BIG for w in rate_C):
                return None
            if self._target is None:
                self._target = self._row["euler_rad"].tolist()
            elapsed_ns = now - self._rate_ns if self._rate_ns else 0
            # After a gap the rate counts from now: what was not commanded did not move.
            dt = elapsed_ns * 1e-9 if elapsed_ns < 1e6 * self.options["rate_expiry_ms"] else 0.0
            self._rate_ns = now
            steps = euler_rates(self._target, rate_C)
            roll, pitch, yaw = (angle + dt * step for angle, step in zip(self._target, steps))
            return [wrap(roll), max(-math.pi / 2, min(math.pi / 2, pitch)), wrap(yaw)]
        self._rate_ns = 0
        if mode == GimbalMode.ATTITUDE:
            known = unit(q)
            return None if known is None else list(euler_of(known))
        if mode != GimbalMode.ANGLE or not all(-_BIG < a < _BIG for a in euler):
            return None
        return list(euler)

    def _say_carrier(self, carrier: CarrierState, q_NB: Quat) -> int:
        """STORM32LINK_V2: attitude, brought to this moment by the rates, and velocity."""
        half = 0.5 * carrier.attitude_delay_s
        turn = unit((1.0, *(half * w for w in carrier.rate_B))) or (1.0, 0.0, 0.0, 0.0)
        status = _LINK_ATTITUDE | (_LINK_VELOCITY if carrier.vel_valid else 0)
        self._sequence += 1
        velocity = carrier.vel_N if carrier.vel_valid else (0.0, 0.0, 0.0)
        return self.transport.write(codec.link(self._sequence, status, multiply(q_NB, turn), velocity))

    def _tend(self) -> None:
        now = self.transport.clock()
        if self._waiting and now - self._asked_ns < _ANSWER_LATE_NS:
            return
        if self._turn % 16 == 3:
            what = codec.STATUS
        elif self._turn % 4 == 1:
            what = codec.ENCODERS
        elif now >= self._due_ns:
            what = codec.ANGLES
            period = int(1e9 / self.options["rate_hz"])
            self._due_ns = max(self._due_ns + period, now - period)
        else:
            return
        self._turn += 1
        self._waiting, self._asked, self._asked_ns = True, what, now
        self.transport.write(codec.ask(what))

    def _take(self, data: bytes, rows: np.ndarray | None, n: int) -> int:
        frames = self._framer.feed(data)
        self.counters.bad_crc, self.counters.garbage_bytes = self._framer.bad_crc, self._framer.garbage_bytes
        for frame in frames:
            command, payload = frame[2], frame[3:-2]
            self._answers[command] = payload
            if command == codec.ACK and len(payload) == 1:
                self.acknowledged = payload[0]
                self.counters.device_errors += payload[0] != 0
                continue
            values = codec.fields(payload) if command == codec.GET_FIELDS else None
            if values is None:
                continue
            if rows is not None and not (self._waiting and values[0] == self._asked):
                self.counters.duplicates += 1  # a second answer to one question; to the same one again it can't be told
                continue
            self._waiting = False
            if self._put(values) and rows is not None:
                n = self._append(self._row, rows, n)
        return n

    def _put(self, values: tuple[int, ...]) -> bool:
        """Into the row; True when it is complete with new angles."""
        row, sign = self._row, self._sign
        if values[0] == codec.STATUS:
            state, errors, millivolt = values[1], values[6], values[7]
            row["mode"] = 1 if state == codec.STATE_NORMAL else 0 if state == codec.STATE_STANDBY else -1
            row["fault"] = 0 if state in (codec.STATE_NORMAL, codec.STATE_STANDBY) else int(BridgeFault.NOT_READY)
            row["voltage_V"] = 1e-3 * millivolt
            row["has"] |= GimbalHas.SUPPLY
            self.counters.device_errors += errors > 0
            return False
        angles = [sign[axis] * math.radians(0.01 * values[1 + _ORDER[axis]]) for axis in range(3)]
        if values[0] == codec.ENCODERS:
            row["joint_rad"] = angles
            row["joint_t_ns"] = max(self._asked_ns, self.transport.arrival_ns - self._answer_ns - int(0.5e9 * _BOARD_S))
            row["has"] |= GimbalHas.JOINT
            return False
        arrival = self.transport.arrival_ns
        row["euler_rad"] = angles
        row["arrival_ns"] = arrival
        # Sampled when the question was there: somewhere between its end and the answer's beginning.
        row["t_ns"] = max(self._asked_ns, arrival - self._answer_ns - int(0.5e9 * _BOARD_S))
        return True

    def _standby(self) -> int:
        return self.transport.write(codec.encode(codec.WITH_REPLY, codec.SET_STANDBY, 1), urgent=True)

    def safe(self, action: str = "off") -> int:
        """Brake: it holds what it was told last, so nothing more is sent. Off: standby, motors without current."""
        self.armed = False
        try:
            if action == "brake":
                return int(Status.LINK_LOST if self.transport.lost else Status.OK)
            return self._standby()
        except Exception:  # the last line of defence: the caller still has others to stop
            return int(Status.LINK_LOST)
