"""Samples on their way in: mounting, order, duplicates, clipping, freezing, age."""

from __future__ import annotations

import numpy as np
import pytest

from gimbal.records import MEAS, SENSE
from gimbal.sensors.encoders import ENCODER_PARAMS, ENCODER_STATE, measure_joints
from gimbal.sensors.imu import CLIPPED, CONSTANT, FUTURE, IMU_PARAMS, IMU_STATE, NON_FINITE, measure_imu

MS = 1_000_000


class Imu:
    def __init__(self):
        self.p = np.zeros(1, IMU_PARAMS)[0]
        self.p["gyro_CI"] = self.p["accel_CI"] = np.eye(3)
        self.p["gyro_range"], self.p["accel_range"], self.p["dt_s"] = 35.0, 157.0, 0.001
        self.s = np.zeros(1, IMU_STATE)[0]
        self.rng = np.random.default_rng(2)
        self.meas = np.zeros(1, MEAS)[0]

    def read(self, now, times, gyro=None, accel=None):
        sense = np.zeros(1, SENSE)[0]
        n = len(times)
        sense["t_ns"], sense["imu_n"] = now, n
        sense["imu_t_ns"][:n] = times
        sense["imu_gyro_I"][:n] = self.rng.normal(0, 0.01, (n, 3)) if gyro is None else gyro
        sense["imu_accel_I"][:n] = [0.0, 0.0, -9.81] if accel is None else accel
        measure_imu(self.p, self.s, sense, self.meas)
        return self.meas


@pytest.fixture
def imu():
    return Imu()


def test_every_sample_is_used_with_its_own_time(imu):
    m = imu.read(10 * MS, [7 * MS, 8 * MS, int(9.5 * MS)])
    assert m["imu_n"] == 3
    assert np.allclose(m["imu_dt_s"][:3], [0.001, 0.001, 0.0015])
    assert m["imu_age_ns"] == MS // 2


def test_old_and_repeated_times_are_dropped(imu):
    imu.read(10 * MS, [8 * MS, 9 * MS])
    assert imu.read(11 * MS, [8 * MS, 9 * MS, 10 * MS])["imu_n"] == 1
    assert imu.read(12 * MS, [])["imu_age_ns"] == 2 * MS


def test_mounting_bias_and_scale(imu):
    imu.p["gyro_CI"] = [[0, 1, 0], [-1, 0, 0], [0, 0, 1.01]]
    imu.p["gyro_bias_I"] = [0.1, 0.0, 0.0]
    m = imu.read(2 * MS, [MS], gyro=[[0.3, 0.2, 1.0]])
    assert np.allclose(m["gyro_C_meas"][0], [0.2, -0.2, 1.01])


def test_bad_samples_are_named(imu):
    assert imu.read(2 * MS, [MS], gyro=[[np.nan, 0, 0]])["imu_n"] == 0
    assert imu.meas["imu_status"] & NON_FINITE
    imu.read(3 * MS, [2 * MS], gyro=[[34.99, 0, 0]])
    assert imu.meas["imu_status"] & CLIPPED
    imu.read(4 * MS, [3 * MS])
    assert imu.meas["imu_status"] == 0


def test_a_sensor_that_repeats_itself_is_frozen(imu):
    for k in range(40):
        imu.read((k + 2) * MS, [(k + 1) * MS], gyro=[[0.1, 0.2, 0.3]])
    assert imu.meas["imu_status"] & CONSTANT
    imu.read(50 * MS, [49 * MS])
    assert not imu.meas["imu_status"] & CONSTANT


def test_a_stamp_from_the_future_hides_nothing(imu):
    imu.read(10 * MS, [9 * MS])
    m = imu.read(11 * MS, [60_000 * MS])
    assert m["imu_n"] == 0 and m["imu_status"] & FUTURE and m["imu_age_ns"] == 2 * MS
    assert imu.read(12 * MS, [11 * MS])["imu_n"] == 1


def test_before_the_first_sample_the_age_is_large(imu):
    assert imu.read(MS, [])["imu_age_ns"] >= 1000 * MS


def test_joints_keep_their_value_and_say_its_age():
    s, meas, sense = (np.zeros(1, d)[0] for d in (ENCODER_STATE, MEAS, SENSE))
    sense["t_ns"], sense["joint_valid"], sense["joint_t_ns"] = 10 * MS, [1, 1, 0], 9 * MS
    sense["joint_angle"] = [0.1, np.nan, 0.3]
    measure_joints(np.zeros(1, ENCODER_PARAMS)[0], s, sense, meas)
    assert list(meas["joint_new"]) == [1, 0, 0] and list(meas["joint_valid"]) == [1, 0, 0]
    assert meas["joint_age_ns"][0] == MS and meas["joint_age_ns"][2] >= 1000 * MS
    later = np.zeros(1, SENSE)[0]
    later["t_ns"] = 15 * MS
    measure_joints(np.zeros(1, ENCODER_PARAMS)[0], s, later, meas)
    assert meas["joint_angle_meas"][0] == 0.1 and meas["joint_age_ns"][0] == 6 * MS and not meas["joint_new"][0]
