"""The built-in speed-flyer, and the chase that follows it.

Flyer: point mass with lift and drag g k v², bank an Ornstein-Uhlenbeck process, swoops with a roll-out after them;
parameters as Scenario.Flyer. Chase: a point that steers to a slot behind the target with limited turn and speed.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from scipy.ndimage import gaussian_filter1d

from gimbal.config.scenario import Flyer, Speedflight
from gimbal.kernels.build import kernel
from gimbal.plant.motion import PATH_RATE_HZ as RATE_HZ
from gimbal.plant.shaping import repeated_plateaus
from gimbal.units import DEG, G0

_ROLL_RATE = 60.0 * DEG
_ROLL_OUT_S = 3.0
_SWOOP_RATE = 60.0 * DEG  # of turn, as the chase flyer's spiral
_ATTEMPTS = 12
_VANE_M = 6.0  # way in which a shadowing mount's heading follows its course


@dataclass
class Path:
    """Positions and velocities (n, 3) in N at RATE_HZ, heading and bank (n,) in rad where it is a carrier's."""

    pos: np.ndarray
    vel: np.ndarray
    heading: np.ndarray
    bank: np.ndarray


@kernel
def _fly(dt, n, noise, starts, signs, turns, limits, start, pos, vel):
    """starts, signs: swoops, each until it has turned by turns (rad).

    limits: lift low, high, drag low, high, speed low, high, bank sigma, tau, max, roll-out load, swoop rate rad/s,
    swoop bank low, high, swoop sink high.
    """
    v0, v1, v2 = start[3], start[4], start[5]
    p0, p1, p2 = start[0], start[1], start[2]
    ou = 0.0
    bank = 0.0
    lift = 0.0
    out_s = 0.0
    swooping = False
    index = 0
    sign = 0.0
    turned = 0.0
    dive = 0.0  # share of the swoop in the wanted bank, smoothed
    for i in range(n):
        pos[i, 0], pos[i, 1], pos[i, 2] = p0, p1, p2
        vel[i, 0], vel[i, 1], vel[i, 2] = v0, v1, v2
        ou += -ou / limits[7] * dt + limits[6] * math.sqrt(2.0 * dt / limits[7]) * noise[i, 0]
        lift += -lift * dt + math.sqrt(2.0 * dt) * noise[i, 1]
        v = math.sqrt(v0 * v0 + v1 * v1 + v2 * v2)
        h = math.sqrt(v0 * v0 + v1 * v1)
        if not swooping and index < starts.size and i * dt >= starts[index]:
            swooping, sign, turned = True, signs[index], 0.0
        if swooping and turned >= turns[index] - 0.55 * limits[10]:  # what it still turns while the bank comes off
            swooping = False
            index += 1
            out_s = _ROLL_OUT_S
        out_s = max(out_s - dt, 0.0)
        dive += ((1.0 if swooping else 0.0) - dive) * dt / 0.35
        kl = math.exp(0.2 * lift) / 22.9**2
        if swooping:
            kl = limits[1]
        elif out_s > 0.0:
            kl = limits[9] / (v * v)
        # pilots hold their speed in the range: dive when slow
        if v < limits[4] + 4.0:
            kl *= 0.75
        kl = min(max(kl, limits[0]), limits[1])
        kd = min(max(0.0007 + 0.00005 * (v - 26.0), limits[2]), limits[3])
        if v > limits[5] - 3.0:
            kd = limits[3]
        load = kl * v * v
        # the bank that gives the swoop's rate of turn with this lift, shallower when the sink grows too large
        need = math.asin(min(limits[10] * h / (G0 * load), 0.999))
        need = min(max(need, limits[11]), limits[12])
        if v2 > limits[13] - 4.0:
            need = max(need - 0.1 * (v2 - limits[13] + 4.0), limits[11])
        calm = 1.0 - dive if out_s <= 0.0 else 0.0
        wanted = calm * min(max(ou, -limits[8]), limits[8]) + dive * sign * need
        step = min(max((wanted - bank) * 4.0, -_ROLL_RATE), _ROLL_RATE)
        bank += step * dt
        # unit vectors: side (horizontal, right of the velocity) and up in the lift plane (towards -z)
        s0, s1 = -v1 / h, v0 / h
        u0, u1, u2 = v0 * v2 / (h * v), v1 * v2 / (h * v), -h / v
        c, s = load * math.cos(bank), load * math.sin(bank)
        turned += abs(G0 * s / h) * dt
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


