"""The compiled filter against the same one in dense matrices, and the covariance against simulated truth."""

from __future__ import annotations

import numpy as np
import pytest

from gimbal.targeting.target_tracker import Status, TargetTracker
from tests.oracles.tracker import Oracle
from tests.targeting.tracker_flights import Flight

OPEN = {"gate_pos": 1e9, "gate_vel": 1e9, "gate_bearing": 1e9, "wander_nis": 1e12}
FIXED_NOISE = {"fix_pos_std_m": 0.1, "white_min_m": 0.1, "white_max_m": 0.1}
CAMERA = np.array([60.0, 40.0, -3.0])


def _streams(flight, seconds, rng, bearings):
    """(t, kind, values) in order of time."""
    rows = []
    for t in np.arange(0.0, seconds, 0.2):
        p, v, _ = flight.at(t)
        rows.append((t, 0, (p + rng.normal(size=3) * 0.1, v + rng.normal(size=3) * 0.1)))
    if bearings:
        for t in np.arange(2.013, seconds, 1 / 15):
            d = flight.at(t)[0] - CAMERA
            los = d / np.linalg.norm(d) + rng.normal(size=3) * 0.002
            rows.append((t, 1, los / np.linalg.norm(los)))
    return sorted(rows, key=lambda row: row[0])


@pytest.mark.parametrize("bearings", [False, True])
def test_agrees_with_dense_matrices(bearings):
    flight, rng = Flight(seed=3), np.random.default_rng(1)
    tracker = TargetTracker(**OPEN, **FIXED_NOISE)
    oracle = Oracle(tracker._params[0])
    for t, kind, value in _streams(flight, 12.0, rng, bearings):
        if kind == 0:
            tracker.add_fix(t, t + 0.01, *value, 1.0, 0.3)
            oracle.fix(t, *value)
        else:
            tracker.add_bearing(t, t + 0.01, value, 0.002, CAMERA)
            oracle.bearing(t, value, 0.002, CAMERA)
        work = tracker._state["work"][0]
        n = min(int(work["n"]), 16)  # the heading of the attitude is known here
        np.testing.assert_allclose(work["x"][:n], oracle.x[:n], rtol=0, atol=0.03)
        scale = np.sqrt(np.outer(np.diag(oracle.P), np.diag(oracle.P)))[:n, :n]
        assert np.max(np.abs(work["P"][:n, :n] - oracle.P[:n, :n]) / scale) < 0.02
    out, ref = tracker.predict(t + 0.4), oracle.predict(t + 0.4)
    assert np.linalg.norm(out.pos_N - ref[:3]) < 0.03 and np.linalg.norm(out.vel_N - ref[3:6]) < 0.1


def _nees(flights, seconds, bearings, dims):
    values = []
    for k in range(flights):
        flight, rng = Flight(seed=100 + k), np.random.default_rng(k)
        bias = rng.normal(size=3) * [1.0, 1.0, 1.8] if bearings else np.zeros(3)
        tracker = TargetTracker()
        fixes = [(t, t + 0.2) for t in np.arange(0.0, seconds, 0.2)]
        boxes = [(t, t + 0.08) for t in np.arange(1.0, seconds, 1 / 15)] if bearings else []
        events = sorted([(a, 0, t) for t, a in fixes] + [(a, 1, t) for t, a in boxes])
        for arrival, kind, t in events:
            p, v, _ = flight.at(t)
            if kind == 0:
                noisy = p + bias + rng.normal(size=3) * 0.12, v + rng.normal(size=3) * 0.08
                tracker.add_fix(t, arrival, *noisy, 1.2, 0.25)
            else:
                d = p - CAMERA
                los = d / np.linalg.norm(d) + rng.normal(size=3) * np.hypot(0.0014, 0.25 / np.linalg.norm(d))
                assert tracker.add_bearing(t, arrival, los / np.linalg.norm(los), 0.0014, CAMERA) in (0, 1)
            if kind == 0 and arrival > 5.0:
                out = tracker.predict(arrival + 0.05)
                p, v, a = flight.at(arrival + 0.05)
                e = np.concatenate([out.pos_N - p, out.vel_N - v, out.acc_N - a])
                C = out.cov_N
                if bearings:  # only what the camera sees: across the line of sight
                    u = p - CAMERA
                    u /= np.linalg.norm(u)
                    n1 = np.cross(u, [0, 0, 1.0])
                    n1 /= np.linalg.norm(n1)
                    N = np.stack([n1, np.cross(u, n1)])
                    e, C = N @ e[:3], N @ C[:3, :3] @ N.T
                else:
                    e, C = e[:dims], C[:dims, :dims]
                assert np.all(np.linalg.eigvalsh(C) > 0)
                values.append(e @ np.linalg.solve(C, e) / len(e))
    return float(np.mean(values))


def test_covariance_of_a_prediction_is_honest():
    """Mean normalised squared error, 1 = the covariance tells the truth; it may be cautious, not boastful."""
    assert 0.25 < _nees(12, 30.0, False, 3) < 1.6
    assert 0.25 < _nees(12, 30.0, False, 6) < 1.6


def test_covariance_of_the_fused_line_of_sight_is_honest():
    assert 0.2 < _nees(10, 25.0, True, 3) < 1.6


def test_status_is_an_int_enum():
    assert [s.name for s in Status][:6] == ["ACCEPTED", "GATED", "LATE", "DUPLICATE", "FUTURE", "INVALID"]
