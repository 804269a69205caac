"""A rig that isn't what its config says: flown on a carrier by the controller made for the config.

python -m gimbal.tuning.perturbed torque train_roof --seconds 60      # a row of jitter for every case
python -m gimbal.tuning.perturbed torque train_roof --bound           # and its ratio to the bound of that very plant
"""

from __future__ import annotations

import argparse
import itertools
import sys
from typing import Any

from gimbal.config.load import load_rig, load_scenario
from gimbal.config.schema import Rig
from gimbal.loop.lockstep import run_lockstep
from gimbal.rig.plant import PlantRig
from gimbal.tuning.carrier_bound import known_bound


def _change(rig: Rig, section: str, **values: Any) -> Rig:
    return rig.model_copy(update={section: getattr(rig, section).model_copy(update=values)})


def _inertia(rig: Rig, factor: float) -> Rig:
    stages = {
        name: body.model_copy(update={"inertia_kg_m2": tuple(factor * x for x in body.inertia_kg_m2)})
        for name, body in ((n, getattr(rig.body, n)) for n in rig.kinematic_order)
    }
    return _change(rig, "body", **stages)


def _mode(rig: Rig, factor: float) -> Rig:
    return _change(rig, "structure", mode_hz=tuple(factor * x for x in rig.structure.mode_hz))


def _friction(rig: Rig, factor: float) -> Rig:
    f = rig.friction
    return _change(
        rig,
        "friction",
        coulomb_Nm=factor * f.coulomb_Nm,
        breakaway_Nm=factor * f.breakaway_Nm,
        viscous_Nm_s_rad=factor * f.viscous_Nm_s_rad,
    )


def perturbed(rig: Rig) -> dict[str, Rig]:
    """The rig as it might be, by what is wrong with it."""
    late = rig.delay.sample_to_torque_ms + 1.0
    return {
        "as told": rig,
        "inertia -30 %": _inertia(rig, 0.7),
        "inertia +30 %": _inertia(rig, 1.3),
        "friction x 3": _friction(rig, 3.0),
        "mode -20 %": _mode(rig, 0.8),
        "mode +20 %": _mode(rig, 1.2),
        "delay +1 ms": _change(rig, "delay", sample_to_torque_ms=late),
    }


def fly(told: Rig, real: Rig, carrier: str, seconds: float, seed: int = 1) -> dict[str, Any]:
    """Result keys of docs/contract.md (lock) of the controller of ``told`` on the plant ``real``, and "fast_share"."""
    rows: list[Any] = []
    plant = PlantRig(real, load_scenario(carrier).config, seed=seed, seconds=seconds)
    result = run_lockstep(plant, told, seconds, seed=seed, keep=rows)
    return {**result, "fast_share": float(rows[0]["fast_share"].mean())}


def main(argv: list[str] | None = None) -> int:
    """Entry of ``python -m gimbal.tuning.perturbed``; 1 where a case ended in a fault."""
    p = argparse.ArgumentParser(prog="python -m gimbal.tuning.perturbed", description=__doc__.split("\n")[0])
    p.add_argument("rig")
    p.add_argument("carriers", help="names, with commas")
    p.add_argument("--seconds", type=float, default=60.0)
    p.add_argument("--seed", type=int, default=1)
    p.add_argument("--bound", action="store_true", help="the perturbed plants' own bounds: minutes each, then kept")
    a = p.parse_args(argv)
    told, bad = load_rig(a.rig).config, False
    for carrier, (case, real) in itertools.product(a.carriers.split(","), perturbed(told).items()):
        r = fly(told, real, carrier, a.seconds, a.seed)
        total = r["jitter_urad_rms"]["total"]
        line = f"{carrier:12s} {case:14s} {total:8.1f} µrad  fast {r['fast_share']:.2f}"
        if a.bound:
            least = known_bound(real, load_scenario(carrier).config, a.seconds, a.seed)["bound_robust_urad"]["total"]
            line += f"  bound {least:6.1f}  ratio {total / least:5.2f}"
        print(f"{line}  {', '.join(r['faults']) or 'no fault'}", flush=True)
        bad = bad or bool(r["faults"])
    return int(bad)


if __name__ == "__main__":
    sys.exit(main())
