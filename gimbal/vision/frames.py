"""Frames with the time of their exposure: from a camera device, a video file, or a video drawn by `gimbal sim`."""

from __future__ import annotations

import csv
import time
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import numpy as np

from gimbal.errors import UsageError
from gimbal.vision import need_opencv


class Frame(NamedTuple):
    """An image (h, w, 3) B G R, when its exposure began (CLOCK_MONOTONIC, or the file's own clock) and its length."""

    image: np.ndarray
    t_ns: int
    exposure_us: float


def frames(source: str, *, latency_ms: float, exposure_us: float) -> Iterator[Frame]:
    """Frames of ``source``: a number or /dev/video… is a camera, else a video file.

    A camera's frames are stamped with their arrival less ``latency_ms``: measure it once, OpenCV knows no exposure
    times. A file with a table of the same name beside it (.csv, `gimbal sim --render` writes it) has its times from
    there, else from its frame rate.

    Raises:
        UsageError: no such file or device, or one that gives no frames.
    """
    cv2 = need_opencv()
    live = source.isdigit() or source.startswith("/dev/")
    if not live and not Path(source).is_file():
        raise UsageError(f"There is no video {source!r}. Name a file, a device such as /dev/video0, or its number.")
    capture = cv2.VideoCapture(int(source) if source.isdigit() else source)
    if not capture.isOpened():
        raise UsageError(
            f"{source!r} can't be opened as a video. Is it a video file, or a camera that no one else uses?"
        )
    try:
        yield from _live(capture, latency_ms, exposure_us) if live else _recorded(capture, source, exposure_us)
    finally:
        capture.release()


def _live(capture: object, latency_ms: float, exposure_us: float) -> Iterator[Frame]:
    while True:
        ok, image = capture.read()  # type: ignore[attr-defined]
        if not ok:
            return
        yield Frame(image, time.monotonic_ns() - round(1e6 * latency_ms), exposure_us)


def _recorded(capture: object, source: str, exposure_us: float) -> Iterator[Frame]:
    cv2 = need_opencv()
    rate = capture.get(cv2.CAP_PROP_FPS) or 25.0  # type: ignore[attr-defined]
    table = Path(source).with_suffix(".csv")
    stamps = []
    if table.is_file():
        with table.open(newline="") as lines:
            stamps = [(int(row["t_ns"]), float(row["exposure_us"])) for row in csv.DictReader(lines)]
    number = 0
    while True:
        ok, image = capture.read()  # type: ignore[attr-defined]
        if not ok:
            return
        t_ns, open_us = stamps[number] if number < len(stamps) else (round(1e9 * number / rate), exposure_us)
        yield Frame(image, t_ns, open_us)
        number += 1
