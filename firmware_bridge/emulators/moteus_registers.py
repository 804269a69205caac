"""moteus registers as integers: what one count is worth (mjbots/moteus docs/protocol/registers.md, db1a7623)."""

from __future__ import annotations

FORMATS = ("b", "h", "i", "f")
MIN_RAW = (-128, -32768, -(2**31))  # the lowest count stands for NaN

POSITION = (0.01, 1e-4, 1e-5)  # revolutions
VELOCITY = (0.1, 2.5e-4, 1e-5)
ACCEL = (0.05, 1e-3, 1e-5)
TORQUE = (0.5, 0.01, 1e-3)
CURRENT = (1.0, 0.1, 1e-3)
VOLTAGE = (0.5, 0.1, 1e-3)
TEMPERATURE = (1.0, 0.1, 1e-3)
TIME = (0.01, 1e-3, 1e-6)
POWER = (10.0, 0.05, 1e-4)
RATIO = (1 / 127, 1 / 32767, 1 / 2147483647)

SCALES = {
    0x001: POSITION, 0x002: VELOCITY, 0x003: TORQUE, 0x004: CURRENT, 0x005: CURRENT, 0x006: POSITION, 0x007: POWER,
    0x00A: TEMPERATURE, 0x00D: VOLTAGE, 0x00E: TEMPERATURE,
    0x020: POSITION, 0x021: VELOCITY, 0x022: TORQUE, 0x023: RATIO, 0x024: RATIO, 0x025: TORQUE, 0x026: POSITION,
    0x027: TIME, 0x028: VELOCITY, 0x029: ACCEL, 0x02A: VOLTAGE, 0x02B: RATIO,
    0x038: POSITION, 0x039: VELOCITY, 0x03A: TORQUE,
    0x050: POSITION, 0x051: VELOCITY, 0x052: POSITION, 0x053: VELOCITY, 0x054: POSITION, 0x055: VELOCITY,
}  # fmt: skip


def scale_of(register: int, resolution: int) -> float | None:
    """Worth of one count at resolution 0 i8, 1 i16, 2 i32; None for plain numbers."""
    scale = SCALES.get(register)
    return None if scale is None else scale[resolution]
