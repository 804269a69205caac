"""MAVLink 2 on a byte stream: whole frames with a right check, decoded by pymavlink; and packing with a sequence.

Cutting is ours: after a damaged frame pymavlink's own parser skips as many bytes as the damaged header claims.
"""

from __future__ import annotations

from typing import Any

from pymavlink.dialects.v20 import ardupilotmega as mavlink

from firmware_bridge.framing import BinaryFramer, mcrf4xx

_HEADER, _SIGNATURE = 10, 13
_EXTRA: dict[int, int] = {number: cls.crc_extra for number, cls in mavlink.mavlink_map.items()}


def _length(buffer: bytes, start: int) -> int:
    if len(buffer) - start < _HEADER:
        return 0
    if buffer[start + 2] & ~1:
        return -1  # an incompatibility flag nobody has defined
    return buffer[start + 1] + _HEADER + 2 + (_SIGNATURE if buffer[start + 2] & 1 else 0)


def message_id(frame: bytes) -> int:
    return frame[7] | frame[8] << 8 | frame[9] << 16


def _valid(frame: bytes) -> bool:
    extra = _EXTRA.get(message_id(frame))
    if extra is None:
        return False
    end = _HEADER + frame[1]
    check = mcrf4xx(frame[1:end] + bytes((extra,)))
    return frame[end] == check & 0xFF and frame[end + 1] == check >> 8


class MavlinkFramer:
    """Bytes in, whole frames or messages out. Messages of an unknown dialect count as garbage."""

    def __init__(self) -> None:
        self.framer = BinaryFramer(b"\xfd", _length, _valid, 255 + _HEADER + 2 + _SIGNATURE)
        self._decoder = mavlink.MAVLink(None)
        self.undecodable = 0

    def frames(self, data: bytes) -> list[bytes]:
        return self.framer.feed(data)

    def messages(self, data: bytes, wanted: frozenset[int] | None = None) -> list[Any]:
        """pymavlink's messages; of ``wanted`` ids only, where given."""
        found = []
        for frame in self.framer.feed(data):
            if wanted is None or message_id(frame) in wanted:
                try:
                    found.append(self._decoder.decode(bytearray(frame)))
                except mavlink.MAVError:  # a right check over a wrong size: made by another definition
                    self.undecodable += 1
        return found


class MavlinkPacker:
    """Messages to frames in the name of one component; counts its own sequence."""

    def __init__(self, system: int, component: int) -> None:
        self._mav = mavlink.MAVLink(None, srcSystem=system, srcComponent=component)

    def pack(self, message: Any) -> bytes:
        data = message.pack(self._mav)
        self._mav.seq = (self._mav.seq + 1) % 256
        return data
