"""A hand on the joints of the simulated rig while its motors are off: holds them, or turns them to and fro."""

from __future__ import annotations

import math

Vec3 = tuple[float, float, float]
REST_S = 3.0  # first the camera is held at its marks
PERIOD_S = 30.0  # then waved; and so on
RAMP_S = 2.0
# per joint, roll pitch yaw: (amplitude in rad, frequency in Hz) of two sines
_SINES = (((0.5, 0.23), (0.12, 0.91)), ((0.7, 0.31), (0.10, 1.13)), ((0.8, 0.19), (0.12, 0.77)))


def hand_angle(kind: str, t_s: float) -> Vec3:
    """Joint angles (rad; roll, pitch, yaw) from where the joints were, t_s after the start."""
    t = t_s % PERIOD_S - REST_S
    if kind != "wave" or t < 0.0:
        return (0.0, 0.0, 0.0)
    edge = min(t, PERIOD_S - REST_S - t) / RAMP_S
    ease = 1.0 if edge > 1.0 else 0.5 - 0.5 * math.cos(math.pi * edge)
    a, b, c = (ease * sum(size * math.sin(2.0 * math.pi * hz * t) for size, hz in joint) for joint in _SINES)
    return (a, b, c)


def hand_rate(kind: str, t_s: float, angle: Vec3) -> Vec3:
    """rad/s that a hand gives the joints to follow ``hand_angle``, wherever they are."""
    want, soon = hand_angle(kind, t_s), hand_angle(kind, t_s + 0.001)
    a, b, c = ((soon[k] - want[k]) * 1000.0 + 5.0 * (want[k] - angle[k]) for k in range(3))
    return (a, b, c)
