"""The built-in speed-flyer: point mass with lift and drag g k v², bank an Ornstein-Uhlenbeck process, swoops.

Parameters are Scenario.Flyer's. A swoop turns at the chase flyer's spiral rate and ends in a roll-out.
"""

from __future__ import annotations

import math

import numpy as np

from gimbal.config.scenario import Flyer
from gimbal.kernels.build import kernel
from gimbal.units import DEG, G0

FLYER_STATE = 15  # numbers that say where the flyer is
_ROLL_RATE = 60.0 * DEG
_ROLL_OUT_S = 3.0
_SWOOP_RATE = 60.0 * DEG  # of turn, as the chase flyer's spiral


def limits(flyer: Flyer) -> np.ndarray:
    """What ``fly_on`` takes as limits."""
    bank_low, bank_high = flyer.swoop_bank_deg
    return np.array(
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


def start(flyer: Flyer) -> np.ndarray:
    """State at the start: distance_m north of the origin, gliding north."""
    state = np.zeros(FLYER_STATE)
    state[:6] = flyer.distance_m, 0.0, 0.0, 22.0, 0.0, 7.5
    return state


@kernel
def fly_on(dt, first, last, noise, starts, signs, turns, limits, state, pos, vel):
    """Fly steps first to last; ``state`` (FLYER_STATE) is where it is, changed in place.

    starts, signs: swoops, each until it has turned by turns (rad).

    limits: lift low, high, drag low, high, speed low, high, bank sigma, tau, max, roll-out load, swoop rate rad/s,
    swoop bank low, high, swoop sink high.
    """
    p0, p1, p2, v0, v1, v2 = state[0], state[1], state[2], state[3], state[4], state[5]
    ou, bank, lift, out_s = state[6], state[7], state[8], state[9]
    swooping, index, sign, turned = state[10] > 0.5, int(state[11]), state[12], state[13]
    dive = state[14]  # share of the swoop in the wanted bank, smoothed
    for i in range(first, last):
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
    state[0], state[1], state[2], state[3], state[4], state[5] = p0, p1, p2, v0, v1, v2
    state[6], state[7], state[8], state[9] = ou, bank, lift, out_s
    state[10], state[11], state[12], state[13] = 1.0 if swooping else 0.0, float(index), sign, turned
    state[14] = dive
