"""The tracker in the tick: bounded replay, bearings turned with the past attitude, TARGET as stated."""

from __future__ import annotations

import numpy as np
import pytest

from gimbal.kernels.build import kernel
from gimbal.kernels.quat import load4
from gimbal.records import NAV, SENSE, TARGET, TargetSource, TargetStatus
from gimbal.targeting.track_history import run
from gimbal.targeting.tracker import STEPS_A_TICK, TRACKER_STATE, Status, default_params, track, tracker_reset
from tests.targeting.tracker_flights import Flight

TICK_NS = 1_000_000
T0_NS = 5_000_000_000_000
LEAD_NS = 3_000_000


@kernel
def tick(p, s, sense, nav, t_act_ns, target):
    track(p[0], s[0], sense[0], nav[0], load4(nav[0]["q_NC_est"]), t_act_ns, target[0])


@kernel
def replay(p, s, steps):
    return run(p[0], s[0], steps)


class Loop:
    """The tracker with its records; a camera on a rig that flies and turns, always roughly facing the subject."""

    def __init__(self, seed=1):
        self.p, self.s = default_params(), np.zeros(1, TRACKER_STATE)
        tracker_reset(self.p, self.s)
        self.sense, self.nav, self.target = np.zeros(1, SENSE), np.zeros(1, NAV), np.zeros(1, TARGET)
        self.flight, self.rng = Flight(seed), np.random.default_rng(seed)

    def camera(self, t):
        """Position, velocity, q_NC of the camera: heading swings by 0.5 rad at 1 Hz about the way to the subject."""
        pos = np.array([18.0 * t - 30.0, 25.0 * np.sin(0.2 * t) - 40.0, 5.0 * t])
        vel = np.array([18.0, 5.0 * np.cos(0.2 * t), 5.0])
        d = self.flight.at(t)[0] - pos
        yaw = np.arctan2(d[1], d[0]) + 0.5 * np.sin(2 * np.pi * t)
        pitch = -np.arctan2(d[2], np.hypot(d[0], d[1]))
        cy, sy, cp, sp = np.cos(yaw / 2), np.sin(yaw / 2), np.cos(pitch / 2), np.sin(pitch / 2)
        return pos, vel, np.array([cy * cp, -sy * sp, cy * sp, sy * cp])

    def tangents(self, t):
        pos, _, (w, x, y, z) = self.camera(t)
        R = np.array(
            [
                [1 - 2 * (y * y + z * z), 2 * (x * y - w * z), 2 * (x * z + w * y)],
                [2 * (x * y + w * z), 1 - 2 * (x * x + z * z), 2 * (y * z - w * x)],
                [2 * (x * z - w * y), 2 * (y * z + w * x), 1 - 2 * (x * x + y * y)],
            ]
        )
        c = R.T @ (self.flight.at(t)[0] - pos)
        return c[1:] / c[0]

    def step(self, k, fix=False, bearing=False, bias=(0.0, 0.0, 0.0), xy=None):
        """Tick k; fix, bearing: measurement times in s, or False; xy: where the box is then, not where it should be."""
        t_ns = T0_NS + k * TICK_NS
        t = k * 1e-3
        sense, nav = self.sense, self.nav
        sense[:] = np.zeros(1, SENSE)
        sense["t_ns"] = nav["t_ns"] = t_ns
        pos, vel, q = self.camera(t)
        nav["valid"], nav["heading_valid"], nav["pos_N_est"], nav["vel_N_est"], nav["q_NC_est"] = 1, 1, pos, vel, q
        if fix is not False:
            p, v, _ = self.flight.at(fix)
            sense["beacon_valid"], sense["beacon_arrival_ns"] = 1, t_ns
            sense["beacon_t_ns"] = T0_NS + round(fix * 1e9)
            sense["beacon_pos_N"] = p + bias + self.rng.normal(size=3) * 0.1
            sense["beacon_vel_N"] = v + self.rng.normal(size=3) * 0.08
            sense["beacon_pos_std"], sense["beacon_vel_std"] = 1.0, 0.3
        if bearing is not False:
            sense["bearing_valid"], sense["bearing_arrival_ns"] = 1, t_ns
            sense["bearing_t_ns"] = T0_NS + round(bearing * 1e9)
            sense["bearing_xy"], sense["bearing_std"] = self.tangents(bearing) if xy is None else xy, 0.002
        tick(self.p, self.s, sense, nav, t_ns + LEAD_NS, self.target)
        return self.target[0]

    def fly(self, ticks, bearings=False, start=0, bias=(0.0, 0.0, 0.0)):
        for k in range(start, start + ticks):
            fix = (k - 200) * 1e-3 if k % 200 == 0 and k >= 200 else False
            seen = (k - 80) * 1e-3 if bearings and k % 33 == 0 and k >= 600 else False
            self.step(k, fix, seen, bias)
        return self.target[0]

    def los_error(self, k):
        t = k * 1e-3 + LEAD_NS * 1e-9
        d = self.flight.at(t)[0] - self.camera(t)[0]
        return float(np.linalg.norm(np.cross(self.target["los_N"][0], d / np.linalg.norm(d))))


