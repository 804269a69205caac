"""The whole tick on the simulated rig: transfer between armed modes, straight down, the singularity, a hot motor."""

from __future__ import annotations

import numpy as np
import pytest

from gimbal.config.load import load_rig, load_scenario
from gimbal.config.pack import pack_params
from gimbal.faults import Code
from gimbal.frames import PITCH, ROLL
from gimbal.loop.lockstep import START_NS
from gimbal.loop.pipeline import new_state, step
from gimbal.metrics import q_mul, rotation_vector
from gimbal.plant.state import TRUTH
from gimbal.records import COMMAND, INBOX, SENSE, TICK, Mode, Verb
from gimbal.rig.plant import PlantRig
from gimbal.units import DEG


def fly(seconds, orders, rig=None, scenario="bench", told=None):
    """Rows (n,) TICK and true attitudes (n, 4); orders(t_s, row) -> (Verb, Mode, rates) or None, asked every 50 ms."""
    rig = rig or load_rig("torque").config
    plant = PlantRig(rig, load_scenario(scenario).config, seed=1, seconds=seconds)
    params = pack_params(told or rig, start_armed=True)
    state = new_state(params)
    state["arbiter"]["mode"] = Mode.LOCK
    n = round(seconds * rig.loop_rate_hz)
    sense, command, inbox = np.zeros(1, SENSE), np.zeros(1, COMMAND), np.zeros(1, INBOX)
    row, rows, truth = np.zeros(1, TICK), np.zeros(n, TICK), np.zeros(n, TRUTH)
    info = {"dt_s": 1.0 / rig.loop_rate_hz, "seed": 1, "kinematic_order": list(rig.kinematic_order), "t0_ns": START_NS}
    plant.open(info)
    for k in range(n):
        sense[:] = 0
        plant.read(sense)
        plant.truth_into(truth[k : k + 1])
        order = orders(k / rig.loop_rate_hz, row[0]) if k % 50 == 0 and k > 0 else None
        inbox[:] = 0
        if order is not None:
            verb, mode, rates = order
            inbox["seq"], inbox["owner"], inbox["verb"], inbox["mode"] = k, 7, verb, mode
            inbox["vector"], inbox["deadline_ns"] = rates, int(sense["t_ns"][0]) + 200_000_000
        step(params, state, sense, inbox, command, row)
        rows[k] = row[0]
        plant.write(command)
    assert not rows["health"]["fault"].any()
    return rows, truth["q_NC"]


def moved(q, a, b):
    """Greatest rotation (rad) from the attitude at tick a until tick b."""
    still = np.broadcast_to(q[a] * [1, -1, -1, -1], (b - a, 4))
    return float(np.linalg.norm(rotation_vector(q_mul(still, q[a:b])), axis=1).max())


def test_armed_modes_change_without_a_bump():
    modes = {8.0: Mode.RATE, 8.5: Mode.LOCK, 9.0: Mode.RATE, 9.5: Mode.LOCK}

    def orders(t, row):
        return (Verb.MODE, modes[t], (0.0, 0.0, 0.0)) if t in modes else None

    rows, q = fly(10.0, orders)
    assert set(rows["goal"]["mode"][8000:].tolist()) == {Mode.RATE, Mode.LOCK}
    quiet = moved(q, 7800, 7950)
    for t in modes:
        k = round(1000 * t)
        assert moved(q, k - 1, k + 150) < quiet + 50e-6


def test_straight_down_is_reached_and_left_without_a_kick():
    def orders(t, row):
        rate = -40.0 * DEG if 4.0 <= t < 6.5 else 40.0 * DEG if 7.5 <= t < 9.0 else 0.0
        return (Verb.RATE, Mode.RATE, (0.0, rate, 0.0)) if t >= 3.5 else None

    rows, _ = fly(10.0, orders)
    pitch = rows["nav"]["joint_angle_est"][:, PITCH]
    assert pitch.min() < -88.0 * DEG
    assert np.abs(rows["control"]["attitude_err_C"][4000:]).max() < 3e-3
    assert not rows["control"]["saturated"][4000:].any()


