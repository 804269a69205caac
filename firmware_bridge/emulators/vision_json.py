"""A tracking camera on another machine that sends JSON bearings over UDP. Shares nothing with the driver."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from firmware_bridge.emulators.base import Emulator


class VisionJsonEmulator(Emulator):
    """Options of the driver read here: latency_ms, id, clock. Of its own: fps, exposure_us, readout_us, clock_ppm,
    jitter_ms (of a busy network, in a pattern of 7)."""

    def __init__(self, physics: Any, options: Mapping[str, object] | None = None) -> None:
        super().__init__(physics, options)
        self.step_ns = int(1e9 / self._given("fps", 30.0))
        self.exposure_us, self.readout_us = self._given("exposure_us", 4000.0), self._given("readout_us", 0.0)
        self.latency_ns = int(1e6 * self._given("latency_ms", 20.0))
        self.jitter_ns = int(1e6 * self._given("jitter_ms", 3.0))
        self.middle_ns = round(self.exposure_us * 500)  # of the exposure, after its start
        self.rate = 1.0 + 1e-6 * self._given("clock_ppm", 0.0)
        self.ident = int(self._given("id", 0))
        self.offset_ns = 0 if self.options.get("clock") == "host" else 86_400_000_000_000

    def _given(self, key: str, default: float) -> float:
        return float(str(self.options.get(key, default)))

    def power_up(self, now_ns: int) -> None:
        self._next = (now_ns // self.step_ns + 1) * self.step_ns
        self._seq = 0

    def next_ns(self) -> int:
        return self._next + self.middle_ns

    def feed(self, data: bytes, now_ns: int) -> None:
        """It listens to nothing."""

    def service(self, now_ns: int) -> None:
        while self._next + self.middle_ns <= now_ns:
            self._picture(self._next)
            self._next += self.step_ns

    def _picture(self, start_ns: int) -> None:
        point = self.physics.image(start_ns + self.middle_ns)
        self._seq += 1
        if point is None:
            return
        if point.t_ns >= 0:
            start_ns = point.t_ns - self.middle_ns
        stamp = self.offset_ns + int(start_ns * self.rate)
        keys = [f'"t_ns":{stamp}', f'"x":{point.x:.6f}', f'"y":{point.y:.6f}', f'"w":{point.width:.4f}',
                f'"h":{point.height:.4f}', f'"confidence":{point.confidence:.3f}', f'"seq":{self._seq}',
                f'"exposure_us":{self.exposure_us:g}', f'"readout_us":{self.readout_us:g}',
                f'"tracking":{"true" if point.tracking else "false"}']  # fmt: skip
        if self.ident:
            keys.append(f'"id":{self.ident}')
        late = self.latency_ns + self.jitter_ns * (self._seq * 3 % 7) // 6
        self.send(("{" + ",".join(keys) + "}\n").encode(), start_ns + late)
