"""`gimbal sim --worth`: what each feed-forward term is worth, by flying without it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from gimbal.config.load import Loaded, load_rig
from gimbal.config.scenario import Scenario
from gimbal.config.schema import Feedforward, Rig
from gimbal.loop.lockstep import run_lockstep
from gimbal.rig.plant import PlantRig


def without(rig: Rig, terms: tuple[str, ...]) -> Rig:
    """The rig with feed-forward terms switched off."""
    off = rig.control.feedforward.model_copy(update={term: False for term in terms})
    return rig.model_copy(update={"control": rig.control.model_copy(update={"feedforward": off})})


def worth(
    scenario: Loaded[Scenario], rig_name: str | None, seconds: float, seed: int, say: Callable[[str], None]
) -> list[dict[str, Any]]:
    """Rows {term, jitter_urad, without_it (ratio to all on), faults}: all on first, all off last."""
    rig = load_rig(rig_name or scenario.config.rig).config
    every = tuple(Feedforward.model_fields)
    rows: list[dict[str, Any]] = []
    for label, off in (("all on", ()), *((t, (t,)) for t in every), ("all off", every)):
        say(f"{scenario.config.name}: {'all terms' if not off else 'without ' + label}")
        flown = without(rig, off)
        plant = PlantRig(rig, scenario.config, seed=seed, seconds=seconds)
        out = run_lockstep(plant, flown, seconds, mode="lock", seed=seed)
        jitter = out["jitter_urad_rms"]["total"]
        first = rows[0]["jitter_urad"] if rows else jitter
        rows.append({"term": label, "jitter_urad": jitter, "without_it": jitter / first, "faults": out["faults"]})
    return rows


def text(scenario: str, rows: list[dict[str, Any]]) -> str:
    """The rows as Markdown."""
    lines = [f"| {scenario}, without | jitter, µrad RMS | times |", "|---|---|---|"]
    for r in rows:
        faults = f" ({', '.join(r['faults'])})" if r["faults"] else ""
        lines.append(f"| {r['term']} | {r['jitter_urad']:.1f}{faults} | {r['without_it']:.2f} |")
    return "\n".join(lines)
