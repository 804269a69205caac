"""The import rules of docs/architecture.md, read from the sources."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
CORE_ROOMS = ("sensors", "estimation", "targeting", "control")
CORE_SHARED = ("gimbal.records", "gimbal.frames", "gimbal.faults", "gimbal.kernels")
FORBIDDEN_IN_CORE = {"os", "time", "random", "socket", "logging", "threading", "subprocess", "sys"}
# the array and class versions of a core step: plain Python around it
PYTHON_SIDE = {"gimbal/targeting/target_tracker.py", "gimbal/estimation/batch.py"}


def imports_of(path: Path) -> set[str]:
    """Full names of the modules a file imports, function-level imports included."""
    found = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.level == 0 and node.module:
            found.add(node.module)
    return found


def sources(folder: str) -> list[Path]:
    files = sorted((ROOT / folder).rglob("*.py"))
    assert files, f"no sources under {folder}"
    return files


@pytest.mark.parametrize("room", CORE_ROOMS)
def test_core_rooms_import_only_the_core_and_themselves(room):
    for path in sources(f"gimbal/{room}"):
        relative = path.relative_to(ROOT).as_posix()
        for name in imports_of(path):
            top = name.split(".")[0]
            if top == "gimbal":
                allowed = (*CORE_SHARED, f"gimbal.{room}")
                assert name.startswith(allowed), f"{relative} imports {name}: a core room sees only the core and itself"
            elif relative not in PYTHON_SIDE:
                assert top not in FORBIDDEN_IN_CORE, f"{relative} imports {name}: the core has no clock, system or I/O"


def test_the_pipeline_sees_stages_and_nothing_else():
    for name in imports_of(ROOT / "gimbal/loop/pipeline.py"):
        if name.startswith("gimbal"):
            rooms = tuple(f"gimbal.{room}" for room in CORE_ROOMS)
            assert name.startswith((*CORE_SHARED, *rooms)), f"pipeline imports {name}"
        else:
            assert name.split(".")[0] not in FORBIDDEN_IN_CORE


def test_the_bridge_knows_no_gimbal():
    for path in sources("firmware_bridge"):
        bad = {n for n in imports_of(path) if n.split(".")[0] == "gimbal"}
        assert not bad, f"{path.relative_to(ROOT)} imports {bad}"


def test_emulators_never_see_the_drivers_codecs():
    for path in sources("firmware_bridge/emulators"):
        bad = {n for n in imports_of(path) if n.startswith("firmware_bridge.drivers")}
        assert not bad, f"{path.relative_to(ROOT)} imports {bad}"


def test_the_plant_never_sees_control():
    for path in sources("gimbal/plant"):
        bad = {n for n in imports_of(path) if n.startswith(("gimbal.control", "gimbal.estimation", "gimbal.loop"))}
        assert not bad, f"{path.relative_to(ROOT)} imports {bad}"


def test_no_simulation_branches_in_the_loop():
    for path in [*sources("gimbal/loop"), *sources("gimbal/control"), *sources("gimbal/rig")]:
        text = path.read_text(encoding="utf-8").lower()
        assert "if simulated" not in text and "is_simulat" not in text, path


def test_files_stay_small():
    long = {
        p: n for p in [*sources("gimbal"), *sources("firmware_bridge")] if (n := len(p.read_text().splitlines())) > 400
    }
    assert not long, f"over 400 lines, one room or two? {long}"
