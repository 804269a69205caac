"""A FANET serial module (Skytraxx, 3s1d) as the ear for the subject's beacon: tracking frames of one address.

Every 5 s or slower, steps of 1.2 m in latitude, no time, no checksum on the line: to find a subject by, not to frame
one. What a damaged line can do is bounded: range, speed, and velocity against the way since the last fix.
"""

from __future__ import annotations

import math
from typing import ClassVar

from firmware_bridge.drivers import fanet_codec as codec
from firmware_bridge.errors import DeviceRefused, NoAnswer, OptionError
from firmware_bridge.framing import line_time_s
from firmware_bridge.interface import Capabilities, Identity, Option
from firmware_bridge.position_row import GATE_OPTIONS, GatedPosition

_BYTES = 46
_REPEAT_NS = 4_000_000_000


class Fanet(GatedPosition):
    NAME = "fanet"
    MAX_ACCEL_M_S2 = 10.0
    OPTIONS: ClassVar = {
        "id": Option(str, "", "the subject's address, manufacturer:id in hexadecimal, such as 11:ABCD"),
        "latency_ms": Option(float, 700.0, "from the beacon's measurement to the line's first byte", 0.0, 10_000.0),
        "pos_std_m": Option(float, 10.0, "accuracy given to each row", 0.5, 500.0),
        "vel_std_m_s": Option(float, 2.0, "accuracy given to each row", 0.1, 50.0),
        "geoid_m": Option(float, 0.0, "geoid above the ellipsoid here: FANET heights are above the sea",
                          -110.0, 90.0),
        **{**GATE_OPTIONS, "max_speed_m_s": Option(float, 60.0, GATE_OPTIONS["max_speed_m_s"].text, 1.0, 100.0)},
    }  # fmt: skip

    def setup(self) -> None:
        address = codec.read_address(self.options["id"])
        if address is None:
            raise OptionError(f"driver 'fanet', option 'id': {self.options['id']!r} is no address. Give the subject's, "
                              "manufacturer:id in hexadecimal, such as \"11:ABCD\": others are on the air, too."
                              )  # fmt: skip
        self.address = address
        self.start(codec.FanetFramer(), 16)
        self.start_gate()
        self._line_ns = int(1e9 * line_time_s(_BYTES, self.transport.baud))
        self._start_over()

    def _start_over(self) -> None:
        self.others: set[str] = set()
        self._version = ""
        self._answer = ""
        self._last = (b"", 0)

    @property
    def capabilities(self) -> Capabilities:
        rate = 1 / line_time_s(_BYTES, self.transport.baud)
        text = f"{_BYTES} bytes a frame, 10 bits each, at {self.transport.baud:.0f} baud; the beacon: one in 5 s."
        return Capabilities(max_rate_hz=min(0.2, rate), budget=text)

    def identify(self, timeout_s: float = 1.0) -> Identity:
        garbage = self.framer.garbage_bytes
        for _ in range(3):
            self.transport.write(codec.VERSION)
            if self.listen(timeout_s / 3, lambda: bool(self._version)):
                return Identity("fanet", f"for {self.options['id']}", self._version)
        self.raise_stranger("FANET module", garbage, "Check power, 115200 baud and that TX and RX cross.")
        raise AssertionError

    def configure(self) -> None:
        super().configure()
        self._start_over()
        for _ in range(3):
            self.transport.write(codec.POWER_ON)
            if self.listen(0.3, lambda: bool(self._answer)):
                break
        if not self._answer:
            raise NoAnswer(f"the FANET module on {self.transport.name} doesn't acknowledge. Check the TX wire to it.")
        if not self._answer.startswith("OK"):
            raise DeviceRefused(f"the FANET module on {self.transport.name} can't switch its radio on: "
                                f"{self._answer}. Power it off and on.")  # fmt: skip
        self.forget()

    def take(self, frame: str, arrival_ns: int) -> None:
        if frame.startswith("#FNF"):
            self._take_heard(codec.read_heard(frame), arrival_ns)
        elif frame.startswith("#DGV"):
            self._version = frame[4:].strip() or "?"
        elif frame.startswith("#DGR"):
            self._answer = frame[4:].strip() or "?"
            self.counters.device_errors += self._answer.startswith("ERR")
        else:
            self.counters.unknown_frames += 1

    def _take_heard(self, heard: codec.Heard | None, arrival_ns: int) -> None:
        if heard is None:
            self.counters.bad_values += 1
            return
        if (heard.manufacturer, heard.ident) != self.address:
            self.counters.other_identity += 1
            if len(self.others) < 64:
                self.others.add(heard.address)
            return
        tracking = codec.read_tracking(heard.payload) if heard.kind == codec.TRACKING else None
        if tracking is None:
            self.counters.unknown_frames += 1
            return
        if heard.payload == self._last[0] and arrival_ns - self._last[1] < _REPEAT_NS:
            self.counters.duplicates += 1  # heard again through a relay
            return
        self._last = (heard.payload, arrival_ns)
        t_ns = arrival_ns - self._line_ns - int(1e6 * self.options["latency_ms"])
        vel = (tracking.speed_m_s * math.cos(tracking.heading_rad), tracking.speed_m_s * math.sin(tracking.heading_rad),
               -tracking.climb_m_s)  # fmt: skip
        place = (tracking.lat_deg, tracking.lon_deg, tracking.altitude_m + self.options["geoid_m"])
        source = heard.manufacturer << 16 | heard.ident
        self.give(
            t_ns, arrival_ns, 0, place, vel, True, self.options["pos_std_m"], self.options["vel_std_m_s"], 3, source
        )
