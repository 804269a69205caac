"""The estimator in the tick: agreement with the batch, prediction over age, late fixes, joints and base."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.spatial.transform import Rotation

from gimbal import records
from gimbal.estimation.batch import estimate_attitude
from gimbal.estimation.estimate import ESTIMATION_STATE, estimate, estimate_reset
from gimbal.estimation.profiles import default_params
from gimbal.kernels.build import kernel
from tests.estimation.simulate import Recording, errors_rad, record, spiral, wander

IMU = dict(gyro_noise=5e-5, accel_noise=7e-4, gyro_bias=0.0017, accel_bias=0.03)
MS = 1_000_000
T0 = 5_000_000_000


@kernel
def tick(params, state, sense, meas, nav):
    estimate(params[0], state[0], sense[0], meas[0], nav[0])


@kernel
def reset(params, state):
    estimate_reset(params[0], state[0])


class Loop:
    """Feeds recordings tick by tick."""

    def __init__(self, dt: float = 0.001, **changes) -> None:
        self.p = default_params("flight", dt, **changes)
        self.s = np.zeros(1, ESTIMATION_STATE)
        self.sense, self.meas = np.zeros(1, records.SENSE), np.zeros(1, records.MEAS)
        self.nav = np.zeros(1, records.NAV)
        reset(self.p, self.s)

    def step(self, t_ns: int, samples=(), fix=None, joints=None, joint_ns: int = 0) -> np.ndarray:
        """samples: (t_ns, gyro, accel); fix: (t_ns, vel, pos); joints: angles."""
        self.sense[:], self.meas[:] = np.zeros(1, records.SENSE), np.zeros(1, records.MEAS)
        sense, meas = self.sense[0], self.meas[0]
        sense["t_ns"], meas["imu_n"] = t_ns, len(samples)
        for k, (t, gyro, accel) in enumerate(samples):
            meas["imu_t_ns"][k], meas["gyro_C_meas"][k], meas["accel_C_meas"][k] = t, gyro, accel
        if fix:
            sense["gnss_valid"], sense["gnss_t_ns"] = 1, fix[0]
            sense["gnss_vel_N"], sense["gnss_pos_N"], sense["gnss_vel_std"], sense["gnss_pos_std"] = *fix[1:], 0.1, 1.0
        if joints is not None:
            meas["joint_valid"][:], meas["joint_new"][:] = 1, 1
            meas["joint_t_ns"], meas["joint_angle_meas"] = joint_ns or t_ns, joints
        tick(self.p, self.s, self.sense, self.meas, self.nav)
        return self.nav[0]


def fly(r: Recording, loop: Loop, age_ns: int = 300_000, late_ns: int = 150 * MS) -> np.ndarray:
    """The recording at 1 kHz, samples age_ns old, fixes late; returns q_NC of every tick at the sample's time."""
    pos = np.cumsum(r.vel_N, axis=0) / r.rate_hz
    out = np.empty((len(r.t), 4))
    fixes = [(int(round(t * 1e9)), v) for t, v in zip(r.gnss_t, r.gnss_vel)]
    for k, t in enumerate(r.t):
        t_ns = int(round(t * 1e9))
        fix = None
        if fixes and fixes[0][0] + late_ns <= t_ns:
            when, vel = fixes.pop(0)
            fix = (T0 + when, vel, pos[int(when * 1e-9 * r.rate_hz)])
        out[k] = loop.step(T0 + t_ns + age_ns, [(T0 + t_ns, r.gyro[k], r.accel[k])], fix)["q_NC_est"]
    loop.true_pos = pos
    return out


def test_tick_and_batch_are_the_same_step() -> None:
    r = record(wander(), 6.0, 200.0, gnss_hz=5.0, mean=False, seed=1, **IMU)
    loop = Loop(0.005)
    changes = dict(gnss_latency_ns=0, gnss_latency_std=0.0)
    batch = estimate_attitude(
        r.gyro, r.accel, 200.0, gnss_t=r.gnss_t, gnss_vel_N=r.gnss_vel, gnss_vel_std=0.1, _changes=changes
    )
    in_tick = fly(r, loop, age_ns=0, late_ns=0)
    assert np.degrees(errors_rad(in_tick, batch.q_NC)[1]).max() < 1e-6
    np.testing.assert_allclose(loop.s["P"], batch.state["P"], rtol=1e-6, atol=1e-12)


