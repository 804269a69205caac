"""An autopilot's attitude at the rig's border: through its mount it tells where a line fixed in the base points.

That is what two antennas tell too, so the same measurement model takes it: through the joints to the camera, at the
moment it was estimated. Its tilt is not used: the camera's own, aided by GNSS, is better than what a mount's carries.
"""

from __future__ import annotations

import math

import numpy as np

from firmware_bridge import interface
from firmware_bridge.angles import conjugate, quat_of, rotate
from gimbal.config.schema import Rig as RigConfig
from gimbal.rig.line import Line
from gimbal.units import DEG

ATTITUDES = 8  # rows of one look
EVERY_NS = 200_000_000  # its errors last for seconds: more of it would be taken for more than it is
STEEP = 0.3  # horizontal part of the line below which its heading says nothing


class Autopilot:
    """What the autopilot puts into SENSE. Antennas go before it."""

    def __init__(self, config: RigConfig) -> None:
        roll, pitch, yaw = (a * DEG for a in config.autopilot.mount_rpy_deg)
        line = config.gnss.baseline_deg * DEG
        self._line_A = rotate(conjugate(quat_of((roll, pitch, yaw))), (math.cos(line), math.sin(line), 0.0))
        self._std = config.autopilot.heading_std_deg * DEG
        self._rows = np.zeros(ATTITUDES, interface.ATTITUDE_ROW)
        self._next_ns = 0

    def read(self, line: Line, sense: np.ndarray) -> int:
        """Poll the driver; its count or status."""
        count = int(line.driver.poll(self._rows))
        if count <= 0:
            return count
        row = self._rows[count - 1]
        t_ns = int(row["t_ns"])
        north, east, _ = rotate(row["q_NA"].tolist(), self._line_A)
        if t_ns < self._next_ns or sense["heading_valid"][0] or math.hypot(north, east) < STEEP:
            return count
        self._next_ns = t_ns + EVERY_NS
        sense["heading_valid"][0] = sense["heading_soft"][0] = 1
        sense["heading_t_ns"][0] = t_ns
        sense["heading"][0] = math.atan2(east, north)
        sense["heading_std"][0] = self._std
        return count
