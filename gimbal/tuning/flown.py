"""What a rig's feedback has to reject, found in flight: the error its loops left over, divided by their sensitivity.

The bound's disturbance (:mod:`gimbal.tuning.carrier_bound`) is what an ideal feed-forward would leave; this is what the
shipped one leaves, with friction, coupling and the pose's gain in it. The rig is flown without its fast loops.
"""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np

from gimbal.config.load import load_scenario
from gimbal.config.schema import Rig
from gimbal.frames import AXES
from gimbal.tuning.model import ANGLE_LEAK_S, Controller, make_axis, response, sampled_plant

Array = np.ndarray
SEEDS = (1, 2)
SECONDS = 60.0
WINDOW_S = 4.0
FALL_S = (7.0, 12.0)  # of cliff_jump: what its goal counts
LEAST_HZ = 0.3  # the metric's high-pass leaves nothing to divide below


def error_density(rig: Rig, carrier: str) -> tuple[Array, Array]:
    """Frequencies (Hz) and density (3, m) of the true camera's rotation above 0.5 Hz, rad²/Hz, lock mode."""
    from scipy.signal import welch

    from gimbal.loop.lockstep import run_lockstep
    from gimbal.metrics import SKIP_END_S, SKIP_START_S, fast_part
    from gimbal.rig.plant import PlantRig

    alone = rig.model_copy(update={"control": rig.control.model_copy(update={"fast": None})})
    rate, total = rig.loop_rate_hz, np.zeros(1)
    begin, end = FALL_S if carrier == "cliff_jump" else (SKIP_START_S, SECONDS - SKIP_END_S)
    for seed in SEEDS:
        rows: list[Array] = []
        plant = PlantRig(alone, load_scenario(carrier).config, seed=seed, seconds=SECONDS)
        run_lockstep(plant, alone, SECONDS, seed=seed, keep=rows)
        q = rows[0]["q_true"]
        x = fast_part(np.broadcast_to(q[len(q) // 2], q.shape), q, rate)[int(begin * rate) : int(end * rate)]
        f, density = welch(x, rate, nperseg=int(WINDOW_S * rate), axis=0)
        total = total + density.T / len(SEEDS)
    return f, total


def flown_density(rig: Rig, f: Array, error: Array) -> Array:
    """Torque density (3, m) about camera axes that makes this error density under the rig's loops."""
    from gimbal.tuning.bound import GYRO, metric_response

    out, use = np.zeros_like(error), (f >= LEAST_HZ) & (f < 0.499 * rig.loop_rate_hz)
    fu = f[use]
    z = np.exp(2j * np.pi * fu / rig.loop_rate_hz)
    seen = metric_response(fu, rig.loop_rate_hz) ** 2
    for k, name in enumerate(AXES):
        axis = make_axis(rig, name)
        P = response(*sampled_plant(axis), z)
        L = -P[:, GYRO, 0] * Controller(rig, axis).response(z)
        S, T = np.abs(1.0 / (1.0 + L)) ** 2, np.abs(L / (1.0 + L)) ** 2
        noise = 2.0 * axis.gyro_noise**2 / axis.imu_rate_hz / (2.0 * np.pi * fu) ** 2 * T
        to_angle = np.abs(P[:, 2, 1] * (1.0 + 1.0 / (2j * np.pi * fu * ANGLE_LEAK_S))) ** 2
        out[k, use] = np.maximum(error[k, use] / seen - noise, 0.0) / (S * to_angle)
    return out


def flown_densities(rig: Rig, carriers: Iterable[str]) -> dict[str, tuple[Array, Array]]:
    """Per carrier: frequencies and torque density (3, m)."""
    found = {c: error_density(rig, c) for c in carriers}
    return {c: (f, flown_density(rig, f, error)) for c, (f, error) in found.items()}
