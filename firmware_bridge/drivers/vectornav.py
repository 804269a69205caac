"""VectorNav VN-100/200/300 as an IMU: binary output 1 at up to 800 Hz, configured at open, nothing stored."""

from __future__ import annotations

import math
from typing import ClassVar

from firmware_bridge.clock_sync import ClockSync
from firmware_bridge.drivers import vectornav_codec as codec
from firmware_bridge.errors import DeviceRefused, NoAnswer, OptionError, WrongDevice
from firmware_bridge.framing import BinaryFramer, LineFramer, line_time_s
from firmware_bridge.interface import Capabilities, Identity, ImuDriver, ImuStatus, Option
from firmware_bridge.row_driver import RowDriver

_CLIPPED, _LOST_BEFORE = int(ImuStatus.CLIPPED), int(ImuStatus.LOST_BEFORE)
_BAUDS = (115200, 921600, 230400, 460800, 57600, 128000)
_ERRORS = {"1": "hard fault", "3": "invalid checksum", "4": "invalid command", "5": "too few parameters",
           "7": "invalid parameter", "8": "invalid register", "12": "baud too low for this output"}  # fmt: skip


class VectorNav(RowDriver, ImuDriver):
    NAME = "vectornav"
    OPTIONS: ClassVar = {
        "rate_hz": Option(int, 800, "samples a second, a divisor of the device's 800 (VN-300: 400)", 1, 800),
        "output": Option(str, "imu", "imu: without, common: with the device's own bias estimate; full: imu with "
                         "temperature and magnetometer", choices=("imu", "common", "full")),
        "serial_port": Option(int, 1, "the device's own port number that this line is on", 1, 2),
        "gyro_range_deg_s": Option(float, 2000.0, "full scale: samples at it are marked clipped", 1.0, 1e4),
        "accel_range_g": Option(float, 16.0, "full scale", 0.1, 1e3),
        "latency_us": Option(float, 0.0, "from the sample to the frame's first byte", 0.0, 1e5),
    }  # fmt: skip

    def setup(self) -> None:
        (self.groups, self.fields), self._struct, self._gyro_first = codec.OUTPUTS[self.options["output"]]
        head = codec.header(self.groups, self.fields)
        self._head = len(head)
        self._full = self.options["output"] == "full"
        self.frame_bytes = len(head) + self._struct.size + 2
        self.start(BinaryFramer(head, lambda buffer, start: self.frame_bytes, codec.frame_valid, self.frame_bytes))
        self._lines = LineFramer(256)
        line_ns = int(1e9 * line_time_s(self.frame_bytes, self.transport.baud))
        self.clock = ClockSync(line_ns + int(1e3 * self.options["latency_us"]))
        self._last_device_ns = -1
        self._clip_gyro = 0.999 * math.radians(self.options["gyro_range_deg_s"])
        self._clip_accel = 0.999 * 9.80665 * self.options["accel_range_g"]
        self.base_rate_hz = 800

    @property
    def capabilities(self) -> Capabilities:
        rate = 1 / line_time_s(self.frame_bytes, self.transport.baud)
        text = (
            f"{self.frame_bytes} bytes a sample, 10 bits each, at {self.transport.baud:.0f} baud; the device: 800 Hz."
        )
        return Capabilities(max_rate_hz=min(800.0, rate), budget=text)

    # Talking in registers: before the loop only.

    def identify(self, timeout_s: float = 1.0) -> Identity:
        wanted = int(self.transport.baud)
        for baud in (wanted, *(b for b in _BAUDS if b != wanted)):
            self.set_line(baud)
            model = self._read(1, timeout_s / 4)
            if model:
                self._speak_at(wanted)
                serial, firmware = self._read(3, 0.3), self._read(4, 0.3)
                return self._identity(",".join(model), firmware, serial)
            if self.transport.lost:
                break
        self.set_line(wanted)
        name = self.transport.name
        if self._lines.garbage_bytes > 500 or self._seen_lines > 5:
            raise WrongDevice(
                f"what sends on {name} is no VectorNav, or at none of the usual speeds. Check which device this port "
                "is (`gimbal devices`) and its baud."
            )
        raise NoAnswer(f"no VectorNav answers on {name}, at {wanted} baud or the other usual ones. Check power and "
                       "that host and sensor cross TX and RX.")  # fmt: skip

    def _identity(self, model: str, firmware: list[str] | None, serial: list[str] | None) -> Identity:
        if not model.upper().startswith("VN"):
            raise WrongDevice(f"a {model!r} answers on {self.transport.name}, not a VectorNav. Correct the rig file.")
        self.base_rate_hz = 400 if model.startswith("VN-300") else 800
        return Identity("vectornav", model, ",".join(firmware or []), ",".join(serial or []))

    def set_line(self, baud: int) -> None:
        super().set_line(baud)
        self._lines.reset()
        self._seen_lines = 0

    def _speak_at(self, baud: int) -> None:
        if baud != self.transport.baud:
            self._ask(f"VNWRG,05,{baud}", "VNWRG", 0.3)  # answered at the old speed
            self.set_line(baud)

    def configure(self) -> None:
        if self.base_rate_hz % self.options["rate_hz"]:
            raise OptionError(f"driver 'vectornav', option 'rate_hz': {self.options['rate_hz']} does not divide the "
                              f"device's {self.base_rate_hz} Hz. Take 800, 400, 200, 160 or 100.")  # fmt: skip
        self.capabilities.require_rate(self.options["rate_hz"], "vectornav")
        self._must("VNASY,0")
        self._must("VNWRG,06,0")
        divisor = self.base_rate_hz // self.options["rate_hz"]
        words = ",".join(f"{word:X}" for word in self.fields)
        self._must(f"VNWRG,75,{self.options['serial_port']},{divisor},{self.groups:X},{words}")
        back = self._read(75, 0.3) or ["0", "0"]
        if back[1] != str(divisor) or [int(x, 16) for x in back[2:]] != [self.groups, *self.fields]:
            raise DeviceRefused(f"the VectorNav on {self.transport.name} reads back {back} in register 75, which is "
                                "not what was written. Update its firmware, or send it to its maker.")  # fmt: skip
        self._must("VNASY,1")
        self.forget()
        self.clock.reset()
        self._last_device_ns = -1

    def _must(self, body: str) -> list[str]:
        reply = None
        for _ in range(3):
            reply = self._ask(body, body[:5], 0.3)
            if reply and reply[0] != "VNERR":
                return reply
        if reply is None:
            raise NoAnswer(f"the VectorNav on {self.transport.name} stopped answering at {body!r}. Check the cable.")
        code = reply[1].lstrip("0") if len(reply) > 1 else "?"
        raise DeviceRefused(f"the VectorNav on {self.transport.name} refuses {body!r}: error {code} "
                            f"({_ERRORS.get(code, 'see its manual')}). Correct this device's options.")  # fmt: skip

    def _read(self, register: int, timeout_s: float) -> list[str] | None:
        reply = self._ask(f"VNRRG,{register:02d}", "VNRRG", timeout_s)
        return reply[2:] if reply and reply[0] == "VNRRG" and reply[1].lstrip("0") == str(register) else None

    def _ask(self, body: str, answer: str, timeout_s: float) -> list[str] | None:
        self.transport.write(codec.ascii_line(body))
        end_ns = self.transport.clock() + int(timeout_s * 1e9)
        while self.transport.clock() < end_ns and not self.transport.lost:
            self.transport.wait(min(0.02, (end_ns - self.transport.clock()) * 1e-9))
            for line in self._lines.feed(self.transport.read()):
                words = codec.read_ascii(line)
                self._seen_lines += words is None
                if words and words[0] in (answer, "VNERR"):
                    return words
        return None

    # In the loop.

    def take(self, frame: bytes, arrival_ns: int) -> None:
        device_ns, *values = self._struct.unpack_from(frame, self._head)
        field = None
        if self._full:  # field, specific force, rate, temperature
            field, values, temp = values[:3], values[3:9], values[9]
        a, b, c, d, e, f = values
        gyro, accel = ((a, b, c), (d, e, f)) if self._gyro_first else ((d, e, f), (a, b, c))
        top_gyro, top_accel = max(map(abs, gyro)), max(map(abs, accel))
        if not (top_gyro < 200.0 and top_accel < 5000.0 and math.isfinite(sum(gyro) + sum(accel))):
            self.counters.bad_values += 1
            return
        if device_ns == self._last_device_ns:
            self.counters.duplicates += 1
            return
        status = _CLIPPED if top_gyro >= self._clip_gyro or top_accel >= self._clip_accel else 0
        step_ns = device_ns - self._last_device_ns
        missed = round(step_ns * self.options["rate_hz"] * 1e-9) - 1 if 0 <= self._last_device_ns < device_ns else 0
        if missed > 0 or len(self._pending) == self._pending.maxlen:
            status |= _LOST_BEFORE
            self.counters.lost_rows += max(missed, 0)
        self._last_device_ns = device_ns
        t_ns = self.clock.to_host(device_ns, arrival_ns)
        self.queue((t_ns, arrival_ns, device_ns, gyro, accel, status))
        if field is not None and math.isfinite(sum(field) + temp):
            self.around = t_ns, temp, (100.0 * field[0], 100.0 * field[1], 100.0 * field[2])
