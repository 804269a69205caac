"""Recorded flights as targets: FlySight CSV (both hardware generations) and npz with t, pos, vel.

Formats: FlySight 1 has a header line of names, a line of units, then rows; FlySight 2 has $-lines, among them
``$COL,GNSS,...`` with the names, and rows that begin with ``$GNSS`` (github.com/sco1/pyflysight, doc/data_format.md).
The npz holds t (s), pos (m) and vel (m/s) in north, east, down.
"""

from __future__ import annotations

import csv
import math
import zipfile
from datetime import datetime
from pathlib import Path

import numpy as np

from gimbal.errors import ConfigError

MIN_FIXES, MAX_GAP_S = 10, 5.0
_EARTH_A, _EARTH_E2 = 6378137.0, 6.69437999014e-3  # WGS 84
_COLUMNS = ("time", "lat", "lon", "hMSL", "velN", "velE", "velD")


def load(path: str | Path, start_s: float = 0.0) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Times (n,) s from the first fix used, positions and velocities (n, 3) in N, positions from the first fix.

    Args:
        start_s: leaves out the recording's first seconds.

    Raises:
        ConfigError: the file is missing, no track, has fewer than ten fixes, times that go back or gaps over 5 s.
    """
    path = Path(path)
    if not path.is_file():
        raise ConfigError(
            f"There is no track file {path}. Give the path of a FlySight CSV or of an npz with t, pos and vel."
        )
    t, pos, vel = _npz(path) if path.suffix.lower() == ".npz" else _flysight(path)
    _check(path, t, pos, vel)
    keep = t - t[0] >= start_s
    if int(keep.sum()) < MIN_FIXES:
        raise ConfigError(
            f"Track {path}: after start_s = {start_s} s only {int(keep.sum())} fixes are left of a recording of "
            f"{t[-1] - t[0]:.1f} s; at least {MIN_FIXES} are needed. Start earlier."
        )
    t, pos, vel = t[keep], pos[keep], vel[keep]
    return t - t[0], pos - pos[0], vel


def _check(path: Path, t: np.ndarray, pos: np.ndarray, vel: np.ndarray) -> None:
    if t.size < MIN_FIXES:
        raise ConfigError(
            f"Track {path} has {t.size} fixes; at least {MIN_FIXES} are needed to fly it. Record longer, or take "
            "another file."
        )
    if not (np.isfinite(t).all() and np.isfinite(pos).all() and np.isfinite(vel).all()):
        row = int(np.argmin(np.isfinite(t) & np.isfinite(pos).all(axis=1) & np.isfinite(vel).all(axis=1)))
        raise ConfigError(f"Track {path}: fix {row + 1} holds a value that is not a number. Remove that row.")
    steps = np.diff(t)
    if (steps <= 0.0).any():
        row = int(np.argmax(steps <= 0.0))
        raise ConfigError(
            f"Track {path}: time goes back or stands still at fix {row + 2} ({t[row]:.3f} s, then {t[row + 1]:.3f} s). "
            "Times must rise; remove the rows that don't, or cut the file there."
        )
    if (steps > MAX_GAP_S).any():
        row = int(np.argmax(steps > MAX_GAP_S))
        raise ConfigError(
            f"Track {path}: a gap of {steps[row]:.1f} s after fix {row + 1} (at {t[row] - t[0]:.1f} s). Over "
            f"{MAX_GAP_S:.0f} s the flight between can't be guessed; cut the file there or choose a part with start_s."
        )


def _wrong(path: Path, why: str) -> ConfigError:
    return ConfigError(
        f"Track {path} can't be read: {why}. A track is a FlySight CSV (columns {', '.join(_COLUMNS)}) or an npz with "
        "arrays t (n,), pos (n, 3) and vel (n, 3) in m and m/s north, east, down."
    )


def _npz(path: Path) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    try:
        with np.load(path, allow_pickle=False) as data:
            missing = [k for k in ("t", "pos", "vel") if k not in data.files]
            if missing:
                raise _wrong(path, f"it has no array {', '.join(missing)}")
            t, pos, vel = (np.asarray(data[k], dtype=np.float64) for k in ("t", "pos", "vel"))
    except (OSError, ValueError, TypeError, zipfile.BadZipFile) as error:
        raise _wrong(path, f"it is no npz file ({error})") from error
    if t.ndim != 1 or pos.shape != (t.size, 3) or vel.shape != (t.size, 3):
        raise _wrong(path, f"shapes are t {t.shape}, pos {pos.shape}, vel {vel.shape}")
    return t, pos, vel


def _flysight(path: Path) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    try:
        text = path.read_text(encoding="utf-8-sig")
    except (UnicodeDecodeError, OSError) as error:
        raise _wrong(path, f"it is not text ({type(error).__name__})") from error
    names: list[str] = []
    rows: list[tuple[int, dict[str, str]]] = []
    for number, cells in enumerate(csv.reader(text.splitlines()), 1):
        cells = [c.strip() for c in cells]
        if cells[:2] == ["$COL", "GNSS"]:
            names = cells[2:]
        elif cells[:1] == ["$GNSS"]:
            rows.append((number, dict(zip(names, cells[1:], strict=False))))
        elif not names and "time" in cells and not cells[0].startswith("$"):
            names = cells
        elif names and cells and cells[0][:1].isdigit():
            rows.append((number, dict(zip(names, cells, strict=False))))
    missing = [c for c in _COLUMNS if c not in names]
    if missing:
        raise _wrong(path, f"it has no column {', '.join(missing)}")
    table = np.array([_values(path, number, row) for number, row in rows]).reshape(-1, 7)
    return table[:, 0], _local(table[:, 1], table[:, 2], table[:, 3]), table[:, 4:7]


def _values(path: Path, number: int, row: dict[str, str]) -> list[float]:
    try:
        stamp = datetime.fromisoformat(row["time"].replace("Z", "+00:00")).timestamp()
        return [stamp, *(float(row[c]) for c in _COLUMNS[1:])]
    except (KeyError, ValueError) as error:
        raise _wrong(path, f"line {number} is no fix ({error})") from error


def _local(lat_deg: np.ndarray, lon_deg: np.ndarray, height_m: np.ndarray) -> np.ndarray:
    """North, east, down from the first fix, with the ellipsoid's radii there."""
    if lat_deg.size == 0:
        return np.zeros((0, 3))
    s = math.sin(math.radians(lat_deg[0]))
    n = _EARTH_A / math.sqrt(1.0 - _EARTH_E2 * s * s)
    m = n * (1.0 - _EARTH_E2) / (1.0 - _EARTH_E2 * s * s)
    north = np.radians(lat_deg - lat_deg[0]) * (m + height_m[0])
    east = np.radians(lon_deg - lon_deg[0]) * (n + height_m[0]) * math.cos(math.radians(lat_deg[0]))
    return np.column_stack([north, east, height_m[0] - height_m])


