"""A gimbal board on the plant: its own IMU, attitude and inner loop, driving the joints' motors.

What such boards do, and no better: an attitude whose heading drifts and whose level is a little off, angle loop and
rate loop about the camera's axes, a notch at each joint's flexible mode, torque by the joints' inertias, nothing fed
forward. Its kinematics are its own, so a sign error of the controller's shows.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from firmware_bridge.emulators.gimbal_physics import ANGLE, SPEED, AngleCommand, GimbalState
from gimbal.config.schema import Rig
from gimbal.emulated_world import Stage, World
from gimbal.frames import AXES
from gimbal.kernels.filters import lowpass_coefficients, notch_coefficients
from gimbal.plant.state import TRUTH
from gimbal.records import JointMode

CYCLE_S = {"sbgc": 0.00075, "storm32": 0.0015, "mavlink_gimbal": 0.001}  # of the plant's 0.25 ms steps
ANGLE_LOOP_1_S, RATE_LOOP_1_S, INTEGRAL_1_S = 10.0, 45.0, 8.0  # rad/s per rad, rad/s² per rad/s, 1/s
FASTEST_RAD_S = 4.0  # on the way to an angle
STANDS_NS = 100_000_000  # an angle that has not changed for so long is a camera that stands still
LEASH_RAD = 0.3  # the board's target is never further than this from where the camera is
GYRO_NOISE_RAD_S = 0.0015
LEVEL_OFF_RAD, HEADING_START_RAD, HEADING_DRIFT_RAD_S = 0.004, 0.6, 0.0005

Vec = tuple[float, float, float]
Quat = tuple[float, float, float, float]


class PlantBoard:
    """GimbalPhysics on one plant. ``world`` runs ``service`` at the board's own cycle."""

    def __init__(self, world: World, rig: Rig, driver: str, seed: int = 1) -> None:
        self.world = world
        self.period_ns = round(1e9 * CYCLE_S[driver])
        self.next_ns = world.plant.t_ns
        self._order = [AXES.index(axis) for axis in rig.kinematic_order]
        self._inertia = world.plant.params[0]["joint_inertia"].tolist()
        self._limit = min(rig.limits.max_torque_Nm, rig.motors.peak_A * rig.motors.torque_constant_Nm_A)
        rate_hz = 1.0 / CYCLE_S[driver]
        modes = rig.structure.mode_hz
        self._shape = [
            (_Biquad(notch_coefficients(hz, rate_hz, 0.5 * hz, 0.05)), _Biquad(lowpass_coefficients(90.0, rate_hz)))
            for hz in modes
        ]
        self._rng = np.random.default_rng(seed)
        self._row = np.zeros(1, TRUTH)
        self._t0_ns = self.next_ns
        self.commands: tuple[AngleCommand, AngleCommand, AngleCommand] | None = None
        self.stages = [Stage(), Stage(), Stage()]  # what is wrong with the motors; the attitude is the first one's
        self._asked_ns = 0  # when it was last asked for something else
        self.frozen: GimbalState | None = None
        self.spoilt: float | None = None
        self._target = [0.0, 0.0, 0.0]  # roll, pitch, yaw in the board's frame
        self._integral = [0.0, 0.0, 0.0]
        self._power = (0.0, 0.0, 0.0)
        self._sense()
        world.loops.append(self)

    # The board's emulator asks and tells.

    def drive(self, commands: tuple[AngleCommand, AngleCommand, AngleCommand] | None, t_ns: int) -> None:
        self.world.advance(t_ns)
        if commands != self.commands:
            self._asked_ns = t_ns
        if commands is not None and self.commands is None:
            self._target = list(self._euler)
            self._integral = [0.0, 0.0, 0.0]
        self.commands = None if self._fault() else commands

    @property
    def follows(self) -> bool:
        """Its motors are on and it is moved by the host: a rate, or angles that still come."""
        if self.commands is None:
            return False
        fresh = self.world.plant.t_ns - self._asked_ns < STANDS_NS
        return any((c.kind == SPEED and c.rate_rad_s != 0.0) or (c.kind == ANGLE and fresh) for c in self.commands)

    def _fault(self) -> int:
        return max(stage.fault for stage in self.stages)

    def heal(self) -> None:
        self.frozen = self.spoilt = None
        for stage in self.stages:
            stage.heal()

    def freeze(self, on: bool, t_ns: int) -> None:
        self.frozen = None
        self.frozen = self.state(t_ns) if on else None

    def spoil(self, value: float) -> None:
        self.spoilt = value

    def state(self, t_ns: int) -> GimbalState:
        self.world.advance(t_ns)
        if self.frozen is not None:
            return self.frozen
        self._sense()
        joint = self._row[0]["joint_angle"]
        angles = (float(joint[0]), float(joint[1]), float(joint[2]))
        euler, rate = self._euler, self._rate
        if self.spoilt is not None:
            euler = rate = angles = (self.spoilt, self.spoilt, self.spoilt)
        motor = self.world.plant.joint_state(0)
        volts = next((stage.bus_V for stage in self.stages if not math.isnan(stage.bus_V)), motor["bus_V"])
        hot = next((stage.temp_degC for stage in self.stages if not math.isnan(stage.temp_degC)), motor["temp_degC"])
        return GimbalState(
            euler, rate, angles, self._power, volts, 1.0, hot, self._fault() or motor["fault"], self._euler
        )

    # Its own cycle.

    def _sense(self) -> None:
        """Attitude in the board's frame, and rates, as its sensors and filter have them."""
        self.world.plant.truth_into(self._row)
        row = self._row[0]
        age_s = 1e-9 * (int(row["t_ns"]) - self._t0_ns)
        heading = 0.5 * (HEADING_START_RAD + HEADING_DRIFT_RAD_S * age_s)
        frame = _multiply((math.cos(heading), 0.0, 0.0, math.sin(heading)), (1.0, LEVEL_OFF_RAD, -LEVEL_OFF_RAD, 0.0))
        q = _unit(_multiply(frame, tuple(row["q_NC"].tolist())))
        self._q, self._euler = q, _euler(q)
        noise = self._rng.standard_normal(3) * GYRO_NOISE_RAD_S
        self._rate: Vec = tuple((row["omega_NC_C"] + noise).tolist())

    def service(self) -> None:
        """One cycle of the inner loop."""
        self.next_ns += self.period_ns
        plant = self.world.plant
        if self.commands is None or self._fault():
            if self._power != (0.0, 0.0, 0.0):
                self._power = (0.0, 0.0, 0.0)
                for axis in range(3):
                    plant.set_joint_command(axis, JointMode.OFF)
            return
        self._sense()
        dt = 1e-9 * self.period_ns
        turning = [self._move_target(axis, command, dt) for axis, command in enumerate(self.commands)]
        error = _rotation_vector(_multiply(_conjugate(self._q), _quat(self._target)))
        wanted = _body_rates(self._euler, turning)
        demand = []
        for i in range(3):
            off = wanted[i] + ANGLE_LOOP_1_S * error[i] - self._rate[i]
            self._integral[i] = max(-40.0, min(40.0, self._integral[i] + RATE_LOOP_1_S * INTEGRAL_1_S * off * dt))
            demand.append(RATE_LOOP_1_S * off + self._integral[i])
        self._torque(demand)

    def _move_target(self, axis: int, command: AngleCommand, dt: float) -> float:
        """The target's own rate, after moving it on."""
        target, here = self._target[axis], self._euler[axis]
        rate, sign = 0.0, -1.0 if self.stages[axis].reversed else 1.0
        if command.kind == SPEED:
            rate = sign * command.rate_rad_s
        elif command.kind == ANGLE:
            fastest = min(abs(command.rate_rad_s) or FASTEST_RAD_S, FASTEST_RAD_S)
            way = sign * command.angle_rad - target
            way -= 2.0 * math.pi * round(way / (2.0 * math.pi))
            rate = max(-fastest, min(fastest, way / max(dt, 0.010)))
        ahead = target + rate * dt - here
        ahead -= 2.0 * math.pi * round(ahead / (2.0 * math.pi))
        self._target[axis] = here + max(-LEASH_RAD, min(LEASH_RAD, ahead))
        if axis == 1:
            self._target[1] = max(-1.5, min(1.5, self._target[1]))
        return rate

    def _torque(self, demand_C: list[float]) -> None:
        """Joint torques for an angular acceleration of the camera."""
        angle = self._row[0]["joint_angle"].tolist()
        axes, q = {}, (1.0, 0.0, 0.0, 0.0)
        for a in reversed(self._order):  # from the camera outwards: joint axes in camera axes
            axes[a] = _rotate(_conjugate(q), tuple(1.0 if i == a else 0.0 for i in range(3)))
            q = _multiply(_about(a, angle[a]), q)
        J = np.array([axes[a] for a in range(3)]).T
        joint = np.linalg.solve(J.T @ J + 0.02 * np.eye(3), J.T @ np.array(demand_C))
        power = []
        for a in range(3):
            torque = self._inertia[a] * float(joint[a])
            for section in self._shape[a]:
                torque = section(torque)
            torque = 0.0 if self.stages[a].stuck else max(-self._limit, min(self._limit, torque))
            self.world.plant.set_joint_command(a, JointMode.TORQUE, torque)
            power.append(max(0.001, abs(torque) / self._limit))
        self._power = (power[0], power[1], power[2])


