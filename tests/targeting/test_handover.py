"""Every hand-over on the simulated rig: who leads, why, and that the picture doesn't jump. Two runs serve all tests."""

from __future__ import annotations

import numpy as np
import pytest

from gimbal.config.load import load_rig, load_scenario
from gimbal.config.pack import pack_params
from gimbal.faults import Code
from gimbal.loop.pipeline import new_state, step
from gimbal.records import COMMAND, INBOX, SENSE, TICK, Mode, TargetSource, TargetStatus, Verb
from gimbal.rig.plant import PlantRig

SECONDS = 57.0
MS = 1_000_000
OWNER = 7
ROW = np.dtype(
    [
        ("t", "f8"),
        ("mode", "i4"),
        ("reason", "i4"),
        ("owner", "u4"),
        ("source", "i4"),
        ("status", "i4"),
        ("fault", "i4"),
        ("accel", "f8", 3),
        ("err", "f8", 3),
        ("rate", "f8", 3),
        ("torque", "f8", 3),
        ("zoom", "f8"),
        ("focus", "f8"),
        ("range", "f8"),
    ]
)
# s: verb, mode, vector
ORDERS = {
    6.0: (Verb.MODE, Mode.FOLLOW, (0, 0, 0)),
    9.0: (Verb.MODE, Mode.TRACK, (0, 0, 0)),
    10.0: (Verb.PATH, 0, (1, 0, 0)),
    12.5: (Verb.PATH, 0, (0, 0, 0)),
    **{14.0 + 0.05 * k: (Verb.RATE, 0, (0, 0.1, 0.3)) for k in range(12)},
    37.0: (Verb.PATH, 0, (2, 2.0, 0)),
    42.0: (Verb.POINT, 0, (0, 0, 0)),  # the place: 300 m on from where the subject then is
    42.1: (Verb.MODE, Mode.POINT, (0, 0, 0)),
    45.0: (Verb.MODE, Mode.LOCK, (0, 0, 0)),
    47.0: (Verb.MODE, Mode.HOME, (0, 0, 0)),
    50.0: (Verb.MODE, Mode.TRACK, (0, 0, 0)),
    52.0: (Verb.MODE, Mode.STOW, (0, 0, 0)),
    54.5: (Verb.MODE, Mode.TRACK, (0, 0, 0)),
}
LOST = {"beacon_valid": [(18.0, 23.0), (26.0, 35.0)], "bearing_valid": [(23.5, 35.0)]}
# a rig that doesn't know where north is for a while, and one whose motors are let go and taken up again
NORTHLESS = {3.0: (Verb.MODE, Mode.TRACK, (0, 0, 0)), 16.0: (Verb.MODE, Mode.OFF, (0, 0, 0)),
             16.4: (Verb.MODE, Mode.TRACK, (0, 0, 0))}  # fmt: skip
NO_OWN_FIX = {"gnss_valid": [(0.0, 8.0)]}


def inside(t, spans):
    return any(a <= t < b for a, b in spans)


def fly(seconds, orders, lost):
    rig = load_rig("torque").config
    scenario = load_scenario("speedflight_track").config
    plant = PlantRig(rig, scenario, seed=1, seconds=seconds)
    params = pack_params(rig, start_armed=True)
    state = new_state(params)
    state["arbiter"]["mode"] = Mode.LOCK
    sense, command, row = np.zeros(1, SENSE), np.zeros(1, COMMAND), np.zeros(1, TICK)
    out = np.zeros(round(seconds * 1000), ROW)
    orders = dict(sorted((round(1000 * t), o) for t, o in orders.items()))
    plant.open({"dt_s": 1e-3, "seed": 1, "kinematic_order": list(rig.kinematic_order), "t0_ns": 10**9})
    seq = 0
    for k, here in enumerate(out):
        sense[:] = 0
        plant.read(sense)
        for field, spans in lost.items():
            if inside(k / 1000, spans):
                sense[field] = 0
        inbox = np.zeros(1, INBOX)
        if k in orders:
            seq += 1
            inbox["seq"], inbox["owner"], inbox["deadline_ns"] = seq, OWNER, sense["t_ns"] + 200 * MS
            inbox["verb"], inbox["mode"], inbox["vector"] = orders[k]
            if orders[k][0] == Verb.POINT:
                inbox["vector"] = row["target"]["pos_N"] + 300.0 * row["target"]["los_N"]
        elif seq:
            inbox["seq"] = seq
        step(params, state, sense, inbox, command, row)
        goal, target = row["goal"][0], row["target"][0]
        here["t"], here["mode"], here["reason"], here["owner"] = k / 1000, goal["mode"], goal["reason"], goal["owner"]
        here["source"], here["status"], here["fault"] = target["source"], target["status"], row["health"]["fault"][0]
        here["accel"], here["err"] = row["setpoint"]["accel_sp_C"][0], row["control"]["attitude_err_C"][0]
        here["rate"], here["torque"] = row["nav"]["omega_NC_C_est"][0], command["joint_torque_cmd"][0]
        here["zoom"], here["focus"], here["range"] = target["zoom_mm"], target["focus_m"], target["range_m"]
        plant.write(command)
    plant.close()
    return out


