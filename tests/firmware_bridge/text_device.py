"""The device of docs/adding-a-device.md: a barometer that doesn't exist, in one driver, one emulator, one line.

It sends "P 46.5000 7.9000 1500.0 *XX" ten times a second, XX the XOR of all before the star.
"""

from __future__ import annotations

from typing import ClassVar

from firmware_bridge.emulators.base import Emulator
from firmware_bridge.errors import NoAnswer
from firmware_bridge.framing import LineFramer, line_time_s, xor8
from firmware_bridge.interface import Capabilities, Identity, Option, PositionDriver, Status


def decode(line: bytes) -> tuple[float, float, float] | None:
    body, star, check = line.rpartition(b"*")
    if not star or check != b"%02X" % xor8(body):
        return None
    words = body.split()
    try:
        values = [float(word) for word in words[1:]]
    except ValueError:
        return None
    return (values[0], values[1], values[2]) if words[0] == b"P" and len(values) == 3 else None


class TextDevice(PositionDriver):
    NAME = "textdevice"
    OPTIONS: ClassVar = {"latency_ms": Option(float, 5.0, "from measurement to arrival", 0.0, 1000.0)}

    def setup(self) -> None:
        self._lines = LineFramer(80)

    @property
    def capabilities(self) -> Capabilities:
        rate = 1 / line_time_s(32, self.transport.baud)
        return Capabilities(max_rate_hz=rate, budget=f"32 bytes a fix at {self.transport.baud:.0f} baud.")

    def identify(self, timeout_s: float = 1.0) -> Identity:
        end_ns = self.transport.clock() + int(timeout_s * 1e9)
        while self.transport.clock() < end_ns and not self.transport.lost:
            self.transport.wait(0.05)
            if any(decode(line) for line in self._lines.feed(self.transport.read())):
                return Identity("textdevice", "made up")
        raise NoAnswer(f"nothing that reads as a text device arrives on {self.transport.name}. Check power and baud.")

    def poll(self, rows) -> int:
        n = bad = 0
        while data := self.transport.read():
            for line in self._lines.feed(data):
                fix = decode(line)
                bad += fix is None
                if fix is not None and n < len(rows):
                    arrival = self.transport.arrival_ns
                    t_ns = arrival - int(1e6 * self.options["latency_ms"])
                    rows[n] = (t_ns, arrival, 0, *fix, (0.0, 0.0, 0.0), 5.0, 0.0, 0, 3, 0)
                    n += 1
        self.counters.rows += n
        self.counters.bad_crc += bad
        if n:
            return n
        return int(Status.LINK_LOST) if self.transport.lost else int(Status.BAD_CRC) if bad else 0


class TextEmulator(Emulator):
    def power_up(self, now_ns: int) -> None:
        self._next_ns = now_ns + 100_000_000

    def next_ns(self) -> int:
        return self._next_ns

    def service(self, now_ns: int) -> None:
        fix = self.physics.fix(self._next_ns)
        text = f"P {fix.lat_deg:.4f} {fix.lon_deg:.4f} {fix.height_m:.1f} "
        total = 0
        for byte in text.encode():
            total ^= byte
        self.send(f"{text}*{total:02X}\n".encode(), self._next_ns)
        self._next_ns += 100_000_000

    def feed(self, data: bytes, now_ns: int) -> None:
        """It listens to nothing."""


CASES = {
    "a fix": (lambda: decode(b"P 46.5000 7.9000 1500.0 *73"), (46.5, 7.9, 1500.0)),
    "wrong check": (lambda: decode(b"P 46.5000 7.9000 1500.0 *44"), None),
    "no check": (lambda: decode(b"P 46.5000 7.9000 1500.0"), None),
}
