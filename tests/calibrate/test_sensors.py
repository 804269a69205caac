"""Gyro, noise, accelerometer, magnetometer and antenna of simulated rigs: recovered within three sigma, or refused."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from gimbal.calibrate.accelerometer import accelerometer
from gimbal.calibrate.arms import antenna
from gimbal.calibrate.gyro import gyro
from gimbal.calibrate.magnetometer import magnetometer
from gimbal.calibrate.noise import noise
from gimbal.calibrate.recording import Recording
from gimbal.config.load import load_rig
from gimbal.errors import UsageError
from gimbal.units import DEG
from tests.calibrate.recorded import record

SOFT = ((1.1, 0.03, -0.02), (0.03, 0.95, 0.04), (-0.02, 0.04, 1.02))


@pytest.fixture(scope="module")
def warming() -> tuple[Recording, np.void]:
    return record(
        {"kind": "still"}, "hold", 40.0, gyro_bias_deg_s=(0.3, -0.5, 0.2), gyro_bias_deg_s_K=(0.01, -0.02, 0.005),
        warm_up_s=15.0,
    )  # fmt: skip


@pytest.fixture(scope="module")
def turns() -> tuple[Recording, np.void]:
    rig = load_rig("torque").config
    rig = rig.model_copy(update={"imu": rig.imu.model_copy(update={"mag_rate_hz": 100.0})})
    return record(
        {"kind": "turns", "hold_s": 2.5, "turn_s": 1.5}, "hold", 40.0, rig=rig, accel_bias_mg=(30.0, -20.0, 15.0),
        accel_scale=(0.01, -0.005, 0.008), mag_hard_uT=(12.0, -20.0, 8.0), mag_soft=SOFT,
    )  # fmt: skip


def test_gyro_bias_and_curve(warming: tuple[Recording, np.void]) -> None:
    rec, p = warming
    found = gyro(rec).found
    slope = p["gyro_bias_K"] / DEG
    there = p["gyro_bias"] / DEG + slope * (found.reference_degC - p["air_degC"])
    assert (np.abs(np.array(found.bias_deg_s) - there) < 3 * np.array(found.bias_std_deg_s)).all()
    assert (np.abs(np.array(found.bias_deg_s_K) - slope) < 3 * np.array(found.bias_std_deg_s_K)).all()
    assert max(found.bias_std_deg_s) < 0.01 and max(found.bias_std_deg_s_K) < 0.002


@pytest.mark.parametrize(
    ("words", "harm"),
    [
        ("at rest for", lambda r: replace(r, gyro=r.gyro + 0.05 * np.sin(r.t)[:, None])),
        ("is no bias", lambda r: replace(r, gyro=r.gyro + 0.5)),
        ("Record longer", lambda r: replace(r, t=r.t[:9000], gyro=r.gyro[:9000], accel=r.accel[:9000],
                                            temp=r.temp[:9000])),
    ],
)  # fmt: skip
def test_gyro_refuses(warming: tuple[Recording, np.void], words: str, harm) -> None:
    with pytest.raises(UsageError, match=words):
        gyro(harm(warming[0]))


def test_gyro_without_temperature(warming: tuple[Recording, np.void]) -> None:
    rec = warming[0]
    found = gyro(replace(rec, temp=np.full(len(rec.t), np.nan))).found
    assert found.temperature_degC is None and found.bias_deg_s_K == (0.0, 0.0, 0.0)


def test_noise_densities() -> None:
    rng = np.random.default_rng(3)
    n, rate = 130 * 200, 200.0
    t = np.arange(n) / rate
    rig = load_rig("torque").config
    white = rng.normal(0, 0.0028 * DEG * np.sqrt(0.5 * rate), (n, 3))
    force = rng.normal(0, 70e-6 * 9.80665 * np.sqrt(0.5 * rate), (n, 3)) - [0, 0, 9.80665]
    nothing = np.zeros((0, 3))
    rec = Recording(rig, t, white, force, np.full(n, 30.0), t[:0], nothing, t[:0], nothing, t[:0], nothing, t[:0],
                    np.zeros((0, 4)), "made", "now")  # fmt: skip
    found = noise(rec).found
    assert found.gyro_noise_deg_s_rtHz == pytest.approx(0.0028, rel=0.06)
    assert found.accel_noise_ug_rtHz == pytest.approx(70.0, rel=0.06)
    with pytest.raises(UsageError, match=r"warmed by 9\.0 K"):
        noise(replace(rec, temp=np.linspace(20.0, 29.0, n)))
    with pytest.raises(UsageError, match="Allan deviation needs"):
        noise(replace(rec, t=t[:9000], gyro=white[:9000], accel=force[:9000]))


def test_accelerometer_of_a_rig_turned_over(turns: tuple[Recording, np.void]) -> None:
    rec, p = turns
    found = accelerometer(rec).found
    warm = p["accel_bias_K"] * p["imu_warmup_K"] * (1.0 - np.exp(-0.5 * rec.seconds / p["imu_warmup_s"]))
    std = np.hypot(found.bias_std_m_s2, 0.5 * np.abs(warm))  # it warms up on the way
    assert (np.abs(np.array(found.bias_m_s2) - p["accel_bias"] - warm) < 3 * std).all()
    assert (np.abs(np.array(found.scale) - 1 / np.diag(p["accel_M"])) < 3 * np.array(found.scale_std) + 2e-4).all()
    assert max(found.bias_std_m_s2) < 0.01


def test_hard_and_soft_iron(turns: tuple[Recording, np.void]) -> None:
    rec, p = turns
    found = magnetometer(rec).found
    truth = np.linalg.inv(p["mag_M"])
    truth *= 3 / np.trace(truth)
    assert (np.abs(np.array(found.hard_uT) - p["mag_hard"]) < 3 * np.array(found.hard_std_uT)).all()
    assert (np.abs(np.array(found.soft) - truth) < 3 * found.soft_std).all()
    assert max(found.hard_std_uT) < 0.2 and found.soft_std < 0.01


@pytest.mark.parametrize(
    ("words", "harm"),
    [
        ("0 magnetometer samples", lambda r: replace(r, mag=r.mag[:0], mag_t=r.mag_t[:0])),
        ("sectors|no ellipsoid", lambda r: replace(r, mag=r.mag[:400], mag_t=r.mag_t[:400])),
        ("magnets or motor", lambda r: replace(r, mag=r.mag * (1 + 0.2 * np.sin(9 * r.mag_t))[:, None])),
    ],
)
def test_magnetometer_refuses(turns: tuple[Recording, np.void], words: str, harm) -> None:
    with pytest.raises(UsageError, match=words):
        magnetometer(harm(turns[0]))


def test_antenna() -> None:
    rec, p = record({"kind": "speedflight"}, "hold", 50.0, antenna_m=(0.6, -0.3, -0.5))
    found = antenna(rec).found
    assert (np.abs(np.array(found.m) - p["gnss"]["antenna_B"]) < 3 * np.array(found.std_m)).all()
    assert max(found.std_m) < 0.03
    still, _ = record({"kind": "still"}, "hold", 30.0)
    with pytest.raises(UsageError, match="every direction|known to"):
        antenna(still)
