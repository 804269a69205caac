"""Friction, cogging, thermal model, limits: each known cause against an oracle of its own."""

from __future__ import annotations

import math

import numpy as np
import pytest

from gimbal.config.load import load_rig
from gimbal.config.pack import pack_params
from gimbal.control.cogging import COGGING_PARAMS, COGGING_STATE, cogging_torque, learn_cogging
from gimbal.control.friction import FRICTION_STATE, friction_torque
from gimbal.control.limits import limit_torque
from gimbal.control.rate_pid import PID_STATE, pid_unwind, rate_pid
from gimbal.control.thermal import THERMAL_STATE, derate
from gimbal.faults import Code
from gimbal.records import CONTROL, NAV, SENSE

DT = 1e-3


@pytest.fixture(scope="module")
def params() -> np.ndarray:
    return pack_params(load_rig("torque").config)


def lugre(f, rate, dt, substeps=50):
    """Bristle by small explicit steps: the plain definition, no exact stepping."""
    z, out = 0.0, []
    for v in rate:
        for _ in range(substeps):
            g = f["coulomb"] + (f["breakaway"] - f["coulomb"]) * math.exp(-((v / f["stribeck"]) ** 2))
            dz = v - f["bristle"] * abs(v) / g * z
            z += dz * dt / substeps
        out.append(f["bristle"] * z + f["bristle_damping"] * dz + f["viscous"] * v)
    return np.array(out)


def test_friction_is_lugres(params: np.ndarray) -> None:
    f = params[0]["allocation"]["friction"].copy()
    t = np.arange(0, 1.0, DT)
    rate = 0.15 * np.sin(2 * math.pi * 3.0 * t) + 0.05 * np.sin(2 * math.pi * 11.0 * t)
    f["cable_on"] = 0
    s = np.zeros(1, FRICTION_STATE)
    got = np.array([friction_torque(f, s[0], 1, v, 0.0, DT) for v in rate])
    want = lugre(f, rate, DT)
    assert np.abs(want).max() > 0.015
    assert np.abs(got - want)[5:].max() < 1.5e-3  # bristle damping is the mean over a tick here, its end there
    assert np.sqrt(np.mean((got - want) ** 2)) < 4e-4


def test_cable_is_a_spring_with_a_sliding_friction(params: np.ndarray) -> None:
    f = params[0]["allocation"]["friction"].copy()
    f["friction_on"] = 0
    s = np.zeros(1, FRICTION_STATE)
    rate, angle, seen = 0.5, 0.0, []
    for _ in range(200):  # 0.1 rad: past the 0.02 rad after which the strands slide
        angle += rate * DT
        seen.append(friction_torque(f, s[0], 0, rate, angle, DT))
    assert seen[-1] == pytest.approx(0.05 * angle + 0.01, abs=1e-9)
    for _ in range(80):  # back by twice the slide: the hysteresis has changed sides
        angle -= rate * DT
        back = friction_torque(f, s[0], 0, -rate, angle, DT)
    assert back == pytest.approx(0.05 * angle - 0.01, abs=1e-9)


def test_cogging_is_learned_from_feedback() -> None:
    """Feedback that cancels what the learned part leaves: the rest dies away and the harmonics are found."""
    p, s = np.zeros(1, COGGING_PARAMS), np.zeros(1, COGGING_STATE)
    p["periods"], p["limit"], p["learn_1_s"] = [42.0, 84.0], [0.012, 0.006], 0.5
    p["rate_min"], p["ripple_max"], p["slow"], p["on"] = 0.035, 44.0, 1e-3, 1
    truth = lambda a: 0.006 * math.sin(42 * a + 1.0) + 0.003 * math.sin(84 * a - 2.0)  # noqa: E731
    rest = []
    for i in range(60_000):
        angle = 0.5 * math.sin(2 * math.pi * 0.2 * i * DT)
        rate = 0.5 * 2 * math.pi * 0.2 * math.cos(2 * math.pi * 0.2 * i * DT)
        feedback = -truth(angle) - cogging_torque(p[0], s[0], 2, angle)
        learn_cogging(p[0], s[0], 2, rate, feedback, DT)
        rest.append(feedback)
    assert np.std(rest[:2000]) > 0.003
    assert np.std(rest[-10_000:]) < 0.0006
    assert math.hypot(s[0]["c"][2, 0], s[0]["s"][2, 0]) == pytest.approx(0.006, rel=0.1)


def test_cogging_learns_nothing_at_rest_and_stays_in_its_limit() -> None:
    p, s = np.zeros(1, COGGING_PARAMS), np.zeros(1, COGGING_STATE)
    p["periods"], p["limit"], p["learn_1_s"] = [42.0, 84.0], [0.012, 0.006], 5.0
    p["rate_min"], p["ripple_max"], p["on"] = 0.035, 44.0, 1
    for _ in range(1000):
        cogging_torque(p[0], s[0], 0, 0.3)
        learn_cogging(p[0], s[0], 0, 0.0, 1.0, DT)
    assert not s["c"].any() and not s["s"].any()
    for i in range(20_000):
        cogging_torque(p[0], s[0], 0, 1e-4 * i)
        learn_cogging(p[0], s[0], 0, 0.1, 1.0 if i % 700 < 350 else -1.0, DT)
    assert np.abs(s["c"][0]).max(axis=0).tolist() <= [0.012, 0.006]