def test_through_the_singularity_rates_stay_limited_and_it_comes_back_without_a_step():
    def orders(t, row):
        rate = 30.0 * DEG if 4.0 <= t < 6.7 else -30.0 * DEG if 8.0 <= t < 10.0 else 0.0
        return (Verb.RATE, Mode.RATE, (rate, 0.0, 0.0)) if t >= 3.5 else None

    rows, _ = fly(11.0, orders)
    roll = np.abs(rows["nav"]["joint_angle_est"][:, ROLL])
    assert roll.max() > 78.0 * DEG
    near = rows["control"]["singularity_margin"] < 0.25
    told = (rows["health"]["limits"].astype(np.int64) >> Code.SINGULARITY) & 1
    assert near.any() and (told.astype(bool) == near).all()
    assert np.abs(rows["nav"]["joint_rate_est"][4000:]).max() < 120.0 * DEG
    error = rows["control"]["attitude_err_C"]
    left = 4000 + int(np.flatnonzero(near[4000:])[-1])
    assert np.abs(error[left + 1 : left + 200] - error[left]).max() < 1e-3


def test_a_hot_motor_is_given_less_torque_before_it_faults():
    rig = load_rig("torque").config
    small = {"winding_J_K": 0.02 * rig.thermal.winding_J_K, "winding_to_case_K_W": 40.0, "limit_degC": 70.0}
    thermal = rig.thermal.model_copy(update=small)
    rows, _ = fly(12.0, lambda t, row: None, rig.model_copy(update={"thermal": thermal}), "train_roof")
    hot = ((rows["health"]["limits"].astype(np.int64) >> Code.MOTOR_HOT) & 1).astype(bool)
    assert hot[-1] and not hot[:2000].any()
    assert rows["sense"]["motor_temp_degC"].max() < 70.0
    assert np.abs(rows["control"]["torque_lim"][hot]).max() < rig.limits.max_torque_Nm


@pytest.mark.parametrize(("part", "joint"), [("balance", PITCH), ("cable", ROLL)])
def test_a_feed_forward_of_the_wrong_sign_is_found_and_switched_off(part, joint):
    """The controller's config differs in sign from the plant's; the right config beside it stays trusted."""
    rig = load_rig("torque").config
    if part == "balance":
        camera = rig.body.pitch.model_copy(update={"com_m": (0.004, 0.0005, 0.0012)})
        true = rig.model_copy(update={"body": rig.body.model_copy(update={"pitch": camera})})
        wrong = camera.model_copy(update={"com_m": (-0.004, 0.0005, 0.0012)})
        told = true.model_copy(update={"body": true.body.model_copy(update={"pitch": wrong})})
    else:
        cable = rig.cable.model_copy(update={"spring_Nm_rad": (0.3, 0.05, 0.0), "hysteresis_Nm": 0.0})
        true = rig.model_copy(update={"cable": cable})
        off = cable.model_copy(update={"spring_Nm_rad": (-0.3, 0.05, 0.0)})
        told = true.model_copy(update={"cable": off})

    def orders(t, row):
        rate = 20.0 * DEG if 2.0 <= t < 3.0 else 0.0
        return (Verb.RATE, Mode.RATE, (rate, 0.0, 0.0)) if 1.5 <= t < 3.3 else None

    rows, _ = fly(6.5, orders, true, told=told)
    off = (rows["health"]["limits"].astype(np.int64) >> Code.FEEDFORWARD_OFF) & 1
    assert off[-1] and not off[3000]
    assert np.abs(rows["control"]["attitude_err_C"][-500:]).max() < 1e-3
    rows, _ = fly(6.5, orders, true)
    assert not ((rows["health"]["limits"].astype(np.int64) >> Code.FEEDFORWARD_OFF) & 1).any()
