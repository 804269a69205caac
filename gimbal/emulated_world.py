"""The plant as emulated devices see it: a controller's axis, an IMU, two receivers, in real time or in lock-step.

The emulators know wires, the plant knows physics; these adapters carry times, signs and places between them.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np

from firmware_bridge.emulators.physics import (
    Attitude,
    AxisDrive,
    AxisState,
    Fix,
    HeldSticks,
    ImagePoint,
    ImuSample,
    Sticks,
)
from gimbal.config.schema import Rig
from gimbal.plant.hand import hand_rate
from gimbal.plant.simulator import Plant
from gimbal.plant.state import TRUTH
from gimbal.plant.step import SLOW
from gimbal.records import JointMode
from gimbal.rig.joint_sense import simulated
from gimbal.units import DEG

ORIGIN = 46.5592, 7.8355, 1930.0  # deg, deg, m above the ellipsoid: where N lies on the earth
_A, _F = 6378137.0, 1.0 / 298.257223563
_E2 = _F * (2.0 - _F)


def driven_by(rig: Rig) -> JointMode:
    """The mode of a motor that follows the host; a board's motors follow the board, in torque."""
    if rig.inner_loop is not None:
        return JointMode.TORQUE
    return {"torque": JointMode.TORQUE, "rate": JointMode.RATE, "angle": JointMode.ANGLE}[rig.control.output]


class World:
    """One plant on the emulators' clock; ``publish`` gets a TRUTH record at every truth period, exactly on time."""

    def __init__(self, plant: Plant, truth_period_ns: int, publish: Callable[[np.ndarray], None] | None = None,
                 driven: JointMode = JointMode.TORQUE) -> None:  # fmt: skip
        """driven: the mode in which a motor follows the host; another is its controller's own."""
        self.plant, self.publish, self.driven = plant, publish, driven
        self.h_ns = int(plant.params[0]["h_ns"])
        self._h_s = self.h_ns * 1e-9
        self._period_ns = truth_period_ns
        self._next_truth_ns = plant.t_ns
        self._row = np.zeros(1, TRUTH)
        self.loops: list[Any] = []  # what runs on the plant at a cycle of its own: next_ns, service(), follows

    def publish_from(self, t_ns: int) -> None:
        """Truth at t_ns and every period from there, so that it falls on the host's ticks."""
        self._next_truth_ns = t_ns

    def advance(self, t_ns: int) -> None:
        """Bring the plant to the last substep not after t_ns."""
        while self.publish is not None and self._next_truth_ns <= t_ns:
            self._run_to(self._next_truth_ns)
            self.plant.truth_into(self._row)
            self._row["driven"] = self.follows()
            self.publish(self._row)
            self._next_truth_ns += self._period_ns
        self._run_to(t_ns)

    def follows(self) -> np.ndarray:
        """(3,) bool: the motors that follow the host's last command."""
        by_host = all(loop.follows for loop in self.loops)  # or a board that stands still by itself
        return np.asarray((self.plant.state[0]["mode"] == self.driven) & by_host)

    def meet(self, schedule: Any, key: str, at_ns: int, t_ns: int, period_ns: int, step_ns: int = 0) -> None:
        """Have the plant's next measurement at the device's next one, where that of ``at_ns`` is a step of the plant or
        more older than ``t_ns``, when the device measured."""
        step_ns = step_ns or self.h_ns
        if t_ns - at_ns >= step_ns:
            schedule[key] = t_ns + period_ns - step_ns + 1

    def _run_to(self, t_ns: int) -> None:
        for loop in self.loops:
            while loop.next_ns <= t_ns:
                self._step_to(loop.next_ns)
                loop.service()
        self._step_to(t_ns)

    def _step_to(self, t_ns: int) -> None:
        n = (t_ns - self.plant.t_ns) // self.h_ns
        if n > 0:
            self.plant.advance(n * self._h_s)


class Stage:
    """What can be wrong with one joint's power stage and sensors, whoever's they are."""

    def __init__(self) -> None:
        self.heal()

    def heal(self) -> None:
        self.fault = 0
        self.stuck = False  # the power stage ignores what it is told
        self.blocked = False  # the joint doesn't turn, whatever the motor does
        self.reversed = False  # two phase wires swapped: what is asked acts the other way
        self.temp_degC = self.bus_V = math.nan  # numbers: what the controller measures instead of the plant's
        self.spoilt = math.nan  # not NaN: the encoder reads this, rad
        self.frozen: Any = None  # what the controller measured last goes on being told

    def freeze(self, on: bool, t_ns: int) -> None:
        self.frozen = None
        self.frozen = self.state(t_ns) if on else None

    def spoil(self, value: float) -> None:
        self.spoilt = math.inf if math.isnan(value) else value  # NaN means "as it is"; neither is an angle

    def state(self, t_ns: int) -> Any:
        raise NotImplementedError


