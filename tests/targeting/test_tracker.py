"""TargetTracker: what becomes of good, late, repeated and impossible measurements, and what it predicts then."""

from __future__ import annotations

import math

import numpy as np
import pytest

from gimbal.records import TargetStatus
from gimbal.targeting.target_tracker import Status, TargetTracker
from tests.targeting.tracker_flights import Flight

CAMERA = np.array([50.0, 30.0, 0.0])


def fly(tracker, flight, start, end, rate=5.0, delay=0.2, seed=0, offset=(0.0, 0.0, 0.0)):
    """Feed fixes measured in [start, end); statuses."""
    rng = np.random.default_rng(seed)
    out = []
    for t in np.arange(start, end, 1 / rate):
        p, v, _ = flight.at(t)
        noisy = p + np.asarray(offset) + rng.normal(size=3) * 0.1, v + rng.normal(size=3) * 0.08
        out.append(tracker.add_fix(t, t + delay, *noisy, 1.0, 0.3))
    return out


def error(tracker, flight, t):
    return float(np.linalg.norm(tracker.predict(t).pos_N - flight.at(t)[0]))


def test_nan_before_the_first_fix():
    out = TargetTracker().predict(1.0)
    assert np.isnan(out.pos_N).all() and np.isnan(out.cov_N).all() and math.isnan(out.age_s)
    assert out.pos_N.shape == out.vel_N.shape == out.acc_N.shape == (3,) and out.cov_N.shape == (9, 9)
    assert out.status == TargetStatus.NONE


def test_bearings_before_the_first_fix_are_gated_and_harmless():
    tracker, flight = TargetTracker(), Flight(1)
    assert tracker.add_bearing(0.0, 0.1, [1, 0, 0], 0.01, CAMERA) == Status.GATED
    fly(tracker, flight, 0.1, 4.0)
    assert error(tracker, flight, 4.0) < 0.6


@pytest.mark.parametrize("rate", [1.0, 5.0, 25.0])
def test_follows_at_any_rate(rate):
    tracker, flight = TargetTracker(), Flight(2)
    assert set(fly(tracker, flight, 0.0, 20.0, rate)) == {Status.ACCEPTED}
    assert error(tracker, flight, 20.0) < (3.0 if rate == 1.0 else 0.5)


def test_impossible_numbers_are_invalid_and_change_nothing():
    tracker, flight = TargetTracker(), Flight(3)
    fly(tracker, flight, 0.0, 5.0)
    before = tracker.predict(5.2)
    p, v, _ = flight.at(5.2)
    nan = [math.nan, 0.0, 0.0]
    assert tracker.add_fix(5.2, 5.4, nan, v, 1.0, 0.3) == Status.INVALID
    assert tracker.add_fix(5.2, 5.4, p, [math.inf, 0, 0], 1.0, 0.3) == Status.INVALID
    assert tracker.add_fix(math.nan, 5.4, p, v, 1.0, 0.3) == Status.INVALID
    assert tracker.add_fix(5.2, math.nan, p, v, 1.0, 0.3) == Status.INVALID
    assert tracker.add_fix(5.2, 5.4, [6.0e6, 0, 0], v, 1.0, 0.3) == Status.INVALID  # another continent
    assert tracker.add_fix(5.2, 5.4, p, [900.0, 0, 0], 1.0, 0.3) == Status.INVALID
    assert tracker.add_bearing(5.2, 5.4, [0.2, 0.0, 0.0], 0.01, CAMERA) == Status.INVALID  # no unit vector
    assert tracker.add_bearing(5.2, 5.4, [1.0, 0.0, 0.0], math.nan, CAMERA) == Status.INVALID
    np.testing.assert_array_equal(before.cov_N, tracker.predict(5.2).cov_N)
    np.testing.assert_array_equal(before.pos_N, tracker.predict(5.2).pos_N)


def test_future_duplicate_and_late():
    tracker, flight = TargetTracker(), Flight(4)
    fly(tracker, flight, 0.0, 5.0)
    p, v, _ = flight.at(4.8)
    assert tracker.add_fix(6.0, 5.1, p, v, 1.0, 0.3) == Status.FUTURE
    assert tracker.add_fix(4.8, 5.1, p, v, 1.0, 0.3) == Status.DUPLICATE
    assert tracker.add_fix(2.5, 5.1, *flight.at(2.5)[:2], 1.0, 0.3) == Status.LATE
    assert tracker.add_fix(4.8, 5.1, p, v, 1.0, 0.3, source="second") != Status.DUPLICATE
    assert error(tracker, flight, 5.0) < 0.6


def test_clock_step_is_named_and_survived():
    tracker, flight = TargetTracker(), Flight(5)
    fly(tracker, flight, 0.0, 5.0)
    p, v, _ = flight.at(5.0)
    assert tracker.add_fix(5.0 + 3600.0, 5.2, p, v, 1.0, 0.3) == Status.FUTURE
    assert tracker.add_fix(5.0 - 3600.0, 5.2, p, v, 1.0, 0.3) == Status.LATE
    assert set(fly(tracker, flight, 5.2, 7.0)) == {Status.ACCEPTED}
    assert error(tracker, flight, 7.0) < 0.6


