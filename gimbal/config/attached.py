"""What a rig file may say of what is attached: ports, the operator's radio, the carrier's autopilot, a board."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from gimbal.config.section import Axis, Section, Vec3


class Device(Section):
    driver: str
    port: str = ""  # path by id; empty: named by --port or --emulate
    baud: Annotated[int, Field(gt=0)] = 921600
    options: dict[str, bool | int | float | str] = {}


Channel = Annotated[int, Field(ge=0, le=16)]  # of a radio, counted from 1; 0: none


class Radio(Section):
    """What the operator's radio does: sticks ask for rates, switches arm, stop and choose modes."""

    roll_channel: Channel = 0
    pitch_channel: Channel = 2
    yaw_channel: Channel = 1
    reverse: tuple[Axis, ...] = ()
    rate_deg_s: Annotated[float, Field(gt=0, le=180)] = 60.0  # at full stick
    deadband: Annotated[float, Field(ge=0.01, le=0.5)] = 0.04  # of full stick
    expo: Annotated[float, Field(ge=0, le=1)] = 0.4  # share of the cube: fine about the middle
    mode_channel: Channel = 0
    modes: tuple[Literal["off", "lock", "rate", "track", "stow", "home"], ...] = Field(
        default=("lock", "rate", "track"), min_length=2, max_length=6
    )  # from the switch's low end to its high end; sticks act in lock and rate
    arm_channel: Channel = 0  # arms when it goes up after having been down, disarms when it goes down
    stop_channel: Channel = 0  # stops when it goes up


class Autopilot(Section):
    """The carrier's autopilot, where devices has one (driver mavlink_attitude): what its attitude is worth."""

    heading_std_deg: Annotated[float, Field(gt=0, le=90)] = 5.0  # its compass's and its estimator's, 1 sigma
    mount_rpy_deg: Vec3 = (0.0, 0.0, 0.0)  # its axes in B, intrinsic Z-Y-X


class InnerLoop(Section):
    """A gimbal board that stabilises the camera itself."""

    carrier_feed: bool = True  # tell the board how its mount moves
