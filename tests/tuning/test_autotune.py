"""The search finds what it should, and what it found for the shipped rigs keeps what it promised."""

from __future__ import annotations

import numpy as np
import pytest

from gimbal.config.load import load_rig
from gimbal.frames import AXES
from gimbal.loop.lockstep import plain_pid
from gimbal.tuning.autotune import GOALS_URAD, control_response, cost, jitters, make_loop, search, start_point
from gimbal.tuning.margins import all_margins, refused
from gimbal.tuning.model import Controller


def flat_torque():
    """Torque of 10 mN m RMS below 10 Hz, on every carrier."""
    f = np.arange(0.25, 300.0, 0.25)
    return {c: (f, np.tile(np.where(f < 10.0, 1e-5, 0.0), (3, 1))) for c in GOALS_URAD}


def test_the_search_finds_a_bent_valleys_floor():
    def rosenbrock(x):
        return float(np.sum(100.0 * (x[1:] - x[:-1] ** 2) ** 2 + (1.0 - x[:-1]) ** 2))

    value, x = search(rosenbrock, np.full(4, -1.0), 0.3, 1.5, seed=2)
    assert value < 1e-6
    assert x == pytest.approx(np.ones(4), abs=1e-2)


def test_its_loop_is_the_one_the_tick_runs():
    rig = load_rig("torque").config
    for name in AXES:
        loop = make_loop(rig, name, flat_torque())
        sections = sum(s.axis == name for s in rig.control.shaping)
        start, low, high = start_point(rig, name, False, sections)
        mine = control_response(loop, np.exp(start), False)
        shipped = -Controller(rig, loop.axis).response(loop.z) / loop.axis.known_inertia
        assert np.max(np.abs(mine / shipped - 1.0)) < 0.02
        assert np.isfinite(cost(loop, start, low, high, False))


def test_jitter_of_more_disturbance_is_more_and_of_low_margins_costs_more():
    rig = load_rig("torque").config
    loop = make_loop(rig, "pitch", flat_torque())
    start, low, high = start_point(rig, "pitch", True, 0)
    C = control_response(loop, np.exp(start), True)
    assert jitters(loop, C)[0] > 1.5 * jitters(loop, 3.0 * C)[0]
    wild = start.copy()
    wild[1] = high[1]
    assert cost(loop, wild, low, high, True) > cost(loop, start, low, high, True) + 2.0


@pytest.mark.parametrize("name", ["torque", "torque_fast"])
def test_the_plain_pid_keeps_the_same_margins(name):
    rig = load_rig(name).config
    assert rig.control.pid is not None
    plain = plain_pid(rig)
    assert plain.control.shaping == () and not plain.control.feedforward.imbalance
    assert refused(all_margins(plain)) == []
