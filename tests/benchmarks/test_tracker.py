"""The tracker beside filterpy's IMM and Stone Soup, on one stream of fixes: an update and a prediction each.

Figures: ``python -m pytest tests/benchmarks/test_tracker.py --benchmark-only``. The ratio tests run without it.
filterpy: R. Labbe, github.com/rlabbe/filterpy. Stone Soup: Dstl, github.com/dstl/Stone-Soup (extra ``bench``); its
covariance update must be in Joseph form, the default one diverges on such data.
"""

from __future__ import annotations

import datetime as dt
import time

import numpy as np
import pytest

from gimbal.kernels.build import kernel
from gimbal.targeting.target_tracker import TargetTracker
from gimbal.targeting.track_history import checkpoint_before, rewind, run
from tests.targeting.tracker_flights import Flight

STEP = 0.2
AHEAD = 0.25


def stream(n):
    flight, rng = Flight(seed=1), np.random.default_rng(1)
    for k in range(n):
        p, v, _ = flight.at(k * STEP)
        yield k * STEP, p + rng.normal(size=3) * 0.1, v + rng.normal(size=3) * 0.08


def ours():
    tracker = TargetTracker()

    def step(t, p, v):
        tracker.add_fix(t, t + 0.2, p, v, 1.0, 0.3)
        return tracker.predict(t + AHEAD).pos_N

    return step


def transition(model, h):
    """(F, Q) of one axis (position, velocity, acceleration): constant velocity, constant acceleration, damped."""
    F = np.array([[1, h, h * h / 2], [0, 1, h], [0, 0, 1.0]])
    if model == 0:
        F[:, 2] = 0.0
    if model == 2:
        F[2, 2] = np.exp(-h / 2.0)
    g = np.array([h**3 / 6, h * h / 2, h])
    return F, (5.0 if model == 0 else 30.0) * np.outer(g, g) / h + 1e-9 * np.eye(3)


def imm():
    """filterpy's interacting multiple model of three linear nine-state filters."""
    filterpy = pytest.importorskip("filterpy.kalman")
    filters = []
    for model in range(3):
        f = filterpy.KalmanFilter(dim_x=9, dim_z=6)
        F, Q = transition(model, STEP)
        f.F, f.Q, f.P = np.kron(np.eye(3), F), np.kron(np.eye(3), Q), np.eye(9) * 100.0
        f.H = np.zeros((6, 9))
        for axis in range(3):
            f.H[axis, 3 * axis] = f.H[3 + axis, 3 * axis + 1] = 1.0
        f.R = np.diag([0.02] * 3 + [0.05] * 3)
        filters.append(f)
    M = np.array([[0.9, 0.05, 0.05], [0.05, 0.9, 0.05], [0.05, 0.05, 0.9]])
    bank = filterpy.IMMEstimator(filters, [1 / 3] * 3, M)
    ahead = [np.kron(np.eye(3), transition(model, AHEAD)[0]) for model in range(3)]

    def step(t, p, v):
        bank.predict()
        bank.update(np.concatenate([p, v]))
        return sum(w * (F @ f.x.ravel()) for w, F, f in zip(bank.mu, ahead, bank.filters))[::3]

    return step


def stone_soup():
    """Stone Soup's Kalman filter with Singer's model, Joseph form."""
    pytest.importorskip("stonesoup", reason="Stone Soup is not installed (extra 'bench')")
    from stonesoup.models.measurement.linear import LinearGaussian
    from stonesoup.models.transition.linear import CombinedLinearGaussianTransitionModel, Singer
    from stonesoup.predictor.kalman import KalmanPredictor
    from stonesoup.types.detection import Detection
    from stonesoup.types.hypothesis import SingleHypothesis
    from stonesoup.types.state import GaussianState
    from stonesoup.updater.kalman import KalmanUpdater

    start = dt.datetime(2020, 1, 1)
    model = CombinedLinearGaussianTransitionModel([Singer(0.5, 30.0) for _ in range(3)])
    measure = LinearGaussian(9, (0, 3, 6, 1, 4, 7), np.diag([0.02] * 3 + [0.05] * 3))
    predictor, updater = KalmanPredictor(model), KalmanUpdater(measure, use_joseph_cov=True)
    state = GaussianState(np.zeros((9, 1)), np.eye(9) * 100.0, timestamp=start)

    def step(t, p, v):
        nonlocal state
        now = start + dt.timedelta(seconds=t)
        detection = Detection(np.concatenate([p, v])[:, None], timestamp=now, measurement_model=measure)
        state = updater.update(SingleHypothesis(predictor.predict(state, timestamp=now), detection))
        ahead = predictor.predict(state, timestamp=now + dt.timedelta(seconds=AHEAD))
        return np.asarray(ahead.state_vector, float).ravel()[::3]

    return step


TRACKERS = {"ours": ours, "filterpy IMM": imm, "Stone Soup": stone_soup}


@pytest.mark.parametrize("name", TRACKERS)
def test_update_and_predict(benchmark, name):
    step = TRACKERS[name]()
    rows = list(stream(60))
    for row in rows[:20]:
        step(*row)
    follow = iter(list(stream(4000))[60:])
    benchmark.group = "tracker: an update and a prediction"
    benchmark.pedantic(lambda row: step(*row), setup=lambda: ((next(follow),), {}), rounds=300)


def median_us(step, n):
    times, errors, flight = [], [], Flight(seed=1)
    for k, (t, p, v) in enumerate(stream(n)):
        c = time.perf_counter()
        ahead = step(t, p, v)
        times.append(time.perf_counter() - c)
        if k > 20:
            errors.append(np.linalg.norm(ahead - flight.at(t + AHEAD)[0]))
    return 1e6 * float(np.median(times)), float(np.sqrt(np.mean(np.square(errors))))


@pytest.mark.benchmark_ratio
@pytest.mark.parametrize("name", ["filterpy IMM", "Stone Soup"])
def test_thirty_times_faster_than_the_peers_and_no_worse(name):
    us, rms = median_us(ours(), 600)
    peer_us, peer_rms = median_us(TRACKERS[name](), 150)
    assert peer_us > 30.0 * us
    assert 0.02 < rms < 1.1 * peer_rms  # both solve the same task


@kernel
def replay_all(params, state, t):
    s = state[0]
    rewind(s, checkpoint_before(s, t), t)
    return run(params[0], s, 1 << 30)


def test_replay_of_two_seconds(benchmark):
    """All that 5 Hz fixes and 30 Hz bearings leave in the history, taken in again."""
    tracker, flight, camera = TargetTracker(), Flight(seed=2), np.array([40.0, 60.0, 0.0])
    for k in range(300):
        t = k / 30
        if k % 6 == 0:
            tracker.add_fix(t, t + 0.2, *flight.at(t)[:2], 1.0, 0.3)
        d = flight.at(t + 0.01)[0] - camera
        tracker.add_bearing(t + 0.01, t + 0.2, d / np.linalg.norm(d), 0.003, camera)
    benchmark.group = "tracker: replay of 2 s"
    steps = benchmark(replay_all, tracker._params, tracker._state, t - 1.7)
    assert steps > 50
