"""Rows, States and small logs that the tests of telemetry and replay share."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from gimbal.records import TICK
from gimbal.telemetry import dtypes
from gimbal.telemetry.log_writer import LogWriter

STATE = np.dtype([("count", "u8"), ("sum", "f8", 3), ("noise", "f8", 500)], align=True)
PARAMS = np.dtype([("gain", "f8"), ("limit", "f8", 3)], align=True)


def random_rows(n: int, seed: int = 1, first_tick: int = 0) -> np.ndarray:
    """n TICK rows of random bits, zero padding, ticks counting and t_ns 1 ms apart."""
    rng = np.random.default_rng(seed)
    raw = rng.integers(0, 256, (n, TICK.itemsize), dtype=np.uint8)
    raw[:, ~dtypes.byte_mask(TICK)] = 0
    rows = raw.reshape(-1).view(TICK)
    rows["tick"] = first_tick + np.arange(n)
    rows["t_ns"] = (1000 + first_tick + np.arange(n)) * 1_000_000
    return rows


def params() -> np.ndarray:
    out = np.zeros(1, PARAMS)
    out["gain"], out["limit"] = 0.3, (1.0, 2.0, 3.0)
    return out


def writer(path: Path, **kwargs) -> LogWriter:
    defaults = {"params": params(), "state_dtype": STATE, "min_free_bytes": 0}
    return LogWriter(path, {"config_hash": "1234567890123456", "rig": "bench"}, **(defaults | kwargs))
