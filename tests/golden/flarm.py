"""The PFLAA example of the FLARM data port specification, as quoted in stratux; its checksum is right."""

from __future__ import annotations

from firmware_bridge.drivers import nmea_codec as codec
from firmware_bridge.drivers.flarm import moved

PFLAA = b"$PFLAA,0,-10687,-22561,-10283,1,A4F2EE,136,0,269,0.0,0*4E"


def target() -> tuple:
    t = codec.read_pflaa(codec.read(PFLAA) or [])
    assert t is not None and t.vel_N is not None
    return t.ident, t.north_m, t.east_m, t.up_m, tuple(round(v, 3) for v in t.vel_N)


CASES = {
    "PFLAA": (target, ("A4F2EE", -10687, -22561, -10283, (-193.502, 186.863, 0.0))),
    "again": (lambda: codec.sentence(PFLAA[1:-3].decode()), PFLAA + b"\r\n"),
    "no bearing": (lambda: codec.read_pflaa("PFLAA,0,2500,,300,1,4B1234,,,,,8".split(",")), None),
    # The arc of one degree along a meridian, and of a parallel at 45 degrees (WGS 84, NIMA TR8350.2, table).
    "111132 m north at 45": (lambda: round(moved(44.5, 7.0, 0.0, 111_131.8, 0.0)[0], 3), 45.5),
    "78847 m east at 45": (lambda: round(moved(45.0, 7.0, 0.0, 0.0, 78_846.8)[1], 5), 8.0),
}
