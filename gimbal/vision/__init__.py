"""The camera's eye: frames in, bearings of the subject out. A process of its own; extra ``vision`` (OpenCV)."""

from __future__ import annotations

from typing import Any

from gimbal.errors import UsageError


def need_opencv() -> Any:
    """The cv2 module.

    Raises:
        UsageError: OpenCV is missing, or is a build without the CSRT tracker.
    """
    try:
        import cv2
    except ImportError as error:
        raise UsageError(
            f"Pictures need OpenCV, which can't be imported ({error}). Install the extra 'vision': "
            "pip install 'gimbal-host[vision]'."
        ) from error
    if not hasattr(cv2, "TrackerCSRT_create"):
        raise UsageError(
            f"OpenCV {cv2.__version__} is built without the CSRT tracker. Install the extra 'vision' (which brings "
            "opencv-contrib-python-headless) and uninstall other opencv-python packages."
        )
    return cv2
