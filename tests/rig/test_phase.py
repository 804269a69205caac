"""When the loop must move: readings that come in one tick and not in the next."""

from __future__ import annotations

import numpy as np
import pytest

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


@pytest.mark.parametrize("every", [1, 2, 3, 4])
def test_controllers_that_leave_ticks_out_by_themselves_move_it_by_little_more_than_a_period(every):
    ticks = np.arange(9000)
    for comes in (ticks % every == 0, ticks % (every + 1) != 0):
        out = fed(comes)
        assert out.sum() * 500e-6 < 1.25 and not out[2600:].any()


def test_after_a_rest_it_moves_again():
    """As frames drift against the loop, the border comes back."""
    ticks = np.arange(60_000)
    comes = (np.random.default_rng(1).random(len(ticks)) > 0.25) | (ticks % 20_000 > 1000)
    out = fed(comes)
    assert all(out[k : k + 900].mean() > 0.9 for k in (20_100, 40_100))


def lossy(replies, share, ticks, rng):
    """Whether it wavered in any of the ticks."""
    wavered = False
    for lost in rng.random(ticks) < share:
        replies.tick([int(not lost)], [0])
        wavered = wavered or replies.waver
    return wavered


def test_a_lock_to_the_imu_gives_way_where_moving_helped_again_and_again():
    """Away from the border within 0.4 s, and led back to it."""
    rng, replies, owned = np.random.default_rng(1), Replies(), []
    for _ in range(4):
        assert lossy(replies, 0.25, 400, rng)
        lossy(replies, 0.0, 1500, rng)
        owned.append(replies.owns_phase)
    assert not owned[0] and owned[-1]


@pytest.mark.parametrize("share", [0.015, 0.02, 0.03, 0.25])
def test_a_line_that_wavers_wherever_it_is_met_keeps_the_lock(share):
    rng, replies = np.random.default_rng(1), Replies()
    lossy(replies, share, 12_000, rng)
    assert not replies.owns_phase


def test_what_wavered_everywhere_and_then_for_a_moment_not_keeps_the_lock_and_tries_again():
    rng, replies = np.random.default_rng(1), Replies()
    lossy(replies, 0.25, 4000, rng)
    assert not lossy(replies, 0.0, 1000, rng) and not replies.owns_phase
    assert not lossy(replies, 0.25, 2000, rng)  # not yet
    assert lossy(replies, 0.25, 25_000, rng)


@pytest.mark.parametrize(
    ("imu_hz", "loop_hz", "locks"),
    [(800, 800, True), (400, 100, True), (800, 1600, True), (800, 1000, False), (400, 125, False), (0, 1000, False)],
)
def test_the_loop_follows_an_imu_at_a_whole_multiple(imu_hz, loop_hz, locks):
    assert in_step(float(imu_hz), float(loop_hz)) is locks