def test_one_jump_is_gated_and_does_not_move_the_track():
    tracker, flight = TargetTracker(), Flight(6)
    fly(tracker, flight, 0.0, 5.0)
    without = tracker.predict(5.3).pos_N.copy()
    p, v, _ = flight.at(5.0)
    assert tracker.add_fix(5.0, 5.2, p + [30.0, 40.0, 0.0], v, 1.0, 0.3) == Status.GATED
    assert np.linalg.norm(tracker.predict(5.3).pos_N - without) < 0.3
    assert fly(tracker, flight, 5.2, 7.0)[0] == Status.ACCEPTED
    assert error(tracker, flight, 7.0) < 0.6


def test_a_jump_that_stays_is_believed_and_left_again():
    tracker, flight = TargetTracker(), Flight(7)
    fly(tracker, flight, 0.0, 5.0)
    away = fly(tracker, flight, 5.0, 8.0, offset=(30.0, 40.0, 0.0))
    assert away[0] == Status.GATED and away[-1] == Status.ACCEPTED
    moved = np.array([30.0, 40.0, 0.0])
    assert np.linalg.norm(tracker.predict(8.0).pos_N - flight.at(8.0)[0] - moved) < 1.5
    assert np.linalg.norm(tracker.predict(8.0).vel_N - flight.at(8.0)[1]) < 1.5  # the Doppler kept it straight
    back = fly(tracker, flight, 8.0, 11.0)
    assert back[0] == Status.GATED and back[-1] == Status.ACCEPTED
    assert error(tracker, flight, 11.0) < 0.6


def test_two_beacons_with_one_identity():
    """A second beacon 80 m off, alternating: the first one keeps the track."""
    tracker, flight = TargetTracker(), Flight(8)
    fly(tracker, flight, 0.0, 3.0)
    second = []
    for t in np.arange(3.0, 8.0, 0.2):
        p, v, _ = flight.at(t)
        assert tracker.add_fix(t, t + 0.2, p, v, 1.0, 0.3) == Status.ACCEPTED
        p, v, _ = flight.at(t + 0.1)
        second.append(tracker.add_fix(t + 0.1, t + 0.31, p + [80.0, 0, 0], v, 1.0, 0.3))
    assert set(second) == {Status.GATED}
    assert error(tracker, flight, 8.0) < 0.6


def test_velocity_that_disagrees_is_not_used():
    tracker, flight = TargetTracker(), Flight(9)
    fly(tracker, flight, 0.0, 5.0)
    p, v, _ = flight.at(5.0)
    tracker.add_fix(5.0, 5.2, p, -3.0 * v, 1.0, 0.3)
    assert error(tracker, flight, 5.3) < 1.0


def test_coasts_drops_and_begins_again():
    tracker, flight = TargetTracker(), Flight(10)
    fly(tracker, flight, 0.0, 5.0)
    sizes = [np.sqrt(np.trace(tracker.predict(5.0 + g).cov_N[:3, :3])) for g in (0.2, 1.0, 2.0, 4.0)]
    assert all(b > 1.5 * a for a, b in zip(sizes, sizes[1:]))  # the covariance grows while coasting
    assert tracker.predict(5.2).status == TargetStatus.TRACKING
    assert tracker.predict(9.0).status == TargetStatus.COASTING
    assert tracker.predict(15.0).status == TargetStatus.LOST
    elsewhere = np.array([400.0, -900.0, 0.0])
    assert set(fly(tracker, flight, 20.0, 24.0, offset=elsewhere)) == {Status.ACCEPTED}
    assert np.linalg.norm(tracker.predict(24.0).pos_N - flight.at(24.0)[0] - elsewhere) < 1.0


def test_predict_changes_nothing():
    tracker, flight = TargetTracker(), Flight(11)
    fly(tracker, flight, 0.0, 5.0)
    state = tracker._state.tobytes()
    first = tracker.predict(6.0)
    kept = first.pos_N.copy()
    for t in (-3.0, 5.0, 50.0, math.nan):
        tracker.predict(t)
    assert tracker._state.tobytes() == state
    np.testing.assert_array_equal(first.pos_N, kept)


def test_out_of_order_equals_in_order():
    """Fixes and bearings in any order of arrival end in the same estimate, to the last bit."""
    flight, rng = Flight(12), np.random.default_rng(5)
    rows = []
    for t in np.arange(0.0, 8.0, 0.2):
        p, v, _ = flight.at(t)
        rows.append((t, p + rng.normal(size=3) * 0.1, v + rng.normal(size=3) * 0.1))
    for t in np.arange(2.01, 8.0, 1 / 30):
        d = flight.at(t)[0] - CAMERA
        rows.append((t, d / np.linalg.norm(d), None))
    arrival = [r[0] + (rng.uniform(0.1, 0.9) if r[0] > 1.0 else 0.01) for r in rows]
    results = []
    for order in (sorted(range(len(rows)), key=lambda k: rows[k][0]), np.argsort(arrival)):
        tracker = TargetTracker()
        for k in order:
            t, a, v = rows[k]
            if v is None:
                tracker.add_bearing(t, t + 2.0, a, 0.003, CAMERA)
            else:
                tracker.add_fix(t, t + 2.0, a, v, 1.0, 0.3)
        results.append(tracker.predict(8.5))
    np.testing.assert_array_equal(results[0].pos_N, results[1].pos_N)
    np.testing.assert_array_equal(results[0].cov_N, results[1].cov_N)


