"""The command line: help, exit codes, one-paragraph errors, and what must not be imported for them."""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
from pathlib import Path

import pytest

from gimbal.__main__ import build_parser, main
from gimbal.records import COMMAND, SENSE, Mode
from gimbal.targeting.track_records import Status


def run(*argv: str) -> subprocess.CompletedProcess:
    return subprocess.run([sys.executable, "-m", "gimbal", *argv], capture_output=True, text=True, timeout=300)


COMMANDS = next(a.choices for a in build_parser()._actions if isinstance(a, argparse._SubParsersAction))
ROOT = Path(__file__).resolve().parents[1]


@pytest.mark.parametrize("page", ["README.md", "docs/contract.md"])
def test_the_pages_name_every_command(page):
    text = (ROOT / page).read_text(encoding="utf-8")
    assert [
        name for name in COMMANDS if f"gimbal {name}" not in text and name not in ("emulate", "warmup", "bench")
    ] == []
    if page == "docs/contract.md":
        assert [name for name in COMMANDS if f"gimbal {name}" not in text] == []
        fields = {name for record in (SENSE, COMMAND) for name in record.names}
        fields = {name.replace("beacon_", "gnss_") for name in fields}
        assert sorted(name for name in fields if f"`{name}`" not in text) == []
        assert [status.name for status in Status if status.name not in text] == []
        assert [key for key in ("bound_lqg_urad", "bound_robust_urad", "bound_ratio") if key not in text] == []


def test_every_command_that_reports_has_json():
    silent = {"emulate", "warmup"}
    assert [n for n, p in COMMANDS.items() if n not in silent and "--json" not in p._option_string_actions] == []


@pytest.mark.parametrize("command", ["sim", "run"])
def test_help_lists_every_mode(command):
    text = " ".join(COMMANDS[command].format_help().split())
    assert ", ".join(mode.name.lower() for mode in Mode) in text


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_has_help_with_examples(command, capsys):
    with pytest.raises(SystemExit) as end:
        main([command, "--help"])
    assert end.value.code == 0
    assert "examples:" in capsys.readouterr().out


def test_help_loads_nothing_heavy():
    code = (
        "import sys; from gimbal.__main__ import build_parser; build_parser().format_help();"
        "print([m for m in ('numba', 'scipy', 'numpy', 'pydantic', 'matplotlib') if m in sys.modules])"
    )
    out = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert out.stdout.strip() == "[]"


