"""What the supervisor watches in flight: gaps it bridges, and motion, supply and readings that can't be true."""

from __future__ import annotations

import numpy as np
import pytest

from gimbal.config.load import load_rig
from gimbal.config.pack import pack_params
from gimbal.control.watch import steady
from gimbal.faults import Code, limit_names
from gimbal.frames import AXES
from gimbal.records import Arm, JointMode
from gimbal.tuning.model import mass_matrix
from tests.control.supervisor_bench import MS, Bench

DT = 0.001


@pytest.fixture
def bench():
    return Bench()


def test_a_short_imu_gap_holds_the_joints_on_their_encoders(bench):
    bench.armed().tick(600)
    bench.nav["joint_angle_est"] = [0.1, 0.2, 0.3]
    bench.meas["imu_age_ns"] = 21 * MS
    bench.tick()
    assert "imu_hold" in limit_names(bench.limits)
    assert not bench.command["joint_torque_cmd"].any()  # at rest where it froze
    bench.nav["joint_angle_est"] = [0.11, 0.2, 0.3]
    bench.nav["joint_rate_est"] = [0.0, 0.5, 0.0]
    bench.tick()
    assert bench.command["joint_torque_cmd"][0] < 0 and bench.command["joint_torque_cmd"][1] < 0
    bench.meas["imu_age_ns"] = 0
    bench.tick()
    assert np.allclose(bench.command["joint_torque_cmd"], bench.torque)


def test_a_held_joint_asks_no_more_of_a_sagging_supply_than_is_left(bench):
    bench.armed().tick(600)
    bench.sense["joint_valid"], bench.sense["bus_V"] = 1, 24.0
    bench.tick()
    bench.sense["bus_V"], bench.meas["imu_age_ns"] = 11.0, 21 * MS
    bench.nav["joint_rate_est"] = [-12.0, 12.0, 12.0]
    bench.p["hold_damping"] = 1.0
    bench.tick()
    share = bench.s["watch"]["share"]
    assert share < 0.5
    assert np.allclose(bench.command["joint_torque_cmd"], share * 3.0 * np.array([1, -1, -1]))


@pytest.mark.parametrize("heavy", [0.05, 1.0, 20.0])
@pytest.mark.parametrize("name", ["torque", "torque_fast", "odrive"])
def test_a_hold_on_encoders_is_damped_whatever_the_joint_carries(name, heavy):
    """The held joint as a rigid body behind the loop's delay: damping ratio, and phase margin where its gain is 1."""
    rig = load_rig(name).config
    stages = {a: getattr(rig.body, a) for a in AXES}
    scaled = {
        a: s.model_copy(update={"inertia_kg_m2": tuple(heavy * x for x in s.inertia_kg_m2)}) for a, s in stages.items()
    }
    rig = rig.model_copy(update={"body": rig.body.model_copy(update=scaled)})
    p = pack_params(rig)[0]["supervisor"]
    delay_s = 1e-3 * (rig.delay.sample_to_torque_ms + rig.encoder.delay_ms) + 0.5 / rig.loop_rate_hz
    w = np.geomspace(0.1, 1e4, 20000)
    for a in range(3):
        M = mass_matrix(rig, np.zeros(3))[a, a]
        k, d = p["hold_stiffness"][a], p["hold_damping"][a]
        assert d / (2 * np.sqrt(k * M)) > 0.65
        lag = np.exp(-1j * w * delay_s) / (1 + 1j * w / (2 * np.pi * rig.motors.torque_bandwidth_hz))
        L = (k + 1j * w * d) / (-M * w * w) * lag
        at = np.flatnonzero(np.diff(np.abs(L) > 1.0))
        assert len(at) == 1 and np.degrees(np.angle(L[at[0]])) + 180.0 > 55.0
        assert np.sqrt(k / M) * delay_s > 0.02  # as stiff as that lets it be


def test_each_joint_is_judged_by_its_own_limit(bench):
    rig = load_rig("torque").config
    pitch = rig.joints.pitch.model_copy(update={"max_rate_deg_s": 200.0})
    yaw = rig.joints.yaw.model_copy(update={"max_rate_deg_s": 850.0})
    rig = rig.model_copy(update={"joints": rig.joints.model_copy(update={"pitch": pitch, "yaw": yaw})})
    bench.p = pack_params(rig)[0]["supervisor"]
    bench.armed()
    bench.nav["joint_rate_est"] = np.radians([-760.0, 215.0, 890.0])
    assert bench.tick() == Arm.ARMED
    bench.nav["joint_rate_est"][1] = np.radians(-225.0)
    assert bench.tick() == Arm.SAFE and bench.health["fault"] == Code.OVERSPEED
    assert (bench.p["overspeed"] <= np.radians(rig.safety.runaway_rate_deg_s)).all()


def push(b, accel, rate_err=0.5, ticks=40):
    """20 rad/s² asked about y with the camera's rate short of what is asked: it accelerates by ``accel``."""
    b.push[:] = [0.0, 20.0, 0.0]
    b.control["rate_err_C"] = [0.0, rate_err, 0.0]
    for _ in range(ticks):
        b.nav["omega_NC_C_est"][1] += accel * DT
        if b.tick() == Arm.SAFE or b.s["arm"] == Arm.SAFE:
            return


