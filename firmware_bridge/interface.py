"""What a driver is: the rows it fills, the codes it returns, and small base classes.

SI and rad throughout. Times are int64 ns on the host's monotonic clock unless the name says device. In the loop
nothing raises and nothing blocks: ``command``, ``poll`` and ``safe`` return a status or a count. Only ``open`` and
``identify``, called before the loop, raise (``BridgeError``), each with one paragraph an operator can act on.
"""

from __future__ import annotations

import enum
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, ClassVar

import numpy as np

from firmware_bridge.errors import BridgeError, NoAnswer, OptionError, RateError, WrongDevice
from firmware_bridge.options import Option, take_options

if TYPE_CHECKING:
    from firmware_bridge.transport import Transport

__all__ = [
    "ATTITUDE_ROW",
    "AXIS_FEEDBACK",
    "BEARING_ROW",
    "FIX_ROW",
    "HEADING_ROW",
    "IMU_ROW",
    "RADIO_ROW",
    "AttitudeDriver",
    "AxisMode",
    "BearingDriver",
    "BridgeError",
    "BridgeFault",
    "Capabilities",
    "Counters",
    "Driver",
    "Identity",
    "ImuDriver",
    "ImuStatus",
    "MotorDriver",
    "NoAnswer",
    "Option",
    "OptionError",
    "PositionDriver",
    "RadioDriver",
    "RateError",
    "Status",
    "WrongDevice",
    "axis_ids",
    "operator_text",
]


class AxisMode(enum.IntEnum):
    """What an axis is asked to do, and what it reports."""

    OFF = 0
    TORQUE = 1
    RATE = 2
    ANGLE = 3
    BRAKE = 4


class Status(enum.IntEnum):
    """Result of ``command``, ``poll``, ``arm``, ``disarm``, ``safe``. Zero or more is good; ``poll`` counts rows."""

    OK = 0
    NO_DATA = -1
    LINK_LOST = -2
    GARBAGE = -3
    BAD_CRC = -4
    WRONG_DEVICE = -5
    DEVICE_FAULT = -6
    LINE_FULL = -7
    BAD_VALUE = -8
    NOT_ARMED = -9
    REFUSED = -10
    REBOOTED = -11
    TWO_SENDERS = -12


_TEXT = {
    Status.OK: "good",
    Status.NO_DATA: "no answer yet: check power and wiring if this stays",
    Status.LINK_LOST: "the port is gone: plug the cable back in, then acknowledge and arm again",
    Status.GARBAGE: "bytes that are no known frame: check the baud rate and that nothing else writes to this line",
    Status.BAD_CRC: "frames with wrong checksums: check cable, shield and baud rate",
    Status.WRONG_DEVICE: "something else answers on this port: check the port names in the rig file",
    Status.DEVICE_FAULT: "the device reports a fault: read its code, remove the cause, acknowledge and arm again",
    Status.LINE_FULL: "the line can't carry the commands: an old command was dropped; lower the rate or raise the baud",
    Status.BAD_VALUE: "a command was not a number or out of range: that axis was switched off",
    Status.NOT_ARMED: "the driver is not armed: the command was sent as off",
    Status.REFUSED: "the device can't do what was asked: see the modes in docs/devices.md",
    Status.REBOOTED: "the device restarted: its settings are lost; acknowledge and arm again",
    Status.TWO_SENDERS: "two beacons send under one identity: the first is kept; switch one off or change its id",
}


def operator_text(status: int) -> str:
    """The operator's sentence for a status; a count reads as good."""
    return _TEXT[Status(status)] if status < 0 else _TEXT[Status.OK]


class BridgeFault(enum.IntEnum):
    """Values of AXIS_FEEDBACK.fault above any device's own codes."""

    WATCHDOG_EXPIRED = 0x10000  # the device stopped itself for want of commands; latched until the next arm()
    NOT_READY = 0x10001  # the device is in a state it can't be commanded from (calibrating, booting)


