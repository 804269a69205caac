"""What the carrier does to the mount: attitude and position of the base over time, seeded, as samples for a spline.

Figures and their sources are in docs/reference_rig.md and arrive through Scenario. A carrier is a path (slow attitude
and position) and a shake in base axes on top of it, so that the shake's RMS holds in base axes.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from gimbal.config.scenario import Flyer, Point, Scenario, Speedflight, Track
from gimbal.errors import ConfigError
from gimbal.plant import chase, track_file
from gimbal.plant.carriers import camera_car, helicopter, speedflight, still, train_roof, turns
from gimbal.plant.cliff_jump import cliff_jump
from gimbal.plant.motion import PATH_RATE_HZ, Carried, Motion, continuous, resample, times
from gimbal.plant.shaping import band, q_axis, q_mul, rotate, synthesize
from gimbal.plant.spline import PAD

_BUILDERS: dict[str, Callable[[Any, np.random.Generator, np.ndarray], Carried]] = {
    "still": still,
    "turns": turns,
    "speedflight": speedflight,
    "helicopter": helicopter,
    "camera_car": camera_car,
    "train_roof": train_roof,
    "cliff_jump": cliff_jump,
}
_STAY = ("still", "turns", "cliff_jump")  # carriers that never follow a target


def make(scenario: Scenario, seed: int, seconds: float, track: str | None = None) -> Motion:
    """The motion of a scenario's carrier and target for t = 0 to seconds.

    Args:
        track: file that takes the place of the scenario's target.

    Raises:
        ConfigError: a bad or missing track.
    """
    carrier, target = scenario.carrier, scenario.target
    if track is not None:
        distance = getattr(target, "distance_m", 40.0)
        target = Track(kind="track", file=track, distance_m=distance)
    t = times(seconds)
    carried = _BUILDERS[carrier.kind](carrier, np.random.default_rng([seed, 20]), t)
    target_N: np.ndarray | None = None
    path: chase.Path | None = None
    if isinstance(target, Track):
        lead = _recorded(target, seconds)
        if carrier.kind not in _STAY:
            path = chase.shadow(lead, target.distance_m)
        target_N = lead.pos
    elif isinstance(carrier, Speedflight):
        aim = target if isinstance(target, Flyer) else Flyer(kind="flyer")
        pad_s = PAD / PATH_RATE_HZ
        lead, path = chase.flight_with_chase(aim, carrier, seed, seconds + 2.0 * pad_s, pad_s)
        target_N = lead.pos
    if path is not None:
        carried = _along(carried, path, t)
    pos = carried.pos_N + rotate(carried.q_path, carried.shift_B)
    q = q_mul(carried.q_path, carried.q_local)
    motion = Motion(continuous(q), pos, wind_Nm=carried.wind_Nm)
    if isinstance(target, Track) or (isinstance(target, Flyer) and isinstance(carrier, Speedflight)):
        motion.target_N = target_N
    elif isinstance(target, Flyer):
        motion.target_N = _ahead(carried, target, np.random.default_rng([seed, 21]), t)
    elif isinstance(target, Point):
        rows = times(seconds, PATH_RATE_HZ).size
        motion.target_N = carried.pos_N[PAD] + np.tile(np.array(target.pos_N_m), (rows, 1))
    return motion


def _recorded(target: Track, seconds: float) -> chase.Path:
    """A track file as a path from the pads before t = 0 to those after the end, beginning distance_m north."""
    if not target.file:
        raise ConfigError(
            "The scenario's target is a track, but no file is named. Add --track FILE, or file = ... under [target]."
        )
    t, pos, vel = track_file.load(target.file, target.start_s)
    pos, vel, acc = track_file.smooth(t, pos, vel)
    at = times(seconds, PATH_RATE_HZ)
    out = track_file.hermite(t, pos, vel, acc, at)
    out[:, 0] += target.distance_m
    n = at.size
    return chase.Path(out, np.gradient(out, 1.0 / PATH_RATE_HZ, axis=0), np.zeros(n), np.zeros(n))


def _along(carried: Carried, path: chase.Path, t: np.ndarray) -> Carried:
    """The carrier's shake on a followed path instead of its own: heading along it, banked as the turn needs."""
    slow = np.column_stack([path.pos, path.heading, path.bank])
    slow = resample(slow, PATH_RATE_HZ, -PAD / PATH_RATE_HZ, t)
    q = q_mul(q_axis(2, slow[:, 3]), q_axis(0, slow[:, 4]))
    return Carried(q, slow[:, :3], carried.q_local, carried.shift_B, carried.wind_Nm)


def _ahead(carried: Carried, target: Flyer, rng: np.random.Generator, t: np.ndarray) -> np.ndarray:
    """A flyer that keeps its station ahead of a carrier with a path of its own, wandering by some metres."""
    stride = int(round((t[1] - t[0]) ** -1 / PATH_RATE_HZ))
    rows = times(t[-PAD - 1], PATH_RATE_HZ)
    pos = resample(carried.pos_N[::stride], PATH_RATE_HZ, t[0], rows)
    vel = np.gradient(pos, 1.0 / PATH_RATE_HZ, axis=0)
    smooth = np.exp(-0.5 * (np.arange(-100, 101) / 40.0) ** 2)
    smooth /= smooth.sum()
    padded = np.pad(vel, ((100, 100), (0, 0)), mode="edge")
    vel = np.column_stack([np.convolve(padded[:, k], smooth, mode="valid") for k in range(2)])
    speed = np.hypot(vel[:, 0], vel[:, 1])
    forward = np.where(speed[:, None] > 1.0, vel / np.maximum(speed, 1.0)[:, None], np.array([1.0, 0.0]))
    wander = np.stack(
        [synthesize(rng, rows.size, PATH_RATE_HZ, band(0.02, 0.4), rms=1.0) for _ in range(3)],
        axis=1,
    )
    out = pos + np.tanh(wander / 2.0) * np.array([6.0, 6.0, 4.0])
    out[:, :2] += target.distance_m * forward
    return out
