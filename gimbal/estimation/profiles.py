"""One parameter set per way of use. Values are physics of the sensors and of the motion, the reason beside each."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from gimbal.estimation.layout import BA, BG, ESTIMATION_PARAMS, MG, TH, N, V

DEG = math.pi / 180.0

ORIGIN = (0.0, 0.0, 0.0)
PROFILES = ("handheld", "flight", "vehicle")

# Packed per error state; the rest goes into the record under its own name.
VECTORS: dict[str, Any] = dict(
    tilt_std0=2.0 * DEG,
    gyro_bias_std0=0.5 * DEG,
    accel_bias_std0=0.05,
    gyro_scale_std0=0.01,
    gyro_cross_std0=0.007,
    gyro_noise=0.0010,
    accel_noise=0.05,
    gyro_bias_walk=1.5e-4,
    accel_bias_walk=1e-3,
    gyro_scale_walk=1e-6,
)

COMMON: dict[str, Any] = dict(
    gravity=9.80665,
    point_share=0.0,
    period=0.05,
    gyro_rate_noise=0.0015,
    vibration_noise=0.0,
    clip_noise=0.5,
    gyro_range=1e9,
    coarse_s=0.3,
    zero_vel_std=2.6,
    norm_gate=0.0,
    rest_s=1.5,
    rest_gyro=2.0 * DEG,
    rest_accel=0.5,
    rest_rate_max=2.0 * DEG,
    rest_vel_std=0.05,
    rest_gyro_std=0.2 * DEG,
    gnss_std_min=0.05,
    gnss_gate=16.0,
    gnss_latency_ns=0,
    gnss_latency_std=0.0,
    gnss_timeout_s=3.0,
    course_std=0.0,
    course_speed=3.0,
    heading_valid_std=20.0 * DEG,
    line_B=(1.0, 0.0, 0.0),
    declination=0.0,
    mag_std=0.3,
    mag_norm_tol=0.04,
    mag_dip_tol=3.0 * DEG,
    mag_tau_s=60.0,
    mag_gate=15.0 * DEG,
    bleed_s=0.0,
    order=(2, 0, 1),
    joint_bandwidth=2.0 * math.pi * 40.0,
)

# With GNSS: engines shake, bias is what a warm sensor leaves, log samples are points in time, receivers are late.
AIDED: dict[str, Any] = dict(
    point_share=0.5,
    accel_noise=0.15,
    accel_bias_std0=0.2,
    gyro_bias_walk=5e-5,
    tilt_std0=5.0 * DEG,
    coarse_s=0.5,
    gnss_gate=25.0,
    gnss_timeout_s=120.0,
)
CHANGES: dict[str, dict[str, Any]] = {
    "handheld": {},
    "flight": dict(AIDED, course_std=25.0 * DEG, norm_gate=2.0),  # wind and slip between nose and course
    "vehicle": dict(AIDED, course_std=5.0 * DEG),
}
BATCH_LATENCY: dict[str, Any] = dict(gnss_latency_ns=50_000_000, gnss_latency_std=0.02)  # logs stamp on arrival


def sensor_params(
    *,
    gyro_noise: float,
    gyro_bias: float,
    gyro_in_run: float,
    gyro_scale: float,
    misalignment: float,
    accel_noise: float,
    accel_bias: float,
) -> dict[str, Any]:
    """Changes for :func:`default_params` where the IMU is known, from its one-sigma figures after calibration.

    Args:
        gyro_noise: rad/s/√Hz. gyro_bias, gyro_in_run: rad/s. gyro_scale, misalignment: 1 and rad.
        accel_noise: m/s²/√Hz. accel_bias: m/s².

    Every figure is widened: data sheets are for a good day, and vibration adds what they don't name.
    """
    return dict(
        gyro_noise=max(3.0 * gyro_noise, 1e-4),
        gyro_bias_std0=1.5 * gyro_bias,
        gyro_bias_walk=max(gyro_in_run / 10.0, 1e-6),  # the in-run figure is reached in about 100 s
        gyro_scale_std0=1.5 * gyro_scale,
        gyro_cross_std0=1.5 * misalignment,
        gyro_rate_noise=3e-4,
        accel_noise=max(3.0 * accel_noise, 0.02),
        accel_bias_std0=1.5 * accel_bias,
        accel_bias_walk=accel_bias / 100.0,
    )


def default_params(profile: str, dt_s: float, **changes: Any) -> np.ndarray:
    """Parameters of a profile as a one-element array of ESTIMATION_PARAMS.

    Args:
        profile: "handheld", "flight" or "vehicle".
        dt_s: time between IMU samples, or the tick.
        changes: other values for names in COMMON or VECTORS, or ``antenna_B``, ``origin_m``, ``imu_C``, in SI units.

    Raises:
        ValueError: an unknown profile or name.
    """
    if profile not in PROFILES:
        raise ValueError(f"profile is {profile!r}; it may be {', '.join(PROFILES)}")
    values = {**COMMON, **VECTORS, "dt": dt_s, "antenna_B": ORIGIN, "origin_m": (ORIGIN,) * 3, "imu_C": ORIGIN}
    for name, value in {**CHANGES[profile], **changes}.items():
        if name not in values:
            raise ValueError(f"{name} is no parameter of the estimator; they are {', '.join(values)}")
        values[name] = value
    p = np.zeros(1, ESTIMATION_PARAMS)
    for name in values.keys() - VECTORS.keys():
        p[name] = values[name]
    _pack_vectors(p[0], values)
    return p


def _pack_vectors(p: Any, v: dict[str, Any]) -> None:
    std0, walk, bound = p["std0"], p["walk"], p["bound"]
    cross = np.full((3, 3), v["gyro_cross_std0"])
    np.fill_diagonal(cross, v["gyro_scale_std0"])
    std0[TH:BG] = v["tilt_std0"], v["tilt_std0"], 1e-3  # heading is 0 by definition until something measures it
    std0[BG:V] = v["gyro_bias_std0"]
    std0[V:BA] = v["zero_vel_std"]
    std0[BA:MG] = v["accel_bias_std0"]
    std0[MG:N] = cross.ravel()
    walk[TH:BG] = v["gyro_noise"] ** 2
    walk[BG:V] = v["gyro_bias_walk"] ** 2
    walk[V:BA] = v["accel_noise"] ** 2
    walk[BA:MG] = v["accel_bias_walk"] ** 2
    walk[MG:N] = v["gyro_scale_walk"] ** 2
    bound[TH:BG] = 1.0
    bound[BG:V] = 0.3  # rad/s
    bound[V:BA] = 1000.0  # m/s
    bound[BA:MG] = 5.0  # m/s²
    bound[MG:N] = 0.3
