"""The built-in speed-flyer, and the chase that follows it.

Flyer: point mass with lift and drag g k v², bank an Ornstein-Uhlenbeck process, swoops with a roll-out after them;
parameters as Scenario.Flyer. Chase: a point that steers to a slot behind the target with limited turn and speed.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from gimbal.config.scenario import Flyer, Speedflight
from gimbal.kernels.build import kernel
from gimbal.plant.shaping import plateau
from gimbal.units import DEG, G0

RATE_HZ = 50.0  # of paths
_ROLL_RATE = 60.0 * DEG
_ROLL_OUT_S = 3.0


@dataclass
class Path:
    """Positions and velocities (n, 3) in N at RATE_HZ, heading and bank (n,) in rad where it is a carrier's."""

    pos: np.ndarray
    vel: np.ndarray
    heading: np.ndarray
    bank: np.ndarray


@kernel
def _fly(dt, n, noise, swoop, swoop_bank, limits, start, pos, vel):
    """limits: lift low, high, drag low, high, speed low, high, bank sigma, bank tau, bank max, roll-out load."""
    v0, v1, v2 = start[3], start[4], start[5]
    p0, p1, p2 = start[0], start[1], start[2]
    ou = 0.0
    bank = 0.0
    lift = 0.0
    out_s = 0.0
    for i in range(n):
        pos[i, 0], pos[i, 1], pos[i, 2] = p0, p1, p2
        vel[i, 0], vel[i, 1], vel[i, 2] = v0, v1, v2
        ou += -ou / limits[7] * dt + limits[6] * math.sqrt(2.0 * dt / limits[7]) * noise[i, 0]
        lift += -lift * dt + math.sqrt(2.0 * dt) * noise[i, 1]
        w = abs(swoop[i])
        if w > 0.5:
            out_s = _ROLL_OUT_S
        else:
            out_s = max(out_s - dt, 0.0)
        calm = 1.0 - w if out_s <= 0.0 else 0.0
        wanted = calm * min(max(ou, -limits[8]), limits[8]) + swoop[i] * swoop_bank[i]
        step = min(max((wanted - bank) * 4.0, -_ROLL_RATE), _ROLL_RATE)
        bank += step * dt
        v = math.sqrt(v0 * v0 + v1 * v1 + v2 * v2)
        h = math.sqrt(v0 * v0 + v1 * v1)
        kl = math.exp(0.2 * lift) / 22.9**2
        if w > 0.0:
            kl = kl * (1.0 - w) + w * limits[1]
        elif out_s > 0.0:
            kl = limits[9] / (v * v)
        # pilots hold their speed in the range: dive when slow, pull when fast
        if v < limits[4] + 4.0:
            kl *= 0.75
        kl = min(max(kl, limits[0]), limits[1])
        kd = min(max(0.0007 + 0.00005 * (v - 26.0), limits[2]), limits[3])
        if v > limits[5] - 3.0:
            kd = limits[3]
        load = kl * v * v
        # unit vectors: side (horizontal, right of the velocity) and up in the lift plane (towards -z)
        s0, s1 = -v1 / h, v0 / h
        u0, u1, u2 = v0 * v2 / (h * v), v1 * v2 / (h * v), -h / v
        c, s = load * math.cos(bank), load * math.sin(bank)
        d = kd * v
        a0 = G0 * (c * u0 + s * s0 - d * v0)
        a1 = G0 * (c * u1 + s * s1 - d * v1)
        a2 = G0 * (1.0 + c * u2 - d * v2)
        v0 += a0 * dt
        v1 += a1 * dt
        v2 += a2 * dt
        p0 += v0 * dt
        p1 += v1 * dt
        p2 += v2 * dt


def fly(flyer: Flyer, seed: int, seconds: float, swoop_starts_s: list[float], signs: list[float]) -> Path:
    """Path of the flyer from (distance, 0, 0), northwards, with swoops at the given times."""
    rng = np.random.default_rng([seed, 10])
    dt = 1.0 / RATE_HZ / 4.0
    n = int(seconds / dt) + 8
    t = np.arange(n) * dt
    swoop, bank = np.zeros(n), np.zeros(n)
    for start, sign in zip(swoop_starts_s, signs):
        flat = min(max(rng.uniform(8.5, 10.0), flyer.swoop_s[0]), flyer.swoop_s[1])
        window = plateau(t, start, 1.5, flat)
        swoop += sign * window
        low, high = flyer.swoop_bank_deg
        bank[window > 0.0] = rng.uniform(low + 0.25 * (high - low), high - 0.4 * (high - low)) * DEG
    limits = np.array(
        [
            *flyer.lift_s2_m2,
            *flyer.drag_s2_m2,
            *flyer.speed_m_s,
            flyer.bank_deg * DEG,
            flyer.bank_tau_s,
            flyer.bank_max_deg * DEG,
            flyer.roll_out_g,
        ]
    )
    pos, vel = np.zeros((n, 3)), np.zeros((n, 3))
    noise = rng.standard_normal((n, 2))
    start_state = np.array([flyer.distance_m, 0.0, 0.0, 22.0, 0.0, 7.5])
    _fly(dt, n, noise, swoop, bank, limits, start_state, pos, vel)
    return Path(pos[::4].copy(), vel[::4].copy(), np.zeros(0), np.zeros(0))


