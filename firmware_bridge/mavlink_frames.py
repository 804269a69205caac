"""MAVLink 2 on a byte stream: whole frames with a right check, decoded by pymavlink; and packing with a sequence.

Cutting is ours: after a damaged frame pymavlink's own parser skips as many bytes as the damaged header claims.
"""

from __future__ import annotations

from typing import Any

from pymavlink.dialects.v20 import ardupilotmega as mavlink

from firmware_bridge.drivers import mavlink_codec as codec
from firmware_bridge.framing import BinaryFramer

codec.load("mavlink")


class MavlinkFramer:
    """Bytes in, whole frames or messages out. Messages of an unknown dialect count as garbage."""

    def __init__(self) -> None:
        self.framer = BinaryFramer(codec.SYNC, codec.frame_length, codec.frame_valid, codec.MAX_FRAME)
        self._decoder = mavlink.MAVLink(None)
        self.undecodable = 0

    def frames(self, data: bytes) -> list[bytes]:
        return self.framer.feed(data)

    def messages(self, data: bytes, wanted: frozenset[int] | None = None) -> list[Any]:
        """pymavlink's messages; of ``wanted`` ids only, where given."""
        found = []
        for frame in self.framer.feed(data):
            if wanted is None or codec.message_id(frame) in wanted:
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
