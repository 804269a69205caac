"""`gimbal sim --report`: one self-contained page about a run. Drawn offline, after the run."""

from __future__ import annotations

import base64
import html
import io
import math
from pathlib import Path
from typing import Any

import numpy as np

from gimbal.config.schema import Rig
from gimbal.metrics import AXES, SKIP_END_S, SKIP_START_S, axes_N, fast_part
from gimbal.plots import COLOURS, INK, _panel, _spectrum, _thin

GREY = "#b0b0b0"
STYLE = (
    "body{font:15px/1.5 system-ui,sans-serif;max-width:1080px;margin:2em auto;padding:0 1em;color:#222}"
    "img{width:100%;margin:.3em 0 1.2em}table{border-collapse:collapse;margin:1em 0}"
    "td,th{border-bottom:1px solid #ddd;padding:.25em .9em;text-align:right}"
    "td:first-child,th:first-child{text-align:left}"
    "p.note{color:#666}"
)


def pixels_per_rad(rig: Rig) -> float:
    """At the picture's centre."""
    return rig.camera.width_px * rig.camera.focal_mm / rig.camera.sensor_mm[0]


def seen_blur(rig: Rig, q: np.ndarray, rate_hz: float) -> np.ndarray:
    """Blur (pixels) of each frame at the centre: how far the boresight goes while the shutter is open."""
    from gimbal.metrics import q_mul, rotation_vector

    open_ticks = max(2, round(rig.camera.shutter_deg / 360.0 / rig.camera.frames_s * rate_hz))
    starts = np.arange(0, len(q) - open_ticks, rate_hz / rig.camera.frames_s).astype(int)
    blur = np.empty(len(starts))
    for i, k in enumerate(starts):
        window = q[k : k + open_ticks]
        turned = rotation_vector(q_mul(np.broadcast_to(window[0] * [1, -1, -1, -1], window.shape), window))[:, 1:]
        blur[i] = float(np.linalg.norm(turned.max(0) - turned.min(0)))
    return blur * pixels_per_rad(rig)


def reference_of(h: np.ndarray, row: dict[str, Any], rate_hz: float) -> np.ndarray:
    """What the camera is measured against: in lock a constant of the truth's, as the figure; else the setpoint."""
    return h["q_true"] * 0.0 + h["q_true"][int(SKIP_START_S * rate_hz)] if row["mode"] == "lock" else h["q_sp"]


def picture_figures(rig: Rig, h: np.ndarray, reference: np.ndarray, rate_hz: float) -> dict[str, float]:
    """What the picture sees: jitter (px RMS) across and at the edge from roll, blur over the exposure (px)."""
    use = slice(int(SKIP_START_S * rate_hz), len(h) - int(SKIP_END_S * rate_hz))
    error = fast_part(reference, h["q_true"], rate_hz)[use]
    scale = pixels_per_rad(rig)
    rms = np.sqrt(np.mean(error**2, 0))
    blur, carrier = seen_blur(rig, h["q_true"][use], rate_hz), seen_blur(rig, h["q_NB"][use], rate_hz)
    return {
        "jitter across, px RMS": float(scale * math.hypot(rms[1], rms[2])),
        "jitter of roll at the picture's edge, px RMS": float(0.5 * rig.camera.width_px * rms[0]),
        "blur over the exposure, px, median": float(np.median(blur)),
        "blur over the exposure, px, 95th percentile": float(np.percentile(blur, 95)),
        "the same bolted to the carrier, px, median": float(np.median(carrier)),
    }


def _picture(draw: Any, rows: int = 1, height: float = 3.4) -> str:
    """An <img> with the PNG that ``draw(axes)`` makes inside it."""
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot

    figure, axes = pyplot.subplots(rows, 1, figsize=(10.5, height * rows), layout="constrained", squeeze=False)
    draw(axes[:, 0])
    buffer = io.BytesIO()
    figure.savefig(buffer, dpi=110, format="png")
    pyplot.close(figure)
    return f'<img alt="" src="data:image/png;base64,{base64.b64encode(buffer.getvalue()).decode()}">'