class _Biquad:
    def __init__(self, coefficients: Any) -> None:
        self.b0, self.b1, self.b2, self.a1, self.a2 = (float(c) for c in coefficients)
        self.s1 = self.s2 = 0.0

    def __call__(self, x: float) -> float:
        y = self.b0 * x + self.s1
        self.s1 = self.b1 * x - self.a1 * y + self.s2
        self.s2 = self.b2 * x - self.a2 * y
        return y


def _multiply(a: Any, b: Any) -> Quat:
    aw, ax, ay, az = a
    bw, bx, by, bz = b
    return (aw * bw - ax * bx - ay * by - az * bz, aw * bx + ax * bw + ay * bz - az * by,
            aw * by - ax * bz + ay * bw + az * bx, aw * bz + ax * by - ay * bx + az * bw)  # fmt: skip


def _conjugate(q: Any) -> Quat:
    return q[0], -q[1], -q[2], -q[3]


def _unit(q: Quat) -> Quat:
    n = 1.0 / math.sqrt(q[0] * q[0] + q[1] * q[1] + q[2] * q[2] + q[3] * q[3])
    return q[0] * n, q[1] * n, q[2] * n, q[3] * n


def _rotate(q: Any, v: Any) -> Vec:
    _, x, y, z = _multiply(_multiply(q, (0.0, *v)), _conjugate(q))
    return x, y, z


