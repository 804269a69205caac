"""The filter's mathematics: consistency of its covariance, positive definiteness, causality, oracle, the judge."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.spatial.transform import Rotation
from scipy.stats import chi2

from gimbal.estimation import layout
from gimbal.estimation.batch import estimate_attitude
from gimbal.estimation.estimate import estimate_reset
from gimbal.estimation.layout import BA, BG, ESTIMATION_STATE, TH, N, V
from gimbal.estimation.mm_gnss import take_fix
from gimbal.estimation.profiles import default_params
from gimbal.estimation.step import sample, work
from gimbal.kernels.build import kernel
from tests.estimation.simulate import errors_rad, handheld, record, wander
from tests.oracles.attitude_mekf import Oracle

RUNS = 30
PARTS = {"attitude": (0, 3), "gyro bias": (3, 6), "velocity": (6, 9), "accel bias": (9, 12), "all": (0, 12)}
TRUE_MODEL = dict(  # the simulated sensors' own figures, and nothing else
    gyro_noise=1e-3,
    accel_noise=0.02,
    gyro_bias_std0=0.005,
    accel_bias_std0=0.05,
    gyro_scale_std0=1e-6,
    gyro_cross_std0=1e-6,
    gyro_rate_noise=0.0,
    gyro_bias_walk=1e-9,
    accel_bias_walk=1e-9,
    gyro_scale_walk=1e-12,
    point_share=0.0,
    gnss_std_min=0.01,
    gnss_latency_ns=0,
    gnss_latency_std=0.0,
)


@kernel
def run_nis(params, state, gyro, accel, dt, fix_k, fix_ns, fixes, nis):
    """The batch's loop, keeping the NIS of each fix."""
    p = params[0]
    s = state[0]
    estimate_reset(p, s)
    j = 0
    for k in range(gyro.shape[0]):
        t_ns = int(k * dt * 1e9 + 0.5)
        sample(p, s, (gyro[k, 0], gyro[k, 1], gyro[k, 2]), (accel[k, 0], accel[k, 1], accel[k, 2]), t_ns)
        while j < fix_k.shape[0] and fix_k[j] <= k:
            take_fix(s, fix_ns[j], fixes[j])
            j += 1
        used = s["fixes_used"]
        work(p, s)
        if s["fixes_used"] != used:
            nis[j - 1] = s["fix_nis"]


