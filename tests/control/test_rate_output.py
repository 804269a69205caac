"""Commands to devices with loops of their own: no NaN, no jump, nothing outwards at the end stop, still when held."""

from __future__ import annotations

import numpy as np
import pytest

from gimbal.config.load import load_rig
from gimbal.config.pack import pack_params
from gimbal.control.joint_kinematics import CHAIN_STATE, place_chain
from gimbal.control.motion_ahead import AHEAD_STATE
from gimbal.control.rate_output import CAMERA_RATE, JOINT_RATE, OUTPUT_STATE, hold_output, output_command, rate_output
from gimbal.faults import Code
from gimbal.records import COMMAND, CONTROL, NAV, JointMode

DT, LEVEL = 0.005, (1.0, 0.0, 0.0, 0.0)


class Bench:
    def __init__(self, rig: str = "simplefoc") -> None:
        params = pack_params(load_rig(rig).config)[0]
        self.p, self.chain_params = params["supervisor"]["output"], params["allocation"]["chain"]
        self.s, self.chain, self.ahead, self.nav, self.control, self.command = (
            np.zeros(1, d)[0] for d in (OUTPUT_STATE, CHAIN_STATE, AHEAD_STATE, NAV, CONTROL, COMMAND)
        )

    def tick(self, n: int = 1, gain: float = 1.0) -> int:
        bits = 0
        place_chain(self.chain_params, self.chain, self.ahead["angle"])
        for _ in range(n):
            bits = rate_output(
                self.p,
                self.s,
                self.chain,
                self.ahead,
                self.chain_params["order"],
                self.nav,
                self.control,
                0.1,
                gain,
                DT,
            )
        return bits


@pytest.fixture(scope="module")
def config_kind():
    return pack_params(load_rig("simplefoc").config)[0]["supervisor"]["output"]["kind"]


def test_it_slews_to_the_rate_asked_for_and_feeds_the_base_forward(config_kind):
    assert config_kind == JOINT_RATE
    bench = Bench()
    bench.control["rate_cmd_C"] = (0.0, 0.5, 0.0)
    bench.ahead["rate"] = (0.3, 0.0, 0.0)
    bench.tick()
    assert 0.0 < bench.s["rate"][1] <= bench.p["max_accel"][1] * DT + 1e-12
    bench.tick(400)
    assert bench.s["rate"] == pytest.approx((0.3, 0.5, 0.0), abs=1e-6)
    bench.tick(400, gain=0.0)
    assert bench.s["rate"] == pytest.approx((0.0, 0.0, 0.0), abs=1e-9)


def test_nothing_goes_outwards_at_the_end_stop():
    bench = Bench()
    bench.nav["joint_angle_est"][1] = bench.p["stop_max"][1]
    bench.control["rate_cmd_C"] = (0.0, 1.0, 0.0)
    assert bench.tick(50) >> Code.END_STOP & 1
    assert bench.s["rate"][1] == 0.0
    bench.control["rate_cmd_C"] = (0.0, -1.0, 0.0)
    bench.tick(200)
    assert bench.s["rate"][1] == pytest.approx(-1.0)


def test_no_number_that_is_none_and_none_beyond_the_limit_is_sent():
    bench = Bench()
    bench.tick()
    assert output_command(bench.p, bench.s, False, LEVEL, bench.command)
    assert (bench.command["mode"] == JointMode.RATE).all()
    for bad in (np.nan, np.inf, 1e3):
        bench.s["rate"][2] = bad
        assert not output_command(bench.p, bench.s, False, LEVEL, bench.command)


def test_without_samples_the_joints_are_drawn_to_where_they_were():
    bench = Bench()
    bench.nav["joint_angle_est"] = (0.02, -0.5, 0.0)
    hold_output(bench.p, bench.nav, np.zeros(3), bench.command)
    assert bench.command["joint_rate_cmd"] == pytest.approx((-0.1, 0.5, 0.0))


@pytest.mark.parametrize("end, outwards", [("stop_max", 1.0), ("stop_min", -1.0)])
def test_a_board_at_its_stop_is_told_of_only_while_it_is_asked_to_go_on(end, outwards):
    bench = Bench("sbgc")
    assert bench.p["kind"] >= CAMERA_RATE and not bench.p["continuous"][1]
    bench.nav["joint_angle_est"][1] = bench.ahead["angle"][1] = bench.p[end][1]
    for rate, base, told in (
        (0.0, 0.0, False),  # at rest there it is like any other place
        (0.3, 0.0, True),
        (-0.3, 0.0, False),
        (0.0, 0.3, True),  # the base turns on: held still, the camera takes the joint outwards
        (0.0, -0.3, False),
        (0.01, 0.0, False),
    ):
        bench.control["rate_cmd_C"] = (0.0, outwards * rate, 0.0)
        bench.ahead["rate"][1] = outwards * base
        assert bool(bench.tick() >> Code.END_STOP & 1) == told, (rate, base)
    bench.control["rate_cmd_C"] = (0.0, outwards, 0.0)
    bench.nav["joint_angle_est"][1] = 0.0
    bench.ahead["rate"] = 0.0
    assert not bench.tick() >> Code.END_STOP & 1
