"""Lever arms: the IMU in the camera from waved joints, the antenna on the base from a flight with GNSS velocity."""

from __future__ import annotations

import numpy as np

from gimbal.calibrate.recording import Recording
from gimbal.calibrate.result import Panel, Result, mean_temp, triple, words
from gimbal.calibrate.wave import camera_side, chain_order, joint_axes, rotation, smoothed
from gimbal.config.calibration import Arm
from gimbal.config.pack import pack_params
from gimbal.errors import UsageError

STEP_S = 0.02
SPAN_S = 0.06  # of a second difference of places
MAX_STD_M = 0.03
MAX_ARM_M = 5.0
FLOOR_M = 0.001  # bending and the sensor's own lag
FIXES = 50
GROUP = 10


def _at(t: np.ndarray, times: np.ndarray, x: np.ndarray) -> np.ndarray:
    return np.stack([np.interp(t, times, x[:, k]) for k in range(x.shape[1])], axis=1)


def _cross(v: np.ndarray) -> np.ndarray:
    """(n, 3, 3) matrices of the cross product with v (n, 3)."""
    out = np.zeros((len(v), 3, 3))
    out[:, 0, 1], out[:, 0, 2], out[:, 1, 2] = -v[:, 2], v[:, 1], -v[:, 0]
    return out - out.transpose(0, 2, 1)


def stage_place(rec: Recording, angle: np.ndarray) -> np.ndarray:
    """(n, 3) the camera stage's origin in B."""
    R = np.broadcast_to(np.eye(3), (len(angle), 3, 3))
    place = np.zeros((len(angle), 3))
    for k, name in zip(chain_order(rec), rec.rig.kinematic_order, strict=True):
        place = place + R @ np.array(getattr(rec.rig.body, name).origin_m)
        R = R @ rotation(k, angle[:, k])
    return place


def _solve(rec: Recording, A: np.ndarray, y: np.ndarray, what: str, hint: str) -> tuple[np.ndarray, ...]:
    """Arm (first three unknowns), its sigma, and what is left. Outliers beyond 4 sigma are left out once."""
    scale = np.linalg.norm(A, axis=0)
    if scale.min() <= 0.0 or np.linalg.cond(A / scale) > 1e4:
        raise UsageError(f"The recording doesn't show {what} in every direction. {hint}")
    x, *_ = np.linalg.lstsq(A, y, rcond=None)
    left = y - A @ x
    good = np.abs(left) < 4.0 * left.std()
    x, *_ = np.linalg.lstsq(A[good], y[good], rcond=None)
    left = y - A @ x
    std = np.sqrt(np.diag(np.linalg.inv(A[good].T @ A[good]))) * left[good].std()
    if std[:3].max() > MAX_STD_M:
        raise UsageError(
            f"{what.capitalize()} would be known to {std[:3].max():.3f} m only, {MAX_STD_M} is needed. {hint}"
        )
    if np.abs(x[:3]).max() > MAX_ARM_M:
        raise UsageError(
            f"{what.capitalize()} comes out as {words(x[:3], 2)} m, which no rig has: attitude, stamps or units are "
            "wrong. Calibrate accelerometer, joints and mount first, and check the receiver's latency."
        )
    return x[:3], std[:3], left


def _result(rec: Recording, section: str, x: np.ndarray, std: np.ndarray, panel: Panel, rms: float) -> Result:
    found = Arm(
        date=rec.date,
        source=rec.source,
        temperature_degC=mean_temp(rec.temp),
        figures={"seconds": round(rec.seconds, 1), "residual_rms": round(rms, 5)},
        m=triple(x, 5),
        std_m=triple(std, 5),
    )
    return Result(section, found, [f"{section:8s} {words(x)} m, 1 sigma {words(std)}"], [panel])


def imu_arm(rec: Recording) -> Result:
    """The IMU's place in the camera stage: waved joints, base at rest.

    Raises:
        UsageError: too little rotation, or an arm that no rig has.
    """
    hint = "Wave the joints faster, all three, for 30 s, the base at rest, and record again."
    if rec.seconds < 10.0 or len(rec.joint_t) < 1000:
        raise UsageError(f"The recording has {rec.seconds:.0f} s with joints, 10 are needed. {hint}")
    p = pack_params(rec.rig)["imu"][0]
    gyro_t, gyro = smoothed(rec.t, (rec.gyro - p["gyro_bias_I"]) @ p["gyro_CI"].T)
    _, force = smoothed(rec.t, (rec.accel - p["accel_bias_I"]) @ p["accel_CI"].T)
    late = pack_params(rec.rig)["encoders"]["late_ns"][0] * 1e-9
    joint_t, joint = camera_side(rec)
    joint_t = joint_t - late
    t = np.arange(max(gyro_t[0], joint_t[0]) + 0.2, min(gyro_t[-1], joint_t[-1]) - 0.2, STEP_S)
    w = _at(t, gyro_t, gyro)
    rest = np.linalg.norm(w, axis=1) < 0.01
    w = w - (np.median(w[rest], axis=0) if rest.sum() > 20 else 0.0)
    alpha = _at(t, gyro_t, np.gradient(gyro, gyro_t, axis=0))
    f = _at(t, gyro_t, force)
    R_BC, _ = joint_axes(chain_order(rec), _at(t, joint_t, joint))
    places = [stage_place(rec, _at(t + d, joint_t, joint)) for d in (-SPAN_S, 0.0, SPAN_S)]
    moved = (places[0] - 2.0 * places[1] + places[2]) / SPAN_S**2
    R_CB = R_BC.transpose(0, 2, 1)
    lever = _cross(alpha) + _cross(w) @ _cross(w)
    n = len(t)
    A = np.concatenate([lever, -R_CB, np.broadcast_to(np.eye(3), (n, 3, 3))], axis=2).reshape(3 * n, 9)
    y = (f - np.einsum("nij,nj->ni", R_CB, moved)).reshape(-1)
    x, std, left = _solve(rec, A, y, "the IMU's arm", hint)
    left = left.reshape(n, 3)
    panel = Panel("Force less what gravity and the arm explain", t, left, ("x", "y", "z"), y_label="m/s²")
    return _result(rec, "imu_arm", x, np.maximum(2.0 * std, FLOOR_M), panel, float(np.sqrt(np.mean(left**2))))


