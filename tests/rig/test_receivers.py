"""A beacon that says it flies and tells one place again and again is not followed there."""

from __future__ import annotations

from types import SimpleNamespace

import numpy as np
import pytest

from gimbal.config.load import load_rig
from gimbal.records import SENSE
from gimbal.rig.local_frame import LocalFrame
from gimbal.rig.receivers import Receivers


@pytest.fixture
def tell():
    """Whether a fix at a latitude, with a speed to the north, reaches SENSE."""
    frame = LocalFrame()
    frame.set_origin(47.0, 8.0, 500.0)
    receivers = Receivers(load_rig("torque").config.camera, frame)

    def told(lat_deg: float, speed_m_s: float, kind: str = "beacon") -> bool:
        def poll(rows: np.ndarray) -> int:
            rows["fix"][0], rows["has_vel"][0] = 3, True
            rows["lat_deg"][0], rows["lon_deg"][0], rows["height_m"][0] = lat_deg, 8.0, 600.0
            rows["vel_N"][0] = speed_m_s, 0.0, 1.0
            return 1

        sense = np.zeros(1, SENSE)
        line = SimpleNamespace(driver=SimpleNamespace(poll=poll, heading=None), kind=kind)
        assert receivers.read_fix(line, sense) == 1  # heard in any case: the line is not silent
        return bool(sense[f"{kind}_valid"][0])

    return told


def test_a_place_told_again_in_flight_is_left_out_until_it_moves(tell):
    assert tell(47.001, 25.0)
    assert not tell(47.001, 25.0) and not tell(47.001, 25.0)
    assert tell(47.00105, 25.0)


def test_who_stands_may_tell_one_place(tell):
    assert tell(47.001, 0.2) and tell(47.001, 0.2)
    assert tell(47.001, 25.0, "gnss") and tell(47.001, 25.0, "gnss")
