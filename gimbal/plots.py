"""Pictures of a run: what a person would rather look at than read. Drawn offline, after the run."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import numpy as np

from gimbal.metrics import AXES, SKIP_END_S, SKIP_START_S, axes_N, level_attitude, q_mul, turn_vector

INK, GRID = "#222222", "#dddddd"
COLOURS = {"roll": "#c0392b", "pitch": "#2471a3", "yaw": "#1e8449"}
MAX_POINTS = 6000  # a line needs no more on paper


def _thin(n: int) -> slice:
    return slice(None, None, max(1, n // MAX_POINTS))


def _boresight_deg(q: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Heading and elevation of the x axis, degrees, heading unwrapped."""
    x = axes_N(q)[0]
    return np.degrees(np.unwrap(np.arctan2(x[:, 1], x[:, 0]))), np.degrees(np.arcsin(np.clip(-x[:, 2], -1, 1)))


def _spectrum(x: np.ndarray, rate_hz: float) -> tuple[np.ndarray, np.ndarray]:
    from scipy.signal import welch

    f, p = welch(x, rate_hz, nperseg=min(len(x), int(8 * rate_hz)), axis=0)
    return f[1:], np.sqrt(p[1:])


def _panel(axis: Any, title: str, y: str, x: str = "time, s") -> None:
    axis.set_title(title, loc="left", fontsize=10, color=INK)
    axis.set_xlabel(x)
    axis.set_ylabel(y)
    axis.grid(True, color=GRID, linewidth=0.6)
    for side in ("top", "right"):
        axis.spines[side].set_visible(False)


