"""What is odd about a recording, in words: other units, a dead sensor, rows that are not numbers."""

from __future__ import annotations

import numpy as np

from gimbal.estimation.layout import X_VEL, X_VEL_STD

START_S = 10.0  # judged on the first seconds
FASTEST = 35.0  # rad/s: 2000 °/s, the range of nearly every gyro
SUSTAINED = 10.0  # rad/s for half the time: no carrier turns so


def odd_input(
    gyro: np.ndarray, accel: np.ndarray, rate_hz: float, gravity: float, fixes: np.ndarray
) -> tuple[str, ...]:
    """Notes on gyro (n, 3) rad/s, accel (n, 3) m/s² and fixes (m, 8); empty where all is as it should be."""
    notes = []
    n = max(int(START_S * rate_hz), 1)
    bad = np.zeros(len(gyro), bool)
    if not np.isfinite(gyro.sum() + accel.sum()):  # rarely: the rows are looked at one by one only then
        bad = ~(np.isfinite(gyro).all(1) & np.isfinite(accel).all(1))
    if bad.any():
        notes.append(f"{int(bad.sum())} of {len(bad)} samples are not finite and were passed over")
    good = ~bad[:n]
    if not good.any():
        return (*notes, "the start has no finite sample")
    notes += _units(np.linalg.norm(gyro[:n][good], axis=1), np.linalg.norm(accel[:n][good], axis=1), gravity)
    for name, values in (("gyro", gyro), ("accel", accel)):
        if len(values) > 100 and (values[:100] == values[0]).all() and (values == values[0]).all():
            notes.append(f"{name} never changes: a sensor that is switched off or a stuck reading")
    unusable = ~(np.isfinite(fixes[:, X_VEL : X_VEL + 3]).all(1) & (fixes[:, X_VEL_STD] > 0))
    if unusable.any():
        notes.append(f"{int(unusable.sum())} of {len(fixes)} GNSS fixes have no velocity or no accuracy: rejected")
    return tuple(notes)


def _units(rate: np.ndarray, force: np.ndarray, gravity: float) -> list[str]:
    notes = []
    typical = float(np.median(force))
    if 0.7 < typical < 1.4:
        notes.append(f"accel looks like g, not m/s²: its norm is {typical:.2f}; multiply by 9.80665")
    elif 0.7 < typical / gravity / 100.0 < 1.4 or 0.7 < typical / 1000.0 < 1.4:
        notes.append(f"accel looks like cm/s² or thousandths of g, not m/s²: its norm is {typical:.0f}")
    elif typical < 0.5:
        notes.append(f"accel has a norm of {typical:.2f} m/s²: gravity was taken out of it; specific force is needed")
    fast, usual = float(np.percentile(rate, 99)), float(np.median(rate))
    if fast > FASTEST or usual > SUSTAINED:
        notes.append(f"gyro looks like °/s, not rad/s: it reaches {fast:.0f}; multiply by pi/180")
    return notes
