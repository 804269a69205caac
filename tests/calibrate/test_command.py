"""The command as a user types it: a log in, a file and a picture out; the rig reads the file, or says what is wrong."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from gimbal.__main__ import main
from gimbal.config.load import CONFIGS, load_rig
from gimbal.config.pack import pack_params
from gimbal.errors import ConfigError

WAVE = """name = "w"
rig = "torque"
seconds = 20.0
mode = "off"
hand = "wave"
[carrier]
kind = "still"
[errors]
joint_zero_deg = [4.0, -6.0, 10.0]
joint_direction = [1, -1, -1]
"""


def rig_with(tmp_path: Path, name: str, calibration: str) -> Path:
    path = tmp_path / name
    text = (CONFIGS / "rigs" / "torque.toml").read_text()
    path.write_text(f'calibration = "{calibration}"\n{text}')
    return path


@pytest.fixture(scope="module")
def log(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("wave")
    (folder / "w.toml").write_text(WAVE)
    assert main(["sim", str(folder / "w.toml"), "--log", str(folder / "w.mcap")]) == 0
    return folder / "w.mcap"


def test_a_log_becomes_a_file_that_the_rig_reads(log: Path, tmp_path: Path, capsys) -> None:
    words = ["calibrate", "joints", "torque", "--from", str(log), "--dir", str(tmp_path), "--serial", "A1"]
    assert main([*words, "--json", str(tmp_path / "found.json")]) == 0
    told = json.loads((tmp_path / "found.json").read_text())
    assert told["section"] == "joints" and told["found"]["pitch"]["direction"] == -1
    assert told["file"] == str(tmp_path / "A1.toml")
    said = capsys.readouterr().out
    assert "direction -1" in said and "Hold the camera at its marks" in said
    assert (tmp_path / "A1-joints.png").stat().st_size > 10_000
    assert main(["calibrate", "delay", *words[2:]]) == 0  # a second section beside the first
    rig = load_rig(rig_with(tmp_path, "mine.toml", str(tmp_path / "A1.toml")))
    assert rig.config.calibrated is not None and rig.config.calibrated.joints is not None
    assert [rig.config.calibrated.joints.pitch.direction, rig.config.calibrated.joints.yaw.direction] == [-1, -1]
    assert rig.hash != load_rig("torque").hash
    assert abs(pack_params(rig.config)["encoders"]["late_ns"][0]) < 0.3e6
    assert pack_params(load_rig("torque").config)["encoders"]["late_ns"][0] == 0


def test_a_calibrated_rig_flies_where_the_other_falls(log: Path, tmp_path: Path, capsys) -> None:
    """The devices are as they are; with their signs and zeros known the camera is held."""
    words = ["calibrate", "joints", "torque", "--from", str(log), "--dir", str(tmp_path), "--serial", "A1"]
    assert main(words) == 0
    (tmp_path / "lock.toml").write_text(WAVE.replace('"off"', '"lock"').replace('"wave"', '"none"'))
    mine = rig_with(tmp_path, "mine.toml", str(tmp_path / "A1.toml"))
    run = ["sim", str(tmp_path / "lock.toml"), "--seconds", "4", "--rig"]
    assert main([*run, str(mine)]) == 0
    assert main([*run, "torque"]) == 1  # runs away, and is stopped
    assert "faults         none" in capsys.readouterr().out


def test_a_refused_recording_writes_nothing(log: Path, tmp_path: Path, capsys) -> None:
    assert main(["calibrate", "gyro", "torque", "--from", str(log), "--dir", str(tmp_path)]) == 2
    assert "at rest" in capsys.readouterr().err
    assert not list(tmp_path.iterdir())


def test_no_daemon_no_log(tmp_path: Path, capsys) -> None:
    assert main(["calibrate", "gyro", "torque_fast", "--dir", str(tmp_path)]) == 2
    assert "gimbal run torque_fast" in capsys.readouterr().err


def test_another_rigs_log(log: Path, tmp_path: Path, capsys) -> None:
    assert main(["calibrate", "joints", "torque_fast", "--from", str(log), "--dir", str(tmp_path)]) == 2
    assert "is a log of rig 'torque'" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("calibration", "text", "words"),
    [
        ("no_such", None, "there is no calibration file"),
        ("{dir}/f.toml", 'serial = "f"\nrig = "other"\n', "made on rig 'other'"),
        ("{dir}/f.toml", 'serial = "f"\nrig = "torque"\n[giro]\n', "Did you mean gyro"),
        ("{dir}/f.toml", 'serial = "f"\nrig = "torque"\n[gyro]\ndate = "x"\n', "bias_deg_s: missing"),
    ],
)
def test_a_calibration_that_cant_be_used(tmp_path: Path, calibration: str, text: str | None, words: str) -> None:
    if text:
        (tmp_path / "f.toml").write_text(text)
    with pytest.raises(ConfigError, match=words):
        load_rig(rig_with(tmp_path, "mine.toml", calibration.format(dir=tmp_path)))


def test_anothers_file_is_not_overwritten(log: Path, tmp_path: Path, capsys) -> None:
    (tmp_path / "A1.toml").write_text('serial = "B2"\nrig = "torque"\n')
    words = ["calibrate", "joints", "torque", "--from", str(log), "--dir", str(tmp_path), "--serial", "A1"]
    assert main(words) == 2
    assert "calibration of serial 'B2'" in capsys.readouterr().err
    assert (tmp_path / "A1.toml").read_text().startswith('serial = "B2"')


def test_shipped_calibration_scenarios_load() -> None:
    from gimbal.config.load import load_scenario

    for path in sorted((CONFIGS / "scenarios" / "calibration").glob("*.toml")):
        assert load_scenario(path).config.hand != "none"
