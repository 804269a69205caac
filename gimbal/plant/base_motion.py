"""What the carrier does to the mount: attitude and position of the base over time, seeded, as samples for a spline.

Figures and their sources are in docs/reference_rig.md and arrive through Scenario. Buffeting and vibration are small
rotations and displacements in base axes on top of the slow motion, so their RMS holds in base axes.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from gimbal.config.scenario import Flyer, Point, Scenario, Speedflight, Still
from gimbal.plant import flyer as flying
from gimbal.plant.shaping import band, q_axis, q_euler, q_mul, q_vector, rotate, synthesize
from gimbal.plant.spline import PAD, coefficients
from gimbal.units import DEG

RATE_HZ = 1000.0


@dataclass
class Motion:
    """Samples that start PAD rows before t = 0 and end PAD rows after the end."""

    q_NB: np.ndarray  # (n, 4) at rate_hz, sign continuous
    pos_N: np.ndarray  # (n, 3)
    rate_hz: float = RATE_HZ
    target_N: np.ndarray | None = None  # (m, 3) at target_rate_hz
    target_rate_hz: float = flying.RATE_HZ
    wind_Nm: np.ndarray | None = None  # (k, 3) on the roll, pitch, yaw stage at wind_rate_hz
    wind_rate_hz: float = 50.0


def times(seconds: float, rate_hz: float = RATE_HZ) -> np.ndarray:
    """Sample times with the pads."""
    return (np.arange(int(round(seconds * rate_hz)) + 1 + 2 * PAD) - PAD) / rate_hz


def continuous(q: np.ndarray) -> np.ndarray:
    """The same attitudes with signs chosen so that neighbours are close."""
    flips = np.sum(q[1:] * q[:-1], axis=1) < 0.0
    sign = np.concatenate([[1.0], np.cumprod(np.where(flips, -1.0, 1.0))])
    return q * sign[:, None]


def resample(samples: np.ndarray, rate_hz: float, start_s: float, t: np.ndarray) -> np.ndarray:
    """Quintic B-spline through uniform samples (n, c), at times t inside them."""
    c = coefficients(samples)
    u = np.clip((t - start_s) * rate_hz, 2.0, samples.shape[0] - 4.0001)
    i = u.astype(int)
    f = u - i
    w = _weights(f)
    return sum(w[k][:, None] * c[i - 2 + k] for k in range(6))


def _weights(f: np.ndarray) -> list[np.ndarray]:
    f2, f3 = f * f, f**3
    f4, f5 = f**4, f**5
    k = 1.0 / 120.0
    return [
        (1 - 5 * f + 10 * f2 - 10 * f3 + 5 * f4 - f5) * k,
        (26 - 50 * f + 20 * f2 + 20 * f3 - 20 * f4 + 5 * f5) * k,
        (66 - 60 * f2 + 30 * f4 - 10 * f5) * k,
        (26 + 50 * f + 20 * f2 - 20 * f3 - 20 * f4 + 10 * f5) * k,
        (1 + 5 * f + 10 * f2 + 10 * f3 + 5 * f4 - 5 * f5) * k,
        f5 * k,
    ]


def still(carrier: Still, seconds: float) -> Motion:
    n = times(seconds).size
    one = np.ones(n) * DEG
    q = q_euler(carrier.roll_deg * one, carrier.pitch_deg * one, carrier.heading_deg * one)
    return Motion(q, np.zeros((n, 3)))


def shake(rng: np.random.Generator, n: int, edges: tuple[float, float], rms: np.ndarray, integrals: int) -> np.ndarray:
    """(n, 3) band noise with this RMS an axis, integrated so often."""
    axes = [
        synthesize(rng, n, RATE_HZ, band(edges[0], edges[1]), rms=float(rms[k]), integrals=integrals) for k in range(3)
    ]
    return np.stack(axes, axis=1)


def speedflight(carrier: Speedflight, path: flying.Path, seed: int, seconds: float) -> Motion:
    """Attitude and position of a chase flyer's mount along a path that starts PAD path samples before t = 0."""
    rng = np.random.default_rng([seed, 20])
    t = times(seconds)
    slow = np.column_stack([path.pos, path.heading, path.bank])
    slow = resample(slow, flying.RATE_HZ, -PAD / flying.RATE_HZ, t)
    phase = rng.uniform(0.0, 2.0 * np.pi, 3)
    swing_hz = (carrier.roll_swing_hz, carrier.pitch_swing_hz, carrier.heading_swing_hz)
    swing_deg = (carrier.roll_swing_deg, carrier.pitch_swing_deg, carrier.heading_swing_deg)
    roll, pitch, yaw = (
        a * DEG * np.sin(2.0 * np.pi * f * t + ph) for a, f, ph in zip(swing_deg, swing_hz, phase, strict=True)
    )
    flight = q_mul(q_axis(2, slow[:, 3] + yaw), q_axis(0, slow[:, 4]))
    q = q_mul(flight, q_mul(q_axis(1, pitch), q_axis(0, roll)))
    buffet = shake(rng, t.size, carrier.buffeting_hz, np.array(carrier.buffeting_deg_s_rms) * DEG, 1)
    shift = shake(rng, t.size, carrier.vibration_hz, np.array(carrier.vibration_m_s2_rms), 2)
    return Motion(continuous(q_mul(q, q_vector(buffet))), slow[:, :3] + rotate(q, shift))


def make(scenario: Scenario, seed: int, seconds: float, track: str | None = None) -> Motion:
    """The motion of a scenario's carrier and target for t = 0 to seconds."""
    carrier, target = scenario.carrier, scenario.target
    pad_s = PAD / flying.RATE_HZ
    if isinstance(carrier, Speedflight):
        aim = target if isinstance(target, Flyer) else Flyer(kind="flyer")
        lead, path = flying.flight_with_chase(aim, carrier, seed, seconds + 2.0 * pad_s)
        motion = speedflight(carrier, path, seed, seconds)
        lead_pos = lead.pos
    else:
        assert isinstance(carrier, Still)
        motion = still(carrier, seconds)
        lead_pos = None
    if isinstance(target, Flyer):
        motion.target_N = lead_pos
    if isinstance(target, Point):
        m = times(seconds, flying.RATE_HZ).size
        motion.target_N = motion.pos_N[PAD] + np.tile(np.array(target.pos_N_m), (m, 1))
    return motion
