"""Bearings of a tracking camera as JSON over UDP (docs/devices.md has the keys), dated by the exposure's middle."""

from __future__ import annotations

from typing import Any, ClassVar

from firmware_bridge.clock_sync import ClockSync
from firmware_bridge.drivers import vision_json_codec as codec
from firmware_bridge.framing import line_time_s
from firmware_bridge.interface import BearingDriver, Capabilities, Identity, Option
from firmware_bridge.row_driver import RowDriver

_BYTES = 200
_OLDEST_NS = 5_000_000_000


class VisionJson(RowDriver, BearingDriver):
    NAME = "vision_json"
    OPTIONS: ClassVar = {
        "clock": Option(str, "sender", "whose t_ns is: sender: another machine's; host: CLOCK_MONOTONIC of this one",
                        choices=("sender", "host")),
        "latency_ms": Option(float, 20.0, "least delay from the exposure's start to arrival (clock sender, or no t_ns)",
                             0.0, 2000.0),
        "max_fps": Option(float, 240.0, "more pictures a second than this are not planned for", 1.0, 2000.0),
        "id": Option(int, 0, "take only bearings with this id; 0: any", 0, 2**53),
        "must_hear": Option(bool, True, "refuse to start in silence; false: the tracker may be started later"),
    }  # fmt: skip

    def setup(self) -> None:
        self.start(codec.JsonFramer())
        self.clock = ClockSync(int(1e6 * self.options["latency_ms"]), step_ns=500_000_000)
        self._start_over()

    def _start_over(self) -> None:
        self.heard = 0
        self._last = (-1, -1, -1)  # t_ns of the sender, seq, host t_ns

    @property
    def capabilities(self) -> Capabilities:
        rate = 1 / line_time_s(_BYTES, self.transport.baud)
        text = f"some {_BYTES} bytes a bearing, at {self.transport.baud:.0f} bit/s; max_fps says the rest."
        return Capabilities(max_rate_hz=min(self.options["max_fps"], rate), budget=text)

    def identify(self, timeout_s: float = 1.0) -> Identity:
        self.heard = 0
        if self.options["must_hear"]:
            self.hear("tracker sending JSON bearings", timeout_s, lambda: self.heard >= 2,
                      "Check that it runs and sends to this host and UDP port, with x and y from 0 to 1.")  # fmt: skip
        return Identity("vision_json", "bearings")

    def configure(self) -> None:
        self.forget()
        self.clock.reset()
        self._start_over()

    def take(self, frame: dict[str, Any], arrival_ns: int) -> None:
        bearing = codec.read(frame)
        if bearing is None:
            self.counters.bad_values += 1
            return
        self.heard += 1
        wanted = self.options["id"]
        if wanted and bearing.ident != wanted:
            self.counters.other_identity += 1
            return
        last_sent, last_seq, last_host = self._last
        stale = 0 <= last_sent - bearing.t_ns < _OLDEST_NS if bearing.t_ns >= 0 else 0 <= bearing.seq <= last_seq
        if stale:
            self.counters.duplicates += 1  # repeated, or overtaken by a newer one
            return
        t_ns = self._date(bearing, arrival_ns)
        if not arrival_ns - _OLDEST_NS < t_ns <= arrival_ns:
            self.counters.bad_values += 1
            return
        t_ns = max(t_ns, last_host + 1)
        if 0 <= last_seq < bearing.seq:
            self.counters.lost_rows += bearing.seq - last_seq - 1
        self._last = (bearing.t_ns, bearing.seq, t_ns)
        b = bearing
        self.queue((t_ns, arrival_ns, max(0, b.t_ns), b.seq, (b.x, b.y), (b.w, b.h), b.confidence, b.std,
                    int(b.tracking), b.ident))  # fmt: skip

    def _date(self, bearing: codec.Bearing, arrival_ns: int) -> int:
        middle = bearing.middle_ns - bearing.t_ns
        if bearing.t_ns < 0:
            return min(arrival_ns - int(1e6 * self.options["latency_ms"]) + middle, arrival_ns)
        if self.options["clock"] == "host":
            return bearing.middle_ns
        return min(self.clock.to_host(bearing.t_ns, arrival_ns) + middle, arrival_ns)
