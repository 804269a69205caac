"""How good the picture was, from the plant's truth: the figures of docs/contract.md.

All angles are computed from recorded rows, offline; nothing here runs in the loop.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np

SKIP_START_S, SKIP_END_S = 5.0, 1.0
JITTER_CORNER_HZ, JITTER_ORDER = 0.5, 4
AXES = ("roll", "pitch", "yaw")


def q_mul(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """Hamilton product of arrays (..., 4)."""
    aw, ax, ay, az = np.moveaxis(a, -1, 0)
    bw, bx, by, bz = np.moveaxis(b, -1, 0)
    return np.stack(
        [
            aw * bw - ax * bx - ay * by - az * bz,
            aw * bx + ax * bw + ay * bz - az * by,
            aw * by - ax * bz + ay * bw + az * bx,
            aw * bz + ax * by - ay * bx + az * bw,
        ],
        -1,
    )


def rotation_vector(q: np.ndarray) -> np.ndarray:
    """Rotation vector (n, 3), rad, of quaternions (n, 4): the shorter way round."""
    q = np.where(q[..., :1] < 0, -q, q)
    n = np.linalg.norm(q[..., 1:], axis=-1, keepdims=True)
    angle = 2.0 * np.arctan2(n, q[..., :1])
    return np.where(n > 1e-12, angle / np.maximum(n, 1e-300), 2.0) * q[..., 1:]


def turn_vector(q: np.ndarray) -> np.ndarray:
    """Rotation vectors (n, 3), rad, of a continuous run of quaternions (n, 4), without a jump at half a turn."""
    signs = np.cumprod(np.concatenate([[1.0], np.where(np.sum(q[1:] * q[:-1], -1) < 0, -1.0, 1.0)]))
    q = q * (signs * (1.0 if q[0, 0] >= 0 else -1.0))[:, None]
    n = np.linalg.norm(q[:, 1:], axis=-1, keepdims=True)
    return np.where(n > 1e-12, 2.0 * np.arctan2(n, q[:, :1]) / np.maximum(n, 1e-300), 2.0) * q[:, 1:]


def axes_N(q: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Camera axes x, y, z in N, each (n, 3)."""
    w, x, y, z = np.moveaxis(q, -1, 0)
    ex = np.stack([1 - 2 * (y * y + z * z), 2 * (x * y + w * z), 2 * (x * z - w * y)], -1)
    ey = np.stack([2 * (x * y - w * z), 1 - 2 * (x * x + z * z), 2 * (y * z + w * x)], -1)
    return ex, ey, np.cross(ex, ey)


def level_attitude(direction: np.ndarray, right: float, down: float) -> np.ndarray:
    """q_NC (n, 4) of a level camera that shows ``direction`` (n, 3) at the framing point, offsets in rad."""
    aim = direction / np.linalg.norm(direction, axis=-1, keepdims=True)
    stretch = math.sqrt(1.0 + math.tan(right) ** 2 + math.tan(down) ** 2)  # stretch * aim = x + tan() y + tan() z
    x = aim
    for _ in range(3):
        h = np.hypot(x[:, 0], x[:, 1])
        y = np.stack([-x[:, 1] / h, x[:, 0] / h, np.zeros(len(x))], -1)
        z = np.cross(x, y)
        x = stretch * aim - math.tan(right) * y - math.tan(down) * z
        x /= np.linalg.norm(x, axis=-1, keepdims=True)
    h = np.hypot(x[:, 0], x[:, 1])
    yaw, pitch = np.arctan2(x[:, 1], x[:, 0]), np.arctan2(-x[:, 2], h)
    cy, sy, cp, sp = np.cos(yaw / 2), np.sin(yaw / 2), np.cos(pitch / 2), np.sin(pitch / 2)
    return np.stack([cy * cp, -sy * sp, cy * sp, sy * cp], -1)


def fast_part(q_ref: np.ndarray, q: np.ndarray, rate_hz: float) -> np.ndarray:
    """Rotation (n, 3) from q_ref to q above 0.5 Hz, rad, in camera axes."""
    from scipy.signal import butter, sosfiltfilt

    phi = turn_vector(q_mul(q_ref * [1, -1, -1, -1], q))
    sos = butter(JITTER_ORDER, JITTER_CORNER_HZ, "highpass", fs=rate_hz, output="sos")
    return np.asarray(sosfiltfilt(sos, phi, axis=0))


