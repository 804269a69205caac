"""How each listening device is put on the bench: its options, how slow it is, what a damaged line may do to it."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np

from firmware_bridge.emulators.physics import HeldSticks, StillImage, TurningCarrier
from firmware_bridge.interface import ATTITUDE_ROW, BEARING_ROW, RADIO_ROW


@dataclass(frozen=True)
class SensorSetup:
    options: dict[str, object] = field(default_factory=dict)
    slow: int = 1  # a bench's millisecond is so many
    max_speed_m_s: float = 21.0  # north, east and down that no damaged frame exceeds


SETUPS = {
    "mavlink_beacon": SensorSetup({"system_id": 42}),
    "flarm": SensorSetup({"id": "DD8F12"}, slow=6),
    # No checksum on the line: the gates bound a damaged frame's velocity by the option max_speed_m_s.
    "fanet": SensorSetup({"id": "11:ABCD"}, slow=25, max_speed_m_s=60.0),
}


def sensor_setup(name: str) -> SensorSetup:
    return SETUPS.get(name, SensorSetup())


def world(kind: str) -> tuple[Any, np.ndarray]:
    """Physics and rows of the kinds attitude, bearing and radio."""
    if kind == "attitude":
        return TurningCarrier(), np.zeros(8, ATTITUDE_ROW)
    return (StillImage(), np.zeros(8, BEARING_ROW)) if kind == "bearing" else (HeldSticks(), np.zeros(8, RADIO_ROW))