def test_state_is_small():
    assert TRACKER_STATE.itemsize < 65536


def test_target_is_none_before_a_fix_and_finite_after():
    loop = Loop()
    loop.fly(200)
    assert loop.target["status"] == TargetStatus.NONE
    loop.fly(4000, start=200)
    target = loop.target[0]
    assert target["status"] == TargetStatus.TRACKING and target["fix_status"] == Status.ACCEPTED
    assert target["t_ns"] == loop.sense["t_ns"][0] + LEAD_NS
    assert 0.0 < target["age_s"] < 0.45 and 1.0 < target["pos_std"] < 3.0 and 0.0 < target["los_std"] < 0.1
    assert abs(np.linalg.norm(target["los_N"]) - 1.0) < 1e-12
    assert loop.los_error(4199) < 0.02


def test_line_of_sight_rate_is_the_turning_of_the_line_of_sight():
    loop = Loop(2)
    loop.fly(4100)
    u = loop.target["los_N"][0].copy()
    rate = loop.target["los_rate_N"][0].copy()
    loop.fly(10, start=4100)
    turned = np.cross(u, loop.target["los_N"][0]) / 0.01
    assert abs(rate @ u) < 1e-12
    assert np.linalg.norm(rate - turned) < 0.05 * np.linalg.norm(rate) + 0.005


def test_bearings_use_the_attitude_at_exposure():
    """The camera turns at 180 deg/s: with the present attitude a box 80 ms old would be 14 deg wrong."""
    bias = np.array([1.5, -1.0, 1.0])
    plain, fused = Loop(3), Loop(3)
    plain.fly(6000, bias=bias)
    fused.fly(6000, bearings=True, bias=bias)
    assert fused.s["count"][0, Status.GATED] == 0
    assert fused.los_error(5999) < 0.25 * plain.los_error(5999)
    assert fused.los_error(5999) < 0.008


def test_a_box_that_hangs_while_the_camera_turns_is_no_bearing():
    """It tells the same place for two seconds, 6 degrees beside the subject, in a camera that swings."""
    loop = Loop(3)
    loop.fly(4200, bearings=True)
    for k in range(4200, 6200):
        fix = (k - 200) * 1e-3 if k % 200 == 0 else False
        loop.step(k, fix, (k - 80) * 1e-3 if k % 33 == 0 else False, xy=(0.1, 0.02))
    assert loop.s["box_n"][0] > 50 and loop.target["source"] == TargetSource.GNSS
    assert loop.los_error(6199) < 0.02
    loop.fly(200, bearings=True, start=6200)
    assert loop.target["source"] == TargetSource.FUSED