def test_a_motor_that_pulls_the_wrong_way_is_a_runaway(bench):
    bench.armed().tick(600)
    push(bench, -15.0)
    assert bench.s["arm"] == Arm.SAFE and bench.s["fault"] == Code.RUNAWAY
    assert (bench.command["mode"] == JointMode.BRAKE).all()


@pytest.mark.parametrize(("accel", "rate_err"), [(15.0, 0.5), (0.0, 0.5), (-4.0, 0.5), (-15.0, -0.5), (-15.0, 0.05)])
def test_a_camera_that_obeys_is_hit_or_nearly_there_is_none(bench, accel, rate_err):
    bench.armed().tick(600)
    push(bench, accel, rate_err)
    assert bench.s["arm"] == Arm.ARMED


def test_motion_seen_after_a_gap_of_the_imu_is_not_when_it_happened(bench):
    bench.armed().tick(600)
    bench.meas["imu_age_ns"] = 6 * MS
    bench.tick()
    bench.meas["imu_age_ns"] = 0
    push(bench, -15.0)  # 40 ms of it
    assert bench.s["arm"] == Arm.ARMED
    push(bench, -15.0)  # and no longer
    assert bench.s["fault"] == Code.RUNAWAY


@pytest.mark.parametrize(("comes", "late_ms", "fault"), [(1, 0, Code.RUNAWAY), (1, 40, Code.RUNAWAY), (0, 0, 0)])
def test_a_silent_motor_may_not_act_but_late_readings_are_no_silence(bench, comes, late_ms, fault):
    bench.armed().tick(600)
    bench.meas["joint_new"][2], bench.meas["joint_age_ns"][2] = comes, late_ms * MS
    bench.tick(12)
    push(bench, -15.0, ticks=25)
    assert bench.s["fault"] == fault


def test_what_was_counted_while_a_motor_was_silent_does_not_fell_it_when_it_obeys_again(bench):
    bench.armed().tick(600)
    bench.meas["joint_new"][2] = 0
    bench.tick(12)
    push(bench, -15.0, ticks=25)
    bench.meas["joint_new"][2] = 1
    push(bench, 15.0)
    assert bench.s["arm"] == Arm.ARMED
    push(bench, -15.0)
    assert bench.s["fault"] == Code.RUNAWAY


@pytest.mark.parametrize(("step", "ticks", "fault"), [(3.5, 30, Code.IMU_DISAGREES), (3.5, 15, 0), (2.5, 30, 0)])
def test_a_base_that_starts_turning_in_an_instant_is_a_sensor_that_lies(bench, step, ticks, fault):
    bench.armed().tick(600)
    for n in range(400):  # 15 rad/s² of its own are no jump
        bench.nav["omega_NB_B_est"] = [0.0, 1.5 * np.sin(0.01 * n), 0.0]
        bench.tick()
    before = np.array(bench.nav["omega_NB_B_est"])
    bench.nav["omega_NB_B_est"] = before + [step, 0.0, 0.0]
    bench.tick(ticks)
    bench.nav["omega_NB_B_est"] = before
    bench.tick(10)
    assert bench.s["fault"] == fault


@pytest.mark.parametrize(
    ("after", "ticks", "fault"), [(60, 40, 0), (60, 60, Code.IMU_DISAGREES), (900, 60, Code.IMU_DISAGREES)]
)
def test_a_lying_gyro_is_found_within_a_second_of_a_lost_tick_too(bench, after, ticks, fault):
    """The structure may ring then, so it must last."""
    bench.armed().tick(600)
    bench.sense["t_ns"] += 4 * MS
    bench.tick(after)
    bench.nav["omega_NB_B_est"] = [5.0, 0.0, 0.0]
    bench.tick(ticks)
    bench.nav["omega_NB_B_est"] = [0.0, 0.0, 0.0]
    bench.tick(10)
    assert bench.s["fault"] == fault


def test_a_camera_that_does_not_follow_is_stopped_unless_a_stop_explains_it(bench):
    bench.armed().tick(600)
    bench.control["attitude_err_C"] = [0.0, 0.3, 0.0]
    bench.explained = 1 << Code.END_STOP
    bench.tick(500)
    assert bench.s["arm"] == Arm.ARMED
    bench.explained = 0
    bench.tick(200)
    assert bench.s["fault"] == Code.FOLLOWING_ERROR


@pytest.mark.parametrize(("age_ms", "arrives", "fault"), [(10, 0, 0), (10, 1, Code.IMU_LATE), (2, 1, 0)])
def test_samples_that_stay_late_are_no_measurement(bench, age_ms, arrives, fault):
    bench.armed().tick(600)
    bench.meas["imu_age_ns"], bench.meas["imu_n"] = age_ms * MS, arrives
    bench.tick(40)
    assert bench.s["fault"] == fault
    bench.tick(40)
    assert bench.s["fault"] == (fault or (Code.IMU_LATE if age_ms > 5 else 0))


