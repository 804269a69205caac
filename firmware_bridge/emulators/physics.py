"""What an emulated device needs to know of the world, and a small world for tests. SI and rad.

An emulator never computes physics: it asks these objects. The same emulator thus runs on the full plant, in lock-step
or in real time, and on the single free axis below.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field, replace
from typing import Protocol

import numpy as np


@dataclass
class AxisDrive:
    """What the emulated controller's power stage is asked to do. ``mode`` as AxisMode: 0 off … 4 brake."""

    mode: int = 0
    torque_Nm: float = 0.0  # feed-forward
    rate_rad_s: float = 0.0
    angle_rad: float = math.nan  # NaN: no position term
    max_torque_Nm: float = math.inf
    kp_Nm_rad: float = 0.0  # of the controller's own loops, scaled as commanded
    kd_Nm_s_rad: float = 0.0


@dataclass
class AxisState:
    """What the controller measures. ``fault``: 0, or a code of its own to report from now on."""

    angle_rad: float = 0.0
    rate_rad_s: float = 0.0
    torque_Nm: float = 0.0
    current_A: float = 0.0
    voltage_V: float = 24.0
    temp_degC: float = 30.0
    fault: int = 0


class AxisPhysics(Protocol):
    def set_command(self, drive: AxisDrive, t_ns: int) -> None:
        """From t_ns on the power stage does this."""

    def state(self, t_ns: int) -> AxisState:
        """As the encoder and the current sensors see it at t_ns."""


@dataclass
class ImuSample:
    gyro_rad_s: tuple[float, float, float] = (0.0, 0.0, 0.0)
    accel_m_s2: tuple[float, float, float] = (0.0, 0.0, -9.80665)
    temp_degC: float = 30.0
    t_ns: int = -1  # of the sample, when it is older than asked for; -1: as asked
    mag_uT: tuple[float, float, float] = (0.0, 0.0, 0.0)


class ImuPhysics(Protocol):
    def sample(self, t_ns: int) -> ImuSample:
        """Sensor axes, at t_ns."""


@dataclass
class Fix:
    lat_deg: float = 46.5
    lon_deg: float = 7.9
    height_m: float = 1500.0
    vel_N: tuple[float, float, float] = (0.0, 0.0, 0.0)
    pos_std_m: float = 1.2
    vel_std_m_s: float = 0.1
    fix: int = 3  # 0 none, 2 2D, 3 3D, 4 carrier phase float, 5 fixed
    heading_rad: float = math.nan  # of a second antenna, where there is one
    t_ns: int = -1  # of the measurement, when it is older than asked for; -1: as asked


class FixPhysics(Protocol):
    def fix(self, t_ns: int) -> Fix | None:
        """The receiver's solution at t_ns; None: this one never arrives."""


@dataclass
class Attitude:
    """Roll, pitch, yaw (intrinsic Z-Y-X, rad) against north, east, down, and the rates about the own axes."""

    euler_rad: tuple[float, float, float] = (0.0, 0.0, 0.0)
    rate_rad_s: tuple[float, float, float] = (0.0, 0.0, 0.0)


class AttitudePhysics(Protocol):
    def attitude(self, t_ns: int) -> Attitude:
        """What an autopilot believes of itself at t_ns."""


@dataclass
class TurningCarrier:
    """Level, its heading turning evenly."""

    start_rad: float = 0.5
    rate_rad_s: float = 0.1

    def attitude(self, t_ns: int) -> Attitude:
        yaw = math.remainder(self.start_rad + self.rate_rad_s * 1e-9 * (t_ns % 10**12), 2 * math.pi)
        return Attitude((0.05, -0.1, yaw), (0.0, 0.0, self.rate_rad_s))


@dataclass
class ImagePoint:
    """Where a camera's tracker sees the target: 0, 0 top left, 1, 1 bottom right."""

    x: float = 0.5
    y: float = 0.5
    width: float = 0.05
    height: float = 0.08
    confidence: float = 0.9
    tracking: bool = True
    t_ns: int = -1  # middle of the exposure, when it is older than asked for; -1: as asked


class ImagePhysics(Protocol):
    def image(self, t_ns: int) -> ImagePoint | None:
        """The tracker's result for the picture exposed at t_ns; None: none for this one."""


@dataclass
class Sticks:
    """What the operator's transmitter sends: 16 channels, -1 to 1."""

    channel: tuple[float, ...] = (0.0,) * 16
    frame_lost: bool = False
    failsafe: bool = False
    link_quality: int = 100
    rssi_dBm: int = -60
    snr_dB: int = 8


