"""The five carriers on an outside plant: MuJoCo's dynamics with other masses, motors and friction, run_lockstep's loop.

    python -m tests.mujoco_carriers torque                      # lock, a row for every carrier
    python -m tests.mujoco_carriers torque_fast train_roof --seconds 20

The carrier's motion and wind are the project's, the rest is tests/mujoco_rig.py: no line of the project's own plant.
The controller is told that rig's masses, friction, modes and motors, as a calibration would find them, and keeps its
gains.
"""

from __future__ import annotations

import argparse
import math
import sys

import numpy as np

import gimbal
from gimbal.config.load import load_rig, load_scenario
from gimbal.config.schema import Rig
from gimbal.plant.base_motion import make
from gimbal.plant.motion import RATE_HZ, Motion, resample
from gimbal.plant.spline import PAD
from tests.mujoco_rig import INDEX, MODE_HZ, STAGES, MujocoRig, rotation_rate

CARRIERS = ("speedflight", "helicopter", "camera_car", "train_roof", "cliff_jump")


def told(rig: Rig) -> Rig:
    """The rig with what MujocoRig is made of; gains and structure as they were."""
    stages = {}
    for name, (mass, inertia, com, origin) in STAGES.items():
        values = {"mass_kg": mass, "inertia_kg_m2": inertia, "com_m": com, "origin_m": origin}
        values = {k: tuple(map(float, v.split())) if isinstance(v, str) else v for k, v in values.items()}
        stages[name] = getattr(rig.body, name).model_copy(update=values)
    modes = tuple(MODE_HZ[name] for name in sorted(INDEX, key=INDEX.__getitem__))
    friction = {"coulomb_Nm": 0.015, "breakaway_Nm": 0.015, "viscous_Nm_s_rad": 0.003}
    return rig.model_copy(
        update={
            "body": rig.body.model_copy(update=stages),
            "friction": rig.friction.model_copy(update=friction),
            "cable": rig.cable.model_copy(update={"spring_Nm_rad": (0.0, 0.0, 0.0), "hysteresis_Nm": 0.0}),
            "cogging": rig.cogging.model_copy(update={"torque_Nm": (0.0, 0.0)}),
            "structure": rig.structure.model_copy(update={"mode_hz": modes}),
            "motors": rig.motors.model_copy(update={"torque_bandwidth_hz": 250.0}),
        }
    )


class Carried:
    """A motion of the project's carriers, as MujocoRig asks for it: a chunk of substeps at a time."""

    CHUNK = 2000

    def __init__(self, motion: Motion, step_s: float) -> None:
        self.motion, self.step_s, self.chunk = motion, step_s, -1

    def _pose(self, t: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        q = resample(self.motion.q_NB, RATE_HZ, -PAD / RATE_HZ, t)
        return q / np.linalg.norm(q, axis=1, keepdims=True), resample(self.motion.pos_N, RATE_HZ, -PAD / RATE_HZ, t)

    def at(self, i: int) -> tuple[np.ndarray, ...]:
        """q_NB, omega_B, alpha_B, velocity and acceleration in N at substep i."""
        chunk, row = divmod(i, self.CHUNK)
        if chunk != self.chunk:
            self.chunk, h = chunk, 1e-4
            t = (chunk * self.CHUNK + np.arange(self.CHUNK)) * self.step_s
            (q0, x0), (q1, x1), (q2, x2) = (self._pose(t + k * h) for k in (-1, 0, 1))
            first, second = rotation_rate(q0, q1, h), rotation_rate(q1, q2, h)
            turn = (q1, 0.5 * (first + second), (second - first) / h)
            self.rows = (*turn, (x2 - x0) / (2 * h), (x2 - 2 * x1 + x0) / h**2)
        return tuple(r[row] for r in self.rows)

    def wind(self, i: int) -> np.ndarray:
        """(3,) N m beside the motors' torque on the roll, pitch, yaw joint at substep i."""
        samples = self.motion.wind_Nm
        if samples is None:
            return np.zeros(3)
        u = i * self.step_s * self.motion.wind_rate_hz + PAD
        row = int(u)
        return samples[row] + (u - row) * (samples[row + 1] - samples[row])


class MujocoCarried(MujocoRig):
    """MujocoRig on one of the project's carriers."""

    def __init__(self, carrier: str, seconds: float, delay_ms: float) -> None:
        super().__init__(delay_ms=delay_ms)
        self.scenario, self.seconds = load_scenario(carrier).config, seconds

    def open(self, info) -> None:
        self.motion = make(self.scenario, int(info["seed"]), self.seconds)
        super().open(info)

    def make_carrier(self, seed: int, step_s: float) -> Carried:
        return Carried(self.motion, step_s)


def fly(rig_name: str, carrier: str, seconds: float, seed: int = 1) -> dict:
    """Result keys of docs/contract.md, lock mode."""
    rig = told(load_rig(rig_name).config)
    plant = MujocoCarried(carrier, seconds, rig.delay.sample_to_torque_ms)
    return gimbal.run_lockstep(plant, rig, seconds, seed=seed)


def main(argv: list[str] | None = None) -> int:
    p = argparse.ArgumentParser(prog="python -m tests.mujoco_carriers", description=__doc__.split("\n")[0])
    p.add_argument("rig")
    p.add_argument("carriers", nargs="*", default=CARRIERS)
    p.add_argument("--seconds", type=float, default=60.0)
    p.add_argument("--seed", type=int, default=1)
    a = p.parse_args(argv)
    bad = False
    for carrier in a.carriers:
        r = fly(a.rig, carrier, a.seconds, a.seed)
        total = r["jitter_urad_rms"]["total"]
        print(f"{carrier:12s} {total:8.1f} µrad   {', '.join(r['faults']) or 'no fault'}", flush=True)
        bad = bad or bool(r["faults"]) or not math.isfinite(total)
    return int(bad)


if __name__ == "__main__":
    sys.exit(main())
