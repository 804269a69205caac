"""Feed-forward that rings goes out and stays out for a while; what shakes by itself changes nothing for long."""

from __future__ import annotations

import numpy as np
import pytest

from gimbal.control.limits import LIMITS_PARAMS
from gimbal.control.ring import (
    BRIEF,
    BRIEF_LONGEST_S,
    BRIEF_S,
    IMMUNE,
    IMMUNE_S,
    LEVEL_S,
    LONGEST_S,
    OUT,
    OUT_S,
    RING_STATE,
    TRIAL,
    TRIAL_S,
    TRUSTING,
    listen,
    ring_reset,
)

DT = 1e-3
MOST = np.zeros(1, LIMITS_PARAMS)[0]
MOST["max_torque"] = 3.0


def hear(seconds, shake, hz=27.0, whole=True, margin=1.0):
    """faded (n,) and whether it was told (n,), with a rate error of amplitude shake(faded, t) about roll."""
    s = np.zeros(1, RING_STATE)[0]
    ring_reset(s)
    faded, told = np.zeros(round(seconds / DT)), np.zeros(round(seconds / DT), bool)
    for i in range(len(faded)):
        x = shake(s["faded"], i * DT) * np.sin(2.0 * np.pi * hz * i * DT)
        told[i] = listen(s, np.array([x, 0.0, 0.0]), np.zeros(3), MOST, whole, margin, DT)
        faded[i] = s["faded"]
    return faded, told


def test_what_rings_by_the_feed_forward_is_out_longer_each_time():
    faded, told = hear(3.0 * OUT_S, lambda off, t: 0.1 * (1.0 - off))
    edges = np.flatnonzero(np.diff(told.astype(int))) * DT
    assert edges[0] < LEVEL_S + 1.0 and edges[1] - edges[0] == pytest.approx(OUT_S, abs=0.01)
    assert edges[2] - edges[1] < 2.0 * TRIAL_S  # it rings again, and is found again
    assert told[-1] and len(edges) == 3
    assert faded[told].min() > 0.99
    assert LONGEST_S > 2.0 * OUT_S


def test_a_base_that_shakes_gets_its_feed_forward_back():
    faded, told = hear(2.2 * IMMUNE_S, lambda off, t: 0.1)
    assert not told.any()
    assert (faded > 0.0).mean() < 0.25 and faded.max() == 1.0


@pytest.mark.parametrize(("size", "hz"), [(0.03, 27.0), (0.3, 1.0)])
def test_a_picture_that_is_held_or_turned_changes_nothing(size, hz):
    faded, told = hear(5.0, lambda off, t: size, hz)
    assert not faded.any() and not told.any()


@pytest.mark.parametrize("where", [{"whole": False}, {"margin": 0.75}])
def test_while_the_loops_come_up_and_far_out_nothing_is_tried(where):
    faded, _ = hear(3.0, lambda off, t: 0.1, **where)
    assert not faded.any()


def test_far_out_all_is_fed_forward_again():
    s = np.zeros(1, RING_STATE)[0]
    ring_reset(s)
    for i in range(6000):
        x = 0.1 * (1.0 - s["faded"]) * np.sin(0.17 * i)
        told = listen(s, np.array([x, 0.0, 0.0]), np.zeros(3), MOST, True, 1.0 if i < 3000 else 0.4, DT)
        if i == 2999:
            assert told and s["faded"] == 1.0
    assert not told and s["faded"] == 0.0


def test_what_is_no_number_does_not_stay():
    s = np.zeros(1, RING_STATE)[0]
    ring_reset(s)
    listen(s, np.array([np.nan, 0.0, 0.0]), np.zeros(3), MOST, True, 1.0, DT)
    for _ in range(2000):
        listen(s, np.zeros(3), np.zeros(3), MOST, True, 1.0, DT)
    assert s["power"] == 0.0 and s["faded"] == 0.0 and s["phase"] != OUT


def feed(seconds, torque, margin=1.0):
    """doubted and told (n,), with torque(doubted, t) N m fed forward to yaw, and a camera that is held."""
    s = np.zeros(1, RING_STATE)[0]
    ring_reset(s)
    doubted, told = np.zeros(round(seconds / DT), bool), np.zeros(round(seconds / DT), bool)
    for i in range(len(doubted)):
        fed = np.array([0.0, 0.0, torque(s["doubted"], i * DT)])
        told[i] = listen(s, np.zeros(3), fed, MOST, True, margin, DT)
        doubted[i] = s["doubted"]
    return doubted, told


@pytest.mark.parametrize("margin", [1.0, 0.3])
def test_torque_fed_forward_that_grows_is_out_before_it_is_three_times_as_loud(margin):
    """At 50 Hz, by e in 30 ms, from what a calm flight needs: while it is doubted, it is gone."""

    def grows(doubted, t):
        return 0.0 if doubted else 0.2 * np.exp((t % BRIEF_S) / 0.03) * np.sin(100.0 * np.pi * t)

    out, told = feed(BRIEF_S, grows, margin)
    assert not told.any()
    assert 0.2 * np.exp(np.flatnonzero(out)[0] * DT / 0.03) < 3.0 / margin


def test_each_time_it_is_out_for_longer_and_what_was_long_ago_is_forgotten():
    out, told = feed(70.0, lambda doubted, t: 0.0 if doubted or t > 40.0 else 2.0 * np.sin(100.0 * np.pi * t))
    first = np.flatnonzero(~out & (np.arange(len(out)) > np.flatnonzero(out)[0]))[0]
    assert not told[:first].any() and (told == out)[first:].all()  # from the second time on
    edges = np.flatnonzero(np.diff(out.astype(int))) * DT
    lengths = edges[1::2] - edges[0 : len(edges) - 1 : 2]
    assert lengths[0] == pytest.approx(BRIEF_S, abs=0.01) and lengths[1] > 1.8 * BRIEF_S
    assert lengths.max() <= BRIEF_LONGEST_S + 0.01 and not out[-1]


def test_what_shakes_by_itself_while_that_was_out_begins_no_trial_for_5_s():
    """The trial would find the shake ended by what is back."""
    s, shaking = np.zeros(1, RING_STATE)[0], []
    ring_reset(s)
    for i in range(10_000):
        t = i * DT
        fed = 2.0 * np.sin(100.0 * np.pi * t) if 2.2 < t < 2.25 else 0.0
        camera = 0.2 * np.sin(54.0 * np.pi * t) if 2.2 < t else 0.0
        listen(s, np.array([0.0, camera, 0.0]), np.array([0.0, 0.0, fed]), MOST, True, 1.0, DT)
        shaking.append(int(s["phase"]))
    phases = [p for k, p in enumerate(shaking) if k == 0 or p != shaking[k - 1]]
    assert phases[:5] == [TRUSTING, BRIEF, IMMUNE, TRUSTING, TRIAL]
    assert shaking.count(BRIEF) * DT == pytest.approx(BRIEF_S, abs=0.01)
    assert shaking.index(TRIAL) - shaking.index(IMMUNE) == pytest.approx(IMMUNE_S / DT, abs=3)


@pytest.mark.parametrize(("size", "hz", "margin"), [(0.75, 35.0, 1.0), (1.5, 30.0, 0.4), (3.0, 3.0, 1.0)])
def test_what_a_base_needs_changes_nothing(size, hz, margin):
    """Buffeting (0.56 N m RMS at most, 1.04 in a steep bank), and a quick turn of the camera."""
    assert not feed(3.0, lambda doubted, t: size * np.sin(2.0 * np.pi * hz * t), margin)[0].any()
