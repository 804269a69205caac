"""Ride to the edge, ramp, fall, opening, swing under the canopy."""

from __future__ import annotations

import math

import numpy as np

from gimbal.config.scenario import CliffJump
from gimbal.kernels.build import kernel
from gimbal.plant.carriers import shake
from gimbal.plant.motion import Carried
from gimbal.plant.shaping import q_axis, q_euler, q_mul, q_vector, smoothstep, tone
from gimbal.plant.spline import PAD
from gimbal.units import DEG, G0

_EASE_S = 0.3  # in which the ride's shaking ends
_GLIDE = (0.8, 0.6)  # forward, down: direction of the canopy's flight


def cliff_jump(carrier: CliffJump, rng: np.random.Generator, t: np.ndarray) -> Carried:
    """Carried of a scenario's jump. Under the canopy the swing is about pitch, after the opening jerks the body up."""
    ride, opening = carrier.ride_s, carrier.ride_s + carrier.fall_s
    on_ground = 1.0 - smoothstep((t - ride + _EASE_S) / _EASE_S)
    rough = shake(rng, t.size, carrier.ride_rotation_hz, [carrier.ride_deg_s_rms * DEG] * 3, 1)
    shift = shake(rng, t.size, carrier.ride_hz, [carrier.ride_m_s2_rms] * 3, 2)
    for hz, rms in zip(carrier.engine_hz, carrier.engine_m_s2_rms, strict=True):
        for k in range(3):
            shift[:, k] += tone(rng, t, hz, math.sqrt(2.0) * rms / (2.0 * math.pi * hz) ** 2)
    turn = _tumble(carrier, t, opening)
    local = q_mul(turn, q_vector(rough * on_ground[:, None]))
    return Carried(q_axis(0, np.zeros(t.size)), _path(carrier, t, opening), local, shift * on_ground[:, None])


def _tumble(carrier: CliffJump, t: np.ndarray, opening: float) -> np.ndarray:
    """A slow turn nose down and back during the fall, then the pendulum's swing."""
    fall = np.clip((t - carrier.ride_s) / carrier.fall_s, 0.0, 1.0)
    peak = carrier.tumble_deg_s * DEG * carrier.fall_s / math.pi
    lean = 0.5 * peak * (1.0 - np.cos(2.0 * np.pi * fall)) * smoothstep(fall / 0.15)
    after = np.maximum(t - opening, 0.0)
    decay = 0.5 ** (after / carrier.swing_halving_s)
    start = smoothstep(after / (0.5 * carrier.opening_s))
    swing = carrier.swing_deg * DEG * decay * start * np.sin(2.0 * np.pi * carrier.swing_hz * after)
    return q_euler(0.436 * lean, swing - 0.9 * lean, np.zeros(t.size))  # nose down, a little to the right


def _path(carrier: CliffJump, t: np.ndarray, opening: float) -> np.ndarray:
    pos = np.zeros((t.size, 3))
    c = carrier
    forces = (c.ride_s, c.ramp_ms * 1e-3, c.ramp_g * G0, opening, c.opening_s, c.opening_g * G0)
    _fall(t, forces, c.ride_speed_m_s, c.terminal_m_s, c.canopy_m_s, pos)
    return pos - pos[PAD]


@kernel
def _fall(t, forces, ride_speed, terminal, canopy, pos):
    """Positions by integrating the forces: ground, ramp, gravity and drag, the opening shock, the canopy's glide."""
    ride_s, ramp_s, ramp, opening, opening_s, shock = forces
    dt = t[1] - t[0]
    vx, vz = ride_speed, 0.0
    for i in range(1, t.size):
        now = t[i] - 0.5 * dt
        speed = math.sqrt(vx * vx + vz * vz)
        drag = -G0 * speed / terminal**2  # times the velocity
        ax, az = 0.0, 0.0
        if now >= opening + opening_s:
            ease = 0.6 * min((now - opening - opening_s) / 0.3, 1.0)
            ax, az = ease * (canopy * _GLIDE[0] - vx), ease * (canopy * _GLIDE[1] - vz)
        elif now >= opening:
            phase = (now - opening) / opening_s
            brake = drag * (1.0 - phase) - shock * math.sin(math.pi * phase) ** 2 / max(speed, 1.0)
            ax, az = brake * vx, brake * vz + G0 * (1.0 - phase**3)
        elif now >= ride_s + ramp_s:
            ax, az = drag * vx, drag * vz + G0
        elif now >= ride_s:
            off = (now - ride_s) / ramp_s  # the ground's support ends over the ramp
            ax, az = off * drag * vx, off * (drag * vz + G0) - ramp * math.sin(math.pi * off)
        pos[i, 0] = pos[i - 1, 0] + vx * dt + 0.5 * ax * dt * dt
        pos[i, 2] = pos[i - 1, 2] + vz * dt + 0.5 * az * dt * dt
        vx += ax * dt
        vz += az * dt