def test_spiral_with_fixes_150_ms_late() -> None:
    r = record(spiral(), 20.0, 1000.0, gnss_hz=5.0, gnss_std=0.08, mean=False, seed=2, **IMU)
    loop = Loop()
    q = fly(r, loop)
    age = Rotation.from_rotvec(np.radians([0, 0, 60.0]) * 0.0003)  # NAV is for the tick, 0.3 ms after the sample
    truth = (age * Rotation.from_quat(r.q_NC[:, [1, 2, 3, 0]])).as_quat()[:, [3, 0, 1, 2]]
    _, tilt, heading = errors_rad(q, truth)
    assert np.degrees(tilt[r.t > 6]).max() < 0.7 and np.degrees(np.abs(heading[r.t > 6])).max() < 1.5
    nav = loop.nav[0]
    assert np.linalg.norm(nav["vel_N_est"] - r.vel_N[-1]) < 0.3
    assert np.linalg.norm(nav["pos_N_est"] - loop.true_pos[-1]) < 1.0
    assert nav["heading_valid"] == 1 and nav["valid"] == 1 and np.degrees(nav["heading_std"]) < 2.0
    assert loop.s["fixes_rejected"][0] <= 2 and loop.s["resets"][0] == 0


def test_silence_is_predicted_then_declared() -> None:
    rate = np.array([0.2, -0.4, 0.6])
    loop = Loop(bleed_s=0.0)
    for k in range(1000):
        nav = loop.step(T0 + k * MS, [(T0 + k * MS, rate, [0, 0, -9.80665])])
    start = Rotation.from_quat(nav["q_NC_est"][[1, 2, 3, 0]].copy())
    for k in range(1000, 1200):
        nav = loop.step(T0 + k * MS)
    turned = start.inv() * Rotation.from_quat(nav["q_NC_est"][[1, 2, 3, 0]])
    np.testing.assert_allclose(turned.as_rotvec(), 0.2 * nav["omega_NC_C_est"], atol=2e-3)
    assert nav["valid"] == 1
    for k in range(1200, 1300):
        nav = loop.step(T0 + k * MS)
    assert nav["valid"] == 0 and np.isfinite(nav["q_NC_est"]).all()
    nav = loop.step(T0 + 1300 * MS, [(T0 + 1300 * MS, rate, [0, 0, -9.80665])])
    assert nav["valid"] == 1


@pytest.mark.parametrize("order", [(2, 0, 1), (2, 1, 0), (0, 1, 2)])
def test_base_attitude_and_rate_through_the_joints(order: tuple[int, int, int]) -> None:
    """The camera at rest in a frame the joints turn: the base must be the inverse chain, its rate the joints'."""
    loop = Loop(order=order, bleed_s=0.0)
    letters = "XYZ"
    rate = np.array([0.3, -0.2, 0.5])
    for k in range(600):
        angle = np.array([0.1, -0.3, 0.4]) + rate * k * 1e-3
        nav = loop.step(T0 + k * MS, [(T0 + k * MS, np.zeros(3), [0, 0, -9.80665])], None, angle)
    q_BC = Rotation.from_euler("".join(letters[i] for i in order), angle[list(order)])
    q_NC = Rotation.from_quat(nav["q_NC_est"][[1, 2, 3, 0]])
    q_NB = Rotation.from_quat(nav["q_NB_est"][[1, 2, 3, 0]])
    assert (q_NB.inv() * (q_NC * q_BC.inv())).magnitude() < 1e-6
    after = Rotation.from_euler("".join(letters[i] for i in order), (angle + rate * 1e-6)[list(order)])
    turn_B = (after * q_BC.inv()).as_rotvec() / 1e-6  # of C against B, in B; C stands still
    np.testing.assert_allclose(nav["omega_NB_B_est"], -turn_B, atol=2e-3)


def test_joint_rate_is_quiet_and_quick() -> None:
    """14 bit steps: the rate's noise against a plain difference, and its lag in a 3 Hz swing."""
    loop = Loop()
    step = 2 * np.pi / 2**14
    swing = 0.1
    w = 2 * np.pi * 3.0
    out, true, plain, last = [], [], [], None
    for k in range(2000):
        angle = np.round(np.full(3, swing * np.sin(w * k * 1e-3)) / step) * step
        out.append(loop.step(T0 + k * MS, joints=angle)["joint_rate_est"][0].copy())
        true.append(swing * w * np.cos(w * k * 1e-3))
        plain.append(0.0 if last is None else (angle[0] - last) / 1e-3)
        last = angle[0]
    error = np.std(np.subtract(out, true)[500:])
    assert error < 0.3 * np.std(np.subtract(plain, true)[500:])
    assert error < 0.03 * swing * w


def test_a_correction_reaches_the_picture_slowly() -> None:
    loop = Loop(bleed_s=1.0)
    for k in range(800):
        nav = loop.step(T0 + k * MS, [(T0 + k * MS, np.zeros(3), [0, 0, -9.80665])])
    before = nav["q_NC_est"].copy()
    loop.s["P"][0, 0, 0] = np.nan
    steps = []
    for k in range(800, 1400):
        nav = loop.step(T0 + k * MS, [(T0 + k * MS, np.zeros(3), [0.5, 0, -9.80665])])
        steps.append(2 * np.linalg.norm((nav["q_NC_est"] - before)[1:]))
        before = nav["q_NC_est"].copy()
    assert loop.s["resets"][0] >= 1
    assert max(steps) < np.radians(0.1)
