"""BNO08x in UART-RVC mode: attitude and acceleration at 100 Hz. Fit for the carrier only, and says so.

It sends no rates: those of a row are the mean since the row before, from its attitudes (steps of 0.01 degrees: some
0.01 rad/s of noise). It listens to nothing; each frame carries a counter, which dates it.
"""

from __future__ import annotations

from typing import ClassVar

from firmware_bridge.clock_sync import ClockSync
from firmware_bridge.drivers import bno08x_rvc_codec as codec
from firmware_bridge.framing import BinaryFramer, line_time_s
from firmware_bridge.interface import Capabilities, Identity, ImuDriver, ImuStatus, Option
from firmware_bridge.row_driver import RowDriver

_PERIOD_NS = 10_000_000
CARRIER_ONLY = (
    "The BNO08x in UART-RVC mode sends attitude at 100 Hz and no rates: it can't close the stabilisation loop. Use it "
    "on the carrier, and a sensor with a gyro of its own on the camera."
)


class Bno08xRvc(RowDriver, ImuDriver):
    """``attitude``: the newest w, x, y, z."""

    NAME = "bno08x_rvc"
    OPTIONS: ClassVar = {
        "latency_us": Option(float, 3700.0, "from the sample to the frame's first byte", 0.0, 1e5),
        "max_rate_deg_s": Option(float, 2000.0, "a faster turn between two frames is taken for a bad frame", 1.0, 1e4),
    }  # fmt: skip

    def setup(self) -> None:
        self.start(BinaryFramer(codec.SYNC, codec.frame_length, codec.frame_valid, codec.FRAME_BYTES))
        line_ns = int(1e9 * line_time_s(codec.FRAME_BYTES, self.transport.baud))
        self.clock = ClockSync(line_ns + int(1e3 * self.options["latency_us"]), max_drift=0.02)
        self._max_rate = self.options["max_rate_deg_s"] * 0.017453292519943295
        self._start_over()

    def _start_over(self) -> None:
        self.attitude: codec.Quaternion | None = None
        self._index = -1
        self._count = self.frames = 0

    @property
    def capabilities(self) -> Capabilities:
        rate = 1 / line_time_s(codec.FRAME_BYTES, self.transport.baud)
        text = (
            f"{codec.FRAME_BYTES} bytes a sample, 10 bits each, at {self.transport.baud:.0f} baud; the device: 100 Hz."
        )
        return Capabilities(max_rate_hz=min(100.0, rate), budget=text, carrier_only=CARRIER_ONLY)

    def identify(self, timeout_s: float = 1.0) -> Identity:
        self.frames = 0
        self.hear("BNO08x in UART-RVC mode", timeout_s, lambda: self.frames >= 3,
                  "Check power, its mode pins (PS0 high, PS1 low) and 115200 baud.")  # fmt: skip
        return Identity("bno08x_rvc", "BNO08x UART-RVC, for the carrier only")

    def configure(self) -> None:
        self.forget()
        self.clock.reset()
        self._start_over()

    def take(self, frame: bytes, arrival_ns: int) -> None:
        taken = codec.read(frame)
        if taken is None:
            self.counters.bad_values += 1
            return
        self.frames += 1
        index, attitude, accel = taken
        step = (index - self._index) & 0xFF
        if self._index >= 0 and step == 0:
            self.counters.duplicates += 1
            return
        before, self.attitude = self.attitude, attitude
        self._count += step if self._index >= 0 else 1
        self._index = index
        device_ns = self._count * _PERIOD_NS
        t_ns = self.clock.to_host(device_ns, arrival_ns)
        if before is None or step > 25:  # too long for a mean to say anything
            self.counters.lost_rows += step - 1 if before else 0
            return
        rate = codec.rate_between(before, attitude, step * _PERIOD_NS * 1e-9)
        if max(map(abs, rate)) > self._max_rate:
            self.counters.bad_values += 1
            return
        status = int(ImuStatus.DERIVED_RATE)
        if step > 1:
            status |= int(ImuStatus.LOST_BEFORE)
            self.counters.lost_rows += step - 1
        self.queue((t_ns, arrival_ns, device_ns, rate, accel, status))
