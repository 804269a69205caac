"""What the joints can't do isn't asked of the loops: stops, rate limits, the lost direction of the singularity."""

from __future__ import annotations

import numpy as np
import pytest

from gimbal.config.load import load_rig
from gimbal.config.pack import pack_params
from gimbal.control.feasible import FEASIBLE_STATE, feasible
from gimbal.control.joint_kinematics import CHAIN_STATE, joint_motion, place_chain
from gimbal.control.rate_pid import PID_STATE, pid_unwind
from gimbal.faults import Code
from gimbal.frames import PITCH, ROLL, YAW
from gimbal.kernels.joints import q_from_joints
from gimbal.kernels.quat import q_rotate, q_unrotate
from gimbal.records import CONTROL, NAV, Mode, Verb
from gimbal.units import DEG
from tests.control.test_flight import fly

ORDER = np.array([YAW, ROLL, PITCH])


@pytest.fixture(scope="module")
def params() -> np.ndarray:
    return pack_params(load_rig("torque").config)


class Pose:
    """A camera at rest with these joint angles (roll, pitch, yaw, deg) on a base at rest."""

    def __init__(self, params: np.ndarray, *angle: float) -> None:
        self.p = params[0]["feasible"]
        self.s, self.chain, self.nav, self.control = (
            np.zeros(1, d)[0] for d in (FEASIBLE_STATE, CHAIN_STATE, NAV, CONTROL)
        )
        angle_rad = np.radians(angle)
        self.nav["joint_angle_est"] = angle_rad
        place_chain(params[0]["allocation"]["chain"], self.chain, angle_rad)
        self.q_BC = q_from_joints(ORDER, angle_rad)

    def ask(self, rate_C, err_C=(0.0, 0.0, 0.0), base_B=(0.0, 0.0, 0.0)) -> tuple[np.ndarray, int]:
        """The rate command that is left of ``rate_C`` once the low-passes have settled."""
        self.nav["omega_NB_B_est"] = base_B
        bits = 0
        for _ in range(1000):
            self.control["rate_cmd_C"], self.control["attitude_err_C"] = rate_C, err_C
            bits = feasible(self.p, self.s, self.chain, self.nav, ORDER, (0.0, 0.0, 0.0), 1.0, self.control)
        return self.control["rate_cmd_C"].copy(), bits

    def joint_rates(self, rate_C, base_B=(0.0, 0.0, 0.0)) -> np.ndarray:
        """By place in the chain, of a camera that turns at rate_C on a base that turns at base_B."""
        turn_B = np.array(q_rotate(self.q_BC, tuple(rate_C))) - base_B
        return np.linalg.solve(self.chain["axis_B"].T, turn_B)


def test_what_the_joints_can_do_passes_unchanged(params):
    rng = np.random.default_rng(1)
    for _ in range(20):
        pose = Pose(params, rng.uniform(-70, 70), rng.uniform(-110, 110), rng.uniform(-180, 180))
        wanted = rng.uniform(-1.0, 1.0, 3)
        left, bits = pose.ask(wanted, base_B=rng.uniform(-0.5, 0.5, 3))
        assert np.allclose(left, wanted, atol=1e-9) and bits == 0


def test_a_stop_ends_the_motion_outwards_and_only_that(params):
    stop = params[0]["feasible"]["stop_max"][PITCH] / DEG
    pose = Pose(params, 20.0, stop - 0.5, 30.0)
    outwards, bits = pose.ask((0.3, 1.5, -0.2))
    assert bits == 1 << Code.END_STOP
    assert 0.0 < outwards[1] < 0.4 and np.allclose(outwards[[0, 2]], (0.3, -0.2), atol=1e-9)
    assert Pose(params, 20.0, stop, 30.0).ask((0.0, 1.5, 0.0))[0][1] == pytest.approx(0.0, abs=1e-9)
    assert Pose(params, 20.0, stop + 1.0, 30.0).ask((0.0, 1.5, 0.0))[0][1] < 0.0
    inwards, bits = pose.ask((0.3, -1.5, -0.2))
    assert np.allclose(inwards, (0.3, -1.5, -0.2), atol=1e-6) and bits == 0


def test_a_stop_that_takes_next_to_nothing_is_not_told(params):
    """A joint that rests at its stop: noise of the rates would have the watch look away from a following error."""
    stop = params[0]["feasible"]["stop_max"][PITCH] / DEG
    pose = Pose(params, 20.0, stop, 30.0)
    left, bits = pose.ask((0.0, 1.0 * DEG, 0.0))
    assert left[1] == pytest.approx(0.0, abs=1e-9) and bits == 0
    assert pose.ask((0.0, 4.0 * DEG, 0.0))[1] == 1 << Code.END_STOP


def test_the_setpoints_own_rate_counts_once_at_the_singularitys_border(params):
    """Outside, the speed kept for the way by angles is that of the error alone."""
    pose = Pose(params, 40.0, 10.0, 0.0)
    own_C, close_C = q_unrotate(pose.q_BC, (0.0, 0.0, 0.4)), q_unrotate(pose.q_BC, (0.0, 0.0, 0.1))
    for extra_C in ((0.0, 0.0, 0.0), close_C):
        pose.control["rate_cmd_C"] = np.add(own_C, extra_C)
        feasible(pose.p, pose.s, pose.chain, pose.nav, ORDER, tuple(own_C), 1.0, pose.control)
        assert pose.s["speed"] == pytest.approx(0.1 if extra_C is close_C else 0.0, abs=1e-9)


