"""An operator's rate as far as the joints go: slowed before an end stop, bounded near the singularity, else whole."""

from __future__ import annotations

import math

import numpy as np
import pytest

from gimbal.config.load import load_rig
from gimbal.config.pack import pack_params
from gimbal.control.allocation import ALLOCATION_STATE
from gimbal.control.joint_kinematics import place_chain
from gimbal.control.reach import reachable
from gimbal.faults import Code
from gimbal.records import NAV

DEG = math.pi / 180.0
PARAMS = pack_params(load_rig("torque").config)[0]


def reach(rate_deg_s, roll=0.0, pitch=0.0, yaw=0.0, params=PARAMS):
    """Rate left, deg/s, and the limit bits, at these joint angles (deg)."""
    s, nav = np.zeros(1, ALLOCATION_STATE)[0], np.zeros(1, NAV)[0]
    nav["joint_angle_est"] = np.array([roll, pitch, yaw]) * DEG
    place_chain(params["allocation"]["chain"], s["chain"], nav["joint_angle_est"])
    order = params["allocation"]["chain"]["order"]
    left, bits = reachable(params["reach"], s, order, nav, tuple(float(x) * DEG for x in rate_deg_s))
    return np.array(left) / DEG, bits


def test_a_rate_that_all_joints_can_make_is_left_alone():
    assert reach((60.0, -60.0, 60.0)) == (pytest.approx((60.0, -60.0, 60.0)), 0)
    assert reach((0.0, 0.0, 0.0), roll=85.9)[1] == 0


@pytest.mark.parametrize(("axis", "angles"), [(0, {"roll": 81.0}), (1, {"pitch": 121.0})])
def test_it_is_braked_on_the_way_into_a_stop_and_not_out_of_it(axis, angles):
    rate = np.zeros(3)
    rate[axis] = 60.0
    left, bits = reach(rate, **angles)
    assert 0.0 < left[axis] < 30.0 and bits & 1 << Code.END_STOP
    assert reach(rate, **{name: angle + 2.0 for name, angle in angles.items()})[0][axis] == 0.0  # in the soft zone
    assert reach(-rate, **angles)[0][axis] == pytest.approx(-60.0)


def test_a_pan_goes_on_while_the_tilt_is_at_its_stop():
    left, bits = reach((0.0, 60.0, 30.0), pitch=123.0)
    assert left == pytest.approx((0.0, 0.0, 30.0), abs=1e-9) and bits & 1 << Code.END_STOP


@pytest.mark.parametrize("roll", [80.0, 84.0, 87.0])
def test_near_the_singularity_no_joint_is_asked_for_more_than_its_share(roll):
    """60 deg/s that would take yaw and pitch at 60 / cos(roll)."""
    config = load_rig("torque").config.joints
    left, bits = reach((0.0, 0.0, 60.0), roll=roll)
    fastest = abs(left[2]) / math.cos(roll * DEG)
    assert fastest <= 0.6 * config.yaw.max_rate_deg_s * 1.001
    assert bool(bits & 1 << Code.SINGULARITY) == (60.0 / math.cos(roll * DEG) > 0.6 * config.yaw.max_rate_deg_s)


@pytest.mark.parametrize(("rig", "stops"), [("sbgc", True), ("storm32", True), ("mavlink", True), ("simplefoc", False)])
def test_a_stick_takes_no_board_into_the_singularity(rig, stops):
    """Its own loops would spin the outer joint there. 75.5 degrees: cos 0.25."""
    params = pack_params(load_rig(rig).config)[0]
    for sign in (1.0, -1.0):
        left, bits = reach((60.0 * sign, 0.0, 0.0), roll=76.0 * sign, params=params)
        assert (left[0] == 0.0 and bits == 1 << Code.SINGULARITY) == stops
        assert reach((-60.0 * sign, 0.0, 0.0), roll=76.0 * sign, params=params)[0][0] == pytest.approx(-60.0 * sign)
