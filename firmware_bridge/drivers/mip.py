"""MicroStrain (LORD, HBK) inertial sensors with the MIP protocol as IMUs: 3DM-CV5, GX5, CV7, GV7.

Newer devices stamp samples with their reference time in ns; older ones with the GPS time field, which runs freely
without a GPS.
"""

from __future__ import annotations

import math
import struct
from typing import ClassVar

from firmware_bridge.clock_sync import ClockSync
from firmware_bridge.drivers import mip_codec as codec
from firmware_bridge.errors import DeviceRefused, NoAnswer, OptionError
from firmware_bridge.framing import BinaryFramer, line_time_s
from firmware_bridge.interface import Capabilities, Identity, ImuDriver, ImuStatus, Option
from firmware_bridge.row_driver import RowDriver

_BAUDS = (115200, 921600, 460800, 230400)
_FRAME_BYTES = {"reference": 48, "gps": 48}
_NACK = {1: "unknown command", 2: "invalid checksum", 3: "invalid parameter", 4: "command failed", 5: "timeout"}
_G = 9.80665


class Mip(RowDriver, ImuDriver):
    NAME = "mip"
    OPTIONS: ClassVar = {
        "rate_hz": Option(int, 500, "samples a second, a divisor of the device's base rate (500 or 1000)", 1, 1000),
        "time": Option(str, "reference", "reference: CV7, GV7 and newer; gps: CV5, GX5",
                       choices=("reference", "gps")),
        "gyro_range_deg_s": Option(float, 500.0, "full scale: samples at it are marked clipped", 1.0, 1e4),
        "accel_range_g": Option(float, 8.0, "full scale", 0.1, 1e3),
        "latency_us": Option(float, 1000.0, "from the sample to the frame's first byte", 0.0, 1e5),
    }  # fmt: skip

    def setup(self) -> None:
        self.start(BinaryFramer(codec.SYNC, codec.frame_length, codec.frame_valid, codec.MAX_FRAME))
        self.frame_bytes = _FRAME_BYTES[self.options["time"]]
        line_ns = int(1e9 * line_time_s(self.frame_bytes, self.transport.baud))
        self.clock = ClockSync(line_ns + int(1e3 * self.options["latency_us"]))
        self._clip_gyro = 0.999 * math.radians(self.options["gyro_range_deg_s"])
        self._clip_accel = 0.999 * _G * self.options["accel_range_g"]
        self._time_field = codec.REFERENCE_TIME if self.options["time"] == "reference" else codec.GPS_TIME
        self._reply: list[codec.Field] | None = None
        self._wanted = (0, 0)
        self._last_ns = -1

    @property
    def capabilities(self) -> Capabilities:
        rate = 1 / line_time_s(self.frame_bytes, self.transport.baud)
        text = (f"{self.frame_bytes} bytes a sample, 10 bits each, at {self.transport.baud:.0f} baud; the device: "
                "1000 Hz.")  # fmt: skip
        return Capabilities(max_rate_hz=min(1000.0, rate), budget=text)

    # Before the loop.

    def identify(self, timeout_s: float = 1.0) -> Identity:
        wanted, garbage = int(self.transport.baud), self.framer.garbage_bytes
        for baud in (wanted, *(b for b in _BAUDS if b != wanted)):
            self.set_line(baud)
            if self._ask(codec.BASE, codec.IDLE, timeout_s=timeout_s / 4) is None:
                continue
            if baud != wanted:
                self.set_line(wanted)
                raise DeviceRefused(f"the MicroStrain on {self.transport.name} talks at {baud} baud, the rig file "
                                    f"says {wanted}. Write baud = {baud}, or set it in SensorConnect.")  # fmt: skip
            info = self._must(codec.BASE, codec.DEVICE_INFO).get(0x81, b"")
            words = [info[i : i + 16].decode("ascii", "replace").strip(" \0") for i in range(2, len(info), 16)]
            number = int.from_bytes(info[:2], "big")
            firmware = f"{number // 1000}.{number // 100 % 10}.{number % 100:02d}"
            return Identity("mip", words[0] if words else "MicroStrain", firmware, words[2] if len(words) > 2 else "")
        self.set_line(wanted)
        self.raise_stranger("MicroStrain", garbage, f"Tried {wanted} baud and the other usual ones. Check power and "
                            "that host and sensor cross TX and RX.")  # fmt: skip
        raise AssertionError

    def configure(self) -> None:
        hz = self.options["rate_hz"]
        self.capabilities.require_rate(hz, "mip")
        self._must(codec.BASE, codec.IDLE)
        answer = self._must(codec.CONFIG, codec.BASE_RATE, bytes([codec.SENSOR]))
        base = int.from_bytes(answer.get(0x8E, b"\0\0\0")[1:3], "big")
        if not base or base % hz:
            raise OptionError(f"driver 'mip', option 'rate_hz': {hz} does not divide the device's {base} Hz. Take one "
                              "of its divisors, such as 500, 250, 200 or 100.")  # fmt: skip
        items = [(field, base // hz) for field in (codec.ACCEL_G, codec.GYRO, self._time_field)]
        if self.options["time"] == "reference":
            items.append((codec.OVERRANGE, base // hz))
        self._must(codec.CONFIG, codec.MESSAGE_FORMAT, codec.message_format(codec.WRITE, codec.SENSOR, items))
        back = self._must(codec.CONFIG, codec.MESSAGE_FORMAT, codec.message_format(codec.READ, codec.SENSOR, ()))
        if back.get(0x8F, b"")[2:] != b"".join(struct.pack(">BH", *item) for item in items):
            raise DeviceRefused(f"the MicroStrain on {self.transport.name} reads back another message format than was "
                                "written. Update its firmware, or take time = \"gps\".")  # fmt: skip
        self._must(codec.CONFIG, codec.DATASTREAM, bytes([codec.WRITE, codec.SENSOR, 1]))
        self._must(codec.BASE, codec.RESUME)
        self.forget()
        self.clock.reset()
        self._last_ns = -1

    def _must(self, descriptor_set: int, descriptor: int, data: bytes = b"") -> dict[int, bytes]:
        """Fields of the answer beside the acknowledgement."""
        where = f"{descriptor_set:#04x},{descriptor:#04x}"
        for _ in range(3):
            reply = self._ask(descriptor_set, descriptor, data)
            if reply is None:
                continue
            code = dict(reply)[codec.ACK_FIELD][1]
            if code == 0:
                return dict(reply)
            hint = ' Older devices need time = "gps".' if self.options["time"] == "reference" else ""
            raise DeviceRefused(f"the MicroStrain on {self.transport.name} refuses {where}: "
                                f"{_NACK.get(code, f'code {code}')}.{hint} Correct this device's options.")  # fmt: skip
        raise NoAnswer(f"the MicroStrain on {self.transport.name} doesn't answer {where}. Check the TX wire to it.")

    def _ask(self, descriptor_set: int, descriptor: int, data: bytes = b"",
             timeout_s: float = 0.3) -> list[codec.Field] | None:  # fmt: skip
        self._reply, self._wanted = None, (descriptor_set, descriptor)
        self.transport.write(codec.command(descriptor_set, descriptor, data))
        self.listen(timeout_s, lambda: self._reply is not None)
        return self._reply

    # In the loop.

    def take(self, frame: bytes, arrival_ns: int) -> None:
        found = codec.fields(frame)
        if found is None:
            self.counters.unknown_frames += 1
        elif frame[2] == codec.SENSOR:
            self._take_data(found, arrival_ns)
        else:
            for descriptor, value in found:
                if descriptor == codec.ACK_FIELD and len(value) == 2:
                    self.counters.device_errors += value[1] != 0
                    if (frame[2], value[0]) == self._wanted:
                        self._reply = found

    def _take_data(self, found: list[codec.Field], arrival_ns: int) -> None:
        gyro = accel_g = None
        device_ns, out_of_range = -1, 0
        for descriptor, value in found:
            if descriptor == codec.ACCEL_G:
                accel_g = codec.vector(value)
            elif descriptor == codec.GYRO:
                gyro = codec.vector(value)
            elif descriptor == self._time_field:
                device_ns = codec.time_ns(descriptor, value)
            elif descriptor == codec.OVERRANGE:
                out_of_range = int.from_bytes(value, "big") & codec.CLIP_BITS
        if gyro is None or accel_g is None or device_ns < 0:
            self.counters.unknown_frames += 1
            return
        accel = (accel_g[0] * _G, accel_g[1] * _G, accel_g[2] * _G)
        top_gyro, top_accel = max(map(abs, gyro)), max(map(abs, accel))
        if not (top_gyro < 200.0 and top_accel < 5000.0 and math.isfinite(sum(gyro) + sum(accel))):
            self.counters.bad_values += 1
            return
        if device_ns == self._last_ns:
            self.counters.duplicates += 1
            return
        clipped = out_of_range or top_gyro >= self._clip_gyro or top_accel >= self._clip_accel
        status = ImuStatus.CLIPPED if clipped else ImuStatus(0)
        step_ns = device_ns - self._last_ns
        if self._last_ns >= 0 and step_ns * self.options["rate_hz"] > 1_500_000_000:
            status |= ImuStatus.LOST_BEFORE
            self.counters.lost_rows += round(step_ns * self.options["rate_hz"] * 1e-9) - 1
        self._last_ns = device_ns
        self.queue((self.clock.to_host(device_ns, arrival_ns), arrival_ns, device_ns, gyro, accel, int(status)))
