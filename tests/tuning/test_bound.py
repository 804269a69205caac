"""Bounds: a hand-derived axis, a scalar case against brute force, order of the bounds, the recorded torque."""

from __future__ import annotations

import itertools
import math

import numpy as np
import pytest

from gimbal.config.load import load_rig, load_scenario
from gimbal.frames import AXIS_INDEX
from gimbal.tuning.bound import (
    ANGLE,
    Problem,
    Responses,
    bound,
    controller_response,
    least,
    lqg,
    sensor_floor,
    youla,
)
from gimbal.tuning.carrier_bound import BoundWrong, bound_keys
from gimbal.tuning.carrier_torque import carry, chain_torque
from gimbal.tuning.model import Axis, Controller, make_axis
from gimbal.tuning.spectrum import Process, Spectrum, Steep, density_of, fit

FLAT = math.sqrt(0.5)
SHAKEN = Spectrum((Process(3.0, 0.35, 0.008), Process(8.0, 0.35, 0.006), Process(30.0, 0.35, 0.012)))


def hand_axis(delay_ticks):
    """J 0.02 kg m², 300 Hz torque loop, 1 kHz, attitude known to 3 µrad a sample."""
    axis = Axis("roll", 1000.0, 1000.0, 0.02, 0.02, 0.0, 0.0, 0.0, delay_ticks * 1e-3, 300.0, 256.0, 0.0, 0.0)
    torque = (Process(1.0, FLAT, 0.05, True), Process(15.0, FLAT, 0.02, True), Process(35.0, 0.0003, 0.02))
    return Problem(axis, Spectrum(torque), 3e-6, ANGLE, metric=False)


@pytest.mark.parametrize("order", [2, 4, 8])
@pytest.mark.parametrize("hz", [1.0, 5.0, 40.0])
def test_a_steep_low_pass_is_the_same_by_density_and_by_steps(hz, order):
    process, T = Steep(hz, order, 0.03), 1e-3
    f = np.geomspace(1e-3, 499.0, 20_000)
    assert np.trapezoid(process.density(f), f) == pytest.approx(0.03**2, rel=0.01)
    assert Spectrum((process,)).sampled_rms(T) == pytest.approx(0.03, rel=1e-6)
    A, Q, C = process.sampled(T)
    at = np.array([0.3, 1.0, 1.5]) * hz
    for x, density in zip(at, process.density(at), strict=True):
        H = C @ np.linalg.inv(np.exp(2j * np.pi * x * T) * np.eye(order) - A)
        assert float((2.0 * T * H @ Q @ H.conj().T).real[0, 0]) == pytest.approx(density, rel=0.02)


def test_a_spectrum_that_ends_within_an_octave_is_fitted_on_both_sides_of_its_end():
    """Wind level to 5 Hz and a thousandth beyond, as the train's roof has it."""
    f = np.arange(0.25, 300.0, 0.25)
    p = 1.5e-4 / (1.0 + (f / 5.0) ** 14) + 3e-8 / (1.0 + (f / 30.0) ** 2)
    p *= np.random.default_rng(1).chisquare(14, len(f)) / 14.0
    made = fit(f, p, 300.0).density(f)
    for low, high in ((0.25, 1.0), (1.0, 3.0), (3.0, 5.0), (8.0, 15.0), (15.0, 40.0), (40.0, 250.0)):
        band = (f >= low) & (f < high)
        assert 0.7 < made[band].sum() / p[band].sum() < 1.5, (low, high)


@pytest.mark.parametrize(("ticks", "expected_urad"), [(1, 4.5), (2, 7.0), (3, 10.5), (4, 14.9)])
def test_lqg_of_the_hand_derived_axis(ticks, expected_urad):
    """Computed apart from this code; the source leaves the roll-off of its two bands open, hence the width."""
    problem = hand_axis(ticks)
    r = Responses(problem)
    c = lqg(problem)
    R0, rows = youla(c, r)
    assert 1e6 * r.jitter(R0) == pytest.approx(expected_urad, rel=0.35)
    assert r.jitter(least(r, R0, rows, math.inf)) == pytest.approx(r.jitter(R0), rel=5e-3)  # nothing is left to gain


def test_lqg_by_frequency_is_lqg_by_covariance():
    """The closed loop's Lyapunov equation gives the same RMS as the integral over frequency."""
    from scipy.linalg import block_diag, solve_discrete_lyapunov

    problem = hand_axis(2)
    c = lqg(problem)
    r = Responses(problem)
    n = len(c.A)
    filtered = np.eye(n) - c.M @ c.C
    step = c.A - c.B @ c.F
    A = np.block([[c.A - c.B @ c.F @ c.M @ c.C, -c.B @ c.F @ filtered], [step @ c.M @ c.C, step @ filtered]])
    _, Q, _ = problem.disturbance.sampled(1e-3)
    plant = n - len(Q)
    noise = block_diag(np.zeros((plant, plant)), Q, np.zeros((n, n)))
    kick = np.concatenate([-c.B @ c.F @ c.M, step @ c.M])
    P = solve_discrete_lyapunov(A, noise + kick @ kick.T * problem.noise**2)
    angle = math.sqrt(float((c.C @ P[:n, :n] @ c.C.T)[0, 0]))
    assert 1e6 * r.jitter(r.closed(controller_response(c, r.z))) == pytest.approx(1e6 * angle, rel=0.02)


def test_a_scalar_case_against_brute_force():
    """Two poles and a gain of Q searched over a grid never beat the bound, and the best comes near it."""
    problem = hand_axis(2)
    r = Responses(problem)
    R0, rows = youla(lqg(problem), r)
    best = r.jitter(least(r, R0, rows[:1], math.inf))
    grid = [r.jitter(R0 + x * rows[0]) for x in np.linspace(-3.0, 3.0, 2001) * abs(R0).max() / abs(rows[0]).max()]
    assert best <= min(grid) * (1.0 + 1e-9)
    assert min(grid) < 1.05 * best


