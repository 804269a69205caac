"""A MAVLink camera that streams HEARTBEAT and CAMERA_TRACKING_IMAGE_STATUS, bytes by hand from the message
definitions. Shares nothing with the driver."""

from __future__ import annotations

import struct
from collections.abc import Mapping
from typing import Any

from firmware_bridge.emulators.mavlink_stream import MavlinkStream

NAN = float("nan")


class VisionMavlinkEmulator(MavlinkStream):
    """Options of the driver read here: system_id, latency_ms. Of its own: fps, rectangle (else a point)."""

    EXTRA = {0: 50, 275: 126}
    component = 100
    beat = (30, 8, 0)

    def __init__(self, physics: Any, options: Mapping[str, object] | None = None) -> None:
        super().__init__(physics, options)
        self.system = int(str(self.options.get("system_id", 0))) or 1
        self.step_ns = int(1e9 / float(str(self.options.get("fps", 20.0))))
        self.latency_ns = int(1e6 * float(str(self.options.get("latency_ms", 80.0))))
        self.rectangle = bool(self.options.get("rectangle", True))

    def tell(self, t_ns: int) -> None:
        point = self.physics.image(t_ns)
        if point is None:
            return
        x, y, w, h = point.x, point.y, point.width, point.height
        floats = (NAN, NAN, NAN, x - w / 2, y - h / 2, x + w / 2, y + h / 2)
        if not self.rectangle:
            floats = (x, y, w / 2, NAN, NAN, NAN, NAN)
        status = 1 if point.tracking else 0
        mode = (2 if self.rectangle else 1) if point.tracking else 0
        self.say(275, struct.pack("<7f3B", *floats, status, mode, 1), t_ns + self.latency_ns)
