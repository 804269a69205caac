"""A MAVLink camera that streams HEARTBEAT and CAMERA_TRACKING_IMAGE_STATUS, bytes by hand from the message
definitions. Shares nothing with the driver."""

from __future__ import annotations

import struct
from collections.abc import Mapping
from typing import Any

from firmware_bridge.emulators.base import Emulator

EXTRA = {0: 50, 275: 126}
NAN = float("nan")


class VisionMavlinkEmulator(Emulator):
    """Options of the driver read here: system_id, latency_ms. Of its own: fps, rectangle (else a point)."""

    def __init__(self, physics: Any, options: Mapping[str, object] | None = None) -> None:
        super().__init__(physics, options)
        self.system = int(str(self.options.get("system_id", 0))) or 1
        self.step_ns = int(1e9 / float(str(self.options.get("fps", 20.0))))
        self.latency_ns = int(1e6 * float(str(self.options.get("latency_ms", 80.0))))
        self.rectangle = bool(self.options.get("rectangle", True))

    def power_up(self, now_ns: int) -> None:
        self._next = now_ns + self.step_ns
        self._count = self._seq = 0

    def next_ns(self) -> int:
        return self._next

    def feed(self, data: bytes, now_ns: int) -> None:
        """Commands are not taken here."""

    def service(self, now_ns: int) -> None:
        while self._next <= now_ns:
            self._picture(self._next)
            self._next += self.step_ns

    def _picture(self, t_ns: int) -> None:
        if self._count % 20 == 0:
            self._send(0, struct.pack("<IBBBBB", 0, 30, 8, 0, 4, 3), t_ns)
        self._count += 1
        point = self.physics.image(t_ns)
        if point is None:
            return
        x, y, w, h = point.x, point.y, point.width, point.height
        floats = (NAN, NAN, NAN, x - w / 2, y - h / 2, x + w / 2, y + h / 2)
        if not self.rectangle:
            floats = (x, y, w / 2, NAN, NAN, NAN, NAN)
        status = 1 if point.tracking else 0
        mode = (2 if self.rectangle else 1) if point.tracking else 0
        self._send(275, struct.pack("<7f3B", *floats, status, mode, 1), t_ns + self.latency_ns)

    def _send(self, kind: int, payload: bytes, t_ns: int) -> None:
        payload = payload.rstrip(b"\0") or b"\0"
        head = bytes([len(payload), 0, 0, self._seq, self.system, 100]) + kind.to_bytes(3, "little")
        self._seq = self._seq + 1 & 255
        crc = 0xFFFF
        for byte in head + payload + bytes([EXTRA[kind]]):
            x = byte ^ crc & 0xFF
            x ^= x << 4 & 0xFF
            crc = (crc >> 8 ^ x << 8 ^ x << 3 ^ x >> 4) & 0xFFFF
        self.send(b"\xfd" + head + payload + crc.to_bytes(2, "little"), t_ns)
