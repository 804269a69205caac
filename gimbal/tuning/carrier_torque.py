"""What a carrier asks of the joints while the camera is held perfectly on its setpoint, and what of it can be foreseen.

Inverse dynamics by constraint: the camera does not turn, so the joints' angles follow from the base's motion and every
stage's acceleration from them (Newton-Euler, J. Y. S. Luh, M. W. Walker, R. P. C. Paul, J. Dyn. Sys. Meas. Control
102(2), 1980). Friction (LuGre), cable, cogging and wind are added as the rig's config has them. What sensors foresee is
a Wiener filter, found by least squares, from the same torques computed with what the sensors read, through the delay.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
from scipy import fft
from scipy.interpolate import make_interp_spline
from scipy.spatial.transform import Rotation

from gimbal.config.scenario import Scenario
from gimbal.config.schema import Rig
from gimbal.frames import AXES, AXIS_INDEX
from gimbal.units import DEG, G0

Array = np.ndarray
RATE_HZ = 1000.0  # of all signals here
TAPS_MS = (0, 1, 2, 4, 7, 12, 20, 35, 60)
RATE_CORNERS_HZ = (60.0, 15.0)  # encoders smoothed twice: near the noise, and well under it
HYSTERESIS_NM_RAD = 0.5


@dataclass(frozen=True)
class Carried:
    """A carrier's motion with the camera still, sampled at RATE_HZ; vectors in camera axes C, joints by axis index."""

    angle: Array  # (n, 3) rad
    force: Array  # (n, 3) specific force at the camera stage's origin, m/s²
    wind: Array  # (n, 3) N m on the stages


def _slope(x: Array, order: int = 1) -> Array:
    """Derivative along the first axis by a quintic spline."""
    return make_interp_spline(np.arange(len(x)) / RATE_HZ, x, k=5).derivative(order)(np.arange(len(x)) / RATE_HZ)


def _turns(rig: Rig, angle: Array) -> list[Rotation]:
    """R_BS of every stage, outer to inner."""
    out, R = [], Rotation.identity()
    for name in rig.kinematic_order:
        k = AXIS_INDEX[name]
        R = R * Rotation.from_rotvec(angle[:, k : k + 1] * np.eye(3)[k])
        out.append(R)
    return out


def carry(rig: Rig, scenario: Scenario, seconds: float, seed: int) -> Carried:
    """The carrier's motion under a camera held level on the heading it starts with."""
    from gimbal.plant.base_motion import make
    from gimbal.plant.spline import PAD

    motion = make(scenario, seed, seconds)
    n = round(seconds * RATE_HZ)
    at = PAD / motion.rate_hz + np.arange(n) / RATE_HZ
    grid = np.arange(len(motion.q_NB)) / motion.rate_hz
    q = make_interp_spline(grid, motion.q_NB, k=5)(at)
    place = make_interp_spline(grid, motion.pos_N, k=5)
    R_NB = Rotation.from_quat(q, scalar_first=True)
    nose = R_NB[0].apply([1.0, 0.0, 0.0])
    R_NC = Rotation.from_rotvec([0.0, 0.0, math.atan2(nose[1], nose[0])])
    letters = "".join("XYZ"[AXIS_INDEX[a]] for a in rig.kinematic_order)
    turns = np.unwrap((R_NB.inv() * R_NC).as_euler(letters), axis=0)
    angle = np.zeros((n, 3))
    for i, name in enumerate(rig.kinematic_order):
        angle[:, AXIS_INDEX[name]] = turns[:, i]
    reach = np.zeros((n, 3))  # base origin to camera stage's origin, in B
    before = Rotation.identity()
    for name, R in zip(rig.kinematic_order, _turns(rig, angle), strict=True):
        reach = reach + before.apply(np.array(getattr(rig.body, name).origin_m))
        before = R
    down = np.array([0.0, 0.0, rig.estimation.gravity_m_s2])
    force_N = place.derivative(2)(at) + _slope(R_NB.apply(reach), 2) - down
    wind = np.zeros((n, 3))
    if motion.wind_Nm is not None:
        steps = np.arange(len(motion.wind_Nm)) / motion.wind_rate_hz - PAD / motion.wind_rate_hz
        wind = make_interp_spline(steps, motion.wind_Nm, k=5)(np.arange(n) / RATE_HZ)
    return Carried(angle, R_NC.inv().apply(force_N), wind)


