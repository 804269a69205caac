"""A rig that isn't what its config says is still held, by the safe loops and by the fast ones."""

from __future__ import annotations

import pytest

from gimbal.config.load import load_rig
from gimbal.tuning.perturbed import fly, perturbed


def test_every_case_differs_from_the_rig_as_told():
    rig = load_rig("torque").config
    cases = perturbed(rig)
    assert [name for name, real in cases.items() if real == rig] == ["as told"]


@pytest.mark.parametrize("case", perturbed(load_rig("torque").config))
def test_it_is_held(case):
    rig = load_rig("torque").config
    result = fly(rig, perturbed(rig)[case], "train_roof", 9.0)
    assert result["faults"] == []
    assert result["jitter_urad_rms"]["total"] < 400.0
    assert result["fast_share"] > 0.5
