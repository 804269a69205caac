"""The loop's PARAMS left in a folder, for processes that don't import the core that defines their layout."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np

from gimbal.telemetry import dtypes


def save_params(folder: str | Path, params: np.ndarray) -> None:
    """Write a one-element PARAMS array and its layout."""
    Path(folder, "params.json").write_text(json.dumps(dtypes.describe(params.dtype)))
    Path(folder, "params.bin").write_bytes(params.tobytes())


def load_params(folder: str | Path) -> np.ndarray:
    """The same, read back."""
    dtype = dtypes.build(json.loads(Path(folder, "params.json").read_text()))
    return np.frombuffer(Path(folder, "params.bin").read_bytes(), dtype).copy()