@kernel
def _chase(dt, n, target_pos, target_vel, distance, window, rate, speed, bank_flat, gains, pos, vel, heading, bank):
    """window (n,): signed share of the prescribed spiral. gains: omega_n, lateral limit, speed low, high."""
    d0, d1 = target_vel[0, 0], target_vel[0, 1]
    p0 = target_pos[0, 0]
    p1 = target_pos[0, 1]
    p2 = target_pos[0, 2] - 2.0
    h = math.sqrt(d0 * d0 + d1 * d1) + 1e-9
    p0 -= distance * d0 / h
    p1 -= distance * d1 / h
    psi = math.atan2(d1, d0)
    v = max(h, gains[2])
    vz = target_vel[0, 2]
    turn = 0.0
    turn_f = 0.0
    push = 0.0
    drop = 0.0
    drop_f = 0.0
    wn = gains[0]
    lag = 1.0 - math.exp(-dt / 0.4)
    slow = 1.0 - math.exp(-dt / 1.5)
    for i in range(n):
        c, s = math.cos(psi), math.sin(psi)
        pos[i, 0], pos[i, 1], pos[i, 2] = p0, p1, p2
        vel[i, 0], vel[i, 1], vel[i, 2] = v * c, v * s, vz
        tv0, tv1, tv2 = target_vel[i, 0], target_vel[i, 1], target_vel[i, 2]
        d0 += slow * (tv0 - d0)
        d1 += slow * (tv1 - d1)
        h = math.sqrt(d0 * d0 + d1 * d1) + 1e-9
        e0 = target_pos[i, 0] - distance * d0 / h - p0
        e1 = target_pos[i, 1] - distance * d1 / h - p1
        e2 = target_pos[i, 2] - 2.0 - p2
        a0 = wn * wn * e0 + 2.0 * wn * (tv0 - v * c)
        a1 = wn * wn * e1 + 2.0 * wn * (tv1 - v * s)
        along = min(max(a0 * c + a1 * s, -6.0), 6.0)
        side = min(max(a1 * c - a0 * s, -gains[1]), gains[1])
        b = abs(window[i])
        along = (1.0 - b) * along + b * min(max((speed - v) / 0.5, -8.0), 8.0)
        down = min(max(wn * wn * e2 + 2.0 * wn * (tv2 - vz), -5.0), 5.0)
        turn += lag * (side / v - turn)
        turn_f += lag * (turn - turn_f)
        push += lag * (along - push)
        drop += lag * (down - drop)
        drop_f += lag * (drop - drop_f)
        w = (1.0 - b) * turn_f + window[i] * rate
        heading[i] = psi
        free = math.atan2(v * w, max(G0 - drop_f, 2.0))
        bank[i] = (1.0 - b) * free + window[i] * bank_flat
        v = min(max(v + push * dt, gains[2]), gains[3])
        vz += drop_f * dt
        p0 += v * math.cos(psi + 0.5 * w * dt) * dt
        p1 += v * math.sin(psi + 0.5 * w * dt) * dt
        p2 += vz * dt
        psi += w * dt


def chase(target: Path, distance_m: float, window: np.ndarray, carrier: Speedflight | None) -> Path:
    """The carrier's path behind a target; window (n,) says when the carrier's own spiral rules."""
    n = target.pos.shape[0]
    out = Path(np.zeros((n, 3)), np.zeros((n, 3)), np.zeros(n), np.zeros(n))
    rate = carrier.spiral_rate_deg_s * DEG if carrier else 0.0
    speed = carrier.speed_m_s if carrier else 22.0
    bank = carrier.spiral_bank_deg * DEG if carrier else 0.0
    top = max(1.3 * float(np.linalg.norm(target.vel, axis=1).max()), 40.0)
    gains = np.array([0.55, 1.2 * G0, 5.0, top])
    args = (target.pos, target.vel, distance_m, window, rate, speed, bank, gains)
    _chase(1.0 / RATE_HZ, n, *args, out.pos, out.vel, out.heading, out.bank)
    return out


def distances(a: Path, b: Path) -> np.ndarray:
    return np.linalg.norm(a.pos - b.pos, axis=1)


def flight_with_chase(flyer: Flyer, carrier: Speedflight, seed: int, seconds: float) -> tuple[Path, Path]:
    """Flyer and carrier for a run, from t = 0: the carrier's spirals as its config prescribes them.

    The flyer swoops about when the carrier spirals. How long before is searched for each spiral, so that the
    distance stays inside 20 to 60 m.
    """
    starts: list[float] = []
    at = carrier.spiral_first_s
    while at < seconds:
        starts.append(at)
        at += carrier.spiral_every_s
    signs = [1.0 if i % 2 == 0 else -1.0 for i in range(len(starts))]
    n = int(seconds * RATE_HZ) + 2
    t = np.arange(n) / RATE_HZ
    window = np.zeros(n)
    for start, sign in zip(starts, signs):
        window += sign * plateau(t, start, carrier.spiral_ramp_s, carrier.spiral_s)
    leads = [1.0] * len(starts)
    for i, start in enumerate(starts):
        until = min(int((start + carrier.spiral_every_s) * RATE_HZ), n)
        begin = int(max(start - 3.0, 0.0) * RATE_HZ)
        best = math.inf
        choice = leads[i]
        for lead in np.arange(-1.0, 4.01, 0.5):
            leads[i] = float(lead)
            target = _clip(fly(flyer, seed, seconds, [s - d for s, d in zip(starts, leads)], signs), n)
            d = distances(target, chase(target, flyer.distance_m, window, carrier))[begin:until]
            cost = max(22.0 - float(d.min()), float(d.max()) - 58.0)
            if cost < best:
                best, choice = cost, float(lead)
        leads[i] = choice
    target = _clip(fly(flyer, seed, seconds, [s - d for s, d in zip(starts, leads)], signs), n)
    return target, chase(target, flyer.distance_m, window, carrier)


def _clip(path: Path, n: int) -> Path:
    return Path(path.pos[:n], path.vel[:n], path.heading, path.bank)