def _traces(t: np.ndarray, error: np.ndarray, rig: Rig) -> Any:
    def draw(axes: Any) -> None:
        thin = _thin(len(t))
        inside = (t > SKIP_START_S) & (t < t[-1] - SKIP_END_S)
        top = 1.15e6 * float(np.percentile(np.abs(error[inside]), 99.9))
        for i, name in enumerate(AXES):
            axes[0].plot(t[thin], 1e6 * error[thin, i], color=COLOURS[name], linewidth=0.5, label=name)
        axes[0].set_ylim(-top, top)
        axes[0].legend(fontsize=7, loc="upper right")
        pixel = axes[0].secondary_yaxis(
            "right", functions=(lambda x: 1e-6 * x * pixels_per_rad(rig), lambda x: 1e6 * x / pixels_per_rad(rig))
        )
        pixel.set_ylabel("pixels")
        _panel(axes[0], "True camera against what it should show, above 0.5 Hz", "µrad")

    return draw


def _spectra(error: np.ndarray, rate_hz: float, bound: dict[str, Any] | None) -> Any:
    def draw(axes: Any) -> None:
        for i, name in enumerate(AXES):
            f, a = _spectrum(error[:, i], rate_hz)
            axes[0].loglog(f, 1e6 * a, color=COLOURS[name], linewidth=0.8, label=name)
            axes[1].semilogx(f, 1e6 * np.sqrt(np.cumsum(a**2) * f[0]), color=COLOURS[name], linewidth=1.0, label=name)
            if bound is None:
                continue
            from gimbal.tuning.carrier_bound import DRAWN_HZ

            least = np.array(bound["robust_urad2_Hz"][name])
            axes[0].loglog(DRAWN_HZ, np.sqrt(least), color=COLOURS[name], linestyle="--", label=f"{name}, bound")
            area = np.sqrt(np.cumsum(least * np.gradient(DRAWN_HZ)))
            axes[1].semilogx(DRAWN_HZ, area, color=COLOURS[name], linestyle="--", label=f"{name}, bound")
        axes[0].set_ylim(bottom=1e-3)
        for axis in axes:
            axis.set_xlim(0.3, 0.5 * rate_hz)
            axis.legend(fontsize=7, ncol=2)
        dashed = "; dashed: what the robust bound leaves" if bound is not None else ""
        _panel(axes[0], "Spectrum of the jitter" + dashed, "µrad/√Hz", "Hz")
        _panel(axes[1], "Cumulative RMS from low frequencies upward", "µrad", "Hz")

    return draw


def _motors(t: np.ndarray, h: np.ndarray, rig: Rig) -> Any:
    def draw(axes: Any) -> None:
        thin = _thin(len(t))
        for i, name in enumerate(AXES):
            axes[0].plot(t[thin], h["torque"][thin, i], color=COLOURS[name], linewidth=0.5, label=name)
            axes[1].plot(t[thin], h["motor_temp_degC"][thin, i], color=COLOURS[name], label=name)
        most = min(rig.limits.max_torque_Nm, rig.motors.peak_A * rig.motors.torque_constant_Nm_A)
        peak = float(np.abs(h["torque"]).max())
        if peak > 0.5 * most:
            for sign in (-1.0, 1.0):
                axes[0].axhline(sign * most, color=INK, linewidth=0.8, linestyle="--")
        _panel(axes[0], f"Joint torque commanded; limit {most:g} N m, used {100 * peak / most:.0f} %", "N m")
        axes[1].axhline(rig.thermal.limit_degC, color=INK, linewidth=0.8, linestyle="--")
        _panel(axes[1], f"Winding temperature; limit {rig.thermal.limit_degC:g} °C dashed", "°C")
        for axis in axes:
            axis.legend(fontsize=7, loc="upper right")

    return draw


