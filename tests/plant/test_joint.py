"""One joint's physics: friction, structure, cable, cogging, stops, motor limits, heat, delay."""

from __future__ import annotations

import math

import numpy as np
import pytest
from scipy import signal

from gimbal.plant.assemble import zero_pose_inertia
from gimbal.records import JointMode
from tests.plant.helpers import PERFECT_SENSORS, QUIET, plant, slide, sweep

TORQUE, BRAKE, RATE, ANGLE = JointMode.TORQUE, JointMode.BRAKE, JointMode.RATE, JointMode.ANGLE
YAW = 2
FREE_YAW = {**QUIET, **PERFECT_SENSORS, "body.pitch.com_m": [0, 0, 0]}


def test_friction_in_steady_sliding_is_the_stribeck_curve():
    p = plant()
    h = 125e-6
    for v in (0.005, 0.02, 0.05, 0.1, 0.3, 1.0, 5.0, -0.05, -2.0):
        *_, force = slide(p.params, p.state, 0, v, h, int(max(0.2, 0.02 / abs(v)) / h))
        level = 0.020 + 0.006 * math.exp(-((v / 0.05) ** 2))
        assert force == pytest.approx(math.copysign(level, v), rel=1e-3)


def test_pre_sliding_is_a_spring_and_breakaway_needs_its_torque():
    """Below breakaway the joint creeps along a spring of 15 N m/rad and comes back; above it slides."""
    quiet = {k: v for k, v in FREE_YAW.items() if k != "friction"}
    p = plant(quiet)

    def hold(torque):
        """Angle it settles at (the bristle's own damping takes seconds), torque raised without a jerk."""
        for i in range(1, 51):
            p.set_joint_command(YAW, TORQUE, torque=before + (torque - before) * i / 50)
            p.advance(0.02)
        p.advance(6.0)
        return p.state[0]["motor_angle"][YAW]

    before = 0.0
    start = p.state[0]["motor_angle"][YAW]
    small = hold(0.004) - start
    assert small == pytest.approx(0.004 / 15.0, rel=0.25)  # LuGre creeps a little beyond its spring
    before = 0.004
    assert abs(hold(0.0) - start) < 0.25 * small
    before = 0.0
    assert hold(0.022) - start < 0.01
    before = 0.022
    assert hold(0.028) - start > 1.0


def test_friction_is_stable_at_any_speed_and_step():
    p = plant()
    for v in (1e-6, 1e-3, 1.0, 30.0, 300.0):
        for h in (125e-6, 1e-3, 1e-2):
            low, high, _ = slide(p.params, p.state, 1, v, h, 500)
            assert high <= 0.026 + 0.05 * v / (1 + 15 * h * v / 0.026) + 1e-9
            assert low >= 0.0


def test_brake_resists_by_the_shorted_phases():
    p = plant(FREE_YAW)
    p.place([0, 0, 0], [0, 0, 2.0])
    p.set_joint_command(YAW, BRAKE)
    p.advance(0.2)
    inertia = zero_pose_inertia(p.rig)[YAW]
    decay = 0.2**2 / 0.9 / inertia
    assert p.state[0]["rate"][YAW] == pytest.approx(2.0 * math.exp(-decay * 0.2), rel=2e-3)


@pytest.mark.parametrize("axis, hz", [(0, 55.0), (1, 70.0), (2, 48.0)])
def test_structure_rings_at_its_frequency_with_its_damping(axis, hz):
    """A blow on one motor; the stretch between motor and camera is a decaying sine."""
    changes = {**FREE_YAW, "structure.motor_inertia_share": 0.15, "motors.torque_bandwidth_hz": 3000.0}
    changes |= {"body.yaw.com_m": [0, 0, 0]}
    p = plant(changes)
    p.params[0]["gravity_m_s2"] = 0.0
    p.set_joint_command(axis, TORQUE, torque=2.0)
    p.advance(0.004)
    p.set_joint_command(axis, TORQUE, torque=0.0)
    p.advance(0.004)
    s = p.state[0]
    stretch = []
    for _ in range(3200):
        p.advance(125e-6)
        stretch.append(s["motor_angle"][axis] - s["angle"][axis])
    x = np.array(stretch)
    peaks, _ = signal.find_peaks(x)
    period = np.diff(peaks[:9]).mean() * 125e-6
    decrement = math.log(x[peaks[0]] / x[peaks[8]]) / 8
    ratio = decrement / math.hypot(2 * math.pi, decrement)
    assert ratio == pytest.approx(0.03, rel=0.05)
    assert 1.0 / period / math.sqrt(1 - ratio**2) == pytest.approx(hz, rel=0.01)


