"""Gains and shaping of a rig's loops by search: least jitter on its carriers with 6 dB, 35 degrees and Ms 2.

Cost of an axis: the jitter of the linear loop on every carrier's disturbance, in shares of what is wanted there, plus
hinges on the margins of the held poses and on the stability of all cases of :mod:`gimbal.tuning.margins` (other poses,
inertia +-30 %, mode +-20 %, 1 ms more delay). Search: CMA-ES (N. Hansen, A. Ostermeier, Evolutionary Computation 9(2),
2001).

    python -m gimbal.tuning.autotune torque --axis yaw            # prints the axis' keys for [control]
    python -m gimbal.tuning.autotune torque --axis yaw --pid      # and for [control.pid]
    python -m gimbal.tuning.autotune torque --axis yaw --fast     # and for [control.fast], beside the rig's own loops

The fast loops are held to the same at every share of them in the feedback, and may not be worse on any carrier; what
they are to reject is what the rig's own loops left over in flight (:mod:`gimbal.tuning.flown`).
"""

from __future__ import annotations

import argparse
import math
import sys
import time
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np

from gimbal.config.load import load_rig, load_scenario
from gimbal.config.schema import Rig
from gimbal.frames import AXES, AXIS_INDEX
from gimbal.kernels.filters import lowpass_coefficients, notch_coefficients, shaping_coefficients
from gimbal.tuning.bound import GYRO, metric_response
from gimbal.tuning.flown import flown_densities
from gimbal.tuning.hinges import hinges, sections
from gimbal.tuning.margins import BLENDS, HELD_TO, cases, of_loop
from gimbal.tuning.model import ANGLE_LEAK_S, Axis, Controller, imu_hold, response, sampled_plant, section_response

Array = np.ndarray
GOALS_URAD = {"speedflight": 60.0, "helicopter": 50.0, "camera_car": 90.0, "train_roof": 60.0, "cliff_jump": 50.0}
MOST_ACCEL_NOISE = 4000.0  # rad/s² of feedback per rad/s of white gyro noise
WORST_MS = 4.0  # of a case that need only be stable
FAST_GAINS = (26.0, 250.0, 8000.0)  # attitude, rate, integral, where a rig has none yet
FAST_STEEP = 3.0  # and their margins count so much more
FAST_WORST_MS = 8.0  # of the fast loops there: the others catch what they lose
MOST_ATTITUDE_GAIN = 28.0  # 1/s: faster ones leave the rate loop behind when an error is large
PID_LOWPASS_HZ = (200.0, 60.0)  # gyro, derivative


@dataclass
class Shaped:
    """A controller's response in parts: the integral is common to the loops that are blended."""

    shaping: Array
    proportional: Array
    integral: Array

    def blend(self, fast: Shaped, share: float) -> Array:
        """Acceleration demand per rate with this share of the fast loops."""
        integral = self.integral + share * (fast.integral - self.integral)
        own, other = self.shaping * (self.proportional + integral), fast.shaping * (fast.proportional + integral)
        return own + share * (other - own)


@dataclass
class Loop:
    """One axis on a frequency grid: plant of every case, disturbances."""

    rig: Rig
    axis: Axis
    f: Array
    z: Array
    cases: list[tuple[str, Array]]  # case, rate per wanted acceleration
    disturbance: list[tuple[Array, float]]  # angle density without feedback (rad²/Hz), goal (rad)
    late_share: float
    beside: Shaped | None = None  # the loops that fast ones are blended with,
    before: tuple[float, ...] = ()  # and their jitters
    weigh: Array | None = None  # share of each carrier in what the search makes small, None: alike

    @cached_property
    def plants(self) -> Array:
        """(cases, n) of ``cases``."""
        return np.array([G for _, G in self.cases])

    @cached_property
    def held(self) -> Array:
        """(cases,) whether it must keep the margins."""
        return np.array([case in HELD_TO for case, _ in self.cases])

    @cached_property
    def seen(self) -> tuple[Array, Array]:
        """By the metric, on this grid: (carriers, n) of the disturbances times |S|², (n,) of gyro noise times |T|²."""
        w2 = metric_response(self.f, self.rig.loop_rate_hz) ** 2
        w2 = w2 * 0.5 * (np.diff(self.f, prepend=self.f[0]) + np.diff(self.f, append=self.f[-1]))
        noise = 2.0 * self.axis.gyro_noise**2 / self.axis.imu_rate_hz / (2.0 * math.pi * self.f) ** 2
        return np.array([w2 * D for D, _ in self.disturbance]), w2 * noise


