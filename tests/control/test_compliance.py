"""The structure's stretch, and a structure that isn't the config's: its softness is found in flight."""

from __future__ import annotations

import math

import numpy as np
import pytest

from gimbal.config.load import load_rig, load_scenario
from gimbal.config.pack import pack_params
from gimbal.control.base_shake import SHAKE_STATE
from gimbal.control.compliance import learn_compliance, stretch
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
    still["learn"], still["pole1"] = 0.0, 0.5 * still["pole1"]
    for s, soft in zip(states, (1.2, 1.2 - 5e-4, 1.2 + 5e-4), strict=True):
        s["compliance"]["soft"] = soft
    rng, seen = np.random.default_rng(1), []
    for i in range(600):
        through, turned = rng.normal(), 1e-3 * 0.2 * math.cos(2 * math.pi * 31.0 * i * DT)
        bent = [stretch(still, s["compliance"], 1, through, turned) for s in states]
        for s in states:
            learn_compliance(still, s, ORDER, shake, np.zeros(3), True, DT)
        seen.append((states[0]["compliance"]["slope"][1, 0], (bent[2] - bent[1]) / 1e-3))
    got, want = np.array(seen[100:]).T
    assert np.std(want) > 1e-4
    assert np.std(got - want) < 0.06 * np.std(want)  # the root of the softness in the damping is left out


def flown(plant, learns: bool, seconds: float, scenario: str = "speedflight", mode: Mode = Mode.LOCK):
    """(softness by tick (n, 3), attitude error (n, 3) rad) of the torque rig's controller on another structure."""
    told = load_rig("torque").config
    params = pack_params(told, start_armed=True)
    params["allocation"]["ahead"]["compliance"]["learns"] = learns
    state = new_state(params)
    state["arbiter"]["mode"] = mode
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
    assert (np.diff(soft, axis=0) != 0.0).any(axis=1).sum() < 40  # a few steps, no drift
    assert np.std(err[-10_000:]) < 0.5 * np.std(left[-10_000:])


@pytest.mark.parametrize("scenario", ["speedflight", "helicopter", "camera_car", "cliff_jump", "train_roof"])
def test_a_structure_that_is_as_told_stays_so(scenario):
    soft, _ = flown(load_rig("torque").config, True, 24.0, scenario)
    assert (soft[-1] == 1.0).all()


def taught(params, seconds, good=True, ahead=None, camera_rate=(0.0, 0.0, 0.0), most=400.0):
    """AHEAD_STATE after a stretch that shows in the base's acceleration as it would were each joint softer."""
    ahead, shake = np.zeros(1, AHEAD_STATE)[0] if ahead is None else ahead, np.zeros(1, SHAKE_STATE)[0]
    shake["axes"], shake["seen"] = np.eye(3), 1
    rng = np.random.default_rng(2)
    for i in range(round(seconds / DT)):
        for a in range(3):
            stretch(params, ahead["compliance"], a, 0.2 * math.sin(2 * math.pi * 45.0 * i * DT), 0.0)
        shake["now"] = most * math.sin(2 * math.pi * 45.0 * i * DT + 0.3) + rng.normal()
        learn_compliance(params, ahead, ORDER, shake, np.array(camera_rate), good, DT)
    return ahead


def test_a_joint_that_turns_fast_teaches_nothing(params):
    """By the base, by the camera, or slowly since one undoes the other."""
    by_base = np.zeros(1, AHEAD_STATE)[0]
    by_base["rate"] = 0.0, 2.5, 2.5
    learned = taught(params, 2.0, ahead=by_base, camera_rate=(2.5, 0.0, -2.5))["compliance"]["soft"]
    assert learned[ROLL] == 1.0 and learned[PITCH] == 1.0 and learned[YAW] != 1.0


def test_nothing_is_learned_where_what_acts_is_not_what_is_taken_to_act(params):
    assert (taught(params, 5.0, good=False)["compliance"]["soft"] == 1.0).all()
    assert (taught(params, 0.04)["compliance"]["soft"] == 1.0).all()  # nor before it was so for a while
    assert (taught(params, 5.0, most=0.0)["compliance"]["soft"] == 1.0).all()  # noise alone
    assert (taught(params, 5.0)["compliance"]["soft"] != 1.0).all()


def test_a_joint_too_stiff_for_the_loop_stays_as_told(params):
    stiff = params.copy()
    stiff["pole2"][ROLL] = 0.0
    ahead = taught(stiff, 3.0)
    assert ahead["compliance"]["soft"][ROLL] == 1.0 and ahead["compliance"]["soft"][PITCH] != 1.0
    assert abs(ahead["compliance"]["bent"][ROLL, 0]) <= 0.2 * stiff["gives"][ROLL]


def test_what_is_no_number_teaches_nothing_and_does_not_stay(params):
    ahead, shake = taught(params, 2.0), np.zeros(1, SHAKE_STATE)[0]
    learned = ahead["compliance"]["soft"].copy()
    shake["axes"], shake["seen"], shake["now"] = np.eye(3), 1, np.nan
    learn_compliance(params, ahead, ORDER, shake, np.zeros(3), True, DT)
    assert np.array_equal(ahead["compliance"]["soft"], learned)
    again = taught(params, 3.0, ahead=ahead, most=-400.0)["compliance"]
    assert np.isfinite(again["soft"]).all() and not np.array_equal(again["soft"], learned)


def test_a_rig_shaken_with_its_motors_off_learns_nothing():
    told = load_rig("torque").config
    rig = told.model_copy(update={"structure": told.structure.model_copy(update={"mode_hz": (44.0, 56.0, 38.0)})})
    soft, _ = flown(rig, True, 10.0, mode=Mode.OFF)
    assert (soft == 1.0).all()
