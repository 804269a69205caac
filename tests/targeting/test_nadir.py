"""The subject passes straight below a shaking rig, again and again, in lock-step: it stays in the picture, the camera
is not kicked, no joint is driven into a fault."""

from __future__ import annotations

import numpy as np
import pytest

from gimbal.config.load import load_rig, load_scenario
from gimbal.config.pack import pack_params
from gimbal.kernels.quat import q_rotate
from gimbal.loop.pipeline import new_state, step
from gimbal.records import COMMAND, INBOX, SENSE, TICK, Mode, TargetStatus
from gimbal.rig.plant import PlantRig

SECONDS, BELOW_M, REACH_M, RATE = 20.0, 20.0, 40.0, 0.62  # rad/s: 25 m/s below the rig, every 5 s
DELAY = 100  # ticks
ROW = np.dtype(
    [(name, "f8") for name in ("down", "off", "err", "lean")]
    + [("rate", "f8", 3), ("accel", "f8", 3), ("fault", "i4"), ("mode", "i4")]
)


def beside(t):
    """The subject's place and velocity against the camera: to and fro, half a metre aside."""
    c, s = np.cos(RATE * t), np.sin(RATE * t)
    return np.array([-REACH_M * c, 0.5, BELOW_M]), np.array([REACH_M * RATE * s, 0.0, 0.0])


@pytest.fixture(scope="module")
def rows():
    rig = load_rig("torque").config
    scenario = load_scenario("camera_car").config
    plant = PlantRig(rig, scenario, seed=1, seconds=SECONDS)
    params = pack_params(rig, start_armed=True)
    state = new_state(params)
    state["arbiter"]["mode"] = Mode.TRACK
    sense, command, row, inbox = np.zeros(1, SENSE), np.zeros(1, COMMAND), np.zeros(1, TICK), np.zeros(1, INBOX)
    out = np.zeros(round(SECONDS * 1000), ROW)
    plant.open({"dt_s": 1e-3, "seed": 1, "kinematic_order": list(rig.kinematic_order), "t0_ns": 10**9})
    flown = []  # the camera as the rig believes it: what a beacon beside it would measure
    for k, here in enumerate(out):
        sense[:] = 0
        plant.read(sense)
        sense["beacon_valid"] = 0
        if k % 200 == 0 and k > 6000:
            then = k - DELAY
            place, velocity = beside(then / 1000)
            sense["beacon_valid"], sense["beacon_arrival_ns"] = 1, sense["t_ns"]
            sense["beacon_t_ns"] = sense["t_ns"] - DELAY * 1_000_000
            sense["beacon_pos_N"], sense["beacon_vel_N"] = flown[then][0] + place, flown[then][1] + velocity
            sense["beacon_pos_std"], sense["beacon_vel_std"] = 1.0, 0.3
        step(params, state, sense, inbox, command, row)
        r = row[0]
        flown.append((r["nav"]["pos_N_est"].copy(), r["nav"]["vel_N_est"].copy()))
        los = r["target"]["los_N"]
        boresight = q_rotate(tuple(r["setpoint"]["q_NC_sp"]), (1.0, 0.0, 0.0))
        here["down"], here["off"] = los[2], np.degrees(np.arccos(np.clip(los @ boresight, -1.0, 1.0)))
        here["rate"], here["accel"] = r["setpoint"]["rate_sp_C"], r["setpoint"]["accel_sp_C"]
        here["err"] = np.degrees(np.linalg.norm(r["control"]["attitude_err_C"]))
        here["fault"], here["mode"] = r["health"]["fault"], r["goal"]["mode"]
        here["lean"] = np.degrees(np.arcsin(q_rotate(tuple(r["setpoint"]["q_NC_sp"]), (0.0, 1.0, 0.0))[2]))
        tracking = r["target"]["status"] == TargetStatus.TRACKING
        here["mode"] = here["mode"] if tracking else -1
        plant.write(command)
    plant.close()
    return out[9000:]


def test_it_really_passes_straight_below(rows):
    assert (rows["mode"] == Mode.TRACK).all()
    high = rows["down"] > np.cos(np.radians(8.0))
    assert np.sum(np.diff(high.astype(int)) == 1) >= 2


def test_no_fault_and_no_kick(rows):
    rig = load_rig("torque").config
    assert not rows["fault"].any()
    assert np.abs(rows["rate"][:, 0]).max() < np.radians(0.75 * rig.limits.max_rate_deg_s)
    jerk = np.linalg.norm(np.diff(rows["accel"], axis=0), axis=1) / 1e-3
    assert jerk.max() <= np.radians(rig.limits.max_jerk_deg_s3) * 1.0001
    assert rows["err"].max() < 0.2


def test_the_line_of_sight_comes_first(rows):
    below = rows["down"] > 0.7
    assert rows["off"][below].max() < 3.0
    assert np.sqrt(np.mean(rows["off"][below] ** 2)) < 1.2


def test_the_horizon_comes_back(rows):
    far = rows["down"] < 0.55
    assert far.sum() > 2500
    assert np.percentile(np.abs(rows["lean"][far]), 50) < 3.0