def grid(rig: Rig, name: str) -> Array:
    """Frequencies (Hz), dense about the mode and its neighbours."""
    mode = rig.structure.mode_hz[AXIS_INDEX[name]]
    top = 0.499 * rig.loop_rate_hz
    parts = [np.geomspace(0.08, 4.0, 40), np.geomspace(4.0, top, 220), np.linspace(0.72 * mode, 1.32 * mode, 150)]
    f = np.unique(np.concatenate(parts))
    return f[f <= top]


def densities(rig: Rig, foreseen: bool) -> dict[str, tuple[Array, Array]]:
    """Per carrier of GOALS_URAD: frequencies and torque density (3, m) that feedback meets, seed 1, 60 s."""
    from gimbal.metrics import SKIP_END_S, SKIP_START_S
    from gimbal.tuning.carrier_torque import RATE_HZ, carry, disturbance
    from gimbal.tuning.spectrum import stationary_groups

    out = {}
    for name in GOALS_URAD:
        whole, rest = disturbance(rig, carry(rig, load_scenario(name).config, 60.0, 1), 1)
        x = (rest if foreseen else whole)[int(SKIP_START_S * RATE_HZ) : -int(SKIP_END_S * RATE_HZ)]
        f, groups = stationary_groups(x, RATE_HZ, 1)
        out[name] = (f, groups[0][1])
    return out


def make_loop(rig: Rig, name: str, torque: dict[str, tuple[Array, Array]]) -> Loop:
    """Everything :func:`cost` needs of an axis."""
    f = grid(rig, name)
    z = np.exp(2j * math.pi * f / rig.loop_rate_hz)
    plants, own = [], None
    for axis_name, case, given, real in cases(rig):
        if axis_name != name:
            continue
        P = response(*sampled_plant(real), z)
        hold = sum(b * z**-n for n, b in enumerate(imu_hold(real)))
        plants.append((case, P[:, GYRO, 0] * hold * given.known_inertia))
        if case == "level":
            own = (given, P[:, 2, 1])
    assert own is not None
    axis, to_angle = own
    leak = 1.0 + 1.0 / (2j * math.pi * f * ANGLE_LEAK_S)
    k = AXIS_INDEX[name]
    parts = [
        (np.abs(to_angle * leak) ** 2 * np.interp(f, fd, d[k], right=0.0), 1e-6 * GOALS_URAD[c] / math.sqrt(3.0))
        for c, (fd, d) in torque.items()
    ]
    return Loop(rig, axis, f, z, plants, parts, Controller(rig, axis).late_share)


def coefficients(rig: Rig, name: str, x: Array, pid: bool) -> list[Any]:
    """Biquads of the parameters behind the three gains."""
    rate = rig.loop_rate_hz
    if pid:
        mode = rig.structure.mode_hz[AXIS_INDEX[name]]
        return [notch_coefficients(mode, rate, min(x[4] * mode, 1.9 * mode), x[5]), lowpass_coefficients(250.0, rate)]
    return [shaping_coefficients(x[n], x[n + 1], x[n + 2], x[n + 3], rate) for n in range(3, len(x), 4)]


def control_response(loop: Loop, x: Array, pid: bool) -> Array:
    """Acceleration demand per rate, positive, of gains and sections x = exp(search point)."""
    part = shaped(loop, x, pid)
    return part.shaping * (part.proportional + part.integral)