def test_derating_comes_before_the_limit_and_says_so(params: np.ndarray) -> None:
    p = params[0]["thermal"]
    s, sense = np.zeros(1, THERMAL_STATE), np.zeros(1, SENSE)
    hottest, said_at = 0.0, 0.0
    for _ in range(20_000):  # 400 s of full torque, as far as it is left
        share = s[0]["share"] if s[0]["started"] else np.ones(3)
        bits = derate(p, s[0], sense[0], 3.0 * share, 0.02)
        hottest = max(hottest, float(s[0]["winding_degC"][0]))
        if bits and not said_at:
            said_at = float(s[0]["winding_degC"][0])
            assert bits == 1 << Code.MOTOR_HOT
    assert 80.0 < said_at < 100.0
    assert hottest < 110.0
    assert 0.2 < s[0]["share"][0] < 0.6


def test_reported_temperature_corrects_the_model(params: np.ndarray) -> None:
    s, sense = np.zeros(1, THERMAL_STATE), np.zeros(1, SENSE)
    sense["joint_valid"], sense["motor_temp_degC"] = 1, 105.0
    bits = 0
    for _ in range(8000):
        bits = derate(params[0]["thermal"], s[0], sense[0], np.zeros(3), DT)
    assert bits == 1 << Code.MOTOR_HOT
    assert s[0]["share"].max() < 0.6


def limited(params: np.ndarray, angle: float, rate: float, torque: float, share: float = 1.0) -> tuple[float, int, int]:
    nav = np.zeros(1, NAV)
    nav["joint_angle_est"][0, 0], nav["joint_rate_est"][0, 0] = angle, rate
    out, cut = np.zeros(3), np.zeros(3, np.uint8)
    bits = limit_torque(params[0]["limits"], nav[0], np.array([torque, 0, 0]), np.full(3, share), out, cut)
    return out[0], int(cut[0]), bits


def test_torque_limit_and_what_temperature_leaves_of_it(params: np.ndarray) -> None:
    assert limited(params, 0.0, 0.0, 2.9) == (2.9, 0, 0)
    assert limited(params, 0.0, 0.0, -7.0) == (-3.0, 1, 1 << Code.TORQUE_LIMIT)
    assert limited(params, 0.0, 0.0, 2.9, 0.5) == (1.5, 1, 1 << Code.TORQUE_LIMIT)


def test_end_stop_fades_pushes_back_and_damps(params: np.ndarray) -> None:
    stop = math.radians(86.0)
    free, cut, bits = limited(params, stop - math.radians(5.0), 0.0, 1.0)
    assert (free, cut, bits) == (1.0, 0, 0)
    pushes = [limited(params, stop - math.radians(d), 0.0, 1.0)[0] for d in (3.9, 3.0, 2.0, 1.0, 0.0)]
    assert all(b < a for a, b in zip(pushes, pushes[1:], strict=False))
    assert pushes[-1] == -3.0
    assert limited(params, stop - 0.02, 1.0, 1.0)[0] < limited(params, stop - 0.02, 0.0, 1.0)[0]
    assert limited(params, -stop, 0.0, -1.0)[0] == 3.0
    assert limited(params, stop - 0.02, 0.0, 1.0)[2] & (1 << Code.END_STOP)


def test_integrator_gives_back_what_was_not_delivered(params: np.ndarray) -> None:
    p, s, control = params[0]["pid"], np.zeros(1, PID_STATE), np.zeros(1, CONTROL)
    control["rate_cmd_C"] = 1.0
    out = np.zeros(3)
    peak = 0.0
    for _ in range(2000):  # two seconds against a limit
        rate_pid(p, s[0], (0.0, 0.0, 0.0), control[0], 0.0, 1.0, DT, out, np.zeros(3))
        lost = np.minimum(50.0 - out, 0.0)
        pid_unwind(p, s[0], tuple(lost), DT, 20.0)
        peak = max(peak, float(s[0]["i"][0]))
    free = np.zeros(1, PID_STATE)
    for _ in range(2000):
        rate_pid(p, free[0], (0.0, 0.0, 0.0), control[0], 0.0, 1.0, DT, out, np.zeros(3))
    assert free[0]["i"][0] == pytest.approx(200.0)
    assert s[0]["i"][0] < 0.8 * free[0]["i"][0]


def test_integrator_rests_far_from_the_setpoint(params: np.ndarray) -> None:
    p, control, out = params[0]["pid"], np.zeros(1, CONTROL), np.zeros(3)
    control["rate_cmd_C"] = 0.1
    grown = []
    for error in (0.0, 0.003, 0.1):
        s = np.zeros(1, PID_STATE)
        control["attitude_err_C"] = error
        rate_pid(p, s[0], (0.0, 0.0, 0.0), control[0], 0.0, 1.0, DT, out, np.zeros(3))
        grown.append(float(s[0]["i"][1]))
    assert grown[1] == pytest.approx(0.5 * grown[0])
    assert grown[2] < 0.002 * grown[0]