def chain_torque(rig: Rig, angle: Array, force: Array) -> tuple[Array, Array]:
    """(n, 3) joint torques that keep the camera still, and (n, 3, 3) joint axes in C as columns.

    Args:
        angle: joints, rad, by axis index. force: specific force at the camera stage's origin, in C, m/s².
    """
    turns = _turns(rig, angle)
    into_C = turns[-1].inv()
    names = rig.kinematic_order
    stages = [into_C * R for R in turns]  # R_CS
    axes = np.zeros((len(angle), 3, 3))
    origins: list[Any] = [np.zeros((len(angle), 3))] * 3  # from the camera stage's origin
    for i in range(2, -1, -1):
        k = AXIS_INDEX[names[i]]
        axes[:, :, k] = stages[i].apply(np.eye(3)[k])
        if i < 2:
            origins[i] = origins[i + 1] - stages[i].apply(np.array(getattr(rig.body, names[i + 1]).origin_m))
    torque = np.zeros((len(angle), 3))
    for i, name in enumerate(names):
        body = getattr(rig.body, name)
        centre = origins[i] + stages[i].apply(np.array(body.com_m))
        push = body.mass_kg * (force + (_slope(centre, 2) if i < 2 else 0.0))
        R = stages[i].as_matrix()
        spin = np.zeros((len(angle), 3))
        if i < 2:
            Rt = np.swapaxes(R, 1, 2) @ _slope(R.reshape(-1, 9)).reshape(-1, 3, 3)
            w = 0.5 * np.stack([Rt[:, 2, 1] - Rt[:, 1, 2], Rt[:, 0, 2] - Rt[:, 2, 0], Rt[:, 1, 0] - Rt[:, 0, 1]], -1)
            inertia = np.array(body.inertia_kg_m2)
            spin = stages[i].apply(inertia * _slope(w) + np.cross(w, inertia * w))
        for j in range(i + 1):
            k = AXIS_INDEX[names[j]]
            moment = np.cross(centre - origins[j], push) + spin
            torque[:, k] += np.sum(axes[:, :, k] * moment, axis=1)
    return torque, axes


def friction(rig: Rig, rate: Array, angle: Array) -> Array:
    """(n, 3) torque that overcomes friction, cable and its hysteresis at joint rates and angles (n, 3)."""
    f, spring = rig.friction, rig.cable.spring_Nm_rad
    out = np.empty_like(rate)
    h = 1.0 / RATE_HZ
    extra = f.breakaway_Nm - f.coulomb_Nm
    for k, name in enumerate(AXES):
        joint = getattr(rig.joints, name)
        middle = 0.0 if joint.continuous else 0.5 * (joint.min_deg + joint.max_deg) * DEG
        z = slip = 0.0
        grip = rig.cable.hysteresis_Nm if spring[k] > 0.0 else 0.0
        result = []
        for v in rate[:, k].tolist():
            level = f.coulomb_Nm + extra * math.exp(-((v / f.stribeck_rad_s) ** 2)) if extra + f.coulomb_Nm > 0 else 0.0
            after = (z + h * v) / (1.0 + h * f.bristle_Nm_rad * abs(v) / level) if level > 0.0 else 0.0
            slip = min(max(slip + HYSTERESIS_NM_RAD * v * h, -grip), grip)
            bristle = f.bristle_Nm_rad * after + f.bristle_damping_Nm_s_rad * (after - z) / h if level > 0.0 else 0.0
            result.append(bristle + f.viscous_Nm_s_rad * v + slip)
            z = after
        out[:, k] = np.array(result) + spring[k] * (angle[:, k] - middle)
    return out


def _through(x: Array, response: Any) -> Array:
    """Columns of x through a frequency response of f (Hz); the ends are padded with their values."""
    pad = 2048
    y = np.pad(x, ((pad, pad), (0, 0)), mode="edge")
    f = fft.rfftfreq(len(y), 1.0 / RATE_HZ)
    return fft.irfft(fft.rfft(y, axis=0) * response(f)[:, None], len(y), axis=0)[pad : pad + len(x)]