def shaped(loop: Loop, x: Array, pid: bool) -> Shaped:
    """:func:`control_response` in parts."""
    d, T = 1.0 / loop.z, 1.0 / loop.rig.loop_rate_hz
    angle = T * ((1.0 - loop.late_share) + loop.late_share * d) / (1.0 - d)
    lp: Any = 1.0
    if pid:
        lp = section_response(lowpass_coefficients(PID_LOWPASS_HZ[0], loop.rig.loop_rate_hz), loop.z)
    error = x[0] * angle + lp
    demand = x[1] * error
    if pid:
        slope = (1.0 - d) / T
        demand = demand + x[3] * section_response(lowpass_coefficients(PID_LOWPASS_HZ[1], 1 / T), loop.z) * slope * lp
    shaping = sections(coefficients(loop.rig, loop.axis.name, x, pid), loop.z)
    return Shaped(shaping, demand, x[2] * T / (1.0 - d) * error)


def jitters(loop: Loop, C: Array) -> list[float]:
    """RMS angle (rad) on each carrier, gyro noise included."""
    S2 = np.abs(1.0 / (1.0 + C * loop.cases[0][1])) ** 2
    T2 = np.abs(1.0 - 1.0 / (1.0 + C * loop.cases[0][1])) ** 2
    disturbance, noise = loop.seen
    return [float(x) for x in np.sqrt(disturbance @ S2 + noise @ T2)]


def cost(loop: Loop, point: Array, low: Array, high: Array, pid: bool) -> float:
    """What the search makes small."""
    outside = float(np.sum(np.maximum(0.0, point - high) + np.maximum(0.0, low - point)))
    x = np.exp(np.clip(point, low, high))
    C = control_response(loop, x, pid)
    found = jitters(loop, C)
    penalty, tried = 5.0 * outside, C[None]
    if loop.beside is not None:
        part = shaped(loop, x, pid)
        tried = np.array([loop.beside.blend(part, b) for b in BLENDS[1:]])
        penalty += sum(3.0 * max(0.0, math.log(a / b)) for a, b in zip(found, loop.before, strict=True))
    penalty += (1.0 if loop.beside is None else FAST_STEEP) * margin_cost(loop, tried)
    S = 1.0 / (1.0 + C * loop.cases[0][1])
    loud = math.sqrt(float(np.trapezoid(np.abs(C * S) ** 2, loop.f)) / loop.f[-1])
    penalty += 1.5 * max(0.0, math.log(loud / MOST_ACCEL_NOISE))
    miss = np.array([j / goal for j, (_, goal) in zip(found, loop.disturbance, strict=True)])
    if loop.beside is not None:  # what is far from its goal counts by its ratio, what is under half of it no more
        return 0.5 * float(np.average(np.log(0.25 + miss**2), weights=loop.weigh)) + penalty
    return 0.5 * math.log(float(np.mean(miss**2))) + 0.25 * float(np.mean(np.log(miss))) + penalty


def margin_cost(loop: Loop, C: Array) -> float:
    """Hinges on the margins of the held poses and on the stability of all cases, of controllers C (m, n)."""
    worst, steep = (WORST_MS, 0.5) if loop.beside is None else (FAST_WORST_MS, 2.0)
    return float(hinges(C, loop.plants, loop.held, worst, steep))