@pytest.fixture(scope="module")
def rows():
    return fly(SECONDS, ORDERS, LOST)


@pytest.fixture(scope="module")
def northless():
    return fly(20.0, NORTHLESS, NO_OWN_FIX)


def at(rows, t):
    return rows[round(1000 * t)]


def test_each_mode_came_into_force(rows):
    want = {5.0: "LOCK", 8.0: "FOLLOW", 13.0: "TRACK", 14.3: "RATE", 15.2: "TRACK", 40.0: "PATH", 44.0: "POINT",
            46.0: "LOCK", 49.0: "HOME", 51.5: "TRACK", 54.0: "STOW",
            56.5: "TRACK"}  # fmt: skip
    assert {t: Mode(int(at(rows, t)["mode"])).name for t in want} == want


def test_the_ladder_says_why(rows):
    want = {
        17.0: (Mode.TRACK, 0, TargetSource.FUSED),
        14.3: (Mode.RATE, Code.STICK, TargetSource.FUSED),
        22.5: (Mode.TRACK, Code.BEACON_SILENT, TargetSource.CAMERA),
        25.5: (Mode.TRACK, Code.CAMERA_BLIND, TargetSource.GNSS),
        30.0: (Mode.TRACK, Code.TARGET_COASTING, TargetSource.PREDICTED),
        34.8: (Mode.LOCK, Code.TARGET_LOST, TargetSource.PREDICTED),
        36.5: (Mode.TRACK, 0, TargetSource.FUSED),
    }
    for t, (mode, reason, source) in want.items():
        row = at(rows, t)
        assert (row["mode"], row["reason"], row["source"]) == (mode, reason, source), t
    assert at(rows, 34.8)["status"] == TargetStatus.LOST


def test_no_hand_over_is_felt(rows):
    changes = 1 + np.flatnonzero(np.diff(rows["mode"]) | np.diff(rows["reason"]))
    changes = changes[rows["t"][changes] > 5.0]
    assert len(changes) >= 18
    not_felt(rows, changes)


def test_north_found_and_motors_taken_up_again_are_not_felt(northless):
    rows = northless
    want = {5.0: (Mode.LOCK, Code.HEADING_UNKNOWN), 15.0: (Mode.TRACK, 0), 16.2: (Mode.OFF, 0), 19.5: (Mode.TRACK, 0)}
    assert {t: (at(rows, t)["mode"], at(rows, t)["reason"]) for t in want} == want
    found = 1 + np.flatnonzero(np.diff(rows["reason"]) & (rows["reason"][1:] == 0))
    not_felt(rows, found[rows["t"][found] > 5.0])

    # the camera swung free: it is caught without being thrown, and led back
    free, caught = rows[16_000:16_405], rows[16_405:]
    assert not free["torque"][10:400].any()
    swing = np.linalg.norm(free["rate"], axis=1).max()
    assert np.linalg.norm(caught["rate"], axis=1).max() < 1.2 * swing
    off = np.degrees(np.linalg.norm(caught["err"], axis=1))
    assert off.max() < 4.0 and off[1000:].max() < 0.2


def not_felt(rows, changes):
    rig = load_rig("torque").config
    assert not rows["fault"].any() and len(changes)
    jerk = np.linalg.norm(np.diff(rows["accel"], axis=0), axis=1) / 1e-3
    most = np.radians(rig.limits.max_jerk_deg_s3) * 1.0001
    for k in changes:
        assert jerk[k - 5 : k + 200].max() <= most, rows["t"][k]
        felt = np.degrees(np.linalg.norm(rows["err"][k : k + 300], axis=1)).max()
        assert felt < 0.2, (rows["t"][k], felt)


def test_the_owner_is_in_the_row_until_the_lease_ends(rows):
    assert at(rows, 5.9)["owner"] == 0
    assert at(rows, 6.5)["owner"] == OWNER
    assert at(rows, 17.0)["owner"] == 0
    assert at(rows, 45.5)["owner"] == OWNER


def test_the_lens_is_advised(rows):
    tracked = rows[(rows["status"] == TargetStatus.TRACKING) & (rows["t"] > 6.0)]
    assert np.allclose(tracked["focus"], np.maximum(tracked["range"], 1.0))
    assert (tracked["zoom"] == load_rig("torque").config.camera.focal_mm).all()  # a lens of one focal length
    assert at(rows, 34.9)["focus"] == 0.0
