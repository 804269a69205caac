"""The operator's radio: what sticks and switches ask for, and that nothing acts by a link coming back."""

from __future__ import annotations

import math
import time
from dataclasses import replace

import numpy as np
import pytest

from firmware_bridge.emulators.physics import HeldSticks, Sticks
from firmware_bridge.emulators.pty_host import Host
from firmware_bridge.interface import RADIO_ROW
from firmware_bridge.registry import load_emulator
from gimbal.config.load import load_rig
from gimbal.config.schema import Device, Radio
from gimbal.records import Mode, Verb
from gimbal.rig.radio import EXPIRY_NS, OWNER, Hand, OperatorRadio, Order

MS = 1_000_000
MAP = Radio(yaw_channel=1, pitch_channel=2, reverse=("pitch",), mode_channel=5, arm_channel=6, stop_channel=7)


class Pilot:
    """Rows at 100 Hz, from stick positions."""

    def __init__(self, config: Radio = MAP) -> None:
        self.hand, self.now, self.channel = Hand(config), 0, [0.0] * 16
        self.channel[5] = self.channel[6] = -1.0

    def row(self, failsafe: bool = False, **channels: float) -> list[Order]:
        for name, value in channels.items():
            self.channel[int(name[2:]) - 1] = value
        row = np.zeros(1, RADIO_ROW)[0]
        row["channel"], row["failsafe"] = self.channel, failsafe
        self.now += 20 * MS
        return self.hand.take(row, self.now)

    def settle(self) -> Pilot:
        for _ in range(4):
            self.row()
        return self


def test_a_stick_asks_for_a_rate_and_says_three_times_that_it_is_back():
    pilot = Pilot().settle()
    assert pilot.row() == []  # hands off: somebody else may have control
    (order,) = pilot.row(ch1=1.0)
    assert order.verb == Verb.RATE and order.vector == pytest.approx((0.0, 0.0, math.radians(60.0)))
    (order,) = pilot.row(ch1=0.0, ch2=0.5)
    assert -0.5 * math.radians(60.0) < order.vector[1] < -0.1  # reversed, and finer than in proportion
    said = [pilot.row(ch2=0.0) for _ in range(6)]
    assert said[:3] == [[Order(Verb.RATE)]] * 3 and said[3:] == [[]] * 3


def test_failsafe_ends_the_rate_at_once_and_only_centred_sticks_act_again():
    pilot = Pilot().settle()
    (asked,) = pilot.row(ch1=0.8)
    (ends,) = pilot.row(failsafe=True)  # not a zero: the log is to show that it expired
    assert ends.vector == asked.vector and ends.life_ns == 20 * MS
    assert pilot.row(failsafe=True) == []
    assert pilot.row() == [] and pilot.row() == []  # the link is back, the stick still out
    assert pilot.row(ch1=0.0) == []
    assert pilot.row(ch1=0.8)[0].vector[2] > 0.5


def test_it_arms_only_by_a_switch_that_was_down():
    pilot = Pilot()
    pilot.row(ch6=1.0)
    assert pilot.settle().row() == []  # up since before: not armed by switching the transmitter on
    assert pilot.row(ch6=-1.0) == [Order(Verb.DISARM)]
    assert pilot.row(ch6=1.0) == [Order(Verb.ARM)] and pilot.row() == []
    pilot.row(failsafe=True)
    assert pilot.settle().row() == []  # the link came back with the switch up
    assert pilot.row(ch7=1.0) == [Order(Verb.STOP)] and pilot.row() == []


def test_a_mode_switch_counts_when_seen_twice_and_not_where_it_stands_at_first():
    pilot = Pilot().settle()
    assert pilot.row(ch5=1.0) == [] and pilot.row() == [Order(Verb.MODE, Mode.TRACK)]
    assert pilot.row(ch1=1.0) == []  # sticks don't act in track
    assert pilot.row(ch1=0.0, ch5=-1.0) == [] and pilot.row() == [Order(Verb.MODE, Mode.LOCK)]