def search(f: Any, start: Array, step: float, seconds: float, seed: int, tell: Any = None) -> tuple[float, Array]:
    """Least value and its point found by CMA-ES in ``seconds`` of CPU time."""
    rng, n = np.random.default_rng(seed), len(start)
    size = 4 + int(3 * math.log(n)) + 4
    mu = size // 2
    w = math.log(mu + 0.5) - np.log(np.arange(1, mu + 1))
    w /= w.sum()
    eff = 1.0 / float(np.sum(w**2))
    cs, cc = (eff + 2) / (n + eff + 5), (4 + eff / n) / (n + 4 + 2 * eff / n)
    c1 = 2 / ((n + 1.3) ** 2 + eff)
    cmu = min(1 - c1, 2 * (eff - 2 + 1 / eff) / ((n + 2) ** 2 + eff))
    damp = 1 + cs + 2 * max(0.0, math.sqrt((eff - 1) / (n + 1)) - 1)
    mean, sigma, cov, ps, pc = start.copy(), step, np.eye(n), np.zeros(n), np.zeros(n)
    best, best_x, last = f(start), start.copy(), time.process_time()
    end, generation = time.process_time() + seconds, 0
    while time.process_time() < end:
        if generation % 8 == 0:
            d, B = np.linalg.eigh(0.5 * (cov + cov.T))
            d = np.sqrt(np.maximum(d, 1e-14))
        generation += 1
        y = (rng.normal(size=(size, n)) * d) @ B.T
        values = np.array([f(mean + sigma * row) for row in y])
        order = np.argsort(values)
        if values[order[0]] < best:
            best, best_x = float(values[order[0]]), mean + sigma * y[order[0]]
        chosen = y[order[:mu]]
        move = w @ chosen
        mean = mean + sigma * move
        ps = (1 - cs) * ps + math.sqrt(cs * (2 - cs) * eff) * (B @ ((B.T @ move) / d))
        small = np.linalg.norm(ps) < (1.4 + 2 / (n + 1)) * math.sqrt(n)
        pc = (1 - cc) * pc + (math.sqrt(cc * (2 - cc) * eff) * move if small else 0.0)
        cov = (1 - c1 - cmu) * cov + c1 * np.outer(pc, pc) + cmu * (chosen.T * w) @ chosen
        sigma *= math.exp(cs / damp * (np.linalg.norm(ps) / math.sqrt(n) - 1))
        if sigma < 1e-5 or sigma > 3.0:
            mean, sigma, cov, ps, pc = best_x.copy(), step, np.eye(n), np.zeros(n), np.zeros(n)
        if tell and time.process_time() - last > 2.0:
            last = time.process_time()
            tell(generation, best)
    return best, best_x


def start_point(rig: Rig, name: str, pid: bool, sections: int, fast: bool = False) -> tuple[Array, Array, Array]:
    """Logarithms of where the search starts (the rig's own loop, or its fast one), and its limits."""
    k, c = AXIS_INDEX[name], rig.control
    if pid:
        x = [8.0, 25.0, 60.0, 0.01, 0.8, 0.2]
        return np.log(x), np.log([1.0, 2.0, 0.5, 1e-4, 0.05, 0.01]), np.log([80.0, 800.0, 2e4, 0.6, 1.9, 0.95])
    x = [c.attitude_gain_1_s[k], c.rate_gain_1_s[k], c.integral_gain_1_s2[k]]
    own = [s for s in c.shaping if s.axis == name]
    if fast:
        x = list(FAST_GAINS)
        if c.fast is not None:
            x = [c.fast.attitude_gain_1_s, c.fast.rate_gain_1_s, c.fast.integral_gain_1_s2]
            own = [s for s in c.fast.shaping if s.axis == name]
    low, high = [3.0, 10.0, 10.0], [MOST_ATTITUDE_GAIN, 8000.0, 600000.0]
    for n in range(sections):
        hz = 60.0 + 40.0 * n
        if n < len(own):
            x += [own[n].zero_hz, max(own[n].zero_damping, 0.005), own[n].pole_hz, own[n].pole_damping]
        else:
            x += [hz, 0.7, 1.05 * hz, 0.7]
        low += [1.5, 0.004, 0.8, 0.05]
        high += [0.45 * rig.loop_rate_hz, 10.0 if fast else 2.0, 0.45 * rig.loop_rate_hz, 3.0]
    return np.log(x), np.log(low), np.log(high)