def _about(axis: int, angle: float) -> Quat:
    half = [0.0, 0.0, 0.0]
    half[axis] = math.sin(0.5 * angle)
    return math.cos(0.5 * angle), half[0], half[1], half[2]


def _quat(euler: list[float]) -> Quat:
    roll, pitch, yaw = euler
    return _multiply(_multiply(_about(2, yaw), _about(1, pitch)), _about(0, roll))


def _euler(q: Quat) -> Vec:
    """Roll, pitch, yaw, intrinsic Z-Y-X."""
    w, x, y, z = q
    roll = math.atan2(2.0 * (y * z + w * x), w * w - x * x - y * y + z * z)
    yaw = math.atan2(2.0 * (x * y + w * z), w * w + x * x - y * y - z * z)
    return roll, math.asin(max(-1.0, min(1.0, 2.0 * (w * y - x * z)))), yaw


def _rotation_vector(q: Quat) -> Vec:
    if q[0] < 0.0:
        q = (-q[0], -q[1], -q[2], -q[3])
    s = math.sqrt(q[1] * q[1] + q[2] * q[2] + q[3] * q[3])
    k = 2.0 if s < 1e-9 else 2.0 * math.atan2(s, q[0]) / s
    return k * q[1], k * q[2], k * q[3]


def _body_rates(euler: Vec, rates: list[float]) -> Vec:
    """Rates about the camera's axes for rates of roll, pitch, yaw."""
    sr, cr, sp, cp = math.sin(euler[0]), math.cos(euler[0]), math.sin(euler[1]), math.cos(euler[1])
    return (rates[0] - sp * rates[2], cr * rates[1] + sr * cp * rates[2], -sr * rates[1] + cr * cp * rates[2])
