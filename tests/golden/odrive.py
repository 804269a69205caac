"""Lines exchanged with ODrive's own parser, Firmware/communication/ascii_protocol.cpp (MIT, fw-v0.5.6 at f9b5419c),
compiled for Linux and run on a pty."""

from __future__ import annotations

import math

import numpy as np

from firmware_bridge.drivers import odrive_codec as codec
from firmware_bridge.interface import AXIS_FEEDBACK, Counters


def made(checksum: bool = False) -> codec.OdriveCodec:
    return codec.OdriveCodec([0, 1], 0.2, checksum, Counters())


def read(reply: bytes, kind: str, checksum: bool) -> tuple:
    """Turns and turns/s of a feedback reply, or the value of another."""
    taker, rows = made(checksum), np.zeros(2, AXIS_FEEDBACK)
    taker.ask(kind, 0)
    taker.feed(reply, rows, 1)
    if kind != "feedback":
        return (taker.values[0].get(kind),)
    return round(rows[0]["angle_rad"] / codec.TURN, 6), round(rows[0]["rate_rad_s"] / codec.TURN, 6)


CASES = {
    "read voltage": (lambda: made(True).ask("vbus", 0), b"r vbus_voltage *93\n".replace(b" *93", b"*125")),
    "checksum of the recorded line, with its space": (lambda: codec.line(b"r vbus_voltage ", True),
                                                      b"r vbus_voltage *93\n"),
    "feedback with checksum": (lambda: made(True).ask("feedback", 0), b"f 0*118\n"),
    "feedback without": (lambda: made().ask("feedback", 0), b"f 0\n"),
    "closed loop": (lambda: made().request_state(0, 8), b"w axis0.requested_state 8\n"),
    "watchdog": (lambda: made().write_property(0, "config.watchdog_timeout", 0.1),
                 b"w axis0.config.watchdog_timeout 0.1\n"),
    "current": (lambda: made().ask("iq", 0), b"r axis0.motor.current_control.Iq_measured\n"),
    "feed": (lambda: made().feed_watchdog(0), b"u 0\n"),
    "torque": (lambda: made().motion(1, 1, -0.25, 0, 0), b"c 1 -0.25000\n"),
    "half a turn a second, torque ahead": (lambda: made().motion(0, 2, 0.05, math.pi, 0), b"v 0 0.500000 0.05000\n"),
    "reply to f 0": (lambda: read(b"0.500000 -1.250000\r\n", "feedback", False), (0.5, -1.25)),
    "reply to f 0*118": (lambda: read(b"0.500000 -1.250000*14\r\n", "feedback", True), (0.5, -1.25)),
    "reply to r vbus_voltage": (lambda: read(b"24.087744*32\r\n", "vbus", True), (24.087744,)),
    "reply without its checksum": (lambda: read(b"24.087744\r\n", "vbus", True), (None,)),
    "reply with a wrong one": (lambda: read(b"24.087744*33\r\n", "vbus", True), (None,)),
    "invalid property": (lambda: read(b"invalid property\r\n", "iq", False), (None,)),
}  # fmt: skip
