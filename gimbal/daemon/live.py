"""What a run looked like so far: drained from the TICK and TRUTH rings by the supervisor process, at its leisure.

Live figures are numpy only (the supervisor process stays small); the final ones come from gimbal.metrics.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from gimbal.metrics import axes_N, level_attitude, q_mul, turn_vector
from gimbal.records import Arm, Mode
from gimbal.units import DEG

KEEP_S = 300.0  # figures are of at most the last five minutes: 50 MB
LIVE_S = 8.0
GAP_NS = 50_000_000  # a longer gap in the truth parts two stretches
_CORNER_HZ, _EDGE_S = 0.5, 1.0

_TICKS = np.dtype([("t_ns", "i8"), ("q_sp", "f8", 4), ("q_est", "f8", 4)])
_TRUTH = np.dtype([("t_ns", "i8"), ("q", "f8", 4), ("camera", "f8", 3), ("target", "f8", 3), ("has_target", "u1")])


class Series:
    """Rows kept in chunks, the oldest forgotten."""

    def __init__(self, dtype: np.dtype, keep: int) -> None:
        self.dtype, self.keep, self.count = dtype, keep, 0
        self.chunks: list[np.ndarray] = []

    def add(self, rows: np.ndarray) -> None:
        self.chunks.append(rows)
        self.count += len(rows)
        while self.count - len(self.chunks[0]) >= self.keep:
            self.count -= len(self.chunks.pop(0))

    def last(self, n: int) -> np.ndarray:
        """The newest n rows or more, as one array."""
        taken, have = [], 0
        for chunk in reversed(self.chunks):
            taken.append(chunk)
            have += len(chunk)
            if have >= n:
                break
        return np.concatenate(taken[::-1]) if taken else np.zeros(0, self.dtype)


class History:
    """Ticks while armed, and the plant's truth where an emulator publishes it."""

    def __init__(self, rate_hz: float) -> None:
        self.rate_hz = rate_hz
        self.ticks = Series(_TICKS, int(KEEP_S * rate_hz))
        self.truth = Series(_TRUTH, int(KEEP_S * rate_hz))
        self.faults: list[int] = []
        self.armed_since_ns = 0
        self.states: list[int] = []  # every state of the supervisor in order, without repeats

    def add_ticks(self, rows: np.ndarray) -> None:
        if not len(rows):
            return
        arm, fault = rows["health"]["arm"], rows["health"]["fault"]
        for value in arm[np.flatnonzero(np.diff(arm, prepend=self.states[-1] if self.states else -1))]:
            self.states.append(int(value))
        for code in np.unique(fault[fault != 0]):
            if int(code) not in self.faults:
                self.faults.append(int(code))
        armed = rows[arm == Arm.ARMED]
        if len(armed):
            kept = np.zeros(len(armed), _TICKS)
            kept["t_ns"] = armed["t_ns"]
            kept["q_sp"] = armed["setpoint"]["q_NC_sp"]
            kept["q_est"] = armed["nav"]["q_NC_est"]
            self.armed_since_ns = self.armed_since_ns or int(kept["t_ns"][0])
            self.ticks.add(kept)

    def add_truth(self, rows: np.ndarray) -> None:
        if not len(rows):
            return
        kept = np.zeros(len(rows), _TRUTH)
        kept["t_ns"], kept["q"] = rows["t_ns"], rows["q_NC"]
        kept["camera"], kept["target"] = rows["camera_pos_N"], rows["target_pos_N"]
        kept["has_target"] = rows["has_target"]
        self.truth.add(kept)

    def aligned(self, seconds: float = KEEP_S) -> dict[str, np.ndarray] | None:
        """Truth, with setpoint and estimate at truth's instants, over the newest unbroken stretch while armed."""
        n = int(seconds * self.rate_hz)
        ticks, truth = self.ticks.last(n), self.truth.last(n)
        if len(ticks) < 2 or len(truth) < 2:
            return None
        truth = truth[(truth["t_ns"] >= ticks["t_ns"][0]) & (truth["t_ns"] <= ticks["t_ns"][-1])]
        gaps = np.flatnonzero(np.diff(truth["t_ns"]) > GAP_NS)
        truth = truth[int(gaps[-1]) + 1 :] if len(gaps) else truth
        if len(truth) < 2:
            return None
        truth = self._evenly(truth)
        return {
            "q_true": truth["q"],
            "q_sp": _between(ticks["t_ns"], ticks["q_sp"], truth["t_ns"]),
            "q_est": _between(ticks["t_ns"], ticks["q_est"], truth["t_ns"]),
            "camera": truth["camera"],
            "target": truth["target"],
            "has_target": truth["has_target"],
        }

    def _evenly(self, truth: np.ndarray) -> np.ndarray:
        """Short gaps (the emulators' process stalled) filled between their neighbours: filters need even steps."""
        t = truth["t_ns"]
        if np.diff(t).max() <= 1.5e9 / self.rate_hz:
            return truth
        even = np.zeros(round((t[-1] - t[0]) * 1e-9 * self.rate_hz) + 1, _TRUTH)
        even["t_ns"] = np.linspace(t[0], t[-1], len(even)).round()
        even["q"] = _between(t, truth["q"], even["t_ns"])
        for name in ("camera", "target"):
            for axis in range(3):
                even[name][:, axis] = np.interp(even["t_ns"], t, truth[name][:, axis])
        even["has_target"] = truth["has_target"].min()
        return even


