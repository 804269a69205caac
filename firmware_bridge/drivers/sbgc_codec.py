"""SimpleBGC32 serial API: frames of protocol 1 and 2, and the payloads the driver uses. Pure: no port, no clock.

Sources: BaseCam sbgc32-serial-api 2.2.1 (ee3292a), the specification of 2025-10-28 as modelled by
balrog-kun/sbgcserialapi. Axis order in every array: roll, pitch, yaw.
"""

from __future__ import annotations

import math
import struct
from collections.abc import Sequence
from typing import Any

from firmware_bridge.framing import arc

BOARD_INFO, BOARD_INFO_3, READ_PARAMS_3, REALTIME_DATA_3, REALTIME_DATA_4 = 86, 20, 21, 23, 25
CONTROL, CONFIRM, ERROR, CONTROL_CONFIG, CONTROL_QUAT = 67, 67, 255, 90, 140
MOTORS_ON, MOTORS_OFF, STREAM, CUSTOM, GET_ANGLES, GET_ANGLES_EXT = 77, 109, 85, 88, 73, 61
HELPER_DATA, AHRS_HELPER = 72, 56

DEG = math.pi / 180
ANGLE = 360 / 16384 * DEG  # rad a unit
ANGLE_20 = 360 / 2**20 * DEG
SPEED = 0.1220740379 * DEG  # rad/s a unit, CONTROL
SPEED_HIGH = 0.001 * DEG  # with HIGH_RES_SPEED
GYRO = 0.06103701895 * DEG
ACCEL = 9.80665 / 512  # m/s²
MODE_NONE, MODE_SPEED, MODE_ANGLE, HIGH_RES_SPEED = 0, 1, 2, 0x80
OFF_NORMAL, OFF_BRAKE, OFF_SAFE = 0, 1, 2
NO_CONFIRM = 1
CUSTOM_JOINT, CUSTOM_GYRO, CUSTOM_ANGLE_20 = 1 << 3, 1 << 4, 1 << 17
FAST = CUSTOM_JOINT | CUSTOM_GYRO | CUSTOM_ANGLE_20
HAS_QUAT_CONTROL = 1 << 3  # BOARD_INFO_3 extended features 2

# (id, to the board?) -> (layout, what follows it is free). Lengths that the maker's library insists on.
LAYOUTS: dict[tuple[int, bool], struct.Struct] = {
    (BOARD_INFO, True): struct.Struct("<H"),
    (BOARD_INFO, False): struct.Struct("<BHBHBIHBBBH"),
    (BOARD_INFO_3, False): struct.Struct("<9s12sI5H3B2s5HHI3B10s"),
    (CONTROL_CONFIG, True): struct.Struct("<H4BB" + "BBBHBB" * 3 + "BHB9s"),
    (CONTROL, True): struct.Struct("<3Bhhhhhh"),
    (CONTROL_QUAT, True): struct.Struct("<BB3f"),  # mode speed; other modes are longer
    (CONFIRM, False): struct.Struct("<BH"),
    (ERROR, False): struct.Struct("<BB4s"),
    (GET_ANGLES, False): struct.Struct("<9h"),
    (GET_ANGLES_EXT, False): struct.Struct("<" + "hhi10s" * 3),
    (REALTIME_DATA_3, False): struct.Struct("<6hHHB3s6h3h3h3hHHBHBBB3B"),
    (REALTIME_DATA_4, False): struct.Struct("<6hHHB3s6h3h3h3hHHBHBBB3B3hB3hH3hbbBB3hBB3hI18s"),
    (CUSTOM, True): struct.Struct("<I6s"),
    (STREAM, True): struct.Struct("<BH8sB9s"),
    (HELPER_DATA, True): struct.Struct("<3hhhB3hhB"),
    (AHRS_HELPER, True): struct.Struct("<H3f3f"),
    (MOTORS_OFF, True): struct.Struct("<B"),
}
_FAST = struct.Struct("<H3h3h3i")  # time, joints, gyro, angles: in order of the bits
_CONTROL, _HELPER = LAYOUTS[CONTROL, True], LAYOUTS[HELPER_DATA, True]
_AHRS = LAYOUTS[AHRS_HELPER, True]
_QUAT = struct.Struct("<BB4f")
_REVERSED = bytes(int(f"{byte:08b}"[::-1], 2) for byte in range(256))


def crc(data: bytes) -> int:
    """Polynomial 0x8005 from 0, bits of each byte LSB first into a register shifted left: CRC-16/ARC bit-reversed."""
    value = arc(data)
    return _REVERSED[value & 0xFF] << 8 | _REVERSED[value >> 8]


def frame(command: int, payload: bytes = b"", version: int = 2) -> bytes:
    """One whole frame."""
    size = len(payload)
    body = bytes((command, size, command + size & 0xFF)) + payload
    if version == 2:
        check = crc(body)
        return b"$" + body + bytes((check & 0xFF, check >> 8))
    return b">" + body + bytes((sum(payload) & 0xFF,))