def fly(flyer: Flyer, noise: np.ndarray, starts_s: np.ndarray, signs: np.ndarray, turns: np.ndarray) -> Path:
    """Path of the flyer from (distance, 0, 0), northwards, with swoops of these angles (rad) at the given times.

    noise: (n, 2) standard normal numbers for n steps of a quarter of the path's.
    """
    bank_low, bank_high = flyer.swoop_bank_deg
    limits = np.array(
        [
            *flyer.lift_s2_m2,
            *flyer.drag_s2_m2,
            *flyer.speed_m_s,
            flyer.bank_deg * DEG,
            flyer.bank_tau_s,
            flyer.bank_max_deg * DEG,
            flyer.roll_out_g,
            _SWOOP_RATE,
            bank_low * DEG,
            bank_high * DEG,
            flyer.swoop_sink_m_s[1],
        ]
    )
    n = noise.shape[0]
    pos, vel = np.zeros((n, 3)), np.zeros((n, 3))
    start_state = np.array([flyer.distance_m, 0.0, 0.0, 22.0, 0.0, 7.5])
    _fly(1.0 / RATE_HZ / 4.0, n, noise, starts_s, signs, turns, limits, start_state, pos, vel)
    return Path(pos[::4].copy(), vel[::4].copy(), np.zeros(0), np.zeros(0))


@kernel
def _chase(dt, n, target_pos, target_vel, distance, window, rate, speed, bank_flat, gains, pos, vel, heading, bank):
    """window (n,): signed share of the prescribed spiral. gains: omega_n, side limit, speed low, high, height."""
    above = gains[4]
    d0, d1 = target_vel[0, 0], target_vel[0, 1]
    p0 = target_pos[0, 0]
    p1 = target_pos[0, 1]
    p2 = target_pos[0, 2] - above
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
    quick = 1.0 - math.exp(-dt / 0.15)
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
        e2 = target_pos[i, 2] - above - p2
        a0 = wn * wn * e0 + 2.0 * wn * (tv0 - v * c)
        a1 = wn * wn * e1 + 2.0 * wn * (tv1 - v * s)
        along = min(max(a0 * c + a1 * s, -6.0), 6.0)
        side = min(max(a1 * c - a0 * s, -gains[1]), gains[1])
        b = abs(window[i])
        along = (1.0 - b) * along + b * min(max((speed - v) / 0.5, -8.0), 8.0)
        down = min(max(0.7 * wn * wn * e2 + 2.0 * wn * (tv2 - vz), -8.0), 6.0)
        turn += lag * (side / v - turn)
        turn_f += lag * (turn - turn_f)
        push += lag * (along - push)
        drop += quick * (down - drop)
        drop_f += quick * (drop - drop_f)
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


def chase(target: Path, distance_m: float, window: np.ndarray, carrier: Speedflight) -> Path:
    """The carrier's path behind a target; window (n,) says when the carrier's own spiral rules."""
    n = target.pos.shape[0]
    out = Path(np.zeros((n, 3)), np.zeros((n, 3)), np.zeros(n), np.zeros(n))
    rate, bank = carrier.spiral_rate_deg_s * DEG, carrier.spiral_bank_deg * DEG
    top = max(1.3 * float(np.linalg.norm(target.vel, axis=1).max()), 40.0)
    gains = np.array([0.6, 1.3 * G0, 13.0, top, 8.0])
    args = (target.pos, target.vel, distance_m, window, rate, carrier.speed_m_s, bank, gains)
    _chase(1.0 / RATE_HZ, n, *args, out.pos, out.vel, out.heading, out.bank)
    return out


