"""A representative part of the fault matrix in real time; `make hil` runs all of it."""

from __future__ import annotations

import pytest

from hil_tests.realtime import Session
from hil_tests.table import cases

PART = ("imu unplug", "imu late 20 ms", "motors silence", "motors duplicates", "gnss unplug",
        "pitch reversed in flight",
        "wired stop by the supply", "operator's STOP", "loop process killed")  # fmt: skip


@pytest.fixture(scope="module")
def session():
    made = Session()
    yield made
    made.close()


@pytest.mark.parametrize(
    "case", [case for case in cases() if case.name in PART], ids=lambda c: c.name.replace(" ", "-")
)
def test_case(session, case):
    result = session.run(case)
    assert result["passed"], f"{case.name}: {'; '.join(result['complaints'])}"