class ImuStatus(enum.IntFlag):
    """Bits of IMU_ROW.status."""

    CLIPPED = 1
    LOST_BEFORE = 2  # samples were lost before this one
    DEVICE_FLAG = 4  # the device marks its own data as doubtful
    DERIVED_RATE = 8  # no gyro: the rate comes from successive attitudes


def _row(*fields: tuple) -> np.dtype:
    return np.dtype(list(fields), align=True)


AXIS_FEEDBACK = _row(
    ("valid", "u1"),  # 1: filled by this poll
    ("t_ns", "i8"),  # the sample
    ("angle_rad", "f8"),
    ("rate_rad_s", "f8"),
    ("torque_Nm", "f8"),  # reported by the device
    ("current_A", "f8"),
    ("voltage_V", "f8"),
    ("temp_degC", "f8"),
    ("fault", "u4"),  # device code or BridgeFault, 0 = none
    ("mode", "i4"),  # AxisMode the device reports; -1 a mode of its own (fault, timeout, calibrating)
)

IMU_ROW = _row(
    ("t_ns", "i8"),  # the sample, host clock
    ("arrival_ns", "i8"),
    ("device_t_ns", "i8"),  # the device's own clock
    ("gyro_rad_s", "f8", 3),  # sensor axes
    ("accel_m_s2", "f8", 3),  # specific force, sensor axes
    ("status", "u4"),  # ImuStatus
)

FIX_ROW = _row(
    ("t_ns", "i8"),  # the measurement, host clock
    ("arrival_ns", "i8"),
    ("tow_ms", "i8"),  # GPS time of week
    ("lat_deg", "f8"),
    ("lon_deg", "f8"),
    ("height_m", "f8"),  # above the ellipsoid
    ("vel_N", "f8", 3),  # m/s, north east down
    ("pos_std_m", "f8"),
    ("vel_std_m_s", "f8"),
    ("has_vel", "u1"),  # 0: no velocity, or none of the vertical (vel_N then holds north and east alone)
    ("fix", "u1"),  # 0 none, 2 2D, 3 3D, 4 3D with carrier phase (float), 5 fixed
    ("source", "u8"),  # identity of the sender, 0 = the only one on this line
)

HEADING_ROW = _row(
    ("valid", "u1"),
    ("t_ns", "i8"),
    ("tow_ms", "i8"),
    ("heading_rad", "f8"),  # of the base line between two antennas, from north, clockwise
    ("heading_std_rad", "f8"),
    ("baseline_N", "f8", 3),  # m
)

ATTITUDE_ROW = _row(
    ("t_ns", "i8"),  # the estimate's moment, host clock
    ("arrival_ns", "i8"),
    ("device_t_ns", "i8"),  # the device's own clock
    ("q_NA", "f8", 4),  # from the sender's own axes (forward, right, down) to north, east, down
    ("source", "u8"),
)

BEARING_ROW = _row(
    ("t_ns", "i8"),  # middle of the exposure, host clock
    ("arrival_ns", "i8"),
    ("device_t_ns", "i8"),  # the sender's own clock, 0 = it gives none
    ("seq", "i8"),  # the sender's frame number, -1 = none
    ("xy_image", "f8", 2),  # position in the picture: 0, 0 top left, 1, 1 bottom right
    ("size_image", "f8", 2),  # width and height of the target, same unit, 0 = not known
    ("confidence", "f8"),  # 0 to 1
    ("std_image", "f8"),  # of xy_image, 0 = not known
    ("tracking", "u1"),  # 1: the tracker holds its target
    ("source", "u8"),
)

