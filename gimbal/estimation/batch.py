"""The same estimator over arrays: ``gimbal.estimate_attitude``."""

from __future__ import annotations

import math
import warnings
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from gimbal.estimation.attitude import inject
from gimbal.estimation.estimate import estimate_reset
from gimbal.estimation.layout import BG, COARSE, ESTIMATION_STATE, X_VEL, X_VEL_STD
from gimbal.estimation.mm_gnss import take_fix
from gimbal.estimation.mm_heading import mag_sample, use_field
from gimbal.estimation.odd_input import odd_input
from gimbal.estimation.profiles import BATCH_LATENCY, default_params
from gimbal.estimation.step import sample, work
from gimbal.kernels.build import kernel
from gimbal.kernels.quat import load4, q_rotate, store3

GNSS_VEL_STD = 0.39  # m/s, of a receiver that doesn't say


@dataclass(frozen=True)
class Attitude:
    """Result of :func:`estimate_attitude`, one row per IMU sample."""

    q_NC: np.ndarray  # (n, 4) Hamilton, scalar first, C-vectors to N
    gyro_bias: np.ndarray  # (n, 3) rad/s
    tilt_std: np.ndarray  # (n,) rad
    heading_std: np.ndarray  # (n,) rad
    status: np.ndarray  # (n,) uint32, bits of gimbal.estimation.layout
    notes: tuple[str, ...] = ()  # what was odd about the input
    state: np.ndarray = field(default_factory=lambda: np.zeros(1, ESTIMATION_STATE), repr=False)  # at the end


@kernel
def run(params, state, gyro, accel, mag, dt, fix_k, fix_ns, fixes, out_q, out_bg, out_std, out_status):
    """All samples through the step. mag and fixes may be empty arrays; fix_k is the first row that knows the fix."""
    p = params[0]
    s = state[0]
    estimate_reset(p, s)
    j = 0
    tilt = 0.0
    heading = 0.0
    for k in range(gyro.shape[0]):
        g = (gyro[k, 0], gyro[k, 1], gyro[k, 2])
        a = (accel[k, 0], accel[k, 1], accel[k, 2])
        sample(p, s, g, a, int(k * dt * 1e9 + 0.5))
        while j < fix_k.shape[0] and fix_k[j] <= k:
            store3(s["nose_N"], q_rotate(load4(s["q"]), (1.0, 0.0, 0.0)))
            take_fix(s, fix_ns[j], fixes[j])
            j += 1
        if mag.shape[0] > 0:
            mag_sample(s, (mag[k, 0], mag[k, 1], mag[k, 2]))
        epoch, phase = s["epoch_ns"], s["phase"]
        work(p, s)
        if mag.shape[0] > 0 and s["epoch_ns"] != epoch and not s["status"] & COARSE:
            use_field(p, s)
            inject(p, s)
        for i in range(4):
            out_q[k, i] = s["q"][i]
        for i in range(3):
            out_bg[k, i] = s["x"][BG + i]
        if s["phase"] != phase or k < 2 or s["status"] & COARSE:  # only then has P changed
            tilt = math.sqrt(0.5 * (s["P"][0, 0] + s["P"][1, 1]))
            heading = math.sqrt(s["P"][2, 2] + s["heading_var"])
        out_std[k, 0] = tilt
        out_std[k, 1] = heading
        out_status[k] = s["status"]


