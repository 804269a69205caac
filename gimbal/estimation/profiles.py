"""One parameter set per way of use. Values are physics of the sensors and of the motion, the reason beside each."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from gimbal.estimation.layout import ESTIMATION_PARAMS

DEG = math.pi / 180.0

PROFILES = ("handheld", "flight", "vehicle")

COMMON: dict[str, Any] = dict(
    gravity=9.80665,
    period=0.05,
    gyro_noise=0.0010,
    gyro_rate_noise=0.0010,
    accel_noise=0.05,
    vibration_noise=0.0,
    gyro_bias_walk=2e-5,
    accel_bias_walk=1e-3,
    gyro_scale_walk=0.0,
    clip_noise=0.5,
    gyro_range=1e9,
    tilt_std0=2.0 * DEG,
    gyro_bias_std0=0.5 * DEG,
    accel_bias_std0=0.10,
    gyro_scale_std0=0.01,
    gyro_cross_std0=0.005,
    accel_scale_std0=0.005,
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
    gnss_timeout_s=3.0,
    course_std=0.0,
    course_speed=3.0,
    heading_valid_std=20.0 * DEG,
    mag_std=6.0 * DEG,
    mag_norm_tol=0.1,
    mag_dip_tol=5.0 * DEG,
    mag_ref_tau=60.0,
    bleed_s=0.0,
    order=(2, 0, 1),
    joint_bandwidth=2.0 * math.pi * 25.0,
    dt=0.001,
)

CHANGES: dict[str, dict[str, Any]] = {
    "handheld": {},
    "flight": dict(accel_noise=0.1, course_std=25.0 * DEG, gnss_timeout_s=120.0, norm_gate=2.0, tilt_std0=5.0 * DEG),
    "vehicle": dict(accel_noise=0.1, course_std=5.0 * DEG, gnss_timeout_s=120.0, tilt_std0=5.0 * DEG),
}


def default_params(profile: str, dt_s: float, **changes: Any) -> np.ndarray:
    """Parameters of a profile as a one-element array of ESTIMATION_PARAMS.

    Args:
        profile: "handheld", "flight" or "vehicle".
        dt_s: time between IMU samples, or the tick.
        changes: fields of ESTIMATION_PARAMS to set instead, in their SI units.

    Raises:
        ValueError: an unknown profile or field.
    """
    if profile not in PROFILES:
        raise ValueError(f"profile is {profile!r}; it may be {', '.join(PROFILES)}")
    p = np.zeros(1, ESTIMATION_PARAMS)
    for name, value in {**COMMON, **CHANGES[profile], "dt": dt_s, **changes}.items():
        if name not in ESTIMATION_PARAMS.names:
            raise ValueError(f"{name} is no parameter of the estimator; they are {', '.join(ESTIMATION_PARAMS.names)}")
        p[name] = value
    return p
