"""The estimator on the simulated rig: tilt error on each carrier beside what the accelerometer alone would leave.

``python -m gimbal.tuning.plant_table`` flies each carrier in lock mode through the shipped tick, prints the table of
docs/estimation.md. It measures with the control as it is: a camera that is thrown about is part of the run.
"""

from __future__ import annotations

import argparse
import math
from typing import Any

import numpy as np

from gimbal.config.load import load_rig, load_scenario
from gimbal.loop.lockstep import run_lockstep
from gimbal.metrics import axes_N
from gimbal.rig.plant import PlantRig
from gimbal.units import DEG

CARRIERS = ("speedflight", "helicopter", "camera_car", "train_roof", "cliff_jump")
SKIP_S = 5.0
OUTAGE_FROM_S, OUTAGE_S, BACK_S = 25.0, 60.0, 5.0


class Aided:
    """A simulated rig whose GNSS fixes are lost from ``lost_s[0]`` to ``lost_s[1]``, in s after the start."""

    def __init__(self, rig: PlantRig, lost_s: tuple[float, float] | None) -> None:
        self._rig, self._lost_s, self._t0_ns = rig, lost_s, 0
        self.open, self.write, self.safe, self.close, self.truth = (
            self._open,
            rig.write,
            rig.safe,
            rig.close,
            rig.truth,
        )

    def _open(self, info: dict[str, Any]) -> None:
        self._t0_ns = int(info["t0_ns"])
        self._rig.open(info)

    def read(self, sense: np.ndarray) -> int:
        status = self._rig.read(sense)
        t_s = (int(sense["t_ns"][0]) - self._t0_ns) * 1e-9
        if self._lost_s is not None and self._lost_s[0] < t_s < self._lost_s[1]:
            sense["gnss_valid"] = 0
        return status


def fly(carrier: str, seed: int, seconds: float, outage: bool = False) -> dict[str, Any]:
    """One run in lock mode; the tilt errors (deg) of its ticks and what the seed's accelerometer leaves.

    Returns:
        ``t_s`` and ``error_deg`` (n,); ``floor_deg``: the level camera's tilt as this seed's accelerometer shows it, by
        bias, scale and the triad's own misalignment; ``bias_deg``: by its bias alone; ``faults``.
    """
    rig = load_rig("torque").config
    scenario = load_scenario(carrier).config
    plant = PlantRig(rig, scenario, seed=seed, seconds=seconds)
    lost_s = (OUTAGE_FROM_S, OUTAGE_FROM_S + OUTAGE_S) if outage else None
    history: list[Any] = []
    result = run_lockstep(Aided(plant, lost_s), rig, seconds, mode="lock", seed=seed, keep=history)
    assert plant.plant is not None
    p, h = plant.plant.params[0], history[0]
    up = np.array([0.0, 0.0, -rig.estimation.gravity_m_s2])
    seen = p["accel_M"] @ up - up
    return {
        "t_s": (h["t_ns"] - h["t_ns"][0]) * 1e-9,
        "error_deg": tilt_error_deg(h["q_true"], h["q_est"]),
        "bias_deg": math.hypot(*p["accel_bias"][:2]) / -up[2] / DEG,
        "floor_deg": math.hypot(*(seen + p["accel_bias"])[:2]) / -up[2] / DEG,
        "faults": result["faults"],
    }


def tilt_error_deg(q_true: np.ndarray, q_est: np.ndarray) -> np.ndarray:
    """Angle (n,) between true and estimated down as the camera sees them, of attitudes (n, 4)."""
    a, b = (np.stack([axis[:, 2] for axis in axes_N(q)], -1) for q in (q_true, q_est))
    return np.degrees(np.arctan2(np.linalg.norm(np.cross(a, b), axis=-1), np.sum(a * b, axis=-1)))


def rms(run: dict[str, Any], from_s: float, to_s: float = math.inf) -> float:
    inside = (run["t_s"] >= from_s) & (run["t_s"] < to_s)
    return math.sqrt(float(np.mean(run["error_deg"][inside] ** 2)))


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(prog="python -m gimbal.tuning.plant_table", description=__doc__.splitlines()[0])
    parser.add_argument("carriers", nargs="*", default=CARRIERS, help=f"of {', '.join(CARRIERS)}; default all")
    parser.add_argument("--seeds", type=int, default=1, metavar="K", help="seeds 1 to K")
    parser.add_argument("--seconds", type=float, default=60.0)
    parser.add_argument("--outage", action="store_true", help="90 s, without GNSS from 25 to 85 s")
    args = parser.parse_args()
    seconds = OUTAGE_FROM_S + OUTAGE_S + BACK_S if args.outage else args.seconds
    rig = load_rig("torque").config
    print(f"tilt error, deg; bias over g, 1 sigma of each axis: {rig.imu.accel_bias_mg * 1e-3 / DEG:.2f}")
    print(f"{'carrier':12s} seed  RMS {SKIP_S:g}s-  at {SKIP_S:g}s{'  end of outage' if args.outage else ''}"
          "  seed's bias  with triad  faults")  # fmt: skip
    for carrier in args.carriers:
        for seed in range(1, args.seeds + 1):
            run = fly(carrier, seed, seconds, args.outage)
            end = OUTAGE_FROM_S + OUTAGE_S
            lost = f"  {rms(run, end - 5.0, end):13.2f}" if args.outage else ""
            print(
                f"{carrier:12s} {seed:4d}  {rms(run, SKIP_S):7.2f}  {rms(run, SKIP_S, SKIP_S + 0.1):5.2f}{lost}"
                f"  {run['bias_deg']:11.2f}  {run['floor_deg']:10.2f}  {' '.join(run['faults']) or '-'}",
                flush=True,
            )


if __name__ == "__main__":
    main()
