"""Gyro bias at rest, and its curve over temperature where the sensor warmed up meanwhile."""

from __future__ import annotations

import numpy as np

from gimbal.calibrate.recording import Recording
from gimbal.calibrate.result import Panel, Result, mean_temp, triple, words
from gimbal.config.calibration import Gyro
from gimbal.errors import UsageError
from gimbal.units import DEG

LEAST_S = 20.0
STILL_RATE = 0.3 * DEG  # rad/s, standard deviation of a second's mean
STILL_FORCE = 0.2  # m/s²
MAX_BIAS = 5.0 * DEG  # rad/s: more is no bias of a sensor of this class, the rig turned
CURVE_K, SQUARE_K = 3.0, 8.0  # warmed by this much, a slope, a parabola can be told


def seconds_at_rest(rec: Recording) -> tuple[np.ndarray, ...]:
    """Of each second at rest: time, mean rate (k, 3), mean temperature; and the share of seconds that were."""
    n = max(int(rec.rate_hz), 2)
    k = len(rec.t) // n
    cut = [x[: k * n].reshape(k, n, *x.shape[1:]) for x in (rec.t, rec.gyro, rec.accel, rec.temp)]
    t, gyro, temp = (x.mean(axis=1) for x in (cut[0], cut[1], cut[3]))
    middle = np.median(gyro, axis=0)
    force = cut[2].mean(axis=1)
    calm = (np.abs(gyro - middle) < STILL_RATE).all(axis=1)
    calm &= (np.abs(force - np.median(force, axis=0)) < STILL_FORCE).all(axis=1)
    return t[calm], gyro[calm], temp[calm], np.array(calm.mean() if k else 0.0)


def gyro(rec: Recording) -> Result:
    """Bias and curve.

    Raises:
        UsageError: too short, not at rest, turning, or a rate that is no bias.
    """
    t, rate, temp, share = seconds_at_rest(rec)
    if rec.seconds < LEAST_S:
        raise UsageError(f"The recording is {rec.seconds:.0f} s long, {LEAST_S:g} are needed. Record longer, at rest.")
    if share < 0.9:
        raise UsageError(
            f"The camera was at rest for {100 * share:.0f} % of the recording, 90 are needed. Switch the motors off, "
            "put the rig on firm ground away from fans and steps, and record again."
        )
    if np.abs(rate.mean(axis=0)).max() > MAX_BIAS:
        raise UsageError(
            f"The mean rate is {words(rate.mean(axis=0) / DEG)} deg/s: that is no bias, the rig turned steadily or the "
            "gyro is read in another unit. Check the driver's units, then record at rest."
        )
    known = np.isfinite(temp).all()
    span = float(np.ptp(temp)) if known else 0.0
    order = 2 if span > SQUARE_K else 1 if span > CURVE_K else 0
    reference = float(temp.mean()) if known else 0.0
    k = temp - reference if known else np.zeros(len(t))
    basis = np.stack([k**i for i in range(order + 1)], axis=1)
    values, *_ = np.linalg.lstsq(basis, rate, rcond=None)
    left = rate - basis @ values
    std = _std(basis, left)
    drift = rec.rig.imu.gyro_in_run_deg_h / 3600.0 * DEG  # what the bias does by itself between two recordings
    floor = np.concatenate([[drift], np.full(order, drift / max(span / 3.5, 1e-9))])[:, None]
    std = np.hypot(std, floor)
    full, full_std = np.zeros((3, 3)), np.zeros((3, 3))
    full[: order + 1], full_std[: order + 1] = values / DEG, std / DEG
    found = Gyro(
        date=rec.date,
        source=rec.source,
        temperature_degC=mean_temp(rec.temp),
        figures={
            "seconds": round(rec.seconds, 1),
            "at_rest": round(float(share), 3),
            "span_K": round(span, 2),
            "residual_deg_s_rms": round(float(np.sqrt(np.mean(left**2))) / DEG, 6),
        },
        bias_deg_s=triple(full[0]),
        bias_std_deg_s=triple(full_std[0]),
        reference_degC=round(reference, 3),
        bias_deg_s_K=triple(full[1]),
        bias_std_deg_s_K=triple(full_std[1]),
        bias_deg_s_K2=triple(full[2]),
    )
    curve = (
        ("no curve: it didn't warm up by 3 K", "a slope", "a parabola")[order] if known else "the IMU says no degrees"
    )
    lines = [
        f"bias     {words(full[0], 4)} deg/s, 1 sigma {words(full_std[0], 4)}",
        f"curve    {curve}; {words(full[1], 5)} deg/s/K over {span:.1f} K",
    ]
    axes = ("x", "y", "z")
    panels = [Panel("Gyro at rest less bias and curve, means of 1 s", t, left / DEG, axes, y_label="deg/s")]
    if known:
        panels.append(Panel("Gyro at rest over temperature", temp, rate / DEG, axes, "degC", "deg/s", dots=True))
    return Result("gyro", found, lines, panels)


def _std(basis: np.ndarray, left: np.ndarray) -> np.ndarray:
    """One sigma of each coefficient and axis; means of 16 s instead of 1 s tell how the noise adds up."""
    inverse = np.linalg.inv(basis.T @ basis)
    spread = left.std(axis=0, ddof=basis.shape[1])
    group = 16
    if len(left) >= 8 * group:
        means = left[: len(left) // group * group].reshape(-1, group, 3).mean(axis=1)
        spread = np.maximum(spread, means.std(axis=0, ddof=1) * np.sqrt(group))
    return np.sqrt(np.diag(inverse))[:, None] * spread
