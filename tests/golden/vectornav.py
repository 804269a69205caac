"""Traffic of VectorNav's own C++ library 1.2.0.0 (MIT, bundled in dawonn/vectornav 6824e8b)."""

from __future__ import annotations

from firmware_bridge.drivers import vectornav_codec as codec

# Binary output 1: common group, {TimeStartup, Quaternion, AngularRate, Accel}.
BINARY = bytes.fromhex(
    "fa 01 31 01 10 0f 06 21 00 00 00 00 00 00 00 00 00 00 00 00 81 04 35 3f 81 04 35 3f"
    "0a d7 23 3c 0a d7 a3 3c 8f c2 f5 3c cd cc cc 3d cd cc 4c 3e c3 f5 1c c1 5d 85"
)


def values() -> tuple:
    groups, fields, numbers = codec.decode(BINARY)
    return (groups, fields, *(round(x, 5) for x in numbers))


CASES = {
    "read the model": (lambda: codec.ascii_line("VNRRG,01"), b"$VNRRG,01*72\r\n"),
    "model": (lambda: codec.read_ascii(b"$VNRRG,01,VN-100T-CR*32"), ["VNRRG", "01", "VN-100T-CR"]),
    "sixteen bits": (lambda: codec.read_ascii(b"$123456789*31C3\r"), ["123456789"]),  # the CRC's own check value
    "a wrong one": (lambda: codec.read_ascii(b"$VNRRG,01,VN-100T-CR*0032"), None),
    "asynchronous ASCII off": (lambda: codec.ascii_line("VNWRG,06,0"), b"$VNWRG,06,0*6C\r\n"),
    "binary output 1": (lambda: codec.ascii_line("VNWRG,75,1,1,1,131"), b"$VNWRG,75,1,1,1,131*76\r\n"),
    "binary frame is valid": (lambda: codec.frame_valid(BINARY), True),
    "binary frame": (values, (1, (0x131,), 554045200, 0.0, 0.0, 0.7071, 0.7071, 0.01, 0.02, 0.03, 0.1, 0.2, -9.81)),
    "binary frame again": (lambda: codec.encode(*codec.decode(BINARY)), BINARY),
}
