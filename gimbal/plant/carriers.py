"""The carriers' motion: bench, chase flyer, helicopter, camera car, train roof.

Each builder takes its scenario section, a random generator and the sample times, and returns a Carried.
"""

from __future__ import annotations

import math

import numpy as np
from scipy import fft
from scipy.special import kv

from gimbal.config.scenario import CameraCar, Helicopter, Speedflight, Still, TrainRoof, Turns
from gimbal.frames import PITCH, YAW
from gimbal.plant.motion import RATE_HZ, WIND_RATE_HZ, Carried, times
from gimbal.plant.shaping import (
    band,
    plateau,
    q_axis,
    q_euler,
    q_mul,
    q_vector,
    repeated_plateaus,
    smoothstep,
    synthesize,
    tone,
)
from gimbal.plant.spline import PAD
from gimbal.units import DEG, G0


def still(carrier: Still, rng: np.random.Generator, t: np.ndarray) -> Carried:
    one = np.ones(t.size) * DEG
    q = q_euler(carrier.roll_deg * one, carrier.pitch_deg * one, carrier.heading_deg * one)
    return Carried(q, np.zeros((t.size, 3)), q_vector(np.zeros((t.size, 3))), np.zeros((t.size, 3)))


def turns(carrier: Turns, rng: np.random.Generator, t: np.ndarray) -> Carried:
    """From one position to the next by the angles, eased; the heading wanders on, so that a compass sees all of it."""
    roll_pitch = [(0, 0), (180, 0), (90, 0), (-90, 0), (0, 89), (0, -89), (45, 35), (-135, 35), (45, -35), (-135, -35)]
    every_s = carrier.hold_s + carrier.turn_s
    angles = np.zeros((t.size, 3))
    angles[:] = (*roll_pitch[0], 0.0)
    last = np.array(angles[0])
    for n in range(1, int(t[-1] / every_s) + 1):
        goal = np.array((*roll_pitch[n % len(roll_pitch)], 50.0 * n))
        share = smoothstep((t - n * every_s + carrier.turn_s) / carrier.turn_s)
        angles += share[:, None] * (goal - last)
        last = goal
    q = q_euler(*(angles * DEG).T)
    return Carried(q, np.zeros((t.size, 3)), q_vector(np.zeros((t.size, 3))), np.zeros((t.size, 3)))


def shake(rng: np.random.Generator, n: int, edges: tuple[float, float], rms: list[float], integrals: int) -> np.ndarray:
    """(n, 3) band noise with this RMS an axis, integrated so often."""
    axes = [synthesize(rng, n, RATE_HZ, band(*edges), rms=rms[k], integrals=integrals) for k in range(3)]
    return np.stack(axes, axis=1)


def speedflight(carrier: Speedflight, rng: np.random.Generator, t: np.ndarray) -> Carried:
    """Harness swing, buffeting and vibration; the path is always a followed one."""
    phase = rng.uniform(0.0, 2.0 * np.pi, 3)
    swing_hz = (carrier.roll_swing_hz, carrier.pitch_swing_hz, carrier.heading_swing_hz)
    swing_deg = (carrier.roll_swing_deg, carrier.pitch_swing_deg, carrier.heading_swing_deg)
    roll, pitch, yaw = (
        a * DEG * np.sin(2.0 * np.pi * f * t + ph) for a, f, ph in zip(swing_deg, swing_hz, phase, strict=True)
    )
    buffet = shake(rng, t.size, carrier.buffeting_hz, [r * DEG for r in carrier.buffeting_deg_s_rms], 1)
    shift = shake(rng, t.size, carrier.vibration_hz, list(carrier.vibration_m_s2_rms), 2)
    local = q_mul(q_euler(roll, pitch, yaw), q_vector(buffet))
    return Carried(q_axis(0, np.zeros(t.size)), np.zeros((t.size, 3)), local, shift)


