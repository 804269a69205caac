"""MAVLink CAMERA_TRACKING_IMAGE_STATUS over UDP: where a camera's own tracker sees its target.

The message carries no time: a row is dated ``latency_ms`` before its arrival (the exposure's middle is that of a
picture taken so long ago). Needs pymavlink (``pip install gimbal-host[mavlink]``).
"""

from __future__ import annotations

import math
from typing import Any, ClassVar

from firmware_bridge.drivers import mavlink_codec as codec
from firmware_bridge.framing import line_time_s
from firmware_bridge.interface import BearingDriver, Capabilities, Identity, Option
from firmware_bridge.row_driver import RowDriver

_BYTES = 44
_POINT, _RECTANGLE = 1, 2


class VisionMavlink(RowDriver, BearingDriver):
    NAME = "vision_mavlink"
    OPTIONS: ClassVar = {
        "system_id": Option(int, 0, "the camera's MAVLink system; 0: the first heard and no other", 0, 255),
        "component_id": Option(int, 0, "the camera's component; 0: any", 0, 255),
        "latency_ms": Option(float, 80.0, "from the middle of the exposure to arrival", 0.0, 2000.0),
        "must_hear": Option(bool, True, "refuse to start in silence; false: the camera may be switched on later"),
    }

    def setup(self) -> None:
        codec.load("vision_mavlink")
        self.start(codec.framer())
        self._start_over()

    def _start_over(self) -> None:
        self.system_id, self.heard = self.options["system_id"], 0
        self._last_ns, self._last_seq = -1, -1

    @property
    def capabilities(self) -> Capabilities:
        rate = 1 / line_time_s(_BYTES, self.transport.baud)
        text = f"{_BYTES} bytes a message, at {self.transport.baud:.0f} bit/s; cameras send up to 60 Hz."
        return Capabilities(max_rate_hz=min(60.0, rate), budget=text)

    def identify(self, timeout_s: float = 1.0) -> Identity:
        self.heard = 0
        if self.options["must_hear"]:
            self.hear("camera sending CAMERA_TRACKING_IMAGE_STATUS", max(timeout_s, 2.0), lambda: self.heard >= 2,
                      "Check that it sends to this host and UDP port, and that its tracking status is streamed "
                      "(MAV_CMD_SET_MESSAGE_INTERVAL 275).")  # fmt: skip
        return Identity("vision_mavlink", f"system {self.system_id}" if self.system_id else "listening")

    def configure(self) -> None:
        self.forget()
        self._start_over()

    def take(self, frame: bytes, arrival_ns: int) -> None:
        kind, seq, system, component = codec.head(frame)
        if kind != codec.TRACKING_IMAGE:
            self.counters.unknown_frames += 1
            return
        wanted = self.options["component_id"]
        if system != (self.system_id or system) or component != (wanted or component):
            self.counters.other_identity += 1
            return
        message = codec.decode(frame)
        if message is None:
            self.counters.bad_values += 1
            return
        self.heard += 1
        self.system_id = system
        if seq == self._last_seq:
            self.counters.duplicates += 1
            return
        self._last_seq = seq
        self._take_status(message, arrival_ns, system << 8 | component)

    def _take_status(self, m: Any, arrival_ns: int, source: int) -> None:
        tracking = m.tracking_status == 1
        if m.tracking_mode == _RECTANGLE:
            corners = (m.rec_top_x, m.rec_top_y, m.rec_bottom_x, m.rec_bottom_y)
            x, y = (corners[0] + corners[2]) / 2, (corners[1] + corners[3]) / 2
            w, h = abs(corners[2] - corners[0]), abs(corners[3] - corners[1])
        elif m.tracking_mode == _POINT:
            x, y, w, h = m.point_x, m.point_y, 2 * m.radius, 2 * m.radius
            w = h = w if math.isfinite(w) and w >= 0 else 0.0
        else:
            x = y = 0.5  # no target: the row says so
            w = h = 0.0
            tracking = False
        if not (0 <= x <= 1 and 0 <= y <= 1 and 0 <= w <= 2 and 0 <= h <= 2):  # NaN as well
            self.counters.bad_values += 1
            return
        t_ns = max(arrival_ns - int(1e6 * self.options["latency_ms"]), self._last_ns + 1)
        self._last_ns = t_ns
        self.queue((t_ns, arrival_ns, 0, -1, (x, y), (w, h), 1.0 if tracking else 0.0, 0.0, int(tracking), source))
