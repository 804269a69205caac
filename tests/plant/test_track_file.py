"""Recorded flights: both FlySight formats, npz, and a clear error for each way a file can be wrong."""

from __future__ import annotations

import numpy as np
import pytest

from gimbal.config.scenario import Scenario
from gimbal.errors import ConfigError
from gimbal.plant.base_motion import make
from gimbal.plant.spline import PAD
from gimbal.plant.track_file import hermite, load, smooth
from tests.shared_data import shared

V1 = (
    "time,lat,lon,hMSL,velN,velE,velD,hAcc,vAcc,sAcc,heading,cAcc,gpsFix,numSV\n"
    ",(deg),(deg),(m),(m/s),(m/s),(m/s),(m),(m),(m/s),(deg),(deg),,\n"
)
V2 = (
    "$FLYS,1\n$VAR,FIRMWARE_VER,v2023.09.22\n"
    "$COL,GNSS,time,lat,lon,hMSL,velN,velE,velD,hAcc,vAcc,sAcc,numSV\n"
    "$UNIT,GNSS,,deg,deg,m,m/s,m/s,m/s,m,m,m/s,\n$DATA\n"
)


def rows(times, prefix=""):
    """A straight flight: 20 m/s north, 5 m/s east, 3 m/s down, from 46°N 8°E."""
    out = []
    for t in times:
        lat, lon = 46 + 20 * t / 111_147.0, 8 + 5 * t / 77_471.0
        stamp = f"2024-08-03T12:{int(t // 60):02d}:{t % 60:05.2f}Z"
        out.append(f"{prefix}{stamp},{lat:.9f},{lon:.9f},{1500 - 3 * t:.3f},20.00,5.00,3.00,1.0,1.5,0.3,12")
    return "\n".join(out) + "\n"


def write(tmp_path, text, name="track.csv"):
    path = tmp_path / name
    path.write_text(text)
    return path


@pytest.mark.parametrize("text", [V1 + rows(np.arange(50) / 5), V2 + rows(np.arange(50) / 5, "$GNSS,")])
def test_both_flysight_formats_give_the_flight(tmp_path, text):
    t, pos, vel = load(write(tmp_path, text))
    assert t == pytest.approx(np.arange(50) / 5, abs=1e-3)
    assert pos[0] == pytest.approx([0, 0, 0])
    assert pos[-1] / 9.8 == pytest.approx([20, 5, 3], rel=2e-3)
    assert vel[7] == pytest.approx([20, 5, 3])


def test_start_s_leaves_the_beginning_out(tmp_path):
    t, pos, _ = load(write(tmp_path, V1 + rows(np.arange(50) / 5)), start_s=4.0)
    assert t.size == 30 and t[0] == 0.0 and pos[0] == pytest.approx([0, 0, 0])


@pytest.mark.parametrize(
    "text, words",
    [
        (V1 + rows(np.arange(9) / 5), ["9 fixes", "10"]),
        (V1 + rows([*np.arange(12) / 5, 1.0, 3.0]), ["goes back", "fix 13"]),
        (V1 + rows([*np.arange(12) / 5, 9.0, 9.2]), ["gap of 6.8 s", "5 s"]),
        ("name,age\nAda,36\n", ["no column", "time", "velD"]),
        (V1 + rows(np.arange(12) / 5) + "2024-08-03T12:00:09Z,here,8,1500,1,1,1\n", ["line 15", "here"]),
        (V1 + rows(np.arange(12) / 5).replace("20.00", "nan"), ["not a number"]),
        ("", ["no column"]),
    ],
)
def test_each_fault_of_a_csv_is_named(tmp_path, text, words):
    path = write(tmp_path, text)
    with pytest.raises(ConfigError) as error:
        load(path)
    message = str(error.value)
    assert str(path) in message and "\n" not in message
    for word in words:
        assert word in message


def test_missing_binary_and_foreign_files(tmp_path):
    with pytest.raises(ConfigError, match="no track file"):
        load(tmp_path / "nowhere.csv")
    (tmp_path / "noise.csv").write_bytes(bytes(range(256)) * 9)
    with pytest.raises(ConfigError, match="not text"):
        load(tmp_path / "noise.csv")
    (tmp_path / "noise.npz").write_bytes(b"PK\x03\x04 broken")
    with pytest.raises(ConfigError, match="no npz"):
        load(tmp_path / "noise.npz")
    np.savez(tmp_path / "half.npz", t=np.arange(20.0), pos=np.zeros((20, 3)))
    with pytest.raises(ConfigError, match="no array vel"):
        load(tmp_path / "half.npz")
    np.savez(tmp_path / "odd.npz", t=np.arange(20.0), pos=np.zeros((20, 2)), vel=np.zeros((20, 3)))
    with pytest.raises(ConfigError, match="shapes"):
        load(tmp_path / "odd.npz")
    with pytest.raises(ConfigError, match="Start earlier"):
        load(write(tmp_path, V1 + rows(np.arange(50) / 5)), start_s=9.0)


def test_scenario_with_a_nameless_track_says_how_to_name_one():
    scene = Scenario.model_validate({"name": "x", "carrier": {"kind": "speedflight"}, "target": {"kind": "track"}})
    with pytest.raises(ConfigError, match="--track"):
        make(scene, 1, 5.0)


def test_smoothing_and_interpolation_follow_the_truth_with_smooth_acceleration():
    rng = np.random.default_rng(2)
    t = np.arange(0, 40, 0.2) + rng.uniform(0, 0.02, 200)
    w = 0.9

    def truth(x):
        return np.column_stack([20 * np.sin(w * x), 20 * np.cos(w * x), 5 * x])

    vel = np.column_stack([20 * w * np.cos(w * t), -20 * w * np.sin(w * t), 5 + 0 * t])
    p, v, a = smooth(t, truth(t) + 0.12 * rng.normal(size=(200, 3)), vel + 0.08 * rng.normal(size=(200, 3)))
    at = np.arange(1, 38, 0.001)
    x = hermite(t, p, v, a, at)
    assert np.sqrt(((x - truth(at)) ** 2).sum(axis=1).mean()) < 0.15
    acc = np.diff(x, 2, axis=0) * 1e6
    assert np.abs(np.diff(acc, axis=0)).max() < 1.0  # no jumps: below 1 m/s² in a millisecond
    assert np.linalg.norm(acc, axis=1).mean() == pytest.approx(20 * w * w, rel=0.05)


@pytest.mark.shared
@pytest.mark.parametrize("index", [0, 3, 7, 12])
def test_carrier_follows_real_flights_at_20_to_60_m(index):
    folder = shared("data/tracks")
    path = sorted(p for p in folder.glob("*canopy.npz"))[index]
    scene = Scenario.model_validate(
        {"name": "x", "carrier": {"kind": "speedflight"}, "target": {"kind": "track", "file": str(path)}}
    )
    seconds = min(60.0, float(np.load(path)["t"][-1]))
    motion = make(scene, 1, seconds)
    assert motion.target_N is not None
    base, target = motion.pos_N[PAD::20], motion.target_N[PAD:]  # both from t = 0, at 50 Hz
    n = int(seconds * 50)
    d = np.linalg.norm(target[:n] - base[:n], axis=1)
    assert 20.0 < d.min() and d.max() < 60.0
    load = np.linalg.norm(np.diff(base, 2, axis=0) * 2500 - [0, 0, 9.80665], axis=1) / 9.80665
    assert load.max() < 3.5  # flyable, harness vibration included
