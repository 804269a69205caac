"""The operator's radio over CRSF (TBS Crossfire, ExpressLRS): channels and link quality, 420000 baud."""

from __future__ import annotations

from typing import ClassVar

from firmware_bridge.drivers import crsf_codec as codec
from firmware_bridge.framing import BinaryFramer, line_time_s
from firmware_bridge.interface import Capabilities, Identity, Option
from firmware_bridge.radio import ChannelDriver

_BYTES = 26


class Crsf(ChannelDriver):
    NAME = "crsf"
    OPTIONS: ClassVar = {
        "timeout_ms": Option(float, 100.0, "silence after which a row with failsafe is given", 10.0, 2000.0),
        "min_quality": Option(int, 1, "link quality, percent, below which rows are marked failsafe", 0, 100),
        "must_hear": Option(bool, True, "refuse to start in silence; false: the receiver may be switched on later"),
    }

    def setup(self) -> None:
        self.start(
            BinaryFramer(codec.SYNC, codec.frame_length, codec.frame_valid, codec.MAX_FRAME, codec.SYNC_OF_EDGETX)
        )
        self._line_ns = 0
        self._start_over()

    def _start_over(self) -> None:
        self.start_radio()
        self.frames = 0

    @property
    def capabilities(self) -> Capabilities:
        rate = 1 / line_time_s(_BYTES, self.transport.baud)
        text = f"{_BYTES} bytes a frame, 10 bits each, at {self.transport.baud:.0f} baud; receivers: 50 to 1000 Hz."
        return Capabilities(max_rate_hz=min(1000.0, rate), budget=text)

    def identify(self, timeout_s: float = 1.0) -> Identity:
        self.frames = 0
        if self.options["must_hear"]:
            self.hear("CRSF receiver", timeout_s, lambda: self.frames >= 3,
                      "Check power, 420000 baud, and that the receiver is bound (else it is silent).")  # fmt: skip
        return Identity("crsf", "receiver" if self.frames else "listening")

    def configure(self) -> None:
        self.forget()
        self._start_over()

    def take(self, frame: bytes, arrival_ns: int) -> None:
        if frame[2] == codec.CHANNELS:
            raw = codec.read_channels(frame)
            if raw is not None:
                self.frames += 1
                quality = self._link[0]
                failsafe = quality != 255 and quality < self.options["min_quality"]
                self.give([max(0, min(1984, value)) for value in raw], False, failsafe, arrival_ns, self._line_ns)
                return
        elif frame[2] == codec.LINK_STATISTICS:
            link = codec.read_link(frame)
            if link is not None:
                self._link = (link.quality, link.rssi_dBm, link.snr_dB)
                return
        self.counters.unknown_frames += 1
