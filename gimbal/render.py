"""What the camera would show of a simulated run: flyer, ridge and horizon, blurred by the true motion.

Far things (sky, two ridges, the valley) lie on a panorama and turn only; the flyer is a canopy of cells, lines and a
pilot, placed and banked by the subject's path. A frame is the mean of SUB_EXPOSURES pictures over the open shutter.
"""

from __future__ import annotations

import csv
import functools
import math
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from gimbal.config.schema import Camera
from gimbal.errors import ConfigError, UsageError
from gimbal.metrics import axes_N
from gimbal.output import check_writable
from gimbal.vision import need_opencv

SUB_EXPOSURES = 6
PANORAMA = (1024, 4096)  # rows over +-HIGH, columns over the full circle
HIGH = math.radians(60.0)
GRID = 24  # px between exact rays of the background
CELLS, SPAN_M, CHORD_M, RADIUS_M, LINES_M = 9, 5.6, 1.3, 3.4, 3.6
SKY_TOP, SKY_LOW = (196, 132, 70), (236, 214, 186)  # B, G, R
COLOURS = ((40, 40, 225), (245, 245, 245), (30, 190, 250))


class Shot(NamedTuple):
    """A frame: image (h, w, 3) B G R; start of the exposure and its length; where the subject's middle is (share of
    the picture from its top left, at the exposure's middle; NaN behind the camera)."""

    image: np.ndarray
    t_ns: int
    exposure_us: float
    x: float
    y: float


def _ridge(rng: np.random.Generator, azimuth: np.ndarray, height_deg: float, rough: float) -> np.ndarray:
    """Elevation (rad) of a skyline over azimuth: sums of waves, whole ones a turn."""
    out = np.full(azimuth.shape, height_deg)
    for k in range(2, 90):
        out += rng.normal() * rough / k**0.9 * np.cos(k * azimuth + rng.uniform(0, 2 * math.pi))
    return np.radians(out)


