"""The tracker on a few real flights, with bounds on both sides: worse is a regression, far better is a leak."""

from __future__ import annotations

import importlib.util
import sys

import numpy as np
import pytest

from gimbal.targeting.target_tracker import TargetTracker
from tests.shared_data import shared

FLIGHTS = (
    "aibybrum_t-gen2-katana120-24-09-22-12-29-34-TRACK_canopy",
    "skyderby_test-fixtures-files-tracks-distance-3107_wingsuit",
)


@pytest.fixture(scope="module")
def scorer():
    path = shared("score/tracking.py")
    spec = importlib.util.spec_from_file_location("shared_score_tracking", path)
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="module")
def flights(scorer):
    out = []
    for name in FLIGHTS:
        T = scorer.load(str(shared(f"data/tracks/{name}.npz")))
        n = 450
        out.append({**T, **{k: T[k][-n:] for k in ("t", "pos", "vel", "hacc", "sacc", "X")}})
    return out


def rms(scorer, flights, **how):
    return {
        k: v[0]
        for k, v in scorer.score(TargetTracker, flights, how.pop("rate", 5.0), how.pop("delay", 0.2), fs=10.0, **how)[
            0
        ].items()
    }


@pytest.mark.shared
@pytest.mark.parametrize(
    "how, canopy, wingsuit",
    [
        ({}, (0.10, 0.17), (0.08, 0.17)),
        ({"delay": 0.5}, (0.28, 0.50), (0.20, 0.45)),
        ({"rate": 1.0}, (0.4, 1.1), (0.4, 1.0)),
        ({"position_only": True}, (0.12, 0.26), (0.10, 0.26)),
        ({"drop": 0.5, "jitter": 0.15}, (0.3, 1.1), (0.3, 1.1)),
        ({"drop": 0.5, "jitter": 0.4, "out_of_order": True}, (0.3, 1.3), (0.3, 1.3)),
    ],
)
def test_position_error_on_real_flights(scorer, flights, how, canopy, wingsuit):
    got = rms(scorer, flights, **how)
    assert canopy[0] < got["canopy"] < canopy[1], got
    assert wingsuit[0] < got["wingsuit"] < wingsuit[1], got


@pytest.mark.shared
def test_velocity_frame_beats_singer_on_hard_canopy(scorer, flights):
    def singer():
        return TargetTracker(model="singer")

    ours = scorer.score(TargetTracker, flights, 5.0, 0.5, fs=10.0)[0]["canopy-hard"][0]
    theirs = scorer.score(singer, flights, 5.0, 0.5, fs=10.0)[0]["canopy-hard"][0]
    assert ours < 0.9 * theirs


@pytest.mark.shared
def test_time_of_a_call_is_no_surprise(scorer, flights):
    """Not a benchmark: an update and a prediction on this machine within twenty times the goal."""
    _, update, predict = scorer.score(TargetTracker, flights, 5.0, 0.2, fs=10.0)
    assert 0.0 < update < 200.0 and 0.0 < predict < 60.0 and np.isfinite(update)
