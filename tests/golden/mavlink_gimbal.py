"""Frames that MAVSDK 4.1.0 sent and accepted, and the check value of MAVLink's CRC."""

from __future__ import annotations

from firmware_bridge.framing import mcrf4xx
from firmware_bridge.mavlink_frames import MavlinkFramer, MavlinkPacker, mavlink

H = bytes.fromhex
STATUS = H("fd3000000101 9a1d0100 01000000 0000803f000000000000000000000000 0ad7233c0ad7a33c8fc2f53c 00000000 2000 0000"
           "00000000 0000c07f 625a".replace(" ", ""))  # fmt: skip
TAKE = H("fd2000000bf5be4c000000007543000 03e430000754300003e430000c07f0000c07f00001a43e9030101983a".replace(" ", ""))
RATES = H("fd2300000ef5be1a01000c0000000000c07f0000c07f0000c07f0000c07f00000000c2b8b23d35fa0ebe01019a56fd")


def taken(frame: bytes):
    """The one message of a frame."""
    (message,) = MavlinkFramer().messages(frame)
    return message


def remade(frame: bytes) -> bytes:
    """Decoded, and packed anew by the same sender with the same sequence."""
    message = taken(frame)
    packer = MavlinkPacker(message.get_srcSystem(), message.get_srcComponent())
    packer._mav.seq = message.get_seq()
    fields = [getattr(message, name) for name in message.fieldnames]
    return packer.pack(type(message)(*fields))


# name -> (what our code makes of it, what it must be)
CASES = {
    "CRC check value of 123456789": (lambda: mcrf4xx(b"123456789"), 0x6F91),
    "attitude status": (lambda: remade(STATUS), STATUS),
    "attitude status, decoded": (
        lambda: (taken(STATUS).flags, list(taken(STATUS).q), round(taken(STATUS).angular_velocity_z, 6)),
        (32, [1.0, 0.0, 0.0, 0.0], 0.03)),
    "control taken": (lambda: remade(TAKE), TAKE),
    "control taken, decoded": (lambda: (taken(TAKE).command, taken(TAKE).param1, taken(TAKE).param7), (1001, 245, 154)),
    "rates, streamed": (lambda: remade(RATES), RATES),
    "set attitude's number": (
        lambda: mavlink.MAVLink_gimbal_device_set_attitude_message.crc_extra, 99),
}  # fmt: skip
