"""A BNO08x in UART-RVC mode, as its bytes look to a host.

Written from the BNO08X datasheet's description of the mode. Shares nothing with the driver. Deaf; sends at 100 Hz from
power-up. Its own fusion is a plain sum of the rates at 1 kHz: what it is asked for is the attitude's shape, not its
drift.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

from firmware_bridge.emulators.base import Emulator
from firmware_bridge.emulators.physics import ImuSample

STEP_NS = 1_000_000
PER_FRAME = 10


class Bno08xRvcEmulator(Emulator):
    """Options of the driver read here: latency_us. Of its own: clock_ppm."""

    def __init__(self, physics: Any, options: Mapping[str, object] | None = None) -> None:
        super().__init__(physics, options)
        self.latency_ns = int(1e3 * float(str(self.options.get("latency_us", 3700.0))))
        self.step_ns = STEP_NS / (1.0 + 1e-6 * float(str(self.options.get("clock_ppm", 0.0))))

    def power_up(self, now_ns: int) -> None:
        self._start_ns = now_ns
        self._count = 0
        # Rows of the rotation from sensor to world.
        self.matrix = [[1.0, 0.0, 0.0], [0.0, 1.0, 0.0], [0.0, 0.0, 1.0]]

    def feed(self, data: bytes, now_ns: int) -> None:
        """It listens to nothing."""

    def next_ns(self) -> int:
        return self._start_ns + int((self._count + 1) * self.step_ns)

    def service(self, now_ns: int) -> None:
        while self.next_ns() <= now_ns:
            t_ns = self.next_ns()
            self._count += 1
            sample: ImuSample = self.physics.sample(t_ns)
            self._turn(sample.gyro_rad_s, STEP_NS * 1e-9)
            if self._count % PER_FRAME == 0:
                self.send(self._frame(sample), t_ns + self.latency_ns)

    def _turn(self, rate: tuple[float, float, float], dt: float) -> None:
        angle = math.sqrt(sum(w * w for w in rate)) * dt
        if angle < 1e-15:
            return
        x, y, z = (w * dt / angle for w in rate)
        c, s = math.cos(angle), math.sin(angle)
        k = 1 - c
        turn = [[c + x * x * k, x * y * k - z * s, x * z * k + y * s],
                [y * x * k + z * s, c + y * y * k, y * z * k - x * s],
                [z * x * k - y * s, z * y * k + x * s, c + z * z * k]]  # fmt: skip
        self.matrix = [[sum(row[k] * turn[k][j] for k in range(3)) for j in range(3)] for row in self.matrix]

    def _frame(self, sample: ImuSample) -> bytes:
        m = self.matrix
        yaw = math.atan2(m[1][0], m[0][0])
        pitch = math.asin(max(-1.0, min(1.0, -m[2][0])))
        roll = math.atan2(m[2][1], m[2][2])
        body = bytes([self._count // PER_FRAME % 256])
        for value in (
            *(math.degrees(a) * 100 for a in (yaw, pitch, roll)),
            *(a / 9.80665e-3 for a in sample.accel_m_s2),
        ):
            body += max(-32768, min(32767, round(value))).to_bytes(2, "little", signed=True)
        body += bytes(3)
        total = 0
        for byte in body:
            total += byte
        return b"\xaa\xaa" + body + bytes([total & 255])
