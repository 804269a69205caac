"""The stabilisation loop as a linear sampled system, per camera axis, from a rig's config. The one place that knows it.

Plant: torque command -> delay -> torque loop (first order) -> two inertias with a spring (gyro on the camera's side,
motor on the other: non-collocated) -> gyro's low-pass, sampled exactly at the tick (held input, delay split into whole
ticks and a rest). Controller: the shipped PID, observer and filters, from the same coefficients the tick uses.
Left out: friction, cable and saturation (they act on the joint's relative motion, not on the camera's), and the base
acceleration found from gyro less encoders, whose torque is nearly zero about an aligned axis.
"""

from __future__ import annotations

import copy
import math
from dataclasses import dataclass
from typing import Any

import control as ct
import numpy as np
from scipy.linalg import expm

from gimbal.config.schema import Rig
from gimbal.frames import AXES, AXIS_INDEX

Array = np.ndarray
PITCH_GRID_DEG = (-120.0, -90.0, -60.0, -30.0, 0.0, 30.0, 60.0, 90.0, 120.0)
ROLL_GRID_DEG = (-66.0, -33.0, 0.0, 33.0, 66.0)  # beyond it the singularity's damping takes authority away
ANGLE_LEAK_S = 15.0
STAGE_SHARE = 0.8  # of a stage's own inertia at most is on the motor's side, as in the plant


@dataclass(frozen=True)
class Axis:
    """One axis of a rig: what the plant is and what the controller takes it for."""

    name: str
    rate_hz: float  # of the loop
    imu_rate_hz: float
    inertia: float  # kg m², all that the joint turns
    known_inertia: float  # what the controller multiplies its wanted acceleration with
    motor_inertia: float  # part of it on the motor's side of the mode, 0: rigid
    spring: float  # N m/rad
    damper: float  # N m s/rad
    delay_s: float  # IMU sample to torque loop's input
    torque_hz: float
    gyro_hz: float
    gyro_noise: float  # rad/s per sample
    torque_noise: float  # N m RMS behind the torque loop


@dataclass(frozen=True)
class Change:
    """A rig that is not what its config says."""

    inertia: float = 1.0
    mode: float = 1.0
    delay_s: float = 0.0


def mass_matrix(rig: Rig, angle: Array) -> Array:
    """(3, 3) joint-space mass matrix, axis index, at joint angles (3,) rad."""
    turn, at = np.eye(3), np.zeros(3)
    axes, origins, k_of = [], [], []
    M = np.zeros((3, 3))
    for name in rig.kinematic_order:
        k, body = AXIS_INDEX[name], getattr(rig.body, name)
        at = at + turn @ np.array(body.origin_m)
        axes.append(turn[:, k].copy())
        origins.append(at)
        k_of.append(k)
        c, s = math.cos(angle[k]), math.sin(angle[k])
        i, j = (k + 1) % 3, (k + 2) % 3
        R = np.eye(3)
        R[i, i], R[i, j], R[j, i], R[j, j] = c, -s, s, c
        turn = turn @ R
        com = at + turn @ np.array(body.com_m)
        spin = turn.T @ np.array(axes).T  # joint axes in the stage
        lever = np.cross(np.array(axes), com - np.array(origins))
        part = body.mass_kg * lever @ lever.T + spin.T @ (np.array(body.inertia_kg_m2)[:, None] * spin)
        M[np.ix_(k_of, k_of)] += part
    return M


def inertia_range(rig: Rig) -> dict[str, tuple[float, float, float]]:
    """Per axis the least, the zero-pose and the greatest inertia (kg m²) the joint's torque meets at any pose.

    Least: the other joints free, 1 / (M^-1)_aa; greatest: the others held, M_aa.
    """
    poses = [np.radians([r, p, 0.0]) for r in ROLL_GRID_DEG for p in PITCH_GRID_DEG]
    matrices = np.array([mass_matrix(rig, q) for q in poses])
    free = 1.0 / np.array([np.diag(np.linalg.inv(M)) for M in matrices])
    held = np.array([np.diag(M) for M in matrices])
    zero = np.diag(mass_matrix(rig, np.zeros(3)))
    return {a: (float(free[:, k].min()), float(zero[k]), float(held[:, k].max())) for k, a in enumerate(AXES)}


