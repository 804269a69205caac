"""The simulated rig behind the Rig protocol: what read and write promise, its delay, its determinism."""

from __future__ import annotations

import math

import numpy as np
import pytest

from gimbal.errors import ConfigError
from gimbal.plant.state import TRUTH
from gimbal.records import COMMAND, SENSE, JointMode
from gimbal.rig import Rig
from gimbal.rig.plant import PlantRig
from tests.plant.helpers import PERFECT_SENSORS, QUIET, rig_config, scenario


def opened(rig, dt_s=1e-3, seed=1, t0_ns=5_000_000_000):
    rig.open({"dt_s": dt_s, "seed": seed, "kinematic_order": ("yaw", "roll", "pitch"), "t0_ns": t0_ns})
    return rig


def fly(rig, ticks, torque=0.0):
    sense, command = np.zeros(1, SENSE), np.zeros(1, COMMAND)
    command["mode"] = JointMode.TORQUE
    seen = []
    for i in range(ticks):
        sense[:] = np.zeros(1, SENSE)
        assert rig.read(sense) == 0
        seen.append(sense.copy())
        command["joint_torque_cmd"] = torque * math.sin(0.01 * i)
        assert rig.write(command) == 0
    return np.concatenate(seen)


def test_it_is_a_rig():
    assert isinstance(PlantRig(rig_config(), scenario()), Rig)


@pytest.mark.parametrize("name, dt_s, delay_ms", [("torque", 1e-3, 2.0), ("torque_fast", 5e-4, 0.8)])
def test_time_from_sample_to_torque_is_the_configured_delay(name, dt_s, delay_ms):
    """A step of torque is commanded on the sample just read; when the torque loop begins to follow it is measured."""
    quiet = {**QUIET, **PERFECT_SENSORS, "body.pitch.com_m": [0, 0, 0]}
    rig = opened(PlantRig(rig_config(quiet, name=name), scenario()), dt_s)
    fly(rig, 10)
    sense, command = np.zeros(1, SENSE), np.zeros(1, COMMAND)
    rig.read(sense)
    sample_ns = int(sense[0]["imu_t_ns"][max(sense[0]["imu_n"] - 1, 0)]) if sense[0]["imu_n"] else rig.plant.t_ns
    assert sample_ns == rig.plant.t_ns
    command["mode"], command["joint_torque_cmd"][0, 2] = JointMode.TORQUE, 0.1
    times, torque = [], []
    for _ in range(round(8e-3 / dt_s)):
        rig.write(command)
        times.append(rig.plant.t_ns - sample_ns)
        torque.append(rig.plant.state[0]["torque"][2])
    t, x = np.array(times) * 1e-6, np.array(torque)
    rising = (x > 1e-6) & (x < 0.0999)
    onset = t[rising] + np.log(1 - x[rising] / 0.1) / (2 * math.pi * 0.3)
    assert onset == pytest.approx(delay_ms, abs=0.01)
    assert x[t < delay_ms - 1e-9] == pytest.approx(0.0, abs=1e-12)


def test_delays_can_be_drawn_per_tick_and_never_overtake():
    rig = opened(PlantRig(rig_config(QUIET), scenario(), delays_ms=[1.0, 4.0, 0.5]))
    command = np.zeros(1, COMMAND)
    command["mode"] = JointMode.TORQUE
    for value in (0.01, 0.02, 0.03):
        command["joint_torque_cmd"] = value
        rig.write(command)
    s = rig.plant.state[0]
    pending = s["pend_ns"][: s["pend_tail"]] - 5_000_000_000
    assert list(pending) == [1_000_000, 5_000_000, 5_000_000]


def test_what_a_delay_was_is_told_a_tick_later_and_whole_ticks_of_it_are_skipped():
    seen = fly(opened(PlantRig(rig_config(), scenario(), delays_ms=[1.0, 4.2, 0.5, 0.7])), 5)
    assert list(seen["sent_ns"]) == [0, 500_001, 3_700_001, 1, 200_001]
    assert list(np.diff(seen["t_ns"])) == [1_000_000, 3_000_000, 1_000_000, 1_000_000]
    assert not fly(opened(PlantRig(rig_config(), scenario())), 5)["sent_ns"].any()  # one that never varies


def test_samples_in_transit_come_late_with_their_own_stamps_and_none_is_lost():
    seen = fly(opened(PlantRig(rig_config({"imu.rate_hz": 800.0}), scenario(), transit_ms=0.45)), 100)
    stamps = np.concatenate([row["imu_t_ns"][: row["imu_n"]] for row in seen])
    there = np.concatenate([np.full(row["imu_n"], row["t_ns"]) for row in seen])
    assert (np.diff(stamps) == 1_250_000).all() and len(stamps) == 79
    assert (there - stamps).min() >= 450_000 and (there - stamps).max() < 1_450_000


