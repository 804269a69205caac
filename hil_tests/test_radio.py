"""The real daemon with an operator's radio on a pty: arming by its switch, turning by its stick, and failsafe."""

from __future__ import annotations

import math
import time

import pytest

from hil_tests.harness import wait_for

MAP = """
[radio]
yaw_channel = 1
pitch_channel = 2
arm_channel = 6
mode_channel = 0
rate_deg_s = 40.0
[devices.radio]
driver = "{driver}"
baud = {baud}
options = {{ must_hear = false }}
"""


@pytest.mark.parametrize("driver, baud", [("sbus", 100000), ("crsf", 420000)])
def test_the_radio_arms_turns_and_its_failsafe_stops_the_turn(place, daemon, driver, baud):
    place.rig.write_text(place.rig.read_text() + MAP.format(driver=driver, baud=baud))
    gimbal = daemon("--mode", "lock")
    assert f"operator radio radio: {driver}" in gimbal.text().lower().replace("identity(device='", "")
    tell = gimbal.breaker

    def yaw() -> float:
        return math.degrees(tell.joints()["angle"][2])

    def still() -> bool:
        before = yaw()
        time.sleep(0.3)
        return abs(yaw() - before) < 0.3

    gimbal.await_state("idle")
    tell("channel 6 -1")
    time.sleep(0.5)
    tell("channel 6 1")
    gimbal.await_state("armed")
    wait_for("it holds still", still)
    start = yaw()
    tell("channel 1 1.0")
    wait_for("it turns", lambda: yaw() - start > 10.0)
    tell("failsafe on")
    wait_for("the turn has ended", still)
    tell("failsafe off")  # the stick is still out
    time.sleep(0.5)
    assert still() and gimbal.status()["state"] == "armed"
    tell("channel 1 0")
    time.sleep(0.3)
    stands = yaw()
    tell("channel 1 -1.0")
    wait_for("it turns back", lambda: stands - yaw() > 10.0)
    tell("channel 6 -1")
    gimbal.await_state("idle")
    assert gimbal.end() == 0