RADIO_ROW = _row(
    ("t_ns", "i8"),  # end of the frame on the wire, host clock
    ("arrival_ns", "i8"),
    ("channel", "f8", 16),  # -1 to 1 at the transmitter's 100 % (raw 172 to 1811), beyond at its extended ends
    ("n_channels", "u1"),
    ("frame_lost", "u1"),  # the receiver repeats old values for this one
    ("failsafe", "u1"),  # 1: the link is gone, channels are the last or the receiver's preset: not to be flown on
    ("link_quality", "u1"),  # percent, 255 = not known
    ("rssi_dBm", "i2"),  # 0 = not known
    ("snr_dB", "i2"),
)


@dataclass(frozen=True)
class Identity:
    """What answered."""

    device: str
    model: str = ""
    firmware: str = ""
    serial: str = ""

    def __str__(self) -> str:
        return " ".join(part for part in (self.device, self.model, self.firmware, self.serial) if part)


@dataclass(frozen=True)
class Capabilities:
    """What a driver can do on this line."""

    modes: frozenset[enum.IntEnum] = frozenset()
    has_watchdog: bool = False
    max_rate_hz: float = 0.0  # cycles (motors) or rows (sensors) a second that the line carries
    budget: str = ""  # the arithmetic behind max_rate_hz, one sentence
    carrier_only: str = ""  # an IMU that can't close the stabilisation loop: why, one sentence

    def require_rate(self, rate_hz: float, who: str) -> None:
        """Raise RateError, with the arithmetic, when the line can't carry ``rate_hz``."""
        if rate_hz > self.max_rate_hz:
            raise RateError(
                f"{who}: {rate_hz:g} Hz asked, but the line carries {self.max_rate_hz:.0f} Hz. "
                f"{self.budget} Lower loop_rate_hz, raise baud, or put fewer axes on this port."
            )


@dataclass
class Counters:
    """What a driver has seen since it was opened."""

    rows: int = 0
    bad_crc: int = 0
    garbage_bytes: int = 0
    unknown_frames: int = 0
    device_errors: int = 0  # error replies and negative acknowledgements
    lost_rows: int = 0
    bad_values: int = 0
    other_identity: int = 0  # good messages of senders that are not asked for
    duplicates: int = 0  # repeated, or older than what has been given already


@dataclass
class Driver:
    """A device on one transport. ``attach`` alone lets ``identify`` ask who answers, without changing anything."""

    NAME: ClassVar[str] = ""
    OPTIONS: ClassVar[Mapping[str, Option]] = {}

    counters: Counters = field(default_factory=Counters)

    def attach(self, transport: Transport, options: Mapping[str, object] | None = None) -> None:
        """Take the line and check the options. Raises OptionError."""
        self.transport = transport
        self.options = take_options(self.NAME, self.OPTIONS, options or {})
        self.setup()

    def open(self, transport: Transport, options: Mapping[str, object] | None = None) -> Identity:
        """attach, identify, configure. Raises BridgeError; may take a second; nothing moves."""
        self.attach(transport, options)
        self.identity = self.identify()
        self.configure()
        return self.identity

    def setup(self) -> None:
        """Derive what depends on options only."""

    def identify(self, timeout_s: float = 1.0) -> Identity:
        """Ask who is there. Raises NoAnswer or WrongDevice."""
        raise NotImplementedError

    def configure(self) -> None:
        """Write the device's settings and read them back. Raises BridgeError."""

    @property
    def capabilities(self) -> Capabilities:
        raise NotImplementedError

    def _without_rows(self, bad_crc: int, garbage: int) -> int:
        """What a poll that gave nothing returns; the counters as they were before it."""
        if self.transport.lost:
            return int(Status.LINK_LOST)
        if self.counters.bad_crc != bad_crc:
            return int(Status.BAD_CRC)
        return int(Status.GARBAGE) if self.counters.garbage_bytes != garbage else 0

    def reopen(self) -> int:
        """After LINK_LOST: try the same path again, non-blocking. OK means the line is back, unconfigured."""
        return self.transport.reopen()

    def close(self) -> None:
        """Release the line. May be called twice."""
        self.transport.close()


