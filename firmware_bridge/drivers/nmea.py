"""Any receiver that sends NMEA: own position, or the subject's through a radio modem. It is only listened to.

GGA and RMC make a fix; GST, where sent, gives its accuracy; u-blox's PUBX,00 the vertical speed. NMEA itself has none,
so without PUBX,00 a row's ``has_vel`` is 0, unless ``vertical`` = "altitude" has it taken from the last two heights.
"""

from __future__ import annotations

import math
from typing import ClassVar

from firmware_bridge.clock_sync import TowSync
from firmware_bridge.drivers import nmea_codec as codec
from firmware_bridge.framing import line_time_s
from firmware_bridge.interface import Capabilities, Identity, Option
from firmware_bridge.position_row import GATE_OPTIONS, GatedPosition

_BYTES = 155  # GGA and RMC


class Nmea(GatedPosition):
    """``tow_sync`` may be shared with the rig's own receiver, which then dates this one's fixes."""

    NAME = "nmea"
    OPTIONS: ClassVar = {
        "rate_hz": Option(float, 5.0, "fixes a second that the receiver is set to", 0.1, 50.0),
        "latency_ms": Option(float, 100.0, "least delay from measurement to the first byte", 0.0, 5000.0),
        "vertical": Option(str, "none", "none: no vertical speed without PUBX,00; altitude: from the last two heights",
                           choices=("none", "altitude")),
        "uere_m": Option(float, 1.5, "times HDOP it is the accuracy where no GST comes", 0.1, 50.0),
        "vel_std_m_s": Option(float, 0.2, "accuracy of velocity, which NMEA doesn't tell", 0.01, 50.0),
        "geoid_m": Option(float, 0.0, "geoid above the ellipsoid, where GGA leaves it out", -110.0, 90.0),
        "leap_s": Option(int, 18, "GPS time less UTC", 0, 60),
        "source_id": Option(int, 0, "identity written into each fix", 0, 2**53),
        **GATE_OPTIONS,
    }  # fmt: skip

    def setup(self) -> None:
        self.start(codec.NmeaFramer(), 32)
        self.start_gate()
        line_s = line_time_s(80, self.transport.baud)
        self.tow_sync = TowSync(int(1e6 * self.options["latency_ms"] + 1e9 * line_s))
        self._start_over()

    def _start_over(self) -> None:
        self.epochs = codec.Epochs()
        self.talker = ""
        self._heard = 0
        self._last: tuple[int, int, float] | None = None  # time of week, host time, height

    @property
    def capabilities(self) -> Capabilities:
        rate = 1 / line_time_s(_BYTES, self.transport.baud)
        text = f"{_BYTES} bytes of GGA and RMC, 10 bits each, at {self.transport.baud:.0f} baud."
        return Capabilities(max_rate_hz=min(50.0, rate), budget=text)

    def identify(self, timeout_s: float = 1.0) -> Identity:
        self._heard = 0
        if self.options["must_hear"]:
            self.hear("receiver sending NMEA", max(timeout_s, 2.5), lambda: self._heard >= 2,
                      "Check power, baud, and that it sends GGA and RMC.")  # fmt: skip
        return Identity("nmea", f"talker {self.talker}" if self.talker else "listening")

    def configure(self) -> None:
        self.capabilities.require_rate(self.options["rate_hz"], "nmea")
        super().configure()
        self.tow_sync.reset()
        self._start_over()

    def take(self, frame: list[str], arrival_ns: int) -> None:
        if frame[0][2:] in ("GGA", "RMC"):
            self._heard += 1
            self.talker = frame[0][:2]
        for epoch in self.epochs.feed(frame, arrival_ns):
            self._take_epoch(epoch)

    def _take_epoch(self, epoch: codec.Epoch) -> None:
        gga, rmc = epoch.gga, epoch.rmc
        assert gga is not None
        tow_ms = codec.tow_ms(epoch.day_ms, self.epochs.date, self.options["leap_s"])
        t_ns = self._date_of(tow_ms, epoch.first_ns)
        height = gga.height_m + (0.0 if gga.has_separation else self.options["geoid_m"])
        fix = gga.fix if rmc is None or rmc.valid else 0
        if not fix:
            none = (t_ns, epoch.last_ns, tow_ms, 0.0, 0.0, 0.0, (0.0, 0.0, 0.0), 0.0, 0.0, 0, 0)
            self.queue((*none, self.options["source_id"]))
            return
        north, east = rmc.vel_N if rmc is not None and rmc.vel_N is not None else (math.nan, math.nan)
        down = self._down(epoch, t_ns, height)
        self._last = (tow_ms, t_ns, height)
        has_vel = math.isfinite(north + east + down)
        vel = tuple(v if math.isfinite(v) else 0.0 for v in (north, east, down))
        std = self.epochs.pos_std_m
        std = std if math.isfinite(std) else gga.hdop * self.options["uere_m"] if gga.hdop > 0 else 10.0
        self.give(t_ns, epoch.last_ns, tow_ms, (gga.lat_deg, gga.lon_deg, height), (vel[0], vel[1], vel[2]), has_vel,
                  std, self.options["vel_std_m_s"], fix, self.options["source_id"])  # fmt: skip

    def _date_of(self, tow_ms: int, arrival_ns: int) -> int:
        """A repeated or older measurement keeps its place in time; only new ones move the clock."""
        if self._last is not None and 0 <= (age := self._last[0] - tow_ms) < 10_000:
            return self._last[1] - age * 1_000_000
        return self.tow_sync.to_host(tow_ms, arrival_ns)

    def _down(self, epoch: codec.Epoch, t_ns: int, height: float) -> float:
        if math.isfinite(epoch.down_m_s) or self.options["vertical"] == "none" or self._last is None:
            return epoch.down_m_s
        dt_s = (t_ns - self._last[1]) * 1e-9
        return (self._last[2] - height) / dt_s if 0.02 < dt_s < 3.0 else math.nan