def test_read_hands_over_every_sample_once():
    rig = opened(PlantRig(rig_config({"imu.rate_hz": 4000.0}), scenario()))
    seen = fly(rig, 50)
    assert list(seen["imu_n"][1:]) == [4] * 49 and seen["imu_n"][0] == 1
    stamps = np.concatenate([row["imu_t_ns"][: row["imu_n"]] for row in seen])
    assert np.diff(stamps) == pytest.approx(250_000, abs=0)
    assert (seen["imu_t_ns"][np.arange(50), seen["imu_n"] - 1] <= seen["t_ns"]).all()
    slow = fly(opened(PlantRig(rig_config({"imu.rate_hz": 800.0}), scenario())), 100)
    assert set(slow["imu_n"]) == {0, 1} and slow["imu_n"].sum() == 80


def test_at_rest_and_level_it_feels_gravity():
    rig = opened(PlantRig(rig_config(PERFECT_SENSORS), scenario()))
    row = fly(rig, 3)[-1]
    assert row["imu_accel_I"][0] == pytest.approx([0, 0, -9.80665], abs=0.03)
    assert row["joint_valid"].all() and row["bus_V"] == pytest.approx(24.0, abs=0.05)


def test_camera_starts_level_and_still_on_a_moving_carrier():
    rig = opened(PlantRig(rig_config(QUIET), scenario("speedflight"), seconds=2.0))
    row = np.zeros(1, TRUTH)
    rig.truth_into(row)
    q = row[0]["q_NC"]
    assert 2 * (q[2] * q[3] + q[0] * q[1]) == pytest.approx(0.0, abs=1e-6)  # no roll
    assert 2 * (q[1] * q[3] - q[0] * q[2]) == pytest.approx(0.0, abs=1e-6)  # no pitch
    assert row[0]["omega_NC_C"] == pytest.approx(0.0, abs=1e-4)
    assert np.linalg.norm(row[0]["omega_NB_B"]) > 0.05


def test_same_seed_gives_the_same_bytes():
    def record(seed):
        rig = opened(PlantRig(rig_config(), scenario("speedflight", target={"kind": "flyer"}), seconds=2.0), seed=seed)
        seen = fly(rig, 500, torque=0.05)
        row = np.zeros(1, TRUTH)
        rig.truth_into(row)
        rows = (seen[name].tobytes() for name in seen.dtype.names)  # by field: a copy's padding holds anything
        return b"".join(rows) + row.tobytes()

    first = record(3)
    assert record(3) == first
    assert record(4) != first


def test_safe_brakes_at_once_twice_and_before_open():
    rig = PlantRig(rig_config(QUIET), scenario())
    rig.safe()
    opened(rig)
    command = np.zeros(1, COMMAND)
    command["mode"], command["joint_torque_cmd"] = JointMode.TORQUE, 1.0
    for _ in range(20):
        rig.write(command)
    before = np.abs(rig.plant.state[0]["rate"]).max()
    rig.safe()
    rig.safe()
    rig.plant.advance(2.5)
    assert before > 0.2 and np.abs(rig.plant.state[0]["rate"]).max() < 0.2 * before
    rig.close()
    rig.close()
    assert rig.truth()["target_pos_N"] is None


def test_a_tick_that_is_no_whole_number_of_substeps_and_another_order_are_refused():
    with pytest.raises(ConfigError, match="loop_rate_hz"):
        opened(PlantRig(rig_config(), scenario()), dt_s=1 / 1001)
    with pytest.raises(ConfigError, match="kinematic_order"):
        rig = PlantRig(rig_config(), scenario())
        rig.open({"dt_s": 1e-3, "seed": 1, "kinematic_order": ("roll", "yaw", "pitch"), "t0_ns": 0})


def test_beacon_and_receiver_agree_with_the_truth_in_flight():
    rig = opened(PlantRig(rig_config(), scenario("speedflight", target={"kind": "flyer"}), seconds=12.0))
    row = np.zeros(1, TRUTH)
    truth = {}
    sense, command = np.zeros(1, SENSE), np.zeros(1, COMMAND)
    command["mode"] = JointMode.BRAKE
    errors = {"gnss": [], "beacon": []}
    for _ in range(11_000):
        sense[:] = np.zeros(1, SENSE)
        rig.read(sense)
        rig.truth_into(row)
        r = row[0]
        truth[int(r["t_ns"])] = (r["base_vel_N"].copy(), r["target_vel_N"].copy(), r["target_pos_N"].copy())
        for i, name in enumerate(errors):
            if sense[0][f"{name}_valid"]:
                errors[name].append(sense[0][f"{name}_vel_N"] - truth[int(sense[0][f"{name}_t_ns"])][i])
        rig.write(command)
    for name, found in errors.items():
        assert len(found) > 45
        assert np.std(found) == pytest.approx(0.08, rel=0.25), name
        assert np.abs(np.mean(found, axis=0)).max() < 0.04
