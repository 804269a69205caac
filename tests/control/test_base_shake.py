"""The base's acceleration, from encoders of the shipped rig: buffeting foreseen at any pose, and nothing made up."""

from __future__ import annotations

import math

import numpy as np
import pytest
from scipy.spatial.transform import Rotation

from gimbal.config.load import load_rig, load_scenario
from gimbal.config.pack import pack_params
from gimbal.control.allocation import ALLOCATION_STATE, model_chain
from gimbal.loop.lockstep import run_lockstep
from gimbal.records import MEAS, NAV
from gimbal.rig.plant import PlantRig
from gimbal.worth import without

SECONDS = 24.0


def buffeting(t: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Small turns of the base about its axes (n, 3), rad, and their second derivative: tones from 4 to 25 Hz."""
    rng = np.random.default_rng(3)
    turn, accel = np.zeros((len(t), 3)), np.zeros((len(t), 3))
    for hz in np.linspace(4.0, 25.0, 60) + rng.uniform(-0.1, 0.1, 60):
        w, phase = 2 * math.pi * hz, rng.uniform(0, 2 * math.pi, 3)
        turn += 0.02 / w * np.sin(w * t[:, None] + phase)
        accel -= 0.02 * w * np.sin(w * t[:, None] + phase)
    return turn, accel


def flown(rig_name: str, tilt_deg: float, size: float, bits: int = 14):
    """(forecast, truth, what stands in, State) of the base's acceleration while stiff joints hold the camera still."""
    config = load_rig(rig_name).config
    config = config.model_copy(update={"structure": config.structure.model_copy(update={"motor_inertia_share": 0.0})})
    rate = config.loop_rate_hz
    params = pack_params(config)
    p, s = params[0]["allocation"], np.zeros(1, ALLOCATION_STATE)[0]
    t = np.arange(int(SECONDS * rate)) / rate
    lead = float(p["ahead"]["horizon_s"])
    turn, _ = buffeting(t - config.encoder.delay_ms * 1e-3)
    base = Rotation.from_euler("x", tilt_deg, degrees=True) * Rotation.from_rotvec(size * turn)
    yaw, roll, pitch = np.unwrap(base.inv().as_euler("ZXY"), axis=0).T
    lsb = 2 * math.pi / 2**bits
    angles = lsb * np.floor(np.stack([roll, pitch, yaw], 1) / lsb + 0.5)
    meas, nav = np.zeros(1, MEAS), np.zeros(1, NAV)
    meas["joint_valid"] = meas["joint_new"] = 1
    nav["q_NC_est"] = (1.0, 0.0, 0.0, 0.0)
    out, instead = np.zeros_like(angles), np.zeros_like(angles)
    for i in range(len(t)):
        meas["joint_angle_meas"] = angles[i]
        model_chain(p, s, meas[0], nav[0], 1.0 / rate)
        out[i], instead[i] = s["shake"]["alpha_B"], s["shake"]["instead"]
    _, accel = buffeting(t + lead)
    return out, size * accel, instead, s["shake"]


def left(x: np.ndarray, rate_hz: float) -> np.ndarray:
    """RMS (3,) of an acceleration's error over the last quarter, up to 30 Hz."""
    from scipy.signal import butter, sosfiltfilt

    sos = butter(4, 30.0, fs=rate_hz, output="sos")
    return np.sqrt(np.mean(sosfiltfilt(sos, x, axis=0)[-len(x) // 4 : -200] ** 2, axis=0))


@pytest.mark.parametrize(
    ("rig", "tilt_deg", "most"),
    [("torque", 0.0, 0.35), ("torque", 60.0, 0.42), ("torque_fast", 60.0, 0.42)],  # tilted, two encoders add up
)
def test_buffeting_is_foreseen_at_any_pose(rig: str, tilt_deg: float, most: float) -> None:
    rate = load_rig(rig).config.loop_rate_hz
    out, truth, instead, s = flown(rig, tilt_deg, 1.0)
    assert (s["foresight"]["share"] == 1.0).all()
    assert (left(out - truth, rate) < most * left(truth, rate)).all()
    assert (left(out - truth, rate) < 0.8 * left(instead - truth, rate)).all()


def test_a_bench_that_stands_still_shakes_nothing() -> None:
    out, _, _, _ = flown("torque", 10.0, 0.0)
    assert np.abs(out[-5000:]).max() < 0.05


def test_doubted_it_is_the_kalman_filters_own() -> None:
    config = load_rig("torque").config
    p, s = pack_params(config)[0]["allocation"], np.zeros(1, ALLOCATION_STATE)[0]
    meas, nav = np.zeros(1, MEAS), np.zeros(1, NAV)
    meas["joint_valid"] = meas["joint_new"] = 1
    nav["q_NC_est"] = (1.0, 0.0, 0.0, 0.0)
    s["doubted"] = 1
    for i in range(8000):
        meas["joint_angle_meas"] = 2e-3 * math.sin(0.06 * i)
        model_chain(p, s, meas[0], nav[0], 1e-3)
    assert np.array_equal(s["shake"]["alpha_B"], s["shake"]["instead"])
    assert s["shake"]["foresight"]["share"].any()  # it goes on learning


def test_it_is_worth_half_the_jitter_of_a_buffeted_flight() -> None:
    config, carrier = load_rig("torque").config, load_scenario("speedflight").config
    total = []
    for rig in (config, without(config, ("foresight",))):
        result = run_lockstep(PlantRig(rig, carrier, seed=2, seconds=24.0), rig, 24.0, seed=2)
        assert not result["faults"]
        total.append(result["jitter_urad_rms"]["total"])
    assert total[0] < 0.6 * total[1]


@pytest.mark.parametrize("joint_ms", [0.3, 1.45, 2.45])
@pytest.mark.parametrize("imu_ms", [0.0, 0.9])
@pytest.mark.parametrize("imu_hz", [1000.0, 800.0])
def test_the_cameras_own_turning_is_not_the_bases_whatever_the_ages(
    joint_ms: float, imu_ms: float, imu_hz: float
) -> None:
    """A base that stands still, a camera that shakes at 25 Hz: gyro samples and readings of different ages."""
    config = load_rig("torque").config
    config = config.model_copy(update={"structure": config.structure.model_copy(update={"motor_inertia_share": 0.0})})
    p, s = pack_params(config)[0]["allocation"], np.zeros(1, ALLOCATION_STATE)[0]
    w, size, start = 2 * math.pi * 25.0, 1e-3, 10**9
    meas, nav = np.zeros(1, MEAS), np.zeros(1, NAV)
    meas["joint_valid"] = meas["joint_new"] = 1
    nav["q_NC_est"] = (1.0, 0.0, 0.0, 0.0)
    meas["joint_age_ns"] = round(1e6 * joint_ms)
    lag_s, newest, off, own = float(p["gyro_lag_s"]), -1, [], []
    for i in range(3000):
        t = i * 1e-3
        sample = math.floor((t - 1e-3 * imu_ms) * imu_hz + 1e-6)
        meas["imu_n"] = int(sample > newest)
        newest = sample
        taken = sample / imu_hz
        meas["imu_age_ns"] = round(1e9 * (t - taken))
        nav["t_ns"] = start + i * 1_000_000
        nav["omega_NC_C_est"] = (0.0, 0.0, size * w * math.cos(w * (taken - lag_s)))
        meas["joint_angle_meas"] = (0.0, 0.0, size * math.sin(w * (t - 1e-3 * joint_ms)))
        model_chain(p, s, meas[0], nav[0], 1e-3)
        off.append(float(s["shake"]["rate"][2]))
        own.append(size * w)
    most = 0.1 if joint_ms > imu_ms else 0.15  # samples older than the readings are gone on from
    assert np.std(off[1500:]) < most * np.mean(own) / math.sqrt(2.0)
