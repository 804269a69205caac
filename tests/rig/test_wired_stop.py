"""The wired stop's contact: senses, latches, fails to the safe side, and is refused where it can't be read."""

from __future__ import annotations

import os
import threading
import time

import numpy as np
import pytest

from firmware_bridge.memory_transport import MemoryTransport
from firmware_bridge.transport import SerialTransport
from gimbal.config.load import load_rig
from gimbal.config.pack import pack_params
from gimbal.errors import UsageError
from gimbal.faults import Code
from gimbal.loop.pipeline import new_state, step
from gimbal.records import COMMAND, INBOX, SENSE, TICK, Arm, JointMode
from gimbal.rig.wired_stop import WiredStop
from tests.contract.rig_flight import MemoryRig


class ContactRig(MemoryRig):
    """The reference rig with a closed chain on its GNSS receiver's adapter."""

    def __init__(self) -> None:
        super().__init__("torque", "bench", 5.0)
        safety = self.config.safety.model_copy(update={"wired_stop_device": "gnss", "wired_stop_line": "dsr"})
        self.config = self.config.model_copy(update={"safety": safety})

    def _connect(self, path, baud):
        line = super()._connect(path, baud)
        if path == "gnss":
            self.contact = line.asserted = {"dsr"}
        return line


def test_an_opened_chain_latches_and_closing_it_arms_nothing():
    rig = ContactRig()
    params, row = pack_params(rig.config, start_armed=True), np.zeros(1, TICK)
    state, sense, command = new_state(params), np.zeros(1, SENSE), np.zeros(1, COMMAND)
    rig.open({"dt_s": 0.001, "seed": 1, "kinematic_order": list(rig.config.kinematic_order), "t0_ns": 10**12})

    def fly(ticks):
        for _ in range(ticks):
            sense[:] = 0
            rig.read(sense)
            step(params, state, sense, np.zeros(1, INBOX), command, row)
            rig.write(command)
        return row["health"]["arm"][0], row["health"]["fault"][0]

    assert fly(1500) == (Arm.ARMED, 0)
    rig.contact.clear()
    assert fly(1) == (Arm.SAFE, Code.WIRED_STOP)
    assert (command["mode"] == JointMode.BRAKE).all()
    rig.contact.add("dsr")
    assert fly(300) == (Arm.SAFE, Code.WIRED_STOP)
    rig.close()


def test_a_port_that_is_gone_counts_as_open():
    line = MemoryTransport("gnss", time.monotonic_ns)
    line.asserted = {"cts"}
    contact = WiredStop("gnss", line, "cts", threaded=True)
    try:
        assert not contact.open
        line.lost = True
        until = time.monotonic() + 10.0
        while not contact.open and time.monotonic() < until:
            time.sleep(0.002)
        assert contact.open
    finally:
        contact.close()


class Hanging(MemoryTransport):
    """A port whose adapter doesn't come back with the state of its lines."""

    def __init__(self):
        super().__init__("gnss", time.monotonic_ns)
        self.asserted, self.answers = {"cts"}, threading.Event()
        self.answers.set()

    def control_line(self, name):
        self.answers.wait()
        return super().control_line(name)


def test_an_answer_that_does_not_come_counts_as_open():
    line = Hanging()
    contact = WiredStop("gnss", line, "cts", threaded=True)

    def until(is_open):
        end = time.monotonic() + 10.0
        while contact.open is not is_open and time.monotonic() < end:
            time.sleep(0.002)
        return contact.open is is_open

    try:
        assert until(False)
        line.answers.clear()
        assert until(True), "the last answer stood for ever"
        line.answers.set()
        assert until(False)
    finally:
        line.answers.set()
        contact.close()


def test_a_port_without_such_lines_is_refused_before_the_flight():
    master, slave = os.openpty()
    port = SerialTransport(os.ttyname(slave), 115200)
    try:
        with pytest.raises(UsageError, match="tells nothing of CTS"):
            WiredStop("gnss", port, "cts", threaded=False)
    finally:
        port.close()
        os.close(slave)
        os.close(master)


def test_a_device_that_is_not_there_is_named(tmp_path):
    text = load_rig("torque").text
    rig = tmp_path / "rig.toml"
    rig.write_text(text + '\n[safety]\nwired_stop_device = "stop"\n')
    with pytest.raises(Exception, match="none of \\[devices\\]: beacon, gnss, imu, motors"):
        load_rig(str(rig))


def test_a_radio_whose_port_the_loop_never_reads_is_refused(tmp_path):
    text = load_rig("torque").text
    rig = tmp_path / "rig.toml"
    rig.write_text(text + '\n[devices.stick]\ndriver = "sbus"\n[safety]\nwired_stop_device = "stick"\n')
    with pytest.raises(Exception, match="'stick', which is none of .* the loop opens: beacon, gnss, imu, motors"):
        load_rig(str(rig))


def test_a_contact_that_nobody_reads_is_refused_at_the_start():
    rig = ContactRig()
    safety = rig.config.safety.model_copy(update={"wired_stop_device": "stick"})
    rig.config = rig.config.model_copy(update={"safety": safety})
    with pytest.raises(UsageError, match="nobody would read"):
        rig.open({"dt_s": 0.001, "seed": 1, "kinematic_order": list(rig.config.kinematic_order), "t0_ns": 10**12})
    rig.close()
