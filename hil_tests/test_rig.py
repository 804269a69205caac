"""``pytest hil_tests --rig RIG.toml``: on emulated devices at ports that the rig file names, as hardware's."""

from __future__ import annotations

import os
import re
import subprocess
import sys

from hil_tests.harness import REPO

HARMLESS = 3


def rig_with_ports(place, emulators) -> str:
    """The place's rig file, each device on the port where it is served; its name says whose it is."""
    text = re.sub(r'^name = "[^"]*"', 'name = "hil-on-ports"', place.rig.read_text(), count=1, flags=re.MULTILINE)
    for word in emulators.ports()[1::2]:
        name, _, port = word.partition("=")
        text = text.replace(f"[devices.{name}]\n", f'[devices.{name}]\nport = "{port}"\n')
    path = place.folder / "real.toml"
    path.write_text(text)
    return str(path)


def test_the_harmless_cases_run_on_a_rig_of_its_own_and_nothing_else_does(place, emulators):
    rig = rig_with_ports(place, emulators)
    command = [sys.executable, "-m", "pytest", "hil_tests/test_life.py", "hil_tests/test_unplug.py", "--rig", rig,
               "-q", "-rA", "-p", "no:cacheprovider", "--benchmark-skip"]  # fmt: skip
    environment = os.environ | {"PYTHONPATH": str(REPO)}
    done = subprocess.run(command, cwd=REPO, env=environment, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stdout + done.stderr
    passed = [line for line in done.stdout.splitlines() if line.startswith("PASSED")]
    assert len(passed) == HARMLESS, done.stdout
    assert "breaks things: not on real hardware" in done.stdout
    assert set(emulators.breaker.joints()["mode"]) <= {0, 4}  # never armed: off, or braked at the end