def test_gyro_sits_on_the_camera_side_and_encoder_on_the_motor_side():
    p = plant({**FREE_YAW, "structure.motor_inertia_share": 0.15})
    s, c = p.state[0], p.params[0]
    p.set_joint_command(YAW, TORQUE, torque=1.0)
    p.advance(0.003)
    assert s["motor_rate"][YAW] > 1.5 * s["rate"][YAW] > 0.0
    assert s["omega_NC_C"][2] == pytest.approx(s["rate"][YAW], rel=1e-6)
    assert p.joint_state(YAW)["angle"] == pytest.approx(s["motor_angle"][YAW], abs=1.5 * c["encoder_step"])


def test_motor_side_takes_no_inertia_away():
    """Both sides together weigh what the rig file says."""
    p = plant({**FREE_YAW, "structure.motor_inertia_share": 0.3})
    rigid = plant(FREE_YAW)
    for model in (p, rigid):
        model.params[0]["gravity_m_s2"] = 0.0
        model.set_joint_command(YAW, TORQUE, torque=0.1)
        model.advance(1.0)
    assert p.state[0]["rate"][YAW] == pytest.approx(rigid.state[0]["rate"][YAW], rel=0.02)
    assert rigid.state[0]["rate"][YAW] == pytest.approx(0.1 / zero_pose_inertia(p.rig)[YAW], rel=0.002)


def test_cable_springs_back_with_hysteresis():
    p = plant({**FREE_YAW, "cable": {"spring_Nm_rad": [0.05, 0.05, 0.0], "hysteresis_Nm": 0.01}})

    def lead(angles):
        return sweep(p.params, p.state, 1, angles, 125e-6, np.zeros(angles.size))

    lead(np.linspace(0, 1, 8001))
    back = lead(np.linspace(1, -1, 16001))
    again = lead(np.linspace(-1, 1, 16001))
    assert again[-1] == pytest.approx(-0.05 - 0.01, abs=1e-4)
    assert back[8000] - again[8000] == pytest.approx(0.02, abs=1e-4)  # width of the loop at mid travel
    assert (back[2000] - back[14000]) / 1.5 == pytest.approx(-0.05, rel=0.01)
    slip_ring = sweep(p.params, p.state, 2, np.ones(3), 125e-6, np.zeros(3))
    assert slip_ring[-1] == 0.0


@pytest.mark.parametrize("second", [84, 60])  # twice the first has a shorter way to its sine
def test_cogging_has_its_periods_and_torques(second):
    p = plant({**FREE_YAW, "cogging": {"periods_per_rev": [42, second], "torque_Nm": [0.006, 0.003]}})
    torque = sweep(p.params, p.state, 2, np.arange(4096) * 2 * math.pi / 4096, 125e-6, np.zeros(4096))
    wave = 2 * np.fft.rfft(torque) / 4096
    assert np.abs(wave[[42, second]]) == pytest.approx([0.006, 0.003], rel=1e-6)
    for harmonic, i in ((42, 0), (second, 1)):
        phase = np.angle(wave[harmonic]) + math.pi / 2  # against a sine
        assert math.cos(phase - p.params[0]["cog_phase"][2, i]) == pytest.approx(1.0, abs=1e-6)
    assert np.delete(np.abs(wave), [42, second]).max() < 1e-9


def test_end_stops_hold_full_torque():
    p = plant(FREE_YAW)
    p.set_joint_command(0, TORQUE, torque=3.0)
    p.advance(3.0)
    stop = math.radians(86)
    assert stop < p.state[0]["angle"][0] < stop + 0.03
    assert abs(p.state[0]["rate"][0]) < 1e-3


def test_command_acts_exactly_after_its_delay():
    """The torque loop's answer to a step, read back to the moment the step reached it."""
    p = plant({**FREE_YAW, "motors.torque_bandwidth_hz": 300.0}, command_delay_s=0.0008)
    p.advance(0.01)
    p.set_joint_command(YAW, TORQUE, torque=0.1)
    t, torque = [], []
    for _ in range(80):
        p.advance(125e-6)
        t.append(p.t_ns * 1e-9 - 0.01)
        torque.append(p.state[0]["torque"][YAW])
    t, torque = np.array(t), np.array(torque)
    assert torque[t < 0.0008 - 1e-9] == pytest.approx(0.0)
    rising = (torque > 0.01) & (torque < 0.09)
    onset = t[rising] + np.log(1 - torque[rising] / 0.1) / (2 * math.pi * 300.0)
    assert onset == pytest.approx(0.0008, abs=1e-5)  # 6.4 substeps: the step falls inside one
    assert torque[-1] == pytest.approx(0.1, rel=1e-3)