def _second_order(corner_hz: float, delay_s: float = 0.0) -> Any:
    def response(f: Array) -> Array:
        s = 1j * f / corner_hz
        return np.exp(-2j * np.pi * f * delay_s) / (1.0 + math.sqrt(2.0) * s + s * s)

    return response


def _in_camera(rig: Rig, torque: Array, axes: Array, angle: Array) -> Array:
    """Joint torques (n, 3) as torques about camera axes that an axis of the zero pose's inertia meets alone."""
    from gimbal.tuning.model import mass_matrix

    coarse = slice(None, None, 20)  # the mass matrix changes slowly
    M = np.array([mass_matrix(rig, q) for q in angle[coarse]])
    inverse = np.repeat(np.linalg.inv(M), 20, axis=0)[: len(angle)]
    inertia = np.diag(mass_matrix(rig, np.zeros(3)))
    return np.einsum("nij,njk,nk->ni", axes, inverse, torque) * inertia


def disturbance(rig: Rig, c: Carried, seed: int) -> tuple[Array, Array]:
    """Torque about camera axes (n, 3), N m: the whole that acts on the camera, and what no sensor foresees of it."""
    rng = np.random.default_rng([seed, 77])
    torque, axes = chain_torque(rig, c.angle, c.force)
    need = torque + friction(rig, _slope(c.angle), c.angle) - c.wind
    phase = rng.uniform(0.0, 2.0 * np.pi, (3, 2))
    for n, (periods, size) in enumerate(zip(rig.cogging.periods_per_rev, rig.cogging.torque_Nm, strict=True)):
        need = need - size * np.sin(periods * c.angle + phase[:, n])
    whole = -_in_camera(rig, need, axes, c.angle)
    # what the sensors read
    force = _through(c.force, _second_order(rig.imu.bandwidth_hz))
    noise = rig.imu.accel_noise_ug_rtHz * 1e-6 * G0 * math.sqrt(0.5 * RATE_HZ)
    force = force * (1.0 + rig.imu.accel_scale * rng.normal(size=3)) + rig.imu.accel_bias_mg * 1e-3 * G0 * rng.normal(
        size=3
    )
    force = force + noise * rng.normal(size=force.shape)
    step = 2.0 * np.pi / 2**rig.encoder.bits
    read = c.angle + rig.encoder.once_per_turn_error_deg * DEG * np.sin(c.angle + rng.uniform(0, 2 * np.pi, 3))
    read = step * np.floor(read / step + 0.5)
    causes = []
    still = np.zeros_like(c.angle)
    for corner in RATE_CORNERS_HZ:
        seen = _through(read, _second_order(corner, rig.encoder.delay_ms * 1e-3))
        causes.append(_in_camera(rig, chain_torque(rig, seen, still)[0], axes, c.angle))
        causes.append(_in_camera(rig, friction(rig, _slope(seen), seen), axes, c.angle))
    imbalance = chain_torque(rig, c.angle, force)[0] - chain_torque(rig, c.angle, still)[0]
    causes.append(_in_camera(rig, imbalance, axes, c.angle))
    seen = _through(read, _second_order(RATE_CORNERS_HZ[0], rig.encoder.delay_ms * 1e-3))
    for periods in rig.cogging.periods_per_rev:
        causes += [np.sin(periods * seen), np.cos(periods * seen)]
    return whole, whole - foreseen(rig, whole, np.hstack(causes))


def foreseen(rig: Rig, whole: Array, causes: Array) -> Array:
    """Part (n, 3) of ``whole`` that torques made of ``causes`` (n, m), late and through the torque loop, can cancel."""
    late = rig.delay.sample_to_torque_ms * 1e-3 + 0.5 / rig.loop_rate_hz

    def actuator(f: Array) -> Array:
        return np.exp(-2j * np.pi * f * late) / (1.0 + 1j * f / rig.motors.torque_bandwidth_hz)

    acted = _through(causes - causes.mean(0), actuator)
    columns = [np.roll(acted, ms, axis=0) for ms in TAPS_MS]
    X = np.hstack(columns)
    X[: max(TAPS_MS)] = 0.0
    X = X / (X.std(0) + 1e-12)
    level = whole - whole.mean(0)
    gram = X.T @ X + 1e-6 * len(X) * np.eye(X.shape[1])
    return X @ np.linalg.solve(gram, X.T @ level) + whole.mean(0)