class PlantAxis(Stage):
    """A motor controller's power stage and sensors on one joint. The controller's sign and zero are the rig file's."""

    def __init__(self, world: World, rig: Rig, axis: int) -> None:
        super().__init__()
        self.world, self.axis = world, axis
        sign, zero = simulated(rig, world.plant.scenario.errors)
        self.sign, self.zero = float(sign[axis]), float(zero[axis])
        self.torque_constant = rig.motors.torque_constant_Nm_A

    def set_command(self, drive: AxisDrive, t_ns: int) -> None:
        self.world.advance(t_ns)
        if self.stuck:
            drive = AxisDrive(0)
        limit = drive.max_torque_Nm
        sign = -self.sign if self.reversed else self.sign
        torque = sign * max(-limit, min(limit, drive.torque_Nm))
        angle = 0.0 if math.isnan(drive.angle_rad) else sign * (drive.angle_rad - self.zero)
        mode = JointMode(drive.mode)
        plant = self.world.plant
        if self.blocked:
            plant.set_joint_command(self.axis, JointMode.RATE, 0.0, 0.0, 0.0)
            return
        if mode == JointMode.OFF and plant.scenario.hand != "none":
            s = plant.state[0]
            t_s = (plant.t_ns - int(plant.params[0]["t0_ns"])) * 1e-9
            rate = hand_rate(plant.scenario.hand, t_s, s["motor_angle"])[self.axis]
            plant.set_joint_command(self.axis, JointMode.RATE, 0.0, rate, 0.0)
            return
        plant.set_joint_command(self.axis, mode, torque, sign * drive.rate_rad_s, angle)

    def state(self, t_ns: int) -> AxisState:
        self.world.advance(t_ns)
        s = self.world.plant.joint_state(self.axis)
        if self.frozen is not None:
            return self.frozen
        torque = self.sign * s["torque"]
        bus_V = s["bus_V"] if math.isnan(self.bus_V) else self.bus_V
        temp_degC = s["temp_degC"] if math.isnan(self.temp_degC) else self.temp_degC
        angle = self.sign * s["angle"] + self.zero if math.isnan(self.spoilt) else self.spoilt
        return AxisState(
            angle, self.sign * s["rate"], torque, torque / self.torque_constant, bus_V, temp_degC,
            self.fault or s["fault"],
        )  # fmt: skip


class PlantImu:
    """The camera's IMU; its sampling is pulled onto the device's own schedule."""

    def __init__(self, world: World) -> None:
        self.world = world
        self.period_ns = int(world.plant.params[0]["imu_period_ns"])
        self._newest = ImuSample()
        self.heal()

    def heal(self) -> None:
        self.frozen = False
        self.offset = (0.0, 0.0, 0.0)  # rad/s, added to the gyro: NaN, beyond its range, or a bias

    def freeze(self, on: bool, t_ns: int) -> None:
        self.frozen = on

    def spoil(self, value: float) -> None:
        self.offset = (value, value, value)

    def sample(self, t_ns: int) -> ImuSample:
        self.world.advance(t_ns)
        samples = self.world.plant.imu_samples()
        if samples and not self.frozen:
            at_ns, gyro, accel, _ = samples[-1]
            temp, mag = self.world.plant.imu_surroundings()
            self._newest = ImuSample(tuple(gyro.tolist()), tuple(accel.tolist()), temp, at_ns, tuple(mag.tolist()))
            self.world.meet(self.world.plant.state[0], "imu_next_ns", at_ns, t_ns, self.period_ns)
        if self.frozen:
            return ImuSample(self._newest.gyro_rad_s, self._newest.accel_m_s2)
        if any(self.offset):
            x, y, z = (g + o for g, o in zip(self._newest.gyro_rad_s, self.offset, strict=True))
            return ImuSample((x, y, z), self._newest.accel_m_s2, t_ns=self._newest.t_ns)
        return self._newest