@pytest.mark.parametrize(
    "argv,words",
    [
        (["sim"], ["Name one scenario"]),
        (["sim", "speedfligth"], ["Did you mean speedflight"]),
        (["sim", "speedflight", "--seconds", "0"], ["--seconds", "positive"]),
        (["sim", "speedflight", "--seconds", "nan"], ["--seconds", "positive"]),
        (["sim", "speedflight", "--mode", "hover"], ["hover", "Known"]),
        (["sim", "speedflight", "--json", "/nowhere/x.json"], ["--json", "/nowhere"]),
        (["sim", "speedflight", "--rig", "none.toml"], ["none.toml"]),
        (["sim", "speedflight", "--track", "missing.csv"], ["missing.csv"]),
        (["sim", "speedflight", "--seeds", "0"], ["--seeds"]),
        (["sim", "speedflight", "--seed", "-1"], ["--seed -1", "0 or more"]),
        (["sim", "speedflight", "--seconds", "1e12"], ["--seconds", "at most"]),
        (["sim", "speedflight", "--seeds", "2", "--log", "x.mcap"], ["--log takes one run"]),
        (["run", "torque", "--seed", "-1", "--emulate", "speedflight"], ["--seed -1"]),
        (["run", "torque", "--seconds", "1e9", "--emulate", "speedflight"], ["--seconds", "at most"]),
        (["ctl", "status", "--json", "/nowhere/x.json"], ["--json", "/nowhere"]),
        (["run", "torque", "--seconds", "nan", "--emulate", "speedflight"], ["--seconds"]),
        (["run", "torque", "--port", "imu"], ["NAME=PATH"]),
        (["run", "torque", "--port", "lens=/dev/null"], ["lens"]),
        (["run", "none"], ["none"]),
        (["replay", "pyproject.toml", "--verify"], ["pyproject.toml"]),
        (["replay", "missing.mcap", "--verify"], ["missing.mcap"]),
        (["sim", "bench", "--render", "/nowhere/x.mp4"], ["--render", "/nowhere"]),
        (["sim", "bench", "--bound"], ["--bound", "stands still"]),
        (["sim", "--all", "--render", "x.mp4"], ["--render", "--all"]),
        (["sim", "--all", "--controller", "pid"], ["--controller", "--all"]),
        *[
            (["sim", "speedflight", "--worth", *words], [words[0], "--worth"])
            for words in (
                ["--mode", "lock"],
                ["--controller", "full"],
                ["--plot", "p.png"],
                ["--report", "r.html"],
                ["--render", "r.mp4"],
                ["--log", "l.mcap"],
                ["--bound"],
                ["--seeds", "2"],
                ["--track", "t.csv"],
            )
        ],
        *[(["doctor", "--seconds", seconds], ["--seconds", "more than 0"]) for seconds in ("nan", "-1", "0", "inf")],
        (["doctor", "torque", "--port", "nonsense"], ["NAME=PATH"]),
        (["doctor", "torque", "--port", "lens=/dev/null"], ["lens", "imu"]),
        (["doctor", "--port", "imu=/dev/null"], ["name the rig"]),
        (["run", "torque"], ["no port is named for imu, motors", "--emulate"]),
        (["run", "torque", "--port", "imu=/dev/null"], ["no port is named for motors"]),
        (["vision", "x.mp4", "--rig", "torque"], ["no device that takes bearings", "--to"]),
        (["vision", "x.mp4", "--rig", "torque_camera", "--latency-ms", "nan"], ["--latency-ms"]),
        (["vision", "x.mp4", "--rig", "torque_camera", "--exposure-us", "-1"], ["--exposure-us"]),
        (["vision", "x.mp4", "--rig", "torque_camera", "--box", "2", "0", "0"], ["--box"]),
        (["vision", "x.mp4", "--rig", "torque_camera", "--json", "/nowhere/x.json"], ["--json", "/nowhere"]),
        (["calibrate", "gyro", "torque", "--json", "/nowhere/x.json"], ["--json", "/nowhere"]),
        (["why", "logs", "--json", "/nowhere/x.json"], ["--json", "/nowhere"]),
        (["devices", "probe"], ["probe PORT"]),
        (["devices", "probe", "/dev/null", "--driver", "vesk"], ["vesk", "vesc"]),
        (["devices", "probe", "/dev/null", "--ids", "one"], ["--ids"]),
    ],
    ids=lambda x: "_".join(x) if isinstance(x, list) and len(x[0]) < 12 else "",
)
def test_bad_usage_is_one_paragraph_and_exit_code_2(argv, words, capsys):
    assert main(argv) == 2
    text = capsys.readouterr()
    said = text.err + text.out
    assert "Traceback" not in said
    for word in words:
        assert word in said


def test_an_unknown_command_is_bad_usage():
    assert run("fly").returncode == 2


def test_an_unwritable_compile_cache_says_so(tmp_path):
    blocked = tmp_path / "file"
    blocked.write_text("")
    import os

    env = {**os.environ, "GIMBAL_CACHE_DIR": str(blocked / "cache")}
    out = subprocess.run(
        [sys.executable, "-m", "gimbal", "warmup"], capture_output=True, text=True, env=env, timeout=120
    )
    assert out.returncode == 1
    assert "GIMBAL_CACHE_DIR" in out.stderr and "Traceback" not in out.stderr


def test_sim_writes_its_figures_and_its_picture(tmp_path, capsys):
    files = {name: tmp_path / name for name in ("out.json", "plot.png", "log.mcap")}
    argv = ["sim", "speedflight", "--seconds", "9", "--mode", "track", "--json", str(files["out.json"])]
    assert main([*argv, "--plot", str(files["plot.png"]), "--log", str(files["log.mcap"])]) == 0
    figures = json.loads(files["out.json"].read_text())
    assert figures["scenario"] == "speedflight" and figures["ticks"] == 9000 and figures["controller"] == "full"
    assert figures["jitter_urad_rms"]["total"] > 0
    assert files["plot.png"].read_bytes().startswith(b"\x89PNG") and files["plot.png"].stat().st_size > 20_000
    assert main(["replay", str(files["log.mcap"]), "--verify"]) == 0
    assert "identical" in capsys.readouterr().out
