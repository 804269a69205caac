"""Which question a reply answers, on lines that take longer than the loop's period."""

from __future__ import annotations

import numpy as np
import pytest

from firmware_bridge.questions import Questions

MS = 1_000_000


def dated(took_ms, n=400, lost=(), stall=None, seen=True):
    """(asked, told) ns of replies to a question a millisecond: each comes took_ms later, is read with the next
    question, and those in ``lost`` never come (``seen``: their bytes did, damaged)."""
    q, out, waiting = Questions(), [], []
    damaged = 0
    for i in range(n):
        now = i * MS
        if stall is not None and stall <= i < stall + 6:
            continue  # the loop stands still: asks nothing, reads nothing
        while waiting and waiting[0][0] <= now:
            _, asked = waiting.pop(0)
            if asked // MS in lost:
                damaged += seen
                continue
            out.append((asked, q.answer(now, damaged > 0)))
            damaged = 0
        q.ask(now)
        waiting.append((now + round(took_ms * MS), now))
    return np.array(out)


@pytest.mark.parametrize("took_ms", [0.4, 1.3, 2.2, 3.9])
def test_each_reply_answers_its_own_question(took_ms):
    asked, told = dated(took_ms).T
    assert (asked == told).all()


@pytest.mark.parametrize("took_ms", [0.4, 1.3, 2.2])
def test_a_damaged_reply_is_passed_over(took_ms):
    asked, told = dated(took_ms, lost=(100, 200, 201)).T
    assert (asked == told).all()


def test_replies_that_vanish_are_found_missing():
    asked, told = dated(2.2, lost=(100,), seen=False).T
    assert (asked[:90] == told[:90]).all() and (asked[-200:] == told[-200:]).all()
    assert (asked - told).max() <= MS  # meanwhile a period too old


def test_a_stall_of_the_host_dates_nothing_wrongly():
    asked, told = dated(2.2, stall=150).T
    assert (asked == told).all()


def test_a_line_that_was_silent_begins_anew():
    q = Questions()
    for i in range(40):
        q.ask(i * MS)
    q.ask(500 * MS)
    assert q.answer(501 * MS, False) == 500 * MS
    assert q.answer(502 * MS, False) == 500 * MS  # nobody asked: the last one's again


@pytest.mark.parametrize("n", [20, 300])
def test_after_a_dropout_replies_are_dated_right_again(n):
    """Nothing damaged: the device was without power, or its cable out."""
    asked, told = dated(1.3, n=800, lost=range(200, 200 + n), seen=False).T
    after = asked >= (200 + n) * MS
    assert (asked >= told).all()  # never too young
    assert (asked == told)[after][60:].all()


def test_a_stall_of_the_line_leaves_nothing_behind():
    """All replies come, some of them 8 ms late, all at once."""
    q, waiting, off = Questions(), [], []
    for i in range(3000):
        while waiting and waiting[0][0] <= i * MS:
            _, asked = waiting.pop(0)
            off.append(asked - q.answer(i * MS, False))
        q.ask(i * MS)
        late = 8.0 - i % 500 if i % 500 < 7 else 1.3
        waiting.append((i * MS + round(max(late, 1.3) * MS), i * MS))
    assert not any(off)


def on_frames(drift, seconds=40.0, late_us=150.0, losses=0.0):
    """(asked, told) ns over a line of 1 ms frames whose clock runs off by ``drift``: a question crosses at the next
    frame's start, its reply at the one after. The loop asks a little late, sees bytes as they come in the last quarter
    of its period, and what came before that then."""
    q, out, under_way, rng = Questions(), [], [], np.random.default_rng(3)
    frame, asked, damaged = MS * (1.0 + drift), [], False
    for i in range(round(seconds * 1e3)):
        tick = i * MS
        for arrival, question in [x for x in under_way if x[0] <= tick]:
            seen = max(arrival, tick - MS // 4)
            if rng.random() < losses:
                damaged = True
                continue
            out.append((question, q.answer(int(seen), damaged)))
            damaged = False
        under_way = [x for x in under_way if x[0] > tick]
        asked.append(tick + round(rng.uniform(0.0, late_us) * 1e3))
        q.ask(asked[-1])
        crosses = np.ceil(asked[-1] / frame) * frame
        under_way.append((crosses + frame + rng.uniform(0.0, late_us) * 1e3, asked[-1]))
    return np.array(out)


@pytest.mark.parametrize("drift", [50e-6, -50e-6, 0.0])
def test_a_line_whose_frames_drift_against_the_loop_shifts_nothing(drift):
    asked, told = on_frames(drift).T
    assert (told <= asked).all()  # never too young
    assert (told == asked).mean() > 0.99


@pytest.mark.parametrize("drift", [50e-6, -50e-6, 0.0])
def test_damage_on_a_line_that_drifts_does_not_add_up(drift):
    asked, told = on_frames(drift, losses=0.01).T
    assert np.abs(asked - told).max() < 2.5 * MS


@pytest.mark.parametrize("took_ms", [0.4, 1.3, 2.2])
def test_a_reply_that_comes_twice_dates_few_others_too_young(took_ms):
    q, out, waiting = Questions(), [], []
    for i in range(2000):
        while waiting and waiting[0][0] <= i * MS:
            _, asked = waiting.pop(0)
            out += [(asked, q.answer(i * MS, False)) for _ in range(2 if asked % (500 * MS) == 100 * MS else 1)]
        q.ask(i * MS)
        waiting.append((i * MS + round(took_ms * MS), i * MS))
    asked, told = np.array(out).T
    assert (told != asked).mean() < 0.03 and (told == asked)[-350:].all()