def simulate_run(seed: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Error (12,) and its covariance at the end, and the NIS of the fixes."""
    noise = dict(gyro_noise=1e-3, accel_noise=0.02, gyro_bias=0.005, accel_bias=0.05)
    r = record(wander(), 60.0, 100.0, seed=seed, gnss_hz=5.0, gnss_std=0.1, **noise)
    p = default_params("flight", 0.01, **TRUE_MODEL)
    s = np.zeros(1, ESTIMATION_STATE)
    fixes = np.zeros((len(r.gnss_t), 8))
    fixes[:, :3], fixes[:, 6] = r.gnss_vel, 0.1
    nis = np.full(len(fixes), np.nan)
    fix_k = np.ceil(r.gnss_t * r.rate_hz - 1e-6).astype(np.int64)
    run_nis(p, s, r.gyro, r.accel, 0.01, fix_k, np.round(r.gnss_t * 1e9).astype(np.int64), fixes, nis)
    st = s[0]
    error = np.zeros(12)
    error[TH:BG] = errors_rad(st["q"][None], r.q_NC[-1:])[0][0]
    error[BG:V] = r.bias - st["x"][BG:V]
    error[V:BA] = r.vel_N[-1] - st["x"][V:BA]
    error[BA:12] = r.accel_bias - st["x"][BA:12]
    return error, st["P"][:12, :12].copy(), nis


def test_nees_and_nis_lie_in_their_bands() -> None:
    """Monte-Carlo, 95 % bands (Bar-Shalom, Li, Kirubarajan, "Estimation with Applications", 2001, section 5.4)."""
    nees, nis = [], []
    for seed in range(RUNS):
        error, P, run = simulate_run(seed)
        nees.append([error[a:b] @ np.linalg.solve(P[a:b, a:b], error[a:b]) for a, b in PARTS.values()])
        nis.append(run[len(run) // 2 :])
    for (name, (a, b)), mean in zip(PARTS.items(), np.mean(nees, 0)):
        dof = b - a
        low, high = chi2.ppf([0.025 / 5, 1 - 0.025 / 5], dof * RUNS) / RUNS  # five tests at once
        assert low < mean < high, f"{name}: {mean:.2f} outside {low:.2f} to {high:.2f}"
    runs = np.nanmean(nis, 1)
    low, high = chi2.ppf([0.025, 0.975], 3 * np.size(nis)) / np.size(nis)
    assert low < runs.mean() < high, f"NIS {runs.mean():.3f} outside {low:.3f} to {high:.3f}"


def test_covariance_stays_symmetric_and_positive_definite_over_an_hour() -> None:
    r = record(handheld(3), 600.0, 100.0, seed=1, gyro_noise=1e-4, accel_noise=1e-3, gyro_bias=0.003, accel_bias=0.05)
    p = default_params("handheld", 0.01)
    s = np.zeros(1, ESTIMATION_STATE)
    for _ in range(6):
        stretch_on(p, s, r.gyro, r.accel)
        P = s["P"][0]
        assert (P == P.T).all()
        scale = 1 / np.sqrt(np.diag(P))
        assert np.linalg.eigvalsh(P * scale[:, None] * scale).min() > 0
    assert s["resets"][0] == 0


@kernel
def stretch_on(params, state, gyro, accel):
    """Go on with the same samples from the time reached."""
    p = params[0]
    s = state[0]
    for k in range(gyro.shape[0]):
        t_ns = s["t_ns"] + 10_000_000
        sample(p, s, (gyro[k, 0], gyro[k, 1], gyro[k, 2]), (accel[k, 0], accel[k, 1], accel[k, 2]), t_ns)
        work(p, s)


def test_causal() -> None:
    r = record(wander(), 20.0, 100.0, seed=3, gnss_hz=5.0, gyro_bias=0.01)
    kw = dict(gnss_t=r.gnss_t, gnss_vel_N=r.gnss_vel)
    whole = estimate_attitude(r.gyro, r.accel, 100.0, **kw)
    for n in (1, 2, 500, 1111):
        part = estimate_attitude(r.gyro[:n], r.accel[:n], 100.0, **kw)
        np.testing.assert_array_equal(part.q_NC, whole.q_NC[:n])
        np.testing.assert_array_equal(part.tilt_std, whole.tilt_std[:n])


def test_magnets_never_tilt() -> None:
    r = record(handheld(4), 60.0, 100.0, seed=4, gyro_noise=1e-4, accel_noise=1e-3, gyro_bias=0.003)
    field = np.array([20.0, 0.0, 45.0])
    w, x, y, z = r.q_NC.T
    mag = Rotation.from_quat(np.stack([x, y, z, w], 1)).inv().apply(field)
    mag[3000:3600] += [60.0, -30.0, 20.0]
    six = estimate_attitude(r.gyro, r.accel, 100.0)
    nine = estimate_attitude(r.gyro, r.accel, 100.0, mag=mag)
    heading = np.degrees(np.abs(errors_rad(nine.q_NC, r.q_NC)[2]))
    assert heading[2900] < 2.0 and heading[3000:3600].max() < 4.0
    assert nine.status[3300] & layout.MAG_REJECTED and not nine.status[2900] & layout.MAG_REJECTED
    tilt6, tilt9 = errors_rad(six.q_NC, r.q_NC)[1], errors_rad(nine.q_NC, r.q_NC)[1]
    assert np.degrees(np.abs(tilt6 - tilt9)).max() < 0.4  # only through the gyro's errors, not by a pull


def test_step_agrees_with_the_matrix_oracle() -> None:
    """Twenty seconds against plain matrices: transition of every sample by itself, full updates."""
    r = record(handheld(5), 20.0, 200.0, seed=5, gyro_noise=1e-4, accel_noise=1e-3, gyro_bias=0.005, accel_bias=0.05)
    p = default_params("handheld", 0.005, coarse_s=0.0, rest_s=1e9)
    s = np.zeros(1, ESTIMATION_STATE)
    oracle = Oracle(p[0])
    for k in range(len(r.t)):
        one_step(p, s, r.gyro[k], r.accel[k], k * 5_000_000)
        oracle.sample(r.gyro[k], r.accel[k], k * 5_000_000)
    assert np.degrees(oracle.angle_to(s["q"][0])) < 0.02
    np.testing.assert_allclose(np.sqrt(np.diag(s["P"][0])), np.sqrt(np.diag(oracle.P)), rtol=0.05)
    np.testing.assert_allclose(s["x"][0, BG:V], oracle.x[BG:V], atol=0.05 * np.sqrt(oracle.P[3, 3]))


@kernel
def one_step(params, state, g, a, t_ns):
    sample(params[0], state[0], (g[0], g[1], g[2]), (a[0], a[1], a[2]), t_ns)
    work(params[0], state[0])


@pytest.mark.parametrize("harm", ["nan in q", "nan in P", "indefinite P", "absurd bias"])
def test_judge_restarts_from_the_complementary_filter(harm: str) -> None:
    r = record(handheld(6), 40.0, 100.0, seed=6, gyro_noise=1e-4, accel_noise=1e-3)
    p = default_params("handheld", 0.01)
    s = np.zeros(1, ESTIMATION_STATE)
    stretch_on(p, s, r.gyro[:2000], r.accel[:2000])
    if harm == "nan in q":
        s["q"][0, 1] = np.nan
    elif harm == "nan in P":
        s["P"][0, 4, :] = np.nan
        s["P"][0, :, 4] = np.nan
    elif harm == "indefinite P":
        s["P"][0, 0, 6] = s["P"][0, 6, 0] = 3 * np.sqrt(s["P"][0, 0, 0] * s["P"][0, 6, 6])
    else:
        s["x"][0, BG] = 2.0
    stretch_on(p, s, r.gyro[2000:2300], r.accel[2000:2300])
    assert s["resets"][0] >= 1 and s["status"][0] & layout.FALLBACK
    stretch_on(p, s, r.gyro[2300:], r.accel[2300:])
    assert np.isfinite(s["P"]).all()
    assert np.degrees(errors_rad(s["q"], r.q_NC[-1:])[1][0]) < 5.0
    assert s["resets"][0] <= 2
    assert len(s["x"][0]) == N
