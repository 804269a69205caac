"""Steady gains of control's predictors, from the rig's figures: made once, outside the tick."""

from __future__ import annotations

import math

import numpy as np

from gimbal.config.matrices import expm, solve_discrete_are
from gimbal.config.schema import Rig
from gimbal.control.foresight import LATEST, PHASES
from gimbal.control.foresight import LINE as FORCE_LINE
from gimbal.control.motion_ahead import LEVELS, STATES
from gimbal.frames import AXIS_INDEX
from gimbal.kernels.filters import lowpass_coefficients, shaping_coefficients
from gimbal.units import G0

SLOWEST_RAD_S2 = 0.25  # acceleration of the lowest level, doubled from level to level
MOTION_DAMPING = 0.3
FELT_HZ = 50.0  # two low-passes of the base's acceleration that is foreseen
CALM_HZ = 90.0  # and of what stands in for it: quantisation noise beyond shakes the structure
STRETCH_DAMPING = 0.1  # more than the structure's: what is known of its mode is not exact
NOISE_STEPS = 6.0  # of the encoder: no reading jumps further by noise
MOST_RAD_S2 = 500.0  # nor a carrier by itself
# compliance: where the stretch is looked for, from what acceleration of its own on, and how fast it is learned
SOUGHT, SOUGHT_Q, SOUGHT_RAD_S2 = (0.78, 1.07), 1.0, 10.0  # times the mean of the two lowest modes
SOFT_S, EVIDENCE_S, SMOOTH_S, GOOD_S = 1.0, 1.0, 0.1, 0.05
NO_SECTION = (1.0, 0.0, 0.0, 0.0, 0.0)
# foresight: how the loops let a torque error into the picture, nearly: most at SEEN_HZ[0], less on both sides, faster
# from [1] to [2]; of the specific force also at the structure's modes
SEEN_HZ, SEEN_Q = (11.0, 22.0, 36.0), 1.2
TAP_S, BASE_TAP_S = 0.002, 0.003  # of the specific force, of the base's acceleration
SPARED_DAMPING = 0.4  # of the sections that keep a forecast of the specific force off the structure's modes
LEARNED_S, CHECKED_S, FADED_S = 20.0, 2.0, 0.5


def horizon_s(rig: Rig) -> float:
    """From a tick to the mean moment its torque acts: link, half the hold, the torque loop's lag."""
    hold = 0.5 / rig.loop_rate_hz
    return rig.delay.sample_to_torque_ms * 1e-3 + hold + 1.0 / (2.0 * math.pi * rig.motors.torque_bandwidth_hz)


def discrete(A: np.ndarray, Qc: np.ndarray, dt_s: float) -> tuple[np.ndarray, np.ndarray]:
    """Transition and noise covariance of x' = A x + noise over dt (C. F. Van Loan, IEEE TAC 23(3), 1978)."""
    n = len(A)
    F = expm(A * dt_s)
    Q = F @ expm(np.block([[-A, Qc], [np.zeros((n, n)), A.T]]) * dt_s)[:n, n:]
    return F, 0.5 * (Q + Q.T)