def test_a_box_may_stand_still_in_a_camera_that_does():
    class Still(Loop):
        def camera(self, t):
            return np.array([-30.0, 0.0, 0.0]), np.zeros(3), np.array([1.0, 0.0, 0.0, 0.0])

    loop = Still(3)
    loop.flight.at = lambda t: (np.array([10.0, 1.0, -0.5]), np.zeros(3), np.zeros(3))
    loop.fly(6000, bearings=True)
    assert loop.s["box_n"][0] > 100 and loop.target["source"] == TargetSource.FUSED


def test_coasting_then_lost_and_the_next_fix_begins_anew():
    loop = Loop(4)
    loop.fly(3000)
    seen = {}
    for k in range(3000, 12000, 50):
        loop.step(k)
        seen.setdefault(int(loop.target["status"][0]), k)
        assert np.isfinite(loop.target["pos_N"]).all()
    assert list(seen) == [TargetStatus.TRACKING, TargetStatus.COASTING, TargetStatus.LOST]
    assert 5000 < seen[TargetStatus.COASTING] < 6200 and 10000 < seen[TargetStatus.LOST] < 11100
    loop.step(12000, fix=11.9)
    assert loop.target["status"] == TargetStatus.TRACKING


def test_a_replay_spread_over_ticks_ends_as_the_immediate_one():
    """A very late fix rewinds over 60 measurements: bounded steps a tick, the old estimate serves until the end."""
    spread, at_once = Loop(5), Loop(5)
    for loop in (spread, at_once):
        loop.fly(3000, bearings=True)
    served = spread.s["served"]["t"][0]
    x_before = spread.s["served"]["x"][0].copy()
    late = 3000 * 1e-3 - 1.7501
    spread.step(3000, fix=late)
    assert spread.s["cursor"][0] < spread.s["n"][0]
    np.testing.assert_array_equal(spread.s["served"]["x"][0], x_before)
    ticks = 1
    while spread.s["cursor"][0] < spread.s["n"][0]:
        left = spread.s["n"][0] - spread.s["cursor"][0]
        spread.step(3000 + ticks)
        ticks += 1
        assert left - (spread.s["n"][0] - spread.s["cursor"][0]) <= STEPS_A_TICK
    assert ticks >= 4 and spread.s["served"]["t"][0] == served
    assert not np.array_equal(spread.s["served"]["x"][0], x_before)
    at_once.step(3000, fix=late)
    assert replay(at_once.p, at_once.s, 1 << 30) > 0
    for name in ("x", "P", "t", "use_t"):
        np.testing.assert_array_equal(spread.s["served"][name], at_once.s["served"][name])


def test_same_input_same_bytes():
    a, b = Loop(6), Loop(6)
    a.fly(2000, bearings=True)
    b.fly(2000, bearings=True)
    assert a.s.tobytes() == b.s.tobytes() and a.target.tobytes() == b.target.tobytes()


@pytest.mark.parametrize("field", ["beacon_pos_N", "beacon_vel_N"])
def test_bad_fixes_are_counted_and_the_target_does_not_jump(field):
    loop = Loop(7)
    loop.fly(3000)
    before = loop.target["los_N"][0].copy()
    loop.step(3001, fix=2.9)
    loop.sense[field] = np.nan
    loop.sense["beacon_arrival_ns"] += 1
    loop.sense["beacon_t_ns"] += 1_000_000
    tick(loop.p, loop.s, loop.sense, loop.nav, T0_NS, loop.target)
    assert loop.target["fix_status"] == Status.INVALID and loop.s["count"][0, Status.INVALID] == 1
    loop.step(3002)
    assert np.linalg.norm(loop.target["los_N"][0] - before) < 0.02


def test_a_held_measurement_is_taken_once():
    loop = Loop(8)
    loop.fly(1001)
    count = loop.s["count"][0].sum()
    loop.step(1001, fix=0.9)
    for _ in range(5):
        tick(loop.p, loop.s, loop.sense, loop.nav, T0_NS + 1001 * TICK_NS, loop.target)
    assert loop.s["count"][0].sum() == count + 1
