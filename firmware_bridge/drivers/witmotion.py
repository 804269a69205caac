"""WitMotion IMUs with the 0x55 protocol (WT901, HWT901B, WT61 and kin): rate, acceleration and the sensor's clock.

Settings are written, not saved: they are gone after a power cycle, as the sensor was.
"""

from __future__ import annotations

from typing import ClassVar

from firmware_bridge.clock_sync import ClockSync
from firmware_bridge.drivers import witmotion_codec as codec
from firmware_bridge.errors import DeviceRefused, OptionError
from firmware_bridge.framing import BinaryFramer, line_time_s
from firmware_bridge.interface import Capabilities, Identity, ImuDriver, ImuStatus, Option
from firmware_bridge.row_driver import RowDriver

_BAUDS = (115200, 9600, 230400, 460800, 921600, 57600)
_DAY_NS = 86_400_000_000_000
_BYTES = 3 * codec.FRAME_BYTES
_FULL_SCALE = 32700


class WitMotion(RowDriver, ImuDriver):
    NAME = "witmotion"
    OPTIONS: ClassVar = {
        "rate_hz": Option(int, 200, "samples a second: 1, 2, 5, 10, 20, 50, 100 or 200", 1, 200),
        "latency_us": Option(float, 5000.0, "from the sample to the frame's first byte", 0.0, 1e6),
    }  # fmt: skip

    def setup(self) -> None:
        self.start(BinaryFramer(codec.SYNC, codec.frame_length, codec.frame_valid, codec.FRAME_BYTES))
        line_ns = int(1e9 * line_time_s(_BYTES, self.transport.baud))
        # The clock counts whole milliseconds and its crystal is a cheap one.
        self.clock = ClockSync(line_ns + int(1e3 * self.options["latency_us"]), max_drift=1e-3)
        if self.options["rate_hz"] not in codec.RATES:
            raise OptionError(f"driver 'witmotion', option 'rate_hz': {self.options['rate_hz']} is not one of "
                              f"{', '.join(map(str, codec.RATES))}.")  # fmt: skip
        self._start_over()

    def _start_over(self) -> None:
        self._accel: tuple[int, ...] | None = None
        self._device_ns = self._day_ns = 0
        self._time_of_day = self._last_ns = -1
        self._kinds: dict[int, int] = {}
        self._missed = False

    @property
    def capabilities(self) -> Capabilities:
        rate = 1 / line_time_s(_BYTES, self.transport.baud)
        text = f"{_BYTES} bytes a sample, 10 bits each, at {self.transport.baud:.0f} baud; the device: 200 Hz."
        why = "At most 200 Hz after the sensor's own filter, some 5 ms old and stamped to 1 ms: too late for the loop."
        return Capabilities(max_rate_hz=min(200.0, rate), budget=text, carrier_only=why)

    # Before the loop.

    def identify(self, timeout_s: float = 1.0) -> Identity:
        wanted, garbage = int(self.transport.baud), self.framer.garbage_bytes
        for baud in (wanted, *(b for b in _BAUDS if b != wanted)):
            self.set_line(baud)
            self._kinds.clear()
            # Two whole frames of different types: one alone may be chance.
            if not self.listen(max(0.3, timeout_s / 4), lambda: len(self._kinds) >= 2):
                continue
            if baud != wanted:
                self.set_line(wanted)
                raise DeviceRefused(f"the WitMotion on {self.transport.name} talks at {baud} baud, the rig file says "
                                    f"{wanted}. Write baud = {baud}, or set it in the maker's program.")  # fmt: skip
            return Identity("witmotion", "0x55 protocol")
        self.set_line(wanted)
        self.raise_stranger("WitMotion", garbage, f"Tried {wanted} baud and the other usual ones. Check power and that "
                            "host and sensor cross TX and RX.")  # fmt: skip
        raise AssertionError

    def configure(self) -> None:
        hz = self.options["rate_hz"]
        self.capabilities.require_rate(hz, "witmotion")
        for register, value in ((codec.OUTPUT, 0b111), (codec.RATE, codec.RATES[hz])):
            for word in (codec.write_register(codec.KEY, codec.UNLOCK), codec.write_register(register, value)):
                self.transport.write(word)
                self.listen(0.1, lambda: False)  # it takes commands no faster
        self.forget()
        self._start_over()
        # No acknowledgement exists: what now comes tells whether it was understood.
        self.listen(max(0.3, 8 / hz), lambda: False)
        seen = self._kinds
        if set(seen) != {codec.TIME, codec.ACCEL, codec.GYRO} or seen[codec.GYRO] < 0.5 * max(0.3 * hz, 8):
            listed = ", ".join(f"{kind:#04x} x{n}" for kind, n in sorted(seen.items())) or "nothing"
            raise DeviceRefused(f"the WitMotion on {self.transport.name} doesn't send time, acceleration and rate at "
                                f"{hz} Hz as told (seen: {listed}). Check the TX wire to it, or set output and rate "
                                "with the maker's program.")  # fmt: skip
        self.forget()
        self.clock.reset()
        self._start_over()

    # In the loop.

    def take(self, frame: bytes, arrival_ns: int) -> None:
        kind = frame[1]
        self._kinds[kind] = self._kinds.get(kind, 0) + 1
        if kind == codec.TIME:
            self._take_time(codec.time_of_day_ns(frame))
        elif kind == codec.ACCEL:
            self._accel = codec.values(frame)[:3]
        elif kind == codec.GYRO:
            self._take_gyro(codec.values(frame)[:3], arrival_ns)

    def _take_time(self, time_of_day: int) -> None:
        self._accel = None
        if time_of_day < 0:
            self.counters.bad_values += 1
            return
        if self._time_of_day - time_of_day > _DAY_NS // 2:
            self._day_ns += _DAY_NS
        self._time_of_day = time_of_day
        self._device_ns = self._day_ns + time_of_day

    def _take_gyro(self, gyro: tuple[int, ...], arrival_ns: int) -> None:
        accel, self._accel = self._accel, None
        device_ns = self._device_ns
        if accel is None or device_ns == self._last_ns or self._time_of_day < 0:
            self._missed = True  # a frame of this sample was lost
            self.counters.lost_rows += 1
            return
        top = max(map(abs, (*gyro, *accel)))
        status = int(ImuStatus.CLIPPED) if top >= _FULL_SCALE else 0
        step_ns = device_ns - self._last_ns
        if self._missed or self._last_ns >= 0 and step_ns * self.options["rate_hz"] > 1_500_000_000:
            status |= int(ImuStatus.LOST_BEFORE)
        self._missed, self._last_ns = False, device_ns
        t_ns = self.clock.to_host(device_ns, arrival_ns)
        a, g = codec.ACCEL_SCALE, codec.GYRO_SCALE
        self.queue((t_ns, arrival_ns, device_ns, (gyro[0] * g, gyro[1] * g, gyro[2] * g),
                    (accel[0] * a, accel[1] * a, accel[2] * a), status))  # fmt: skip