class PlantCarrierImu(PlantImu):
    """The carrier's IMU: the newest sample of the plant's, at most a substep before it is asked for."""

    def __init__(self, world: World) -> None:
        super().__init__(world)
        self.period_ns = int(world.plant.params[0]["carrier"]["period_ns"])

    def sample(self, t_ns: int) -> ImuSample:
        self.world.advance(t_ns)
        samples = self.world.plant.carrier_samples()
        if samples and not self.frozen:
            at_ns, gyro, accel, _ = samples[-1]
            self._newest = ImuSample(tuple(gyro.tolist()), tuple(accel.tolist()), t_ns=at_ns)
            self.world.meet(self.world.plant.state[0]["carrier"], "next_ns", at_ns, t_ns, self.period_ns)
        x, y, z = (g + o for g, o in zip(self._newest.gyro_rad_s, self.offset, strict=True))
        return ImuSample((x, y, z), self._newest.accel_m_s2, t_ns=-1 if self.frozen else self._newest.t_ns)


class PlantReceiver:
    """A GNSS receiver: the rig's own, "gnss", or the "beacon"."""

    def __init__(self, world: World, name: str) -> None:
        self.world, self.name = world, name
        self.take = getattr(world.plant, f"{name}_fix")
        self.period_ns = int(world.plant.params[0][name]["period_ns"])
        self.step_ns = SLOW * world.h_ns  # the plant measures at whole ones of its own
        self._last: Fix | None = None
        self.heal()

    def heal(self) -> None:
        self.shift_m = 0.0  # north
        self.frozen = False  # says the same place again and again
        self.fix_type = 3

    def freeze(self, on: bool, t_ns: int) -> None:
        self.frozen = on

    def spoil(self, value: float) -> None:
        """NaN: no fix; else metres north."""
        self.fix_type = 0 if math.isnan(value) else 3
        self.shift_m = 0.0 if math.isnan(value) else value

    def fix(self, t_ns: int) -> Fix | None:
        self.world.advance(t_ns)
        newest = None
        while (found := self.take(arrived=False)) is not None:
            newest = found
        if newest is None:
            return None
        # A fix that waits for its epoch would be older than its latency says.
        schedule = self.world.plant.state[0][self.name]
        self.world.meet(schedule, "next_ns", newest["t_ns"], t_ns, self.period_ns, self.step_ns)
        if self.frozen and self._last is not None:
            return replace(self._last, t_ns=newest["t_ns"])
        lat, lon, height = place_of(newest["pos_N"] + (self.shift_m, 0.0, 0.0))
        vel = newest["vel_N"]
        self._last = Fix(
            lat, lon, height, (float(vel[0]), float(vel[1]), float(vel[2])), newest["pos_std"], newest["vel_std"],
            self.fix_type, heading_rad=newest["heading"], t_ns=newest["t_ns"],
        )  # fmt: skip
        return self._last


class Teller:
    """Freezing and spoiling what a device tells, as a whole."""

    def __init__(self) -> None:
        self._last: Any = None
        self.heal()

    def heal(self) -> None:
        self.frozen = False
        self.spoilt: float | None = None  # told in place of each value

    def freeze(self, on: bool, t_ns: int) -> None:
        self.frozen = on

    def spoil(self, value: float) -> None:
        self.spoilt = value

    def _told(self, true: Any, spoilt: Callable[[float], Any]) -> Any:
        if self.frozen:
            return self._last
        self._last = true if self.spoilt is None or true is None else spoilt(self.spoilt)
        return self._last


class OperatorSticks(Teller, HeldSticks):
    """The operator's radio. NaN: what a receiver tells that has nothing, its failsafe."""

    def __init__(self) -> None:
        HeldSticks.__init__(self, Sticks())
        Teller.__init__(self)

    def sticks(self, t_ns: int) -> Sticks:
        return self._told(self.held, lambda x: replace(self.held, failsafe=True) if math.isnan(x)
                          else replace(self.held, channel=(x,) * 16))  # fmt: skip


