"""What control knows ahead: joint motion at the torque's moment, and an attitude without the estimator's steps."""

from __future__ import annotations

import math

import numpy as np
import pytest

from gimbal.config.load import load_rig
from gimbal.config.pack import pack_params
from gimbal.control.compliance import stretch as spring_stretch
from gimbal.control.motion_ahead import AHEAD_STATE, look_ahead, remember_through
from gimbal.control.pointing import POINTING_STATE, hold_attitude, point
from gimbal.kernels.quat import q_conj, q_exp, q_log, q_mul
from gimbal.records import CONTROL, MEAS, NAV, SETPOINT

DT = 1e-3
LSB = 2 * math.pi / 2**14
ORDER = np.array([2, 0, 1])


@pytest.fixture(scope="module")
def params() -> np.ndarray:
    return pack_params(load_rig("torque").config)


def drive(p, angle, camera=lambda t: 0.0, torque=None, seconds=4.0, read=lambda i: True):
    """Rows of (angle, rate, accel) predicted for joint 0 from quantised readings 0.3 ms old; ``read``: which arrive."""
    s, meas = np.zeros(1, AHEAD_STATE), np.zeros(1, MEAS)
    meas["joint_valid"] = meas["joint_new"] = 1
    rows = []
    for i in range(int(seconds / DT)):
        t = i * DT
        meas["joint_new"] = 1 if read(i) else 0
        meas["joint_angle_meas"][0, 0] = LSB * math.floor(angle(t - 3e-4) / LSB + 0.5)
        look_ahead(p, s[0], ORDER, meas[0], np.array([camera(t), 0.0, 0.0]), DT)
        if torque is not None:
            remember_through(s[0], np.array([torque(t), 0.0, 0.0]))
        rows.append([s[0]["angle"][0], s[0]["rate"][0], s[0]["accel"][0]])
    return np.array(rows), s


@pytest.mark.parametrize("missing", [{1}, {1, 3}, {2, 3}, {1, 2, 3}])
def test_readings_that_come_now_and_then_do_not_swing_it_up(params: np.ndarray, missing: set[int]) -> None:
    """Of four ticks those in ``missing`` bring no reading, again and again: half speed, or a line that loses frames."""
    p = params[0]["allocation"]["ahead"]
    w = 2 * math.pi * 4.0
    rows, _ = drive(p, lambda t: 0.02 * math.sin(w * t), read=lambda i: i % 4 not in missing)
    t = np.arange(len(rows)) * DT + float(p["horizon_s"])
    assert np.abs(rows[1000:, 1] - 0.02 * w * np.cos(w * t)[1000:]).max() < 0.02 * w  # less than not knowing it


def test_buffeting_is_predicted_to_the_torques_moment(params: np.ndarray) -> None:
    p = params[0]["allocation"]["ahead"]
    w = 2 * math.pi * 9.0
    rows, _ = drive(p, lambda t: 2.5e-3 * math.sin(w * t))
    t = np.arange(len(rows)) * DT + float(p["horizon_s"])
    late = rows[2000:]
    want = 2.5e-3 * np.sin(w * t)[2000:], 2.5e-3 * w * np.cos(w * t)[2000:]
    assert np.std(late[:, 0] - want[0]) < 0.1 * np.std(want[0])
    assert np.std(late[:, 1] - want[1]) < 0.30 * np.std(want[1])  # 0.25: what quantisation leaves, found by this run
    unaware = params[0]["allocation"]["ahead"].copy()
    unaware["ahead"], unaware["horizon_s"] = np.eye(4), 0.0
    same, _ = drive(unaware, lambda t: 2.5e-3 * math.sin(w * t))
    for column in (0, 1):
        assert np.std(late[:, column] - want[column]) < 0.9 * np.std(same[2000:, column] - want[column])


def test_rest_gives_no_motion(params: np.ndarray) -> None:
    rows, s = drive(params[0]["allocation"]["ahead"], lambda t: 0.0123, seconds=6.0)
    assert np.abs(rows[-1000:, 1]).max() < 1e-4
    assert np.abs(rows[-1000:, 2]).max() < 1e-2
    assert s[0]["level"][0] == 0


def test_the_cameras_own_motion_is_not_base_motion(params: np.ndarray) -> None:
    w = 2 * math.pi * 3.0
    moving = lambda t: 0.02 * math.sin(w * t)  # noqa: E731
    blind, _ = drive(params[0]["allocation"]["ahead"], moving)
    told, _ = drive(params[0]["allocation"]["ahead"], moving, camera=lambda t: 0.02 * w * math.cos(w * t))
    assert np.std(told[2000:, 1]) < 0.1 * np.std(blind[2000:, 1])


def test_the_springs_stretch_is_not_base_motion(params: np.ndarray) -> None:
    """A torque that stretches the spring moves the encoder; with the torque known the joint is seen standing still."""
    p = params[0]["allocation"]["ahead"]
    torque = lambda t: 1.0 * math.sin(2 * math.pi * 8.0 * t)  # noqa: E731
    still = np.zeros(1, AHEAD_STATE)[0]["compliance"]
    stretch = [spring_stretch(p["compliance"], still, 0, 1.0, 0.0) for _ in range(2000)][-1]  # rad/N m, held still
    assert stretch == pytest.approx(1.0 / 304.6, rel=0.01)  # of the plant's roll joint: 55 Hz, 0.003 on 0.017 kg m²
    moving = lambda t: stretch * torque(t - float(p["horizon_s"]))  # noqa: E731
    blind, _ = drive(p, moving)
    told, _ = drive(p, moving, torque=torque)
    assert np.std(told[2000:, 1]) < 0.15 * np.std(blind[2000:, 1])


