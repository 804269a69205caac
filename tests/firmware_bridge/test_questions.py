"""Which question a reply answers, on lines that take longer than the loop's period."""

from __future__ import annotations

import numpy as np
import pytest

from firmware_bridge.questions import Questions

MS = 1_000_000


def dated(took_ms, n=400, lost=(), twice=(), stall=None):
    """(asked, told) ns of replies to a question a millisecond: each comes took_ms later, is read with the next
    question; those in ``lost`` never come, those in ``twice`` do so two times."""
    q, out, waiting, looked = Questions(), [], [], 0
    q.learn(round(took_ms * MS))
    for i in range(n):
        now = i * MS
        if stall is not None and stall <= i < stall + 6:
            continue  # the loop stands still: asks nothing, reads nothing
        read = []
        while waiting and waiting[0][0] <= now:
            _, asked = waiting.pop(0)
            read += [asked] * (0 if asked // MS in lost else 2 if asked // MS in twice else 1)
        told = [q.answer(now, looked) for _ in read]
        out += [(read[-1], told[-1])] if read else []  # the newest of a look counts
        looked = now
        q.ask(now)
        waiting.append((now + round(took_ms * MS), now))
    return np.array(out)


@pytest.mark.parametrize("took_ms", [0.4, 0.9, 1.3, 1.9, 2.2, 3.9])
def test_each_reply_answers_its_own_question(took_ms):
    asked, told = dated(took_ms).T
    assert (asked == told).all()


@pytest.mark.parametrize("took_ms", [0.4, 1.3, 2.2])
@pytest.mark.parametrize("n", [1, 2, 20, 300])
def test_what_is_lost_leaves_nothing_behind(took_ms, n):
    asked, told = dated(took_ms, n=800, lost=range(200, 200 + n)).T
    assert (asked == told).all()


@pytest.mark.parametrize("took_ms", [0.4, 1.3, 2.2])
def test_what_comes_twice_leaves_nothing_behind(took_ms):
    asked, told = dated(took_ms, twice=(0, 100, 101)).T
    assert (asked == told).all()


def test_a_stall_of_the_host_dates_nothing_wrongly():
    asked, told = dated(2.2, stall=150).T
    assert (asked == told).all()


def test_a_line_that_was_silent_begins_anew():
    q = Questions()
    q.learn(800_000)
    for i in range(40):
        q.ask(i * MS)
    q.ask(500 * MS)
    assert q.answer(501 * MS) == 500 * MS
    assert q.answer(502 * MS) == 500 * MS  # nobody asked: the last one's again
    q.ask(700 * MS)
    assert q.answer(700 * MS + 400_000) == 700 * MS  # sooner than any before, but the one before was answered long ago


def test_without_a_question_it_is_the_arrival_and_unlearned_the_newest():
    q = Questions()
    assert q.answer(7 * MS) == 7 * MS
    q.ask(7 * MS)
    q.ask(8 * MS)
    assert q.answer(8 * MS) == 8 * MS


def test_a_stall_of_the_line_leaves_nothing_behind():
    """All replies come, some of them 8 ms late, all at once: the newest of a look counts."""
    q, waiting, off = Questions(), [], []
    q.learn(round(1.3 * MS))
    for i in range(3000):
        read = []
        while waiting and waiting[0][0] <= i * MS:
            read.append(waiting.pop(0)[1])
        off += [read[-1] - q.answer(i * MS, (i - 1) * MS)] if read else []
        q.ask(i * MS)
        late = 8.0 - i % 500 if i % 500 < 7 else 1.3
        waiting.append((i * MS + round(max(late, 1.3) * MS), i * MS))
    assert not any(off)


@pytest.mark.parametrize("took_ms", [0.4, 12.0, 45.0])
def test_a_line_is_learned_after_whatever_was_asked_before(took_ms):
    """A slow line's answer to the question before is not taken for this one's."""
    q, now, under_way = Questions(), [0], [round(took_ms * MS) - 1]

    def wait(for_ns):
        now[0] += for_ns
        under_way[:] = [t for t in under_way if t > now[0]]

    def ask(within_ns):
        under_way.append(now[0] + round(took_ms * MS))
        if under_way[0] > now[0] + within_ns:
            now[0] += within_ns
            return 0
        now[0] = under_way.pop(0)
        return now[0]

    q.learn_line(lambda: now[0], wait, ask)
    assert q.soonest_ns == round(took_ms * MS)


def on_frames(drift, seconds=40.0, late_us=150.0, losses=0.0):
    """(asked, sampled, told) ns over a line of 1 ms frames whose clock runs off by ``drift``: a question crosses at the
    next frame's start, its reply at the one after. The loop asks a little late, sees bytes as they come in the last
    quarter of its period, and what came before that then."""
    q, out, under_way, rng = Questions(), [], [], np.random.default_rng(3)
    q.learn(round(1.05 * MS))
    q.learn(round(1.95 * MS))
    frame, asked = MS * (1.0 + drift), []
    for i in range(round(seconds * 1e3)):
        tick = i * MS
        for arrival, question, crossed in [x for x in under_way if x[0] <= tick]:
            seen, looked = max(arrival, tick - MS // 4), max(arrival - 20_000, tick - MS)
            if rng.random() >= losses:
                out.append((question, crossed, q.answer(int(seen), int(looked))))
        under_way = [x for x in under_way if x[0] > tick]
        asked.append(tick + round(rng.uniform(0.0, late_us) * 1e3))
        q.ask(asked[-1])
        crosses = np.ceil(asked[-1] / frame) * frame
        under_way.append((crosses + frame + rng.uniform(0.0, late_us) * 1e3, asked[-1], crosses))
    return np.array(out)


@pytest.mark.parametrize("losses", [0.0, 0.01, 0.3])
@pytest.mark.parametrize("drift", [50e-6, -50e-6, 0.0])
def test_a_line_whose_frames_drift_against_the_loop_is_dated_within_a_frame(drift, losses):
    """By its question and half a frame: what is known of when it crossed."""
    _, sampled, told = on_frames(drift, losses=losses).T
    off = told + MS // 2 - sampled
    assert np.abs(off).max() < 0.85 * MS and np.sqrt(np.mean(np.square(off))) < (0.35 if drift else 0.6) * MS
