"""Lines exchanged with SimpleFOC's own Commander and FOCMotor::monitor (simplefoc/Arduino-FOC 7f9c45f, 2.4.0, MIT),
compiled for Linux and run on a pty."""

from __future__ import annotations

import numpy as np

from firmware_bridge.drivers import simplefoc_codec as codec
from firmware_bridge.interface import AXIS_FEEDBACK, Counters


def made() -> codec.SimplefocCodec:
    return codec.SimplefocCodec(["M"], 0.2, None, codec.Gates(max_A=10.0), Counters())


def echo(line: bytes) -> tuple:
    """enabled, kind of motion, limit after one line."""
    taker = made()
    taker.feed(line, np.zeros(1, AXIS_FEEDBACK), 0)
    return taker.enabled[0], taker.motion_mode[0], taker.limit_A[0], taker.counters.device_errors


def reading(line: bytes) -> tuple:
    """Angle, rate, current of a reading that comes twice, as the gates want it."""
    taker, rows = made(), np.zeros(1, AXIS_FEEDBACK)
    for t_ns in (0, 1000):
        taker.ask(0)
        taker.feed(line, rows, [t_ns])
    return rows[0]["valid"], rows[0]["angle_rad"], rows[0]["rate_rad_s"], rows[0]["current_A"]


def scan(data: bytes) -> dict[bytes, bytes]:
    taker = made()
    taker.feed(data, np.zeros(1, AXIS_FEEDBACK), 0)
    return taker.scan


CASES = {
    "enable": (lambda: made().say(0, b"E1"), b"ME1\n"),
    "kind of motion": (lambda: made().say(0, b"C1"), b"MC1\n"),
    "all readings": (lambda: made().ask(0), b"MMG7\n"),
    "target of 1.25 A": (lambda: made().target(0, 1, 0.25, 0, 0), b"M1.2500\n"),
    "enabled": (lambda: echo(b"ME1\r\n"), (1, None, None, 0)),
    "disabled": (lambda: echo(b"ME0\r\n"), (0, None, None, 0)),
    "rate mode": (lambda: echo(b"MCvel\r\n"), (None, 1, None, 0)),
    "limit": (lambda: echo(b"MLU8.000\r\n"), (None, None, 8.0, 0)),
    "error": (lambda: echo(b"MZerr\r\n"), (None, None, None, 1)),
    "list": (lambda: scan(b"M:motor\r\nT:motion\r\n"), {b"M": b"motor", b"T": b"motion"}),
    "readings": (lambda: reading(b"MMG-0.250;-0.250;0.000;0.000;0.000;5.000;4.214\r\n"), (1, 4.214, 5.0, 0.0)),
    "stream, currents in mA": (lambda: codec.read_stream(b"6.9837\t-0.2500\t5.0000\t10.2487\r\n", "1100011"),
                               {"target": 6.9837, "Vq": -0.25, "rate": 5.0, "angle": 10.2487}),
    "stream with q current": (lambda: codec.read_stream(b"250.0000\t1.0000\r\n", "0001001"),
                              {"Iq": 0.25, "angle": 1.0}),
}  # fmt: skip
