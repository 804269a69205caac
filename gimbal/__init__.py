"""Host software of a three-axis camera gimbal. Public functions: docs/contract.md; they load when first used."""

from __future__ import annotations

from typing import Any

__version__ = "0.1.0"

_PUBLIC = {
    "run_lockstep": "gimbal.loop.lockstep",
    "estimate_attitude": "gimbal.estimation.batch",
    "Attitude": "gimbal.estimation.batch",
    "TargetTracker": "gimbal.targeting.target_tracker",
    "Status": "gimbal.targeting.track_records",
}
__all__ = ["Attitude", "Status", "TargetTracker", "__version__", "estimate_attitude", "run_lockstep"]


def __getattr__(name: str) -> Any:
    # numba takes a second to import: `gimbal --help` must not pay for it
    if name in _PUBLIC:
        import importlib

        return getattr(importlib.import_module(_PUBLIC[name]), name)
    if name in ("records", "errors", "faults"):
        import importlib

        return importlib.import_module(f"gimbal.{name}")
    raise AttributeError(f"module 'gimbal' has no attribute {name!r}")
