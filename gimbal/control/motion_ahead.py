"""Joint motion at the moment the torque acts: angle, rate and acceleration, from encoders and gyro.

A Kalman filter per joint (R. E. Kalman, J. Basic Engineering 82(1), 1960) with steady gains, made from the config.
State: joint angle, and rate, acceleration, jerk of the base's motion as this joint sees it; the acceleration is a
second-order low-pass of white noise. The camera's own rotation, known from the gyro, is an input and not a state: so
what is predicted is the base's doing alone, and feeding it forward closes no loop. How fast the gains are follows the
acceleration that is there: a bench gets slow gains and no quantisation noise, buffeting gets fast ones.

The encoder sits on the motor, and the structure between motor and stage gives by its torque: what it gives by is
simulated and taken off (:mod:`gimbal.control.compliance`).
"""

from __future__ import annotations

import numpy as np

from gimbal.control.compliance import COMPLIANCE_PARAMS, COMPLIANCE_STATE, stretch
from gimbal.kernels.build import kernel

STATES = 4
LEVELS = 8
LINE = 16  # ticks of torque history
AGE_S = 0.1  # over which ages are smoothed; one reading counts as at most a tick off
OLDEST_S = 0.025  # that counts: beyond, something is wrong
TWO_PI = 6.283185307179586

AHEAD_PARAMS = np.dtype(
    [
        ("F", "f8", (STATES, STATES)),  # one tick
        ("ahead", "f8", (STATES, STATES)),  # from the reading's moment to the torque's
        ("gain", "f8", (LEVELS, STATES)),
        ("power", "f8", LEVELS),  # (rad/s²)²: mean square of the acceleration estimate when the level fits
        ("forget", "f8"),  # of the mean square, per tick
        ("bend", "f8", (3, 2)),  # per joint: share of acceleration and of jerk that its mode adds by itself
        ("compliance", COMPLIANCE_PARAMS),
        ("line_s", "f8"),  # from a tick's gyro sample to the mean moment of its torque,
        ("rate_hz", "f8"),  # of the ticks
        ("fresh", "u1"),  # the camera's rate is this tick's, not that of the tick before
        ("horizon_s", "f8"),
        ("restart_ns", "i8"),
    ],
    align=True,
)
AHEAD_STATE = np.dtype(
    [
        ("x", "f8", (3, STATES)),
        ("level", "i8", 3),
        ("power", "f8", 3),
        ("seen", "u1", 3),
        ("ticks", "i8", 3),  # since the last reading
        ("line", "f8", (LINE, 3)),  # N m through the spring between motor and stage, as commanded
        ("head", "i8"),
        ("age", "f8", 3),  # s, of the readings and of the gyro's samples, smoothed
        ("imu_age", "f8"),
        ("compliance", COMPLIANCE_STATE),
        ("link", "f8", 3),  # rad, reading less stretch, of the tick before
        ("step", "f8", 3),  # rad, its change since
        ("camera_turn", "f8", 3),  # rad/s about the joints' axes, of the camera in N,
        ("across", "f8"),  # and of the outer joint's axis what lies along the inner one's
        ("angle", "f8", 3),  # at the torque's moment, by axis index
        ("rate", "f8", 3),  # of the base's motion alone
        ("accel", "f8", 3),
    ],
    align=True,
)


@kernel
def _restart(s, a, angle):
    s["x"][a, 0] = angle
    for i in range(1, STATES):
        s["x"][a, i] = 0.0
    s["level"][a] = LEVELS - 3
    s["power"][a] = 0.0
    s["seen"][a] = 1
    s["ticks"][a] = 0
    s["link"][a] = angle


@kernel
def _follow_level(p, s, a):
    """One level up or down when the acceleration found is no longer the one the gains were made for."""
    x = s["x"][a, 2]
    s["power"][a] += p["forget"] * (x * x - s["power"][a])
    level = s["level"][a]
    if level < LEVELS - 1 and s["power"][a] > 2.0 * p["power"][level]:
        s["level"][a] = level + 1
        s["power"][a] = max(s["power"][a], p["power"][level + 1])
    elif level > 0 and s["power"][a] < 0.6 * p["power"][level - 1]:
        s["level"][a] = level - 1
        s["power"][a] = min(s["power"][a], p["power"][level - 1])


