"""Bounds of a rig on a carrier, axis by axis: disturbance recorded, split into stationary parts, bounded, kept."""

from __future__ import annotations

import contextlib
import hashlib
import json
import math
import os
from pathlib import Path
from typing import Any

import numpy as np

from gimbal.config.scenario import Scenario
from gimbal.config.schema import Rig
from gimbal.errors import GimbalError
from gimbal.frames import AXES
from gimbal.metrics import SKIP_END_S, SKIP_START_S

PACKAGE = Path(__file__).resolve().parent.parent
TOP_HZ = 300.0  # of the fitted spectra
DRAWN_HZ = np.geomspace(0.2, 300.0, 160)  # where the robust bound's own spectrum is kept
SOURCES = ("bound", "carrier_bound", "carrier_torque", "model", "spectrum", "margins")
KEYS = ("bound_lqg_urad", "bound_robust_urad")


class BoundWrong(GimbalError):
    """The loop is stiller than the least any linear controller can do: the bound is wrong."""


def _total(parts: dict[str, float]) -> dict[str, float]:
    return {**parts, "total": math.sqrt(sum(v * v for v in parts.values()))}


def compute(rig: Rig, scenario: Scenario, seconds: float, seed: int) -> dict[str, Any]:
    """Both bounds and the sensor floor (µrad), and the disturbance (N m RMS above 0.5 Hz, and what isn't foreseen)."""
    from gimbal.tuning.bound import Problem, bound, sensor_floor
    from gimbal.tuning.carrier_torque import RATE_HZ, carry, disturbance
    from gimbal.tuning.model import make_axis
    from gimbal.tuning.spectrum import fit, stationary_groups

    whole, rest = disturbance(rig, carry(rig, scenario, seconds, seed), seed)
    use = slice(int(SKIP_START_S * RATE_HZ), len(rest) - int(SKIP_END_S * RATE_HZ))
    f, groups = stationary_groups(rest[use], RATE_HZ)
    out: dict[str, Any] = {key: {} for key in (*KEYS, "floor_urad", "lqg_peak", "robust_peak", "robust_urad2_Hz")}
    for k, name in enumerate(AXES):
        axis = make_axis(rig, name)
        lqg = robust = 0.0
        peaks: list[tuple[float, float]] = []
        drawn = np.zeros_like(DRAWN_HZ)
        for share, density in groups:
            b = bound(
                Problem(axis, fit(f, density[k], TOP_HZ), axis.gyro_noise * math.sqrt(axis.rate_hz / axis.imu_rate_hz))
            )
            lqg += share * b.lqg**2
            robust += share * b.robust**2
            drawn += share * 1e12 * np.interp(DRAWN_HZ, b.f, b.density)
            peaks.append((b.lqg_peak, b.robust_peak))
        out["bound_lqg_urad"][name] = 1e6 * math.sqrt(lqg)
        out["bound_robust_urad"][name] = 1e6 * math.sqrt(robust)
        out["floor_urad"][name] = 1e6 * sensor_floor(axis)
        out["robust_urad2_Hz"][name] = [float(f"{x:.4g}") for x in drawn]
        out["lqg_peak"][name], out["robust_peak"][name] = (max(p[i] for p in peaks) for i in (0, 1))
    for key in (*KEYS, "floor_urad"):
        out[key] = _total(out[key])
    out["groups"] = [share for share, _ in groups]
    for key, x in (("disturbance_Nm_rms", whole), ("unforeseen_Nm_rms", rest)):
        df = f[1] - f[0]
        high = f >= 0.5
        mean = stationary_groups(x[use], RATE_HZ, 1)[1][0][1]
        out[key] = {a: float(np.sqrt(np.sum(mean[k][high]) * df)) for k, a in enumerate(AXES)}
    return out


def _key(rig: Rig, scenario: Scenario, seconds: float, seed: int) -> str:
    text = json.dumps([rig.model_dump(exclude={"control", "name", "devices"}), scenario.model_dump(), seconds, seed])
    digest = hashlib.sha256(text.encode())
    for path in [PACKAGE / "tuning" / f"{name}.py" for name in SOURCES] + sorted((PACKAGE / "plant").glob("*.py")):
        digest.update(path.read_bytes())
    return digest.hexdigest()[:20]


def known_bound(rig: Rig, scenario: Scenario, seconds: float, seed: int, say: Any = None) -> dict[str, Any]:
    """:func:`compute`, from the cache folder where it was computed before; ``say`` is told what takes its time."""
    from gimbal.kernels.build import cache_root

    file = cache_root() / "bounds" / f"{_key(rig, scenario, seconds, seed)}.json"
    try:
        return dict(json.loads(file.read_text()))
    except (OSError, ValueError):
        pass
    if say:
        say(f"bounds of {scenario.name} on {rig.name}, seed {seed}: computed once, one to three minutes")
    found = compute(rig, scenario, seconds, seed)
    with contextlib.suppress(OSError):
        file.parent.mkdir(parents=True, exist_ok=True)
        part = file.with_suffix(f".{os.getpid()}")
        part.write_text(json.dumps(found))
        part.replace(file)
    return found


def bound_keys(row: dict[str, Any], found: dict[str, Any]) -> dict[str, Any]:
    """The contract's keys for a row of results; ``bound_ratio`` is None outside lock mode.

    Raises:
        BoundWrong: the row's jitter is below the LQG bound.
    """
    jitter = row["jitter_urad_rms"] if row["mode"] == "lock" else None
    keys: dict[str, Any] = {key: found[key] for key in KEYS}
    keys["sensor_floor_urad"] = found["floor_urad"]
    keys["bound_ratio"] = jitter and {a: jitter[a] / found["bound_robust_urad"][a] for a in jitter}
    if jitter and jitter["total"] < found["bound_lqg_urad"]["total"]:
        raise BoundWrong(
            f"{row['scenario']} on {row['rig']}: jitter {jitter['total']:.1f} µrad is below bound_lqg, "
            f"{found['bound_lqg_urad']['total']:.1f} µrad, which no linear controller can be: the bound is wrong. "
            "Please report this with the rig, the scenario and the seed."
        )
    return keys
