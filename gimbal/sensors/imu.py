"""IMU samples: device axes -> calibrated SI in camera axes, each checked on its way in."""

from __future__ import annotations

import math

import numpy as np

from gimbal.kernels.build import kernel
from gimbal.kernels.mat import mat3_vec
from gimbal.kernels.quat import load3, store3, sub3

CLIPPED, LOST, CONSTANT, NON_FINITE, FUTURE = 1, 2, 4, 8, 16  # bits of MEAS.imu_status
AHEAD_NS = 5_000_000  # a stamp further ahead of the tick than this is wrong: it would hide that nothing comes any more
BEYOND = 1.05  # times its range: no sensor can read that, so it is no number either
NEVER_NS = 1_000_000_000  # the age of what never came
CONSTANT_AFTER = 24  # identical gyro samples in a row: a live sensor's noise never repeats that long
COARSE_AFTER = 8  # gyro and accelerometer together, where a gyro alone may well read the same at rest

IMU_PARAMS = np.dtype(
    [
        ("gyro_CI", "f8", (3, 3)),  # scale, misalignment and mount in one: omega_C = gyro_CI (raw - bias)
        ("gyro_bias_I", "f8", 3),
        ("gyro_bias_K", "f8", 3),  # of the bias, per K from reference_degC, and per K²
        ("gyro_bias_K2", "f8", 3),
        ("reference_degC", "f8"),
        ("accel_CI", "f8", (3, 3)),
        ("accel_bias_I", "f8", 3),
        ("gyro_range", "f8"),  # rad/s
        ("accel_range", "f8"),  # m/s²
        ("dt_s", "f8"),  # nominal sample time
        ("coarse", "u1"),  # a gyro that reads the same at rest is not stuck: its accelerometer must repeat itself too
        ("mag_CI", "f8", (3, 3)),  # soft iron and mount: field_C = mag_CI (reading - hard)
        ("mag_hard_I", "f8", 3),
        ("mag_on", "u1"),  # calibrated: the magnetometer may be used
    ],
    align=True,
)
IMU_STATE = np.dtype([("t_ns", "i8"), ("last_I", "f8", 6), ("repeats", "i4"), ("started", "u1")], align=True)


@kernel
def _finite(a, b):
    return math.isfinite(a[0] + a[1] + a[2] + b[0] + b[1] + b[2])


@kernel
def gyro_bias(p, temp_degC):
    """Bias at a temperature; at 0, which stands for not given, at the reference."""
    k = temp_degC - p["reference_degC"] if temp_degC != 0.0 else 0.0
    b, k1, k2 = p["gyro_bias_I"], p["gyro_bias_K"], p["gyro_bias_K2"]
    return (
        b[0] + k * (k1[0] + k * k2[0]),
        b[1] + k * (k1[1] + k * k2[1]),
        b[2] + k * (k1[2] + k * k2[2]),
    )


@kernel
def measure_field(p, sense, meas):
    """The magnetometer's sample in camera axes; none before it was calibrated: magnets nearby would turn heading."""
    use = p["mag_on"] != 0 and sense["mag_valid"] != 0
    raw = load3(sense["mag_I"])
    meas["mag_valid"] = 1 if use and math.isfinite(raw[0] + raw[1] + raw[2]) else 0
    field = mat3_vec(p["mag_CI"], sub3(raw, load3(p["mag_hard_I"])))
    for i in range(3):
        meas["mag_C_meas"][i] = field[i]


@kernel
def _beyond(v, most):
    return abs(v[0]) > most or abs(v[1]) > most or abs(v[2]) > most


@kernel
def sift(p, s, gyro, accel, t_ns, now_ns):
    """Is a sample fit to be used? (yes, bits of MEAS.imu_status). One that is not newer than the last is none."""
    if s["started"] and t_ns <= s["t_ns"]:
        return False, 0
    if t_ns > now_ns + AHEAD_NS:
        return False, FUTURE
    if not _finite(gyro, accel) or _beyond(gyro, BEYOND * p["gyro_range"]) or _beyond(accel, BEYOND * p["accel_range"]):
        return False, NON_FINITE
    last, same, status = s["last_I"], True, 0
    for i in range(3):
        same = (
            same and last[i] == gyro[i] and (not p["coarse"] or last[3 + i] == accel[i])
        )  # a stuck gyro alone turns the camera, and hides that it does
        last[i] = gyro[i]
        last[3 + i] = accel[i]
        if abs(gyro[i]) > 0.995 * p["gyro_range"] or abs(accel[i]) > 0.995 * p["accel_range"]:
            status |= CLIPPED
    s["repeats"] = s["repeats"] + 1 if same else 0
    return True, status


@kernel
def measure_imu(p, s, sense, meas):
    """Fill the IMU part of MEAS from SENSE. Samples not newer than the last one are dropped."""
    n = 0
    status = sense["imu_status"] & 3
    bias = gyro_bias(p, sense["imu_temp_degC"])
    for k in range(min(max(sense["imu_n"], 0), 8)):
        t_ns = sense["imu_t_ns"][k]
        gyro = load3(sense["imu_gyro_I"][k])
        accel = load3(sense["imu_accel_I"][k])
        good, bits = sift(p, s, gyro, accel, t_ns, sense["t_ns"])
        status |= bits
        if not good:
            continue
        meas["imu_t_ns"][n] = t_ns
        meas["imu_dt_s"][n] = 1e-9 * (t_ns - s["t_ns"]) if s["started"] else p["dt_s"]
        store3(meas["gyro_C_meas"][n], mat3_vec(p["gyro_CI"], sub3(gyro, bias)))
        store3(meas["accel_C_meas"][n], mat3_vec(p["accel_CI"], sub3(accel, load3(p["accel_bias_I"]))))
        s["t_ns"] = t_ns
        s["started"] = 1
        n += 1
    if s["repeats"] >= CONSTANT_AFTER:
        status |= CONSTANT
    meas["imu_n"] = n
    meas["imu_status"] = status
    meas["imu_age_ns"] = sense["t_ns"] - s["t_ns"] if s["started"] else NEVER_NS


@kernel
def measure_carrier(p, s, sense, meas):
    """The same of the carrier's IMU, in the base's axes. One that is stuck has no samples."""
    n = 0
    status = sense["carrier_status"] & 3
    for k in range(min(max(sense["carrier_n"], 0), 4)):
        t_ns = sense["carrier_t_ns"][k]
        gyro = load3(sense["carrier_gyro_I"][k])
        accel = load3(sense["carrier_accel_I"][k])
        good, bits = sift(p, s, gyro, accel, t_ns, sense["t_ns"])
        status |= bits
        if good and s["repeats"] < COARSE_AFTER:
            meas["carrier_t_ns"][n] = t_ns
            store3(meas["carrier_gyro_B_meas"][n], mat3_vec(p["gyro_CI"], sub3(gyro, load3(p["gyro_bias_I"]))))
            store3(meas["carrier_accel_B_meas"][n], mat3_vec(p["accel_CI"], sub3(accel, load3(p["accel_bias_I"]))))
            s["t_ns"] = t_ns
            s["started"] = 1
            n += 1
    if s["repeats"] >= COARSE_AFTER:
        status |= CONSTANT
    meas["carrier_n"] = n
    meas["carrier_status"] = status
    meas["carrier_age_ns"] = sense["t_ns"] - s["t_ns"] if s["started"] else NEVER_NS
