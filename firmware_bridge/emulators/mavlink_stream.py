"""What every MAVLink 2 system that only talks has in common: a beat, HEARTBEAT at 1 Hz, frames with their checksum.

Written from the MAVLink serialisation guide, bytes by hand. Shares nothing with the drivers.
"""

from __future__ import annotations

import struct

from firmware_bridge.emulators.base import Emulator

HEARTBEAT = 0


def x25(data: bytes) -> int:
    """CRC-16/MCRF4XX over header, payload and the message's extra byte."""
    crc = 0xFFFF
    for byte in data:
        x = byte ^ crc & 0xFF
        x ^= x << 4 & 0xFF
        crc = (crc >> 8 ^ x << 8 ^ x << 3 ^ x >> 4) & 0xFFFF
    return crc


class MavlinkStream(Emulator):
    """Calls ``tell(t_ns)`` every ``step_ns``. A device sets EXTRA (message id -> its extra byte), ``system``,
    ``component`` and ``step_ns``; ``beat`` is its HEARTBEAT's type, autopilot and base mode."""

    EXTRA: dict[int, int] = {}
    component = 1
    beat = (2, 3, 81)
    system: int
    step_ns: int

    def power_up(self, now_ns: int) -> None:
        self._start_ns, self._count, self._seq = now_ns - 12_345_000_000, 0, 0  # it has been up for a while
        self._next = now_ns + self.step_ns

    def next_ns(self) -> int:
        return self._next

    def feed(self, data: bytes, now_ns: int) -> None:
        """Nobody commands it here."""

    def service(self, now_ns: int) -> None:
        while self._next <= now_ns:
            if self._count % max(1, round(1e9 / self.step_ns)) == 0:
                kind, autopilot, mode = self.beat
                self.say(HEARTBEAT, struct.pack("<IBBBBB", 0, kind, autopilot, mode, 4, 3), self._next)
            self._count += 1
            self.tell(self._next)
            self._next += self.step_ns

    def tell(self, t_ns: int) -> None:
        """What the device has to say at t_ns."""
        raise NotImplementedError

    def say(self, kind: int, payload: bytes, t_ns: int, system: int = 0, component: int = 0) -> None:
        """One frame at t_ns, of this system and component or of another's."""
        payload = payload.rstrip(b"\0") or b"\0"  # version 2 leaves trailing zeros out
        head = bytes([len(payload), 0, 0, self._seq, system or self.system, component or self.component])
        head += kind.to_bytes(3, "little")
        self._seq = self._seq + 1 & 255
        crc = x25(head + payload + bytes([self.EXTRA[kind]]))
        self.send(b"\xfd" + head + payload + crc.to_bytes(2, "little"), t_ns)