@pytest.mark.parametrize(("late", "of", "fault"), [(1, 4, 0), (2, 4, Code.MOTOR_LATE), (4, 4, Code.MOTOR_LATE)])
def test_rates_are_not_made_from_readings_that_are_old_again_and_again(late, of, fault):
    """Not for a gap that motor_safe_ms allows, and not on torque, where the gyro closes the loop."""
    for rig in ("simplefoc", "torque"):
        bench = Bench(rig)
        bench.armed().tick(600)
        bench.meas["joint_age_ns"][1] = 0.9 * bench.p["joint_safe_ns"]
        bench.tick(9)
        assert bench.s["arm"] == Arm.ARMED
        for n in range(400):
            bench.meas["joint_age_ns"][1] = 15 * MS if n % of < late else 4 * MS
            bench.tick()
        assert bench.s["fault"] == (fault if rig == "simplefoc" else 0)


def test_a_board_is_frozen_when_all_its_joints_are_while_the_camera_is_turned():
    bench = Bench("sbgc")
    bench.armed().tick(100)
    bench.alive = False
    bench.rates["rate"][1] = 0.05
    for n in range(40):  # one joint moves: it measures
        bench.meas["joint_angle_meas"][1] = 1e-3 * n
        bench.tick()
    bench.tick(17)
    assert bench.s["arm"] == Arm.ARMED  # the same rate all along: nothing to be seen by
    bench.rates["rate"][1] = 0.2
    bench.tick(20)
    assert bench.s["fault"] == Code.MOTOR_FROZEN


def test_what_a_board_was_asked_before_all_of_its_joints_stood_still_does_not_count():
    """A yaw joint may tell nought for a minute while the others measure."""
    bench = Bench("mavlink")
    bench.armed().tick(100)
    bench.alive = False
    for n in range(60):
        bench.rates["rate"][2] = 1.0 if n < 30 else 0.0
        bench.meas["joint_angle_meas"][:2] = 1e-3 * n
        bench.tick()
    bench.tick(60)
    assert bench.s["arm"] == Arm.ARMED
    bench.rates["rate"][2] = 0.2
    bench.tick(20)
    assert bench.s["fault"] == Code.MOTOR_FROZEN


def test_a_controller_that_repeats_itself_while_its_torque_moves(bench):
    bench.armed().tick(600)
    bench.alive = False
    bench.tick(100)
    assert bench.s["arm"] == Arm.ARMED  # nothing moves: it may well measure the same
    bench.torque = np.array([0.1, 0.5, 0.3])
    bench.tick(40)
    assert bench.s["fault"] == Code.MOTOR_FROZEN


def test_supply_that_sags_and_supply_that_is_cut(bench):
    bench.armed().tick(600)
    bench.sense["joint_valid"] = 1
    bench.torque = np.array([2.5, 0.0, 0.0])
    bench.sense["bus_V"] = 24.0
    bench.tick()
    bench.sense["bus_V"] = 14.0
    bench.tick()
    assert "supply_low" in limit_names(bench.limits) and 0.8 < bench.command["joint_torque_cmd"][0] < 2.0
    bench.sense["bus_V"] = 1.0
    bench.tick(2)
    assert bench.s["fault"] == Code.WIRED_STOP


def test_lost_ticks_are_shown_and_a_standstill_latches(bench):
    bench.armed().tick(600)
    bench.sense["t_ns"] += 5 * MS
    bench.tick()
    assert "loop_overrun" in limit_names(bench.limits) and bench.s["arm"] == Arm.ARMED
    bench.sense["t_ns"] += 60 * MS
    bench.tick()
    assert bench.s["fault"] == Code.LOOP_STALLED


def test_ticks_lost_again_and_again_take_gain_from_the_loops_and_one_standstill_does_not(bench):
    watch = bench.p["watch"], bench.s["watch"]
    bench.armed().tick(600)
    bench.sense["t_ns"] += 30 * MS
    bench.tick()
    assert steady(*watch) == 1.0
    bench.tick(50)
    bench.sense["t_ns"] += 7 * MS
    bench.tick()
    share = steady(*watch)
    assert np.isclose(share * 8e-3, 1.0 / 308.27, rtol=1e-3)  # gap times the highest gain: one
    bench.tick(300)
    assert steady(*watch) == 1.0


@pytest.mark.parametrize(("share", "stops"), [(0.5, False), (0.25, False), (0.04, True)])
def test_a_line_that_lets_hardly_an_answer_through_is_late(bench, share, stops):
    bench.armed().tick(600)
    for k in range(600):
        there = int((k + 1) * share) > int(k * share)
        bench.meas["joint_new"][1] = there
        bench.meas["joint_age_ns"][1] = 0 if there else bench.meas["joint_age_ns"][1] + MS
        bench.tick()
        if bench.s["arm"] == Arm.SAFE:
            break
    assert (bench.s["fault"] == Code.MOTOR_LATE) == stops
    assert not stops or k < 80