def test_the_outer_rotor_turns_with_its_stage(params: np.ndarray) -> None:
    """Tilted, the inner joint's turning turns the outer stage too: its rotor lags behind by the spring."""
    p, s, meas = params[0]["allocation"]["ahead"], np.zeros(1, AHEAD_STATE), np.zeros(1, MEAS)
    meas["joint_valid"] = meas["joint_new"] = 1
    s["across"] = 0.8
    w, bent = 2 * math.pi * 16.0, []
    for i in range(3000):
        pitch = 5e-3 * math.sin(w * i * DT)
        meas["joint_angle_meas"][0] = 0.0, pitch, 0.0
        look_ahead(p, s[0], ORDER, meas[0], np.zeros(3), DT)
        bent.append(-s[0]["link"][2])
    locked = 2 * math.pi * 48.0 * math.sqrt(0.85)
    want = 0.8 * 5e-3 * w * w / (locked * locked - w * w)  # rotor on its spring, the stage moved by -across * pitch
    assert np.abs(bent[1000:]).max() == pytest.approx(want, rel=0.03)
    assert bent[2000 + 16] * math.sin(w * 2016 * DT) < 0.0 or abs(math.sin(w * 2016 * DT)) < 0.1


def hold(params, seconds, q_est, gyro, bias):
    """Control's attitude over time, from functions of time; the gyro reads rate plus a true bias."""
    p, s = params[0]["pointing"], np.zeros(1, POINTING_STATE)
    meas, nav = np.zeros(1, MEAS), np.zeros(1, NAV)
    meas["imu_n"], meas["imu_dt_s"] = 1, DT
    nav["valid"] = nav["settled"] = 1
    out = []
    for i in range(int(seconds / DT)):
        t = i * DT
        meas["gyro_C_meas"][0, 0] = gyro(t)
        nav["q_NC_est"], nav["gyro_bias"] = q_est(t), bias(t)
        nav["omega_NC_C_est"] = np.array(gyro(t)) - np.array(bias(t))
        hold_attitude(p, s[0], meas[0], nav[0])
        out.append(q_log(tuple(s[0]["out"])))
    return np.array(out), s


def test_a_correction_of_the_estimate_gets_in_without_a_step(params: np.ndarray) -> None:
    """10 mrad of corrected tilt: arrives in the end, and leaves next to nothing above half a hertz."""
    from scipy.signal import butter, sosfiltfilt

    def estimate(t: float) -> tuple:
        return q_exp((0.010 if t > 20.0 else 0.0, 0.0, 0.0))

    rows, _ = hold(params, 45.0, estimate, lambda t: (0.0, 0.0, 0.0), lambda t: (0.0, 0.0, 0.0))
    assert rows[-1, 0] == pytest.approx(0.010, rel=0.05)
    fast = sosfiltfilt(butter(4, 0.5, "high", fs=1 / DT, output="sos"), rows[:, 0])
    assert np.abs(fast).max() < 60e-6


def test_a_changed_bias_gets_in_without_a_kink(params: np.ndarray) -> None:
    def bias(t: float) -> tuple:
        return (0.0, 5e-4 if t > 10.0 else 0.0, 0.0)

    still = (1.0, 0.0, 0.0, 0.0)
    rows, s = hold(params, 30.0, lambda t: still, lambda t: (0.0, 5e-4, 0.0), bias)
    assert s[0]["rate"][1] == pytest.approx(0.0, abs=1e-6)
    assert np.abs(np.diff(rows[:, 1], 2)).max() / DT**2 < 2e-3  # rad/s²


def test_north_found_is_not_a_motion_of_the_camera(params: np.ndarray) -> None:
    p, s = params[0]["pointing"], np.zeros(1, POINTING_STATE)
    meas, nav = np.zeros(1, MEAS), np.zeros(1, NAV)
    nav["valid"], nav["settled"], nav["q_NC_est"] = 1, 1, (1.0, 0.0, 0.0, 0.0)
    hold_attitude(p, s[0], meas[0], nav[0])
    nav["heading_step"], nav["q_NC_est"] = 0.15, q_exp((0.0, 0.0, 0.15))
    hold_attitude(p, s[0], meas[0], nav[0])
    assert np.allclose(s[0]["out"], q_exp((0.0, 0.0, 0.15)), atol=1e-12)


def test_large_errors_come_back_at_a_rate_that_can_be_stopped_from(params: np.ndarray) -> None:
    p, control, setpoint = params[0]["pointing"], np.zeros(1, CONTROL), np.zeros(1, SETPOINT)
    setpoint["q_NC_sp"] = (1.0, 0.0, 0.0, 0.0)
    for error in (1e-3, 0.01, 0.5):
        point(p, q_conj(q_exp((error, 0.0, 0.0))), setpoint[0], 1.0, control[0])
        rate = control[0]["rate_cmd_C"][0]
        assert rate > 0.0
        assert rate**2 <= 2 * float(p["brake"]) * error * (1 + 1e-9)
    assert np.allclose(q_log(q_mul(q_exp((0.1, 0, 0)), q_conj(q_exp((0.1, 0, 0))))), 0.0)
