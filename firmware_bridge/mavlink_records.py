"""What passes between the daemon and its MAVLink face: what is measured, what is wanted, what does not change."""

from __future__ import annotations

import math
from dataclasses import dataclass

from firmware_bridge.angles import Quat, Vec3
from firmware_bridge.mavlink_frames import mavlink

_WGS84_A, _WGS84_E2 = 6378137.0, 6.69437999014e-3


@dataclass(frozen=True)
class GimbalView:
    """What is measured now. N without a heading reference has a free heading; heading_rad is then against it too."""

    t_ns: int
    q_NC: Quat
    rate_C: Vec3 = (0.0, 0.0, 0.0)
    heading_rad: float = 0.0  # of the carrier
    heading_rate_rad_s: float = 0.0
    heading_valid: bool = True
    armed: bool = True
    failure: int = 0  # GIMBAL_DEVICE_ERROR_FLAGS
    place: tuple[float, float, float] | None = None  # of the camera: latitude, longitude deg, m above the sea


@dataclass(frozen=True)
class Request:
    """What a controller wants. verb: "rate" (rate_C), "attitude" (q in yaw_frame), "point" (to_N), "neutral",
    "retract". owner: system * 256 + component."""

    owner: int
    verb: str
    t_ns: int
    rate_C: Vec3 = (0.0, 0.0, 0.0)
    q: Quat = (1.0, 0.0, 0.0, 0.0)
    yaw_frame: str = "earth"  # "vehicle": yaw against the carrier's heading, to be followed
    to_N: Vec3 = (0.0, 0.0, 0.0)  # m, from the camera to the place, north east down


@dataclass(frozen=True)
class GimbalFacts:
    """What does not change. Limits in rad; yaw against the carrier."""

    vendor: str = "gimbal-host"
    model: str = "three axes"
    firmware: tuple[int, int, int, int] = (0, 1, 0, 0)
    uid: int = 0
    roll_limits: tuple[float, float] = (-math.pi / 4, math.pi / 4)
    pitch_limits: tuple[float, float] = (-math.pi / 2, math.pi / 2)
    yaw_limits: tuple[float, float] = (-math.pi, math.pi)
    infinite_yaw: bool = True
    max_rate_rad_s: float = math.pi  # what a full stick of MANUAL_CONTROL is worth

    @property
    def capabilities(self) -> int:
        caps = mavlink
        flags = (caps.GIMBAL_MANAGER_CAP_FLAGS_HAS_RETRACT | caps.GIMBAL_MANAGER_CAP_FLAGS_HAS_NEUTRAL
                 | caps.GIMBAL_MANAGER_CAP_FLAGS_HAS_ROLL_AXIS | caps.GIMBAL_MANAGER_CAP_FLAGS_HAS_ROLL_LOCK
                 | caps.GIMBAL_MANAGER_CAP_FLAGS_HAS_PITCH_AXIS | caps.GIMBAL_MANAGER_CAP_FLAGS_HAS_PITCH_LOCK
                 | caps.GIMBAL_MANAGER_CAP_FLAGS_HAS_YAW_AXIS | caps.GIMBAL_MANAGER_CAP_FLAGS_HAS_YAW_FOLLOW
                 | caps.GIMBAL_MANAGER_CAP_FLAGS_HAS_YAW_LOCK
                 | caps.GIMBAL_MANAGER_CAP_FLAGS_SUPPORTS_YAW_IN_EARTH_FRAME)  # fmt: skip
        return flags | (caps.GIMBAL_MANAGER_CAP_FLAGS_SUPPORTS_INFINITE_YAW if self.infinite_yaw else 0)


@dataclass
class Every:
    """A message that goes out on its own."""

    period_ns: int
    next_ns: int = 0

    def due(self, now_ns: int) -> bool:
        if now_ns < self.next_ns:
            return False
        self.next_ns += self.period_ns
        if self.next_ns <= now_ns:  # late by whole periods: they are skipped, not made up for
            self.next_ns = now_ns + self.period_ns
        return True


def north_east_down(here: tuple[float, float, float], there: tuple[float, float, float]) -> Vec3:
    """Vector in m between two places (latitude, longitude deg, height m), in north east down at ``here`` (WGS 84)."""
    a, b = _ecef(here), _ecef(there)
    x, y, z = (q - p for p, q in zip(a, b))
    lat, lon = math.radians(here[0]), math.radians(here[1])
    along = math.cos(lon) * x + math.sin(lon) * y
    return (
        -math.sin(lat) * along + math.cos(lat) * z,
        -math.sin(lon) * x + math.cos(lon) * y,
        -math.cos(lat) * along - math.sin(lat) * z,
    )


def _ecef(place: tuple[float, float, float]) -> Vec3:
    lat, lon, height = math.radians(place[0]), math.radians(place[1]), place[2]
    n = _WGS84_A / math.sqrt(1 - _WGS84_E2 * math.sin(lat) ** 2)
    return (
        (n + height) * math.cos(lat) * math.cos(lon),
        (n + height) * math.cos(lat) * math.sin(lon),
        (n * (1 - _WGS84_E2) + height) * math.sin(lat),
    )
