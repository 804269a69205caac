"""Hard and soft iron: the readings of all directions lie on an ellipsoid; the sphere of the field's norm is asked for.

First the quadric by linear least squares (Li and Griffiths, "Least squares ellipsoid specific fitting", GMP 2004, doi
10.1109/GMAP.2004.1290055), then centre and symmetric matrix by the norm's residual. A rotation between magnetometer and
gyro doesn't show in a norm.
"""

from __future__ import annotations

import numpy as np
from scipy.optimize import least_squares

from gimbal.calibrate.recording import Recording
from gimbal.calibrate.result import Panel, Result, mean_temp, triple, words
from gimbal.config.calibration import Magnetometer
from gimbal.errors import UsageError

LEAST = 200
COVERED = 10  # of 14 sectors of the sphere
MAX_RESIDUAL = 0.06  # of the field
SECTORS = np.array([v for s in (1, -1) for v in ((s, 0, 0), (0, s, 0), (0, 0, s))]
                   + [(x, y, z) for x in (1, -1) for y in (1, -1) for z in (1, -1)], float)  # fmt: skip
SECTORS /= np.linalg.norm(SECTORS, axis=1)[:, None]


def quadric(m: np.ndarray) -> tuple[np.ndarray, np.ndarray] | None:
    """Centre and matrix A with |A (m - centre)| = 1 of the ellipsoid nearest to m (n, 3), or None if there is none."""
    scale = float(np.abs(m).max())
    x, y, z = (m / scale).T
    D = np.stack([x * x, y * y, z * z, 2 * y * z, 2 * x * z, 2 * x * y, 2 * x, 2 * y, 2 * z], axis=1)
    v, *_ = np.linalg.lstsq(D, np.ones(len(m)), rcond=None)
    Q = np.array([[v[0], v[5], v[4]], [v[5], v[1], v[3]], [v[4], v[3], v[2]]])
    try:
        centre = -np.linalg.solve(Q, v[6:])
    except np.linalg.LinAlgError:
        return None
    level = 1.0 + centre @ Q @ centre
    values, vectors = np.linalg.eigh(Q / level)
    if values.min() <= 0.0:
        return None
    return centre * scale, vectors @ np.diag(np.sqrt(values)) @ vectors.T / scale


def magnetometer(rec: Recording) -> Result:
    """Hard and soft iron.

    Raises:
        UsageError: no magnetometer, not turned every way, or a field that no ellipsoid explains.
    """
    m = rec.mag
    hint = "Turn the whole rig slowly so that each side faces down and north once, far from iron, and record again."
    if len(m) < LEAST:
        raise UsageError(
            f"The recording has {len(m)} magnetometer samples, {LEAST} are needed. Check that this IMU has one, and "
            'its driver reads it (vectornav: output = "full").'
        )
    first = quadric(m)
    if first is None:
        raise UsageError(f"The readings lie on no ellipsoid: too few directions, or magnets nearby. {hint}")
    unit = (m - first[0]) @ first[1].T
    nearest = np.argmax(unit @ SECTORS.T, axis=1)
    covered = len(set(nearest.tolist()))
    if covered < COVERED:
        raise UsageError(f"The readings cover {covered} of {len(SECTORS)} sectors, {COVERED} are needed. {hint}")

    def left(x: np.ndarray) -> np.ndarray:
        A = np.array([[x[3], x[6], x[7]], [x[6], x[4], x[8]], [x[7], x[8], x[5]]])
        return np.linalg.norm((m - x[:3]) @ A, axis=1) - 1.0

    A = first[1]
    start = [*first[0], A[0, 0], A[1, 1], A[2, 2], A[0, 1], A[0, 2], A[1, 2]]
    steady = f"{100 * MAX_RESIDUAL:.0f} are allowed: magnets or motor currents change with time. Motors off. {hint}"
    rough = float(np.sqrt(np.mean(left(np.array(start)) ** 2)))
    if rough > 1.5 * MAX_RESIDUAL:  # the finer fit would stretch the ellipsoid until it explains anything
        raise UsageError(f"{100 * rough:.0f} % of the field are left over, {steady}")
    best = least_squares(left, start, x_scale=np.maximum(np.abs(start), 1e-3), max_nfev=30)
    residual = left(best.x)
    rms = float(np.sqrt(np.mean(residual**2)))
    if rms > MAX_RESIDUAL:
        raise UsageError(f"{100 * rms:.0f} % of the field are left over, {steady}")
    block = max(len(m) // 200, 1)  # neighbouring samples share what disturbs them
    means = residual[: len(m) // block * block].reshape(-1, block).mean(axis=1)
    shared = max(1.0, float(np.sqrt(block * np.mean(means**2)) / rms))
    std = shared * rms * np.sqrt(np.diag(np.linalg.inv(best.jac.T @ best.jac)))
    a = best.x
    A = np.array([[a[3], a[6], a[7]], [a[6], a[4], a[8]], [a[7], a[8], a[5]]])
    field = 3.0 / float(np.trace(A))  # so that the matrix is 1 in the mean: uT stay uT
    soft = A * field
    found = Magnetometer(
        date=rec.date,
        source=rec.source,
        temperature_degC=mean_temp(rec.temp),
        figures={"samples": len(m), "sectors": covered, "residual_share_rms": round(rms, 5)},
        hard_uT=triple(a[:3], 4),
        hard_std_uT=triple(std[:3], 4),
        soft=(triple(soft[0]), triple(soft[1]), triple(soft[2])),
        soft_std=round(float(std[3:].max()) * field, 7),
        field_uT=round(field, 3),
    )
    lines = [
        f"hard     {words(a[:3], 2)} uT, 1 sigma {words(std[:3], 2)}",
        f"soft     {words(np.diag(soft), 4)}, cross {words((soft[0, 1], soft[0, 2], soft[1, 2]), 4)}, 1 sigma "
        f"{found.soft_std:.4f}",
        f"field    {field:.1f} uT, {100 * rms:.2f} % left over, {covered} of {len(SECTORS)} sectors",
    ]
    before = np.linalg.norm(m, axis=1) / np.linalg.norm(m, axis=1).mean() - 1.0
    panel = Panel("Norm of the field less its mean, share", rec.mag_t, np.stack([before, residual], axis=1),
                  ("before", "after"))  # fmt: skip
    return Result("magnetometer", found, lines, [panel])
