"""Accelerometer bias and scale from resting positions: the norm of gravity is the same in all of them.

The readings of a resting accelerometer lie on an ellipsoid; bias and scale that turn it into the sphere of radius g are
found by least squares (Lotters et al., "Procedure for in-use calibration of triaxial accelerometers", Sensors and
Actuators A 68, 1998, doi 10.1016/S0924-4247(98)00056-3). A turn of the triad against the camera doesn't show in a norm.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from scipy.optimize import least_squares

from gimbal.calibrate.recording import Recording
from gimbal.calibrate.result import Panel, Result, mean_temp, triple, words
from gimbal.config import calibration
from gimbal.errors import UsageError
from gimbal.units import G0

STILL_RATE = 0.02  # rad/s, standard deviation inside a position
STILL_FORCE = 0.3  # m/s²
LEAST_S = 1.0
SAME_DEG = 20.0  # positions closer than this are one
MAX_RESIDUAL = 0.05  # m/s²: 5 mg
MAX_BIAS_STD = 0.02  # m/s²: worse means that the positions don't differ enough


class Accelerometer(NamedTuple):
    """force = scale * (reading - bias). ``*_std``: one sigma; ``residual``: |f| - g of each position, m/s²."""

    bias: np.ndarray
    scale: np.ndarray
    bias_std: np.ndarray
    scale_std: np.ndarray
    residual: np.ndarray


def resting_means(gyro: np.ndarray, accel: np.ndarray, rate_hz: float) -> np.ndarray:
    """Mean force (k, 3) of each second at rest in (n, 3) samples, positions that point alike joined."""
    n = max(int(LEAST_S * rate_hz), 2)
    means: list[list[np.ndarray]] = []
    for i in range(0, len(gyro) - n + 1, n):
        w, f = gyro[i : i + n], accel[i : i + n]
        if max(w.std(0)) > STILL_RATE or max(f.std(0)) > STILL_FORCE:
            continue
        mean = f.mean(0)
        for group in means:
            cosine = mean @ group[0] / (np.linalg.norm(mean) * np.linalg.norm(group[0]))
            if cosine > np.cos(np.radians(SAME_DEG)):
                group.append(mean)
                break
        else:
            means.append([mean])
    return np.array([np.mean(group, axis=0) for group in means]).reshape(-1, 3)


def six_positions(means: np.ndarray, gravity: float, mean_std: float) -> Accelerometer:
    """Bias and scale from the mean force (k, 3) in k positions; ``mean_std``: one sigma of a mean, m/s².

    Raises:
        UsageError: too few positions, positions that don't show an axis, or a residual that no scale and bias explain.
    """
    if len(means) < 7:
        raise UsageError(
            f"The recording has {len(means)} resting positions, 7 or more are needed (each axis up and down, and one "
            "askew to check the others). Hold each for 2 s without touching the camera and record again."
        )
    result = least_squares(
        lambda x: np.linalg.norm(x[3:] * (means - x[:3]), axis=1) - gravity, [0.0, 0.0, 0.0, 1.0, 1.0, 1.0]
    )
    if np.linalg.cond(result.jac / np.linalg.norm(result.jac, axis=0)) > 1e6:
        raise UsageError("The positions don't show every axis: turn each axis up and down once, then record again.")
    std = mean_std * np.sqrt(np.diag(np.linalg.inv(result.jac.T @ result.jac)))
    if max(std[:3]) > MAX_BIAS_STD:
        raise UsageError(
            f"The positions differ too little: the bias would be known to {max(std[:3]):.3f} m/s² only, "
            f"{MAX_BIAS_STD} is needed. Turn each axis up and down once, then record again."
        )
    rms = float(np.sqrt(np.mean(result.fun**2)))
    if rms > MAX_RESIDUAL:
        raise UsageError(
            f"No bias and scale explain the recording: {rms:.3f} m/s² are left, {MAX_RESIDUAL} is allowed. "
            "The camera moved in a position, or the sensor clips. Record again on a firm support."
        )
    return Accelerometer(result.x[:3], result.x[3:], std[:3], std[3:], result.fun)


def accelerometer(rec: Recording) -> Result:
    """Bias and scale from a recording in which the rig rested in seven positions or more.

    Raises:
        UsageError: as six_positions.
    """
    gravity = rec.rig.estimation.gravity_m_s2
    means = resting_means(rec.gyro, rec.accel, rec.rate_hz)
    noise = rec.rig.imu.accel_noise_ug_rtHz * 1e-6 * G0
    first = six_positions(means, gravity, max(noise, 1e-4))
    # what is left over beyond noise (bending, a scale that isn't constant) widens the figures
    free = max(len(means) - 6, 1)
    left = float(np.sqrt(np.sum(first.residual**2) / free))
    found = six_positions(means, gravity, max(left, noise, 1e-4))
    section = calibration.Accelerometer(
        date=rec.date,
        source=rec.source,
        temperature_degC=mean_temp(rec.temp),
        figures={"positions": len(means), "residual_m_s2_rms": round(float(np.sqrt(np.mean(found.residual**2))), 6)},
        bias_m_s2=triple(found.bias),
        bias_std_m_s2=triple(found.bias_std),
        scale=triple(found.scale),
        scale_std=triple(found.scale_std),
    )
    lines = [
        f"positions {len(means)}, residual {section.figures['residual_m_s2_rms'] * 1e3 / G0:.3f} mg RMS",
        f"bias     {words(found.bias / G0 * 1e3)} mg, 1 sigma {words(found.bias_std / G0 * 1e3)}",
        f"scale    {words(found.scale, 5)}, 1 sigma {words(found.scale_std, 5)}",
    ]
    number = np.arange(1.0, len(means) + 1)
    left_mg = found.residual[:, None] / G0 * 1e3
    before = (np.linalg.norm(means, axis=1)[:, None] - gravity) / G0 * 1e3
    panel = Panel(
        "Norm of the force less gravity", number, np.hstack([before, left_mg]), ("before", "after"), "position", "mg",
        dots=True,
    )  # fmt: skip
    return Result("accelerometer", section, lines, [panel])
