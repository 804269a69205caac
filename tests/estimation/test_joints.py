"""The joints' tracker where readings are few: what it can't tell apart it doesn't believe."""

from __future__ import annotations

import numpy as np
import pytest

from gimbal.estimation.joints import track_joint
from gimbal.estimation.layout import ESTIMATION_PARAMS, ESTIMATION_STATE

MS = 1_000_000


def tracked(readings_deg, every_ms):
    """Angle and rate of joint 1 after each reading, deg."""
    p, s = np.zeros(1, ESTIMATION_PARAMS)[0], np.zeros(1, ESTIMATION_STATE)[0]
    p["joint_bandwidth"] = 2.0 * np.pi * 40.0
    found = []
    for k, angle in enumerate(readings_deg):
        track_joint(p, s, 1, np.radians(angle), (1000 + k * every_ms) * MS)
        found.append(np.degrees(s["joint"][1, :2]))
    return np.array(found)


@pytest.mark.parametrize("jump_deg", [30.0, 75.0, 100.0, 130.0, 179.0, -100.0])
def test_a_jump_at_25_readings_a_second_is_over_after_some_and_winds_nothing_up(jump_deg):
    """A board that told the same for a second, and goes on from where its joint is by then."""
    readings = np.concatenate([np.zeros(25), jump_deg + 2.0 * np.arange(25)])
    angle, rate = tracked(readings, 40).T
    assert np.abs(angle[32:] - readings[32:]).max() < 1.0
    assert np.abs(rate[32:] - 50.0).max() < 5.0


def test_a_fast_joint_is_followed_through_turns():
    readings = 700.0 * 1e-3 * np.arange(3000)
    angle, rate = tracked((readings + 180.0) % 360.0 - 180.0, 1).T
    assert abs(angle[-1] - readings[-1]) < 0.1 and abs(rate[-1] - 700.0) < 1.0
