"""The eye: a frame and the daemon's newest row in, the subject out, judged by how it moves."""

from __future__ import annotations

import numpy as np

from gimbal.config.schema import Camera
from gimbal.metrics import axes_N
from gimbal.records import TargetStatus
from gimbal.vision.follow import BOX_M, Follower, Found, Sight
from gimbal.vision.frames import Frame
from gimbal.vision.judge import Judge


def turned_to(row: np.void, t_ns: int) -> np.ndarray:
    """Camera axes x, y, z (3, 3; rows, in N) at t_ns, near the row's own time: by its attitude and rate."""
    axes = np.array([axis[0] for axis in axes_N(row["nav"]["q_NC_est"][None])])
    dt_s = (t_ns - int(row["nav"]["t_ns"])) * 1e-9
    w_N = row["nav"]["omega_NC_C_est"] @ axes
    turned = axes + dt_s * np.cross(w_N, axes)
    return turned / np.linalg.norm(turned, axis=1, keepdims=True)


def sight_of(row: np.void, t_ns: int, camera: Camera, width: int, height: int) -> Sight | None:
    """Where a TICK row says the subject is in a picture (px) exposed at t_ns; None: it does not, or not in front."""
    target = row["target"]
    if target["status"] not in (TargetStatus.TRACKING, TargetStatus.COASTING) or not row["nav"]["heading_valid"]:
        return None
    dt_s = (t_ns - int(target["t_ns"])) * 1e-9
    los = target["los_N"] + dt_s * np.cross(target["los_rate_N"], target["los_N"])
    ahead, right, down = (turned_to(row, t_ns) @ los).tolist()
    if ahead < 0.2:
        return None
    focal = width * camera.focal_mm / camera.sensor_mm[0]
    x, y = 0.5 * width + focal * right / ahead, 0.5 * height + focal * down / ahead
    side = BOX_M / max(float(target["range_m"]), 3.0) * focal
    return Sight(x, y, min(float(target["los_std"]), 0.2) * focal, min(max(side, 12.0), 0.6 * height))


class Eye:
    """Follows the subject through a camera's frames.

    Args:
        camera: the lens; frames may have any number of pixels.
    """

    def __init__(self, camera: Camera) -> None:
        self.camera = camera
        self.follower, self.judge = Follower(), Judge()
        self.refused = 0  # locks that did not move as the subject does

    def step(self, frame: Frame, row: np.void | None) -> Found:
        """One frame. ``row`` is the daemon's newest TICK, None where none is to be had."""
        height, width = frame.image.shape[:2]
        t_ns = frame.t_ns + round(500 * frame.exposure_us)  # the exposure's middle
        sight = None if row is None else sight_of(row, t_ns, self.camera, width, height)
        fresh = self.follower.csrt is None
        found = self.follower.step(frame.image, sight)
        if row is None or sight is None:
            return found
        if fresh:
            self.judge.begin()
        if not found.tracking:
            return found
        focal = width * self.camera.focal_mm / self.camera.sensor_mm[0]
        ray = np.array([focal, found.x - 0.5 * width, found.y - 0.5 * height])
        there = (ray / np.linalg.norm(ray)) @ turned_to(row, t_ns)
        target = row["target"]
        rate, metres = target["los_rate_N"], float(target["range_m"])
        if not self.judge.agrees(1e-9 * t_ns, there, rate, metres, found.std / focal):
            self.refused += 1
            self.follower.refuse()
        return found if self.judge.sure else found._replace(tracking=False)
