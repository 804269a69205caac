"""A FANET serial module that hears the subject's beacon and one stranger.

Written from 3s1d/fanet-stm32 protocol.txt. Shares nothing with the driver. The radio is off until #DGP 1.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

from firmware_bridge.emulators.base import NEVER, Emulator
from firmware_bridge.emulators.physics import Fix


class FanetEmulator(Emulator):
    """Options of the driver read here: id, latency_ms, geoid_m. Of its own: interval_s, relay (each frame again
    0.3 s later), twin (another beacon with the subject's address)."""

    def __init__(self, physics: Any, options: Mapping[str, object] | None = None) -> None:
        super().__init__(physics, options)
        self.address = str(self.options.get("id", "11:ABCD")).replace(":", ",")
        self.latency_ns = int(1e6 * float(str(self.options.get("latency_ms", 700.0))))
        self.interval_ns = int(1e9 * float(str(self.options.get("interval_s", 5.0))))
        self.geoid_m = float(str(self.options.get("geoid_m", 0.0)))
        self.relay, self.twin = bool(self.options.get("relay")), bool(self.options.get("twin"))

    def power_up(self, now_ns: int) -> None:
        self._tail = b""
        self.radio_on = False
        self._next = now_ns + self.interval_ns // 2

    def next_ns(self) -> int:
        return self._next if self.radio_on else NEVER

    def service(self, now_ns: int) -> None:
        while self._next <= now_ns:
            self._heard(self._next)
            self._next += self.interval_ns

    def _heard(self, t_ns: int) -> None:
        fix = self.physics.fix(t_ns)
        if fix is not None and fix.fix:
            frame = self._frame(self.address, fix)
            measured_ns = fix.t_ns if fix.t_ns >= 0 else t_ns
            out_ns = max(t_ns, measured_ns + self.latency_ns)
            self.send(frame, out_ns)
            if self.relay:
                self.send(frame, out_ns + 300_000_000)
            if self.twin:
                far = Fix(fix.lat_deg - 0.1, fix.lon_deg, fix.height_m, (5.0, 5.0, 1.0))
                self.send(self._frame(self.address, far), out_ns + 1_000_000_000)
        self.send(self._frame("7,1234", Fix(46.6, 7.8, 900.0, (8.0, 0.0, 1.0))), t_ns + 2 * self.latency_ns)

    def _frame(self, address: str, fix: Fix) -> bytes:
        kmh = math.hypot(fix.vel_N[0], fix.vel_N[1]) * 3.6
        half = round(kmh * 2)
        speed = half if half <= 127 else 0x80 | min(127, round(half / 5))
        tenth = round(-fix.vel_N[2] * 10)
        climb = tenth & 0x7F if abs(tenth) <= 63 else 0x80 | (max(-64, min(63, round(tenth / 5))) & 0x7F)
        height = max(0, round(fix.height_m - self.geoid_m))
        altitude = height if height <= 2047 else 0x800 | min(2047, round(height / 4))
        word = 0x8000 | 1 << 12 | altitude
        heading = round(math.atan2(fix.vel_N[1], fix.vel_N[0]) / (2 * math.pi) * 256) % 256
        data = bytearray()
        data += round(fix.lat_deg * 93206).to_bytes(3, "little", signed=True)
        data += round(fix.lon_deg * 46603).to_bytes(3, "little", signed=True)
        data += bytes([word & 255, word >> 8, speed, climb, heading])
        return f"#FNF {address},1,0,1,{len(data):X},{data.hex().upper()}\n".encode()

    def feed(self, data: bytes, now_ns: int) -> None:
        self._tail = (self._tail + data)[-512:]
        while (end := self._tail.find(b"\n")) >= 0:
            line, self._tail = self._tail[:end].strip(), self._tail[end + 1 :]
            if line == b"#DGV":
                self.send(b"#DGV build-201709261354\n", now_ns)
            elif line.startswith(b"#DGP"):
                good = line in (b"#DGP 0", b"#DGP 1")
                if good:
                    self.radio_on = line.endswith(b"1")
                    self._next = max(self._next, now_ns + 1)
                self.send(b"#DGR OK\n" if good else b"#DGR ERR,70,power switch failed\n", now_ns)
            elif line.startswith(b"#FN"):
                self.send(b"#FNR ERR,1,unknown command\n", now_ns)