def main(argv: list[str] | None = None) -> int:
    """Entry of ``python -m gimbal.tuning.autotune``."""
    p = argparse.ArgumentParser(prog="python -m gimbal.tuning.autotune", description=__doc__.split("\n")[0])
    p.add_argument("rig")
    p.add_argument("--axis", choices=AXES, required=True)
    p.add_argument("--pid", action="store_true", help="a plain PID with one notch, against the whole disturbance")
    p.add_argument("--fast", action="store_true", help="loops that take over from the rig's own, [control.fast]")
    p.add_argument("--weigh", default="", help="with --fast: speedflight=3,helicopter=2, others 1")
    p.add_argument("--sections", type=int, default=6)
    p.add_argument("--seconds", type=float, default=120.0)
    p.add_argument("--seed", type=int, default=1)
    p.add_argument("--torque", help="npz of the disturbance densities: read if there, else written")
    a = p.parse_args(argv)
    rig = load_rig(a.rig).config
    loop = make_loop(rig, a.axis, _kept(a.torque, rig, a.pid, a.fast))
    start, low, high = start_point(rig, a.axis, a.pid, a.sections, a.fast)
    if a.fast:
        own = sum(s.axis == a.axis for s in rig.control.shaping)
        loop.beside = shaped(loop, np.exp(start_point(rig, a.axis, False, own)[0]), False)
        loop.before = tuple(jitters(loop, loop.beside.blend(loop.beside, 0.0)))
        more = dict(x.split("=") for x in a.weigh.split(",") if x)
        loop.weigh = np.array([float(more.get(c, 1.0)) for c in GOALS_URAD])

    def tell(generation: int, value: float) -> None:
        print(f"\rgeneration {generation}  cost {value:.4f} ", end="", file=sys.stderr)

    fixed = start[: 3 if a.fast else 0]  # one gain for all axes: the joints' loops differ in their shaping alone

    def of(q: Array) -> float:
        return cost(loop, np.concatenate([fixed, q]), low, high, a.pid)

    best, at = search(of, start[len(fixed) :], 0.15, a.seconds, a.seed, tell)
    at = np.concatenate([fixed, at])
    x = np.exp(np.clip(at, low, high))
    C = control_response(loop, x, a.pid)
    print(f"# {rig.name} {a.axis}: cost {best:.4f} (began at {cost(loop, start, low, high, a.pid):.4f})")
    for c, j in zip(GOALS_URAD, jitters(loop, C), strict=True):
        print(f"#   {c:12s} {1e6 * j:7.1f} µrad")
    for case, G in loop.cases:
        for b in (1.0,) if loop.beside is None else BLENDS[1:]:
            L = G * (C if loop.beside is None else loop.beside.blend(shaped(loop, x, False), b))
            print("#   " + of_loop(L, 2.0 * math.pi * loop.f, True, a.axis, case, b if a.fast else 0.0).text())
    print("# attitude, rate, integral gain: " + ", ".join(f"{v:.5g}" for v in x[:3]))
    if a.pid:
        mode = rig.structure.mode_hz[AXIS_INDEX[a.axis]]
        print(f"# derivative {x[3]:.5g}")
        print(f'{{ axis = "{a.axis}", centre_hz = {mode}, width_hz = {x[4] * mode:.5g}, depth = {x[5]:.5g} }},')
    for n in range(3, 0 if a.pid else len(x), 4):
        z, e, q, b = x[n : n + 4]
        zero = f"zero_hz = {z:.5g}, zero_damping = {e:.5g}"
        print(f'    {{ axis = "{a.axis}", {zero}, pole_hz = {q:.5g}, pole_damping = {b:.5g} }},')
    return 0


def _kept(path: str | None, rig: Rig, pid: bool, fast: bool) -> dict[str, tuple[Array, Array]]:
    if path:
        try:
            with np.load(path) as kept:
                return {c: (kept["f"], kept[c]) for c in GOALS_URAD}
        except OSError:
            pass
    found = flown_densities(rig, GOALS_URAD) if fast else densities(rig, not pid)
    if path:
        first = next(iter(found.values()))[0]
        kept_arrays: dict[str, Any] = {c: d for c, (_, d) in found.items()}
        np.savez(path, f=first, **kept_arrays)
    return found


if __name__ == "__main__":
    sys.exit(main())
