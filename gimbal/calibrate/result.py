"""What a procedure hands back: its section of the calibration file, words for people, and what is left, to draw."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from gimbal.config.calibration import Found

MAX_POINTS = 5000


class Panel(NamedTuple):
    title: str
    x: np.ndarray  # (n,)
    y: np.ndarray  # (n, k)
    labels: tuple[str, ...]
    x_label: str = "time, s"
    y_label: str = ""
    log: bool = False
    dots: bool = False


@dataclass
class Result:
    section: str  # of the calibration file
    found: Found
    lines: list[str]
    panels: list[Panel] = field(default_factory=list)


def draw(path: str | Path, title: str, panels: list[Panel]) -> None:
    """The residuals as PNG."""
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot

    figure, axes = pyplot.subplots(len(panels), 1, figsize=(10, 3.6 * len(panels)), layout="constrained", squeeze=False)
    for axis, panel in zip(axes[:, 0], panels, strict=True):
        thin = slice(None, None, max(1, len(panel.x) // MAX_POINTS))
        lines: Any = axis.plot(panel.x[thin], panel.y[thin], "o" if panel.dots else "-", markersize=5, linewidth=0.8)
        axis.legend(lines, panel.labels, fontsize=8, loc="upper right", ncol=3)
        axis.set_title(panel.title, loc="left", fontsize=10)
        axis.set_xlabel(panel.x_label)
        axis.set_ylabel(panel.y_label)
        axis.grid(True, color="#dddddd", linewidth=0.6)
        if panel.log:
            axis.set_xscale("log")
            axis.set_yscale("log")
    figure.suptitle(title, fontsize=11)
    figure.savefig(path, dpi=100)
    pyplot.close(figure)


def triple(values: np.ndarray | list[float], digits: int = 9) -> tuple[float, float, float]:
    """Three plain numbers for the file."""
    a, b, c = (round(float(v), digits) for v in values)
    return a, b, c


def mean_temp(temp: np.ndarray) -> float | None:
    """Mean temperature, None where the device says nothing."""
    known = temp[np.isfinite(temp)]
    return round(float(known.mean()), 2) if len(known) else None


def words(values: Any, digits: int = 3) -> str:
    return "  ".join(f"{float(v):+.{digits}f}" for v in values)
