"""hil_tests/faults.toml as cases."""

from __future__ import annotations

import tomllib
from pathlib import Path
from typing import Any

from hil_tests.judge import Case

FILE = Path(__file__).with_name("faults.toml")
_KEYS = {"detect": "detect_ms", "safe": "safe_ms", "excursion": "excursion_deg", "onset": "onset_ms",
         "moved": "onset_deg", "within": "within_deg"}  # fmt: skip
_CASE_KEYS = {"name", "script", "expect", "flight", "window_ms", "realtime", "why"}


def cases() -> list[Case]:
    """Every case of the table, device by device. Raises ValueError naming what the table says wrongly."""
    table = tomllib.loads(FILE.read_text())
    found = [_of_device(device, fault, words, table["device"][device])
             for device in table["device"] for fault, words in table["fault"].items()]  # fmt: skip
    for entry in table["case"]:
        unknown = set(entry) - _CASE_KEYS
        if unknown:
            raise ValueError(f"{FILE.name}: case {entry['name']!r} has unknown keys {sorted(unknown)}")
        found.append(_case(entry["name"], "rig", entry["script"], entry["expect"], entry))
    names = [case.name for case in found]
    if len(set(names)) != len(names):
        raise ValueError(f"{FILE.name}: two cases have one name")
    return found


def _of_device(device: str, fault: str, script: list[str], entry: dict[str, Any]) -> Case:
    lines = [line.format(d=device, range=entry["range"]) for line in script]
    return _case(f"{device} {fault.replace('_', ' ')}", device, lines, entry[fault], entry)


def _case(name: str, device: str, script: list[str], expect: str, entry: dict[str, Any]) -> Case:
    outcome, *words = expect.split()
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
    for key in ("flight", "realtime", "why"):
        if key in entry:
            facts[key] = entry[key]
    if "window_ms" in entry:
        facts["window_ms"] = float(entry["window_ms"])
    steps = []
    for line in script:
        at, _, command = line.partition(" ")
        steps.append((float(at), command))
    return Case(name, device, tuple(steps), outcome, codes, **facts)