def _draw_stabilisation(axis: Any, t: np.ndarray, h: np.ndarray) -> None:
    thin = _thin(len(t))
    for q, label, colour, width in ((h["q_NB"], "carrier", "#b0b0b0", 0.8), (h["q_true"], "camera", INK, 1.2)):
        heading, elevation = _boresight_deg(q)
        heading = heading - heading[len(heading) // 2]
        axis.plot(t[thin], heading[thin], color=colour, linewidth=width, label=f"{label}, heading")
        axis.plot(t[thin], elevation[thin], color=colour, linewidth=width, linestyle=":", label=f"{label}, elevation")
    axis.legend(fontsize=7, loc="upper right", ncol=2)
    _panel(axis, "Where the carrier and the camera look", "degrees")


def _draw_error(axis: Any, t: np.ndarray, error: np.ndarray) -> None:
    thin = _thin(len(t))
    for i, name in enumerate(AXES):
        axis.plot(t[thin], 1e6 * error[thin, i], color=COLOURS[name], linewidth=0.6, label=name)
    used = error[(t > SKIP_START_S) & (t < t[-1] - SKIP_END_S)]
    if len(used):
        top = 1e6 * float(np.percentile(np.abs(used), 99.8)) * 1.2 + 1.0
        axis.set_ylim(-top, top)
    axis.legend(fontsize=7, loc="upper right")
    _panel(axis, "True camera against the setpoint", "µrad")


def _draw_spectrum(axis: Any, error: np.ndarray, rate_hz: float) -> None:
    for i, name in enumerate(AXES):
        f, a = _spectrum(error[:, i], rate_hz)
        axis.loglog(f, 1e6 * a, color=COLOURS[name], linewidth=0.8, label=name)
    axis.axvline(0.5, color="#888888", linewidth=0.8, linestyle="--")
    axis.set_xlim(0.1, 0.5 * rate_hz)
    axis.legend(fontsize=7)
    _panel(axis, "Its spectrum (jitter counts above 0.5 Hz)", "µrad/√Hz", "Hz")


def _draw_frame(axis: Any, h: np.ndarray, half: tuple[float, float], start: int) -> None:
    """The subject's path in the picture."""
    los = h["target_pos_N"] - h["camera_pos_N"]
    x, y, z = axes_N(h["q_true"])
    ahead = np.maximum(np.sum(los * x, -1), 1e-6)
    right, down = np.degrees(np.arctan2(np.sum(los * y, -1), ahead)), np.degrees(np.arctan2(np.sum(los * z, -1), ahead))
    thin = _thin(len(right) - start)
    axis.plot(right[start:][thin], down[start:][thin], ".", color=INK, markersize=1.0, alpha=0.5)
    w, v = (math.degrees(a) for a in half)
    axis.plot([-w, w, w, -w, -w], [-v, -v, v, v, -v], color="#c0392b", linewidth=1.2)
    axis.set_xlim(-1.15 * w, 1.15 * w)
    axis.set_ylim(1.15 * v, -1.15 * v)
    axis.set_aspect("equal")
    _panel(axis, "The subject in the picture (frame in red)", "down, degrees", "right, degrees")


def _draw_horizon(axis: Any, t: np.ndarray, h: np.ndarray) -> None:
    thin = _thin(len(t))
    base = np.degrees(np.arcsin(np.clip(axes_N(h["q_NB"])[1][:, 2], -1, 1)))
    camera = np.degrees(np.arcsin(np.clip(axes_N(h["q_true"])[1][:, 2], -1, 1)))
    axis.plot(t[thin], base[thin], color="#b0b0b0", linewidth=0.8, label="carrier")
    axis.plot(t[thin], camera[thin], color=INK, linewidth=1.2, label="camera")
    axis.legend(fontsize=7, loc="upper right")
    _panel(axis, "Horizon: bank of the carrier and tilt of the picture", "degrees")


def _draw_torque(axis: Any, t: np.ndarray, h: np.ndarray) -> None:
    thin = _thin(len(t))
    for i, name in enumerate(AXES):
        axis.plot(t[thin], h["torque"][thin, i], color=COLOURS[name], linewidth=0.6, label=name)
    axis.legend(fontsize=7, loc="upper right")
    _panel(axis, "Joint torque commanded", "N m")


def plot_run(path: str | Path, h: np.ndarray, row: dict[str, Any], half: tuple[float, float] = (0.244, 0.139)) -> None:
    """Draw one run as PNG.

    Args:
        path: file to write.
        h: (n,) HISTORY rows.
        row: its figures, the keys of docs/contract.md.
        half: half angles of view, rad.
    """
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot

    t = 1e-9 * (h["t_ns"] - h["t_ns"][0])
    rate_hz = (len(t) - 1) / t[-1]
    track = row["mode"] == "track" and bool(np.isfinite(h["target_pos_N"]).all())
    reference = level_attitude(h["target_pos_N"] - h["camera_pos_N"], 0.0, 0.0) if track else h["q_sp"]
    error = turn_vector(q_mul(h["q_sp"] * [1, -1, -1, -1], h["q_true"]))
    start = int(np.searchsorted(t, min(SKIP_START_S, 0.3 * t[-1])))
    error = error - error[start:].mean(0)

    figure, axes = pyplot.subplots(3, 2, figsize=(13, 11), layout="constrained")
    total = (row.get("jitter_urad_rms") or {}).get("total")
    words = [f"{row['scenario'] or row['rig']}, mode {row['mode']}, {row['seconds']:g} s"]
    if total is not None:
        words.append(f"jitter {total:.0f} µrad RMS")
    if row.get("pointing_error_deg_p95") is not None and track:
        words.append(f"pointing p95 {row['pointing_error_deg_p95']:.2f}°, in frame {100 * row['time_in_frame']:.1f} %")
    if row.get("horizon_error_deg_rms") is not None:
        words.append(f"horizon {row['horizon_error_deg_rms']:.2f}° RMS")
    figure.suptitle("   ·   ".join(words), fontsize=12)
    _draw_stabilisation(axes[0, 0], t, h)
    _draw_horizon(axes[0, 1], t, h)
    _draw_error(axes[1, 0], t, error)
    _draw_spectrum(axes[1, 1], error[start:], rate_hz)
    if track:
        _draw_frame(axes[2, 0], h, half, start)
    else:
        away = turn_vector(q_mul(reference * [1, -1, -1, -1], h["q_true"]))
        _draw_error(axes[2, 0], t, away)
        axes[2, 0].set_title("True camera against the reference", loc="left", fontsize=10)
    _draw_torque(axes[2, 1], t, h)
    figure.savefig(path, dpi=110)
    pyplot.close(figure)