def jitter_between(
    q_ref: np.ndarray, q: np.ndarray, rate_hz: float, start_s: float = SKIP_START_S, end_s: float = -SKIP_END_S
) -> dict[str, float]:
    """RMS (µrad) of :func:`fast_part` from start_s to end_s (negative: from the end)."""
    n = len(q)
    end = int(end_s * rate_hz) if end_s >= 0.0 else n + int(end_s * rate_hz)
    x = fast_part(q_ref, q, rate_hz)[int(start_s * rate_hz) : end]
    rms = 1e6 * np.sqrt(np.mean(x**2, axis=0))
    return {**{a: float(v) for a, v in zip(AXES, rms, strict=True)}, "total": float(np.sqrt(np.sum(rms**2)))}


def _angle_deg(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    return np.degrees(np.arctan2(np.linalg.norm(np.cross(a, b), axis=-1), np.sum(a * b, axis=-1)))


EMPTY: dict[str, Any] = {
    "jitter_urad_rms": None,
    "stabilisation_urad_rms": None,
    "pointing_error_deg_rms": None,
    "pointing_error_deg_p95": None,
    "time_in_frame": None,
    "horizon_error_deg_rms": None,
    "attitude_tilt_error_deg_rms": None,
}


def picture_metrics(
    q_true: np.ndarray,
    q_sp: np.ndarray,
    q_est: np.ndarray,
    camera_pos_N: np.ndarray,
    target_pos_N: np.ndarray | None,
    rate_hz: float,
    mode: str,
    framing_rad: tuple[float, float],
    half_frame_rad: tuple[float, float],
) -> dict[str, Any]:
    """The picture's figures.

    Args:
        q_true, q_sp, q_est: (n, 4) at the same instants, rate_hz apart.
        camera_pos_N, target_pos_N: (n, 3), m; target None without one.
        framing_rad: the target's place right and down of the centre.
        half_frame_rad: half angles of view, horizontal and vertical.

    Returns:
        The keys of ``EMPTY``; None where a run is too short or has no target.
    """
    out = dict(EMPTY)
    n = len(q_true)
    first, last = int(SKIP_START_S * rate_hz), n - int(SKIP_END_S * rate_hz)
    if last - first < int(2.0 * rate_hz):
        return out
    use = slice(first, last)
    x, y, z = axes_N(q_true)
    out["horizon_error_deg_rms"] = float(np.sqrt(np.mean(np.degrees(np.arcsin(np.clip(y[use, 2], -1, 1))) ** 2)))
    down_true, down_est = _down_C(q_true[use]), _down_C(q_est[use])
    out["attitude_tilt_error_deg_rms"] = float(np.sqrt(np.mean(_angle_deg(down_true, down_est) ** 2)))
    out["stabilisation_urad_rms"] = jitter_between(q_sp, q_true, rate_hz)
    los = None if target_pos_N is None else target_pos_N - camera_pos_N
    if los is not None:
        q_ref = level_attitude(los, *framing_rad)
        error = _angle_deg(x, axes_N(q_ref)[0])[use]
        out["pointing_error_deg_rms"] = float(np.sqrt(np.mean(error**2)))
        out["pointing_error_deg_p95"] = float(np.percentile(error, 95))
        v = np.stack([np.sum(los * e, -1) for e in (x, y, z)], -1)[use]
        seen = (v[:, 0] > 0) & (np.abs(v[:, 1]) <= v[:, 0] * math.tan(half_frame_rad[0]))
        seen &= np.abs(v[:, 2]) <= v[:, 0] * math.tan(half_frame_rad[1])
        out["time_in_frame"] = float(np.mean(seen))
    if mode == "track" and los is not None:
        out["jitter_urad_rms"] = jitter_between(q_ref, q_true, rate_hz)
    elif mode == "lock":
        out["jitter_urad_rms"] = jitter_between(np.broadcast_to(q_true[first], q_true.shape), q_true, rate_hz)
    return out


def _down_C(q: np.ndarray) -> np.ndarray:
    """Down (0, 0, 1 in N) in camera axes."""
    w, x, y, z = np.moveaxis(q, -1, 0)
    return np.stack([2 * (x * z - w * y), 2 * (y * z + w * x), 1 - 2 * (x * x + y * y)], -1)