@pytest.mark.parametrize("silent_ms", [150, 1000])
def test_a_rate_that_has_expired_is_not_asked_again_by_a_late_failsafe(silent_ms):
    pilot = Pilot().settle()
    assert pilot.row(ch1=1.0)
    pilot.now += silent_ms * MS
    assert pilot.row(failsafe=True) == []


@pytest.mark.parametrize("driver", ["sbus", "crsf"])
def test_over_a_pty_a_lost_link_and_a_pulled_cable_end_the_motion(driver, tmp_path):
    world = HeldSticks(Sticks())
    host = Host(tmp_path)
    host.add_pty("radio", load_emulator(driver)(world, {}))
    config = load_rig("torque").config
    config = config.model_copy(update={"devices": {"radio": Device(driver=driver, options={"must_hear": False})}})
    sent: list[tuple[int, Verb, tuple]] = []
    ends: list[int] = []

    def send(verb, *, owner, deadline_ns, mode=0, vector=(0.0, 0.0, 0.0)):
        now = time.monotonic_ns()
        assert owner == OWNER and deadline_ns <= now + EXPIRY_NS
        sent.append((now, verb, vector))
        ends.append(deadline_ns)

    def until(what, true):
        end = time.monotonic() + 10.0
        while not true():
            host.service(time.monotonic_ns())
            time.sleep(0.001)
            assert time.monotonic() < end, what

    def turned(since=0):
        return any(vector[2] > 0.5 for _, _, vector in sent[since:])

    radio = OperatorRadio(config, "radio", str(tmp_path / "radio"), send)
    try:
        until("a centred stick", lambda: radio.hand.ready)
        world.held = replace(world.held, channel=(1.0,) + (0.0,) * 15)
        until("turning", turned)
        world.held = replace(world.held, failsafe=True)
        until("failsafe: it ends", lambda: time.monotonic_ns() > ends[-1])
        world.held = replace(world.held, failsafe=False)
        before = len(sent)
        until("frames again", lambda: _wait(host, 0.2))
        assert not turned(before)  # the stick is still out: nothing until it was in its middle
        world.held = replace(world.held, channel=(0.0,) * 16)
        until("centred again", lambda: radio.hand.ready)
        world.held = replace(world.held, channel=(1.0,) + (0.0,) * 15)
        before = len(sent)
        until("turning again", lambda: turned(before))
        host.wires["radio"].unplug(time.monotonic_ns())
        until("unplugged: it ends", lambda: time.monotonic_ns() > ends[-1])
        before = len(sent)
        host.wires["radio"].replug(time.monotonic_ns())
        _wait(host, 0.5)
        assert not turned(before)
    finally:
        radio.close()
        host.close()


def _wait(host: Host, seconds: float) -> bool:
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        host.service(time.monotonic_ns())
        time.sleep(0.001)
    return True


def test_stopping_counts_also_when_it_was_done_while_nobody_heard_it():
    pilot = Pilot().settle()
    assert pilot.row(ch6=1.0) == [Order(Verb.ARM)]
    pilot.row(failsafe=True, ch7=1.0)
    assert pilot.row() == [Order(Verb.STOP)] and pilot.row() == []  # held when the link came back
    pilot.row(ch7=-1.0)
    pilot.row(failsafe=True, ch6=-1.0, ch1=0.8)
    assert pilot.row() == [Order(Verb.DISARM)] and not pilot.hand.ready  # put down meanwhile, a stick off its centre
    assert pilot.row() == []
    pilot.settle().row(ch1=0.0)
    assert pilot.row(ch6=1.0) == [Order(Verb.ARM)]
    pilot.row(failsafe=True, ch1=0.8)
    assert pilot.row() == []
    assert pilot.row(ch6=-1.0) == [Order(Verb.DISARM)]  # put down after the glitch


def test_a_switch_put_up_before_the_sticks_were_centred_arms_nothing_by_itself():
    pilot = Pilot()
    pilot.row(ch1=0.8)
    assert pilot.row(ch6=1.0) == []
    assert pilot.row(ch1=0.0) == [] and pilot.row() == []
    assert pilot.row(ch6=-1.0) == [Order(Verb.DISARM)]
    assert pilot.row(ch6=1.0) == [Order(Verb.ARM)]
