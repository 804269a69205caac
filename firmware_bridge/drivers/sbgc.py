"""BaseCam SimpleBGC32: a board with its own inner loop; rates, angles or a quaternion; its carrier's motion fed in.

Data come as two streams the board pushes: angles, gyro and motor angles at ``rate_hz``, its condition at 5 Hz. The
watchdog is CONTROL_CONFIG's timeout (firmware 2.61 on): the board takes control back and stands still. It can't be
read back; the board's CONFIRM is taken for it.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar

import numpy as np

from firmware_bridge.angles import Quat, conjugate, euler_of, euler_rates, multiply, rotate, signs, unit
from firmware_bridge.clock_sync import ClockSync
from firmware_bridge.drivers import sbgc_codec as codec
from firmware_bridge.errors import DeviceRefused, NoAnswer, WrongDevice
from firmware_bridge.framing import BinaryFramer
from firmware_bridge.gimbal_interface import GIMBAL_ROW, CarrierState, GimbalDriver, GimbalHas, GimbalLimits, GimbalMode
from firmware_bridge.interface import Capabilities, Identity, Option, Status

_FAST_BYTES, _SLOW_BYTES, _SLOW_HZ, _CONTROL_BYTES, _CARRIER_BYTES = 32, 130, 5, 21, 58
_WITH_CONTROL_CONFIG, _WITH_CUSTOM, _WITH_QUAT = 2610, 2600, 2730
_BIG = 100.0  # rad or rad/s: beyond this is a fault of the sender
_G = 9.80665


class Sbgc(GimbalDriver):
    NAME = "sbgc"
    CARRIER_USES: ClassVar = ("force_B", "rate_B")
    OPTIONS: ClassVar = {
        "rate_hz": Option(int, 125, "rows a second", 10, 500),
        "protocol": Option(int, 2, "frames of version 2 (CRC), or 1 (sum only) for boards that know no other", 1, 2),
        "watchdog_ms": Option(int, 250, "the board takes control back this long after the last command", 50, 2000),
        "rate_expiry_ms": Option(float, 250.0, "a rate not sent again becomes zero", 20.0, 1000.0),
        "angle_speed_deg_s": Option(float, 120.0, "fastest turn on the way to a commanded angle", 1.0, 1000.0),
        "invert": Option(str, "", "axes whose sense is the other way, such as 'pitch yaw'"),
        "carrier_hz": Option(float, 25.0, "how often the mount's motion is passed on; 0: never", 0.0, 125.0),
        "accept_no_watchdog": Option(bool, False, "arm although firmware before 2.61 has no timeout"),
        "latency_us": Option(float, 1000.0, "least time from sample to the first byte", 0.0, 50_000.0),
    }  # fmt: skip

    def setup(self) -> None:
        self.armed = False
        self.watchdog_confirmed = False
        self.quaternions = False
        self.limits = None
        self._version = self.options["protocol"]
        self._sign = signs(self.options["invert"])
        sync = b"$" if self._version == 2 else b">"
        self._framer = BinaryFramer(sync, codec.frame_length, codec.frame_valid, 262)
        self._clock_sync = ClockSync(int(1e3 * self.options["latency_us"]))
        self._device_ms, self._last_ms = 0, -1
        self._board: tuple[int, ...] = ()
        self._firmware = 0
        self._answers: dict[int, bytes] = {}  # newest payload of each command, until taken
        self._confirmed: set[int] = set()
        self._row = np.zeros(1, GIMBAL_ROW)[0]
        self._fresh = False  # the stream has come since the port was opened
        self._moving = False
        self._sent_ns = 0

    @property
    def capabilities(self) -> Capabilities:
        modes = frozenset(GimbalMode)
        a_second = self.transport.baud / 10
        in_hz = (a_second - _SLOW_BYTES * _SLOW_HZ) / _FAST_BYTES
        out_hz = (a_second - _CARRIER_BYTES * self.options["carrier_hz"]) / _CONTROL_BYTES
        rate = max(0.0, min(1250.0, in_hz, out_hz))
        text = (
            f"{_FAST_BYTES} bytes a row and {_SLOW_BYTES * _SLOW_HZ} a second of the board's condition in, "
            f"{_CONTROL_BYTES} bytes a command and {_CARRIER_BYTES * self.options['carrier_hz']:.0f} a second of "
            f"the carrier out, 10 bits each, at {self.transport.baud:.0f} baud; the board's cycle is 0.8 ms."
        )
        return Capabilities(modes, self.watchdog_confirmed, rate, text)

    # Before the loop.

    def _send(self, command: int, payload: bytes = b"") -> int:
        return self.transport.write(codec.frame(command, payload, self._version))

    def _ask(self, command: int, payload: bytes = b"", tries: int = 3, wait_s: float = 0.15) -> bytes | None:
        for _ in range(tries):
            self._answers.pop(command, None)
            self._send(command, payload)
            if self._listen(wait_s, lambda: command in self._answers):
                return self._answers[command]
        return None

    def identify(self, timeout_s: float = 1.0) -> Identity:
        """Board, firmware and device id; nothing moves. A board takes 0.5 s from power-up to its first answer."""
        self.transport.discard_input()
        answer = self._ask(codec.BOARD_INFO, b"\0\0", max(1, round(timeout_s / 0.15)))
        if answer is None:
            raise self._silence()
        info = codec.decode(codec.BOARD_INFO, answer, False)
        if info is None:
            raise WrongDevice(
                f"what answers on {self.transport.name} frames like a SimpleBGC32, but its board information has "
                f"{len(answer)} bytes instead of 18. Update its firmware with the maker's program."
            )
        self._board, self._firmware = info, info[1]
        serial = ""
        third = self._ask(codec.BOARD_INFO_3, tries=2)
        fields = codec.decode(codec.BOARD_INFO_3, third, False) if third else None
        if fields is not None:
            serial = fields[0].hex()
            self.quaternions = bool(fields[18] & codec.HAS_QUAT_CONTROL) and self._firmware >= _WITH_QUAT
        firmware = f"{self._firmware // 1000}.{self._firmware // 10 % 100:02d}.{self._firmware % 10}"
        return Identity("sbgc", f"board {info[0] / 10:.1f}", firmware, serial)

    def _silence(self) -> NoAnswer | WrongDevice:
        name, seen = self.transport.name, self._framer.garbage_bytes + self._framer.bad_crc
        if seen > 40:
            return WrongDevice(
                f"what answers on {name} is no SimpleBGC32 of protocol {self._version}: its bytes are no such frames. "
                "Check which device this port is (`gimbal devices`), its baud and parity, and the option protocol."
            )
        return NoAnswer(
            f"no SimpleBGC32 answers on {name}. Check its power and wiring, the baud set in its profile (115200 as "
            "shipped), and for a board of before firmware 2.60 set the option protocol = 1."
        )

    def configure(self) -> None:
        """Timeout, streams, and the profile's limits read back. Raises DeviceRefused, NoAnswer."""
        self.armed = self._moving = False
        self._clock_sync.reset()
        self._device_ms, self._last_ms = 0, -1
        if self._firmware < _WITH_CUSTOM:
            raise DeviceRefused(
                f"the board on {self.transport.name} has firmware {self._firmware / 1000:.2f}; data streams need 2.60. "
                "Update it with the maker's program."
            )
        self.watchdog_confirmed = False
        if self._firmware >= _WITH_CONTROL_CONFIG:
            config = codec.control_config(self.options["watchdog_ms"], self._version)
            self.watchdog_confirmed = self._confirm(codec.CONTROL_CONFIG, config)
            if not self.watchdog_confirmed:
                raise DeviceRefused(
                    f"the board on {self.transport.name} does not confirm its control timeout, its only watchdog. "
                    "Check the line and that no second program sends to this board."
                )
        params = self._ask(codec.READ_PARAMS_3, b"\xff")
        found = codec.profile_limits(params) if params else None
        if found:
            ordered = [(s * a, s * b) if s > 0 else (s * b, s * a) for s, (a, b) in zip(self._sign, found)]
            self.limits = GimbalLimits(*ordered)
        interval = max(1, round(1000 / self.options["rate_hz"]))
        slow = codec.REALTIME_DATA_4
        for what, ms, flags in ((slow, 1000 // _SLOW_HZ, 0), (codec.CUSTOM, interval, codec.FAST)):
            if not self._confirm(codec.STREAM, codec.stream(what, ms, flags, self._version)):
                raise DeviceRefused(
                    f"the board on {self.transport.name} does not confirm the data stream {what}. Lower rate_hz or "
                    "raise the baud, and check that no second program sends to this board."
                )

    def _confirm(self, command: int, data: bytes) -> bool:
        for _ in range(3):
            self._confirmed.discard(command)
            self.transport.write(data)
            if self._listen(0.15, lambda: command in self._confirmed):
                return True
        return False

    # In the loop.

    def arm(self) -> int:
        if not self.watchdog_confirmed and not self.options["accept_no_watchdog"]:
            return int(Status.REFUSED)
        self.armed = True
        still = codec.control_rate((0.0, 0.0, 0.0), self._version)
        return self.transport.write(codec.frame(codec.MOTORS_ON, b"", self._version) + still, urgent=True)

    def _off(self) -> int:
        return self._motors_off(codec.OFF_NORMAL)

    def _command(self, mode: int, rate_C: Sequence[float], euler_rad: Sequence[float], q: Sequence[float]) -> int:
        data = self._encode(mode, rate_C, euler_rad, q)
        bad = data is None
        if data is None:
            self.counters.bad_values += 1
            data = codec.control_rate((0.0, 0.0, 0.0), self._version)
        self._moving = mode == GimbalMode.RATE and not bad and any(rate_C)
        self._sent_ns = self.transport.clock()
        status = self.transport.write(data)
        return int(Status.BAD_VALUE) if bad and status == 0 else status

    def _encode(self, mode: int, rate_C: Sequence[float], euler: Sequence[float], q: Sequence[float]) -> bytes | None:
        sign = self._sign
        if mode == GimbalMode.RATE:
            if not all(-_BIG < w < _BIG for w in rate_C):
                return None
            rates = euler_rates(self._row["euler_rad"].tolist(), rate_C)
            return codec.control_rate([s * w for s, w in zip(sign, rates)], self._version)
        if mode == GimbalMode.ATTITUDE:
            if (known := unit(q)) is None:
                return None
            if self.quaternions and sign == (1.0, 1.0, 1.0):
                return codec.control_quat(known, self._version)
            euler = euler_of(known)
        elif mode != GimbalMode.ANGLE or not all(-_BIG < a < _BIG for a in euler):
            return None
        speed = self.options["angle_speed_deg_s"] * codec.DEG
        return codec.control_angle([s * a for s, a in zip(sign, euler)], speed, self._version)

    def _say_carrier(self, carrier: CarrierState, q_NB: Quat) -> int:
        """HELPER_DATA with the mount's acceleration and rates, AHRS_HELPER with its attitude as two vectors."""
        # The attitude is brought to this moment by the rates: the board has no field for a delay.
        half = 0.5 * carrier.attitude_delay_s
        turn = unit((1.0, *(half * w for w in carrier.rate_B))) or (1.0, 0.0, 0.0, 0.0)
        q_NB = multiply(q_NB, turn)
        down, north = (rotate(conjugate(q_NB), v) for v in ((0.0, 0.0, 1.0), (1.0, 0.0, 0.0)))
        moved = [f + _G * d for f, d in zip(carrier.force_B, down)]  # the board wants it without gravity
        roll, pitch, yaw = euler_of(q_NB)
        heading = yaw if carrier.heading_valid else None
        data = codec.helper_data(_right_forward_down(moved), roll, pitch, _right_forward_down(carrier.rate_B), heading,
                                 self._version)  # fmt: skip
        data += codec.ahrs_helper(_right_forward_down(down), _right_forward_down(north), carrier.heading_valid,
                                  self._version)  # fmt: skip
        return self.transport.write(data)

    def _tend(self) -> None:
        if self._moving and self.transport.clock() - self._sent_ns > 1e6 * self.options["rate_expiry_ms"]:
            self._moving = False
            self.transport.write(codec.control_rate((0.0, 0.0, 0.0), self._version))

    def _take(self, data: bytes, rows: np.ndarray | None, n: int) -> int:
        frames = self._framer.feed(data)
        self.counters.bad_crc, self.counters.garbage_bytes = self._framer.bad_crc, self._framer.garbage_bytes
        for frame in frames:
            command, payload = codec.unframe(frame)
            if command == codec.CUSTOM:
                values = codec.fast_row(payload)
                if values is not None:
                    if values[0] == self._last_ms:
                        self.counters.duplicates += 1
                        continue
                    self._fast(values)
                    if rows is not None:
                        n = self._append(self._row, rows, n)
                    continue
            elif command == codec.REALTIME_DATA_4:
                self._slow(payload)
            elif command == codec.CONFIRM and len(payload) in range(1, 7):
                self._confirmed.add(payload[0])
            elif command == codec.ERROR:
                self.counters.device_errors += 1
            else:
                self._answers[command] = payload
        return n

    def _fast(self, values: tuple[int, ...]) -> None:
        arrival = self.transport.arrival_ns
        self._last_ms = values[0]
        self._device_ms += (values[0] - self._device_ms) & 0xFFFF  # the board's count wraps each 65.5 s
        row, sign = self._row, self._sign
        row["arrival_ns"] = arrival
        row["t_ns"] = self._clock_sync.to_host(self._device_ms * 1_000_000, arrival)
        row["joint_rad"] = [s * v * codec.ANGLE for s, v in zip(sign, values[1:4])]
        row["rate_C"] = [s * v * codec.GYRO for s, v in zip(sign, values[4:7])]
        row["euler_rad"] = [s * v * codec.ANGLE_20 for s, v in zip(sign, values[7:10])]
        row["has"] |= GimbalHas.RATE | GimbalHas.JOINT

    def _slow(self, payload: bytes) -> None:
        values = codec.decode(codec.REALTIME_DATA_4, payload, False)
        if values is None:
            return
        row = self._row
        row["fault"] = values[7]
        row["voltage_V"] = 0.01 * values[28]
        row["power"] = [v / 255 for v in values[32:35]]
        row["current_A"] = 1e-3 * values[42]
        row["temp_degC"] = values[46]
        row["has"] |= GimbalHas.POWER | GimbalHas.SUPPLY
        row["mode"] = -1 if values[7] & 0x810 else values[29] & 1

    def _motors_off(self, how: int) -> int:
        self._moving = False
        return self.transport.write(codec.frame(codec.MOTORS_OFF, bytes((how,)), self._version), urgent=True)

    def safe(self, action: str = "off") -> int:
        """Brake: the board's own safe stop, which turns the motors slowly into rest before switching off."""
        self.armed = False
        try:
            return self._motors_off(codec.OFF_SAFE if action == "brake" else codec.OFF_NORMAL)
        except Exception:  # the last line of defence: the caller still has others to stop
            return int(Status.LINK_LOST)


def _right_forward_down(v: Sequence[float]) -> tuple[float, float, float]:
    return v[1], v[0], v[2]
