"""Carriers that follow: a chase flyer with prescribed spirals behind the built-in flyer, a shadow of a recorded flight.

Chase: a point that steers to a slot behind and above the target with limited turn and speed.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from scipy.ndimage import gaussian_filter1d

from gimbal.config.scenario import Flyer, Speedflight
from gimbal.kernels.build import kernel
from gimbal.plant import flyer as flying
from gimbal.plant.motion import PATH_RATE_HZ
from gimbal.plant.shaping import repeated_plateaus
from gimbal.units import DEG, G0

STRIDE = 4  # steps of the flyer a row of a path
CHASE_STATE = 13
_ATTEMPTS, _FLIGHTS = 8, 6  # gusts tried for a spiral; whole flights
_LEADS_S = (
    1.5,
    2.0,
    1.0,
    2.5,
    0.5,
    3.0,
    0.0,
    3.5,
    -0.5,
    4.0,
    -1.0,
    4.5,
)  # how long before the carrier the flyer swoops
_SHARES = (1.0, 0.95, 1.05, 0.9, 1.1, 0.85)  # of the carrier's turn that the flyer's swoop makes
_VANE_M = 6.0  # way in which a shadowing mount's heading follows its course


@dataclass
class Path:
    """Positions and velocities (n, 3) in N at PATH_RATE_HZ, heading and bank (n,) in rad where it is a carrier's."""

    pos: np.ndarray
    vel: np.ndarray
    heading: np.ndarray
    bank: np.ndarray


def shadow(target: Path, distance_m: float) -> Path:
    """A carrier's path behind a recorded flight: a smoothed copy of it, moved back against the mean velocity.

    In a spiral the mean velocity points down, so the carrier is above it, in small circles. The mount's heading
    follows the course like a weathervane, its bank is that of a coordinated turn.
    """
    base = gaussian_filter1d(target.pos, 1.2 * PATH_RATE_HZ, axis=0, mode="nearest")
    mean = gaussian_filter1d(target.vel, 2.5 * PATH_RATE_HZ, axis=0, mode="nearest")
    mean = gaussian_filter1d(mean / np.linalg.norm(mean, axis=1)[:, None], 0.8 * PATH_RATE_HZ, axis=0, mode="nearest")
    pos = base - distance_m * mean / np.linalg.norm(mean, axis=1)[:, None]
    vel = np.gradient(pos, 1.0 / PATH_RATE_HZ, axis=0)
    acc = np.gradient(vel, 1.0 / PATH_RATE_HZ, axis=0)
    heading = np.zeros(pos.shape[0])
    heading[0] = math.atan2(vel[0, 1], vel[0, 0])
    for i in range(1, heading.size):
        c, s = math.cos(heading[i - 1]), math.sin(heading[i - 1])
        heading[i] = heading[i - 1] + (vel[i, 1] * c - vel[i, 0] * s) / _VANE_M / PATH_RATE_HZ
    side = acc[:, 1] * np.cos(heading) - acc[:, 0] * np.sin(heading)
    bank = np.arctan2(side, np.maximum(G0 - acc[:, 2], 3.0))
    return Path(pos, vel, heading, gaussian_filter1d(bank, 0.2 * PATH_RATE_HZ, mode="nearest"))


@kernel
def _chase_on(dt, first, last, tpos, tvel, window, spiral, gains, state, pos, vel, heading, bank):
    """Chase rows first to last; ``state`` (CHASE_STATE) is where it is, changed in place.

    tpos, tvel: the target, STRIDE rows a row of ours. window: signed share of the prescribed spiral, whose rate, speed
    and bank are spiral's. gains: omega_n, side limit, speed low, high, height above the target, distance.
    """
    p0, p1, p2, psi, v, vz = state[0], state[1], state[2], state[3], state[4], state[5]
    turn, turn_f, push, drop, drop_f, d0, d1 = (
        state[6],
        state[7],
        state[8],
        state[9],
        state[10],
        state[11],
        state[12],
    )
    rate, speed, bank_flat = spiral[0], spiral[1], spiral[2]
    above, distance = gains[4], gains[5]
    wn = gains[0]
    lag = 1.0 - math.exp(-dt / 0.4)
    quick = 1.0 - math.exp(-dt / 0.15)
    slow = 1.0 - math.exp(-dt / 1.5)
    for i in range(first, last):
        j = STRIDE * i
        c, s = math.cos(psi), math.sin(psi)
        pos[i, 0], pos[i, 1], pos[i, 2] = p0, p1, p2
        vel[i, 0], vel[i, 1], vel[i, 2] = v * c, v * s, vz
        tv0, tv1, tv2 = tvel[j, 0], tvel[j, 1], tvel[j, 2]
        d0 += slow * (tv0 - d0)
        d1 += slow * (tv1 - d1)
        h = math.sqrt(d0 * d0 + d1 * d1) + 1e-9
        e0 = tpos[j, 0] - distance * d0 / h - p0
        e1 = tpos[j, 1] - distance * d1 / h - p1
        e2 = tpos[j, 2] - above - p2
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
    state[0], state[1], state[2], state[3], state[4], state[5] = p0, p1, p2, psi, v, vz
    state[6], state[7], state[8], state[9], state[10] = turn, turn_f, push, drop, drop_f
    state[11], state[12] = d0, d1


