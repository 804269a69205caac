"""What the loop reads and writes. The loop can't tell a plant from hardware."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Protocol, runtime_checkable

import numpy as np


@runtime_checkable
class Rig(Protocol):
    """The five calls every rig answers (docs/architecture.md). ``truth`` is optional: only a simulated rig has it."""

    def open(self, info: Mapping[str, Any]) -> None:
        """Get ready. info = {"dt_s", "seed", "kinematic_order", "t0_ns"}. May raise; nothing else may."""

    def read(self, sense: np.ndarray) -> int:
        """Fill a zeroed one-element SENSE array; 0 = good."""

    def write(self, command: np.ndarray) -> int:
        """Take a one-element COMMAND array; a simulated rig moves on by dt_s. 0 = good."""

    def safe(self) -> None:
        """Motors braked or without torque. Never raises, may be called twice."""

    def close(self) -> None:
        """Give everything back. May be called twice."""
