"""Lock-step twins of the fault matrix: every second of those of a second or less; `make hil` runs all of them."""

from __future__ import annotations

import pytest

from hil_tests import lockstep
from hil_tests.table import cases

SHORT = [case for case in cases() if case.window_ms <= 1000.0 and case.flight != "track"][::2]


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
    assert {case.device for case in found} >= {"imu", "motors", "gnss", "beacon", "rig"}