def shadow(target: Path, distance_m: float) -> Path:
    """A carrier's path behind a recorded flight: a smoothed copy of it, moved back against the mean velocity.

    In a spiral the mean velocity points down, so the carrier is above it, in small circles. The mount's heading
    follows the course like a weathervane, its bank is that of a coordinated turn.
    """
    base = gaussian_filter1d(target.pos, 1.2 * RATE_HZ, axis=0, mode="nearest")
    mean = gaussian_filter1d(target.vel, 2.5 * RATE_HZ, axis=0, mode="nearest")
    mean = gaussian_filter1d(mean / np.linalg.norm(mean, axis=1)[:, None], 0.8 * RATE_HZ, axis=0, mode="nearest")
    pos = base - distance_m * mean / np.linalg.norm(mean, axis=1)[:, None]
    vel = np.gradient(pos, 1.0 / RATE_HZ, axis=0)
    acc = np.gradient(vel, 1.0 / RATE_HZ, axis=0)
    heading = np.zeros(pos.shape[0])
    heading[0] = math.atan2(vel[0, 1], vel[0, 0])
    for i in range(1, heading.size):
        c, s = math.cos(heading[i - 1]), math.sin(heading[i - 1])
        heading[i] = heading[i - 1] + (vel[i, 1] * c - vel[i, 0] * s) / _VANE_M / RATE_HZ
    side = acc[:, 1] * np.cos(heading) - acc[:, 0] * np.sin(heading)
    bank = np.arctan2(side, np.maximum(G0 - acc[:, 2], 3.0))
    return Path(pos, vel, heading, gaussian_filter1d(bank, 0.2 * RATE_HZ, mode="nearest"))


def distances(a: Path, b: Path) -> np.ndarray:
    return np.linalg.norm(a.pos - b.pos, axis=1)


def flight_with_chase(
    flyer: Flyer, carrier: Speedflight, seed: int, seconds: float, before_s: float = 0.0
) -> tuple[Path, Path]:
    """Flyer and carrier for a run that begins before_s before t = 0: spirals as the carrier's config prescribes them.

    The flyer swoops a little before the carrier spirals, by about the same angle. How long before is searched for each
    spiral, so that the distance stays inside 20 to 60 m; a flight for which that fails is flown again with other
    gusts.
    """
    starts = np.arange(carrier.spiral_first_s + before_s, seconds, carrier.spiral_every_s)
    n = int(seconds * RATE_HZ) + 2
    t = np.arange(n) / RATE_HZ
    first = carrier.spiral_first_s + before_s
    window = repeated_plateaus(t, first, carrier.spiral_every_s, carrier.spiral_ramp_s, carrier.spiral_s)
    best = (math.inf, Path(*[np.zeros(0)] * 4), Path(*[np.zeros(0)] * 4))
    for attempt in range(_ATTEMPTS):
        noise = np.random.default_rng([seed, 10, attempt]).standard_normal((4 * n, 2))
        target, follower = _fit_swoops(flyer, carrier, noise, starts, window)
        d = distances(target, follower)
        cost = max(21.0 - float(d.min()), float(d.max()) - 59.0)
        if cost < best[0]:
            best = (cost, target, follower)
        if cost <= 0.0:
            break
    return best[1], best[2]


def _fit_swoops(
    flyer: Flyer, carrier: Speedflight, noise: np.ndarray, starts: np.ndarray, window: np.ndarray
) -> tuple[Path, Path]:
    """Search each swoop's lead and angle in turn; good enough ends the search."""
    n = window.size
    signs = np.where(np.arange(starts.size) % 2 == 0, 1.0, -1.0)
    turn = carrier.spiral_rate_deg_s * DEG * (carrier.spiral_s + carrier.spiral_ramp_s)
    leads, turns = np.full(starts.size, 1.5), np.full(starts.size, turn)

    def trial(m: int) -> tuple[Path, Path]:
        target = fly(flyer, noise[: 4 * m], starts - leads, signs, turns)
        return target, chase(target, flyer.distance_m, window[:m], carrier)

    for i, start in enumerate(starts):
        until = min(int((start + carrier.spiral_every_s - 4.0) * RATE_HZ), n)
        best, choice = math.inf, (1.5, turn)
        for lead in (1.5, 2.0, 1.0, 2.5, 0.5, 3.0, 0.0, 3.5, -0.5, 4.0, -1.0, 4.5):
            for share in (1.0, 0.95, 1.05, 0.9, 1.1, 0.85):
                leads[i], turns[i] = lead, share * turn
                d = distances(*trial(until))[int(max(start - 4.0, 0.0) * RATE_HZ) :]
                cost = max(26.0 - float(d.min()), float(d.max()) - 54.0)
                if cost < best:
                    best, choice = cost, (lead, share * turn)
            if best < -4.0:
                break
        leads[i], turns[i] = choice
    return trial(n)
