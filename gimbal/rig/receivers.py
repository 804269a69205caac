"""Fixes and bearings at the rig's border: places become N about the rig's own first fix, pictures become tangents."""

from __future__ import annotations

import numpy as np

from firmware_bridge import interface
from gimbal.config.schema import Camera
from gimbal.rig.line import Line
from gimbal.rig.local_frame import LocalFrame

FIXES = 8  # rows of one look
MOVES_M_S = 3.0  # faster than this, no receiver tells the same place twice to its last digit


class Receivers:
    """What the rig's GNSS, beacon and tracking camera put into SENSE."""

    def __init__(self, camera: Camera, frame: LocalFrame) -> None:
        self.camera, self.frame = camera, frame
        self._fixes = np.zeros(FIXES, interface.FIX_ROW)
        self._bearings = np.zeros(FIXES, interface.BEARING_ROW)
        self._beacon_place = (0.0, 0.0, 0.0)

    def read_fix(self, line: Line, sense: np.ndarray) -> int:
        """Poll a receiver's driver; its count or status."""
        count = int(line.driver.poll(self._fixes))
        if line.kind == "gnss":
            self._read_heading(line, sense)
        if count <= 0:
            return count
        fix = self._fixes[count - 1]  # two in one tick only after a stall: the newest counts
        if fix["fix"] < 3:
            return count
        place = float(fix["lat_deg"]), float(fix["lon_deg"]), float(fix["height_m"])
        if not self.frame.ready:
            if line.kind != "gnss":
                return count  # N does not exist before the rig's own first fix
            self.frame.set_origin(*place)
        if line.kind == "beacon" and self._frozen(fix, place):
            return count  # the camera would turn to a place that the subject has left: the target coasts instead
        prefix = line.kind
        sense[f"{prefix}_valid"][0] = 1
        sense[f"{prefix}_t_ns"][0] = fix["t_ns"]
        sense[f"{prefix}_arrival_ns"][0] = fix["arrival_ns"]
        sense[f"{prefix}_pos_N"][0] = self.frame.position_N(*place)
        sense[f"{prefix}_vel_N"][0] = fix["vel_N"]
        sense[f"{prefix}_pos_std"][0] = fix["pos_std_m"]
        sense[f"{prefix}_vel_std"][0] = fix["vel_std_m_s"]
        sense[f"{prefix}_no_vel"][0] = 0 if fix["has_vel"] else 1
        return count

    def _frozen(self, fix: np.void, place: tuple[float, float, float]) -> bool:
        """The beacon says that it flies and tells the same place again: its receiver hangs, or its radio repeats."""
        same, self._beacon_place = place == self._beacon_place, place
        return bool(same and fix["has_vel"] and float(np.hypot(*fix["vel_N"][:2])) > MOVES_M_S)

    def _read_heading(self, line: Line, sense: np.ndarray) -> None:
        """The base line's heading, where the receiver has a second antenna."""
        row = getattr(line.driver, "heading", None)
        if row is None or not row["valid"][0]:
            return
        row["valid"] = 0
        sense["heading_valid"][0], sense["heading_soft"][0] = 1, 0  # an autopilot's in this tick gives way
        sense["heading_t_ns"][0] = row["t_ns"][0]
        sense["heading"][0] = row["heading_rad"][0]
        sense["heading_std"][0] = row["heading_std_rad"][0]

    def read_bearing(self, line: Line, sense: np.ndarray) -> int:
        """A place in the picture becomes tangents from the boresight, by the lens and the sensor of the rig file."""
        camera = self.camera
        count = int(line.driver.poll(self._bearings))
        if count <= 0:
            return count
        row = self._bearings[count - 1]
        if not row["tracking"] or row["confidence"] <= 0.0:
            return count
        wide, high = camera.sensor_mm[0] / camera.focal_mm, camera.sensor_mm[1] / camera.focal_mm
        sense["bearing_valid"][0] = 1
        sense["bearing_t_ns"][0] = row["t_ns"]
        sense["bearing_arrival_ns"][0] = row["arrival_ns"]
        sense["bearing_xy"][0] = (row["xy_image"][0] - 0.5) * wide, (row["xy_image"][1] - 0.5) * high
        sense["bearing_std"][0] = row["std_image"] * wide  # 0: it doesn't say
        return count
