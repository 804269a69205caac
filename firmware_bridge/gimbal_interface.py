"""What a gimbal with its own inner loop is to us: rows, modes, its carrier's motion, the driver class."""

from __future__ import annotations

import enum
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from firmware_bridge.angles import Quat, unit
from firmware_bridge.interface import Driver, Status


class GimbalMode(enum.IntEnum):
    """What a gimbal with its own inner loop is asked to do. Values shared with AxisMode mean the same."""

    OFF = 0  # motors without current
    RATE = 2  # rates about the camera's axes
    ANGLE = 3  # roll, pitch, yaw: intrinsic Z-Y-X against the level earth
    ATTITUDE = 5  # a quaternion


class GimbalHas(enum.IntFlag):
    """Bits of GIMBAL_ROW.has: which fields this device has told."""

    RATE = 1
    JOINT = 2
    POWER = 4
    SUPPLY = 8  # voltage, current, temperature, as far as it knows them


GIMBAL_ROW = np.dtype(
    [
        ("t_ns", "i8"),  # the sample, host clock
        ("arrival_ns", "i8"),
        ("euler_rad", "f8", 3),  # roll, pitch, yaw of the camera, intrinsic Z-Y-X against the level earth
        ("rate_C", "f8", 3),  # rad/s, camera axes
        ("joint_rad", "f8", 3),  # motor or encoder angles: roll, pitch, yaw
        ("joint_t_ns", "i8"),  # of joint_rad where it is read apart from the attitude; 0: as t_ns
        ("power", "f8", 3),  # share of the motors' most, 0 to 1
        ("voltage_V", "f8"),
        ("current_A", "f8"),
        ("temp_degC", "f8"),
        ("has", "u4"),  # GimbalHas
        ("fault", "u4"),  # device code or BridgeFault, 0 = none
        ("yaw_frame", "i4"),  # 0 the device's own, drifting; 1 from the carrier's heading; 2 from north
        ("mode", "i4"),  # 0 motors off, 1 motors on, -1 starting up or in fault
    ],
    align=True,
)


@dataclass(frozen=True)
class CarrierState:
    """What we know of the mount that carries the gimbal, for boards that can use it. Frames as in conventions."""

    t_ns: int
    q_NB: tuple[float, float, float, float]
    rate_B: tuple[float, float, float]  # rad/s
    vel_N: tuple[float, float, float]  # m/s
    force_B: tuple[float, float, float]  # m/s², specific force; at rest, level: 0, 0, -9.81
    attitude_delay_s: float = 0.0  # how old the attitude is
    velocity_delay_s: float = 0.0
    heading_valid: bool = False
    vel_valid: bool = False


@dataclass(frozen=True)
class GimbalLimits:
    """Read back from the device, rad, against the level earth or the frame as its profile has it."""

    roll: tuple[float, float]
    pitch: tuple[float, float]
    yaw: tuple[float, float]


class GimbalDriver(Driver):
    """A board that stabilises the camera itself. Arrays are roll, pitch, yaw.

    A driver gives ``_take(data, rows, n)`` (frames into rows from n on; rows None before the loop), ``_command``,
    ``_off``, ``_say_carrier`` and ``_tend`` (what each poll has to send).
    """

    limits: GimbalLimits | None = None  # of the device's profile, where it tells them
    armed: bool = False
    CARRIER_USES: ClassVar[tuple[str, ...]] = ("rate_B", "vel_N")  # of CarrierState, besides the attitude
    _carrier_ns: int = 0  # when it was last told

    def arm(self) -> int:
        """Motors on. REFUSED where the device has no watchdog and the option accept_no_watchdog is not set."""
        raise NotImplementedError

    def disarm(self) -> int:
        """Motors off; commands are not sent until the next arm."""
        return self.safe("off")

    def command(
        self,
        mode: int,
        rate_C: Sequence[float] = (0.0, 0.0, 0.0),
        euler_rad: Sequence[float] = (0.0, 0.0, 0.0),
        q: Sequence[float] = (1.0, 0.0, 0.0, 0.0),
    ) -> int:
        """One GimbalMode and what it needs. A value that is no number stops the motion and returns BAD_VALUE.

        A rate that is not sent again within the option rate_expiry_ms becomes zero with a later poll, and in the
        device by its own watchdog where it has one.
        """
        if not self.armed:
            return int(Status.LINK_LOST if self.transport.lost else Status.NOT_ARMED if mode else Status.OK)
        return self._off() if mode == GimbalMode.OFF else self._command(mode, rate_C, euler_rad, q)

    def _command(self, mode: int, rate_C: Sequence[float], euler_rad: Sequence[float], q: Sequence[float]) -> int:
        raise NotImplementedError

    def _off(self) -> int:
        raise NotImplementedError

    def feed_carrier(self, carrier: CarrierState) -> int:
        """Tell the board how its mount moves; REFUSED where it can't use it, OK also when it is too soon again."""
        now, hz = self.transport.clock(), self.options.get("carrier_hz", 0.0)
        if hz == 0:
            return int(Status.REFUSED)
        if now - self._carrier_ns < 1e9 / hz:
            return int(Status.OK)
        q_NB = unit(carrier.q_NB)
        if q_NB is None or not all(-1e4 < v < 1e4 for name in self.CARRIER_USES for v in getattr(carrier, name)):
            self.counters.bad_values += 1
            return int(Status.BAD_VALUE)
        self._carrier_ns = now
        return self._say_carrier(carrier, q_NB)

    def _say_carrier(self, carrier: CarrierState, q_NB: Quat) -> int:
        raise NotImplementedError

    def poll(self, rows: np.ndarray) -> int:
        """Drain the line into ``rows`` (GIMBAL_ROW), oldest first; returns how many, or a negative Status if none."""
        transport, counters = self.transport, self.counters
        bad_crc, garbage, n = counters.bad_crc, counters.garbage_bytes, 0
        while data := transport.read():
            n = self._take(data, rows, n)
        counters.rows += n
        if not transport.lost:
            self._tend()
        return n or self._without_rows(bad_crc, garbage)

    def _take(self, data: bytes, rows: np.ndarray | None, n: int) -> int:
        raise NotImplementedError

    def _tend(self) -> None:
        """What is to be sent when the time for it has come."""

    def _append(self, row: np.void, rows: np.ndarray, n: int) -> int:
        """``row`` as the newest of ``rows``; where more come than fit, the oldest is lost."""
        if n == len(rows):
            rows[:-1] = rows[1:].copy()
            n -= 1
            self.counters.lost_rows += 1
        rows[n] = row
        return n + 1

    def _listen(self, for_s: float, done: Callable[[], bool]) -> bool:
        """Before the loop: take what comes until ``done`` or the time is over."""
        end_ns = self.transport.clock() + int(for_s * 1e9)
        while not done() and self.transport.clock() < end_ns and not self.transport.lost:
            self.transport.wait(min(0.01, (end_ns - self.transport.clock()) * 1e-9))
            self._take(self.transport.read(), None, 0)
        return done()

    def safe(self, action: str = "off") -> int:
        """Stop: "off" motors off, "brake" hold still. Never raises, may be called twice and on a lost link."""
        raise NotImplementedError