def frame_length(buffer: bytes, start: int) -> int:
    """For BinaryFramer, both versions: from the header, whose own check must be right."""
    if len(buffer) - start < 4:
        return 0
    if (buffer[start + 1] + buffer[start + 2]) & 0xFF != buffer[start + 3]:
        return -1
    return buffer[start + 2] + (6 if buffer[start] == 0x24 else 5)


def frame_valid(data: bytes) -> bool:
    if data[0] == 0x24:
        check = crc(data[1:-2])
        return data[-2] == check & 0xFF and data[-1] == check >> 8
    return sum(data[4:-1]) & 0xFF == data[-1]


def unframe(data: bytes) -> tuple[int, bytes]:
    """Command and payload of a valid frame."""
    return data[1], data[4 : 4 + data[2]]


def decode(command: int, payload: bytes, to_board: bool) -> tuple[Any, ...] | None:
    """The payload's raw fields; None where this codec has no layout for it or its size is another."""
    layout = LAYOUTS.get((command, to_board))
    return layout.unpack(payload) if layout is not None and layout.size == len(payload) else None


def encode(command: int, fields: Sequence[Any], to_board: bool) -> bytes:
    """Inverse of decode."""
    return LAYOUTS[command, to_board].pack(*fields)


def _clipped(value: float, unit: float, most: int = 32767) -> int:
    return max(-most, min(most, round(value / unit)))


def control_rate(rates: Sequence[float], version: int, high: bool = True) -> bytes:
    """CONTROL in speed mode; rates of roll, pitch, yaw in rad/s, finer where the slow range carries it."""
    modes, values = [], []
    for rate in rates:
        fine = high and abs(rate) < 32000 * SPEED_HIGH
        modes.append(MODE_SPEED | HIGH_RES_SPEED if fine else MODE_SPEED)
        values += [_clipped(rate, SPEED_HIGH if fine else SPEED), 0]
    return frame(CONTROL, _CONTROL.pack(*modes, *values), version)


def control_angle(angles: Sequence[float], speed: float, version: int) -> bytes:
    """CONTROL in angle mode; rad, at most ``speed`` rad/s."""
    values = []
    for angle in angles:
        values += [_clipped(speed, SPEED), _clipped(angle, ANGLE)]
    return frame(CONTROL, _CONTROL.pack(*(MODE_ANGLE,) * 3, *values), version)


def control_quat(q: Sequence[float], version: int) -> bytes:
    """CONTROL_QUAT in attitude mode."""
    return frame(CONTROL_QUAT, _QUAT.pack(2, 0, *q), version)


def control_config(timeout_ms: int, version: int) -> bytes:
    """This channel's priority 1, no CONFIRM for each CONTROL, all else left as it is."""
    axes = (0, 0, 0, 0, 0, 0) * 3
    return frame(
        CONTROL_CONFIG, encode(CONTROL_CONFIG, (timeout_ms, 0, 0, 0, 0, 1, *axes, 0, NO_CONFIRM, 0, bytes(9)), True),
        version)  # fmt: skip


def stream(command: int, interval_ms: int, flags: int, version: int) -> bytes:
    """DATA_STREAM_INTERVAL; interval 0 stops, 1 is the board's own cycle of 0.8 ms."""
    config = struct.pack("<I4x", flags)
    return frame(STREAM, encode(STREAM, (command, interval_ms, config, 0, bytes(9)), True), version)


def helper_data(accel: Sequence[float], roll: float, pitch: float, rate: Sequence[float], heading: float | None,
                version: int) -> bytes:  # fmt: skip
    """HELPER_DATA, extended. accel m/s² (without gravity) and rate rad/s: right, forward, down of the frame."""
    flags = 3 | (0x80 if heading is not None else 0)
    return frame(HELPER_DATA, _HELPER.pack(
        *(_clipped(a, ACCEL) for a in accel), _clipped(roll, ANGLE), _clipped(pitch, ANGLE), flags,
        *(_clipped(w, GYRO) for w in rate), _clipped(heading or 0.0, ANGLE, 8192), 0), version)  # fmt: skip


def ahrs_helper(down: Sequence[float], north: Sequence[float], use_north: bool, version: int) -> bytes:
    """AHRS_HELPER, two-byte mode: set, on the frame; unit vectors in right, forward, down of the frame."""
    mode = 1 | 2 | (0 if use_north else 1 << 4)
    return frame(AHRS_HELPER, _AHRS.pack(mode, *down, *north), version)


def fast_row(payload: bytes) -> tuple[int, ...] | None:
    """Time ms, three joints, three gyros, three fine angles of a REALTIME_DATA_CUSTOM with flags FAST."""
    return _FAST.unpack(payload) if len(payload) == _FAST.size else None


def profile_limits(payload: bytes) -> list[tuple[float, float]] | None:
    """The angles roll, pitch, yaw may be commanded to, rad, of READ_PARAMS_3 (RC_MIN_ANGLE, RC_MAX_ANGLE)."""
    if len(payload) < 50:
        return None
    found = [struct.unpack_from("<hh", payload, 26 + 8 * axis) for axis in range(3)]
    return [(low * DEG, high * DEG) for low, high in found]
