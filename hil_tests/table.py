"""hil_tests/faults.toml as flights and cases."""

from __future__ import annotations

import functools
import re
import tempfile
import tomllib
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from gimbal.config.load import CONFIGS
from hil_tests.judge import Case

FILE = Path(__file__).with_name("faults.toml")
_KEYS = {"detect": "detect_ms", "safe": "safe_ms", "excursion": "excursion_deg", "onset": "onset_ms",
         "moved": "onset_deg", "within": "within_deg", "turning": "turning_deg_s"}  # fmt: skip
_CASE_KEYS = {"name", "script", "expect", "flight", "window_ms", "realtime", "lockstep", "why", "also"}
OUTCOMES = ("ride-through", "degrade", "safe", "told")
_NO_FAULT = "none"  # in place of what is expected: the device's protocol can't say such a thing, and why


@dataclass(frozen=True)
class Flight:
    """What is flown until a fault begins. ``add`` to the rig file; ``begin``: "ms command", once all is settled.
    ``straight``: without the carrier's spirals, so that a case is the same one whenever it begins."""

    rig: str
    scenario: str
    mode: str = "lock"
    seconds: float = 3.0
    add: str = ""
    begin: tuple[str, ...] = ()
    straight: bool = False

    @property
    def timed(self) -> bool:
        """Its cases begin at a moment of its own flight, not as soon as it may."""
        return self.seconds > Flight.seconds

    @property
    def begin_s(self) -> float:
        """How long the commands of ``begin`` take to be what the flight does."""
        return 1e-3 * max((step[0] for step in steps(self.begin)), default=-400.0) + 0.4

    def text(self) -> str:
        """The rig file."""
        return Path(CONFIGS, "rigs", f"{self.rig}.toml").read_text() + self.add

    @functools.cached_property
    def path(self) -> Path:
        """The rig file itself, by the rig's name."""
        folder = Path(tempfile.mkdtemp(prefix="gimbal-rig-"))
        path = folder / f"{self.rig}.toml"
        path.write_text(self.text())
        return path

    @functools.cached_property
    def scenario_path(self) -> str:
        """The scenario's file."""
        path = Path(CONFIGS, "scenarios", f"{self.scenario}.toml")
        if not self.straight:
            return str(path)
        text, n = re.subn(r"^spiral_first_s = .*$", "spiral_first_s = 1e6", path.read_text(), flags=re.MULTILINE)
        if n != 1:
            raise ValueError(f"{FILE.name}: the scenario {self.scenario!r} has no spirals to leave out")
        path = self.path.with_name("straight.toml")
        path.write_text(text)
        return str(path)


@functools.cache
def _table() -> dict[str, Any]:
    return tomllib.loads(FILE.read_text())


@functools.cache
def flights() -> dict[str, Flight]:
    """Every flight of the table by name."""
    return {
        name: Flight(**{key: tuple(value) if isinstance(value, list) else value for key, value in entry.items()})
        for name, entry in _table()["flight"].items()
    }


def cases() -> list[Case]:
    """Every case of the table, device by device. Raises ValueError naming what the table says wrongly."""
    table = _table()
    found = [_of_device(device, fault, words, entry) for device, entry in table["device"].items()
             for fault, words in table["fault"].items() if not entry[fault].startswith(_NO_FAULT)]  # fmt: skip
    for entry in table["case"]:
        unknown = set(entry) - _CASE_KEYS
        if unknown:
            raise ValueError(f"{FILE.name}: case {entry['name']!r} has unknown keys {sorted(unknown)}")
        found.append(_case(entry["name"], "rig", entry["script"], entry["expect"], entry))
        for flight, expect in entry.get("also", {}).items():
            found.append(_case(f"{entry['name']} ({flight})", "rig", entry["script"], expect, entry, flight))
    names = [case.name for case in found]
    if len(set(names)) != len(names):
        raise ValueError(f"{FILE.name}: two cases have one name")
    return found


def _of_device(device: str, fault: str, script: list[str], entry: dict[str, Any]) -> Case:
    lines = [line.format(d=entry.get("wire", device), range=entry["range"]) for line in script]
    return _case(f"{device} {fault.replace('_', ' ')}", device, lines, entry[fault], entry)


def _case(name: str, device: str, script: list[str], expect: str, entry: dict[str, Any], flight: str = "") -> Case:
    outcome, *words = expect.split()
    if outcome not in OUTCOMES:
        raise ValueError(f"{FILE.name}: {name!r} expects {outcome!r}; it is one of {', '.join(OUTCOMES)}")
    facts: dict[str, Any] = {}
    if "excursion" in entry:
        facts["excursion_deg"] = float(entry["excursion"])
    codes: tuple[str, ...] = ()
    for word in words:
        key, equals, value = word.partition("=")
        if equals:
            facts[_KEYS[key]] = float(value)
        else:
            codes = tuple(word.split("/"))
    for key in ("flight", "realtime", "lockstep", "why"):
        if key in entry:
            facts[key] = entry[key]
    if flight:
        facts["flight"] = flight
    if "window_ms" in entry:
        facts["window_ms"] = float(entry["window_ms"])
    if outcome == "degrade" and codes and "detect_ms" not in facts:
        raise ValueError(f"{FILE.name}: {name!r} says degrade without detect=, the time until it is shown")
    if facts.get("flight", "lock") not in flights():
        raise ValueError(f"{FILE.name}: {name!r} wants the flight {facts['flight']!r}, which is none of [flight]")
    return Case(name, device, tuple(steps(script)), outcome, codes, **facts)


def steps(script: Any) -> list[tuple[float, str]]:
    """ "ms command" each, as numbers and commands."""
    found = []
    for line in script:
        at, _, command = line.partition(" ")
        found.append((float(at), command))
    return found
