"""A value that is no number ends in the safe state, and not in a gimbal that can't be armed again."""

from __future__ import annotations

import numpy as np
import pytest

from gimbal.config.load import load_rig, load_scenario
from gimbal.config.pack import pack_params
from gimbal.faults import Blocker, Code
from gimbal.loop.lockstep import START_NS
from gimbal.loop.pipeline import new_state, step
from gimbal.records import COMMAND, INBOX, SENSE, TICK, Arm, Mode, Verb
from gimbal.rig.plant import PlantRig


class Flight:
    """The tick on the simulated rig, a tick at a time."""

    def __init__(self, start_armed: bool = True) -> None:
        config = load_rig("torque").config
        self.rig = PlantRig(config, load_scenario("bench").config, seed=1, seconds=6.0)
        self.params = pack_params(config, start_armed=start_armed)
        self.state = new_state(self.params)
        self.state["arbiter"]["mode"] = Mode.LOCK
        order = list(config.kinematic_order)
        self.rig.open({"dt_s": 1e-3, "seed": 1, "kinematic_order": order, "t0_ns": START_NS})
        self.row, self.seq = np.zeros(1, TICK), 0

    def fly(self, ticks: int, verb: Verb = Verb.NONE) -> np.ndarray:
        sense, command = np.zeros(1, SENSE), np.zeros(1, COMMAND)
        for k in range(ticks):
            sense[:] = 0
            self.rig.read(sense)
            inbox = np.zeros(1, INBOX)
            if verb and k == 0:
                self.seq += 1
                inbox["seq"], inbox["owner"], inbox["verb"] = self.seq, 7, verb
                inbox["deadline_ns"] = int(sense["t_ns"][0]) + 200_000_000
            step(self.params, self.state, sense, inbox, command, self.row)
            assert np.isfinite(command["joint_torque_cmd"]).all()
            self.rig.write(command)
        return self.row["health"][0]


@pytest.mark.parametrize("where", ["pid", "observer", "torque"])
def test_control_that_fails_can_be_armed_again(where):
    flight = Flight()
    assert flight.fly(1500)["arm"] == Arm.ARMED
    if where == "pid":
        flight.state["pid"]["i"] = np.nan
    elif where == "observer":
        flight.state["observer"]["estimate"] = np.nan
    else:
        flight.state["demand_C"] = np.nan
        flight.state["allocation"]["feedback"] = np.nan
        flight.state["pid"]["i"] = np.nan
    health = flight.fly(2)
    assert health["arm"] == Arm.SAFE and health["fault"] == Code.CONTROL_FAILED
    flight.fly(300)
    assert flight.fly(5, Verb.ACK)["arm"] == Arm.IDLE
    assert flight.fly(1000, Verb.ARM)["arm"] == Arm.ARMED


def test_an_estimate_that_is_no_number_is_not_valid():
    flight = Flight()
    flight.fly(1500)
    flight.state["estimation"]["q"] = np.nan
    flight.state["estimation"]["omega"] = np.nan
    health = flight.fly(3)
    assert health["arm"] == Arm.SAFE and health["fault"] in (Code.ESTIMATOR_FAILED, Code.CONTROL_FAILED)


def test_stop_during_the_self_test_does_not_skip_it():
    flight = Flight(start_armed=False)
    assert flight.fly(5)["arm"] == Arm.SELF_TEST
    assert flight.fly(5, Verb.STOP)["arm"] == Arm.SAFE
    assert flight.fly(1, Verb.ACK)["arm"] == Arm.SELF_TEST
    assert flight.fly(50)["arm"] == Arm.SELF_TEST
    assert flight.fly(2500)["arm"] == Arm.IDLE  # once the tilt is known


def test_arming_waits_for_the_tilt_unless_the_rig_accepts_a_rough_one():
    flight = Flight(start_armed=False)
    waiting = 0
    while not flight.row["nav"]["settled"][0] and waiting < 2500:
        health = flight.fly(1)
        waiting += 1
        if waiting > 200 and not flight.row["nav"]["settled"][0]:
            assert health["arm"] == Arm.SELF_TEST and health["blockers"] & 1 << Blocker.ESTIMATOR
    assert 500 < waiting < 2500
    assert flight.fly(200)["arm"] == Arm.IDLE
    flight.state["estimation"]["P"][0, 0, 0] = flight.state["estimation"]["P"][0, 1, 1] = np.radians(10.0) ** 2
    assert flight.fly(3)["blockers"] & 1 << Blocker.ESTIMATOR  # known once, and lost again
    rough = Flight(start_armed=False)
    rough.params["supervisor"]["rough_tilt"] = 1
    assert rough.fly(400)["arm"] == Arm.IDLE and not rough.row["nav"]["settled"][0]
