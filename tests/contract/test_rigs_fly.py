"""Every rig file whose controllers take torque flies the speedflight scenario over emulated devices, in lock-step.

Bounded on both sides: a horizon or a pointing that is better than its estimator can know would be truth leaking in.
"""

from __future__ import annotations

import pytest

from gimbal.config.load import load_rig
from gimbal.errors import UsageError
from tests.contract.rig_flight import MemoryRig, fly, flyable, rigs

SECONDS = 4.0
# RMS over the second half, deg: the camera still turns to where north is found.
HORIZON_DEG, POINTING_DEG = (0.05, 6.0), (0.3, 20.0)
SHAKE_URAD = (300.0, 20_000.0)  # against the line of sight, estimator's settling included


@pytest.mark.parametrize("rig", [rig for rig in flyable() if rig != "torque_fast"])
def test_the_rig_flies(rig):
    flight = fly(rig, SECONDS)
    assert flight["faults"] == [] and flight["link_lost"] == 0
    assert flight["armed"] == 1.0
    assert HORIZON_DEG[0] < flight["horizon_deg"] < HORIZON_DEG[1]
    assert POINTING_DEG[0] < flight["pointing_deg"] < POINTING_DEG[1]
    assert SHAKE_URAD[0] < flight["shake_urad"] < SHAKE_URAD[1]
    assert set(flight["identities"]) == set(load_rig(rig).config.devices)


def test_a_loop_faster_than_its_line_is_refused_with_the_arithmetic():
    """2 kHz on one CAN bus of three moteus: 6 frames a cycle don't fit."""
    from firmware_bridge.errors import RateError

    with pytest.raises(RateError, match="2000 Hz asked, but the line carries 1502 Hz"):
        fly("torque_fast", 0.1)


def test_the_same_flight_gives_the_same_figures():
    first, second = fly("odrive", 1.0), fly("odrive", 1.0)
    assert [first[key] for key in ("horizon_deg", "pointing_deg", "shake_urad")] == [
        second[key] for key in ("horizon_deg", "pointing_deg", "shake_urad")
    ]


@pytest.mark.parametrize("rig", sorted(set(rigs()) - set(flyable())))
def test_a_rig_around_a_gimbal_board_is_refused_by_name(rig):
    memory = MemoryRig(rig, "speedflight", 1.0)
    with pytest.raises(UsageError, match="can't be (flown|emulated)"):
        memory.open({"dt_s": 1.0 / memory.config.loop_rate_hz})


def test_every_motor_controller_has_a_rig():
    from firmware_bridge.registry import names

    used = {device.driver for rig in rigs() for device in load_rig(rig).config.devices.values()}
    assert set(names("motor")) | set(names("gimbal")) <= used
