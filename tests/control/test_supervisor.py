"""The state machine: how it arms, what latches it, that nothing re-arms by itself, and that no NaN reaches a motor."""

from __future__ import annotations

import numpy as np
import pytest

from gimbal.faults import TEXT, Blocker, Code, blocker_sentences, limit_names, sentence
from gimbal.records import Arm, JointMode
from tests.control.supervisor_bench import MS, Bench


@pytest.fixture
def bench():
    return Bench()


def test_it_boots_through_the_self_test_to_idle_and_not_further(bench):
    assert bench.tick() == Arm.SELF_TEST
    assert bench.tick(98) == Arm.SELF_TEST
    assert bench.tick(5) == Arm.IDLE
    assert bench.tick(1000) == Arm.IDLE
    assert (bench.command["mode"] == JointMode.OFF).all()


def test_a_stale_imu_keeps_it_from_passing_and_says_so(bench):
    bench.meas["imu_age_ns"] = 25 * MS
    assert bench.tick(500) == Arm.SELF_TEST
    assert int(bench.health["blockers"]) >> Blocker.IMU & 1
    assert any("IMU" in text for text in blocker_sentences(int(bench.health["blockers"])))


def test_arming_ramps_and_commands_torque(bench):
    bench.armed()
    assert bench.health["ramp"] < 0.01
    assert "arm_ramp" in limit_names(bench.limits)
    bench.tick(600)
    assert bench.health["ramp"] == 1.0
    assert (bench.command["mode"] == JointMode.TORQUE).all()
    assert np.allclose(bench.command["joint_torque_cmd"], bench.torque)


def spoil_link_imu(b):
    b.sense["link_lost"] = 1


def spoil_link_motors(b):
    b.sense["link_lost"] = 2


def spoil_imu_silent(b):
    b.meas["imu_age_ns"] = 51 * MS


def spoil_imu_frozen(b):
    b.meas["imu_status"] = 4


def spoil_motor_silent(b):
    b.meas["joint_age_ns"][1] = 51 * MS


def spoil_motor_fault(b):
    b.sense["joint_valid"][2], b.sense["motor_fault"][2] = 1, 33


def spoil_hot(b):
    b.sense["motor_temp_degC"][0] = 111.0


def spoil_overspeed(b):
    b.nav["joint_rate_est"][2] = 20.0


def spoil_estimator(b):
    b.nav["valid"] = 0


def spoil_wired_stop(b):
    b.sense["wired_stop_open"] = 1


CASES = {
    Code.IMU_LINK_LOST: spoil_link_imu,
    Code.MOTOR_LINK_LOST: spoil_link_motors,
    Code.IMU_SILENT: spoil_imu_silent,
    Code.IMU_FROZEN: spoil_imu_frozen,
    Code.MOTOR_SILENT: spoil_motor_silent,
    Code.MOTOR_FAULT: spoil_motor_fault,
    Code.MOTOR_OVERHEAT: spoil_hot,
    Code.OVERSPEED: spoil_overspeed,
    Code.ESTIMATOR_FAILED: spoil_estimator,
    Code.WIRED_STOP: spoil_wired_stop,
}


@pytest.mark.parametrize("code", CASES, ids=lambda c: c.name.lower())
def test_each_fault_latches_in_one_tick_and_needs_an_ack_and_an_arm(code):
    bench = Bench().armed()
    before = [r.copy() for r in (bench.sense, bench.meas, bench.nav)]
    CASES[code](bench)
    assert bench.tick() == Arm.SAFE
    assert bench.health["fault"] == code
    assert (bench.command["mode"] == JointMode.BRAKE).all() and not bench.command["joint_torque_cmd"].any()
    assert bench.tick(ack=1) == Arm.SAFE  # the cause is still there
    assert bench.health["fault_now"] != 0
    t_ns = bench.sense["t_ns"]
    bench.sense, bench.meas, bench.nav = before
    bench.sense["t_ns"] = t_ns
    assert bench.tick(2000) == Arm.SAFE  # the cause went away: still latched
    assert bench.tick(arm=1) == Arm.SAFE
    assert bench.tick(ack=1) == Arm.IDLE
    assert bench.health["fault"] == 0
    assert bench.tick(1000) == Arm.IDLE
    assert bench.tick(arm=1) == Arm.ARMED


def test_stop_and_disarm(bench):
    bench.armed()
    assert bench.tick(stop=1) == Arm.SAFE and bench.health["fault"] == Code.OPERATOR_STOP
    bench.tick(ack=1)
    assert bench.tick(arm=1) == Arm.ARMED
    assert bench.tick(disarm=1) == Arm.IDLE and (bench.command["mode"] == JointMode.OFF).all()
    assert bench.tick(stop=1) == Arm.SAFE  # also from idle


@pytest.mark.parametrize("bad", [np.nan, np.inf, -50.0])
def test_no_number_beyond_the_limits_reaches_a_motor_and_it_latches(bad):
    bench = Bench().armed()
    bench.torque = np.array([0.1, bad, 0.2])
    bench.tick()
    assert (bench.command["mode"] == JointMode.BRAKE).all() and not bench.command["joint_torque_cmd"].any()
    assert bench.s["arm"] == Arm.SAFE and bench.s["fault"] == Code.CONTROL_FAILED


@pytest.mark.parametrize("code", [Code.MOTOR_FAULT, Code.MOTOR_OVERHEAT, Code.IMU_LINK_LOST])
def test_no_arming_while_a_fault_stands(bench, code):
    bench.tick(200)
    CASES[code](bench)
    assert bench.tick(arm=1) == Arm.IDLE
    assert int(bench.health["blockers"]) >> Blocker.FAULT & 1
    assert (bench.command["mode"] == JointMode.OFF).all()


def test_mode_off_takes_the_torque_away(bench):
    bench.armed()
    bench.off = True
    bench.tick()
    assert (bench.command["mode"] == JointMode.OFF).all() and not bench.command["joint_torque_cmd"].any()


@pytest.mark.parametrize("code", list(Code))
def test_every_code_has_a_sentence_with_a_next_step(code):
    text = TEXT[code]
    assert text.what
    if code >= 100:
        assert text.next_step and "Next:" in sentence(code)


def test_health_says_which_fault_holds_now_latched_or_not(bench):
    bench.tick(200)
    assert bench.health["fault_now"] == 0
    bench.sense["motor_temp_degC"][1] = 300.0
    assert bench.tick(arm=1) == Arm.IDLE
    assert bench.health["fault"] == 0 and bench.health["fault_now"] == Code.MOTOR_OVERHEAT
    said = blocker_sentences(int(bench.health["blockers"]), int(bench.health["fault_now"]))
    assert any(TEXT[Code.MOTOR_OVERHEAT].what in text for text in said)
    bench.tick(stop=1)  # the latched fault is the STOP: what holds an ack up is the other one
    assert bench.tick(ack=1) == Arm.SAFE
    assert bench.health["fault"] == Code.OPERATOR_STOP and bench.health["fault_now"] == Code.MOTOR_OVERHEAT
    bench.sense["motor_temp_degC"][1] = 30.0
    assert bench.tick(ack=1) == Arm.IDLE and bench.health["fault_now"] == 0