class PlantAutopilot(Teller):
    """The carrier's autopilot, along the base's axes: the true attitude, its heading off by a constant, and noise."""

    def __init__(self, world: World, seed: int = 1) -> None:
        super().__init__()
        self.world, self.rng = world, np.random.default_rng([seed, 31])
        self.offset_rad = math.radians(2.0) * float(self.rng.normal())  # what its compass is wrong by
        self._row = np.zeros(1, TRUTH)

    def attitude(self, t_ns: int) -> Attitude:
        self.world.advance(t_ns)
        self.world.plant.truth_into(self._row)
        w, x, y, z = self._row["q_NB"][0].tolist()
        noise = math.radians(0.3) * self.rng.normal(size=3)
        roll = math.atan2(2.0 * (w * x + y * z), 1.0 - 2.0 * (x * x + y * y))
        pitch = math.asin(max(-1.0, min(1.0, 2.0 * (w * y - x * z))))
        yaw = math.atan2(2.0 * (x * y + w * z), 1.0 - 2.0 * (y * y + z * z)) + self.offset_rad
        told = (roll + noise[0], pitch + noise[1], math.remainder(yaw + noise[2], 2.0 * math.pi))
        rate_x, rate_y, rate_z = self._row["omega_NB_B"][0].tolist()
        true = Attitude((float(told[0]), float(told[1]), float(told[2])), (rate_x, rate_y, rate_z))
        return self._told(true, lambda x: Attitude((x, x, x), (x, x, x)))


class PlantImage(Teller):
    """The camera's tracker: where it sees the target, with the rig's errors; none out of frame or not detected."""

    def __init__(self, world: World, rig: Rig, seed: int = 1) -> None:
        super().__init__()
        self.world, camera = world, rig.camera
        self.angle, self.size_m, self.detected = camera.box_angle_deg * DEG, camera.box_size_m, camera.box_detected
        self.rng = np.random.default_rng([seed, 30])
        self.wide, self.high = camera.sensor_mm[0] / camera.focal_mm, camera.sensor_mm[1] / camera.focal_mm

    def image(self, t_ns: int) -> ImagePoint | None:
        return self._told(self._seen(t_ns), lambda x: ImagePoint(x, x))

    def _seen(self, t_ns: int) -> ImagePoint | None:
        self.world.advance(t_ns)
        truth = self.world.plant.truth()
        if truth.get("target_pos_N") is None:
            return None
        w, *v = (float(x) for x in truth["q_NC"])
        line = np.asarray(truth["target_pos_N"]) - np.asarray(truth["camera_pos_N"])
        u = -np.array(v)  # the conjugate turns N into camera axes
        ahead, right, down = line + 2.0 * np.cross(u, np.cross(u, line) + w * line)
        if ahead <= 0.0:
            return None
        x, y = 0.5 + right / ahead / self.wide, 0.5 + down / ahead / self.high
        if self.rng.random() > self.detected or not (0.0 <= x <= 1.0 and 0.0 <= y <= 1.0):
            return None
        dx, dy = self.rng.normal(size=2) * math.hypot(self.angle, self.size_m / float(np.linalg.norm(line)))
        return ImagePoint(min(max(x + dx / self.wide, 0.0), 1.0), min(max(y + dy / self.high, 0.0), 1.0))


def _ecef(lat_deg: float, lon_deg: float, height_m: float) -> tuple[float, float, float]:
    lat, lon = lat_deg * DEG, lon_deg * DEG
    n = _A / math.sqrt(1.0 - _E2 * math.sin(lat) ** 2)
    flat = (n + height_m) * math.cos(lat)
    return flat * math.cos(lon), flat * math.sin(lon), (n * (1.0 - _E2) + height_m) * math.sin(lat)


def place_of(pos_N: np.ndarray) -> tuple[float, float, float]:
    """Latitude, longitude (deg) and height (m) of a point in the tangent plane N at ORIGIN: through earth-centred
    coordinates, so independent of the host's small-angle formula. Bowring's latitude (Survey Review 23(181), 1976),
    exact to a nanometre near the earth."""
    lat0, lon0 = ORIGIN[0] * DEG, ORIGIN[1] * DEG
    north, east, down = (float(v) for v in pos_N)
    sl, cl, so, co = math.sin(lat0), math.cos(lat0), math.sin(lon0), math.cos(lon0)
    x0, y0, z0 = _ecef(*ORIGIN)
    x = x0 - sl * co * north - so * east - cl * co * down
    y = y0 - sl * so * north + co * east - cl * so * down
    z = z0 + cl * north - sl * down
    flat = math.hypot(x, y)
    b = _A * (1.0 - _F)
    reduced = math.atan2(z * _A, flat * b)
    lat = math.atan2(z + _E2 / (1.0 - _E2) * b * math.sin(reduced) ** 3, flat - _E2 * _A * math.cos(reduced) ** 3)
    height = flat * math.cos(lat) + z * math.sin(lat) - _A * math.sqrt(1.0 - _E2 * math.sin(lat) ** 2)
    return lat / DEG, math.atan2(y, x) / DEG, height