def _matrices(q: np.ndarray) -> np.ndarray:
    """(n, 3, 3) of quaternions (n, 4)."""
    q = q / np.linalg.norm(q, axis=1, keepdims=True)
    w, v = q[:, 0], q[:, 1:]
    cross = _cross(v)
    return np.eye(3) + 2.0 * w[:, None, None] * cross + 2.0 * cross @ cross


def _q_at(rec: Recording, t: np.ndarray) -> np.ndarray:
    i = np.clip(np.searchsorted(rec.nav_t, t), 1, len(rec.nav_t) - 1)
    a, b = rec.q_NC[i - 1], rec.q_NC[i]
    b = np.where(np.sum(a * b, axis=1, keepdims=True) < 0, -b, b)
    share = np.clip((t - rec.nav_t[i - 1]) / (rec.nav_t[i] - rec.nav_t[i - 1]), 0.0, 1.0)[:, None]
    return a + share * (b - a)


def _without_trend(t: np.ndarray, x: np.ndarray) -> np.ndarray:
    """Rows less their mean and line over time: what an error of velocity or tilt puts into a group of fixes."""
    line = np.stack([np.ones(len(t)), t - t.mean()], axis=1)
    flat = x.reshape(len(t), -1)
    return (flat - line @ np.linalg.lstsq(line, flat, rcond=None)[0]).reshape(x.shape)


def antenna(rec: Recording) -> Result:
    """The antenna's place on the base: a flight or drive with turns, where the estimator had its heading.

    Raises:
        UsageError: too few fixes, no turning, or an arm that no rig has.
    """
    hint = "Fly or drive a minute of turns and rocking with a good GNSS view, and use that log."
    use = np.flatnonzero((rec.fix_t > rec.t[0] + 15.0) & (rec.fix_t < rec.t[-1] - 1.0))
    if len(use) < FIXES:
        raise UsageError(f"The recording has {len(use)} fixes after the first 15 s, {FIXES} are needed. {hint}")
    t, v = rec.fix_t[use], rec.fix_vel[use]
    p = pack_params(rec.rig)
    imu = p["imu"][0]
    force = (rec.accel - imu["accel_bias_I"]) @ imu["accel_CI"].T
    R_NC = _matrices(_q_at(rec, rec.t))
    weight = np.diff(rec.t)[:, None]
    in_N = np.einsum("nij,nj->ni", R_NC, force) + np.array([0.0, 0.0, rec.rig.estimation.gravity_m_s2])
    gained = np.vstack([np.zeros(3), np.cumsum(0.5 * (in_N[1:] + in_N[:-1]) * weight, axis=0)])
    turned = np.cumsum(R_NC[1:].reshape(-1, 9) * weight, axis=0)
    turned = np.vstack([np.zeros(9), turned])
    order, arm_C = chain_order(rec), p["estimation"]["imu_C"][0]
    joint_t = rec.joint_t - p["encoders"]["late_ns"][0] * 1e-9
    sides = []
    for d in (-0.5 * STEP_S, 0.5 * STEP_S):
        joint = _at(t + d, joint_t, rec.joint)
        R_BC, _ = joint_axes(order, joint)
        R_NB = _matrices(_q_at(rec, t + d)) @ R_BC.transpose(0, 2, 1)
        imu_B = stage_place(rec, joint) + R_BC @ arm_C
        sides.append((R_NB, np.einsum("nij,nj->ni", R_NB, imu_B)))
    spin = (sides[1][0] - sides[0][0]) / STEP_S  # of the antenna's arm
    own = (sides[1][1] - sides[0][1]) / STEP_S  # velocity of the IMU against the yaw bearing
    y = v - _at(t, rec.t, gained) + own
    A = np.concatenate([spin, -_at(t, rec.t, turned).reshape(-1, 3, 3)], axis=2)
    groups = [np.arange(i, i + GROUP) for i in range(0, len(t) - GROUP + 1, GROUP)]
    groups = [g for g in groups if np.diff(t[g]).max() < 1.5]
    if len(groups) < 5:
        raise UsageError(f"The fixes have gaps: {len(groups)} stretches of {GROUP} without one, 5 are needed. {hint}")
    rows = np.concatenate(groups)
    A, y = (np.concatenate([_without_trend(t[g], x[g]) for g in groups]) for x in (A, y))
    n = len(rows)
    x, std, left = _solve(rec, A.reshape(3 * n, 6), y.reshape(-1), "the antenna's arm", hint)
    left = left.reshape(n, 3)
    std = std * np.sqrt(GROUP / (GROUP - 2.0))  # two of each group went into its line
    panel = Panel("GNSS velocity less the own and the arm's", t[rows], left, ("north", "east", "down"), y_label="m/s")
    return _result(rec, "antenna", x, std, panel, float(np.sqrt(np.mean(left**2))))
