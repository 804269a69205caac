"""What in the picture moves with the subject, and what with the world behind it?

An earlier frame is turned to the new one twice: as far things move (the camera's turn alone) and as the subject is
predicted to (its line of sight's turn as well). A far hillside is where the first says, the subject where the second
does. Differences, colours summed, are taken over a box. Of two earlier frames the lesser difference from the world
counts: where the subject has just been, the world was hidden in one of them only.
"""

from __future__ import annotations

from collections import deque

import numpy as np

from gimbal.vision import need_opencv

WIDTH_PX = 320  # at most, of the frames that are kept
KEEP_S = 1.2
WAIT_S = 1.0
SHIFTS = (0.7, 1.4)  # boxes between subject and world after which two earlier frames tell them apart
NOISE = 14.0  # grey levels, three colours summed: differences below say nothing
LEAST, MOST, UNSEEN = 0.1, 3.0, 0.4  # UNSEEN: where an earlier frame doesn't reach


class Motion:
    """Keeps frames for a second and compares them."""

    def __init__(self) -> None:
        self.cv2 = need_opencv()
        self.kept: deque[tuple[float, np.ndarray, np.ndarray]] = deque()  # time s, picture, camera axes in N

    def evidence(
        self, t_s: float, image: np.ndarray, axes_N: np.ndarray, focal: float, los_rate_N: np.ndarray, side: float
    ) -> np.ndarray | None:
        """Per pixel of ``image`` how much rather it moves as the subject than as the world: above 1 so, below 1 not.

        Args:
            t_s: middle of the exposure; frames come in its order.
            axes_N: camera axes x, y, z, a row each.
            focal: px.
            los_rate_N: angular velocity of the predicted line of sight, rad/s.
            side: of the subject's box, px.

        Returns:
            (h, w) float32 within LEAST to MOST, or None where nothing has moved far enough yet.
        """
        cv2, (height, width) = self.cv2, image.shape[:2]
        scale = min(1.0, WIDTH_PX / width)
        size = round(width * scale), round(height * scale)
        small = cv2.blur(cv2.resize(image, size, interpolation=cv2.INTER_AREA), (3, 3))
        if self.kept and not 0.0 < t_s - self.kept[-1][0] < KEEP_S:
            self.kept.clear()
        self.kept.append((t_s, small, axes_N))
        while t_s - self.kept[0][0] > KEEP_S:
            self.kept.popleft()
        far_px_s = float(np.linalg.norm(los_rate_N)) * focal
        pixels = _rays(focal * scale, size)
        box = max(3, round(0.5 * side * scale) | 1)
        offs, shown = [], np.zeros(0)
        for shift in SHIFTS:
            past = [kept for kept in self.kept if far_px_s * (t_s - kept[0]) >= shift * side]
            if not past:
                break
            then_s, before, then_N = past[-1]
            as_world = np.linalg.inv(pixels) @ then_N @ axes_N.T @ pixels
            swing = then_N @ _turn((then_s - t_s) * los_rate_N) @ axes_N.T
            as_world, nudge = self._registered(small, before, as_world)
            as_subject = np.linalg.inv(pixels) @ swing @ pixels @ nudge
            off, seen = self._differences(small, before, as_world, as_subject, box)
            offs.append(off)
            shown = seen if len(offs) == 1 else shown & seen
        if not offs:
            return None
        world, subject = np.minimum.reduce(offs)
        ratio = np.where(shown, np.clip((world + NOISE) / (subject + NOISE), LEAST, MOST), UNSEEN)
        return cv2.resize(ratio.astype(np.float32), (width, height), interpolation=cv2.INTER_LINEAR)

    @property
    def young(self) -> bool:
        """Not enough has been seen to judge by: wait."""
        return not self.kept or self.kept[-1][0] - self.kept[0][0] < WAIT_S

    def _registered(self, now: np.ndarray, before: np.ndarray, as_world: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """as_world and the shift (3, 3) that mends it where the pictures say that the attitude's north has been turned
        between them: whichever leaves less of a difference in the middle of all pixels."""
        cv2, flags = self.cv2, self.cv2.INTER_LINEAR | self.cv2.WARP_INVERSE_MAP
        width, height = size = now.shape[1::-1]
        grey, old = (_plain(image) for image in (now, before))

        def off(way: np.ndarray) -> np.ndarray:
            return np.abs(grey - cv2.warpPerspective(old, way, size, flags=flags, borderMode=cv2.BORDER_REPLICATE))

        moved = cv2.warpPerspective(old, as_world, size, flags=flags, borderMode=cv2.BORDER_REPLICATE)
        left, top = width // 4, height // 4
        match = cv2.matchTemplate(moved, grey[top : height - top, left : width - left], cv2.TM_CCOEFF_NORMED)
        _, _, _, (x, y) = cv2.minMaxLoc(match)
        nudge = np.array([[1, 0, x - left], [0, 1, y - top], [0, 0, 1]], float)
        if np.median(off(as_world @ nudge)) < np.median(off(as_world)):
            return as_world @ nudge, nudge
        return as_world, np.eye(3)

    def _differences(
        self, now: np.ndarray, before: np.ndarray, as_world: np.ndarray, as_subject: np.ndarray, box: int
    ) -> tuple[np.ndarray, np.ndarray]:
        """Mean over a box (px) of what the picture differs from the earlier one, moved either way (2, h, w), and where
        that reaches (h, w)."""
        size, flags = now.shape[1::-1], self.cv2.INTER_LINEAR | self.cv2.WARP_INVERSE_MAP
        moved, seen = [], np.full(now.shape[:2], True)
        for way in (as_world, as_subject):
            moved.append(self.cv2.warpPerspective(before, way, size, flags=flags))
            seen &= self.cv2.warpPerspective(np.full(now.shape[:2], 255, np.uint8), way, size, flags=flags) > 254
        off = [self.cv2.absdiff(now, m).astype(np.float32).sum(axis=2) * seen for m in moved]
        return np.array([self.cv2.blur(o, (box, box)) for o in off]), seen


def _plain(image: np.ndarray) -> np.ndarray:
    """Brightness, float32, with what stands out far clipped: the scenery is to count, not who flies before it."""
    grey = image.mean(axis=2, dtype=np.float32)
    middle = np.median(grey)
    most = 2.0 * np.median(np.abs(grey - middle))
    return np.clip(grey - middle, -most, most)


def _rays(focal: float, size: tuple[int, int]) -> np.ndarray:
    """(3, 3): pixel (x, y, 1) to a ray along the camera's x, y, z."""
    return np.array([[0, 0, focal], [1, 0, -0.5 * (size[0] - 1)], [0, 1, -0.5 * (size[1] - 1)]], float)


def _turn(phi: np.ndarray) -> np.ndarray:
    """Matrix (3, 3) that turns by the rotation vector phi (rad): Rodrigues."""
    angle = float(np.linalg.norm(phi))
    x, y, z = phi
    cross = np.array([[0, -z, y], [z, 0, -x], [-y, x, 0]])
    return np.eye(3) + np.sinc(angle / np.pi) * cross + 0.5 * np.sinc(angle / (2 * np.pi)) ** 2 * cross @ cross
