"""The structure's stretch, and a structure that isn't the config's: its softness is found in flight."""

from __future__ import annotations

import math

import numpy as np
import pytest

from gimbal.config.load import load_rig, load_scenario
from gimbal.config.pack import pack_params
from gimbal.control.base_shake import SHAKE_STATE
from gimbal.control.compliance import SOFTEST, STIFFEST, learn_compliance, stretch
from gimbal.control.motion_ahead import AHEAD_STATE
from gimbal.frames import PITCH, ROLL, YAW
from gimbal.loop.lockstep import START_NS
from gimbal.loop.pipeline import new_state, step
from gimbal.records import COMMAND, INBOX, SENSE, TICK, Mode
from gimbal.rig.plant import PlantRig

DT, ORDER = 1e-3, np.array([YAW, ROLL, PITCH])


@pytest.fixture(scope="module")
def params():
    return pack_params(load_rig("torque").config)[0]["allocation"]["ahead"]["compliance"]


def test_the_slope_is_that_of_the_stretch_by_softness(params):
    """Of two structures a per mille apart, under the same torque and on the same turning stage."""
    states = [np.zeros(1, AHEAD_STATE)[0] for _ in range(3)]
    still, shake = params.copy(), np.zeros(1, SHAKE_STATE)[0]
    still["learn"] = 0.0
    for s, soft in zip(states, (1.2, 1.2 - 5e-4, 1.2 + 5e-4), strict=True):
        s["compliance"]["soft"] = soft
    rng, seen = np.random.default_rng(1), []
    for i in range(600):
        through, turned = rng.normal(), 1e-3 * 0.2 * math.cos(2 * math.pi * 31.0 * i * DT)
        bent = [stretch(still, s["compliance"], 1, through, turned) for s in states]
        for s in states:
            learn_compliance(still, s, ORDER, shake, True, DT)
        seen.append((states[0]["compliance"]["slope"][1, 0], (bent[2] - bent[1]) / 1e-3))
    got, want = np.array(seen[100:]).T
    assert np.std(want) > 1e-4
    assert np.std(got - want) < 0.06 * np.std(want)  # the root of the softness in the damping is left out


def flown(plant, learns: bool, seconds: float = 8.0, scenario: str = "speedflight"):
    """(softness by tick (n, 3), attitude error (n, 3) rad) of the torque rig's controller on another structure."""
    told = load_rig("torque").config
    params = pack_params(told, start_armed=True)
    params["allocation"]["ahead"]["compliance"]["learns"] = learns
    state = new_state(params)
    state["arbiter"]["mode"] = Mode.LOCK
    rig = PlantRig(plant, load_scenario(scenario).config, seed=3, seconds=seconds)
    rig.open({"dt_s": DT, "seed": 3, "kinematic_order": list(told.kinematic_order), "t0_ns": START_NS})
    sense, inbox, command, row = (np.zeros(1, d) for d in (SENSE, INBOX, COMMAND, TICK))
    soft, err = [], []
    for _ in range(round(seconds / DT)):
        sense[:] = 0
        rig.read(sense)
        step(params, state, sense, inbox, command, row)
        rig.write(command)
        soft.append(state[0]["allocation"]["ahead"]["compliance"]["soft"].copy())
        err.append(row[0]["control"]["attitude_err_C"].copy())
    rig.close()
    return np.array(soft), np.array(err)


def test_a_softer_structure_is_found_and_the_picture_calms_down():
    told = load_rig("torque").config
    structure = told.structure.model_copy(update={"mode_hz": tuple(0.9 * f for f in told.structure.mode_hz)})
    rig = told.model_copy(update={"structure": structure})
    soft, err = flown(rig, True, 18.0)
    _, left = flown(rig, False, 18.0)
    assert soft[-1] == pytest.approx(0.9**-2, rel=0.12)
    assert soft.max() <= SOFTEST and soft.min() >= STIFFEST
    assert np.std(err[-10_000:]) < 0.5 * np.std(left[-10_000:])


@pytest.mark.parametrize("scenario", ["speedflight", "train_roof"])
def test_a_structure_that_is_as_told_stays_so(scenario):
    soft, _ = flown(load_rig("torque").config, True, scenario=scenario)
    assert np.abs(soft[-1] - 1.0).max() < 0.1


def test_what_is_no_number_and_one_joint_at_speed_teach_nothing(params):
    ahead, shake = np.zeros(1, AHEAD_STATE)[0], np.zeros(1, SHAKE_STATE)[0]
    shake["axes"] = np.eye(3)
    rng = np.random.default_rng(2)
    ahead["rate"][PITCH] = 2.0
    for i in range(2000):
        for a in range(3):
            stretch(params, ahead["compliance"], a, 2.0 * math.sin(2 * math.pi * 45.0 * i * DT), 0.0)
        shake["now"] = 100.0 * math.sin(2 * math.pi * 45.0 * i * DT + 0.3) + rng.normal()
        learn_compliance(params, ahead, ORDER, shake, True, DT)
    learned = ahead["compliance"]["soft"].copy()
    assert learned[PITCH] == 1.0 and learned[ROLL] != 1.0 and learned[YAW] != 1.0
    shake["now"] = np.nan
    learn_compliance(params, ahead, ORDER, shake, True, DT)
    shake["now"] = 0.0
    for _ in range(5):
        learn_compliance(params, ahead, ORDER, shake, True, DT)
    assert np.array_equal(ahead["compliance"]["soft"], learned)