def _between(t: np.ndarray, q: np.ndarray, at: np.ndarray) -> np.ndarray:
    """Quaternions (n, 4) at other instants: linear between neighbours a tick apart, normalised."""
    right = np.clip(np.searchsorted(t, at), 1, len(t) - 1)
    a, b = q[right - 1], q[right]
    b = np.where(np.sum(a * b, -1, keepdims=True) < 0, -b, b)
    share = ((at - t[right - 1]) / (t[right] - t[right - 1]))[:, None]
    mixed = a + np.clip(share, 0.0, 1.0) * (b - a)
    return mixed / np.linalg.norm(mixed, axis=-1, keepdims=True)


def highpass_rms(x: np.ndarray, rate_hz: float) -> float:
    """Root of the sum over columns of the mean square of x (n, k) above 0.5 Hz: the gain of a forward and backward
    4th-order Butterworth, applied in the frequency domain, a second at each end left out."""
    n = len(x)
    line = np.linspace(0.0, 1.0, n)[:, None]
    x = x - (x[:1] + line * (x[-1:] - x[:1]))
    frequency = np.fft.rfftfreq(n, 1.0 / rate_hz)
    gain = np.zeros_like(frequency)
    gain[1:] = 1.0 / (1.0 + (_CORNER_HZ / frequency[1:]) ** 8)
    y = np.fft.irfft(np.fft.rfft(x, axis=0) * gain[:, None], n, axis=0)
    edge = int(_EDGE_S * rate_hz)
    return float(np.sqrt(np.sum(np.mean(y[edge : n - edge] ** 2, axis=0))))


def live_figures(history: History, mode: int, config: Any) -> dict[str, float | None]:
    """Jitter (urad), pointing error and horizon (deg), share in frame over the last seconds; None where not known."""
    out: dict[str, float | None] = {"jitter": None, "error": None, "in_frame": None, "horizon": None}
    data = history.aligned(LIVE_S)
    if data is None or len(data["q_true"]) < 4.0 * history.rate_hz:
        return out
    q = data["q_true"]
    x, y, z = axes_N(q)
    out["horizon"] = float(np.degrees(np.sqrt(np.mean(np.arcsin(np.clip(y[:, 2], -1, 1)) ** 2))))
    reference = np.broadcast_to(q[0], q.shape)
    if data["has_target"].all():
        los = data["target"] - data["camera"]
        framing = config.targeting.framing_right_deg * DEG, config.targeting.framing_down_deg * DEG
        aim = level_attitude(los, *framing)
        if mode == Mode.TRACK:
            reference = aim
        error = np.linalg.norm(np.cross(x, axes_N(aim)[0]), axis=-1)
        out["error"] = float(np.degrees(np.sqrt(np.mean(np.arcsin(error.clip(0, 1)) ** 2))))
        out["in_frame"] = _in_frame(los, x, y, z, config.camera)
    if mode in (Mode.LOCK, Mode.TRACK):
        turn = turn_vector(q_mul(reference * [1, -1, -1, -1], q))
        out["jitter"] = 1e6 * highpass_rms(turn, history.rate_hz)
    return out


def _in_frame(los: np.ndarray, x: np.ndarray, y: np.ndarray, z: np.ndarray, camera: Any) -> float:
    ahead, right, down = (np.sum(los * axis, -1) for axis in (x, y, z))
    half = [0.5 * size / camera.focal_mm for size in camera.sensor_mm]
    return float(np.mean((ahead > 0) & (np.abs(right) <= ahead * half[0]) & (np.abs(down) <= ahead * half[1])))


def final_figures(history: History, mode: str, config: Any) -> dict[str, Any]:
    """The picture keys of docs/contract.md over the newest unbroken armed stretch, whose length is figures_seconds;
    None values without truth."""
    from gimbal.metrics import EMPTY, picture_metrics

    data = history.aligned()
    if data is None:
        return {"figures_seconds": 0.0, **EMPTY}
    half = [math.atan(0.5 * size / config.camera.focal_mm) for size in config.camera.sensor_mm]
    framing = config.targeting.framing_right_deg * DEG, config.targeting.framing_down_deg * DEG
    target = data["target"] if data["has_target"].all() else None
    seconds = len(data["q_true"]) / history.rate_hz
    return {"figures_seconds": seconds} | picture_metrics(
        data["q_true"], data["q_sp"], data["q_est"], data["camera"], target, history.rate_hz, mode, framing,
        (half[0], half[1]),
    )  # fmt: skip