@kernel
def measure_ages(s, meas, dt_s):
    """How old readings and samples are when the tick begins: what the line and the loop's phase make of it."""
    k = dt_s / AGE_S
    for a in range(3):
        age = max(1e-9 * meas["joint_age_ns"][a], 0.0)
        if meas["joint_new"][a] and age < OLDEST_S:
            s["age"][a] += k * min(max(age - s["age"][a], -dt_s), dt_s) if s["seen"][a] else age - s["age"][a]
    age = max(1e-9 * meas["imu_age_ns"], 0.0)
    if age < OLDEST_S:
        s["imu_age"] += k * min(max(age - s["imu_age"], -dt_s), dt_s) if s["seen"][0] else age - s["imu_age"]


@kernel
def _through(p, s, a):
    """Torque (N m) that acts on joint a at its reading: of so long before it as gyro sample to torque takes."""
    late = (s["age"][a] + p["line_s"] - s["imu_age"]) * p["rate_hz"] - 1.0  # the last one kept is the tick before's
    late = min(max(late, 0.0), LINE - 2.0)
    whole = int(late)
    new = s["line"][(s["head"] - whole) % LINE, a]
    return new + (late - whole) * (s["line"][(s["head"] - whole - 1) % LINE, a] - new)


@kernel
def _link(p, s, a, meas, through, turned):
    """Reading less the stretch; ``turned`` is what the stage has turned about this axis since the tick before."""
    return meas["joint_angle_meas"][a] - stretch(p["compliance"], s["compliance"], a, through, turned)


@kernel
def look_ahead(p, s, order, meas, camera_rate, dt_s):
    """One tick: take in the new readings; fill angle, rate, accel.

    Args:
        order: (3,) axis index of each joint, outer to inner.
        camera_rate: (3,) joint rates that the camera's measured rotation alone makes, rad/s, by axis index.
    """
    F, G = p["F"], p["ahead"]
    measure_ages(s, meas, dt_s)
    for k in range(2, -1, -1):
        a = order[k]
        valid = meas["joint_valid"][a] != 0
        if not valid and not s["seen"][a]:
            continue
        through = _through(p, s, a)
        own = dt_s * camera_rate[a]
        turned = dt_s * s["camera_turn"][a] - (s["across"] * s["step"][order[2]] if k == 0 else 0.0)
        reading = _link(p, s, a, meas, through, turned)
        if not s["seen"][a] or meas["joint_age_ns"][a] > p["restart_ns"]:
            _restart(s, a, reading)
        x0, x1, x2, x3 = s["x"][a, 0], s["x"][a, 1], s["x"][a, 2], s["x"][a, 3]
        y0 = x0 + F[0, 1] * x1 + F[0, 2] * x2 + F[0, 3] * x3 + own
        y1 = x1 + F[1, 2] * x2 + F[1, 3] * x3
        y2 = F[2, 2] * x2 + F[2, 3] * x3
        y3 = F[3, 2] * x2 + F[3, 3] * x3
        link = y0
        if valid and meas["joint_new"][a]:
            r = reading - y0
            r -= TWO_PI * np.floor(r / TWO_PI + 0.5)  # the shorter way round
            link = y0 + r
            K = p["gain"][s["level"][a]]
            per = 1.0 / (s["ticks"][a] + 1)  # gains of one reading a tick; with fewer they would swing up
            y0 += K[0] * r
            y1 += per * K[1] * r
            y2 += per * per * K[2] * r
            y3 += per * per * per * K[3] * r
            s["ticks"][a] = 0
        else:
            s["ticks"][a] += 1
        s["x"][a, 0], s["x"][a, 1], s["x"][a, 2], s["x"][a, 3] = y0, y1, y2, y3
        _follow_level(p, s, a)
        s["angle"][a] = y0 + G[0, 1] * y1 + G[0, 2] * y2 + G[0, 3] * y3 + p["horizon_s"] * camera_rate[a]
        s["rate"][a] = y1 + G[1, 2] * y2 + G[1, 3] * y3
        accel = G[2, 2] * y2 + G[2, 3] * y3
        jerk = G[3, 2] * y2 + G[3, 3] * y3
        s["accel"][a] = accel + p["bend"][a, 0] * accel + p["bend"][a, 1] * jerk
        step = link - s["link"][a]
        s["link"][a], s["step"][a] = link, step - TWO_PI * np.floor(step / TWO_PI + 0.5)


@kernel
def remember_through(s, through):
    """Store the torque (3,) that this tick's command sends through each joint's spring, by axis index."""
    s["head"] = (s["head"] + 1) % LINE
    for a in range(3):
        s["line"][s["head"], a] = through[a]