class MotorDriver(Driver):
    """n axes on one line. Arrays are length n, indexed as the options name the axes (roll, pitch, yaw)."""

    n_axes: int = 0
    looked_ns: int = 0
    """When the line was looked at before the present poll, by its transport's clock; 0: whoever polls doesn't say."""
    restarted: bool = False
    """The device was seen to have lost its settings: all axes are off and ``arm`` is refused until ``configure``."""

    def arm(self) -> int:
        """Clear latched states so that commands act. Non-blocking. REBOOTED while ``restarted``."""
        raise NotImplementedError

    def disarm(self) -> int:
        """All axes off; commands are sent as off until the next arm."""
        raise NotImplementedError

    def command(
        self,
        mode: Sequence[int] | np.ndarray,
        torque_Nm: Sequence[float] | np.ndarray,
        rate_rad_s: Sequence[float] | np.ndarray,
        angle_rad: Sequence[float] | np.ndarray,
    ) -> int:
        """Encode all axes and write once. Asks for feedback in the same frames where the protocol allows it."""
        raise NotImplementedError

    def poll(self, feedback: np.ndarray) -> int:
        """Drain the line, fill ``feedback`` (AXIS_FEEDBACK, length n; ``valid`` is reset first).

        Returns the number of axes filled, or a negative Status when none was and something is wrong.
        """
        raise NotImplementedError

    def safe(self, action: str = "off") -> int:
        """Stop all axes: "off" or "brake". Never raises, may be called twice and on a lost link."""
        raise NotImplementedError


class ImuDriver(Driver):
    around: tuple[int, float, tuple[float, float, float]] | None = None
    """Newest (t_ns, temperature in degC, field in uT, sensor axes) where the device gives them; None once taken."""

    def poll(self, rows: np.ndarray) -> int:
        """Drain the line into ``rows`` (IMU_ROW), oldest first; returns how many, or a negative Status if none."""
        raise NotImplementedError


class PositionDriver(Driver):
    def poll(self, rows: np.ndarray) -> int:
        """Drain the line into ``rows`` (FIX_ROW), oldest first; returns how many, or a negative Status if none."""
        raise NotImplementedError


class BearingDriver(Driver):
    def poll(self, rows: np.ndarray) -> int:
        """Drain the line into ``rows`` (BEARING_ROW), oldest first; returns how many, or a negative Status if none."""
        raise NotImplementedError


class AttitudeDriver(Driver):
    def poll(self, rows: np.ndarray) -> int:
        """Drain the line into ``rows`` (ATTITUDE_ROW), oldest first; returns how many, or a negative Status if none."""
        raise NotImplementedError


class RadioDriver(Driver):
    def poll(self, rows: np.ndarray) -> int:
        """Drain the line into ``rows`` (RADIO_ROW), oldest first; returns how many, or a negative Status if none.

        A receiver that falls silent gives one row with failsafe set.
        """
        raise NotImplementedError


AXIS_NAMES = ("roll", "pitch", "yaw")
AXIS_ID_OPTIONS = {
    f"{name}_id": Option(int, None, f"id of the {name} axis on this line; left out: not on this line", low=0)
    for name in AXIS_NAMES
}


def axis_ids(who: str, options: Mapping[str, object]) -> list[int]:
    """Device ids in axis order from options roll_id, pitch_id, yaw_id; at least one, no two equal."""
    ids = [int(options[f"{name}_id"]) for name in AXIS_NAMES if options.get(f"{name}_id") is not None]  # type: ignore[call-overload]
    if not ids:
        raise OptionError(
            f"{who}: no axis is named. Give roll_id, pitch_id and yaw_id (those on this line) in options."
        )
    if len(set(ids)) != len(ids):
        raise OptionError(
            f"{who}: two axes share an id ({ids}). Each controller needs its own; set one with the "
            "maker's tool, then correct roll_id, pitch_id, yaw_id."
        )
    return ids
