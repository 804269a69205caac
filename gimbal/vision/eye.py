"""The eye: a frame and the daemon's newest row in, the subject out, judged by how it moves."""

from __future__ import annotations

import numpy as np

from gimbal.config.schema import Camera
from gimbal.metrics import axes_N, q_mul
from gimbal.records import TargetStatus
from gimbal.vision.follow import BOX_M, NOWHERE, Follower, Found, Sight
from gimbal.vision.frames import Frame
from gimbal.vision.judge import Judge
from gimbal.vision.motion import Motion

PAUSE_S = 0.5  # without a frame: where the subject was says nothing any more


def held_attitude(row: np.void) -> np.ndarray:
    """q_NC (4,) that control holds against at the row's NAV time. The line of sight is given in its N, which follows
    NAV's only slowly: while north is being found the two are degrees apart."""
    off = -row["control"]["attitude_err_C"]
    angle = float(np.linalg.norm(off))
    turn = np.concatenate([[np.cos(angle / 2)], 0.5 * np.sinc(angle / (2 * np.pi)) * off])
    return q_mul(row["setpoint"]["q_NC_sp"], turn)


def turned_to(row: np.void, t_ns: int) -> np.ndarray:
    """Camera axes x, y, z (3, 3; rows, in control's N) at t_ns, near the row's own time: by its attitude and rate."""
    axes = np.array([axis[0] for axis in axes_N(held_attitude(row)[None])])
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
        self.follower, self.judge, self.motion = Follower(), Judge(), Motion()
        self.refused = 0  # locks that did not move as the subject does
        self.then_s, self.omega_C = 0.0, np.zeros(3)  # of the last frame: exposure, the camera's rate

    def step(self, frame: Frame, row: np.void | None) -> Found:
        """One frame. ``row`` is the daemon's newest TICK, None where none is to be had."""
        height, width = frame.image.shape[:2]
        t_ns = frame.t_ns + round(500 * frame.exposure_us)  # the exposure's middle
        sight = None if row is None else sight_of(row, t_ns, self.camera, width, height)
        if row is None or sight is None:
            self.then_s = 0.0  # the follower goes on by itself: what moves until the next row is in its place already
            return self.follower.step(frame.image, sight)
        t_s, target, focal = 1e-9 * t_ns, row["target"], width * self.camera.focal_mm / self.camera.sensor_mm[0]
        axes_N, rate_N = turned_to(row, t_ns), target["los_rate_N"]
        dt_s = t_s - self.then_s if 0.0 < t_s - self.then_s < PAUSE_S else 0.0
        turn_C = 0.5 * dt_s * (self.omega_C + row["nav"]["omega_NC_C_est"])
        self.then_s, self.omega_C = t_s, row["nav"]["omega_NC_C_est"].copy()
        fresh = self.follower.csrt is None
        moves = self.motion.evidence(t_s, frame.image, axes_N, focal, rate_N, sight.side)
        if fresh and moves is None and self.motion.young:
            return NOWHERE  # a second's patience: which of what stands out moves as the subject does?

        centre = np.array([0.5 * width, 0.5 * height])
        before = np.array([focal, *(np.array(self.follower.last or centre) - centre)])  # along x, y, z of the camera
        way_C = np.cross(dt_s * (axes_N @ rate_N), before)
        after = before + way_C - np.cross(turn_C, before)
        there = after[1:] * focal / max(after[0], 1.0)
        found = self.follower.step(frame.image, sight._replace(moved=tuple(there - before[1:])), moves)
        if fresh:
            self.judge.begin()
            return found._replace(tracking=False)
        if not found.tracking:
            return found
        length = float(np.linalg.norm(before))
        beyond_N = np.array([0.0, *(np.array([found.x, found.y]) - centre - there)]) @ axes_N / length
        if not self.judge.agrees(t_s, beyond_N, way_C @ axes_N / length, float(target["range_m"]), found.std / focal):
            self.refused += 1
            self.follower.refuse()
        return found if self.judge.sure else found._replace(tracking=False)
