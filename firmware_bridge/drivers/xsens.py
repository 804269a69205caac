"""Xsens MTi (10, 100, 600 series and MTi-1 to 8) as an IMU: MTData2 in SI, configured at open."""

from __future__ import annotations

import math
from typing import ClassVar

from firmware_bridge.clock_sync import ClockSync
from firmware_bridge.drivers import xsens_codec as codec
from firmware_bridge.errors import DeviceRefused, NoAnswer
from firmware_bridge.framing import BinaryFramer, line_time_s
from firmware_bridge.interface import Capabilities, Identity, ImuDriver, ImuStatus, Option
from firmware_bridge.row_driver import RowDriver

_BAUDS = (115200, 921600, 460800, 230400, 2000000)
_FRAME_BYTES = 54
_ERRORS = {3: "period out of range", 4: "message invalid", 0x1E: "timer overflow", 0x20: "baud rate", 0x21:
           "parameter", 0x28: "device error"}  # fmt: skip


class Xsens(RowDriver, ImuDriver):
    NAME = "xsens"
    OPTIONS: ClassVar = {
        "rate_hz": Option(int, 400, "samples a second", 1, 2000),
        "output": Option(str, "calibrated", "calibrated: up to 400 Hz; hr: less filtered, up to 1000 Hz (600 series)",
                         choices=("calibrated", "hr")),
        "gyro_range_deg_s": Option(float, 2000.0, "full scale: samples at it are marked clipped", 1.0, 1e4),
        "accel_range_g": Option(float, 10.0, "full scale", 0.1, 1e3),
        "latency_us": Option(float, 2000.0, "from the sample to the frame's first byte", 0.0, 1e5),
    }  # fmt: skip

    def setup(self) -> None:
        self.start(BinaryFramer(codec.SYNC, codec.frame_length, codec.frame_valid, codec.MAX_FRAME))
        line_ns = int(1e9 * line_time_s(_FRAME_BYTES, self.transport.baud))
        self.clock = ClockSync(line_ns + int(1e3 * self.options["latency_us"]))
        self._clip_gyro = 0.999 * math.radians(self.options["gyro_range_deg_s"])
        self._clip_accel = 0.999 * 9.80665 * self.options["accel_range_g"]
        self._answers: dict[int, bytes] = {}
        self._last_tick = self._counter = -1
        self._ticks = 0

    @property
    def capabilities(self) -> Capabilities:
        rate = 1 / line_time_s(_FRAME_BYTES, self.transport.baud)
        top = 400.0 if self.options["output"] == "calibrated" else 1000.0
        text = (
            f"{_FRAME_BYTES} bytes a sample, 10 bits each, at {self.transport.baud:.0f} baud; the device: {top:g} Hz."
        )
        return Capabilities(max_rate_hz=min(top, rate), budget=text)

    # Before the loop.

    def identify(self, timeout_s: float = 1.0) -> Identity:
        wanted, garbage = int(self.transport.baud), self.framer.garbage_bytes
        for baud in (wanted, *(b for b in _BAUDS if b != wanted)):
            self.set_line(baud)
            if self._ask(codec.GO_TO_CONFIG, timeout_s=timeout_s / 4) is None:
                continue
            if baud != wanted:
                self.set_line(wanted)
                raise DeviceRefused(f"the Xsens on {self.transport.name} talks at {baud} baud, the rig file says "
                                    f"{wanted}. Write baud = {baud}, or set it in MT Manager.")  # fmt: skip
            device = self._ask(codec.REQ_DID) or b""
            product = self._ask(codec.REQ_PRODUCT) or b""
            firmware = self._ask(codec.REQ_FIRMWARE) or b""
            return Identity("xsens", product.decode("ascii", "replace").strip() or "MTi",
                            ".".join(str(x) for x in firmware[:3]), device.hex().upper())  # fmt: skip
        self.set_line(wanted)
        self.raise_stranger("Xsens", garbage, f"Tried {wanted} baud and the other usual ones. Check power and that "
                            "host and sensor cross TX and RX.")  # fmt: skip
        raise AssertionError

    def configure(self) -> None:
        self.capabilities.require_rate(self.options["rate_hz"], "xsens")
        self._must(codec.GO_TO_CONFIG)
        hz = self.options["rate_hz"]
        hr = self.options["output"] == "hr"
        wanted = [(codec.PACKET_COUNTER, 0xFFFF), (codec.SAMPLE_TIME_FINE, 0xFFFF),
                  (codec.ACCEL_HR if hr else codec.ACCEL, hz), (codec.RATE_HR if hr else codec.RATE, hz),
                  (codec.STATUS_WORD, 0xFFFF)]  # fmt: skip
        back = codec.read_output_configuration(self._must(codec.SET_OUTPUT, codec.output_configuration(wanted)))
        given = {identifier: rate for identifier, rate in back}
        if any(given.get(identifier) != hz for identifier, _ in wanted[2:4]):
            offered = sorted({rate for rate in given.values() if rate < 0xFFFF})
            raise DeviceRefused(f"the Xsens on {self.transport.name} offers {offered} Hz where {hz} were asked. Take "
                                "a rate that divides the device's own, such as 400, 200 or 100.")  # fmt: skip
        self._must(codec.GO_TO_MEASUREMENT)
        self.forget()
        self.clock.reset()
        self._last_tick = self._counter = -1

    def _must(self, mid: int, data: bytes = b"") -> bytes:
        for _ in range(3):
            answer = self._ask(mid, data)
            if answer is not None:
                return answer
            code = self._answers.pop(codec.ERROR, None)
            if code is not None:
                number = code[0] if code else 0
                raise DeviceRefused(f"the Xsens on {self.transport.name} refuses message {mid:#04x}: error {number} "
                                    f"({_ERRORS.get(number, 'see its manual')}). Correct its options.")  # fmt: skip
        raise NoAnswer(
            f"the Xsens on {self.transport.name} doesn't answer message {mid:#04x}. Check the TX wire to it."
        )

    def _ask(self, mid: int, data: bytes = b"", timeout_s: float = 0.3) -> bytes | None:
        """The payload of the answer, whose id is one more."""
        self._answers.clear()
        self.transport.write(codec.frame(mid, data))
        self.listen(timeout_s, lambda: mid + 1 in self._answers or codec.ERROR in self._answers)
        return self._answers.get(mid + 1)

    # In the loop.

    def take(self, frame: bytes, arrival_ns: int) -> None:
        mid, payload = codec.split(frame)
        if mid == codec.MT_DATA2:
            self._take_data(payload, arrival_ns)
            return
        self.counters.device_errors += mid == codec.ERROR
        self._answers[mid] = payload

    def _take_data(self, payload: bytes, arrival_ns: int) -> None:
        items = codec.read_items(payload)
        gyro = accel = None
        tick = counter = -1
        word = 0
        for identifier, value in items or ():
            kind = identifier & 0xFFF0
            if kind in (codec.RATE, codec.RATE_HR):
                gyro = codec.vector(identifier, value)
            elif kind in (codec.ACCEL, codec.ACCEL_HR):
                accel = codec.vector(identifier, value)
            elif kind == codec.SAMPLE_TIME_FINE:
                tick = codec.unsigned(value)
            elif kind == codec.PACKET_COUNTER:
                counter = codec.unsigned(value)
            elif kind == codec.STATUS_WORD:
                word = codec.unsigned(value)
        if gyro is None or accel is None or tick < 0:
            self.counters.unknown_frames += 1
            return
        top_gyro, top_accel = max(map(abs, gyro)), max(map(abs, accel))
        if not (top_gyro < 200.0 and top_accel < 5000.0 and math.isfinite(sum(gyro) + sum(accel))):
            self.counters.bad_values += 1
            return
        if tick == self._last_tick:
            self.counters.duplicates += 1
            return
        status = ImuStatus.CLIPPED if word & codec.CLIP_BITS else ImuStatus(0)
        if top_gyro >= self._clip_gyro or top_accel >= self._clip_accel:
            status = ImuStatus.CLIPPED
        self._queue(tick, counter, arrival_ns, gyro, accel, int(status))

    def _queue(self, tick: int, counter: int, arrival_ns: int, gyro: tuple, accel: tuple, status: int) -> None:
        if self._last_tick >= 0:
            step = (tick - self._last_tick) & 0xFFFFFFFF
            # A step back by more than half of the range is a restart, not a wrap: the clock starts anew by itself.
            self._ticks = self._ticks + step if step < 1 << 31 else tick
        else:
            self._ticks = tick
        missed = (counter - self._counter - 1) & 0xFFFF if self._counter >= 0 and counter >= 0 else 0
        if 0 < missed < 0x8000:
            status |= int(ImuStatus.LOST_BEFORE)
            self.counters.lost_rows += missed
        self._last_tick, self._counter = tick, counter
        device_ns = self._ticks * codec.TICK_NS
        self.queue((self.clock.to_host(device_ns, arrival_ns), arrival_ns, device_ns, gyro, accel, status))
