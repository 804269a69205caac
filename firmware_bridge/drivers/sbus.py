"""The operator's radio over SBUS: 100000 baud, 8E2, inverted (the adapter must invert: a UART can't).

No checksum: firmware_bridge/radio.py has what holds damaged frames back. A gap on the line marks where frames begin.
"""

from __future__ import annotations

from typing import ClassVar

from firmware_bridge.drivers import sbus_codec as codec
from firmware_bridge.framing import BinaryFramer
from firmware_bridge.interface import Capabilities, Identity, Option
from firmware_bridge.radio import ChannelDriver, StepGate

_GAP_NS = 2_000_000


class Sbus(ChannelDriver):
    NAME = "sbus"
    OPTIONS: ClassVar = {
        "timeout_ms": Option(float, 100.0, "silence after which a row with failsafe is given", 10.0, 2000.0),
        "max_step": Option(int, 300, "largest change in one frame (full throw is 1639) that one frame alone may make",
                           10, 2047),
        "must_hear": Option(bool, True, "refuse to start in silence; false: the receiver may be switched on later"),
    }  # fmt: skip

    def setup(self) -> None:
        self.transport.set_format("E", 2)
        self.start(BinaryFramer(codec.SYNC, codec.frame_length, codec.frame_valid, codec.FRAME_BYTES))
        self.gate = StepGate(self.options["max_step"])
        self._line_ns = 0
        self._start_over()

    def _start_over(self) -> None:
        self.start_radio()
        self.gate.reset()
        self.frames = 0
        self._before_ns = 0
        self._failsafe = 0  # frames in a row without it, up to two, are needed to end one

    @property
    def capabilities(self) -> Capabilities:
        rate = self.transport.baud / (12 * codec.FRAME_BYTES)
        text = f"{codec.FRAME_BYTES} bytes, 12 bits each, at {self.transport.baud:.0f} baud; receivers: 70 or 140 Hz."
        return Capabilities(max_rate_hz=min(143.0, rate), budget=text)

    def identify(self, timeout_s: float = 1.0) -> Identity:
        self.frames = 0
        self._hear_well(timeout_s)
        return Identity("sbus", "listening" if self.frames < 5 else "receiver")

    def _hear_well(self, timeout_s: float) -> None:
        if not self.options["must_hear"]:
            return
        garbage = self.framer.garbage_bytes
        self.hear("SBUS receiver", timeout_s, lambda: self.frames >= 5,
                  "Check power, that the adapter inverts the signal, and 100000 baud, 8E2.")  # fmt: skip
        # Without a checksum five frames can be chance on a busy line; then most bytes belong to none.
        if self.framer.garbage_bytes - garbage > 3 * codec.FRAME_BYTES:
            self.raise_stranger("SBUS receiver", garbage - 1000, "")

    def configure(self) -> None:
        self.forget()
        self._start_over()

    def drain(self) -> None:
        transport, framer = self.transport, self.framer
        while data := transport.read():
            now_ns = transport.arrival_ns
            if data[:1] == codec.SYNC and now_ns - self._before_ns > _GAP_NS:
                framer.reset()  # what came before the gap was no beginning of this
            self._before_ns = now_ns
            for frame in framer.feed(data):
                self.take(frame, now_ns)

    def take(self, frame: bytes, arrival_ns: int) -> None:
        self.frames += 1
        raw, flags, _ = codec.read(frame)
        channels = self.gate.check(raw)
        self.counters.bad_values = self.gate.held_back
        self._failsafe = 2 if flags & codec.FAILSAFE else max(0, self._failsafe - 1)
        if channels is not None:
            self.give(channels, bool(flags & codec.LOST), self._failsafe > 0, arrival_ns, self._line_ns)
