"""The feedback passes to the fast loops and back: when, how often at most, and what the picture sees of it."""

from __future__ import annotations

import numpy as np
import pytest

from gimbal.config.load import load_rig, load_scenario
from gimbal.config.pack import pack_params
from gimbal.control.handover import HANDOVER_STATE, LONGEST_WAIT_S, LOST_NS, UNWHOLE, handover, handover_reset
from gimbal.faults import Code
from gimbal.loop.lockstep import START_NS, plain_pid
from gimbal.loop.pipeline import new_state, step
from gimbal.metrics import q_mul, rotation_vector
from gimbal.plant.state import TRUTH
from gimbal.records import COMMAND, INBOX, SENSE, TICK, Mode
from gimbal.rig.plant import PlantRig

DT = 1e-3
NEAR = np.array([1e-4, 0.0, 0.0])
STILL = np.zeros(3)


@pytest.fixture
def params():
    return pack_params(load_rig("torque").config)[0]["handover"]


def after(p, s, seconds, limits=0, error=NEAR, margin=1.0, shake=STILL, lost_ns=0):
    """Shares (n,) of so many seconds of the same."""
    shares = np.zeros(round(seconds / DT))
    for i in range(len(shares)):
        handover(p, s, limits, lost_ns, error, shake, margin, DT)
        shares[i] = s["share"]
    return shares


def test_it_waits_for_a_calm_while_then_rises_smoothly(params):
    s = np.zeros(1, HANDOVER_STATE)[0]
    shares = after(params, s, 2.0)
    first = int(np.flatnonzero(shares)[0]) * DT
    assert first == pytest.approx(params["wait_s"], abs=2 * DT)
    assert shares[-1] == 1.0 and (np.diff(shares) >= 0.0).all()
    assert np.diff(shares).max() < 2.0 * DT / params["rise_s"]
    handover_reset(s)
    assert s["share"] == 0.0 and not after(params, s, 0.9 * params["wait_s"]).any()


def test_an_error_between_the_two_marks_keeps_what_is(params):
    s, between = np.zeros(1, HANDOVER_STATE)[0], np.array([0.0, 0.005, 0.0])
    assert not after(params, s, 3.0, error=between).any()
    after(params, s, 3.0)
    assert (after(params, s, 3.0, error=between) == 1.0).all()


@pytest.mark.parametrize(
    "what",
    [{"limits": 1 << b} for b in range(40) if UNWHOLE >> b & 1]
    + [
        {"error": np.array([0.0, 0.0, 0.02])},
        {"error": np.array([np.nan, 0.0, 0.0])},
        {"margin": 0.26},
        {"lost_ns": LOST_NS},
    ],
)
def test_it_is_gone_in_a_few_ticks_when_something_ends_the_calm(params, what):
    s = np.zeros(1, HANDOVER_STATE)[0]
    assert after(params, s, 3.0)[-1] == 1.0
    shares = after(params, s, 0.01, **what)
    assert not shares[4:].any()


def test_a_structure_that_rings_ends_it_and_a_short_knock_does_not(params):
    s = np.zeros(1, HANDOVER_STATE)[0]
    after(params, s, 3.0)
    after(params, s, 0.005, shake=np.array([0.0, 0.2, 0.0]))
    assert after(params, s, 0.05)[-1] == 1.0
    assert after(params, s, 0.1, shake=np.array([0.0, 0.15, 0.0]))[-1] == 0.0


def test_what_does_not_touch_the_loops_leaves_it_alone(params):
    s = np.zeros(1, HANDOVER_STATE)[0]
    after(params, s, 3.0)
    for code in (Code.GNSS_LOST, Code.TARGET_LOST, Code.HEADING_UNKNOWN, Code.STICK):
        assert (after(params, s, 0.05, limits=1 << code) == 1.0).all()


