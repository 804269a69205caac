"""Noise densities and bias instability of a resting IMU by Allan deviation (IEEE Std 952-1997, annex C)."""

from __future__ import annotations

import allantools
import numpy as np

from gimbal.calibrate.gyro import seconds_at_rest
from gimbal.calibrate.recording import Recording
from gimbal.calibrate.result import Panel, Result, mean_temp
from gimbal.config.calibration import Noise
from gimbal.errors import UsageError
from gimbal.units import DEG, G0

LEAST_S = 120.0
MOST_K = 2.0
FLICKER = 0.664  # of the Allan deviation's floor to bias instability: sqrt(2 ln 2 / pi)


def allan(x: np.ndarray, rate_hz: float) -> tuple[np.ndarray, np.ndarray]:
    """(times in s, deviation (k, 3)) of samples (n, 3), overlapping, at octaves up to a ninth of the length."""
    taus = 2.0 ** np.arange(-6, np.log2(len(x) / rate_hz / 9.0))
    rows = [allantools.oadev(x[:, k], rate=rate_hz, data_type="freq", taus=taus) for k in range(3)]
    return rows[0][0], np.stack([row[1] for row in rows], axis=1)


def density(tau: np.ndarray, deviation: np.ndarray) -> np.ndarray:
    """(3,) white noise per root Hz, one-sided density: the line of slope -1/2, between 0.1 and 2 s."""
    use = (tau >= 0.1) & (tau <= 2.0)
    return np.sqrt(2.0) * np.median(deviation[use] * np.sqrt(tau[use])[:, None], axis=0)


def noise(rec: Recording) -> Result:
    """Densities and instabilities.

    Raises:
        UsageError: too short, or not at rest.
    """
    if rec.seconds < LEAST_S:
        raise UsageError(
            f"The recording is {rec.seconds:.0f} s long; Allan deviation needs {LEAST_S:g}, and an hour to show bias "
            "instability. Record longer, at rest."
        )
    share = seconds_at_rest(rec)[3]
    if share < 0.98:
        raise UsageError(
            f"The camera was at rest for {100 * share:.0f} % of the recording, 98 are needed. Motors off, firm ground, "
            "nobody near; record again."
        )
    warmed = np.ptp(rec.temp[np.isfinite(rec.temp)]) if np.isfinite(rec.temp).any() else 0.0
    if warmed > MOST_K:
        raise UsageError(
            f"The IMU warmed by {warmed:.1f} K meanwhile, {MOST_K:g} are allowed: its drift would pass for noise. "
            "Let it run for ten minutes, then record."
        )
    tau, gyro = allan(rec.gyro / DEG, rec.rate_hz)
    _, accel = allan(rec.accel / G0 * 1e6, rec.rate_hz)
    figures = [density(tau, gyro).max(), gyro.min(axis=0).max() / FLICKER * 3600.0,
               density(tau, accel).max(), accel.min(axis=0).max() / FLICKER]  # fmt: skip
    found = Noise(
        date=rec.date,
        source=rec.source,
        temperature_degC=mean_temp(rec.temp),
        figures={"seconds": round(rec.seconds, 1), "longest_tau_s": float(tau[-1])},
        gyro_noise_deg_s_rtHz=round(float(figures[0]), 6),
        gyro_instability_deg_h=round(float(figures[1]), 3),
        accel_noise_ug_rtHz=round(float(figures[2]), 2),
        accel_instability_ug=round(float(figures[3]), 2),
    )
    lines = [
        f"gyro     {figures[0]:.5f} deg/s/rtHz, instability {figures[1]:.2f} deg/h or less (worst axis)",
        f"accel    {figures[2]:.1f} ug/rtHz, instability {figures[3]:.1f} ug or less (worst axis)",
    ]
    axes = ("x", "y", "z")
    panels = [
        Panel("Allan deviation, gyro", tau, gyro, axes, "averaging time, s", "deg/s", log=True),
        Panel("Allan deviation, accelerometer", tau, accel, axes, "averaging time, s", "ug", log=True),
    ]
    return Result("noise", found, lines, panels)