def turning_path(t: np.ndarray, speed: np.ndarray, rate: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Heading (n,) and level positions (n, 3) with this speed and rate of turn, from the origin at t = 0."""
    dt = t[1] - t[0]
    heading = np.cumsum(rate) * dt
    heading -= heading[PAD]
    vel = speed[:, None] * np.column_stack([np.cos(heading), np.sin(heading), np.zeros(t.size)])
    pos = np.vstack([np.zeros(3), np.cumsum(0.5 * (vel[1:] + vel[:-1]) * dt, axis=0)])
    return heading, pos - pos[PAD]


def helicopter(carrier: Helicopter, rng: np.random.Generator, t: np.ndarray) -> Carried:
    """Sway, rotor tones on random vibration (form after MIL-STD-810H, method 514.8), coordinated turns."""
    lateral = math.sqrt(carrier.turn_load_g**2 - 1.0) * G0
    window = repeated_plateaus(t, carrier.turn_first_s, carrier.turn_every_s, carrier.turn_ramp_s, carrier.turn_s)
    heading, pos = turning_path(t, np.full(t.size, carrier.speed_m_s), window * lateral / carrier.speed_m_s)
    path = q_mul(q_axis(2, heading), q_axis(0, np.arctan2(window * lateral, G0)))
    sway_rms = carrier.sway_deg * DEG / math.sqrt(2.0)  # ±: the RMS of a sine of that amplitude
    sway = [synthesize(rng, t.size, RATE_HZ, band(*carrier.sway_hz), rms=sway_rms) for _ in range(3)]
    small = np.zeros((t.size, 3))
    for hz, rms in zip(carrier.rotation_tones_hz, carrier.rotation_tones_deg_s_rms, strict=True):
        for k in range(3):
            small[:, k] += tone(rng, t, hz, math.sqrt(2.0) * rms * DEG / (2.0 * math.pi * hz))
    edges = band(*carrier.random_hz)

    def density(f: np.ndarray) -> np.ndarray:
        fall = np.minimum(1.0, carrier.random_corner_hz / f)  # of the amplitude: 6 dB an octave
        return edges(f) * math.sqrt(carrier.random_g2_hz) * G0 * fall

    shift = np.stack([synthesize(rng, t.size, RATE_HZ, density, integrals=2) for _ in range(3)], axis=1)
    for hz, rms in zip(carrier.tones_hz, carrier.tones_g_rms, strict=True):
        for k in range(3):
            shift[:, k] += tone(rng, t, hz, math.sqrt(2.0) * rms * G0 / (2.0 * math.pi * hz) ** 2)
    return Carried(path, pos, q_mul(q_euler(sway[0], sway[1], sway[2]), q_vector(small)), shift)


def camera_car(carrier: CameraCar, rng: np.random.Generator, t: np.ndarray) -> Carried:
    """Four wheels on an ISO 8608 road, a quarter car each, then the arm's isolator; bends and braking.

    Left and right profile: an isotropic surface, whose tracks b apart have the coherence x K1(x), x = 2 pi n b
    (K. M. A. Kamash, J. D. Robson, J. Sound Vib. 57(1), 1978, doi 10.1016/0022-460X(78)90283-1). Waves are those of the
    standard's range, 0.011 to 2.83 cycles/m.
    """
    speed = carrier.speed_km_h / 3.6
    corners = _corner_heave(carrier, rng, t.size, speed)  # up, m: front left, front right, rear left, rear right
    up = corners.mean(axis=0)
    pitch = 0.5 * ((corners[0] + corners[1]) - (corners[2] + corners[3])) / carrier.wheelbase_m
    roll = 0.5 * ((corners[0] + corners[2]) - (corners[1] + corners[3])) / carrier.track_m
    level = np.zeros(t.size)
    bend, brake = np.zeros(t.size), np.zeros(t.size)
    ramp = carrier.manoeuvre_s / 3.0
    start, turn = 0.5 * carrier.manoeuvre_every_s, 0
    while start < t[-1]:
        if turn % 3 < 2:
            bend += (1.0 if turn % 3 == 0 else -1.0) * plateau(t, start, ramp, ramp)
        else:  # a short stab at the brake, then the speed back at half the force
            brake -= plateau(t, start, 0.5 * ramp, 0.5 * ramp)
            brake += 0.5 * plateau(t, start + 2.0 * ramp, ramp, ramp)
        start, turn = start + carrier.manoeuvre_every_s, turn + 1
    push = brake * carrier.manoeuvre_g * G0
    v = speed + np.cumsum(push) / RATE_HZ
    heading, pos = turning_path(t, v, bend * carrier.manoeuvre_g * G0 / v)
    shift = np.column_stack([level, level, -up])
    return Carried(q_axis(2, heading), pos, q_euler(roll, pitch, level), shift)


def _corner_heave(carrier: CameraCar, rng: np.random.Generator, n: int, speed: float) -> np.ndarray:
    size = fft.next_fast_len(n, real=True)
    f = fft.rfftfreq(size, 1.0 / RATE_HZ)[1:]
    wave = f / speed  # cycles/m
    density = carrier.road_m3 * (wave / carrier.road_ref_cycles_m) ** carrier.road_slope / speed
    density[(wave < 0.011) | (wave > 2.83)] = 0.0
    x = 2.0 * np.pi * wave * carrier.track_m
    with np.errstate(over="ignore", invalid="ignore"):
        share = np.clip(np.nan_to_num(x * kv(1, x)), 0.0, 1.0)
    scale = np.sqrt(density) * math.sqrt(RATE_HZ * size / 4.0)
    noise = [scale * (rng.standard_normal(f.size) + 1j * rng.standard_normal(f.size)) for _ in range(3)]
    sides = [np.sqrt(share) * noise[0] + np.sqrt(1.0 - share) * noise[1 + k] for k in range(2)]
    s = 2j * np.pi * f
    kt, k, c = carrier.tyre_kN_m * 1e3, carrier.spring_kN_m * 1e3, carrier.damper_kN_s_m * 1e3
    link = c * s + k
    body = link * kt / ((carrier.body_kg * s**2 + link) * (carrier.wheel_kg * s**2 + link + kt) - link**2)
    w = 2.0 * np.pi * carrier.isolator_hz
    damping = 2.0 * carrier.isolator_ratio * w * s
    arm = (damping + w * w) / (s**2 + damping + w * w)
    rear = np.exp(-s * carrier.wheelbase_m / speed)
    spectra = [sides[0], sides[1], sides[0] * rear, sides[1] * rear]
    return np.stack([fft.irfft(np.concatenate([[0.0], x * body * arm]), size)[:n] for x in spectra])


def train_roof(carrier: TrainRoof, rng: np.random.Generator, t: np.ndarray) -> Carried:
    """Bogie modes, broadband vibration, rail joints, wind on the camera."""
    n = t.size
    heading, pos = turning_path(t, np.full(n, carrier.speed_m_s), np.zeros(n))
    roll = tone(rng, t, carrier.roll_hz, carrier.roll_deg * DEG)
    yaw = tone(rng, t, carrier.yaw_hz, carrier.yaw_deg * DEG)
    shift = shake(rng, n, carrier.broadband_hz, [carrier.broadband_m_s2_rms] * 3, 2)
    side = band(0.9 * carrier.lateral_hz, 1.1 * carrier.lateral_hz)
    shift[:, 1] += synthesize(rng, n, RATE_HZ, side, rms=carrier.lateral_m_s2_rms, integrals=2)
    upright = band(0.9 * carrier.vertical_hz, 1.1 * carrier.vertical_hz)
    shift[:, 2] += synthesize(rng, n, RATE_HZ, upright, rms=carrier.vertical_m_s2_rms, integrals=2)
    shift[:, 2] += _rail_joints(carrier, t)
    wind = np.zeros((times(t[-1 - PAD], WIND_RATE_HZ).size, 3))
    gust = band(0.05, carrier.wind_hz)
    for k in (PITCH, YAW):
        turbulence = synthesize(rng, wind.shape[0], WIND_RATE_HZ, gust, rms=carrier.wind_turbulence)
        wind[:, k] = carrier.wind_Nm * (1.0 + turbulence)
    return Carried(q_axis(2, heading), pos, q_euler(roll, np.zeros(n), yaw), shift, wind)


def _rail_joints(carrier: TrainRoof, t: np.ndarray) -> np.ndarray:
    """Displacement of half-sine blows of acceleration, without what is slower than 0.5 Hz (the track carries that)."""
    every, width = carrier.rail_m / carrier.speed_m_s, carrier.joint_ms * 1e-3
    since = np.mod(t, every)
    blow = np.where(since < width, -carrier.joint_m_s2 * np.sin(np.pi * since / width), 0.0)
    f = fft.rfftfreq(t.size, 1.0 / RATE_HZ)
    spectrum = fft.rfft(blow)
    high = f**4 / (f**4 + 0.5**4)
    spectrum[1:] *= high[1:] / -((2.0 * np.pi * f[1:]) ** 2)
    spectrum[0] = 0.0
    return fft.irfft(spectrum, t.size)