@pytest.mark.parametrize("roll", [76.0, 80.0, 83.0, -83.0])
@pytest.mark.parametrize("pitch", [-60.0, 5.0, 60.0])
def test_near_the_singularity_no_joint_is_asked_beyond_its_rate(params, roll, pitch):
    """A base that turns about the lost direction: the line of sight is kept better than the horizon."""
    pose = Pose(params, roll, pitch, 40.0)
    a1, a2 = pose.chain["axis_B"][1], pose.chain["axis_B"][2]
    lost_B = np.cross(a1, a2)
    base_B = 3.0 * lost_B
    left, bits = pose.ask((0.0, 0.0, 0.0), base_B=tuple(base_B))
    rates = pose.joint_rates(left, base_B)
    assert bits & (1 << Code.RATE_LIMIT)
    assert abs(rates[0]) == pytest.approx(params[0]["feasible"]["max_rate"][YAW], rel=1e-6)
    assert np.abs(rates).max() < 1.01 * params[0]["feasible"]["max_rate"].max()
    lost = abs(np.dot(q_rotate(pose.q_BC, tuple(left)), lost_B))
    assert lost > 0.1
    if abs(pitch) > 30.0 and roll < 81.0 and roll > 0.0:
        assert abs(left[2]) < 0.7 * lost * abs(q_unrotate(pose.q_BC, tuple(lost_B))[2])


def test_the_way_of_the_outer_joint_is_an_angle(params):
    """The wanted pose is past the singularity, where a stop left an error: half a turn of the outer joint is asked for,
    and an error over |det J| would have asked for a few degrees."""
    pose = Pose(params, 84.0, 0.0, 0.0)
    err_C = (0.13, 0.0, 0.004)  # 7.4 degrees of roll more than there is: |det J| of -0.025
    left, _ = pose.ask((0.0, 0.0, 0.1), err_C=err_C)
    assert pose.joint_rates(left)[0] > 5.0
    small, _ = Pose(params, 76.0, 0.0, 0.0).ask((0.0, 0.0, 0.001 * 16.957), err_C=(0.0, 0.0, 0.001))
    assert pose.joint_rates(small)[0] < 0.5


@pytest.mark.parametrize("degrees", [30.0, 84.0, 89.9, 90.0, 95.0])
def test_joint_motion_makes_its_two_directions_at_every_pose(params, degrees):
    pose = Pose(params, degrees, 20.0, -50.0)
    axes = pose.chain["axis_B"]
    lost = np.cross(axes[1], axes[2])
    out, wanted = np.zeros(3), np.array((3.0, -2.0, 5.0))
    joint_motion(pose.chain, tuple(wanted), 0.05, out)
    made = axes.T @ out
    assert made @ axes[1] == pytest.approx(wanted @ axes[1]) and made @ axes[2] == pytest.approx(wanted @ axes[2])
    if abs(np.cos(degrees * DEG)) > 0.05:
        assert np.allclose(made, wanted, atol=1e-9)
    assert np.abs(out).max() <= 1.01 * (np.abs(wanted @ lost) / 0.05 + np.linalg.norm(wanted))


def test_the_integral_gives_back_and_takes_no_other_sign(params):
    s = np.zeros(1, PID_STATE)[0]
    s["i"] = (2.0, -2.0, 0.0)
    for _ in range(1000):
        pid_unwind(params[0]["pid"], s, (-100.0, 100.0, 100.0), 0.001, 20.0)
    assert s["i"].tolist() == [0.0, 0.0, 0.0]


def test_a_spiral_beyond_the_roll_stop_is_flown_through():
    """The picture was rolled by 5 degrees: so the wanted pose passes beside the singularity, beyond the hard stop, and
    the yaw joint would need thousands of deg/s. Rates stay limited, the picture comes back and stays."""

    def orders(t, row):
        return (Verb.RATE, Mode.RATE, (-5.0 * DEG, 0.0, 0.0)) if 2.0 <= t < 3.0 else None

    rows, _ = fly(20.0, orders, scenario="speedflight")
    margin, error = rows["control"]["singularity_margin"], np.linalg.norm(rows["control"]["attitude_err_C"], axis=1)
    assert margin[3000:].min() < 0.1
    assert np.abs(rows["nav"]["joint_rate_est"][3000:]).max() < 700.0 * DEG
    assert np.abs(rows["nav"]["joint_angle_est"][3000:, ROLL]).max() < 86.0 * DEG
    told = ((rows["health"]["limits"].astype(np.int64) >> Code.SINGULARITY) & 1).astype(bool)
    assert (told == (margin < 0.25))[1000:].all()
    away = np.flatnonzero(error > 5e-3)
    away = away[away > 3000]
    assert 0 < away.size < 700
    assert error[away[-1] + 500 :].max() < 5e-3
