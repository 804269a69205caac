"""Every rig file flies the speedflight scenario over emulated devices, in lock-step.

Bounded on both sides: a horizon or a pointing that is better than its estimator can know would be truth leaking in.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from firmware_bridge.emulators.pty_host import Wire
from firmware_bridge.errors import RateError
from gimbal.config.load import CONFIGS, load_rig
from gimbal.errors import UsageError
from gimbal.loop.lockstep import run_lockstep
from gimbal.rig.hardware import HardwareRig
from tests.contract.rig_flight import MemoryRig, fly, rigs

SECONDS = 4.0
# RMS over the second half, deg: the camera still turns to where north is found.
HORIZON_DEG, POINTING_DEG = (0.05, 6.0), (0.3, 20.0)
SHAKE_URAD = (300.0, 20_000.0)  # against the line of sight, estimator's settling included


@pytest.mark.parametrize("rig", rigs())
def test_the_rig_flies(rig):
    flight = fly(rig, SECONDS)
    assert flight["faults"] == [] and flight["link_lost"] == 0
    assert flight["armed"] == 1.0
    assert HORIZON_DEG[0] < flight["horizon_deg"] < HORIZON_DEG[1]
    assert POINTING_DEG[0] < flight["pointing_deg"] < POINTING_DEG[1]
    assert SHAKE_URAD[0] < flight["shake_urad"] < SHAKE_URAD[1]
    assert set(flight["identities"]) == set(load_rig(rig).config.devices)


@pytest.mark.parametrize("rig", rigs())
def test_no_device_sees_the_future(rig, monkeypatch):
    """A device that brings the world further than its own time has the others measure what is yet to come."""
    memory, ahead = MemoryRig(rig, "speedflight_track", 0.6), []

    def do_event(wire, t_ns, do=Wire.do_event):
        do(wire, t_ns)
        if memory.world.plant.t_ns > t_ns:
            ahead.append((wire.name, memory.world.plant.t_ns - t_ns))

    monkeypatch.setattr(Wire, "do_event", do_event)
    run_lockstep(memory, memory.config, 0.6, mode="track", seed=1)
    assert not ahead


def test_a_loop_faster_than_its_line_is_refused_with_the_arithmetic(tmp_path):
    """2 kHz on one CAN bus of three moteus: 6 frames a cycle don't fit."""
    text = Path(CONFIGS, "rigs/torque.toml").read_text(encoding="utf-8")
    hurried = tmp_path / "hurried.toml"
    hurried.write_text(text.replace("loop_rate_hz = 1000.0", "loop_rate_hz = 2000.0"), encoding="utf-8")
    with pytest.raises(RateError, match="2000 Hz asked, but the line carries 1502 Hz. 6 CAN-FD frames"):
        fly(str(hurried), 0.1)


def test_the_same_flight_gives_the_same_figures():
    first, second = fly("odrive", 1.0), fly("odrive", 1.0)
    assert [first[key] for key in ("horizon_deg", "pointing_deg", "shake_urad")] == [
        second[key] for key in ("horizon_deg", "pointing_deg", "shake_urad")
    ]


@pytest.mark.parametrize("output", ["rate", "angle"])
def test_a_controller_flies_in_each_output_it_has(output):
    flight = fly("odrive", SECONDS, control={"output": output, "feed_rate_hz": 6.0})
    assert flight["faults"] == [] and flight["armed"] == 1.0
    assert HORIZON_DEG[0] < flight["horizon_deg"] < HORIZON_DEG[1]
    assert SHAKE_URAD[0] < flight["shake_urad"] < 60_000.0


@pytest.mark.parametrize("output", ["rate", "angle"])
def test_a_board_flies_on_rates_and_on_attitudes(output):
    flight = fly("sbgc", SECONDS, control={"output": output})
    assert flight["faults"] == [] and flight["armed"] == 1.0
    assert HORIZON_DEG[0] < flight["horizon_deg"] < HORIZON_DEG[1]
    assert SHAKE_URAD[0] < flight["shake_urad"] < SHAKE_URAD[1]


def test_the_board_is_told_how_its_mount_moves():
    """Against the plant's truth: HELPER_DATA's acceleration and rates, and the attitude as two vectors."""
    memory = MemoryRig("sbgc", "speedflight", 3.0)
    told: list[tuple[np.ndarray, np.ndarray]] = []
    write = memory.write

    def note(command):
        helper = memory.host.wires["gimbal"].emulator.helper
        if "rate_rad_s" in helper:
            right, forward, down = helper["rate_rad_s"]
            told.append((np.array([forward, right, down]), memory.plant.state[0]["omega_NB_B"].copy()))
        return write(command)

    memory.write = note
    run_lockstep(memory, memory.config, 3.0, mode="track")
    said, true = (np.array(x) for x in zip(*told[len(told) // 3 :]))
    for axis in (0, 1):  # held for 40 ms, through camera, gyro and encoders: not the plant's own
        assert 0.7 < np.corrcoef(said[:, axis], true[:, axis])[0, 1] < 0.999
        assert 0.6 < np.std(said[:, axis]) / np.std(true[:, axis]) < 1.6


def test_a_board_without_its_section_and_a_section_without_its_board_are_refused():
    config = load_rig("sbgc").config
    bare = config.model_copy(
        update={"inner_loop": None, "control": config.control.model_copy(update={"output": "torque"})}
    )
    with pytest.raises(UsageError, match="needs a section"):
        HardwareRig(bare).open({"dt_s": 0.01})
    devices = {k: v for k, v in config.devices.items() if k != "gimbal"}
    with pytest.raises(UsageError, match="has none"):
        HardwareRig(config.model_copy(update={"devices": devices})).open({"dt_s": 0.01})


def test_every_motor_controller_has_a_rig():
    from firmware_bridge.registry import names

    used = {device.driver for rig in rigs() for device in load_rig(rig).config.devices.values()}
    assert set(names("motor")) | set(names("gimbal")) <= used
