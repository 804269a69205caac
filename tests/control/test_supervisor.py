"""The state machine: how it arms, what latches it, that nothing re-arms by itself, and that no NaN reaches a motor."""

from __future__ import annotations

import numpy as np
import pytest

from gimbal.config.load import load_rig
from gimbal.config.pack import pack_params
from gimbal.control.rate_output import OUTPUT_STATE
from gimbal.control.supervisor import SUPERVISOR_STATE, supervise_command, supervise_state
from gimbal.faults import TEXT, Blocker, Code, blocker_sentences, limit_names, sentence
from gimbal.frames import AXES
from gimbal.records import COMMAND, CONTROL, HEALTH, MEAS, NAV, SENSE, Arm, JointMode
from gimbal.targeting.arbiter import ARBITER_STATE
from gimbal.tuning.model import mass_matrix

MS = 1_000_000
DT = 0.001


class Bench:
    """A supervisor fed by hand: everything is well until a test spoils it."""

    def __init__(self, rig="torque"):
        config = load_rig(rig).config
        self.p, self.dt_s = pack_params(config)[0]["supervisor"], 1.0 / config.loop_rate_hz
        self.s = np.zeros(1, SUPERVISOR_STATE)[0]
        self.sense, self.meas, self.nav = (np.zeros(1, d)[0] for d in (SENSE, MEAS, NAV))
        self.arbiter, self.health = (np.zeros(1, d)[0] for d in (ARBITER_STATE, HEALTH))
        self.control, self.push, self.explained = np.zeros(1, CONTROL)[0], np.zeros(3), 0
        self.command = np.zeros(1, COMMAND)[0]
        self.rates = np.zeros(1, OUTPUT_STATE)[0]
        self.torque, self.off = np.array([0.1, 0.2, 0.3]), False
        self.meas["joint_valid"] = 1
        self.nav["valid"] = self.nav["settled"] = 1
        self.sense["t_ns"] = 1000 * MS
        self.limits = 0

    def tick(self, n=1, **wants):
        for name in ("want_arm", "want_disarm", "want_ack", "want_stop"):
            self.arbiter[name] = wants.get(name[5:], 0)
        for _ in range(n):
            self.sense["t_ns"] += round(1e9 * self.dt_s)
            supervise_state(self.p, self.s, self.sense, self.meas, self.nav, self.arbiter, self.dt_s, self.health)
            self.control["torque_lim"] = self.torque
            self.limits = supervise_command(
                self.p, self.s, self.sense, self.meas, self.nav, self.control, self.push, self.explained,
                np.full(3, 3.0), self.off, self.rates, (1.0, 0.0, 0.0, 0.0), self.command,
            )  # fmt: skip
        return self.health["arm"]

    def armed(self):
        self.tick(200)
        assert self.tick(arm=1) == Arm.ARMED
        return self


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


def push(b, accel, rate_err=0.5):
    """20 rad/s² asked about y with the camera's rate short of what is asked: it accelerates by ``accel``."""
    b.push[:] = [0.0, 20.0, 0.0]
    b.control["rate_err_C"] = [0.0, rate_err, 0.0]
    for _ in range(40):
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
    bench.meas["joint_new"] = 1
    bench.rates["rate"][1] = 0.05
    for n in range(40):  # one joint moves: it measures
        bench.meas["joint_angle_meas"][1] = 1e-3 * n
        bench.tick()
    bench.tick(17)
    assert bench.s["arm"] == Arm.ARMED  # the same rate all along: nothing to be seen by
    bench.rates["rate"][1] = 0.2
    bench.tick(20)
    assert bench.s["fault"] == Code.MOTOR_FROZEN


def test_a_controller_that_repeats_itself_while_its_torque_moves(bench):
    bench.armed().tick(600)
    bench.meas["joint_new"] = 1
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