def pid_response(r, p, i, d):
    z = r.z
    slope = (1.0 - 1.0 / z) / r.T
    return -(p + i * r.T / (1.0 - 1.0 / z) + d * slope / (1.0 + slope / (2.0 * math.pi * 150.0)))


def test_no_pid_beats_the_lqg():
    problem = hand_axis(2)
    r = Responses(problem)
    least_urad = 1e6 * r.jitter(r.closed(controller_response(lqg(problem), r.z)))
    stable = []
    for w, zeta, k in itertools.product((40.0, 70.0, 100.0, 140.0), (0.5, 0.8, 1.2), (0.1, 0.3)):
        J = problem.axis.inertia
        R = r.closed(pid_response(r, J * w * w, k * J * w**3, 2.0 * zeta * J * w))
        S = np.abs(1.0 + r.Pyu * R)
        if S.max() < 3.0:
            stable.append(1e6 * r.jitter(R))
    assert stable
    assert min(stable) > 1.5 * least_urad


@pytest.mark.parametrize("name", ["torque", "torque_fast"])
def test_lqg_then_robust_then_the_shipped_loop(name):
    rig = load_rig(name).config
    axis = make_axis(rig, "roll")
    problem = Problem(axis, SHAKEN, axis.gyro_noise)
    b = bound(problem)
    r = Responses(problem)
    shipped = r.jitter(r.closed(Controller(rig, axis).response(r.z)))
    assert b.lqg < b.robust < shipped
    assert b.robust_peak <= 2.01 < b.lqg_peak
    assert b.lqg > 0.5 * sensor_floor(axis)


def test_floor_of_the_reference_gyro_is_eleven_microradians():
    assert 1e6 * sensor_floor(make_axis(load_rig("torque").config, "yaw")) == pytest.approx(
        11.0, abs=0.8
    )  # the metric filters twice


def test_a_fitted_spectrum_is_the_one_that_made_the_samples():
    made = Spectrum((Process(1.0, 0.0, 0.05), Process(15.0, 0.35, 0.02), Process(35.0, 0.003, 0.02)))
    A, Q, C = made.sampled(1e-3)
    rng = np.random.default_rng(1)
    U, s, _ = np.linalg.svd(Q)
    w = rng.normal(size=(30000, len(A))) @ (U * np.sqrt(s)).T
    x, y = np.zeros(len(A)), np.zeros(30000)
    for i in range(30000):
        x = A @ x + w[i]
        y[i] = (C @ x)[0]
    fitted = fit(*density_of(y, 1000.0), 200.0)
    f = np.geomspace(1.0, 100.0, 12)
    assert np.max(np.abs(10.0 * np.log10(fitted.density(f) / made.density(f)))) < 3.0
    for spectrum in (made, fitted):
        assert spectrum.sampled_rms(1e-3) == pytest.approx(spectrum.rms(), rel=1e-6)
        assert np.abs(np.linalg.eigvals(spectrum.sampled(1e-3)[0])).max() < 1.0


@pytest.mark.parametrize("name", ["helicopter", "speedflight"])
def test_constraint_torque_is_the_plants_inverse_dynamics(name):
    """At instants of the carrier: M q'' + h of the plant itself, joints moving so that the camera stands."""
    from gimbal.plant import step
    from gimbal.plant.simulator import Plant

    rig = load_rig("torque").config
    rig = rig.model_copy(update={"structure": rig.structure.model_copy(update={"motor_inertia_share": 0.0})})
    scenario = load_scenario(name).config
    c = carry(rig, scenario, 3.0, 1)
    torque, _ = chain_torque(rig, c.angle, c.force)
    plant = Plant(rig, scenario, seed=1, seconds=3.0)
    rate = np.gradient(c.angle, 1e-3, axis=0, edge_order=2)
    accel = (c.angle[2:] - 2.0 * c.angle[1:-1] + c.angle[:-2]) / 1e-6
    order = [AXIS_INDEX[a] for a in rig.kinematic_order]
    for i in (700, 1500, 2300):
        s = plant.state[0]
        s["t_ns"] = i * 1_000_000
        s["angle"] = s["motor_angle"] = c.angle[i]
        s["rate"] = s["motor_rate"] = rate[i]
        step.run(plant.params, plant.state, plant.tables, plant._command, -1, 0)
        M = np.triu(s["M"]) + np.triu(s["M"], 1).T
        need = np.zeros(3)
        need[order] = M @ accel[i - 1][order] + s["h"]
        assert torque[i] == pytest.approx(need, abs=2e-3 + 0.02 * np.abs(need).max())
        assert np.linalg.norm(s["omega_NC_C"]) < 2e-3


def test_jitter_below_the_lqg_bound_is_an_error():
    four = {"roll": 10.0, "pitch": 10.0, "yaw": 10.0, "total": 17.3}
    found = {"bound_lqg_urad": four, "bound_robust_urad": four, "floor_urad": four}
    row = {"scenario": "s", "rig": "r", "mode": "lock", "jitter_urad_rms": {k: 2.0 * v for k, v in four.items()}}
    assert bound_keys(row, found)["bound_ratio"]["total"] == pytest.approx(2.0)
    assert bound_keys(row | {"mode": "track"}, found)["bound_ratio"] is None
    with pytest.raises(BoundWrong, match="the bound is wrong"):
        bound_keys(row | {"jitter_urad_rms": {k: 0.9 * v for k, v in four.items()}}, found)
