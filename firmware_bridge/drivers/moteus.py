"""mjbots moteus over a fdcanusb (USB) or a controller's own UART: torque, rate, angle, brake; a watchdog per command.

Torque is position mode without a position, with both gains scaled to zero and a feed-forward torque. A controller
whose watchdog expired, or that has a fault, takes nothing but a stop: ``arm`` sends it.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import ClassVar

import numpy as np

from firmware_bridge.drivers.moteus_codec import (
    _TRANSIENT,
    DEVICE_FAULT,
    DEVICE_POSITION,
    DEVICE_STOPPED,
    DEVICE_TIMEOUT,
    MoteusCodec,
)
from firmware_bridge.errors import DeviceRefused, NoAnswer, PortError, WrongDevice
from firmware_bridge.framing import line_time_s
from firmware_bridge.interface import (
    AXIS_FEEDBACK,
    AXIS_ID_OPTIONS,
    AxisMode,
    BridgeFault,
    Capabilities,
    Identity,
    MotorDriver,
    Option,
    Status,
    axis_ids,
)
from firmware_bridge.questions import Questions

_NOT_READY = int(BridgeFault.NOT_READY)
_SETTLED_NS = 20_000_000
_WATCHDOG = 0x27  # register
_MAP_VERSION = 5  # register map this was written for
_LINE_OUT, _LINE_IN = 86, 8 + 64 + 11 + 9  # bytes an axis and cycle: command; reply and its OK
# 32 data bytes on CAN-FD, 29-bit id: 49 bits of head and tail at 1 Mbit/s, 256 data + 54 bits of length, CRC and
# stuffing at 5 Mbit/s (ISO 11898-1).
_CAN_FRAME_S = 49e-6 + 310 / 5e6


class Moteus(MotorDriver):
    NAME = "moteus"
    OPTIONS: ClassVar = {
        **AXIS_ID_OPTIONS,
        "link": Option(str, "fdcanusb", "fdcanusb (USB, several controllers) or uart (one, direct)",
                       choices=("fdcanusb", "uart")),
        "checksum": Option(str, "auto", "CRC-8 on every line: on, off, or auto (on where the adapter takes it)",
                           choices=("auto", "on", "off")),
        "watchdog_ms": Option(float, 50.0, "the device stops itself this long after the last command", 5.0, 1000.0),
        "accept_no_watchdog": Option(bool, False, "arm even though nothing stops the motors when the host dies"),
        "max_torque_Nm": Option(float, math.nan, "sent with each command; left out: the device's limit", 0.0, 300.0),
        "query_delay_us": Option(float, None, "our write to the device's sample; left out: by the line", 0.0, 5000.0),
    }  # fmt: skip

    def setup(self) -> None:
        self.ids = axis_ids(self.NAME, self.options)
        self.n_axes = len(self.ids)
        self.armed = False
        self.watchdog_applied_s = [math.nan] * self.n_axes  # read back from the device while armed
        self._uart = self.options["link"] == "uart"
        self._questions = Questions()
        self._asked_watchdog = [True] * self.n_axes  # of the axis as it moves, since arm()
        self._sent_mode = [0] * self.n_axes
        self._begun_ns = [0] * self.n_axes  # since when the axis is commanded to move
        self._running = [False] * self.n_axes  # and was seen to do so
        self._latched = [False] * self.n_axes
        self._scratch = np.zeros(self.n_axes, AXIS_FEEDBACK)
        self._make_codec(self._uart or self.options["checksum"] != "off")
        delay_us = self.options["query_delay_us"]
        per_axis_s = line_time_s(_LINE_OUT, self.transport.baud) if self._uart else 0.0
        # USB: commands cross at the next 1 ms frame, on average half a frame later.
        first_s = 500e-6 if not self._uart else per_axis_s
        self._delay_ns = [
            int(1e9 * (first_s + i * per_axis_s)) if delay_us is None else int(1e3 * delay_us)
            for i in range(self.n_axes)
        ]

    def _make_codec(self, checksum: bool) -> None:
        watchdog_s = self.options["watchdog_ms"] * 1e-3
        self.codec = MoteusCodec(self.ids, watchdog_s, self.options["max_torque_Nm"], checksum, self.counters)

    @property
    def capabilities(self) -> Capabilities:
        n = self.n_axes
        modes = frozenset(AxisMode)
        if self._uart:
            busiest = n * max(_LINE_OUT, _LINE_IN)
            rate = 1 / line_time_s(busiest, self.transport.baud)
            text = f"{busiest} bytes a cycle the busier way, 10 bits each, at {self.transport.baud:.0f} baud."
        else:
            rate = min(2000.0, 1 / (2 * n * _CAN_FRAME_S))
            text = (f"{2 * n} CAN-FD frames of 32 bytes a cycle, {_CAN_FRAME_S * 1e6:.0f} us each at 1/5 Mbit/s; "
                    "USB full speed: 2 kHz at most.")  # fmt: skip
        return Capabilities(modes, True, rate, text)

    def identify(self, timeout_s: float = 1.0) -> Identity:
        """Model, firmware and serial number of every axis; nothing moves."""
        tries = [self.codec.checksum]
        if self.options["checksum"] == "auto" and not self._uart:
            tries = [True, False]
        for checksum in tries:
            self._make_codec(checksum)
            if self._ask_all(timeout_s / len(tries)):
                return self._identity()
            if any(self.codec.registers):
                break  # this way of talking works; an axis is missing
        self._raise_no_answer()
        raise AssertionError

    def _ask_all(self, timeout_s: float) -> bool:
        clock = self.transport.clock
        end_ns = clock() + int(timeout_s * 1e9)
        self.transport.discard_input()
        self.transport.write(b"\n")  # what an earlier program left half-written on the line ends here
        while clock() < end_ns and not self.transport.lost:
            for axis in range(self.n_axes):
                self._ask(axis, 0x100, end_ns)
                self._ask(axis, 0x120, end_ns)
            if all(0x122 in known and 0x102 in known for known in self.codec.registers):
                self._listen(5_000_000, lambda: False)  # a second controller with one of our ids answers late
                return True
        return False

    def _ask(self, axis: int, register: int, end_ns: int) -> None:
        known = self.codec.registers[axis]
        if register not in known:
            self.transport.write(self.codec.read_registers(axis, register, 3, 2))
            self._listen(min(50_000_000, end_ns - self.transport.clock()), lambda: register in known)

    def _listen(self, for_ns: int, done: Callable[[], bool]) -> None:
        end_ns = self.transport.clock() + for_ns
        while not done() and self.transport.clock() < end_ns and not self.transport.lost:
            self.transport.wait(min(0.01, (end_ns - self.transport.clock()) * 1e-9))
            self.codec.feed(self.transport.read(), self._scratch, self._asked)

    def _identity(self) -> Identity:
        if self.codec.twins:
            raise WrongDevice(
                f"two moteus on {self.transport.name} share an id. Unplug one, give the other a new id "
                "(`moteus_tool -t ID --console`, `conf set id.id N`, `conf write`), plug in again."
            )
        models, firmwares, serials = [], [], []
        for can_id, known in zip(self.ids, self.codec.registers):
            if known[0x102] != _MAP_VERSION:
                newer = known[0x102] > _MAP_VERSION
                update = "Update this program." if newer else "Update its firmware with moteus_tool --flash."
                raise WrongDevice(
                    f"moteus {can_id} speaks register map {known[0x102]:.0f}, this driver {_MAP_VERSION}. {update}"
                )
            models.append(f"{int(known[0x100]):x}")
            firmwares.append(f"{int(known[0x101]) & 0xFFFFFF:06x}")
            serials.append("".join(f"{int(known[r]) & 0xFFFFFFFF:08x}" for r in (0x122, 0x121, 0x120)))
        return Identity("moteus", "/".join(sorted(set(models))), "/".join(sorted(set(firmwares))), ",".join(serials))

    def _raise_no_answer(self) -> None:
        name, missing = self.transport.name, [i for i, known in zip(self.ids, self.codec.registers) if not known]
        if self.counters.garbage_bytes + self.counters.bad_crc > 40 and len(missing) == self.n_axes:
            raise WrongDevice(
                f"what answers on {name} is no moteus: its bytes are no fdcanusb lines. Check which "
                "device this port is (`gimbal devices`) and its baud."
            )
        raise NoAnswer(
            f"no answer from moteus id {', '.join(map(str, missing or self.ids))} on {name}. Check motor "
            "power, the CAN cable and its termination, and the ids in the rig file; `python -m moteus.moteus_tool "
            "--info` lists the ids that answer."
        )

    def configure(self) -> None:
        """Nothing is stored in the device: watchdog and limits travel with each command. Starts from a stop, which
        sets the watchdog too and reads it back."""
        self.armed = False
        self._sent_mode = [0] * self.n_axes
        if self._write(self._all(AxisMode.OFF), urgent=True) == Status.LINK_LOST:
            raise PortError(f"the port {self.transport.name} went away while setting up: plug it in again.")
        if not self._questions.soonest_ns:
            self._questions.learn_line(self.transport.clock, self._wait, self._stop_answered)
        for axis, can_id in enumerate(self.ids):
            got = self._read_watchdog(axis)
            if not self._is_set(got) and not self.options["accept_no_watchdog"]:
                raise DeviceRefused(
                    f"moteus {can_id} on {self.transport.name} was told a watchdog of {self.options['watchdog_ms']:g} "
                    f"ms and reads back {got} s. Without it the motor would go on when the host dies. Update its "
                    "firmware with moteus_tool --flash, or accept the risk by name: accept_no_watchdog = true."
                )

    def _read_watchdog(self, axis: int) -> float | None:
        known = self.codec.registers[axis]
        known.pop(_WATCHDOG, None)
        for _ in range(4):
            self.transport.write(self.codec.stop_with_watchdog(axis))
            self._listen(100_000_000, lambda: _WATCHDOG in known)
            if _WATCHDOG in known:
                break
        return known.get(_WATCHDOG)

    def _is_set(self, watchdog_s: float | None) -> bool:
        wanted_s = self.options["watchdog_ms"] * 1e-3
        return watchdog_s is not None and abs(watchdog_s - wanted_s) <= max(1e-3, 0.02 * wanted_s)

    def _all(self, mode: AxisMode) -> bytes:
        zero = [0.0] * self.n_axes
        return self.codec.encode([int(mode)] * self.n_axes, zero, zero, zero)

    def arm(self) -> int:
        self.armed = True
        self._asked_watchdog = [False] * self.n_axes
        self.watchdog_applied_s = [math.nan] * self.n_axes
        for known in self.codec.registers:
            known.pop(_WATCHDOG, None)
        self._begun_ns, self._running = [0] * self.n_axes, [False] * self.n_axes
        self._latched = [False] * self.n_axes
        return self._write(self._all(AxisMode.OFF), urgent=True)

    def disarm(self) -> int:
        self.armed = False
        self._latched, self._sent_mode = [False] * self.n_axes, [0] * self.n_axes
        return self._write(self._all(AxisMode.OFF), urgent=True)

    def command(self, mode: Sequence[int] | np.ndarray, torque_Nm: Sequence[float] | np.ndarray,
                rate_rad_s: Sequence[float] | np.ndarray, angle_rad: Sequence[float] | np.ndarray) -> int:  # fmt: skip
        if not self.armed:
            moving = any(mode)
            self._sent_mode = [0] * self.n_axes
            status = self._write(self._all(AxisMode.OFF))
            return int(Status.NOT_ARMED) if moving and status == 0 else status
        before = self.counters.bad_values
        if any(self._latched):
            mode = [0 if latched else m for m, latched in zip(mode, self._latched)]
        data = self.codec.encode(mode, torque_Nm, rate_rad_s, angle_rad)  # type: ignore[arg-type]
        self._sent_mode = [int(m) for m in mode]
        if not all(self._asked_watchdog):
            data += self._ask_watchdogs()
        status = self._write(data)
        return int(Status.BAD_VALUE) if self.counters.bad_values != before and status == 0 else status

    def _ask_watchdogs(self) -> bytes:
        """Of axes that have just been told to move: a stop's would be another."""
        data = b""
        for axis, mode in enumerate(self._sent_mode):
            if mode in (1, 2, 3) and not self._asked_watchdog[axis]:
                self._asked_watchdog[axis] = True
                data += self.codec.read_registers(axis, _WATCHDOG, 1, 3)
        return data

    def _write(self, data: bytes, urgent: bool = False) -> int:
        """Lines that every axis answers with its readings."""
        now = self.transport.clock()
        status = self.transport.write(data, urgent=urgent)
        if status == 0:
            self._questions.ask(now)
        return status

    def _wait(self, for_ns: int) -> None:
        self._listen(for_ns, lambda: False)

    def _stop_answered(self, within_ns: int) -> int:
        """Send a stop; when the first motor answered, 0: none did. The others' have come too, or
        were waited for as long."""
        counters, before = self.counters, self.counters.rows
        self._write(self._all(AxisMode.OFF), urgent=True)
        self._listen(within_ns, lambda: counters.rows > before)
        arrival_ns = self.transport.arrival_ns
        self._listen(within_ns, lambda: counters.rows in (before, before + self.n_axes))
        return arrival_ns if counters.rows > before else 0

    def _asked(self, axis: int) -> int:
        """When the readings were taken that an axis now tells."""
        arrival = self.transport.arrival_ns
        return min(self._questions.answer(arrival, self.looked_ns) + self._delay_ns[axis], arrival)

    def poll(self, feedback: np.ndarray) -> int:
        feedback["valid"] = 0
        transport, counters = self.transport, self.counters
        bad_crc, garbage = counters.bad_crc, counters.garbage_bytes
        filled = 0
        while data := transport.read():
            filled += self.codec.feed(data, feedback, self._asked)
        if filled:
            self._say_mode(feedback)
        return filled or self._without_rows(bad_crc, garbage)

    def _say_mode(self, feedback: np.ndarray) -> None:
        now = self.transport.clock()
        for axis, device in enumerate(self.codec.device_mode):
            self._watch(axis, device, now)
            if self._latched[axis]:
                feedback["fault"][axis], feedback["mode"][axis] = _NOT_READY, -1
            elif device == DEVICE_POSITION:
                feedback["mode"][axis] = self._sent_mode[axis]
            elif device in _TRANSIENT:
                feedback["mode"][axis] = -1
        for axis, known in enumerate(self.codec.registers):
            if _WATCHDOG in known:
                self.watchdog_applied_s[axis] = known[_WATCHDOG]
                if not self._is_set(known.pop(_WATCHDOG)) and not self.options["accept_no_watchdog"]:
                    self._latched[axis] = True  # it runs without one

    def _watch(self, axis: int, device: int, now_ns: int) -> None:
        """A controller that ran and is stopped without having been told so has restarted: its next command would move
        it. Answers of before are given time to pass."""
        if self._sent_mode[axis] not in (1, 2, 3):
            self._begun_ns[axis], self._running[axis] = 0, False
        elif not self._begun_ns[axis]:
            self._begun_ns[axis] = now_ns
        elif device == DEVICE_POSITION:
            self._running[axis] = self._running[axis] or now_ns - self._begun_ns[axis] > _SETTLED_NS
        elif self._running[axis] and (device == DEVICE_STOPPED or device in _TRANSIENT):
            self._latched[axis] = True

    def safe(self, action: str = "off") -> int:
        """Brake shorts the windings; a controller in fault or timeout must be stopped first to take it."""
        self.armed = False
        self._sent_mode = [0] * self.n_axes
        try:
            if action != "brake":
                return self._write(self._all(AxisMode.OFF), urgent=True)
            data = self._all(AxisMode.BRAKE)
            if any(mode in (DEVICE_FAULT, DEVICE_TIMEOUT) for mode in self.codec.device_mode):
                data = self._all(AxisMode.OFF) + data
            return self._write(data, urgent=True)
        except Exception:  # the last line of defence: whatever is wrong here, the caller still has other axes to stop
            return int(Status.LINK_LOST)
