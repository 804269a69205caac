"""The horizon yields to the joints: against joint angles found by SciPy, and through a mount's roll and dive."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.spatial.transform import Rotation

from gimbal.config.load import load_rig
from gimbal.config.pack import pack_params
from gimbal.frames import AXIS_INDEX
from gimbal.kernels.quat import q_axis, q_from_euler, q_level, q_mul, q_rotate
from gimbal.targeting.stops import STOPS_PARAMS, STOPS_STATE, lean_wanted, yield_to_stops

DEG = np.pi / 180
ORDER = np.array([AXIS_INDEX[a] for a in ("yaw", "roll", "pitch")])
P = np.zeros(1, STOPS_PARAMS)
P["roll"], P["pitch"], P["max_spin"], P["max_spin_accel"] = 73 * DEG, 116 * DEG, 108 * DEG, 1200 * DEG


def joints(q_BC):
    """Yaw, roll, pitch of R_BC = Rz Rx Ry, deg, roll within 90."""
    return Rotation.from_quat(q_BC, scalar_first=True).as_euler("ZXY", degrees=True)


def test_the_lean_brings_the_joints_within_their_reach_and_is_no_more_than_needed():
    rng = np.random.default_rng(5)
    leaned = 0
    for _ in range(400):
        q = tuple(Rotation.random(rng=rng).as_quat(scalar_first=True))
        lean = lean_wanted(P[0], ORDER, 0.0, q)
        _, roll, pitch = joints(q_mul(q, q_axis(0, lean)))
        assert abs(roll) < 73.1 and abs(pitch) < 116.5
        _, roll0, pitch0 = joints(q)
        if abs(roll0) < 72.9 and abs(pitch0) < 90.0:
            assert lean == 0.0
        if lean != 0.0:
            leaned += 1
            _, roll1, pitch1 = joints(q_mul(q, q_axis(0, 0.97 * lean)))
            assert abs(roll1) > 72.9 or abs(pitch1) > 89.0
    assert leaned > 40


@pytest.mark.parametrize("order, inner", [(("yaw", "pitch", "roll"), True), (("roll", "pitch", "yaw"), False)])
def test_other_orders_of_the_joints(order, inner):
    order = np.array([AXIS_INDEX[a] for a in order])
    q = q_from_euler(100 * DEG, 20 * DEG, 30 * DEG)
    assert lean_wanted(P[0], order, 0.0, q) == pytest.approx(-27 * DEG if inner else 0.0)


def test_a_mount_that_rolls_over_takes_the_picture_along_softly():
    """Bank to 100 degrees and back within seconds, looking ahead and 20 degrees down: level horizon until it can't be,
    roll joint short of its soft stop, the direction untouched, level again."""
    s = np.zeros(1, STOPS_STATE)
    x = np.array([np.cos(20 * DEG), 0.0, np.sin(20 * DEG)])
    q = q_level(tuple(x), 0.0)
    leans, rates, rolls = [], [], []
    for k in range(6000):
        t = k / 1000
        bank, rate = 50 * DEG * (1 - np.cos(2 * np.pi * t / 4)), 50 * DEG * 2 * np.pi / 4 * np.sin(2 * np.pi * t / 4)
        if t > 4.0:
            bank = rate = 0.0
        q_NB = q_from_euler(bank, 0.0, 0.0)
        lean, lean_rate = yield_to_stops(P[0], ORDER, s[0], q_NB, (rate, 0.0, 0.0), q, (0.0, 0.0, 0.0), True, 1e-3)
        leaned = q_mul(q, q_axis(0, lean))
        assert np.allclose(q_rotate(leaned, (1.0, 0.0, 0.0)), x)
        leans.append(lean / DEG)
        rates.append(lean_rate / DEG)
        rolls.append(joints(q_mul(q_from_euler(-bank, 0.0, 0.0), leaned))[1])
    assert np.abs(rolls).max() < 80.0
    assert max(leans) > 15.0 and min(leans) > -2.0 and abs(leans[1000]) < 1.0 and abs(leans[-1]) < 0.1
    assert np.abs(np.diff(rates)).max() <= 1.2001 and np.abs(rates).max() < 108.0


@pytest.mark.parametrize("travel", [(-6.0, 6.0), (0.0, 60.0)])
def test_travel_with_no_room_to_spare_is_a_limit_and_not_none(travel):
    """Less than the soft stop and what keeps clear of it, or to one side only."""
    rig = load_rig("torque").config
    roll = rig.joints.roll.model_copy(update={"min_deg": travel[0], "max_deg": travel[1]})
    rig = rig.model_copy(update={"joints": rig.joints.model_copy(update={"roll": roll})})
    stops = pack_params(rig)[0]["modes"]["stops"]
    assert 0.0 < stops["roll"] <= 1.0 * DEG
    lean = lean_wanted(stops, ORDER, 0.0, q_from_euler(20 * DEG, 0.0, 0.0))
    assert lean == pytest.approx(-20 * DEG, abs=1.1 * DEG)
