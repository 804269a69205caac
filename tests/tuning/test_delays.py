"""Delays drawn per tick: read off a log's rows, drawn with their own form about what the config tells, flown."""

from __future__ import annotations

import numpy as np
import pytest

from gimbal.config.load import load_rig
from gimbal.records import TICK
from gimbal.tuning.delays import (
    LATE,
    MEASURED_US,
    SENT_US,
    SETTLED,
    SHARES,
    drawn_ms,
    fly,
    joints_ms,
    late_margins,
    later_ms,
    measured_us,
    quantiles,
    sent_us,
)


def test_a_logs_delays_run_from_the_newest_sample_to_the_bytes():
    rows = np.zeros(SETTLED + 4, TICK)
    last = rows[SETTLED:]
    last["t_ns"] = 5_000_000
    last["timing"]["written_ns"] = [100_000, 200_000, 300_000, 400_000]
    last["sense"]["imu_n"] = [1, 2, 0, 1]  # a tick without a sample says nothing
    last["sense"]["imu_t_ns"][:, :2] = [4_000_000, 4_500_000]
    last["sense"]["joint_valid"] = [[1, 1, 1], [1, 0, 1], [1, 1, 1], [1, 1, 1]]
    last["sense"]["joint_t_ns"] = 3_500_000
    last["sense"]["joint_t_ns"][1] = 0  # nor does one without all readings
    assert sent_us(rows) == pytest.approx([100.0, 200.0, 300.0, 400.0])
    assert measured_us(rows) == pytest.approx([1100.0, 700.0, 1400.0])
    assert joints_ms(rows) == pytest.approx(1.5)


def test_drawn_delays_have_the_distributions_form_and_the_told_median():
    drawn = np.array(drawn_ms(MEASURED_US, 2.0, 200_000, seed=3))
    found = np.array(quantiles(1e3 * drawn))[1:-2]
    want = 2000.0 + np.array(MEASURED_US)[1:-2] - MEASURED_US[SHARES.index(0.5)]
    assert found == pytest.approx(want, abs=40.0)
    assert drawn_ms(MEASURED_US, 2.0, 10, seed=3) == list(drawn[:10])
    assert min(drawn_ms(MEASURED_US, 0.1, 5000, seed=1)) == 0.0  # none acts before it is asked for


def test_margins_shrink_with_a_later_command():
    rig = load_rig("torque").config
    told, late = late_margins(rig, 0.0), late_margins(rig, 1e-3 * later_ms(MEASURED_US, LATE))
    assert all(m.good() for m in told)
    assert all(m.stable for m in late)
    assert all(b.ms > a.ms for a, b in zip(told, late, strict=True))


def test_drawn_delays_cost_little_where_the_loop_knows_them():
    rig = load_rig("torque").config
    fixed, drawn, untold = (fly(rig, "train_roof", 12.0, 1, *how) for how in ((None,), (SENT_US,), (SENT_US, True)))
    assert fixed["faults"] == drawn["faults"] == []
    x, y, blind = (r["jitter_urad_rms"]["total"] for r in (fixed, drawn, untold))
    assert y < 1.3 * x
    assert y < 230.0
    assert blind > y