def make_axis(rig: Rig, name: str, inertia: float | None = None, change: Change | None = None) -> Axis:
    """An axis of a rig, its joint meeting ``inertia`` (None: zero pose) and, the controller unaware, a ``change``."""
    change = change or Change()
    k = AXIS_INDEX[name]
    zero = float(mass_matrix(rig, np.zeros(3))[k, k])
    known = zero if inertia is None else inertia
    own = getattr(rig.body, name).inertia_kg_m2[k]
    motor = min(rig.structure.motor_inertia_share * zero, STAGE_SHARE * own)
    w = 2.0 * math.pi * rig.structure.mode_hz[k] * change.mode
    reduced = motor * (zero - motor) / zero * change.inertia  # the config's mode is that of the zero pose
    rate = rig.imu.rate_hz
    return Axis(
        name,
        rig.loop_rate_hz,
        rate,
        known * change.inertia,
        known,
        motor * change.inertia,
        w * w * reduced,
        2.0 * rig.structure.damping_ratio * w * reduced,
        rig.delay.sample_to_torque_ms * 1e-3 + change.delay_s,
        rig.motors.torque_bandwidth_hz,
        rig.imu.bandwidth_hz,
        math.radians(rig.imu.gyro_noise_deg_s_rtHz) * math.sqrt(0.5 * rate),
        rig.motors.torque_noise_Nm_rms,
    )


def continuous_plant(axis: Axis) -> tuple[Array, Array, Array]:
    """A, B, C. Inputs: torque command (N m), torque on the camera's side (N m), torque on the motor's side.

    Outputs: gyro's filtered rate, rate and angle of the camera (rad/s, rad). The angle leaks away over ANGLE_LEAK_S:
    no sensor sees it whole, and above 0.5 Hz it is the rate's integral within 1e-3.
    """
    wt, wg = 2.0 * math.pi * axis.torque_hz, 2.0 * math.pi * axis.gyro_hz
    flexible = axis.motor_inertia > 0.0
    n = 7 if flexible else 5
    A, B, C = np.zeros((n, n)), np.zeros((n, 3)), np.zeros((3, n))
    A[0, 0], B[0, 0] = -wt, wt  # torque
    # gyro's Butterworth low-pass: states its output and its slope
    A[1, 2], A[2, 1], A[2, 2] = 1.0, -wg * wg, -math.sqrt(2.0) * wg
    A[2, 3] = wg * wg
    A[n - 1, 3], A[n - 1, n - 1] = 1.0, -1.0 / ANGLE_LEAK_S
    C[0, 1], C[1, 3], C[2, n - 1] = 1.0, 1.0, 1.0
    if not flexible:
        A[3, 0] = B[3, 1] = B[3, 2] = 1.0 / axis.inertia
        return A, B, C
    motor, load = axis.motor_inertia, axis.inertia - axis.motor_inertia
    A[3, 3], A[3, 4], A[3, 5] = -axis.damper / load, axis.damper / load, axis.spring / load
    A[4, 0], A[4, 3] = 1.0 / motor, axis.damper / motor
    A[4, 4], A[4, 5] = -axis.damper / motor, -axis.spring / motor
    A[5, 3], A[5, 4] = -1.0, 1.0
    B[3, 1], B[4, 2] = 1.0 / load, 1.0 / motor
    return A, B, C


def _hold(A: Array, B: Array, t: float) -> tuple[Array, Array]:
    """exp(A t) and its integral times B."""
    n, m = B.shape
    big = np.zeros((n + m, n + m))
    big[:n, :n], big[:n, n:] = A, B
    e = expm(big * t)
    return e[:n, :n], e[:n, n:]


