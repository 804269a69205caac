"""When the loop must move: readings that come in one tick and not in the next."""

from __future__ import annotations

import numpy as np
import pytest

from gimbal.clock import MonotonicClock
from gimbal.rig.phase import Replies, in_step


def fed(comes):
    """Whether it wavers, tick by tick, where axis 2 has a reading in the ticks in which ``comes`` is true."""
    replies, out = Replies(), []
    for came in comes:
        replies.tick([1, 0, int(came)], [0, 2])
        out.append(replies.waver)
    return np.array(out)


def test_a_line_met_at_its_frames_border_wavers_until_long_after():
    comes = np.random.default_rng(1).random(3000) > np.where(np.arange(3000) < 1000, 0.25, 0.0)
    out = fed(comes)
    assert out[50:1000].all() and out[1000:1200].all() and not out[2000:].any()


@pytest.mark.parametrize("lost", [1, 30, 300])
def test_one_dropout_is_no_waver(lost):
    comes = np.ones(2000, bool)
    comes[500 : 500 + lost] = False
    assert not fed(comes).any()


@pytest.mark.parametrize("every", [2, 1])
def test_controllers_that_answer_as_they_are_meant_to_are_let_alone(every):
    out = fed(np.arange(4000) % every == 0)
    assert not out[1000:].any()


def test_deadlines_creep_by_500_ppm():
    clock = MonotonicClock(1_000_000)
    clock.start()
    before = clock.deadline_ns
    clock.creep()
    assert clock.deadline_ns - before == 500


@pytest.mark.parametrize(
    ("imu_hz", "loop_hz", "locks"),
    [(800, 800, True), (400, 100, True), (800, 1600, True), (800, 1000, False), (400, 125, False), (0, 1000, False)],
)
def test_the_loop_follows_an_imu_at_a_whole_multiple(imu_hz, loop_hz, locks):
    assert in_step(float(imu_hz), float(loop_hz)) is locks
