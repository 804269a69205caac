"""`gimbal sim`: the table, the report and the worth of feed-forward terms, from runs of seconds."""

from __future__ import annotations

import json

import numpy as np
import pytest

from gimbal.__main__ import main
from gimbal.config.load import load_rig
from gimbal.report import pixels_per_rad, seen_blur
from gimbal.sim import table

FOUR = {"roll": 10.0, "pitch": 10.0, "yaw": 10.0, "total": 17.3}


def times(factor):
    return {k: factor * v for k, v in FOUR.items()}


def test_the_table_has_a_line_a_carrier_and_one_for_the_fall():
    full = {"scenario": "cliff_jump", "controller": "full", "jitter_urad_rms": times(2.0), "bound_lqg_urad": FOUR}
    full |= {"jitter_fall_urad_rms": times(1.5), "bound_robust_urad": times(1.6), "sensor_floor_urad": FOUR}
    full |= {"jitter_urad_by_seed": [30.0, 40.0], "faults": []}
    pid = full | {"controller": "pid", "jitter_urad_rms": times(10.0), "jitter_fall_urad_rms": times(9.0)}
    lines = table([full, pid]).splitlines()
    assert len(lines) == 4
    assert "| cliff_jump | 34.6 | 30 40 | 17.3 | 27.7 | 17.3 | 1.25 | 173 | 5.0 |" == lines[2]
    assert lines[3].startswith("| cliff_jump, fall | 26.0 |") and lines[3].endswith("| 156 | 6.0 |")
    assert table([full, pid | {"faults": ["runaway"]}]).splitlines()[2].endswith("| 1.25 | stopped: runaway |  |")


def test_a_report_is_one_page_without_links(tmp_path):
    page, figures = tmp_path / "r.html", tmp_path / "r.json"
    assert main(["sim", "camera_car", "--seconds", "9", "--report", str(page), "--json", str(figures)]) == 0
    text = page.read_text()
    assert text.count("data:image/png;base64,") == 4
    assert "http" not in text and 'src="/' not in text
    assert f"{json.loads(figures.read_text())['jitter_urad_rms']['total']:.1f}" in text
    assert "px RMS" in text and "blur over the exposure" in text


def test_report_and_worth_are_of_one_run(capsys):
    for flag in (["--report", "x.html"], ["--worth"]):
        assert main(["sim", "--all", *flag]) == 2
        assert "one run" in capsys.readouterr().err


def test_blur_is_the_turn_while_the_shutter_is_open():
    rig = load_rig("torque").config
    rate = rig.loop_rate_hz
    t = np.arange(int(3 * rate)) / rate
    half = 0.5 * 0.1 * t  # 0.1 rad/s in yaw
    q = np.stack([np.cos(half), 0 * t, 0 * t, np.sin(half)], -1)
    open_s = (round(0.5 / rig.camera.frames_s * rate) - 1) / rate
    assert seen_blur(rig, q, rate) == pytest.approx(0.1 * open_s * pixels_per_rad(rig), rel=0.01)
    assert pixels_per_rad(rig) == pytest.approx(1e6 / 121.6, rel=0.01)