def _noise(cv2: Any, rng: np.random.Generator, shape: tuple[int, int], finest: int) -> np.ndarray:
    """Smooth noise of unit scale with detail down to ``finest`` px; its left and right edges meet."""
    total = np.zeros(shape, np.float32)
    for octave in range(5):
        cell = finest << octave
        small = rng.normal(size=(shape[0] // cell + 2, shape[1] // cell)).astype(np.float32)
        small = np.hstack([small, small[:, :1]])
        total += cv2.resize(small, (shape[1], shape[0]), interpolation=cv2.INTER_CUBIC) * (0.35 + 0.2 * octave)
    return total / 2.0


@functools.cache
def panorama(seed: int) -> np.ndarray:
    """The far scene (rows, columns, 3) uint8: columns are azimuth 0 to 2 pi, rows elevation +HIGH to -HIGH."""
    cv2 = need_opencv()
    rng = np.random.default_rng([seed, 77])
    rows, columns = PANORAMA
    elevation = np.linspace(HIGH, -HIGH, rows)[:, None]
    azimuth = np.linspace(0, 2 * math.pi, columns, endpoint=False)
    share = np.clip(elevation / HIGH, 0.0, 1.0)[..., None] ** 0.6
    image = (1 - share) * np.array(SKY_LOW) + share * np.array(SKY_TOP)
    image = np.broadcast_to(image, (rows, columns, 3)).astype(np.float32)
    cloud = np.clip(_noise(cv2, rng, (rows, columns), 24) - 0.25, 0.0, 1.0)[..., None] * 0.55
    image = image * (1 - cloud) + cloud * 250.0
    texture = _noise(cv2, rng, (rows, columns), 3)[..., None]
    for height, rough, colour, contrast in ((5.0, 4.0, (150, 128, 110), 14.0), (-1.5, 3.0, (74, 88, 70), 22.0)):
        skyline = _ridge(rng, azimuth, height, rough)[None, :]
        below = np.clip((skyline - elevation) / (2 * HIGH / rows), 0.0, 1.0)[..., None]
        snow = np.clip((elevation - math.radians(7.0)) / 0.06 + 0.7 * texture[..., 0], 0.0, 1.0)[..., None]
        land = np.array(colour) * (1 - snow) + 235.0 * snow + contrast * texture
        image = image * (1 - below) + below * land
    deep = np.clip(-elevation / 0.7, 0.0, 1.0)[..., None]
    image = image * (1 - 0.35 * deep) + 0.35 * deep * np.array((60.0, 92.0, 66.0))
    return np.clip(image, 0, 255).astype(np.uint8)


class Renderer:
    """Draws frames for a camera.

    Args:
        camera: lens, sensor and shutter of the rig.
        width_px: of the picture; the camera's own pixels are finer.
        seed: of the scenery.
    """

    def __init__(self, camera: Camera, width_px: int = 960, seed: int = 1) -> None:
        self.cv2 = need_opencv()
        self.width = width_px
        self.height = 2 * round(0.5 * width_px * camera.sensor_mm[1] / camera.sensor_mm[0])
        self.focal = width_px * camera.focal_mm / camera.sensor_mm[0]
        self.scene = panorama(seed)
        xs = np.linspace(0, self.width - 1, self.width // GRID + 1)
        ys = np.linspace(0, self.height - 1, self.height // GRID + 1)
        x, y = np.meshgrid((xs - (self.width - 1) / 2) / self.focal, (ys - (self.height - 1) / 2) / self.focal)
        columns = np.linspace(0, len(xs) - 1, self.width, dtype=np.float32)
        lines = np.linspace(0, len(ys) - 1, self.height, dtype=np.float32)
        self.places = np.meshgrid(columns, lines)  # of each pixel on the grid
        self.rays_C = np.stack([np.ones_like(x), x, y], -1)

    def background(self, R_NC: np.ndarray) -> np.ndarray:
        """The far scene for a camera of attitude R_NC (3, 3)."""
        rows, columns = PANORAMA
        ray = self.rays_C @ R_NC.T
        centre = math.atan2(R_NC[1, 0], R_NC[0, 0])
        c, s = math.cos(centre), math.sin(centre)
        azimuth = centre + np.arctan2(c * ray[..., 1] - s * ray[..., 0], c * ray[..., 0] + s * ray[..., 1])
        elevation = np.arctan2(-ray[..., 2], np.hypot(ray[..., 0], ray[..., 1]))
        u = (azimuth / (2 * math.pi) * columns).astype(np.float32)
        v = np.clip((HIGH - elevation) / (2 * HIGH) * rows, 0, rows - 2).astype(np.float32)
        u, v = (self.cv2.remap(m, *self.places, self.cv2.INTER_LINEAR) for m in (u, v))
        return self.cv2.remap(self.scene, u, v, self.cv2.INTER_LINEAR, borderMode=self.cv2.BORDER_WRAP)

    def project(self, R_NC: np.ndarray, camera_N: np.ndarray, points_N: np.ndarray) -> np.ndarray:
        """Pixels (n, 2) of points (n, 3) m; NaN for those not in front of the camera."""
        v = (points_N - camera_N) @ R_NC
        ahead = np.where(v[:, 0] > 0.5, v[:, 0], np.nan)[:, None]
        return v[:, 1:] / ahead * self.focal + [(self.width - 1) / 2, (self.height - 1) / 2]

    def flyer(
        self, image: np.ndarray, R_NC: np.ndarray, camera_N: np.ndarray, at: np.ndarray, axes: np.ndarray
    ) -> None:
        """Draw canopy, lines and pilot at ``at`` (m, N) with axes (3, 3): rows forward, side, up."""
        forward, side, up = axes
        angle = np.linspace(-0.5, 0.5, CELLS + 1)[:, None] * SPAN_M / RADIUS_M
        crest = at + up * (LINES_M - RADIUS_M + 0.5 + RADIUS_M * np.cos(angle)) + side * RADIUS_M * np.sin(angle)
        edges = [self.project(R_NC, camera_N, crest + k * forward * CHORD_M + d * up) for k, d in
                 ((0.55, 0.0), (-0.45, 0.12))]  # fmt: skip
        body = self.project(R_NC, camera_N, at + np.array([[0.55], [0.15], [-0.75]]) * up)
        if not (np.isfinite(edges).all() and np.isfinite(body).all()) or np.abs(edges).max() > 8 * self.width:
            return
        above = np.linalg.norm(crest[CELLS // 2] - camera_N) < np.linalg.norm(at - camera_N)
        draw = [self._wing, self._pilot]
        for part in reversed(draw) if above else draw:  # the farther first
            part(image, edges, body, self.focal / max(float(np.linalg.norm(at - camera_N)), 1.0))

    def _wing(self, image: np.ndarray, edges: list[np.ndarray], body: np.ndarray, scale: float) -> None:
        for i in range(CELLS):
            quad = np.stack([edges[0][i], edges[0][i + 1], edges[1][i + 1], edges[1][i]])
            self.cv2.fillPoly(image, [np.round(quad * 16).astype(np.int32)], COLOURS[i % 3], self.cv2.LINE_AA, 4)

    def _pilot(self, image: np.ndarray, edges: list[np.ndarray], body: np.ndarray, scale: float) -> None:
        cv2 = self.cv2
        for i in (0, 2, 4, 5, 7, 9):
            a, b = (np.round(p * 16).astype(int).tolist() for p in (edges[0][i], body[0]))
            cv2.line(image, a, b, (90, 80, 80), 1, cv2.LINE_AA, 4)
        a, b, c = (np.round(p * 16).astype(int).tolist() for p in body)
        cv2.line(image, b, c, (35, 25, 30), max(1, round(0.42 * scale)), cv2.LINE_AA, 4)
        cv2.circle(image, a, max(16, round(0.17 * scale * 16)), (20, 20, 60), -1, cv2.LINE_AA, 4)

    def frame(
        self, q_NC: np.ndarray, camera_N: np.ndarray, target_N: np.ndarray, axes: np.ndarray, t_ns: int, open_us: float
    ) -> Shot:
        """One frame from n sub-exposures: q_NC (n, 4), camera_N, target_N (n, 3), the flyer's axes (3, 3)."""
        total = np.zeros((self.height, self.width, 3), np.float32)
        rotations = np.stack(axes_N(q_NC), -1)
        for R_NC, camera, target in zip(rotations, camera_N, target_N, strict=True):
            image = self.background(R_NC)
            if np.isfinite(target).all():
                self.flyer(image, R_NC, camera, target, axes)
            self.cv2.accumulate(image, total)
        mid = len(q_NC) // 2
        place = self.project(rotations[mid], camera_N[mid], target_N[mid : mid + 1])[0]
        share = (place + 0.5) / [self.width, self.height]
        return Shot((total / len(q_NC)).astype(np.uint8), t_ns, open_us, float(share[0]), float(share[1]))


def wing_axes(velocity: np.ndarray, lift: np.ndarray) -> np.ndarray:
    """Forward, side, up (3, 3) of a wing along its velocity (m/s, N), banked by its lift (m/s², N)."""
    speed = float(np.linalg.norm(velocity))
    forward = velocity / speed if speed > 1.0 else np.array([1.0, 0.0, 0.0])
    up = lift - (lift @ forward) * forward
    if np.linalg.norm(up) < 1e-6:
        up = np.array([0.0, 0.0, -1.0])
    up /= np.linalg.norm(up)
    return np.stack([forward, np.cross(forward, -up), up])


def flyer_axes(target_N: np.ndarray, k: int, rate_hz: float) -> np.ndarray:
    """The same on the path target_N (n, 3) at row k."""
    h = max(1, min(round(0.25 * rate_hz), (len(target_N) - 1) // 2))
    k = min(max(k, h), len(target_N) - 1 - h)
    before, here, after = target_N[k - h], target_N[k], target_N[k + h]
    return wing_axes(
        (after - before) * rate_hz / (2 * h), (after - 2 * here + before) * (rate_hz / h) ** 2 - [0, 0, 9.81]
    )


def shots(h: np.ndarray, camera: Camera, *, width_px: int = 960, seed: int = 1, start_s: float = 0.0) -> Iterator[Shot]:
    """The frames of a run: ``h`` are HISTORY rows with truth, one a tick."""
    renderer = Renderer(camera, width_px, seed)
    rate_hz = 1e9 / float(h["t_ns"][1] - h["t_ns"][0])
    open_s = camera.shutter_deg / 360.0 / camera.frames_s
    offsets = (np.arange(SUB_EXPOSURES) + 0.5) / SUB_EXPOSURES * open_s * rate_hz
    for k in range(math.ceil((len(h) / rate_hz - start_s - open_s) * camera.frames_s)):
        first = (start_s + k / camera.frames_s) * rate_hz
        rows = np.minimum(np.round(first + offsets).astype(int), len(h) - 1)
        axes = flyer_axes(h["target_pos_N"], int(rows[SUB_EXPOSURES // 2]), rate_hz)
        t_ns = int(h["t_ns"][0] + first / rate_hz * 1e9)
        part = h[rows]
        yield renderer.frame(part["q_true"], part["camera_pos_N"], part["target_pos_N"], axes, t_ns, 1e6 * open_s)


def check_render(path: str | None) -> None:
    """Can pictures be drawn, and is ``path`` a video's name? Before the run, so that no run is lost.

    Raises:
        UsageError: no OpenCV, an unknown ending, or a folder that can't be written.
    """
    if path is None:
        return
    if Path(path).suffix.lower() not in (".mp4", ".avi"):
        raise UsageError(f"--render {path}: name a video that ends in .mp4 or .avi, for example pass.mp4.")
    check_writable(path, "--render")
    check_writable(str(Path(path).with_suffix(".csv")), "--render: the table beside the video,")
    need_opencv()


def render_run(path: str, h: np.ndarray, camera: Camera, seed: int = 1) -> int:
    """Write the run's video and beside it a CSV (frame, t_ns, exposure_us, x, y). Returns the number of frames.

    Raises:
        ConfigError: the video can't be written.
    """
    cv2 = need_opencv()
    code = cv2.VideoWriter.fourcc(*("mp4v" if path.lower().endswith(".mp4") else "MJPG"))
    writer, number = None, 0
    with open(Path(path).with_suffix(".csv"), "w", newline="") as table:
        rows = csv.writer(table)
        rows.writerow(["frame", "t_ns", "exposure_us", "x", "y"])
        for shot in shots(h, camera, seed=seed):
            if writer is None:
                size = shot.image.shape[1], shot.image.shape[0]
                writer = cv2.VideoWriter(path, code, camera.frames_s, size)
                if not writer.isOpened():
                    raise ConfigError(
                        f"The video {path} can't be written. Is its folder there? Or try the ending .avi."
                    )
            writer.write(shot.image)
            rows.writerow([number, shot.t_ns, f"{shot.exposure_us:.0f}", f"{shot.x:.6f}", f"{shot.y:.6f}"])
            number += 1
    if writer is not None:
        writer.release()
    return number
