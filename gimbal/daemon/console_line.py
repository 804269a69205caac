"""The daemon's line a second: what the picture, the loop and the supervisor are doing."""

from __future__ import annotations

from typing import Any

from gimbal import faults
from gimbal.daemon.live import History, live_figures
from gimbal.loop.board import Board
from gimbal.records import Arm, Mode


def _figure(value: float | None, text: str) -> str:
    return "-" if value is None else text.format(value)


class LiveLine:
    def __init__(self, config: Any, history: History, board: Board) -> None:
        self.config, self.history, self.board = config, history, board

    def text(self, row: Any, seconds: float) -> str:
        """One line; ``row`` is the newest TICK row or None."""
        if row is None:
            return f"{seconds:6.0f} s  no tick yet"
        health, mode = row["health"], int(row["goal"]["mode"])
        figures = live_figures(self.history, mode, self.config)
        tick, wake = (self.board.percentiles(name) or {"p50": 0.0, "p99": 0.0} for name in ("work", "wake"))
        parts = [
            f"{seconds:6.0f} s  {Arm(int(health['arm'])).name.lower()} {Mode(mode).name.lower()}",
            f"jitter {_figure(figures['jitter'], '{:.0f}')} urad",
            f"error {_figure(figures['error'], '{:.2f}')} deg",
            f"in frame {_figure(figures['in_frame'], '{:.0%}')}",
            f"horizon {_figure(figures['horizon'], '{:.2f}')} deg",
            f"tick p50 {tick['p50']:.0f} p99 {tick['p99']:.0f} us, wake p99 {wake['p99']:.0f} us",
            f"late {self.board['overruns']}, skipped {self.board['skipped']}",
        ]
        fault = int(health["fault"])
        if fault:
            parts.append(f"FAULT {faults.sentence(fault)}")
        limits = faults.limit_names(int(health["limits"]))
        if limits:
            parts.append("limits " + ", ".join(limits))
        return " | ".join(parts)
