"""`gimbal vision`: follow the subject in frames and send its bearings to the daemon as JSON over UDP.

The daemon's rows say where to look: its predicted line of sight in its attitude, read from shared memory, no question
asked of the loop. Without a daemon (``--box``) the subject is what the box shows.
"""

from __future__ import annotations

import argparse
import json
import math
import socket
import time
from collections.abc import Iterator
from typing import Any

import numpy as np

from firmware_bridge import registry
from gimbal.config.load import load_rig
from gimbal.config.schema import Rig
from gimbal.errors import UsageError
from gimbal.output import check_writable, write_json
from gimbal.vision.emulated import emulated
from gimbal.vision.eye import Eye
from gimbal.vision.follow import Found
from gimbal.vision.frames import Frame, frames

DEFAULT_TO = "udp://127.0.0.1:5602"
MOST_LATE_MS, MOST_OPEN_US = 10_000.0, 1e6


def bearing(frame: Frame, found: Found, seq: int) -> bytes:
    """One JSON object as docs/devices.md describes it."""
    height, width = frame.image.shape[:2]
    x, y = (min(max(v, 0.0), 1.0) for v in (found.x / width, found.y / height))
    keys: dict[str, Any] = {"t_ns": frame.t_ns, "exposure_us": frame.exposure_us, "x": round(x, 6), "y": round(y, 6)}
    keys |= {"w": round(min(found.w / width, 1.0), 4), "h": round(min(found.h / height, 1.0), 4), "seq": seq}
    keys |= {"confidence": round(found.confidence, 3), "tracking": found.tracking}
    keys["std"] = round(min(found.std / width, 1.0), 6)
    return json.dumps(keys, separators=(",", ":")).encode() + b"\n"


class Predictor:
    """The daemon's rows as they were when a frame was exposed; what it then was and looked at, not what it does now."""

    def __init__(self, rig: Rig) -> None:
        from gimbal.daemon.instance import segment
        from gimbal.telemetry.ring import RingReader

        self.reader, self.rows_1_ns = RingReader(segment(rig.name, "tick")), 1e-9 * rig.loop_rate_hz

    def row(self, t_ns: int) -> np.void | None:
        """The row of t_ns or the nearest that is still there; None before the first."""
        rows = self.reader.latest()
        if rows is None:
            return None
        behind = round((int(rows[0]["t_ns"]) - t_ns) * self.rows_1_ns)
        if behind > 0:
            self.reader.next_index = max(self.reader.first - behind, 0)
            past = self.reader.read_new(1)
            rows = past if len(past) else rows
        return rows[0]


def _box(values: list[float] | None, frame: Frame) -> tuple[float, float, float] | None:
    if values is None:
        return None
    height, width = frame.image.shape[:2]
    return values[0] * width, values[1] * height, values[2] * width


def _check_numbers(args: argparse.Namespace) -> None:
    """Raises UsageError; before the source is opened."""
    if args.box is not None and not all(math.isfinite(v) and 0.0 < v <= 1.0 for v in args.box):
        raise UsageError("--box takes X Y SIDE as shares of the picture's width and height, 0 to 1: --box 0.5 0.5 0.1")
    if not 0.0 <= args.latency_ms <= MOST_LATE_MS:
        raise UsageError(f"--latency-ms {args.latency_ms:g} is no age of a frame: give 0 to {MOST_LATE_MS:g}. Cameras "
                         "are 30 to 120 ms late.")  # fmt: skip
    if not 0.0 < args.exposure_us <= MOST_OPEN_US:
        raise UsageError(f"--exposure-us {args.exposure_us:g} is no exposure: give more than 0, at most "
                         f"{MOST_OPEN_US:g}.")  # fmt: skip


def _of_rig(rig: Rig) -> str:
    """Where the rig's vision device listens, on this host. Raises UsageError where it has none."""
    ports = [device.port for device in rig.devices.values() if registry.entry(device.driver).kind == "bearing"]
    if not ports:
        raise UsageError(
            f"Rig {rig.name!r} has no device that takes bearings, so its daemon would not hear them. Use one with "
            'driver = "vision_json" (configs/rigs/torque_camera.toml shows it), or say where to send with --to.'
        )
    return f"udp://127.0.0.1:{ports[0].rpartition(':')[2]}" if ports[0].startswith("udp://") else DEFAULT_TO


def _place(to: str) -> tuple[str, int]:
    """Host and port. Raises UsageError."""
    host, _, port = to.removeprefix("udp://").rpartition(":")
    if not to.startswith("udp://") or not port.isdigit() or not 0 < int(port) < 65536:
        raise UsageError(f"--to {to!r} is no place to send to: give udp://HOST:PORT, for example {DEFAULT_TO}.")
    return host or "127.0.0.1", int(port)


def _frames(args: argparse.Namespace, rig: Rig) -> Iterator[Frame]:
    if args.source == "emulated":
        return emulated(rig)
    return frames(args.source, latency_ms=args.latency_ms, exposure_us=args.exposure_us)


def vision_command(args: argparse.Namespace) -> int:
    """Entry of `gimbal vision`. 0 when the source has ended."""
    rig = load_rig(args.rig).config
    check_writable(args.json, "--json")
    _check_numbers(args)
    host, port = _place(args.to or _of_rig(rig))
    predictor = None
    if args.box is None:
        from gimbal.telemetry.shm import SharedMemoryError

        try:
            predictor = Predictor(rig)
        except SharedMemoryError as error:
            raise UsageError(
                f"Nothing says where to look: {error} Start `gimbal run`, or give --box X Y SIDE."
            ) from error
    eye, seq, followed, started = Eye(rig.camera), 0, 0, time.monotonic()
    out = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    try:
        for frame in _frames(args, rig):
            first = _box(args.box, frame) if seq == 0 else None
            if seq == 0:
                print(f"Looking: {frame.image.shape[1]} x {frame.image.shape[0]} px", flush=True)
            if first is not None:
                eye.follower.begin(frame.image, *first)
            middle_ns = frame.t_ns + round(500 * frame.exposure_us)
            found = eye.step(frame, predictor.row(middle_ns) if predictor is not None else None)
            followed += found.tracking
            out.sendto(bearing(frame, found, seq), (host, port))
            seq += 1
    finally:
        out.close()
    rate = seq / max(time.monotonic() - started, 1e-9)
    print(f"{seq} frames, subject followed in {followed}, {eye.refused} times something else; {rate:.0f} frames/s")
    result = {"rig": rig.name, "frames": seq, "followed": followed, "refused": eye.refused, "frames_s": rate}
    write_json(args.json, result)
    return 0