def sampled_plant(axis: Axis) -> tuple[Array, Array, Array]:
    """A, B, C of one tick, delay included; inputs and outputs as :func:`continuous_plant`, all held over the tick."""
    T = 1.0 / axis.rate_hz
    Ac, Bc, Cc = continuous_plant(axis)
    whole = math.floor(axis.delay_s / T + 1e-9)
    rest = max(axis.delay_s - whole * T, 0.0)
    A, B = _hold(Ac, Bc, T)
    late, new = _hold(Ac, Bc[:, :1], T - rest)
    old = late @ _hold(Ac, Bc[:, :1], rest)[1]  # the command before still acts for `rest`
    n, line = len(A), whole + (1 if rest > 1e-9 else 0)
    if line == 0:
        return A, B, Cc
    size = n + line  # line[0] is the newest command not yet acting
    F, G, H = np.zeros((size, size)), np.zeros((size, 3)), np.zeros((3, size))
    F[:n, :n], G[:n, 1:], H[:, :n] = A, B[:, 1:], Cc
    G[n, 0] = 1.0
    for i in range(1, line):
        F[n + i, n + i - 1] = 1.0
    if rest > 1e-9:
        F[:n, size - 1] += old[:, 0]
        if whole == 0:
            G[:n, 0] += new[:, 0]
        else:
            F[:n, size - 2] += new[:, 0]
    else:
        F[:n, size - 1] = B[:, 0]
    return F, G, H


def imu_hold(axis: Axis) -> Array:
    """FIR taps of holding an IMU slower than the loop, on average over its phase."""
    n = max(1, round(axis.rate_hz / axis.imu_rate_hz))
    return np.full(n, 1.0 / n)


