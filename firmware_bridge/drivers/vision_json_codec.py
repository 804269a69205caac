"""Bearings of a tracking camera as flat JSON objects. Pure: no port, no clock. A format of our own: docs/devices.md.

{"t_ns": 1234, "x": 0.51, "y": 0.48, "w": 0.05, "h": 0.09, "confidence": 0.93, "exposure_us": 4000, "seq": 77}
"""

from __future__ import annotations

import json
import math
from typing import Any, NamedTuple

MAX_OBJECT = 1024


class Bearing(NamedTuple):
    """x, y, w, h: share of the picture, from its top left. t_ns: start of the exposure, sender's clock; -1 none."""

    t_ns: int
    x: float
    y: float
    w: float
    h: float
    confidence: float
    std: float
    exposure_us: float
    readout_us: float  # of a rolling shutter, top to bottom
    seq: int
    tracking: bool
    ident: int

    @property
    def middle_ns(self) -> int:
        """Of the exposure of the target's own line."""
        return self.t_ns + round(self.exposure_us * 500 + self.readout_us * 1000 * self.y)


_LIMITS = {"x": (0, 1), "y": (0, 1), "w": (0, 1), "h": (0, 1), "confidence": (0, 1), "std": (0, 1),
           "exposure_us": (0, 1e6), "readout_us": (0, 1e6)}  # fmt: skip
_DEFAULTS = {"w": 0.0, "h": 0.0, "confidence": 1.0, "std": 0.0, "exposure_us": 0.0, "readout_us": 0.0}
_WHOLE = {"t_ns": -1, "seq": -1, "id": 0}


def _no_constant(text: str) -> float:
    raise ValueError(text)


class JsonFramer:
    """Flat objects, with or without line ends between them; datagrams may be cut or joined."""

    def __init__(self) -> None:
        self.bad_crc = self.garbage_bytes = 0
        self._tail = b""

    def feed(self, data: bytes) -> list[dict[str, Any]]:
        found = []
        buffer = self._tail + data
        at = 0
        while (start := buffer.find(b"{", at)) >= 0:
            self.garbage_bytes += len(buffer[at:start].strip())
            end = buffer.find(b"}", start)
            again = buffer.find(b"{", start + 1)
            if 0 <= again < end or end < 0 <= again:  # an object inside or after a broken one: none of ours nests
                self.garbage_bytes += again - start
                at = again
                continue
            if end < 0:
                break
            value = _parsed(buffer[start : end + 1])
            if value is not None:
                found.append(value)
            else:
                self.garbage_bytes += end + 1 - start
            at = end + 1
        tail = buffer[start:] if start >= 0 else b""
        if start < 0:
            self.garbage_bytes += len(buffer[at:].strip())
        if len(tail) > MAX_OBJECT:
            self.garbage_bytes += len(tail)
            tail = b""
        self._tail = tail
        return found

    def reset(self) -> None:
        self._tail = b""


def _parsed(text: bytes) -> dict[str, Any] | None:
    try:
        value = json.loads(text, parse_constant=_no_constant)
    except (ValueError, RecursionError):
        return None
    return value if isinstance(value, dict) else None


def read(value: dict[str, Any]) -> Bearing | None:
    """None when x or y is missing, or a key's value is of the wrong type or out of range. Other keys are ignored."""
    numbers: dict[str, float] = {}
    for key, (low, high) in _LIMITS.items():
        number = value.get(key, _DEFAULTS.get(key))
        if isinstance(number, bool) or not isinstance(number, (int, float)) or not low <= number <= high:
            return None
        numbers[key] = float(number)
    whole: dict[str, int] = {}
    for key, default in _WHOLE.items():
        number = value.get(key, default)
        if isinstance(number, bool) or not isinstance(number, int) or not default <= number < 1 << 62:
            return None
        whole[key] = number
    tracking = value.get("tracking", True)
    if not isinstance(tracking, bool) or not math.isfinite(sum(numbers.values())):
        return None
    n = numbers
    return Bearing(whole["t_ns"], n["x"], n["y"], n["w"], n["h"], n["confidence"], n["std"], n["exposure_us"],
                   n["readout_us"], whole["seq"], tracking, whole["id"])  # fmt: skip


def write(b: Bearing) -> bytes:
    """One line."""
    value = {"t_ns": b.t_ns, "x": b.x, "y": b.y, "w": b.w, "h": b.h, "confidence": b.confidence, "std": b.std,
             "exposure_us": b.exposure_us, "readout_us": b.readout_us, "seq": b.seq, "tracking": b.tracking,
             "id": b.ident}  # fmt: skip
    return json.dumps(value, separators=(",", ":"), allow_nan=False).encode() + b"\n"