def test_it_cannot_chatter_and_is_forgiven(params):
    s, taken = np.zeros(1, HANDOVER_STATE)[0], 0
    for _ in range(120):  # lost as soon as it is there, for two minutes
        shares = after(params, s, 0.99)
        taken += int(shares[0] == 0.0 and shares.any())
        after(params, s, 0.01, limits=1 << Code.TORQUE_LIMIT if s["share"] > 0.5 else 0)
    assert taken <= 6
    assert s["wait_s"] <= LONGEST_WAIT_S
    after(params, s, 240.0)
    assert s["share"] == 1.0 and s["wait_s"] < 1.1 * params["wait_s"]


class Flight:
    """The shipped tick on a carrier; ``unwhole`` are the ticks before which a low supply is reported."""

    def __init__(self, seconds, scenario, rig=None, unwhole=(), kick=None):
        rig = rig or load_rig("torque").config
        plant = PlantRig(rig, load_scenario(scenario).config, seed=1, seconds=seconds)
        params = pack_params(rig, start_armed=True)
        state = new_state(params)
        state["arbiter"]["mode"] = Mode.LOCK
        n = round(seconds * rig.loop_rate_hz)
        sense, command, inbox, row = (np.zeros(1, x) for x in (SENSE, COMMAND, INBOX, TICK))
        self.rows, truth = np.zeros(n, TICK), np.zeros(n, TRUTH)
        order = list(rig.kinematic_order)
        plant.open({"dt_s": 1.0 / rig.loop_rate_hz, "seed": 1, "kinematic_order": order, "t0_ns": START_NS})
        for k in range(n):
            sense[:] = 0
            plant.read(sense)
            plant.truth_into(truth[k : k + 1])
            if k in unwhole:
                state["limits"] |= 1 << Code.SUPPLY_LOW
            step(params, state, sense, inbox, command, row)
            self.rows[k] = row[0]
            if kick is not None and kick[0] <= k < kick[1]:
                command["joint_torque_cmd"][0] += kick[2]
            plant.write(command)
        plant.close()
        self.q, self.share = truth["q_NC"], self.rows["control"]["fast_share"]
        self.error = np.linalg.norm(self.rows["control"]["attitude_err_C"], axis=1)
        assert not self.rows["health"]["fault"].any()

    def moved(self, a, b):
        """Greatest rotation (rad) of the true camera from tick a until tick b."""
        still = np.broadcast_to(self.q[a] * [1, -1, -1, -1], (b - a, 4))
        return float(np.linalg.norm(rotation_vector(q_mul(still, self.q[a:b])), axis=1).max())


def test_both_ways_are_without_a_bump():
    flight = Flight(8.0, "bench", unwhole={*range(5000), *range(7500, 7520)})
    up = int(np.flatnonzero(flight.share)[0])
    quiet = flight.moved(up - 200, up - 50)
    assert max(flight.moved(k, k + 150) for k in range(up, up + 600, 50)) < quiet + 50e-6
    assert flight.share[7499] == 1.0 and not flight.share[7505:7900].any()
    assert flight.moved(7498, 7648) < quiet + 50e-6


def test_armed_in_the_wind_the_safe_loops_hold_it_until_the_ramp_is_done():
    flight = Flight(8.0, "train_roof")
    ramp = flight.rows["health"]["ramp"]
    assert not flight.share[ramp < 1.0].any()
    assert flight.share[-1] == 1.0
    assert flight.error[5000:].max() < 2e-3


def test_a_kick_that_saturates_is_caught_by_the_safe_loops():
    rig = load_rig("torque").config
    weak = rig.model_copy(update={"limits": rig.limits.model_copy(update={"max_torque_Nm": 0.7})})
    flight = Flight(8.0, "bench", weak, kick=(4000, 4010, [1.2, 0.0, 1.2]))
    saturated = flight.rows["control"]["saturated"].any(axis=1)
    assert saturated[4000:4100].any() and not saturated[3000:4000].any()
    cut = 4000 + int(np.flatnonzero(saturated[4000:])[0])
    assert flight.share[3999] == 1.0 and not flight.share[cut + 6 : cut + 500].any()
    assert flight.error[5000:].max() < 1e-3
    assert flight.share[-1] == 1.0


def test_the_plain_pid_has_no_fast_loops():
    rig = plain_pid(load_rig("torque").config)
    assert rig.control.fast is None
    assert not Flight(2.0, "bench", rig).share.any()