class SticksPhysics(Protocol):
    def sticks(self, t_ns: int) -> Sticks:
        """At t_ns."""


@dataclass
class StillImage:
    """A target that drifts slowly to the right."""

    point: ImagePoint = field(default_factory=ImagePoint)

    def image(self, t_ns: int) -> ImagePoint | None:
        return replace(self.point, x=self.point.x + 0.01 * math.sin(t_ns * 1e-9))


@dataclass
class HeldSticks:
    """Sticks that somebody holds still."""

    held: Sticks = field(default_factory=lambda: Sticks((0.1, -0.2, 0.3, -0.4) + (0.0,) * 12))

    def sticks(self, t_ns: int) -> Sticks:
        return self.held


@dataclass
class FreeAxis:
    """One rigid axis with viscous friction, driven as AxisDrive says, stepped at 0.25 ms or less."""

    inertia_kg_m2: float = 0.02
    viscous_Nm_s_rad: float = 0.02
    torque_constant_Nm_A: float = 0.2
    brake_Nm_s_rad: float = 2.0
    angle_rad: float = 0.0
    rate_rad_s: float = 0.0
    torque_Nm: float = 0.0
    fault: int = 0
    temp_degC: float = 30.0
    voltage_V: float = 24.0
    drive: AxisDrive = field(default_factory=AxisDrive)
    _t_ns: int | None = None

    def set_command(self, drive: AxisDrive, t_ns: int) -> None:
        self.advance(t_ns)
        self.drive = drive

    def state(self, t_ns: int) -> AxisState:
        self.advance(t_ns)
        return AxisState(self.angle_rad, self.rate_rad_s, self.torque_Nm, self.torque_Nm / self.torque_constant_Nm_A,
                         self.voltage_V, self.temp_degC, self.fault)  # fmt: skip

    def advance(self, t_ns: int) -> None:
        if self._t_ns is None:
            self._t_ns = t_ns
        remaining_s = (t_ns - self._t_ns) * 1e-9
        self._t_ns = max(self._t_ns, t_ns)
        if self.drive.mode == 0 and self.rate_rad_s == 0.0:
            self.torque_Nm = 0.0
            return  # at rest: nothing to step through
        while remaining_s > 1e-12:
            dt = min(remaining_s, 2.5e-4)
            self._step(dt)
            remaining_s -= dt

    def _step(self, dt: float) -> None:
        d = self.drive
        damping = self.viscous_Nm_s_rad + (self.brake_Nm_s_rad if d.mode == 4 else 0.0)
        self.torque_Nm = 0.0
        if d.mode in (1, 2, 3):
            want = d.torque_Nm + d.kd_Nm_s_rad * (d.rate_rad_s - self.rate_rad_s)
            if not math.isnan(d.angle_rad):
                want += d.kp_Nm_rad * (d.angle_rad - self.angle_rad)
            self.torque_Nm = max(-d.max_torque_Nm, min(d.max_torque_Nm, want))
        # Implicit in the damping: stable for any brake and step.
        self.rate_rad_s = (self.rate_rad_s + dt * self.torque_Nm / self.inertia_kg_m2) / (
            1 + dt * damping / self.inertia_kg_m2
        )
        self.angle_rad += dt * self.rate_rad_s


@dataclass
class StillImu:
    """Level, at rest, with white noise. Seeded."""

    gyro_noise_rad_s: float = 0.001
    accel_noise_m_s2: float = 0.02
    seed: int = 1

    def __post_init__(self) -> None:
        self._rng = np.random.default_rng(self.seed)

    def sample(self, t_ns: int) -> ImuSample:
        g = (self._rng.standard_normal(3) * self.gyro_noise_rad_s).tolist()
        a = (self._rng.standard_normal(3) * self.accel_noise_m_s2).tolist()
        return ImuSample((g[0], g[1], g[2]), (a[0], a[1], a[2] - 9.80665))


@dataclass
class StraightFlight:
    """A constant velocity over the ground from a starting place."""

    start: Fix = field(default_factory=Fix)
    t0_ns: int = 0

    def fix(self, t_ns: int) -> Fix:
        dt = (t_ns - self.t0_ns) * 1e-9
        v, s = self.start.vel_N, self.start
        lat = s.lat_deg + math.degrees(v[0] * dt / 6_378_137.0)
        lon = s.lon_deg + math.degrees(v[1] * dt / (6_378_137.0 * math.cos(math.radians(s.lat_deg))))
        return replace(s, lat_deg=lat, lon_deg=lon, height_m=s.height_m - v[2] * dt)
