"""Who is in control: sequence, deadline, lease, expiry, STOP from anyone."""

from __future__ import annotations

import numpy as np
import pytest

from gimbal.records import INBOX, Mode, Verb
from gimbal.targeting.arbiter import ARBITER_PARAMS, ARBITER_STATE, arbitrate

MS = 1_000_000


class Desk:
    def __init__(self):
        self.p = np.zeros(1, ARBITER_PARAMS)[0]
        self.p["lease_ns"], self.p["rate_expiry_ns"], self.p["max_rate"] = 2000 * MS, 250 * MS, 2.0
        self.p["stick"] = 0.02
        self.s = np.zeros(1, ARBITER_STATE)[0]
        self.now, self.seq, self.stops = 1000 * MS, 0, 0
        self.tick()

    def tick(self, inbox=None):
        inbox = np.zeros(1, INBOX)[0] if inbox is None else inbox
        inbox["stop_count"] = self.stops
        arbitrate(self.p, self.s, self.now, inbox)
        return self.s

    def send(self, verb, owner=1, mode=0, vector=(0, 0, 0), valid_ms=100, seq=None):
        self.seq += 1
        inbox = np.zeros(1, INBOX)[0]
        inbox["seq"] = self.seq if seq is None else seq
        inbox["owner"], inbox["verb"], inbox["mode"], inbox["vector"] = owner, verb, mode, vector
        inbox["deadline_ns"] = self.now + valid_ms * MS
        return self.tick(inbox)


@pytest.fixture
def desk():
    return Desk()


def test_a_mode_is_taken_once(desk):
    assert desk.send(Verb.MODE, mode=Mode.TRACK)["mode"] == Mode.TRACK
    assert desk.s["mode_changed"] == 1
    assert desk.send(Verb.MODE, mode=Mode.LOCK, seq=1)["mode"] == Mode.TRACK  # an old sequence number
    assert desk.s["mode_changed"] == 0


def test_a_late_command_is_refused(desk):
    desk.send(Verb.MODE, mode=Mode.TRACK, valid_ms=-1)
    assert desk.s["mode"] == Mode.OFF and desk.s["refused"] == 1


def test_an_unknown_mode_is_refused(desk):
    for mode in (-1, 9, 99):
        desk.send(Verb.MODE, mode=mode)
    assert desk.s["mode"] == Mode.OFF and desk.s["refused"] == 3


def test_two_hands_never_fight(desk):
    desk.send(Verb.MODE, owner=1, mode=Mode.LOCK)
    desk.send(Verb.MODE, owner=2, mode=Mode.TRACK)
    assert desk.s["mode"] == Mode.LOCK and desk.s["owner"] == 1 and desk.s["refused"] == 1
    desk.now += 2001 * MS  # the first one's lease ran out
    desk.send(Verb.MODE, owner=2, mode=Mode.TRACK)
    assert desk.s["mode"] == Mode.TRACK and desk.s["owner"] == 2


def test_a_rate_expires_whatever_the_sender_does(desk):
    desk.send(Verb.RATE, vector=(0, 0.5, -9.0), valid_ms=60_000)
    assert desk.s["mode"] == Mode.RATE
    assert np.allclose(desk.s["rate_C"], (0, 0.5, -2.0))  # limited
    desk.now += 249 * MS
    assert desk.tick()["rate_C"][1] == 0.5
    desk.now += 2 * MS
    assert not desk.tick()["rate_C"].any() and desk.s["rate_expired"] == 1


@pytest.mark.parametrize("mode", [Mode.TRACK, Mode.FOLLOW, Mode.POINT, Mode.PATH])
def test_the_stick_takes_over_beyond_its_threshold_and_hands_back(desk, mode):
    desk.send(Verb.MODE, mode=mode)
    assert desk.send(Verb.RATE, vector=(0, 0.01, 0))["mode"] == mode  # a stick near its centre
    assert desk.send(Verb.RATE, vector=(0, 0.5, 0))["mode"] == Mode.RATE
    desk.now += 100 * MS
    assert desk.send(Verb.RATE, vector=(0, 0.1, 0))["mode"] == Mode.RATE
    assert desk.send(Verb.RATE, vector=(0, 0.0, 0))["mode"] == mode and desk.s["mode_changed"] == 1
    desk.send(Verb.RATE, vector=(0, 0.5, 0))
    desk.now += 251 * MS  # the stick's sender fell silent
    assert desk.tick()["mode"] == mode and not desk.s["rate_C"].any()


def test_rates_from_lock_stay_rates(desk):
    desk.send(Verb.MODE, mode=Mode.LOCK)
    desk.send(Verb.RATE, vector=(0, 0.5, 0))
    desk.now += 300 * MS
    assert desk.tick()["mode"] == Mode.RATE


def test_expo_leaves_the_ends_and_softens_the_middle(desk):
    desk.p["expo"] = 0.5
    assert desk.send(Verb.RATE, vector=(0, 2.0, 0.2))["rate_C"][1] == pytest.approx(2.0)
    assert desk.s["rate_C"][2] == pytest.approx(0.2 * (0.5 + 0.5 * 0.01))


def test_nobody_owns_after_the_lease(desk):
    desk.send(Verb.MODE, owner=5, mode=Mode.LOCK)
    desk.now += 1999 * MS
    assert desk.tick()["owner"] == 5
    desk.now += 2 * MS
    assert desk.tick()["owner"] == 0


def test_stop_is_taken_from_anyone_and_never_lost(desk):
    desk.send(Verb.MODE, owner=1, mode=Mode.LOCK)
    desk.stops += 1
    assert desk.tick()["want_stop"] == 1
    assert desk.tick()["want_stop"] == 0
    assert desk.send(Verb.STOP, owner=7)["want_stop"] == 1


def test_a_stop_before_the_first_tick_is_not_lost():
    desk = Desk.__new__(Desk)
    desk.__dict__.update(p=np.zeros(1, ARBITER_PARAMS)[0], s=np.zeros(1, ARBITER_STATE)[0], now=0, seq=0, stops=5)
    assert desk.tick()["want_stop"] == 1
