"""Whatever beacon and camera say in a flight, the picture doesn't jump: each kind of bad input for a second, one after
the other, in TRACK on the simulated rig, beside the same flight without."""

from __future__ import annotations

import numpy as np
import pytest

from gimbal.config.load import load_rig, load_scenario
from gimbal.config.pack import pack_params
from gimbal.loop.pipeline import new_state, step
from gimbal.metrics import q_mul, rotation_vector
from gimbal.records import COMMAND, INBOX, SENSE, TICK, Mode, TargetStatus
from gimbal.rig.plant import PlantRig
from gimbal.targeting.track_records import Status

S = 1_000_000_000
FIRST_S, EACH_S, LASTS_S = 8.0, 3.0, 1.0


def nothing_known(sense, _):
    sense["beacon_pos_N"] = np.nan


def no_speed(sense, _):
    sense["beacon_vel_N"] = np.inf


def ahead_of_time(sense, _):
    sense["beacon_t_ns"] += 5 * S


def same_time_again(sense, kept):
    sense["beacon_t_ns"] = kept.setdefault("t_ns", int(sense["beacon_t_ns"][0]))


def clock_steps_back(sense, _):
    sense["beacon_t_ns"] -= 3 * S


def another_continent(sense, _):
    sense["beacon_pos_N"] += 6e6


def other_way(sense, _):
    sense["beacon_vel_N"] *= -3.0


def second_of_one_identity(sense, kept):
    kept["n"] = kept.get("n", 0) + 1
    if kept["n"] % 2:
        sense["beacon_pos_N"] += (80.0, -60.0, 10.0)


def multipath(sense, _):
    sense["beacon_pos_N"] += (0.0, 15.0, 0.0)


def box_of_nothing(sense, _):
    sense["bearing_xy"] = np.nan


def somebody_else(sense, _):
    sense["bearing_xy"] += 0.1


def box_ahead_of_time(sense, _):
    sense["bearing_t_ns"] += 5 * S


# what is bad: whose measurements, what may become of them; what is good among them goes on being taken
BEACON, CAMERA = "beacon", "bearing"
KINDS = {
    nothing_known: (BEACON, {Status.INVALID}),
    no_speed: (BEACON, {Status.INVALID}),
    ahead_of_time: (BEACON, {Status.FUTURE}),
    same_time_again: (BEACON, {Status.DUPLICATE}),
    clock_steps_back: (BEACON, {Status.LATE}),
    another_continent: (BEACON, {Status.INVALID}),
    other_way: (BEACON, {Status.GATED}),
    second_of_one_identity: (BEACON, {Status.GATED}),
    multipath: (BEACON, {Status.GATED}),
    box_of_nothing: (CAMERA, {Status.INVALID}),
    somebody_else: (CAMERA, {Status.GATED}),
    box_ahead_of_time: (CAMERA, {Status.FUTURE}),
}
NAMES = [kind.__name__ for kind in KINDS]


def fly(bad):
    rig, seconds = load_rig("torque").config, FIRST_S + EACH_S * len(KINDS)
    plant = PlantRig(rig, load_scenario("speedflight_track").config, seed=1, seconds=seconds)
    params = pack_params(rig, start_armed=True)
    state = new_state(params)
    state["arbiter"]["mode"] = Mode.TRACK
    sense, command, row = np.zeros(1, SENSE), np.zeros(1, COMMAND), np.zeros(1, TICK)
    inbox = np.zeros(1, INBOX)
    plant.open({"dt_s": 1e-3, "seed": 1, "kinematic_order": list(rig.kinematic_order), "t0_ns": S})
    kinds, kept = list(KINDS), [{} for _ in KINDS]
    out = np.zeros(round(1000 * seconds), [("q", "f8", 4), ("accel", "f8", 3), ("fix", "i4"), ("target", "i4"),
                                           ("fault", "i4"), ("mode", "i4")])  # fmt: skip
    for k, here in enumerate(out):
        sense[:] = 0
        plant.read(sense)
        number, since = divmod(k / 1000 - FIRST_S, EACH_S)
        if bad and 0 <= number < len(kinds) and since < LASTS_S:
            kind = kinds[int(number)]
            if sense[f"{KINDS[kind][0]}_valid"][0]:
                kind(sense, kept[int(number)])
        step(params, state, sense, inbox, command, row)
        here["q"], here["accel"] = row["setpoint"]["q_NC_sp"][0], row["setpoint"]["accel_sp_C"][0]
        here["fix"], here["target"] = row["target"]["fix_status"][0], row["target"]["status"][0]
        here["fault"], here["mode"] = row["health"]["fault"][0], row["goal"]["mode"][0]
        plant.write(command)
    plant.close()
    return out


@pytest.fixture(scope="module")
def flights():
    return fly(bad=False), fly(bad=True)


@pytest.mark.parametrize("number", range(len(KINDS)), ids=NAMES)
def test_the_picture_does_not_jump(flights, number):
    honest, bad = flights
    begin = round(1000 * (FIRST_S + EACH_S * number))
    span = slice(begin, begin + round(1000 * EACH_S))
    jerk = np.linalg.norm(np.diff(bad["accel"][span], axis=0), axis=1) / 1e-3
    assert jerk.max() <= np.radians(load_rig("torque").config.limits.max_jerk_deg_s3) * 1.0001
    apart = rotation_vector(q_mul(honest["q"][span] * [1, -1, -1, -1], bad["q"][span]))
    apart = np.degrees(np.linalg.norm(apart, axis=1))
    assert apart.max() < 1.0  # of a half frame of 10 deg
    assert not bad["fault"].any() and (bad["mode"][span] == Mode.TRACK).all()
    assert (bad["target"][span] == TargetStatus.TRACKING).all()
    while_bad = bad["fix"][begin : begin + round(1000 * LASTS_S)]
    assert set(np.unique(while_bad)) & {int(status) for status in list(KINDS.values())[number][1]}
