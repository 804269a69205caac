"""The command line: help, exit codes, one-paragraph errors, and what must not be imported for them."""

from __future__ import annotations

import json
import subprocess
import sys

import pytest

from gimbal.__main__ import main


def run(*argv: str) -> subprocess.CompletedProcess:
    return subprocess.run([sys.executable, "-m", "gimbal", *argv], capture_output=True, text=True, timeout=300)


@pytest.mark.parametrize("command", ["sim", "run", "emulate", "ctl", "replay", "demo", "warmup", "bench", "devices"])
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
