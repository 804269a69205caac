"""Finds and follows the subject in frames: OpenCV's CSRT in a window that rides on the predicted line of sight.

CSRT (A. Lukezic et al., Discriminative Correlation Filter with Channel and Spatial Reliability, CVPR 2017,
doi 10.1109/CVPR.2017.515) looks near where its subject was. The window goes with the subject's predicted motion from
where it was last, so that a swerve of the camera is no motion in the window, and a better idea of where the subject
is doesn't tear it away. How sure it is, CSRT doesn't say: the
correlation of the patch with what the subject has looked like does.
"""

from __future__ import annotations

import math
from typing import Any, NamedTuple

import numpy as np

from gimbal.vision import need_opencv

PATCH = 32  # px, side of the patch whose look is remembered
WINDOW = 5.0  # times the box: side of the window
LOST_BELOW, FOUND_ABOVE = 0.25, 0.35  # confidence
LOST_FRAMES = 4  # doubtful frames in a row after which it is searched anew
CHOICES = 3  # places tried in turn
HANGS, WING = 3, (1.2, 3.4)  # what moves as the subject and hangs so far (boxes) below it is the subject instead
MOVES = 1.2  # and more: it moves as the subject
STANDS_OUT = 0.8  # of the scatter of the surroundings
LEARN = 0.06  # share of a sure frame in the remembered look
BOX_M = 1.7  # a pilot and what hangs on them
STD_SHARE = 0.09  # of the box's side: error of its centre, 1 sigma (tests/vision holds it to that)


class Sight(NamedTuple):
    """Where the subject is expected: px from the picture's top left, 1 sigma (px), side of its box (px); how far what
    was where the subject last was has moved since the last frame (px)."""

    x: float
    y: float
    std: float
    side: float
    moved: tuple[float, float] = (0.0, 0.0)


class Found(NamedTuple):
    """Where the subject is, px; its box's sides; how sure, 0 to 1; error of x and y (1 sigma, px); is it followed?"""

    x: float
    y: float
    w: float
    h: float
    confidence: float
    std: float
    tracking: bool


NOWHERE = Found(0.0, 0.0, 0.0, 0.0, 0.0, 0.0, False)