def test_bearings_take_out_the_bias():
    flight, rng = Flight(13), np.random.default_rng(3)
    bias, errors = np.array([1.0, -1.2, 1.8]), {}
    for camera in (False, True):
        tracker = TargetTracker()
        events = [(t + 0.2, t, 0) for t in np.arange(0, 10, 0.2)]
        events += [(t + 0.08, t, 1) for t in np.arange(1, 10, 1 / 30)] if camera else []
        for arrival, t, kind in sorted(events):
            p, v, _ = flight.at(t)
            if kind == 0:
                tracker.add_fix(t, arrival, p + bias + rng.normal(size=3) * 0.1, v, 1.2, 0.2)
            else:
                los = (p - CAMERA) / np.linalg.norm(p - CAMERA) + rng.normal(size=3) * 0.003
                tracker.add_bearing(t, arrival, los / np.linalg.norm(los), 0.003, CAMERA)
        d, truth = tracker.predict(10.1).pos_N - CAMERA, flight.at(10.1)[0] - CAMERA
        errors[camera] = np.arccos(d @ truth / np.linalg.norm(d) / np.linalg.norm(truth))
    assert errors[True] < 0.006 and errors[True] < 0.3 * errors[False]


def test_boxes_of_another_person_are_gated():
    flight, rng = Flight(14), np.random.default_rng(3)
    tracker = TargetTracker()
    seen = []
    for k in range(300):
        t = k / 30
        p, v, _ = flight.at(t)
        if k % 6 == 0:
            tracker.add_fix(t, t + 0.01, p, v, 1.2, 0.2)
        other = k > 60 and k % 15 == 7
        d = p + ([0.0, 12.0, 0.0] if other else rng.normal(size=3) * 0.1) - CAMERA
        status = tracker.add_bearing(t, t + 0.01, d / np.linalg.norm(d), 0.003, CAMERA)
        seen.append((other, status))
    assert {s for other, s in seen if other} == {Status.GATED}
    assert np.mean([s == Status.ACCEPTED for other, s in seen[61:] if not other]) > 0.97


def test_relative_delay_is_found_from_bearings():
    """The beacon's stamps are 60 ms late against the camera's: the prediction comes to agree with the camera."""
    flight = Flight(15)
    tracker = TargetTracker()
    for k in range(600):
        t = k / 30
        if k % 6 == 0:
            tracker.add_fix(t, t + 0.2, *flight.at(t - 0.06)[:2], 1.2, 0.2)
        camera = flight.at(t)[0] * [1, 0, 0] + [0.0, 40.0, 0.0]  # flies beside
        d = flight.at(t)[0] - camera
        tracker.add_bearing(t, t + 0.2, d / np.linalg.norm(d), 0.002, camera)
    assert tracker._state["served"]["x"][0, 15] > 0.02


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("late", ["beacon", "camera"])
def test_of_two_stamps_the_later_one_is_disbelieved(late, seed):
    """One source's stamps are 60 ms late, 1.2 m of flight; none can be earlier than its measurement, so
    that the sign tells whose. A camera at rest, the subject comes by at 40 m."""
    flight, rng = Flight(20 + seed), np.random.default_rng(seed)
    tracker, camera = TargetTracker(), flight.at(8.0)[0] + [0.0, 40.0, 5.0]
    beacon_s, camera_s = (0.06, 0.0) if late == "beacon" else (0.0, 0.06)
    bias, errors = rng.normal(size=3), []
    for k in range(300):
        t = k / 30
        if k % 6 == 0:
            p, v, _ = flight.at(t - beacon_s)
            tracker.add_fix(t, t, p + bias + rng.normal(size=3) * 0.05, v + rng.normal(size=3) * 0.06, 1.2, 0.2)
        d = flight.at(t - camera_s)[0] + rng.normal(size=3) * 0.25 - camera
        tracker.add_bearing(t, t, d / np.linalg.norm(d), 0.002, camera)
        d, truth = tracker.predict(t).pos_N - camera, flight.at(t)[0] - camera
        errors.append(np.linalg.norm(np.cross(d / np.linalg.norm(d), truth / np.linalg.norm(truth))))
    assert np.sqrt(np.mean(np.square(errors[210:270]))) < 0.5 * 1.2 / 40.0
    said = tracker.predict(10.0).late_s
    assert (said > 0.03) if late == "beacon" else (said < -0.03)


@pytest.mark.parametrize("change", [{"model": "spline"}, {"history_s": 0.0}, {"sigma": 3.0}])
def test_bad_arguments_are_named(change):
    with pytest.raises(ValueError, match=next(iter(change))):
        TargetTracker(**change)
