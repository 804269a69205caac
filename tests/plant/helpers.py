"""Rigs, motions and bare kernels for the plant's tests."""

from __future__ import annotations

import tomllib
from pathlib import Path
from typing import Any

import numba
import numpy as np

from gimbal.config.scenario import Scenario
from gimbal.config.schema import Rig
from gimbal.plant import body, motor
from gimbal.plant.motion import Motion, times
from gimbal.plant.shaping import q_euler
from gimbal.plant.simulator import Plant

ROOT = Path(__file__).resolve().parents[2]

QUIET: dict[str, Any] = {
    "friction": {"coulomb_Nm": 0, "breakaway_Nm": 0, "stribeck_rad_s": 0.05, "viscous_Nm_s_rad": 0},
    "cable": {"spring_Nm_rad": [0, 0, 0]},
    "cogging": {"periods_per_rev": [42, 84], "torque_Nm": [0, 0]},
    "motors.torque_noise_Nm_rms": 0,
    "structure.motor_inertia_share": 0,
}
PERFECT_SENSORS: dict[str, Any] = {
    "encoder": {"bits": 24, "once_per_turn_error_deg": 0, "delay_ms": 0},
    "imu.gyro_noise_deg_s_rtHz": 0,
    "imu.gyro_bias_deg_s": 0,
    "imu.gyro_in_run_deg_h": 0,
    "imu.gyro_scale": 0,
    "imu.misalignment_deg": 0,
    "imu.accel_noise_ug_rtHz": 0,
    "imu.accel_bias_mg": 0,
    "imu.accel_bias_mg_K": 0,
    "imu.accel_scale": 0,
}


def rig_config(changes: dict[str, Any] | None = None, name: str = "torque") -> Rig:
    """The rig file with dotted keys (or whole sections) replaced."""
    with open(ROOT / f"configs/rigs/{name}.toml", "rb") as f:
        data = tomllib.load(f)
    for dotted, value in (changes or {}).items():
        at = data
        *path, last = dotted.split(".")
        for key in path:
            at = at.setdefault(key, {})
        at[last] = value
    return Rig.model_validate(data)


def scenario(kind: str = "still", **more: Any) -> Scenario:
    carrier = {"kind": kind, **more.pop("carrier", {})}
    return Scenario.model_validate({"name": "test", "carrier": carrier, "seconds": 10.0, **more})


def shaken(seconds: float, strength: float = 1.0) -> Motion:
    """A base that turns and shakes about every axis, from rest tones to 7 Hz, drifting at 20 m/s."""
    t = times(seconds)
    roll = strength * (0.5 * np.sin(2.0 * t) + 0.05 * np.sin(30.0 * t + 1.0))
    pitch = strength * (0.3 * np.sin(3.1 * t + 0.5) + 0.04 * np.sin(25.0 * t))
    yaw = strength * (0.9 * t + 0.2 * np.sin(2.5 * t) + 0.03 * np.sin(44.0 * t))
    x = 20.0 * t + strength * 0.3 * np.sin(5.0 * t)
    y = strength * (0.8 * np.sin(2.0 * t) + 0.002 * np.sin(40.0 * t))
    z = strength * (0.5 * np.cos(3.0 * t) + 0.004 * np.sin(33.0 * t))
    return Motion(q_euler(roll, pitch, yaw), np.column_stack([x, y, z]))


def plant(changes: dict[str, Any] | None = None, motion: Motion | None = None, **more: Any) -> Plant:
    return Plant(rig_config(changes), scenario(), motion=motion, seconds=more.pop("seconds", 10.0), **more)


@numba.njit
def accelerations(params, state, u, ext):
    """chain and accelerate on a state whose base fields are set."""
    body.chain(params[0], state[0])
    body.accelerate(params[0], state[0], (u[0], u[1], u[2]), (ext[0], ext[1], ext[2]))


@numba.njit
def base_at(params, state, tables):
    body.evaluate_base(params[0], state[0], tables)


@numba.njit
def slide(params, state, k, rate, h, n):
    """Least, largest and last friction torque without its viscous part over n steps at a constant rate."""
    state[0]["bristle"][k] = 0.0
    low, high, last = np.inf, -np.inf, 0.0
    for _ in range(n):
        last = motor.friction_torque(params[0], state[0], k, rate, h) - params[0]["viscous"] * rate
        low, high = min(low, last), max(high, last)
    return low, high, last


@numba.njit
def sweep(params, state, k, angles, h, out):
    """Load torque on joint k's motor side while it is led through the angles, h apart."""
    s = state[0]
    for i in range(angles.size):
        s["motor_rate"][k] = (angles[i] - s["motor_angle"][k]) / h
        s["motor_angle"][k] = angles[i]
        out[i] = motor.load_torque(params[0], s, k)
    return out