class Follower:
    """Follows one subject through frames (h, w, 3) uint8, B G R."""

    def __init__(self) -> None:
        self.cv2 = need_opencv()
        self.csrt: Any = None
        self.last: tuple[float, float] | None = None  # where it was, px
        self.doubts = 0
        self.refused = 0  # places in a row that were not the subject

    def refuse(self) -> None:
        """What is followed is not the subject: look again, at the next most striking place."""
        self.csrt, self.last = None, None
        self.refused = (self.refused + 1) % CHOICES

    def begin(self, image: np.ndarray, x: float, y: float, side: float) -> None:
        """Take what is at x, y (px) in a square of ``side`` px as the subject."""
        self.side = max(side, 12.0)
        self.scale = min(1.0, 40.0 / self.side)  # CSRT on 40 px: as good as on more, and quicker
        self.doubts = 0
        self.last = (x, y)
        window, corner = self._window(image, x, y)
        box = self._box(np.array([x, y]) - corner)
        self.csrt = self.cv2.TrackerCSRT_create()
        self.csrt.init(window, box)
        self.look = self._patch(image, x, y, self.side)

    def search(self, image: np.ndarray, sight: Sight, moves: np.ndarray | None = None) -> bool:
        """Find the subject within 3 sigma of ``sight`` and begin there: what stands out from its surroundings most,
        and, where ``moves`` (h, w) tells, moves as the subject does (motion.py)."""
        reach = int(max(3.0 * sight.std, sight.side))
        half = reach + int(2 * sight.side)
        part, corner = self._cut(image, sight.x, sight.y, half)
        scale = min(1.0, 24.0 / sight.side)
        small = self.cv2.resize(part, None, fx=scale, fy=scale, interpolation=self.cv2.INTER_AREA).astype(np.float32)
        size = max(3, int(sight.side * scale) // 2 | 1)
        near = self.cv2.blur(small, (size, size))
        far = self.cv2.blur(small, (4 * size + 1, 4 * size + 1))
        spread = np.sqrt(np.maximum(self.cv2.blur(small * small, (4 * size + 1,) * 2) - far * far, 16.0)).mean()
        away = np.linalg.norm(near - far, axis=2) / spread
        ys, xs = np.mgrid[0 : away.shape[0], 0 : away.shape[1]] / scale - half
        sure = 0.5 if moves is None else 0.25  # how far off it is, counts less where its motion is known
        away *= np.exp(-sure * (xs * xs + ys * ys) / (max(sight.std, 0.35 * sight.side) ** 2))
        if moves is not None:
            cut, _ = self._cut(moves, sight.x, sight.y, half)
            told = self.cv2.resize(cut, away.shape[::-1], interpolation=self.cv2.INTER_AREA)
            away *= told
        v, u = np.unravel_index(int(np.argmax(away)), away.shape)
        best = away[v, u]
        for _ in range(self.refused):  # these were tried
            away = np.where(np.hypot(xs - xs[v, u], ys - ys[v, u]) < sight.side, 0.0, away)
            v, u = np.unravel_index(int(np.argmax(away)), away.shape)
        if away[v, u] < max(STANDS_OUT, 0.3 * best):
            self.refused = 0
            return False
        for _ in range(HANGS if moves is not None else 0):  # that was a wing, perhaps: its pilot is the subject
            x, y = xs - xs[v, u], ys - ys[v, u]
            far = np.hypot(x, y) / sight.side
            here = (far > WING[0]) & (far < WING[1]) & (y > 0.3 * far * sight.side) & (told > MOVES)
            under = np.where(here, away, 0.0)
            if under.max() < STANDS_OUT:
                break
            v, u = np.unravel_index(int(np.argmax(under)), away.shape)
        close = np.hypot(xs - xs[v, u], ys - ys[v, u]) < 0.6 * sight.side  # its middle, not its most striking part
        weight = np.where(close, np.maximum(away - 0.5 * away[v, u], 0.0), 0.0)
        middle = (weight * (xs + half)).sum() / weight.sum(), (weight * (ys + half)).sum() / weight.sum()
        self.begin(image, corner[0] + middle[0] + 0.5 / scale, corner[1] + middle[1] + 0.5 / scale, sight.side)
        return True

    def step(self, image: np.ndarray, sight: Sight | None = None, moves: np.ndarray | None = None) -> Found:
        """One frame. ``sight`` None: nothing is predicted, the subject is looked for where it was. ``moves``: see
        `search`."""
        height, width = image.shape[:2]
        if self.csrt is None:
            if sight is None or not self.search(image, sight, moves):
                return NOWHERE
            sight = sight._replace(moved=(0.0, 0.0))
        at = np.array(self.last or (width / 2, height / 2)) + (sight.moved if sight is not None else (0.0, 0.0))
        window, corner = self._window(image, float(at[0]), float(at[1]))
        ok, box = self.csrt.update(window)
        centre = corner + (np.array(box[:2]) + 0.5 * np.array(box[2:])) / self.scale
        side = float(np.clip(math.sqrt(max(box[2] * box[3], 1.0)) / self.scale, 0.7 * self.side, 1.4 * self.side))
        inside = 0 <= centre[0] < width and 0 <= centre[1] < height
        patch = self._patch(image, float(centre[0]), float(centre[1]), side)
        confidence = float(np.clip(np.mean(patch * self.look), 0.0, 1.0)) if ok and inside else 0.0
        if confidence > 0.6:
            look = (1 - LEARN) * self.look + LEARN * patch
            self.look = look / max(float(np.sqrt(np.mean(look * look))), 1e-6)
        self.doubts = 0 if confidence >= FOUND_ABOVE else self.doubts + 1
        tracking = bool(ok and inside and confidence >= LOST_BELOW)
        x, y = (centre if tracking else at).tolist()
        self.last = (x, y)
        if self.doubts >= LOST_FRAMES:
            self.csrt = None  # searched anew with the next frame
        std = side * STD_SHARE / max(confidence, 0.3)
        return Found(float(centre[0]), float(centre[1]), side, side, confidence, std, tracking)

    def _box(self, at: np.ndarray) -> tuple[int, int, int, int]:
        corner = (at - 0.5 * self.side) * self.scale
        side = round(self.side * self.scale)
        return round(corner[0]), round(corner[1]), side, side

    def _window(self, image: np.ndarray, x: float, y: float) -> tuple[np.ndarray, np.ndarray]:
        part, corner = self._cut(image, x, y, int(0.5 * WINDOW * self.side))
        if self.scale < 1.0:
            part = self.cv2.resize(part, None, fx=self.scale, fy=self.scale, interpolation=self.cv2.INTER_AREA)
        return part, corner

    def _cut(self, image: np.ndarray, x: float, y: float, half: int) -> tuple[np.ndarray, np.ndarray]:
        """A square of 2 half px around x, y, its edge repeated beyond the picture, and its corner in the picture."""
        height, width = image.shape[:2]
        left, top = round(min(max(x, 0), width)) - half, round(min(max(y, 0), height)) - half
        right, bottom = left + 2 * half, top + 2 * half
        part = image[max(top, 0) : min(bottom, height), max(left, 0) : min(right, width)]
        pads = max(-top, 0), max(bottom - height, 0), max(-left, 0), max(right - width, 0)
        if any(pads):
            part = self.cv2.copyMakeBorder(part, *pads, self.cv2.BORDER_REPLICATE)
        return np.ascontiguousarray(part), np.array([left, top], float)

    def _patch(self, image: np.ndarray, x: float, y: float, side: float) -> np.ndarray:
        """The look at x, y: PATCH by PATCH of three colours, mean 0, RMS 1 (0 where it is plain)."""
        part, _ = self._cut(image, x, y, max(6, int(0.6 * side)))
        small = self.cv2.resize(part, (PATCH, PATCH), interpolation=self.cv2.INTER_AREA).astype(np.float32)
        small -= small.mean(axis=(0, 1))
        return small / max(float(np.sqrt(np.mean(small * small))), 4.0)