class _Flight:
    """Flyer and chase over the whole run, flown piece by piece so that a piece can be tried again."""

    def __init__(self, flyer: Flyer, carrier: Speedflight, seed: list[int], rows: int, starts: np.ndarray) -> None:
        self.rows, self.seed, self.starts = rows, seed, starts
        self.signs = np.where(np.arange(starts.size) % 2 == 0, 1.0, -1.0)
        self.turn = carrier.spiral_rate_deg_s * DEG * (carrier.spiral_s + carrier.spiral_ramp_s)
        self.begin, self.turns = starts - _LEADS_S[0], np.full(starts.size, self.turn)
        t = np.arange(rows) / PATH_RATE_HZ
        self.window = np.zeros(rows)
        if starts.size:
            shape = (carrier.spiral_every_s, carrier.spiral_ramp_s, carrier.spiral_s)
            self.window = repeated_plateaus(t, starts[0], *shape)
        self.limits, self.flyer_state = flying.limits(flyer), flying.start(flyer)
        self.gains = np.array([0.6, 1.3 * G0, 13.0, 1.3 * flyer.speed_m_s[1], 8.0, flyer.distance_m])
        self.spiral = np.array([carrier.spiral_rate_deg_s * DEG, carrier.speed_m_s, carrier.spiral_bank_deg * DEG])
        self.noise = np.random.default_rng(seed).standard_normal((STRIDE * rows, 2))
        self.tpos, self.tvel = np.zeros((STRIDE * rows, 3)), np.zeros((STRIDE * rows, 3))
        self.pos, self.vel = np.zeros((rows, 3)), np.zeros((rows, 3))
        self.heading, self.bank = np.zeros(rows), np.zeros(rows)
        self.chase_state = np.zeros(CHASE_STATE)
        self.chase_state[2], self.chase_state[4:6] = -self.gains[4], self.flyer_state[[3, 5]]
        self.chase_state[11:13] = self.flyer_state[3:5]

    def fly(self, first: int, last: int) -> tuple[np.ndarray, np.ndarray]:
        """Fly rows first to last from the kept states; returns the states after them, keeping the old ones."""
        a, b = self.flyer_state.copy(), self.chase_state.copy()
        swoops = (self.begin, self.signs, self.turns)
        dt = 1.0 / PATH_RATE_HZ
        steps = (STRIDE * first, STRIDE * last)
        flying.fly_on(dt / STRIDE, *steps, self.noise, *swoops, self.limits, a, self.tpos, self.tvel)
        out = (self.pos, self.vel, self.heading, self.bank)
        _chase_on(dt, first, last, self.tpos, self.tvel, self.window, self.spiral, self.gains, b, *out)
        return a, b

    def cost(self, first: int, last: int) -> float:
        """How far the distance leaves 26 to 54 m, negative inside."""
        d = np.linalg.norm(self.tpos[STRIDE * first : STRIDE * last : STRIDE] - self.pos[first:last], axis=1)
        return max(26.0 - float(d.min()), float(d.max()) - 54.0)

    def fit(self, i: int, first: int, last: int) -> float:
        """Search swoop i's lead and angle; good enough ends the search."""
        best, choice = math.inf, (self.begin[i], self.turns[i])
        for lead in _LEADS_S:
            for share in _SHARES:
                self.begin[i], self.turns[i] = self.starts[i] - lead, share * self.turn
                self.fly(first, last)
                cost = self.cost(first, last)
                if cost < best:
                    best, choice = cost, (self.begin[i], self.turns[i])
            if best < -4.0:
                break
        self.begin[i], self.turns[i] = choice
        return best

    def gusts(self, i: int, attempt: int, first: int, last: int) -> None:
        """Other weather for rows first to last."""
        rng = np.random.default_rng([*self.seed, i, attempt])
        self.noise[STRIDE * first : STRIDE * last] = rng.standard_normal((STRIDE * (last - first), 2))


def flight_with_chase(
    flyer: Flyer, carrier: Speedflight, seed: int, seconds: float, before_s: float = 0.0
) -> tuple[Path, Path]:
    """Flyer and carrier for a run that begins before_s before t = 0: spirals as the carrier's config prescribes them.

    The flyer swoops a little before the carrier spirals, by about the same angle. How long before is searched for each
    spiral, so that the distance stays inside 20 to 60 m; a piece for which that fails is flown again with other gusts,
    and should it still fail, the whole flight.
    """
    rows = int(seconds * PATH_RATE_HZ) + 2
    starts = np.arange(carrier.spiral_first_s + before_s, seconds, carrier.spiral_every_s)
    edges = [max(int((s - 6.0) * PATH_RATE_HZ), 0) for s in starts] + [rows]
    for number in range(_FLIGHTS):
        flight = _Flight(flyer, carrier, [seed, 10, number], rows, starts)
        flight.flyer_state, flight.chase_state = flight.fly(0, edges[0])
        for i in range(starts.size):
            _fly_piece(flight, i, edges[i], edges[i + 1])
        if flight.cost(0, rows) < 5.0:
            break
    target = Path(flight.tpos[::STRIDE].copy(), flight.tvel[::STRIDE].copy(), np.zeros(0), np.zeros(0))
    return target, Path(flight.pos, flight.vel, flight.heading, flight.bank)


def _fly_piece(flight: _Flight, i: int, first: int, last: int) -> None:
    """Fit spiral i under some gusts, take the best of them and go on from there."""
    trials: list[tuple[float, int, float, float]] = []
    for attempt in range(_ATTEMPTS):
        flight.gusts(i, attempt, first, last)
        trials.append((flight.fit(i, first, last), attempt, flight.begin[i], flight.turns[i]))
        if trials[-1][0] < 3.0:
            break
    _, attempt, flight.begin[i], flight.turns[i] = min(trials)
    flight.gusts(i, attempt, first, last)
    flight.flyer_state, flight.chase_state = flight.fly(first, last)
