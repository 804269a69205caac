"""docs/devices.md names every driver and rig, with its figures, and device_cycles.py can measure each."""

from __future__ import annotations

import re

import pytest

from firmware_bridge import registry
from tests.contract import device_cycles
from tests.contract.rig_flight import rigs
from tests.contract.rig_table import BEGIN, END, PAGE

TEXT = PAGE.read_text(encoding="utf-8")


def rows(text: str) -> dict[str, list[str]]:
    """First cell -> the others; of two rows of one name the first."""
    found: dict[str, list[str]] = {}
    for name, rest in re.findall(r"^\| `(\w+)` \|(.*)\|$", text, re.M):
        found.setdefault(name, [cell.strip() for cell in rest.split(" | ")])
    return found


def test_every_driver_has_its_row_with_rate_time_watchdog_check_and_peers():
    table = rows(TEXT.split("\n## Measured\n")[0])
    assert set(table) == set(registry.names())
    for name, cells in table.items():
        device, line, modes, rate, time_us, watchdog, check, peers = cells
        assert all((device, line, modes, watchdog, check)) and len(peers) > 10, name
        assert re.search(r"\d", rate + line), name
        assert 1.0 < float(time_us.split(",")[0]) < 1000.0, name


def test_every_rig_has_flown():
    table = rows(TEXT.split(BEGIN)[1].split(END)[0])
    assert set(table) == set(rigs())
    for name, cells in table.items():
        assert all(float(jitter) > 0 for jitter in cells[4].split(", ")), name
        assert cells[-1] == "none", name


@pytest.mark.parametrize("name", ["moteus", "sbgc", "ublox"])
def test_cycles_are_measured(name, monkeypatch):
    monkeypatch.setattr(device_cycles, "CYCLES", 120)
    us, axes = device_cycles.cycle_us(name)
    assert us > 0.5 and axes == (3 if name == "moteus" else 1)
