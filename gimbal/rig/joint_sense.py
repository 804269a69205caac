"""Our joint angles and the device's: sign and zero of each joint, from the calibration where there is one."""

from __future__ import annotations

import math

import numpy as np

from gimbal.config.schema import Rig
from gimbal.frames import AXES


def believed(rig: Rig) -> tuple[np.ndarray, np.ndarray]:
    """Directions (3,) and zeros (3,) in rad, roll pitch yaw, as the loop has them: device = direction angle + zero."""
    joints = rig.joints if rig.calibrated is None or rig.calibrated.joints is None else rig.calibrated.joints
    each = [getattr(joints, axis) for axis in AXES]
    return np.array([float(j.direction) for j in each]), np.array([math.radians(j.zero_deg) for j in each])


def simulated(rig: Rig, errors: object) -> tuple[np.ndarray, np.ndarray]:
    """The same of the simulated device: as the rig file says, unless the scenario's errors say otherwise."""
    each = [getattr(rig.joints, axis) for axis in AXES]
    direction = getattr(errors, "joint_direction", None) or [j.direction for j in each]
    zero_deg = getattr(errors, "joint_zero_deg", None) or [j.zero_deg for j in each]
    return np.array(direction, float), np.radians(np.array(zero_deg, float))