def _boresight(h: np.ndarray, start: int) -> Any:
    def draw(axes: Any) -> None:
        for q, label, colour in ((h["q_NB"], "bolted to the carrier", GREY), (h["q_true"], "camera", "#c0392b")):
            x = axes_N(q[start:])[0]
            heading = np.degrees(np.unwrap(np.arctan2(x[:, 1], x[:, 0])))
            height = np.degrees(np.arcsin(np.clip(-x[:, 2], -1, 1)))
            thin = _thin(len(heading))
            axes[0].plot(heading[thin] - heading.mean(), height[thin], color=colour, linewidth=0.7, label=label)
        axes[0].legend(fontsize=8)
        _panel(axes[0], "Where the optical axis goes", "elevation, deg", "heading, deg, about its mean")

    return draw


def write_report(path: str | Path, h: np.ndarray, row: dict[str, Any], rig: Rig, bound: dict[str, Any] | None) -> None:
    """Write the page.

    Args:
        h: (n,) HISTORY rows of the run.
        row: its figures, the keys of docs/contract.md.
        bound: what gimbal.tuning.carrier_bound found for it, or None.

    Raises:
        OSError: the file can't be written.
    """
    t = 1e-9 * (h["t_ns"] - h["t_ns"][0])
    rate_hz = rig.loop_rate_hz
    start = int(SKIP_START_S * rate_hz)
    reference = reference_of(h, row, rate_hz)
    error = fast_part(reference, h["q_true"], rate_hz)
    use = slice(start, len(h) - int(SKIP_END_S * rate_hz))
    title = f"{row['scenario']} on {row['rig']}, mode {row['mode']}, {row['seconds']:g} s, seed {row['seed']}"
    parts = [f"<h1>{html.escape(title)}</h1>", _figures(row), "<h2>What the picture sees</h2><table>"]
    camera = rig.camera
    parts += [
        f"<tr><td>{html.escape(k)}</td><td>{v:.2f}</td></tr>"
        for k, v in picture_figures(rig, h, reference, rate_hz).items()
    ]
    parts.append(
        f"</table><p class=note>{camera.focal_mm:g} mm, sensor {camera.sensor_mm[0]:g} mm, {camera.width_px} px, "
        f"{camera.frames_s:g} frames/s, shutter {camera.shutter_deg:g}°: "
        f"{1e6 / pixels_per_rad(rig):.0f} µrad a pixel.</p>"
    )
    parts += ["<h2>Still against shaken</h2>", _picture(_boresight(h, start), height=4.5)]
    parts += ["<h2>Jitter</h2>", _picture(_traces(t, error, rig)), _picture(_spectra(error[use], rate_hz, bound), 2)]
    parts += ["<h2>Motors</h2>", _picture(_motors(t, h, rig), 2)]
    head = f'<meta charset="utf-8"><title>{html.escape(title)}</title><style>{STYLE}</style>'
    page = f'<!doctype html><html lang="en">{head}'
    Path(path).write_text(page + "\n".join(parts) + "</html>\n", encoding="utf-8")


def _figures(row: dict[str, Any]) -> str:
    lines = [f"<table><tr><th></th>{''.join(f'<th>{a}</th>' for a in (*AXES, 'total'))}</tr>"]
    for key, label in (
        ("jitter_urad_rms", "jitter against the truth's reference, µrad RMS"),
        ("stabilisation_urad_rms", "against the setpoint, µrad RMS"),
        ("bound_robust_urad", "robust bound, µrad RMS"),
        ("bound_lqg_urad", "LQG bound, µrad RMS"),
        ("sensor_floor_urad", "sensor floor, µrad RMS"),
    ):
        if row.get(key):
            cells = "".join(f"<td>{row[key][a]:.1f}</td>" for a in (*AXES, "total"))
            lines.append(f"<tr><td>{label}</td>{cells}</tr>")
    lines.append("</table><table>")
    for key, label in (
        ("horizon_error_deg_rms", "horizon error, deg RMS"),
        ("attitude_tilt_error_deg_rms", "tilt estimate's error, deg RMS"),
        ("pointing_error_deg_rms", "pointing error, deg RMS"),
    ):
        if row.get(key) is not None:
            lines.append(f"<tr><td>{label}</td><td>{row[key]:.3f}</td></tr>")
    faults = ", ".join(row["faults"]) or "none"
    return "".join(lines) + f"<tr><td>faults</td><td>{html.escape(faults)}</td></tr></table>"
