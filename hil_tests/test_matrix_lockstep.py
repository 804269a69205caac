"""Lock-step twins of the fault matrix, those of a second or less: of the reference rig's every second, of the other
rigs' every sixth, others at each commit (by the hashes of commit and name); `make hil` runs all of them.

All of it took 4 to 6 minutes of a core. GIMBAL_TWINS=all runs it here, GIMBAL_TWINS=N the part N.
"""

from __future__ import annotations

import os
import subprocess
import zlib
from pathlib import Path

import pytest

from hil_tests import lockstep
from hil_tests.table import cases

PARTS = {"lock": 2, "bench": 2}  # by flight


def turn() -> str:
    """Which part: asked for, else by the commit; 0 where there is none."""
    asked = os.environ.get("GIMBAL_TWINS", "")
    if asked:
        return asked
    where = Path(__file__).resolve().parent
    found = subprocess.run(["git", "rev-parse", "HEAD"], cwd=where, capture_output=True, text=True, check=False)
    return str(zlib.crc32(found.stdout.encode()))


def chosen(case, part: str) -> bool:
    if case.lockstep == "none" or case.window_ms > 1000.0 or case.flight in ("track", "vision"):
        return False
    return part == "all" or (zlib.crc32(case.name.encode()) + int(part)) % PARTS.get(case.flight, 6) == 0


PART = turn()
SHORT = [case for case in cases() if chosen(case, PART)]


@pytest.mark.parametrize("case", SHORT, ids=lambda case: case.name.replace(" ", "-"))
def test_case(case):
    result = lockstep.run(case)
    assert result["passed"], f"{case.name}: {'; '.join(result['complaints'])}"


def test_the_same_fault_gives_the_same_flight():
    case = next(case for case in cases() if case.name == "yaw reversed")
    assert lockstep.run(case) == lockstep.run(case)


def test_sixty_cases_and_every_device():
    found = cases()
    assert len(found) >= 60
    devices = "imu motors gnss beacon rig vesc simplefoc sbgc storm32 mavlink sbus crsf vision autopilot"
    assert {case.device for case in found} == set(devices.split())


def test_each_case_has_its_turn():
    parts = [{case.name for case in cases() if chosen(case, str(n))} for n in range(6)]
    assert set.union(*parts) == {case.name for case in cases() if chosen(case, "all")}
    assert max(map(len, parts)) < 80
