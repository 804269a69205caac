"""A gimbal that speaks the MAVLink gimbal protocol v2 as a device (Gremsy, STorM32, others); we are its manager.

The protocol has no watchdog: the manager must stop, so ``arm`` refuses unless the option accept_no_watchdog says so.
Sources: mavlink-devguide services/gimbal_v2.md, messages of pymavlink 2.4.50.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any, ClassVar

import numpy as np

from firmware_bridge.angles import Quat, euler_of, quat_of, signs, unit, wrap
from firmware_bridge.clock_sync import ClockSync
from firmware_bridge.errors import DeviceRefused, NoAnswer, WrongDevice
from firmware_bridge.gimbal_interface import GIMBAL_ROW, CarrierState, GimbalDriver, GimbalHas, GimbalLimits, GimbalMode
from firmware_bridge.interface import Capabilities, Identity, Option, Status
from firmware_bridge.mavlink_frames import MavlinkFramer, MavlinkPacker, mavlink

_HEARTBEAT, _ACK, _INFORMATION, _STATUS = 0, 77, 283, 285
_WANTED = frozenset((_HEARTBEAT, _ACK, _INFORMATION, _STATUS))
_LOCKS = 4 | 8 | 16
_VEHICLE, _EARTH = 32, 64
_RETRACT = 1
_STATUS_BYTES, _SET_BYTES, _CARRIER_BYTES = 61, 44, 69
_NAN3, _NAN4 = (math.nan,) * 3, (math.nan,) * 4
_HEARTBEAT_NS = 1_000_000_000
_BIG = 100.0


class MavlinkGimbalDevice(GimbalDriver):
    NAME = "mavlink_gimbal"
    OPTIONS: ClassVar = {
        "rate_hz": Option(int, 50, "attitude rows a second, asked of the device", 1, 200),
        "system": Option(int, 1, "MAVLink system of the gimbal and of us", 1, 255),
        "component": Option(int, 154, "the gimbal's component: 154, 171 to 175", 1, 255),
        "own_component": Option(int, 191, "ours", 1, 255),
        "yaw_lock": Option(bool, True, "yaw held in the world; otherwise it follows the carrier's heading"),
        "invert": Option(str, "", "axes whose sense is the other way, such as 'pitch yaw'"),
        "rate_expiry_ms": Option(float, 250.0, "a rate not sent again becomes zero", 20.0, 1000.0),
        "carrier_hz": Option(float, 25.0, "how often the mount's motion is passed on; 0: never", 0.0, 100.0),
        "accept_no_watchdog": Option(bool, False, "arm although the protocol has no watchdog"),
    }  # fmt: skip

    def setup(self) -> None:
        self.armed = False
        self.limits = None
        self.failure = 0
        self._sign = signs(self.options["invert"])
        self._framer = MavlinkFramer()
        self._packer = MavlinkPacker(self.options["system"], self.options["own_component"])
        self._peer = (self.options["system"], self.options["component"])
        self._clock_sync = ClockSync(1_000_000)
        self._row = np.zeros(1, GIMBAL_ROW)[0]
        self._information: Any = None
        self._uids: set[int] = set()
        self._acks: dict[int, int] = {}
        self._others: set[tuple[int, int]] = set()
        self._heartbeat_ns = self._sent_ns = self._row_ns = 0
        self._moving = False
        self._last_ms = -1

    @property
    def capabilities(self) -> Capabilities:
        a_second = self.transport.baud / 10
        carrier = _CARRIER_BYTES * self.options["carrier_hz"]
        rate = max(0.0, min((a_second - 42) / _STATUS_BYTES, (a_second - 21 - carrier) / _SET_BYTES))
        text = (f"{_STATUS_BYTES} bytes a row in, {_SET_BYTES} bytes a command and {carrier:.0f} a second of carrier "
                f"out, 10 bits each, at {self.transport.baud:.0f} baud.")  # fmt: skip
        return Capabilities(frozenset(GimbalMode), False, rate, text)

    # Before the loop.

    def _send(self, message: Any, urgent: bool = False) -> int:
        return self.transport.write(self._packer.pack(message), urgent=urgent)

    def _command_long(self, number: int, *parameters: float) -> int:
        filled = (*parameters, *(0.0,) * (7 - len(parameters)))
        return self._send(mavlink.MAVLink_command_long_message(*self._peer, number, 0, *filled))

    def identify(self, timeout_s: float = 1.0) -> Identity:
        """GIMBAL_DEVICE_INFORMATION on request; nothing moves."""
        self.transport.discard_input()
        for _ in range(max(1, round(timeout_s / 0.2))):
            self._beat(True)
            self._command_long(mavlink.MAV_CMD_REQUEST_MESSAGE, _INFORMATION)
            if self._listen(0.2, lambda: self._information is not None):
                break
        if self._information is None:
            raise self._silence()
        self._listen(0.05, lambda: False)  # a second gimbal of this address answers as well
        if len(self._uids) > 1:
            uids = ", ".join(f"{uid:x}" for uid in sorted(self._uids))
            raise WrongDevice(
                f"two gimbals on {self.transport.name} answer as system {self._peer[0]} component {self._peer[1]} "
                f"(uids {uids}). Unplug one and give it another component id."
            )
        known = self._information
        numbers = [known.firmware_version >> shift & 0xFF for shift in (0, 8, 16, 24)]
        self._say_limits(known)
        model = f"{known.vendor_name} {known.model_name}".strip()
        return Identity("mavlink_gimbal", model, ".".join(map(str, numbers)),
                        f"{known.uid:x}")  # fmt: skip

    def _say_limits(self, known: Any) -> None:
        pairs = [(known.roll_min, known.roll_max), (known.pitch_min, known.pitch_max), (known.yaw_min, known.yaw_max)]
        if all(math.isfinite(low) and math.isfinite(high) for low, high in pairs):
            self.limits = GimbalLimits(*((s * a, s * b) if s > 0 else (s * b, s * a)
                                         for s, (a, b) in zip(self._sign, pairs)))  # fmt: skip

    def _silence(self) -> NoAnswer | WrongDevice:
        name, framer = self.transport.name, self._framer.framer
        here = f"system {self._peer[0]} component {self._peer[1]}"
        if self._others:
            found = ", ".join(f"{system}/{component}" for system, component in sorted(self._others))
            return WrongDevice(
                f"MAVLink is spoken on {name}, but {here} tells no gimbal information; heard: "
                f"{found}. Correct the options system and component, or update the gimbal: protocol v2 is needed."
            )
        if framer.garbage_bytes + framer.bad_crc > 40:
            return WrongDevice(
                f"what answers on {name} is no MAVLink 2. Check which device this is (`gimbal devices`), its baud, "
                "and that the gimbal is set to MAVLink 2."
            )
        return NoAnswer(
            f"no MAVLink gimbal answers on {name} as {here}. Check power and wiring, the baud (115200 as most are "
            "shipped), and that its port is set to MAVLink."
        )

    def configure(self) -> None:
        """Ask for the attitude at rate_hz. Raises DeviceRefused when none comes."""
        self.armed = self._moving = False
        self._clock_sync.reset()
        self._row_ns = 0
        interval_us = round(1e6 / self.options["rate_hz"])
        for _ in range(3):
            self._acks.pop(mavlink.MAV_CMD_SET_MESSAGE_INTERVAL, None)
            self._command_long(mavlink.MAV_CMD_SET_MESSAGE_INTERVAL, _STATUS, interval_us)
            self._listen(0.3, lambda: mavlink.MAV_CMD_SET_MESSAGE_INTERVAL in self._acks)
            if self._listen(0.3, lambda: self._row_ns > 0):  # some don't know the command and stream all the same
                return
        raise DeviceRefused(
            f"the gimbal on {self.transport.name} tells no attitude (GIMBAL_DEVICE_ATTITUDE_STATUS). Switch its stream "
            "on in the maker's program."
        )

    # In the loop.

    def arm(self) -> int:
        if not self.options["accept_no_watchdog"]:
            return int(Status.REFUSED)
        self.armed = True
        return self._stop()

    def _stop(self) -> int:
        self._moving = False
        return self._set(_LOCKS if self.options["yaw_lock"] else _LOCKS & ~16, _NAN4, (0.0, 0.0, 0.0), urgent=True)

    def _set(self, flags: int, q: Sequence[float], rates: Sequence[float], urgent: bool = False) -> int:
        flags |= _EARTH if flags & 16 else _VEHICLE
        message = mavlink.MAVLink_gimbal_device_set_attitude_message(*self._peer, flags, list(q), *rates)
        return self._send(message, urgent)

    def _off(self) -> int:
        return self._retract()

    def _command(self, mode: int, rate_C: Sequence[float], euler_rad: Sequence[float], q: Sequence[float]) -> int:
        locks = _LOCKS if self.options["yaw_lock"] else _LOCKS & ~16
        sign = self._sign
        self._sent_ns = self.transport.clock()
        if mode == GimbalMode.RATE and all(-_BIG < w < _BIG for w in rate_C):
            self._moving = any(rate_C)
            return self._set(locks, _NAN4, [s * w for s, w in zip(sign, rate_C)])
        wanted = None
        if mode == GimbalMode.ATTITUDE:
            wanted = unit(q)
        elif mode == GimbalMode.ANGLE and all(-_BIG < a < _BIG for a in euler_rad):
            wanted = quat_of(euler_rad)
        if wanted is None:
            self.counters.bad_values += 1
            self._stop()
            return int(Status.BAD_VALUE)
        self._moving = False
        if sign != (1.0, 1.0, 1.0):
            wanted = quat_of([s * a for s, a in zip(sign, euler_of(wanted))])
        return self._set(locks, wanted, _NAN3)

    def _say_carrier(self, carrier: CarrierState, q_NB: Quat) -> int:
        """AUTOPILOT_STATE_FOR_GIMBAL_DEVICE with both delays."""
        now = self.transport.clock()
        good = mavlink.ESTIMATOR_ATTITUDE | (6 if carrier.vel_valid else 0)  # velocity: horizontal, vertical
        velocity = carrier.vel_N if carrier.vel_valid else (0.0, 0.0, 0.0)
        delays = [max(0, round(1e6 * s)) for s in (carrier.attitude_delay_s, carrier.velocity_delay_s)]
        return self._send(mavlink.MAVLink_autopilot_state_for_gimbal_device_message(
            *self._peer, now // 1000, list(q_NB), delays[0], *velocity, delays[1], math.nan, good, 0,
            carrier.rate_B[2]))  # fmt: skip

    def _beat(self, now: bool = False) -> None:
        t_ns = self.transport.clock()
        if now or t_ns - self._heartbeat_ns >= _HEARTBEAT_NS:
            self._heartbeat_ns = t_ns
            self._send(
                mavlink.MAVLink_heartbeat_message(
                    mavlink.MAV_TYPE_ONBOARD_CONTROLLER,
                    mavlink.MAV_AUTOPILOT_INVALID,
                    0,
                    0,
                    mavlink.MAV_STATE_ACTIVE,
                    3,
                )
            )

    def _tend(self) -> None:
        if self._moving and self.transport.clock() - self._sent_ns > 1e6 * self.options["rate_expiry_ms"]:
            self._stop()
        self._beat()

    def _take(self, data: bytes, rows: np.ndarray | None, n: int) -> int:
        for message in self._framer.messages(data, _WANTED):
            sender = (message.get_srcSystem(), message.get_srcComponent())
            if sender != self._peer:
                self._others.add(sender)
                continue
            kind = message.get_msgId()
            if kind == _STATUS and self._status(message):
                if rows is None:
                    continue
                n = self._append(self._row, rows, n)
            elif kind == _ACK:
                self._acks[message.command] = message.result
                self.counters.device_errors += message.result != 0
            elif kind == _INFORMATION:
                self._information = message
                self._uids.add(message.uid)
        framer = self._framer.framer
        self.counters.bad_crc, self.counters.garbage_bytes = framer.bad_crc, framer.garbage_bytes
        return n

    def _status(self, message: Any) -> bool:
        """Into the row; False when it is no attitude or one that came before."""
        q = unit(message.q)
        if q is None or message.time_boot_ms == self._last_ms:
            return False
        row, sign, arrival = self._row, self._sign, self.transport.arrival_ns
        self._last_ms = message.time_boot_ms
        self._row_ns = arrival
        earth = bool(message.flags & _EARTH) or (not message.flags & _VEHICLE and bool(message.flags & 16))
        roll, pitch, yaw = euler_of(q)
        if not earth and math.isfinite(message.delta_yaw):
            yaw, earth = wrap(yaw + message.delta_yaw), True
        row["euler_rad"] = [s * a for s, a in zip(sign, (roll, pitch, yaw))]
        row["yaw_frame"] = 2 if earth else 1
        row["arrival_ns"] = arrival
        row["t_ns"] = self._clock_sync.to_host(message.time_boot_ms * 1_000_000, arrival)
        rates = (message.angular_velocity_x, message.angular_velocity_y, message.angular_velocity_z)
        row["has"] = 0
        if all(math.isfinite(w) for w in rates):
            row["rate_C"] = [s * w for s, w in zip(sign, rates)]
            row["has"] = int(GimbalHas.RATE)
        self.failure = message.failure_flags
        row["fault"] = self.failure & ~(7 | 512)  # at a limit, and without a manager, are no faults
        row["mode"] = -1 if row["fault"] else int(not message.flags & _RETRACT)
        return True

    def _retract(self) -> int:
        self._moving = False
        return self._set(_RETRACT, _NAN4, _NAN3, urgent=True)

    def safe(self, action: str = "off") -> int:
        """Off: retract, the only rest the protocol has. Brake: rates zero, it holds still."""
        self.armed = False
        try:
            return self._stop() if action == "brake" else self._retract()
        except Exception:  # the last line of defence: the caller still has others to stop
            return int(Status.LINK_LOST)
