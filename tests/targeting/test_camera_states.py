"""What only bearings show: the attitude's heading error, a track without a beacon, and a lock on somebody else."""

from __future__ import annotations

import numpy as np
import pytest

from gimbal.kernels.quat import q_axis, q_mul
from gimbal.records import TargetSource, TargetStatus
from tests.targeting.test_tracker_tick import Loop


class Seeing(Loop):
    """Loop with fixes 200 ms late at 5 Hz and bearings 80 ms late at 30 Hz; its attitude is off by ``heading`` rad."""

    heading, other_m, true = 0.0, 0.0, False

    def camera(self, t):
        pos, vel, q = super().camera(t)
        return pos, vel, q if self.true else q_mul(q_axis(2, self.heading), tuple(q))

    def tangents(self, t):
        self.true = True
        xy = super().tangents(t) + self.other_m / np.linalg.norm(self.flight.at(t)[0] - self.camera(t)[0])
        self.true = False
        return xy + self.rng.normal(size=2) * 0.002

    def fly(self, start_s, end_s, beacon=True, camera=True):
        for k in range(round(1000 * start_s), round(1000 * end_s)):
            fix = k / 1000 - 0.2 if beacon and k % 200 == 0 and k > 200 else False
            bearing = k / 1000 - 0.08 if camera and k % 33 == 0 and k > 120 else False
            self.step(k, fix, bearing)
        return k / 1000

    def error_deg(self, t):
        """Line of sight against the truth, as this attitude sees it."""
        ahead = t + 0.003
        d = self.flight.at(ahead)[0] - self.camera(ahead)[0]
        c, s = np.cos(self.heading), np.sin(self.heading)
        u = np.array([[c, -s, 0], [s, c, 0], [0, 0, 1]]) @ (d / np.linalg.norm(d))
        return np.degrees(np.arccos(np.clip(self.target["los_N"][0] @ u, -1, 1)))


@pytest.mark.parametrize("heading_deg", [-4.0, 0.0, 4.0])
def test_a_heading_error_is_found_and_kept_out_of_the_picture(heading_deg):
    loop = Seeing(3)
    loop.heading = np.radians(heading_deg)
    loop.nav["heading_std"], loop.nav["tilt_std"] = 0.07, 0.002
    t = loop.fly(0.0, 9.0)
    assert loop.target["source"] == TargetSource.FUSED
    assert loop.error_deg(t) < 0.6
    state = loop.s["served"][0]
    assert np.degrees(state["x"][16]) == pytest.approx(heading_deg, abs=4 * np.degrees(np.sqrt(state["P"][16, 16])))


def test_the_camera_alone_begins_and_holds_a_track_and_the_beacon_then_joins():
    loop = Seeing(4)
    loop.nav["heading_std"], loop.nav["tilt_std"] = 0.01, 0.002
    t = loop.fly(0.0, 3.0, beacon=False)
    assert loop.target["status"] == TargetStatus.TRACKING and loop.target["source"] == TargetSource.CAMERA
    assert loop.error_deg(t) < 1.5
    t = loop.fly(3.0, 6.0)
    assert loop.target["source"] == TargetSource.FUSED and loop.error_deg(t) < 0.8
    assert np.linalg.norm(loop.target["pos_N"][0] - loop.flight.at(t)[0]) < 4.0  # and how far it is


def test_the_beacon_alone_doubts_its_bias():
    loop = Seeing(5)
    t = loop.fly(0.0, 4.0, camera=False)
    assert loop.target["source"] == TargetSource.GNSS
    assert loop.target["los_std"] > 1.0 / loop.target["range_m"]
    loop.fly(4.0, t + 4.0)
    assert loop.target["los_std"] < 0.5 / loop.target["range_m"]


def test_boxes_on_somebody_else_are_left_again():
    loop = Seeing(6)
    loop.nav["heading_std"], loop.nav["tilt_std"] = 0.01, 0.002
    loop.fly(0.0, 4.0)
    loop.other_m = 15.0
    t = loop.fly(4.0, 7.0)
    assert np.radians(loop.error_deg(t)) * loop.target["range_m"][0] < 5.0  # the beacon holds it
    loop.other_m = 0.0
    t = loop.fly(7.0, 10.0)
    assert loop.error_deg(t) < 1.0