def steady_gain(
    F: np.ndarray, Q: np.ndarray, H: np.ndarray, r: float, scale: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Steady Kalman gain (n,) and covariance after the reading (n, n); scale makes the states of one size."""
    S, Si = np.diag(scale), np.diag(1.0 / scale)
    Fs, Qs, Hs = Si @ F @ S, Si @ Q @ Si, (H / scale[0] @ S)[None, :]
    rs = r / scale[0] ** 2
    P = solve_discrete_are(Fs.T, Hs.T, Qs, np.array([[rs]]))
    K = (P @ Hs.T)[:, 0] / (float((Hs @ P @ Hs.T)[0, 0]) + rs)
    after = P - np.outer(K, Hs @ P)
    return S @ K / scale[0], S @ after @ S


def pack_motion(p: np.void, rig: Rig) -> None:
    """Fill AHEAD_PARAMS."""
    dt_s = 1.0 / rig.loop_rate_hz
    w = 2.0 * math.pi * rig.control.base_motion_hz
    A = np.zeros((STATES, STATES))
    A[0, 1] = A[1, 2] = A[2, 3] = 1.0
    A[3, 2], A[3, 3] = -w * w, -2.0 * MOTION_DAMPING * w
    per_unit = 4.0 * MOTION_DAMPING * w**3  # 1 / the oscillator's variance under white noise of unit density
    lsb = 2.0 * math.pi / 2**rig.encoder.bits
    H = np.array([1.0, 0.0, 0.0, 0.0])
    for level in range(LEVELS):
        accel = SLOWEST_RAD_S2 * 2.0**level
        Qc = np.zeros((STATES, STATES))
        Qc[3, 3] = per_unit * accel * accel
        F, Q = discrete(A, Qc, dt_s)
        # states in units of the encoder's step: the Riccati equation is well scaled
        scale = lsb * np.array([1.0, w, w * w, w**3])
        K, after = steady_gain(F, Q, H, lsb * lsb / 12.0, scale)
        p["gain"][level] = K
        p["power"][level] = max(accel * accel - after[2, 2], 0.02 * accel * accel)
    p["F"] = F
    p["horizon_s"] = horizon_s(rig) if rig.control.feedforward.prediction else 0.0
    p["ahead"] = expm(A * (p["horizon_s"] + rig.encoder.delay_ms * 1e-3))
    _pack_structure(p, rig, w)
    p["forget"] = dt_s / 0.3
    p["restart_ns"] = 50_000_000


def _pack_structure(p: np.void, rig: Rig, w: float) -> None:
    """What the spring between motor and stage does to reading and torque, each joint by itself at the zero pose."""
    share = rig.structure.motor_inertia_share
    p["line_s"], p["rate_hz"] = horizon_s(rig), rig.loop_rate_hz
    rate = rig.loop_rate_hz
    dt_s = 1.0 / rate
    p["fresh"] = rig.control.output == "torque"  # in a slow loop's tick the camera turns further than in the gyro's lag
    learning = p["compliance"]
    learning["bilinear_1_s"] = 2.0 * rate
    sought_hz = [x * float(np.mean(sorted(rig.structure.mode_hz)[:2])) for x in SOUGHT]
    sought = [2.0 * math.pi * f for f in sought_hz]
    learning["band"] = [_section([0.0, x / SOUGHT_Q, 0.0], [1.0, x / SOUGHT_Q, x * x], rate) for x in sought]
    learning["least2"], learning["smooth"] = SOUGHT_RAD_S2**2, dt_s / SMOOTH_S
    learning["learn"], learning["forget"] = dt_s / SOFT_S, dt_s / EVIDENCE_S
    learning["fastest"] = math.pi * sought_hz[0] / max(1.0, *rig.cogging.periods_per_rev)
    learning["good_ticks"] = round(GOOD_S * rate)
    for a, inertia in enumerate(joint_inertia(rig)):
        if share <= 0.0 or rig.control.output != "torque":  # the torque of a device's own loop is not known here
            continue
        mode_hz = rig.structure.mode_hz[a]
        mode = 2.0 * math.pi * mode_hz
        spring = mode * mode * inertia * share * (1.0 - share)
        locked_hz = mode_hz * math.sqrt(1.0 - share)  # the rotor's own, its stage held
        if locked_hz < 0.4 * rate:
            learning["pole2"][a] = 1.0 / (2.0 * math.pi * locked_hz) ** 2
            learning["pole1"][a] = STRETCH_DAMPING / (math.pi * locked_hz)
            learning["learns"] = rig.control.feedforward.compliance
        learning["gives"][a] = 1.0 / spring  # a stiffer one than the loop's rate can follow gives at once
        learning["on"] = 1
        # the motor's inertia turns with the stretch too: the stretch's second derivative by the filter's own model
        weight = share * inertia / spring * (1.0 - share)
        p["bend"][a] = [-weight * w * w, -weight * 2.0 * MOTION_DAMPING * w]


def joint_inertia(rig: Rig) -> list[float]:
    """Inertia (kg m²) about each joint's axis of all that it turns, joints at zero; roll, pitch, yaw."""
    result = [0.0, 0.0, 0.0]
    at = np.zeros(3)
    stages = []
    for name in rig.kinematic_order:
        body = getattr(rig.body, name)
        at = at + np.array(body.origin_m)
        stages.append((name, body, at))
    for i, (name, _, origin) in enumerate(stages):
        k = AXIS_INDEX[name]
        for _, body, place in stages[i:]:
            arm = np.delete(place + np.array(body.com_m) - origin, k)
            result[k] += body.inertia_kg_m2[k] + body.mass_kg * float(arm @ arm)
    return result


def _section(over: list[float], under: list[float], rate_hz: float) -> list[float]:
    """Biquad of a continuous second-order section, highest power first (bilinear: s = 2 rate (z - 1)/(z + 1))."""

    def of_z(c: list[float]) -> list[float]:
        b2, b1, b0 = c[0] * (2.0 * rate_hz) ** 2, c[1] * 2.0 * rate_hz, c[2]
        return [b2 + b1 + b0, 2.0 * (b0 - b2), b2 - b1 + b0]

    b, a = of_z(over), of_z(under)
    return [b[0] / a[0], b[1] / a[0], b[2] / a[0], a[1] / a[0], a[2] / a[0]]


def _base_felt(rig: Rig) -> tuple[list[list[float]], float]:
    """Sections of the base's acceleration that is foreseen, and their lag (s): two low-passes, the second of torque
    through the structure.

    What accelerates a stage by its spring has to accelerate the motor by the spring's stretch too. In axes that aren't
    the joints' there is one mode for all: of the two lowest the mean, since the outer ones are those that are moved.
    """
    rate, lag_s = rig.loop_rate_hz, 2.0 * math.sqrt(2.0) / (2.0 * math.pi * FELT_HZ)
    low = lowpass_coefficients(FELT_HZ, rate)
    if rig.structure.motor_inertia_share <= 0.0:
        return [low, low], lag_s
    mode_hz = float(np.mean(sorted(rig.structure.mode_hz)[:2]))
    return [low, shaping_coefficients(mode_hz, 0.0, FELT_HZ, math.sqrt(0.5), rate)], lag_s


def _force_felt(rig: Rig) -> tuple[list[list[float]], float]:
    """Sections of the specific force that is foreseen, and their lag (s): broadband vibration that nobody foresees is
    not to shake the structure at its modes."""
    if rig.structure.motor_inertia_share <= 0.0:
        return [list(NO_SECTION)] * 2, 0.0
    modes = sorted(rig.structure.mode_hz)
    at_hz = (float(np.mean(modes[:2])), modes[2])
    sections = [shaping_coefficients(f, 0.0, f, SPARED_DAMPING, rig.loop_rate_hz) for f in at_hz]
    return sections, sum(2.0 * SPARED_DAMPING / (2.0 * math.pi * f) for f in at_hz)


def pack_foresight(p: np.void, rig: Rig) -> None:
    """Fill FORESIGHT_PARAMS for the specific force."""
    ff = rig.control.feedforward
    imu_lag_s = math.sqrt(2.0) / (2.0 * math.pi * rig.imu.bandwidth_hz)
    p["turn"] = 0
    p["felt"], lag_s = _force_felt(rig)
    noise = rig.imu.accel_noise_ug_rtHz * 1e-6 * G0 * math.sqrt(0.5 * rig.imu.rate_hz)
    seen = _seen_flat(rig)
    if rig.structure.motor_inertia_share > 0.0:
        mode_hz = float(np.mean(rig.structure.mode_hz))
        seen = shaping_coefficients(mode_hz, SPARED_DAMPING, mode_hz, 0.5 * SPARED_DAMPING, rig.loop_rate_hz)
    _pack_learning(p, rig, TAP_S, horizon_s(rig) + lag_s + imu_lag_s, noise, seen)
    p["on"] = p["on"] and ff.foresight and ff.prediction and ff.imbalance


def pack_shake(p: np.void, rig: Rig) -> None:
    """Fill SHAKE_PARAMS."""
    ff, rate, dt_s = rig.control.feedforward, rig.loop_rate_hz, 1.0 / rig.loop_rate_hz
    lsb = 2.0 * math.pi / 2**rig.encoder.bits
    p["most"] = MOST_RAD_S2 + NOISE_STEPS * lsb / (dt_s * dt_s)
    p["calm"] = lowpass_coefficients(CALM_HZ, rate)
    learning = p["foresight"]
    learning["turn"] = 1
    learning["felt"], lag_s = _base_felt(rig)
    # quantisation, differentiated twice, through the low-passes
    noise = lsb / math.sqrt(12.0) * (2.0 * math.pi * FELT_HZ) ** 2 * math.sqrt(2.0 * FELT_HZ / rate)
    lag_s += dt_s + rig.encoder.delay_ms * 1e-3
    _pack_learning(learning, rig, BASE_TAP_S, horizon_s(rig) + lag_s, noise, _seen_flat(rig))
    learning["on"] = learning["on"] and ff.foresight and ff.prediction and ff.inertia


def _seen_flat(rig: Rig) -> list[float]:
    """Section that falls from SEEN_HZ[1] on and is flat from [2] on."""
    high, flat = (2.0 * math.pi * f for f in SEEN_HZ[1:])
    level = (high / flat) ** 2
    over, under = [level, 1.4 * flat * level, high * high], [1.0, 1.4 * high, high * high]
    return _section(over, under, rig.loop_rate_hz)


def _pack_learning(p: np.void, rig: Rig, tap_s: float, lead_s: float, noise: float, seen_high: list[float]) -> None:
    """What both have in common; a horizon longer than its memory switches foresight off.

    Args:
        seen_high: section, how a torque error is seen beyond its peak.
    """
    rate = rig.loop_rate_hz
    p["slow"] = 1.0 / (0.5 * rate)
    p["ticks"] = min(max(round(tap_s * rate), 1), PHASES)
    lead = lead_s * rate
    p["horizon"] = math.ceil(lead - 1e-9)
    p["less"] = p["horizon"] - lead
    p["late_taps"], p["late_phase"] = divmod(int(p["horizon"]), int(p["ticks"]))
    p["on"] = p["horizon"] < min(FORCE_LINE, LATEST * p["ticks"])
    peak = 2.0 * math.pi * SEEN_HZ[0]
    p["weight"][0] = _section([0.0, peak / SEEN_Q, 0.0], [1.0, peak / SEEN_Q, peak * peak], rate)
    p["weight"][1] = seen_high
    step_s = 6.0 / rate  # six axes, one a tick
    p["forget"] = math.exp(-step_s / LEARNED_S)
    p["check"] = step_s / CHECKED_S
    p["fade"] = step_s / FADED_S
    n = round(2.0 * rate)  # the sections' impulse response has died away by then
    z = np.exp(-2j * math.pi * np.arange(n) / n)
    seen = np.ones(n)
    for b0, b1, b2, a1, a2 in p["weight"]:
        seen = seen * np.abs((b0 + b1 * z + b2 * z * z) / (1.0 + a1 * z + a2 * z * z)) ** 2
    p["ridge"] = max((1.0 - p["forget"]) * noise * noise * float(seen.mean()), 1e-9)