def estimate_attitude(
    gyro: Any,
    accel: Any,
    rate_hz: float,
    *,
    mag: Any = None,
    gnss_t: Any = None,
    gnss_vel_N: Any = None,
    gnss_vel_std: Any = None,
    profile: str | None = None,
    gravity_m_s2: float = 9.80665,
    _changes: dict[str, Any] | None = None,
) -> Attitude:
    """Attitude of a recording, sample by sample: row k uses samples up to k, and fix j from ``gnss_t[j]`` on.

    Args:
        gyro: (n, 3) rad/s, in C.
        accel: (n, 3) m/s², specific force in C; at rest and level 0, 0, -g.
        rate_hz: samples a second.
        mag: (n, 3) field in C, µT (only its direction and steadiness matter); corrects heading, never tilt.
        gnss_t: (m,) s from sample 0, rising.
        gnss_vel_N: (m, 3) m/s, north east down.
        gnss_vel_std: (m,) or one value, m/s; by default 0.39.
        profile: "handheld" (default without GNSS), "flight" (default with it) or "vehicle".
        gravity_m_s2: where the recording was made.

    Rows that are not finite are passed over and counted in ``notes``, as is input that looks like another unit.

    Raises:
        ValueError: names the argument whose shape, order or value can't be used.
    """
    if not (np.ndim(rate_hz) == 0 and math.isfinite(rate_hz) and rate_hz > 0):
        raise ValueError(f"rate_hz is {rate_hz!r}; it must be a number of samples a second above 0")
    if not (math.isfinite(gravity_m_s2) and 1.0 < gravity_m_s2 < 30.0):
        raise ValueError(f"gravity_m_s2 is {gravity_m_s2!r}; on earth it is 9.76 to 9.84 m/s²")
    g = _rows("gyro", gyro)
    a = _rows("accel", accel, len(g))
    m = np.zeros((0, 3)) if mag is None else _rows("mag", mag, len(g))
    t, fixes = _fixes(gnss_t, gnss_vel_N, gnss_vel_std)
    profile = profile or ("handheld" if gnss_t is None else "flight")
    late = BATCH_LATENCY if len(t) else {}
    p = default_params(profile, 1.0 / rate_hz, gravity=gravity_m_s2, **{**late, **(_changes or {})})
    notes = odd_input(g, a, rate_hz, gravity_m_s2, fixes)
    for note in notes:
        warnings.warn(note, stacklevel=2)

    n = len(g)
    s = np.zeros(1, ESTIMATION_STATE)
    out = np.empty((n, 4)), np.empty((n, 3)), np.empty((n, 2)), np.zeros(n, np.uint32)
    fix_k = np.ceil(t * rate_hz - 1e-6).astype(np.int64)
    run(p, s, g, a, m, 1.0 / rate_hz, fix_k, np.round(t * 1e9).astype(np.int64), fixes, *out)
    return Attitude(out[0], out[1], out[2][:, 0], out[2][:, 1], out[3], notes, s)


def _rows(name: str, values: Any, n: int | None = None) -> np.ndarray:
    try:
        rows = np.ascontiguousarray(values, dtype=np.float64)
    except (TypeError, ValueError) as error:
        raise ValueError(f"{name} can't be read as an array of numbers ({error})") from None
    if rows.ndim != 2 or rows.shape[1] != 3 or len(rows) == 0:
        raise ValueError(f"{name} has shape {rows.shape}; it must be (n, 3) with at least one row")
    if n is not None and len(rows) != n:
        raise ValueError(f"{name} has {len(rows)} rows, gyro has {n}: one a sample is needed")
    return rows


def _fixes(gnss_t: Any, vel: Any, std: Any) -> tuple[np.ndarray, np.ndarray]:
    """Times (m,) and fixes (m, 8) as the filter takes them."""
    if gnss_t is None and vel is None:
        if std is not None:
            raise ValueError("gnss_vel_std is given without gnss_t and gnss_vel_N")
        return np.zeros(0), np.zeros((0, 8))
    if gnss_t is None or vel is None:
        missing = "gnss_t" if gnss_t is None else "gnss_vel_N"
        raise ValueError(f"{missing} is missing: gnss_t and gnss_vel_N go together")
    t = np.ascontiguousarray(gnss_t, dtype=np.float64)
    if t.ndim != 1:
        raise ValueError(f"gnss_t has shape {t.shape}; it must be (m,)")
    if not np.isfinite(t).all() or np.abs(t).max(initial=0.0) > 1e9:
        raise ValueError("gnss_t has values that are not finite: leave fixes without a time out")
    if (np.diff(t) < 0).any():
        first = int(np.argmax(np.diff(t) < 0)) + 1
        raise ValueError(f"gnss_t goes back at index {first} ({t[first - 1]} s to {t[first]} s); it must be sorted")
    fixes = np.zeros((len(t), 8))
    v = np.asarray(vel, dtype=np.float64)
    if v.shape != (len(t), 3):
        raise ValueError(f"gnss_vel_N has shape {v.shape}; with gnss_t of {len(t)} it must be ({len(t)}, 3)")
    fixes[:, X_VEL : X_VEL + 3] = v
    sigma = np.asarray(GNSS_VEL_STD if std is None else std, dtype=np.float64)
    if sigma.ndim > 1 or (sigma.ndim == 1 and len(sigma) != len(t)):
        raise ValueError(f"gnss_vel_std has shape {sigma.shape}; it must be one value or ({len(t)},)")
    fixes[:, X_VEL_STD] = sigma
    return t, fixes
