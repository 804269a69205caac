"""The format is this project's own: the document docs/devices.md is the source."""

from __future__ import annotations

from firmware_bridge.drivers import vision_json_codec as codec

TEXT = b'{"t_ns":1000000,"x":0.51,"y":0.48,"confidence":0.93,"exposure_us":4000,"readout_us":10000,"seq":77}'


def bearing() -> codec.Bearing:
    found = codec.JsonFramer().feed(b"noise" + TEXT + b"\n")
    read = codec.read(found[0])
    assert read is not None
    return read


CASES = {
    "keys": (lambda: bearing()[:3] + bearing()[9:], (1000000, 0.51, 0.48, 77, True, 0)),
    "middle of the exposure, rolling shutter": (lambda: bearing().middle_ns, 1_000_000 + 2_000_000 + 4_800_000),
    "again": (lambda: codec.read(codec.JsonFramer().feed(codec.write(bearing()))[0]), bearing()),
    "x out of range": (lambda: codec.read({"x": 1.2, "y": 0.5}), None),
    "NaN": (lambda: codec.JsonFramer().feed(b'{"x":NaN,"y":0.5}'), []),
}
