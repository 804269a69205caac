"""The estimator through the shipped tick on the simulated rig: no worse than measured, no better than physics."""

from __future__ import annotations

from gimbal.tuning.plant_table import fly, rms


def test_train_roof_tilt() -> None:
    run = fly("train_roof", 1, 20.0)
    assert not run["faults"]
    assert 0.05 < rms(run, 5.0) < 0.45  # 0.20 over a minute; an accelerometer off by 3 mg allows no 0.05
    assert abs(run["floor_deg"] - run["bias_deg"]) < 0.01  # the accelerometer's axes are the camera's
