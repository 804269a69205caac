"""VESC over USB or UART, with further controllers through CAN: torque, rate, angle, brake; timeout set and read back.

A VESC's timeout does not latch: the next command would start the motor again. So the driver latches, for it and for
faults: from then on only questions are sent, the device stays in its timeout, until the next arm().
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import ClassVar

import numpy as np

from firmware_bridge.drivers import vesc_codec as vesc
from firmware_bridge.drivers.line_motor import MOTOR_OPTIONS, LineMotor, watchdog_option
from firmware_bridge.errors import DeviceRefused, NoAnswer, WrongDevice
from firmware_bridge.framing import line_time_s
from firmware_bridge.interface import AxisMode, BridgeFault, Capabilities, Identity, Option, Status

_DIRECT_OUT, _CAN_OUT, _IN = 10 + 10, 12 + 12, 29  # bytes an axis and cycle: command and question; answer
_CAN_FRAMES = 1 + 1 + 5  # command, question; answer in pieces of 7 bytes and the frame that ends them
_CAN_BITS = 135  # 29-bit id, 8 data bytes, with the usual stuffing (ISO 11898-1)
_EXPIRED, _NOT_READY = int(BridgeFault.WATCHDOG_EXPIRED), int(BridgeFault.NOT_READY)
_ACTIVE = (1, 2, 3)
_CONFIRM_NS = 1_000_000_000
_UPTIME_EVERY_NS = {"usb": 25_000_000, "uart": 200_000_000}  # an axis after the other
_GIVEN_UP_NS = 60_000_000  # firmware before 6 doesn't tell, or it was lost: an answer so late is nobody's


class Vesc(LineMotor):
    NAME = "vesc"
    OPTIONS: ClassVar = {
        **MOTOR_OPTIONS,
        "watchdog_ms": watchdog_option(50.0, 20.0, 2000.0),
        "pole_pairs": Option(int, None, "pole pairs of the motor: electrical over mechanical speed", 1, 100),
        "local_id": Option(int, None, "id of the VESC on this port; left out: it is asked", 0, 254),
        "brake_current_A": Option(float, 5.0, "of the brake mode", 0.0, 200.0),
        "link": Option(str, "usb", "usb (CDC) or uart", choices=("usb", "uart")),
        "can_baud": Option(int, 500000, "of the bus to the other controllers", 125000, 1000000),
    }
    _needs: ClassVar = ("torque_constant_Nm_A", "pole_pairs")

    def setup(self) -> None:
        super().setup()
        o = self.options
        self.codec = vesc.VescCodec(self.ids, o["local_id"], self.torque_constant, o["pole_pairs"],
                                    o["brake_current_A"], self.counters)  # fmt: skip
        self._latched = [0] * self.n_axes  # fault that keeps an axis off until arm()
        self._fed = [False] * self.n_axes  # the device was seen out of its timeout since arm()
        self._mode = [0] * self.n_axes
        self._t_ns = [0] * self.n_axes
        self._written_ns = self._armed_ns = 0
        self._hangups = -1  # of the transport, when the timeouts were read back
        self._confirmed = False
        self._to_set: list[bytes] = []
        self._uptime_ns = self._uptime_turn = self._uptime_hangups = 0
        self._make_delays()

    def _make_delays(self) -> None:
        uart, at_s = self.options["link"] == "uart", 0.0
        self._delay_ns = []
        for can_id in self.ids:
            direct = can_id == self.codec.local_id
            if uart:
                at_s += line_time_s(_DIRECT_OUT if direct else _CAN_OUT, self.transport.baud)
            can_s = 0.0 if direct else 2 * _CAN_BITS / self.options["can_baud"]
            self._delay_ns.append(int(1e9 * (can_s + (at_s if uart else 500e-6))))

    @property
    def capabilities(self) -> Capabilities:
        n = self.n_axes
        modes = frozenset(AxisMode)
        forwarded = n if self.codec.local_id is None else sum(i != self.codec.local_id for i in self.ids)
        can_s = forwarded * _CAN_FRAMES * _CAN_BITS / self.options["can_baud"]
        can = f"{forwarded * _CAN_FRAMES} CAN frames of {_CAN_BITS} bits a cycle at {self.options['can_baud']} bit/s"
        if self.options["link"] == "usb":
            line_s, text = 1e-3, "one USB frame of 1 ms a cycle"
        else:
            busiest = max(n * _IN, (n - forwarded) * _DIRECT_OUT + forwarded * _CAN_OUT)
            line_s = line_time_s(busiest, self.transport.baud)
            text = f"{busiest} bytes a cycle the busier way, 10 bits each, at {self.transport.baud:.0f} baud"
        return Capabilities(modes, True, 1 / max(line_s, can_s), f"{text}; {can}.")

    def identify(self, timeout_s: float = 1.0) -> Identity:
        """Firmware of the VESC on the port, its id, and that every named controller answers. Nothing moves."""
        codec, transport = self.codec, self.transport
        transport.discard_input()
        name = transport.name
        ask = vesc.frame(bytes((vesc.FW_VERSION,)))
        if not any(self._ask(ask, lambda: codec.firmware is not None, timeout_s / 4) for _ in range(3)):
            self._raise_no_answer()
        firmware = codec.firmware or (0, 0)
        self._find_local(name, firmware)
        missing = []
        for axis in range(self.n_axes):
            if not any(self._answers(axis, timeout_s / 8) for _ in range(3)):
                missing.append(self.ids[axis])
        if missing:
            raise NoAnswer(
                f"the VESC on {name} (id {codec.local_id}) answers, but not id {', '.join(map(str, missing))} behind "
                "it. Check the CAN cable, its termination, can_baud on every controller, motor power, and the ids in "
                "the rig file (VESC Tool, App Settings, General)."
            )
        if doubled := [self.ids[axis] for axis in range(self.n_axes) if self._answers_twice(axis)]:
            raise WrongDevice(
                f"two VESCs behind {name} have id {', '.join(map(str, doubled))}: each question is answered twice. "
                "Unplug one and give the other an id of its own (VESC Tool, App Settings, General)."
            )
        self._make_delays()
        return Identity("vesc", codec.hardware, f"{firmware[0]}.{firmware[1]:02d}", codec.serial)

    def _answers(self, axis: int, timeout_s: float) -> bool:
        return self._ask(self.codec.query(axis), lambda: self.codec.last_id == self.ids[axis], timeout_s)

    def _answers_twice(self, axis: int) -> bool:
        """One question three times over, each time with nothing left on the line before it."""
        for _ in range(3):
            self._ask(b"", lambda: False, 0.02)
            self.codec.heard[axis] = 0
            if not self._ask(self.codec.query(axis), lambda: self.codec.heard[axis] > 1, 0.03):
                return False
        return True

    def _find_local(self, name: str, firmware: tuple[int, int]) -> None:
        codec = self.codec
        codec.last_id = None
        ask = vesc.frame(bytes((vesc.GET_SELECTIVE,)) + vesc.MASK.to_bytes(4, "big"))
        if not any(self._ask(ask, lambda: codec.last_id is not None, 0.15) for _ in range(3)):
            raise WrongDevice(
                f"the VESC on {name} has firmware {firmware[0]}.{firmware[1]:02d}, which does not tell its status "
                "(timeout) among its values. Update it to 6.00 or later with VESC Tool."
            )
        wanted = self.options["local_id"]
        if wanted is not None and codec.last_id != wanted:
            raise WrongDevice(
                f"the VESC on {name} has id {codec.last_id}, the rig file says local_id {wanted}. Check which "
                "controller is on which port, or correct local_id."
            )
        codec.use_local_id(int(codec.last_id or 0))
        codec.last_id = None

    def _raise_no_answer(self) -> None:
        name = self.transport.name
        if self.counters.garbage_bytes + self.counters.bad_crc > 40:
            raise WrongDevice(
                f"what answers on {name} is no VESC: its bytes are no VESC packets. Check which device this port is "
                "(`gimbal devices`) and its baud."
            )
        raise NoAnswer(
            f"no VESC answers on {name}. Check its power and cable, the baud, and that the UART app is on (VESC Tool, "
            "App Settings: UART, or permanent UART) if this is no USB port."
        )

    def configure(self) -> None:
        """Motors released; every controller's timeout set (not stored) and read back."""
        self.armed = False
        self._unanswered_ns = [0] * self.n_axes
        self._confirmed = False
        self._write_or_raise(self._stop("off"))
        for axis in range(self.n_axes):
            got = self._read_timeout(axis)
            if got is not None and got != self._timeout_ms:
                self._set_timeout(axis)
                got = self._read_timeout(axis)
            if got == self._timeout_ms:
                self.watchdog_applied_s[axis] = got * 1e-3
            elif not self.options["accept_no_watchdog"]:
                raise DeviceRefused(
                    f"VESC {self.ids[axis]} on {self.transport.name} was told a timeout of {self._timeout_ms} ms and "
                    f"reads back {got}. Without it the motor would go on when the host dies. Set it with VESC Tool "
                    "(App Settings, General, Timeout), or accept the risk by name: accept_no_watchdog = true."
                )
        self.codec.expect_long = False
        self.codec.forget_uptimes()
        self._confirmed, self._hangups = True, self.transport.counters.hangups
        self.restarted, self._latched = False, [0] * self.n_axes

    @property
    def _timeout_ms(self) -> int:
        return round(self.options["watchdog_ms"])

    def _read_timeout(self, axis: int) -> int | None:
        codec = self.codec
        codec.expect_long = True
        codec.app_conf[axis] = None
        ask = codec.to(axis, bytes((vesc.GET_APPCONF,)))
        for _ in range(3):
            if self._ask(ask, lambda: codec.app_conf[axis] is not None, 0.3):
                break
        return codec.timeout_ms(axis)

    def _set_timeout(self, axis: int) -> None:
        before = self.codec.acknowledged
        request = self.codec.with_timeout(axis, self._timeout_ms) or b""
        self._ask(request, lambda: self.codec.acknowledged > before, 1.0)

    def arm(self) -> int:
        """Forget latched faults. After a lost link the timeouts are read (and set) anew before anything moves."""
        if self.restarted:
            return int(Status.REBOOTED)
        self.armed = True
        now = self.transport.clock()
        self._latched = [0] * self.n_axes
        self._fed = [False] * self.n_axes
        self._written_ns = self._armed_ns = now
        data = self._stop("off")
        if self._hangups != self.transport.counters.hangups and not self.options["accept_no_watchdog"]:
            self._confirmed = False
            self.watchdog_applied_s = [math.nan] * self.n_axes
            self.codec.app_conf = [None] * self.n_axes
            self.codec.expect_long = True
            data += b"".join(self.codec.to(axis, bytes((vesc.GET_APPCONF,))) for axis in range(self.n_axes))
        return self.transport.write(data, urgent=True)

    def _confirm(self) -> None:
        """In the loop after a replug: take the timeouts that have come, set those that differ and ask again."""
        codec = self.codec
        for axis in range(self.n_axes):
            got = codec.timeout_ms(axis)
            if got == self._timeout_ms:
                self.watchdog_applied_s[axis] = got * 1e-3
            elif got is not None:
                self._to_set.append(codec.with_timeout(axis, self._timeout_ms) or b"")
                self._to_set.append(codec.to(axis, bytes((vesc.GET_APPCONF,))))
                codec.app_conf[axis] = None
        if not any(math.isnan(seconds) for seconds in self.watchdog_applied_s):
            codec.expect_long = False
            self._confirmed, self._hangups = True, self.transport.counters.hangups

    def disarm(self) -> int:
        self.armed = False
        return self.transport.write(self._stop("off"), urgent=True)

    def _stop(self, action: str) -> bytes:
        self._mode = [0] * self.n_axes
        mode = 4 if action == "brake" else 0
        return b"".join(self.codec.motion(axis, mode, 0.0, 0.0, 0.0) or b"" for axis in range(self.n_axes))

    def command(self, mode: Sequence[int] | np.ndarray, torque_Nm: Sequence[float] | np.ndarray,
                rate_rad_s: Sequence[float] | np.ndarray, angle_rad: Sequence[float] | np.ndarray) -> int:  # fmt: skip
        now, codec, limit = self.transport.clock(), self.codec, self.max_torque_Nm
        if self.armed and now - self._written_ns > 1e6 * self.options["watchdog_ms"]:
            self._expire()  # the device has stopped itself by now, and would not say so for long
        if self.armed and not self._confirmed:
            self._confirm()
        if self._uptime_hangups != self.transport.counters.hangups:  # pulled, not restarted: arm() reads what was set
            self._uptime_hangups = self.transport.counters.hangups
            self.codec.forget_uptimes()
        elif self.codec.restarts and not self.restarted:
            self._has_restarted()
        out, bad, held = [], False, not self.armed or not self._confirmed
        for axis in range(self.n_axes):
            if self._silent_too_long(axis, codec.asked[axis], now) and not self.restarted:
                held = self._has_restarted()
            out.append(codec.query(axis))  # before the command: it tells whether the timeout had struck
            m, torque = mode[axis], torque_Nm[axis]
            if torque > limit or torque < -limit:
                torque = torque if abs(torque) > 1e6 else math.copysign(limit, torque)  # absurd ones are for motion()
            if held or self._latched[axis]:
                self._mode[axis] = 0
                if self.armed and not self._latched[axis]:
                    out.append(codec.motion(axis, 0, 0.0, 0.0, 0.0) or b"")  # out of its timeout until it may move
                continue
            text = codec.motion(axis, m, torque, rate_rad_s[axis], angle_rad[axis])
            if text is None:
                bad = True
                self.counters.bad_values += 1
                m, text = 0, codec.motion(axis, 0, 0.0, 0.0, 0.0)
            self._mode[axis] = int(m)
            out.append(text or b"")
        if self._to_set:
            out += self._to_set
            self._to_set = []
        out.append(self._asks_uptime(now))
        self._written_ns = now
        self._t_ns = [now + delay for delay in self._delay_ns]
        status = self.transport.write(b"".join(out))
        if status == 0:
            return self._status(bad, any(mode), now)
        return status

    def _has_restarted(self) -> bool:
        """Silent for long, or up for less time than before: its timeout is the stored one again."""
        self.codec.forget_uptimes()
        self.restarted, self.armed, self._latched = True, False, [_NOT_READY] * self.n_axes
        return True

    def _asks_uptime(self, now: int) -> bytes:
        """One axis's uptime from time to time; never a second question while an answer may still come."""
        codec, waited = self.codec, now - self._uptime_ns
        if codec.uptime_asked >= 0:
            if waited > _GIVEN_UP_NS:  # those known stay: a restart may be why it was not answered
                codec.uptime_asked = -1
                self._uptime_ns = now
            return b""
        if waited < _UPTIME_EVERY_NS[self.options["link"]]:
            return b""
        self._uptime_ns, self._uptime_turn = now, (self._uptime_turn + 1) % self.n_axes
        return codec.ask_uptime(self._uptime_turn)

    def _status(self, bad: bool, moving: bool, now: int) -> int:
        if bad:
            return int(Status.BAD_VALUE)
        if moving and not self.armed:
            return int(Status.NOT_ARMED)
        late = self.armed and not self._confirmed and now - self._armed_ns > _CONFIRM_NS
        return int(Status.REFUSED) if late else 0

    def _expire(self) -> None:
        for axis, m in enumerate(self._mode):
            if m in _ACTIVE and not self._latched[axis]:
                self._latched[axis] = _EXPIRED

    def _feed(self, data: bytes, feedback: np.ndarray) -> int:
        arrival = self.transport.arrival_ns
        filled = self.codec.feed(data, feedback, [min(t, arrival) for t in self._t_ns])
        if filled:
            self._take_status(feedback)
        return filled

    def _take_status(self, feedback: np.ndarray) -> None:
        codec = self.codec
        for axis in range(self.n_axes):
            fault, timed_out = codec.fault[axis], codec.status[axis] & vesc.STATUS_TIMEOUT
            if self._mode[axis]:
                if not timed_out:
                    self._fed[axis] = True
                elif self._fed[axis]:
                    self._latched[axis] = self._latched[axis] or _EXPIRED
            if fault and self.armed:
                self._latched[axis] = self._latched[axis] or fault
            shown = self._latched[axis] or fault
            feedback["fault"][axis] = shown
            feedback["mode"][axis] = -1 if shown else self._mode[axis]