def test_torque_noise_has_its_rms_and_bandwidth():
    p = plant({**FREE_YAW, "motors.torque_noise_Nm_rms": 0.001})
    for k in range(3):
        p.set_joint_command(k, TORQUE)
    p.advance(0.1)
    samples = []
    for _ in range(16000):
        p.advance(125e-6)
        samples.append(p.state[0]["torque"].copy())
    x = np.array(samples)
    assert x.std(axis=0) == pytest.approx(0.001, rel=0.06)
    f, psd = signal.welch(x, 8000, nperseg=2048, axis=0)
    assert psd[(f > 5) & (f < 60)].mean() / psd[(f > 290) & (f < 310)].mean() == pytest.approx(2.0, rel=0.3)
    assert abs(np.corrcoef(x.T)[0, 1]) < 0.06


def test_current_voltage_and_supply_limit_the_torque():
    p = plant(FREE_YAW)
    s = p.state[0]
    p.set_joint_command(YAW, TORQUE, torque=50.0)
    p.advance(0.01)
    assert s["torque"][YAW] == pytest.approx(15.0 * 0.2, rel=0.01)  # peak current
    power = 0.9 * 15**2 + s["torque"][YAW] * s["motor_rate"][YAW]
    assert s["bus_V"] == pytest.approx(24.0 - 0.1 * power / s["bus_V"], rel=0.01)
    top = 0.0
    for _ in range(100):
        p.advance(0.05)
        if s["fault"][YAW]:
            break
        top = max(top, s["motor_rate"][YAW])
        emf = 0.2 * s["motor_rate"][YAW]
        assert s["torque"][YAW] <= 0.2 * (s["bus_V"] - emf) / 0.9 + 1e-3
    assert 100.0 < top <= 24.0 / 0.2 + 0.5  # no-load speed


def test_winding_reaches_the_two_node_steady_state():
    """3 A in each motor against its stop: 8.1 W through 2.0 + 1.5 K/W on 20 °C air."""
    p = plant({**FREE_YAW, "joints.yaw.continuous": False, "thermal.winding_J_K": 0.4, "thermal.case_J_K": 3.0})
    for k in range(3):
        p.set_joint_command(k, TORQUE, torque=3 * 0.2)
    p.advance(30.0)
    s = p.state[0]
    assert s["winding_degC"] == pytest.approx(20 + 8.1 * 3.5, abs=0.3)
    assert s["case_degC"] == pytest.approx(20 + 8.1 * 1.5, abs=0.3)


def test_heating_starts_at_the_windings_own_rate_and_trips_at_its_limit():
    p = plant({**FREE_YAW, "joints.yaw.continuous": False})
    for k in range(3):
        p.set_joint_command(k, TORQUE, torque=14.5 * 0.2)
    p.advance(1.0)
    assert p.state[0]["winding_degC"] == pytest.approx(20 + 0.9 * 14.5**2 / 40.0, abs=0.3)
    while p.joint_state(0)["fault"] == 0 and p.t_ns < 40e9:
        p.advance(0.1)
    reading = p.joint_state(0)
    assert reading["fault"] == 1 and 109 < reading["temp_degC"] < 111
    p.advance(0.01)
    assert p.joint_state(0)["torque"] == 0.0
    assert p.joint_state(0)["bus_V"] == pytest.approx(24.0)


@pytest.mark.parametrize("mode", [RATE, ANGLE])
def test_device_loops_follow_rate_and_angle(mode):
    p = plant(PERFECT_SENSORS)
    for k in range(3):
        p.set_joint_command(k, mode, rate=0.5 if mode == RATE else 0.0, angle=0.4)
    p.advance(1.0)
    if mode == RATE:
        assert p.state[0]["motor_rate"] == pytest.approx(0.5, abs=0.08)
    else:
        p.advance(1.0)
        assert p.state[0]["motor_angle"] == pytest.approx(0.4, abs=0.02)
