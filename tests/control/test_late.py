"""Impulse that commands sent late leave out comes with the next ones."""

from __future__ import annotations

import numpy as np
import pytest

from gimbal.control.late import FIRST, LATE_STATE, MOST, make_up, remember_sent

DT = 1e-3


def sent(wanted, late_ns, told=True):
    """Torque (n, 3) of the commands, made up for what was told of each one's lateness a tick after it went out."""
    s, out, before = np.zeros(1, LATE_STATE)[0], np.zeros_like(wanted), 0
    for i, row in enumerate(wanted):
        u = row.copy()
        make_up(s, before, DT, u)
        remember_sent(s, u)
        out[i], before = u, int(late_ns[i]) if told else 0
    return out


def impulse(torque, late_ns):
    """N m s that acted up to each tick, less what a constant delay would have done."""
    steps = np.diff(torque, axis=0, prepend=0.0)
    return np.cumsum(torque * DT, axis=0) - np.cumsum(steps * (1e-9 * late_ns - 60e-6)[:, None], axis=0)


def test_what_late_commands_leave_out_is_carried_by_the_next():
    rng = np.random.default_rng(2)
    wanted = rng.normal(size=(4000, 3))
    late_ns = 60e3 + 1e6 * rng.choice([-0.05, 0.0, 0.05, 0.3], p=[0.3, 0.35, 0.3, 0.05], size=4000)
    late_ns[500] = 2.5e6
    want = np.cumsum(wanted * DT, axis=0)
    off = impulse(sent(wanted, late_ns), late_ns) - want
    blind = impulse(sent(wanted, late_ns, told=False), late_ns) - want
    low = [np.abs(np.fft.rfft(x[1000:], axis=0)[1:60]).mean() for x in (off, blind)]  # below 20 Hz
    assert low[0] < 0.1 * low[1]
    assert np.abs(off).max() < 5e-3 < np.abs(blind).max()


@pytest.mark.parametrize("sent_ns", [0, 57_000])
def test_a_steady_or_unknown_delay_changes_no_command(sent_ns):
    wanted = np.random.default_rng(1).normal(size=(50, 3))
    assert (sent(wanted, np.full(50, sent_ns)) == wanted).all()


def test_a_long_stall_is_made_up_for_in_part_and_not_taken_for_usual():
    wanted = np.zeros((40, 3))
    wanted[20:] = 1.0
    late_ns = np.full(40, 60_000)
    late_ns[20] = 900_000_000
    u = sent(wanted, late_ns)
    assert u[21, 0] == pytest.approx(1.0 + MOST) and u[:20].max() == 0.0
    assert np.abs(u[30:] - 1.0).max() < 1e-2


def test_a_loop_that_is_late_all_the_time_does_not_swing_up():
    """More than a tick late from one moment on: made up for only once each, until that is what is usual."""
    wanted = np.random.default_rng(4).normal(size=(12_000, 3))
    late_ns = np.full(12_000, 60e3)
    late_ns[1000:] = 60e3 + 1.5e6
    u = sent(wanted, late_ns)
    assert np.abs(u).max() < 4.0 * np.abs(wanted).max()
    assert np.std(u[-1000:]) < 1.05 * np.std(wanted[-1000:])


@pytest.mark.parametrize("first_ms", [0.0, 3.0, 400.0])
def test_a_long_first_tick_is_not_usual(first_ms):
    wanted = np.random.default_rng(5).normal(size=(3 * FIRST, 3))
    late_ns = np.full(3 * FIRST, 60e3)
    late_ns[:3] += 1e6 * first_ms
    u = sent(wanted, late_ns)
    assert np.abs(u - wanted)[10:].max() < 0.01


@pytest.mark.parametrize("ticks", [-3.0, -1.0, -0.5, 0.5, 1.0, 3.0])
def test_whatever_is_taken_for_usual_noise_does_not_grow(ticks):
    """Also where what is usual is wrong by ticks: no pole near the circle, at any frequency up to half the loop's."""
    rng = np.random.default_rng(6)
    s = np.zeros(1, LATE_STATE)[0]
    s["ticks"] = FIRST
    out = np.zeros((4000, 3))
    for i in range(4000):
        s["usual_ns"] = 1e7
        u = 0.01 * rng.normal(size=3)
        make_up(s, int(1e7 + ticks * 1e6), DT, u)
        remember_sent(s, u)
        out[i] = u
    shares = np.abs(np.fft.rfft(out[500:], axis=0)) / (0.01 * np.sqrt(3500))
    assert np.sqrt(np.mean(shares**2, axis=1)).max() < 4.0 * (1.0 + 2.0 * abs(ticks))
