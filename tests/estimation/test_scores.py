"""Gates on real recordings, two-sided: worse is a regression, far better is a broken measure or a leak."""

from __future__ import annotations

import importlib.util
import sys
from functools import cache

import numpy as np
import pytest

from gimbal.estimation.batch import estimate_attitude
from tests.shared_data import shared

pytestmark = pytest.mark.shared
THREE = (
    "01_undisturbed_slow_rotation_A",
    "18_undisturbed_fast_translation_with_breaks_B",
    "36_disturbed_attached_magnet_5cm",
)


@cache
def score():
    spec = importlib.util.spec_from_file_location("score_attitude", shared("score/attitude.py"))
    module = importlib.util.module_from_spec(spec)
    sys.modules["score_attitude"] = module
    spec.loader.exec_module(module)
    return module


def broad_errors(path, with_mag: bool) -> float:
    s, z = score(), np.load(path)
    ref = z["opt_quat"].astype(float)
    ref = s.mul(s.ENU_TO_NED, ref / np.linalg.norm(ref, axis=1, keepdims=True))
    out = estimate_attitude(z["gyr"], z["acc"], float(z["fs"]), mag=z["mag"] if with_mag else None)
    total, _, inclination = s.errors_deg(out.q_NC, ref)
    e = (total if with_mag else inclination)[z["movement"].astype(bool)]
    return float(np.sqrt(np.nanmean(e**2)))


def test_broad_inclination_and_total() -> None:
    files = sorted(shared("data/attitude").glob("*.npz"))
    assert 0.45 < np.mean([broad_errors(f, False) for f in files]) <= 0.56  # measured 0.549
    assert 1.4 < np.mean([broad_errors(f, True) for f in files]) <= 1.95  # measured 1.84


def test_flights_and_drive_with_gnss() -> None:
    files = sorted(shared("data/gnss").glob("*.npz"))
    tilt = [score().flight(str(f), {"ours": estimate_attitude})["ours"]["tilt_rms"] for f in files]
    assert 0.3 < np.mean(tilt) <= 0.70  # measured 0.58
    assert max(tilt) < 0.9


@pytest.mark.parametrize("change", [{"zero_vel_std": 4.0}, {"gyro_rate_noise": 0.003}, {"accel_bias_std0": 0.1}])
def test_the_set_is_no_needle(change: dict) -> None:
    """Parameters half as wrong again cost little: physics carries the score, not the last digit."""
    s = score()
    worse = []
    for name in THREE:
        z = np.load(shared(f"data/attitude/{name}.npz"))
        ref = z["opt_quat"].astype(float)
        ref = s.mul(s.ENU_TO_NED, ref / np.linalg.norm(ref, axis=1, keepdims=True))
        m = z["movement"].astype(bool)
        rms = []
        for c in ({}, change):
            out = estimate_attitude(z["gyr"], z["acc"], float(z["fs"]), _changes=c)
            rms.append(np.sqrt(np.nanmean(s.errors_deg(out.q_NC, ref)[2][m] ** 2)))
        worse.append(rms[1] / rms[0])
    assert np.mean(worse) < 1.1
