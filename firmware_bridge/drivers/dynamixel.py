"""Dynamixel X series, protocol 2.0: torque (current), rate, angle; one sync write and one fast sync read a cycle.

The bus watchdog is among what is read every cycle, so every row says that it is set. A servo that stopped itself (255)
or that has a hardware error stays off until arm(), which reboots it where only that helps.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import ClassVar

import numpy as np

from firmware_bridge.drivers import dynamixel_codec as dxl
from firmware_bridge.drivers.line_motor import BIG, BRAKE, MOTOR_OPTIONS, LineMotor, watchdog_option
from firmware_bridge.errors import DeviceRefused, NoAnswer, OptionError, WrongDevice
from firmware_bridge.framing import line_time_s
from firmware_bridge.interface import AxisMode, BridgeFault, Capabilities, Identity, Option, Status

_EXPIRED, _NOT_READY = int(BridgeFault.WATCHDOG_EXPIRED), int(BridgeFault.NOT_READY)
_TURNAROUND_S = 50e-6  # of the half-duplex line, with return delay 0
_SAY_AGAIN_NS = 20_000_000
_CONFIRM_NS = 1_000_000_000  # a watchdog that isn't read as set so long after arm() is refused by the servo
_VOTES = 3


class Dynamixel(LineMotor):
    NAME = "dynamixel"
    OPTIONS: ClassVar = {
        **MOTOR_OPTIONS,
        "watchdog_ms": watchdog_option(60.0, 20.0, 2540.0),  # the device counts in 20 ms: rounded down
        "current_unit_mA": Option(float, 2.69, "one count of current: most X servos 2.69, XL330 1.0", 0.1, 10.0),
        "centre_ticks": Option(int, 2048, "position, of 4096 a turn, that is angle zero", -(2**20), 2**20),
        "query_delay_us": Option(float, None, "our write to the servo's sample; left out: line time", 0.0, 5000.0),
    }  # fmt: skip

    def setup(self) -> None:
        super().setup()
        if any(not 0 <= i <= 252 for i in self.ids):
            raise OptionError(f"dynamixel: ids are 0 to 252, not {self.ids}. Correct roll_id, pitch_id, yaw_id.")
        o, n = self.options, self.n_axes
        self.codec = dxl.DynamixelCodec(self.ids, self.torque_constant, o["current_unit_mA"] * 1e-3,
                                        o["centre_ticks"], self.counters)  # fmt: skip
        self._counts = max(1, int(o["watchdog_ms"] * 1e-3 / dxl.WATCHDOG_UNIT_S + 1e-9))
        self._operating = [dxl.CURRENT_MODE] * n
        self._current_limit, self._velocity_limit = [32767] * n, [2**31 - 1] * n
        self._on = [0] * n  # AxisMode with torque enabled
        self._latched = [0] * n
        self._guarded = [False] * n  # the watchdog was read as set since arm()
        self._unguarded_ns = 0  # since when an axis without is to move
        self._votes = [0] * n  # readings in a row that say the other thing about the watchdog
        self._said_ns = [0] * n
        self._alarms: list[int] = []  # axes whose hardware error is to be read
        self._reading_alarm: int | None = None
        delay_us = o["query_delay_us"]
        out_s = line_time_s(14 + 3 * n + len(self.codec.ask_all), self.transport.baud)
        self._delay_ns = int(out_s * 1e9 if delay_us is None else delay_us * 1e3)
        self._asked_ns = 0

    @property
    def capabilities(self) -> Capabilities:
        n = self.n_axes
        modes = frozenset((AxisMode.OFF, AxisMode.TORQUE, AxisMode.RATE, AxisMode.ANGLE))
        total = (14 + 3 * n) + (14 + n) + (8 + n * (dxl.BLOCK_SIZE + 4))
        cycle_s = line_time_s(total, self.transport.baud) + _TURNAROUND_S
        text = (f"{total} bytes a cycle both ways on a half-duplex line, 10 bits each, at {self.transport.baud:.0f} "
                f"baud, and {_TURNAROUND_S * 1e6:.0f} us to turn round.")  # fmt: skip
        return Capabilities(modes, True, 1 / cycle_s, text)

    def identify(self, timeout_s: float = 1.0) -> Identity:
        """Ping every id: model and firmware. Nothing moves."""
        self.transport.discard_input()
        models, firmwares, missing = [], [], []
        for device in self.ids:
            self.codec.answers.pop(device, None)
            ping = dxl.packet(device, dxl.PING)
            if any(self._ask(ping, self._answered(device, 4), timeout_s / 9) for _ in range(3)):
                answer = self.codec.answers[device]
                models.append(str(answer[1] | answer[2] << 8))
                firmwares.append(str(answer[3]))
            else:
                missing.append(device)
        if missing:
            self._raise_no_answer(missing)
        for device in self.ids:
            self._refuse_twins(device)
        return Identity("dynamixel", "/".join(sorted(set(models))), "/".join(sorted(set(firmwares))),
                        ",".join(map(str, self.ids)))  # fmt: skip

    def _refuse_twins(self, device: int) -> None:
        """Two servos of one id answer a ping alike; of their clocks and places the bus carries a mixture."""
        damaged = self.counters.bad_crc
        if self._get(device, dxl.REALTIME_TICK, 16) is None and self.counters.bad_crc > damaged:
            raise WrongDevice(
                f"Dynamixel id {device} on {self.transport.name} answers a ping, but what it measures arrives damaged "
                "each time: two servos have this id. Unplug one and give the other an id of its own (DYNAMIXEL "
                "Wizard). If there is only one, check the cable and the termination."
            )

    def _answered(self, device: int, size: int) -> Callable[[], bool]:
        return lambda: len(self.codec.answers.get(device, b"")) >= size

    def _raise_no_answer(self, missing: list[int]) -> None:
        name = self.transport.name
        if len(missing) == self.n_axes and self.counters.garbage_bytes + self.counters.bad_crc > 40:
            raise WrongDevice(
                f"what answers on {name} is no Dynamixel with protocol 2.0: its bytes are no status packets. Check "
                "which device this port is (`gimbal devices`), its baud, and that no two servos share an id."
            )
        raise NoAnswer(
            f"no answer from Dynamixel id {', '.join(map(str, missing))} on {name}. Check servo power, the cable, the "
            f"baud (here {self.transport.baud:.0f}; servos leave the factory at 57600), protocol 2.0, and that every "
            "servo has its own id; DYNAMIXEL Wizard scans for ids and bauds."
        )

    def _get(self, device: int, address: int, size: int) -> int | None:
        answers = self.codec.answers
        for _ in range(4):
            answers.pop(device, None)
            if self._ask(dxl.read(device, address, size), self._answered(device, 1 + size), 0.1):
                return int.from_bytes(answers[device][1 : 1 + size], "little")
        return None

    def _set(self, device: int, address: int, value: int, size: int, what: str) -> None:
        """Write unless it is so already (EEPROM wears), read back. Raises DeviceRefused."""
        got = self._get(device, address, size)
        for _ in range(3):
            if got == value:
                return
            self.codec.answers.pop(device, None)
            self._ask(dxl.write(device, address, value, size), self._answered(device, 1), 0.05)
            got = self._get(device, address, size)
        if got != value:
            guard = "" if address != dxl.BUS_WATCHDOG else (
                " Without it the servo would go on when the host dies; to accept that risk by name: "
                "accept_no_watchdog = true.")  # fmt: skip
            raise DeviceRefused(
                f"Dynamixel {device} on {self.transport.name}: {what} was set to {value} and reads back {got}. If its "
                "LED blinks, it has a hardware error: remove the cause and switch it off and on; else check its model "
                f"and firmware in DYNAMIXEL Wizard.{guard}"
            )

    def configure(self) -> None:
        """Torque off; answers without delay; current mode; limits read; the bus watchdog set and read back."""
        self.armed = False
        self._on = [0] * self.n_axes
        self._write_or_raise(self._stop("off"))
        for axis, device in enumerate(self.ids):
            self._set(device, dxl.TORQUE_ENABLE, 0, 1, "torque enable")
            self._set(device, dxl.BUS_WATCHDOG, 0, 1, "bus watchdog")  # an expired one takes nothing else
            self._set(device, dxl.RETURN_DELAY, 0, 1, "return delay")
            self._set(device, dxl.OPERATING_MODE, dxl.CURRENT_MODE, 1, "operating mode")
            self._operating[axis] = dxl.CURRENT_MODE
            self._current_limit[axis] = self._get(device, dxl.CURRENT_LIMIT, 2) or 0
            self._velocity_limit[axis] = self._get(device, dxl.CURRENT_LIMIT + 6, 4) or 0
            if not self.options["accept_no_watchdog"]:
                self._set(device, dxl.BUS_WATCHDOG, self._counts, 1, "bus watchdog")
        before = self.counters.rows
        if not any(self._ask(self.codec.ask_all, lambda: self.counters.rows > before, 0.1) for _ in range(4)):
            raise DeviceRefused(
                f"the Dynamixels on {self.transport.name} answer, but not a fast sync read, which every cycle is. "
                "The X series knows it from firmware 45 on: Update them in DYNAMIXEL Wizard."
            )

    def arm(self) -> int:
        """Torque off, expired watchdogs cleared and set again; a servo with a hardware error is rebooted."""
        self.armed = True
        n = self.n_axes
        data = self._stop("off")
        for axis, device in enumerate(self.ids):
            if self._latched[axis] and self._latched[axis] < _EXPIRED or self.codec.error[axis] & dxl.ALERT:
                data += dxl.packet(device, dxl.REBOOT)
        self.watchdog_applied_s = [math.nan] * n
        self._latched, self._guarded, self._votes = [0] * n, [False] * n, [0] * n
        self._said_ns = [0] * n
        self._unguarded_ns = 0
        self._alarms, self._reading_alarm = [], None
        self.codec.watchdog = [0] * n
        return self.transport.write(data, urgent=True)

    def disarm(self) -> int:
        self.armed = False
        return self.transport.write(self._stop("off"), urgent=True)

    def _stop(self, action: str) -> bytes:
        self._on = [0] * self.n_axes
        off = [(device, 0) for device in self.ids]
        return dxl.sync_write(dxl.TORQUE_ENABLE, 1, off) + dxl.sync_write(dxl.BUS_WATCHDOG, 1, off)

    def command(self, mode: Sequence[int] | np.ndarray, torque_Nm: Sequence[float] | np.ndarray,
                rate_rad_s: Sequence[float] | np.ndarray, angle_rad: Sequence[float] | np.ndarray) -> int:  # fmt: skip
        now, codec = self.transport.clock(), self.codec
        out: list[bytes] = []
        bad = False
        currents: list[tuple[int, int]] = []
        velocities: list[tuple[int, int]] = []
        positions: list[tuple[int, int]] = []
        switch_on: list[tuple[int, int]] = []
        for axis, device in enumerate(self.ids):
            m = int(mode[axis]) if mode[axis] != BRAKE else 0
            if m and not self._may_move(axis, now, out):
                m = 0
            if m == 1 and -BIG < torque_Nm[axis] < BIG:
                limit = min(self._current_limit[axis], codec.current(min(self.max_torque_Nm, BIG)))
                currents.append((device, max(-limit, min(limit, codec.current(torque_Nm[axis])))))
            elif m == 2 and -BIG < rate_rad_s[axis] < BIG:
                limit = self._velocity_limit[axis]
                velocities.append((device, max(-limit, min(limit, codec.velocity(rate_rad_s[axis])))))
            elif m == 3 and -BIG < angle_rad[axis] < BIG:
                positions.append((device, codec.position(angle_rad[axis])))
            elif m:
                bad = True
                self.counters.bad_values += 1
                m = 0
            if m != self._on[axis]:
                self._switch(axis, m, out, switch_on)
        if currents:
            out.append(dxl.sync_write(dxl.GOAL_CURRENT, 2, currents))
        if velocities:
            out.append(dxl.sync_write(dxl.GOAL_VELOCITY, 4, velocities))
        if positions:
            out.append(dxl.sync_write(dxl.GOAL_POSITION, 4, positions))
        if switch_on:
            out.append(dxl.sync_write(dxl.TORQUE_ENABLE, 1, switch_on))
        out.append(self._question())
        self._asked_ns = now + self._delay_ns
        status = self.transport.write(b"".join(out))
        if status == 0 and bad:
            return int(Status.BAD_VALUE)
        if status or not any(mode):
            return status
        if not self.armed:
            return int(Status.NOT_ARMED)
        unguarded = any(m and not g for m, g in zip(mode, self._guarded, strict=True))
        self._unguarded_ns = (self._unguarded_ns or now) if unguarded else 0
        late = unguarded and now - self._unguarded_ns > _CONFIRM_NS and not any(self._latched)
        return int(Status.REFUSED) if late and not self.options["accept_no_watchdog"] else status

    def _may_move(self, axis: int, now: int, out: list[bytes]) -> bool:
        """Armed, nothing latched, and the watchdog read back as set; until then it is set again and again."""
        if not self.armed or self._latched[axis]:
            return False
        if self._guarded[axis] or self.options["accept_no_watchdog"]:
            return True
        if now - self._said_ns[axis] > _SAY_AGAIN_NS:
            self._said_ns[axis] = now
            device = self.ids[axis]
            out.append(dxl.sync_write(dxl.BUS_WATCHDOG, 1, [(device, 0)]))
            out.append(dxl.sync_write(dxl.BUS_WATCHDOG, 1, [(device, self._counts)]))
        return False

    def _switch(self, axis: int, mode: int, out: list[bytes], switch_on: list[tuple[int, int]]) -> None:
        """Torque off, then the operating mode (EEPROM, only with torque off); torque on after the goal."""
        device = self.ids[axis]
        if self._on[axis]:
            out.append(dxl.sync_write(dxl.TORQUE_ENABLE, 1, [(device, 0)]))
        self._on[axis] = mode
        if not mode:
            return
        operating = dxl.MODE_OF[mode]
        if operating != self._operating[axis]:
            self._operating[axis] = operating
            out.append(dxl.sync_write(dxl.OPERATING_MODE, 1, [(device, operating)]))
        switch_on.append((device, 1))

    def _question(self) -> bytes:
        """The fast sync read of all, or a servo's hardware error when it raised its alert."""
        if self._alarms:
            self._reading_alarm = self._alarms.pop(0)
            device = self.ids[self._reading_alarm]
            self.codec.answers.pop(device, None)
            return dxl.read(device, dxl.HARDWARE_ERROR, 1)
        return self.codec.ask_all

    def _feed(self, data: bytes, feedback: np.ndarray) -> int:
        codec = self.codec
        filled = codec.feed(data, feedback, min(self._asked_ns, self.transport.arrival_ns))
        if self._reading_alarm is not None:
            self._take_alarm(self._reading_alarm)
        if filled:
            for axis in range(self.n_axes):
                if feedback["valid"][axis]:
                    self._take_state(axis)
                feedback["fault"][axis] = self._latched[axis]
                feedback["mode"][axis] = -1 if self._latched[axis] else self._on[axis]
        return filled

    def _take_alarm(self, axis: int) -> None:
        answer = self.codec.answers.get(self.ids[axis])
        if answer is not None and len(answer) == 2:
            self._reading_alarm = None
            self._latched[axis] = answer[1] or self._latched[axis]

    def _take_state(self, axis: int) -> None:
        counts, alert = self.codec.watchdog[axis], self.codec.error[axis] & dxl.ALERT
        if alert and (self._guarded[axis] or not self.armed):
            if not 0 < self._latched[axis] < _EXPIRED:
                self._latched[axis] = _NOT_READY  # until its hardware error is read
                if axis not in self._alarms and self._reading_alarm != axis:
                    self._alarms.append(axis)
        elif not self.armed:
            self._latched[axis] = 0
        elif counts == dxl.WATCHDOG_EXPIRED and self._guarded[axis]:
            self._latched[axis] = self._latched[axis] or _EXPIRED
        else:
            self._take_vote(axis, counts == self._counts)

    def _take_vote(self, axis: int, is_set: bool) -> None:
        """An answer to a question asked before arm() may still be on its way, so three in a row decide."""
        guarded = self._guarded[axis]
        self._votes[axis] = 0 if is_set == guarded else self._votes[axis] + 1
        if self._votes[axis] < _VOTES:
            return
        self._votes[axis] = 0
        if guarded:
            self._latched[axis] = self._latched[axis] or _NOT_READY  # it restarted: its settings are gone
        else:
            self._guarded[axis] = True
            self.watchdog_applied_s[axis] = self._counts * dxl.WATCHDOG_UNIT_S