def response(A: Array, B: Array, C: Array, z: Array) -> Array:
    """(len(z), outputs, inputs) of a sampled system at points z."""
    eye = np.eye(len(A))
    parts = np.array_split(z, max(1, len(z) * len(A) ** 2 // 200_000))  # a few MB at a time
    b = B.astype(complex)[None]
    return np.concatenate([C @ np.linalg.solve(x[:, None, None] * eye - A, b) for x in parts])


def section_response(c: Array | list[float], z: Array) -> Array:
    """Of one biquad b0, b1, b2, a1, a2."""
    d = 1.0 / z
    return (c[0] + c[1] * d + c[2] * d * d) / (1.0 + c[3] * d + c[4] * d * d)


def section_system(c: Array | list[float], T: float) -> ct.StateSpace:
    """One biquad in the tick's own direct form II transposed."""
    b0, b1, b2, a1, a2 = (float(x) for x in c)
    return ct.ss([[-a1, 1.0], [-a2, 0.0]], [[b1 - a1 * b0], [b2 - a2 * b0]], [[1.0, 0.0]], [[b0]], T)


class Controller:
    """One axis of the shipped controller, linear, from the record the tick itself reads: gyro rate -> torque.

    Args:
        rig: config; an observer, filter or gain that is off there is off here.
        axis: gives the inertia the controller believes in.

    ``blend`` is the share of the fast loops (``[control.fast]``) in the feedback, 0 to 1.
    """

    def __init__(self, rig: Rig, axis: Axis) -> None:
        from gimbal.config.pack import pack_params

        params = pack_params(rig)[0]
        k = AXIS_INDEX[axis.name]
        self.T, self.gain = 1.0 / rig.loop_rate_hz, axis.known_inertia
        pid, observer = params["pid"], params["observer"]
        self.attitude = float(params["pointing"]["gain"][k])
        self.p, self.i, self.d = (float(pid[name][k]) for name in ("p", "i", "d"))
        self.gyro_lp, self.d_lp = pid["gyro_lp"].copy(), pid["d_lp"].copy()
        self.sections = params["allocation"]["sections"][k].copy()
        self.blend = 0.0
        self.fast_attitude = self.attitude + float(pid["fast_attitude"][k])
        self.fast_p, self.fast_i = float(pid["fast_p"][k]), float(pid["fast_i"][k])
        self.fast_sections = params["allocation"]["fast_sections"][k].copy()
        self.observing = bool(observer["on"])
        self.observer_lp, self.observer_ticks = observer["lp"].copy(), int(observer["delay_ticks"]) + 1
        self.late_share = float(params["estimation"]["point_share"])  # of the sample before in the attitude's step
        self.imu = imu_hold(axis)

    def at(self, blend: float) -> Controller:
        """The same with another share of the fast loops."""
        other = copy.copy(self)
        other.blend = blend
        return other

    def response(self, z: Array) -> Array:
        """Torque (N m) per measured rate (rad/s), feedback sign included, at points z."""
        d = 1.0 / z
        angle = self.T * ((1.0 - self.late_share) + self.late_share * d) / (1.0 - d)
        slope = (1.0 - d) / self.T
        lp = section_response(self.gyro_lp, z)
        error, quick, b = self.attitude * angle + lp, self.fast_attitude * angle + lp, self.blend
        integral = self.T / (1.0 - d) * ((1.0 - b) * self.i * error + b * self.fast_i * quick)
        demand = self.p * error + integral + self.d * section_response(self.d_lp, z) * slope * lp
        if self.observing:
            seen = section_response(self.observer_lp, z)
            demand = (demand + seen * slope) / (1.0 - seen * d**self.observer_ticks)
        fast = self.fast_p * quick + integral
        for c, quicker in zip(self.sections, self.fast_sections, strict=True):
            demand, fast = demand * section_response(c, z), fast * section_response(quicker, z)
        return -self.gain * ((1.0 - b) * demand + b * fast) * sum(b * d**n for n, b in enumerate(self.imu))

    def system(self) -> ct.StateSpace:
        """The same as a python-control state space."""
        T, b = self.T, self.blend
        one = ct.ss([], [], [], [[1.0]], T)
        step = ct.ss([[1.0]], [[1.0]], [[T]], [[T]], T)  # T z/(z - 1)
        slope = ct.ss([[0.0]], [[1.0]], [[-1.0 / T]], [[1.0 / T]], T)
        mean = ct.ss([[0.0]], [[1.0]], [[self.late_share]], [[1.0 - self.late_share]], T)
        lp = section_system(self.gyro_lp, T)
        # angle, rate and acceleration stay one block each: twice the same integrator would be a pole of its own
        gyro = ct.append(step * mean, lp, section_system(self.d_lp, T) * slope * lp) * _gain([[1.0], [1.0], [1.0]], T)
        grow_angle = (1.0 - b) * self.i * self.attitude + b * self.fast_i * self.fast_attitude
        grow = [grow_angle, (1.0 - b) * self.i + b * self.fast_i, 0.0]
        parts = ct.append(_gain(np.eye(3), T), step) * _gain([*np.eye(3), grow], T) * gyro
        own = [self.p * self.attitude, self.p, self.d, 1.0]
        if self.observing:
            seen = section_system(self.observer_lp, T)
            demand = _gain([own], T) * parts + seen * slope
            demand = ct.feedback(one, seen * _line(self.observer_ticks, T), sign=1) * demand
            demand = _in_line(self.sections, T) * demand
        elif b == 0.0:
            demand = _in_line(self.sections, T) * (_gain([own], T) * parts)
        else:
            both = _gain([own, [self.fast_p * self.fast_attitude, self.fast_p, 0.0, 1.0]], T) * parts
            shaped = ct.append(_in_line(self.sections, T), _in_line(self.fast_sections, T)) * both
            demand = _gain([[1.0 - b, b]], T) * shaped
        for n in range(1, len(self.imu)):
            one = one + _line(n, T)
        return -self.gain / len(self.imu) * demand * one


def _gain(D: Any, T: float) -> ct.StateSpace:
    return ct.ss([], [], [], D, T)


def _in_line(sections: Array, T: float) -> ct.StateSpace:
    """Second-order sections one after the other."""
    out = _gain([[1.0]], T)
    for c in sections:
        if list(c) != [1.0, 0.0, 0.0, 0.0, 0.0]:
            out = section_system(c, T) * out
    return out


def _line(n: int, T: float) -> ct.StateSpace:
    """Delay of n >= 1 ticks."""
    A = np.diag(np.ones(n - 1), -1)
    B, C = np.zeros((n, 1)), np.zeros((1, n))
    B[0, 0] = C[0, n - 1] = 1.0
    return ct.ss(A, B, C, [[0.0]], T)


def loop_response(axis: Axis, controller: Controller, z: Array) -> Array:
    """Return ratio L(z) broken at the torque command, negative feedback: the loop is stable around 1 + L."""
    A, B, C = sampled_plant(axis)
    return -response(A, B, C, z)[:, 0, 0] * controller.response(z)


def loop_poles(axis: Axis, controller: Controller) -> Array:
    """Poles of the closed loop, in z."""
    A, B, C = sampled_plant(axis)
    plant = ct.ss(A, B[:, :1], C[:1], [[0.0]], 1.0 / axis.rate_hz)
    return np.asarray(ct.feedback(plant, controller.system(), sign=1).poles())
