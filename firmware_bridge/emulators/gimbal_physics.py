"""What an emulated gimbal board needs to know of the world, and a small world for tests. SI, rad, roll pitch yaw.

The board's inner loop is part of the physics here: it is told what to hold for each angle and does so.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Protocol

import numpy as np

HOLD, SPEED, ANGLE = 0, 1, 2


@dataclass
class AngleCommand:
    """For one of roll, pitch, yaw (intrinsic Z-Y-X against the level earth): hold it, turn it, or bring it there."""

    kind: int = HOLD
    rate_rad_s: float = 0.0  # SPEED: the rate; ANGLE: the fastest on the way
    angle_rad: float = 0.0


@dataclass
class GimbalState:
    """What the board's sensors see."""

    euler_rad: tuple[float, float, float] = (0.0, 0.0, 0.0)
    rate_C: tuple[float, float, float] = (0.0, 0.0, 0.0)
    joint_rad: tuple[float, float, float] = (0.0, 0.0, 0.0)
    power: tuple[float, float, float] = (0.0, 0.0, 0.0)
    voltage_V: float = 15.0
    current_A: float = 0.5
    temp_degC: float = 30.0
    fault: int = 0
    inner_rad: tuple[float, float, float] | None = None  # what its own loops go by, where it tells something else


class GimbalPhysics(Protocol):
    def drive(self, commands: tuple[AngleCommand, AngleCommand, AngleCommand] | None, t_ns: int) -> None:
        """From t_ns on the inner loop does this; None: motors off."""

    def state(self, t_ns: int) -> GimbalState:
        """As seen at t_ns."""


def rotation(euler: tuple[float, float, float]) -> np.ndarray:
    """Matrix (3, 3) that takes camera axes to the level earth's."""
    (cr, cp, cy), (sr, sp, sy) = np.cos(euler), np.sin(euler)
    return np.array([
        [cy * cp, cy * sp * sr - sy * cr, cy * sp * cr + sy * sr],
        [sy * cp, sy * sp * sr + cy * cr, sy * sp * cr - cy * sr],
        [-sp, cp * sr, cp * cr],
    ])  # fmt: skip


@dataclass
class FreeGimbal:
    """An inner loop that follows its commands with a first-order lag, on a mount whose attitude is given.

    base(t_ns): the mount's roll, pitch, yaw. Motors off: the camera stays as it is against the earth.
    """

    lag_s: float = 0.02
    stiffness_1_s: float = 10.0
    pitch_limit_rad: float = math.radians(89.0)
    base: Callable[[int], tuple[float, float, float]] = lambda t_ns: (0.0, 0.0, 0.0)
    euler_rad: list[float] = field(default_factory=lambda: [0.0, 0.0, 0.0])
    rates: list[float] = field(default_factory=lambda: [0.0, 0.0, 0.0])
    commands: tuple[AngleCommand, AngleCommand, AngleCommand] | None = None
    fault: int = 0
    _t_ns: int | None = None

    def drive(self, commands: tuple[AngleCommand, AngleCommand, AngleCommand] | None, t_ns: int) -> None:
        self.advance(t_ns)
        self.commands = None if self.fault else commands

    def state(self, t_ns: int) -> GimbalState:
        self.advance(t_ns)
        if self.fault:
            self.commands = None
        roll, pitch, yaw = self.euler_rad
        r, p, y = self.rates
        rate_C = (
            r - y * math.sin(pitch),
            p * math.cos(roll) + y * math.sin(roll) * math.cos(pitch),
            -p * math.sin(roll) + y * math.cos(roll) * math.cos(pitch),
        )
        power = (0.0, 0.0, 0.0) if self.commands is None else (0.2, 0.3, 0.1)
        return GimbalState((roll, pitch, yaw), rate_C, self._joints(t_ns), power, fault=self.fault)

    def _joints(self, t_ns: int) -> tuple[float, float, float]:
        # R_BC = Rz(yaw) Rx(roll) Ry(pitch)
        m = rotation(self.base(t_ns)).T @ rotation((self.euler_rad[0], self.euler_rad[1], self.euler_rad[2]))
        return (
            math.asin(max(-1.0, min(1.0, m[2, 1]))),
            math.atan2(-m[2, 0], m[2, 2]),
            math.atan2(-m[0, 1], m[1, 1]),
        )

    def advance(self, t_ns: int) -> None:
        if self._t_ns is None:
            self._t_ns = t_ns
        remaining_s = (t_ns - self._t_ns) * 1e-9
        self._t_ns = max(self._t_ns, t_ns)
        if remaining_s > 5.0 and self.commands is None:
            return
        while remaining_s > 1e-12:
            dt = min(remaining_s, 2e-3)
            for axis in range(3):
                self._step(axis, dt)
            remaining_s -= dt

    def _step(self, axis: int, dt: float) -> None:
        command = AngleCommand() if self.commands is None else self.commands[axis]
        want = 0.0
        if command.kind == SPEED:
            want = command.rate_rad_s
        elif command.kind == ANGLE:
            error = command.angle_rad - self.euler_rad[axis]
            if axis != 1:
                error -= 2 * math.pi * math.floor(error / (2 * math.pi) + 0.5)
            limit = abs(command.rate_rad_s) or math.inf
            want = max(-limit, min(limit, self.stiffness_1_s * error))
        self.rates[axis] += (want - self.rates[axis]) * (1 - math.exp(-dt / self.lag_s))
        angle = self.euler_rad[axis] + dt * self.rates[axis]
        if axis == 1:
            if abs(angle) > self.pitch_limit_rad:
                angle, self.rates[axis] = math.copysign(self.pitch_limit_rad, angle), 0.0
        else:
            angle -= 2 * math.pi * math.floor(angle / (2 * math.pi) + 0.5)
        self.euler_rad[axis] = angle


def angles_of(q: tuple[float, ...]) -> tuple[float, float, float] | None:
    """Roll, pitch, yaw (intrinsic Z-Y-X) of a quaternion on the wire, which need not be quite of length one; None when
    it is none."""
    w, x, y, z = q
    n = w * w + x * x + y * y + z * z
    if not 0.25 < n < 4.0:
        return None
    # From the matrix's elements, scaled by n: R20 = -sin(pitch), R21, R22, R10, R00.
    roll = math.atan2(2 * (y * z + w * x), w * w - x * x - y * y + z * z)
    yaw = math.atan2(2 * (x * y + w * z), w * w + x * x - y * y - z * z)
    return roll, math.asin(max(-1.0, min(1.0, 2 * (w * y - x * z) / n))), yaw
