"""``gimbal.TargetTracker``: the tracker of the tick for programs of one's own, one call per measurement."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from gimbal.kernels.build import kernel
from gimbal.records import TargetStatus
from gimbal.targeting.track_history import admit, run
from gimbal.targeting.track_predict import predict
from gimbal.targeting.track_records import (
    ALL_STEPS,
    BEARING,
    FIX,
    PREDICTION,
    TRACKER_STATE,
    Status,
    default_params,
    tracker_reset,
)

__all__ = ["Prediction", "Status", "TargetTracker"]

_PENDING = int(Status.PENDING)
# kind, source, t, arrival, has_vel, z 0-5, std 0-1, camera 0-2
_IN = 16
_STATUS = tuple(Status)
_NAN3 = (math.nan, math.nan, math.nan)


@kernel
def add_packed(params, state, m):
    """One measurement, packed in m (16,), taken in at once. Returns its Status."""
    p = params[0]
    s = state[0]
    t = m[2]
    if s["has_epoch"] == 0 and math.isfinite(t):
        s["has_epoch"] = 1
        s["epoch_s"] = t
    new = s["incoming"]
    new["kind"], new["source"], new["has_vel"] = int(m[0]), int(m[1]), int(m[4])
    new["t"] = t - s["epoch_s"]
    for i in range(6):
        new["z"][i] = m[5 + i]
    new["std"][0], new["std"][1], new["std"][2] = m[11], m[12], 0.0
    for i in range(3):
        new["camera_N"][i] = m[13 + i]
    status = admit(p, s, m[3] - s["epoch_s"])
    if status == _PENDING:
        run(p, s, ALL_STEPS)
        status = s["measurement"][s["last_slot"]]["decision"]
    s["count"][status] += 1
    return status


@kernel
def predict_packed(params, state, t, out):
    """Prediction for time t (s, the caller's clock) into out (PREDICTION)."""
    p = params[0]
    s = state[0]
    o = out[0]
    f = s["served"]
    if f["n"] == 0 or not math.isfinite(t):
        for i in range(3):
            o["pos_N"][i] = o["vel_N"][i] = o["acc_N"][i] = math.nan
        for i in range(9):
            for j in range(9):
                o["cov_N"][i, j] = math.nan
        o["age_s"] = o["late_s"] = o["late_std_s"] = math.nan
        o["status"] = 0
        return
    predict(p, f, t - s["epoch_s"], o, 9)
    o["status"] = 3 if o["age_s"] > p["lost_s"] else (2 if o["age_s"] > p["coast_s"] else 1)


class Prediction:
    """Where the subject is. ``pos_N`` m, ``vel_N`` m/s, ``acc_N`` m/s² (3,); ``cov_N`` (9, 9) of the three;
    ``age_s`` of the newest measurement used; ``late_s``, ``late_std_s``: how much later than stamped the fixes are,
    beyond what the bearings are, as estimated; ``status`` a :class:`gimbal.records.TargetStatus`."""

    __slots__ = ("_out",)

    def __init__(self, out: np.ndarray) -> None:
        self._out = out

    @property
    def pos_N(self) -> np.ndarray:
        return self._out["pos_N"][0]

    @property
    def vel_N(self) -> np.ndarray:
        return self._out["vel_N"][0]

    @property
    def acc_N(self) -> np.ndarray:
        return self._out["acc_N"][0]

    @property
    def cov_N(self) -> np.ndarray:
        return self._out["cov_N"][0]

    @property
    def age_s(self) -> float:
        return float(self._out["age_s"][0])

    @property
    def late_s(self) -> float:
        return float(self._out["late_s"][0])

    @property
    def late_std_s(self) -> float:
        return float(self._out["late_std_s"][0])

    @property
    def status(self) -> TargetStatus:
        return TargetStatus(int(self._out["status"][0]))


class TargetTracker:
    """Tracks one subject from delayed fixes of its beacon and bearings of the camera. docs/tracking.md says how.

    Args:
        model: "auto" (velocity frame where fixes carry a Doppler velocity, else Singer), "velocity_frame",
            "singer" or "constant_velocity".
        history_s: measurements older than the newest by more than this are refused as LATE.

    Raises:
        ValueError: unknown model, or history_s outside 0.1 to 10.
    """

    def __init__(self, *, model: str = "auto", history_s: float = 2.0, **changes: float) -> None:
        self._params = default_params(model=model, history_s=history_s, **changes)
        self._state = np.zeros(1, TRACKER_STATE)
        tracker_reset(self._params, self._state)
        self._m = np.zeros(_IN)
        self._box_m = float(self._params["box_size_m"][0])
        self._sources: dict[str, float] = {}

    def add_fix(
        self,
        t_s: float,
        t_arrival_s: float,
        pos_N: Any,
        vel_N: Any = None,
        pos_std_m: float = math.nan,
        vel_std_m_s: float = math.nan,
        *,
        source: str = "beacon",
    ) -> Status:
        """Take in one GNSS fix: times in s on one clock, position m and velocity m/s in N, reported accuracies.

        Call in order of arrival. Returns what became of it; a refused fix leaves the track as it was.
        """
        m = self._m
        m[0] = FIX
        m[1] = self._source(source)
        m[2] = t_s
        m[3] = t_arrival_s
        m[5:8] = pos_N
        if vel_N is None:
            m[4] = 0.0
            m[8:11] = 0.0
        else:
            m[8:11] = vel_N
            m[4] = 1.0 if m[8] == m[8] else 0.0
        m[11] = pos_std_m if pos_std_m > 0.0 else 3.0
        m[12] = vel_std_m_s if vel_std_m_s > 0.0 else 0.5
        m[13:16] = 0.0
        return _STATUS[add_packed(self._params, self._state, m)]

    def add_bearing(
        self,
        t_s: float,
        t_arrival_s: float,
        los_N: Any,
        std_rad: float,
        camera_pos_N: Any,
        *,
        camera_pos_std_m: float = 0.0,
        source: str = "camera",
    ) -> Status:
        """Take in one camera bearing: unit vector camera to subject in N, its error (rad, 1 sigma each way; the jitter
        of a box's centre on the subject, ``box_size_m``, comes on top), and where the camera was (m). Returns what
        became of it; before the first fix it is GATED."""
        m = self._m
        m[0] = BEARING
        m[1] = self._source(source)
        m[2] = t_s
        m[3] = t_arrival_s
        m[4] = 0.0
        m[5:8] = los_N
        m[8:11] = 0.0
        m[11] = std_rad
        m[12] = math.hypot(camera_pos_std_m, self._box_m)
        m[13:16] = camera_pos_N
        return _STATUS[add_packed(self._params, self._state, m)]

    def predict(self, t_s: float) -> Prediction:
        """Subject at t_s (s); any time, ahead of the measurements or within a second before. Changes nothing."""
        out = np.zeros(1, PREDICTION)
        predict_packed(self._params, self._state, t_s, out)
        return Prediction(out)

    def _source(self, name: str) -> float:
        number = self._sources.get(name)
        if number is None:
            number = self._sources[name] = float(len(self._sources))
        return number