def smooth(t: np.ndarray, pos: np.ndarray, vel: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Positions, velocities, accelerations (n, 3) by a Rauch-Tung-Striebel smoother with white jerk.

    H. E. Rauch, F. Tung, C. T. Striebel, AIAA J. 3(8), 1965, doi 10.2514/3.3166. The three axes share the gains.
    """
    n = t.size
    R = np.diag([0.3**2, 0.1**2])  # m, m/s of a fix against its neighbours
    H = np.eye(2, 3)
    x, P = np.vstack([pos[0], vel[0], np.zeros(3)]), np.diag([0.3**2, 0.1**2, 9.0])
    xs, Ps, xp, Pp, Fs = [x], [P], [x], [P], [np.eye(3)]
    for i in range(1, n):
        F, Q = _white_jerk(t[i] - t[i - 1])
        x, P = F @ x, F @ P @ F.T + Q
        xp.append(x)
        Pp.append(P)
        Fs.append(F)
        K = P @ H.T @ np.linalg.inv(H @ P @ H.T + R)
        x = x + K @ (np.vstack([pos[i], vel[i]]) - H @ x)
        P = (np.eye(3) - K @ H) @ P
        xs.append(x)
        Ps.append(P)
    for i in range(n - 2, -1, -1):
        G = Ps[i] @ Fs[i + 1].T @ np.linalg.inv(Pp[i + 1])
        xs[i] = xs[i] + G @ (xs[i + 1] - xp[i + 1])
    out = np.array(xs)
    return out[:, 0], out[:, 1], out[:, 2]


def _white_jerk(dt: float) -> tuple[np.ndarray, np.ndarray]:
    F = np.array([[1.0, dt, 0.5 * dt * dt], [0.0, 1.0, dt], [0.0, 0.0, 1.0]])
    q = 5.0**2  # (m/s³)²/Hz: jerk of a canopy flight, 5 to 10 m/s³
    d2, d3, d4, d5 = dt**2 / 2, dt**3 / 6, dt**4 / 8, dt**5 / 20
    return F, q * np.array([[d5, d4, d3], [d4, dt**3 / 3, d2], [d3, d2, dt]])


def hermite(t: np.ndarray, pos: np.ndarray, vel: np.ndarray, acc: np.ndarray, at: np.ndarray) -> np.ndarray:
    """Quintic Hermite interpolation (m, 3) at times `at`; beyond the ends straight on at the end's velocity."""
    i = np.clip(np.searchsorted(t, at, side="right") - 1, 0, t.size - 2)
    h = (t[i + 1] - t[i])[:, None]
    u = np.clip((at - t[i])[:, None] / h, 0.0, 1.0)
    p0, p1, v0, v1 = pos[i], pos[i + 1], vel[i] * h, vel[i + 1] * h
    a0, a1 = acc[i] * h * h, acc[i + 1] * h * h
    c3 = 10 * (p1 - p0) - 6 * v0 - 4 * v1 - 1.5 * a0 + 0.5 * a1
    c4 = -15 * (p1 - p0) + 8 * v0 + 7 * v1 + 1.5 * a0 - a1
    c5 = 6 * (p1 - p0) - 3 * (v0 + v1) - 0.5 * (a0 - a1)
    inside = p0 + u * (v0 + u * (0.5 * a0 + u * (c3 + u * (c4 + u * c5))))
    before = np.minimum(at - t[0], 0.0)[:, None] * vel[0]
    after = np.maximum(at - t[-1], 0.0)[:, None] * vel[-1]
    return inside + before + after
