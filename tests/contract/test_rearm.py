"""Every rig file: disarm, off and STOP are left again by the operator's word, and the camera doesn't lurch."""

from __future__ import annotations

import numpy as np
import pytest

from gimbal.config.pack import pack_params
from gimbal.faults import Code
from gimbal.loop.lockstep import START_NS
from gimbal.loop.pipeline import new_state, step
from gimbal.records import COMMAND, INBOX, SENSE, TICK, Arm, JointMode, Mode, Verb
from tests.contract.rig_flight import MemoryRig, rigs


class Hand:
    """An operator at a rig in flight."""

    def __init__(self, name: str) -> None:
        self.rig = MemoryRig(name, "speedflight", 20.0)
        self.params = pack_params(self.rig.config, start_armed=True)
        self.state, self.row = new_state(self.params), np.zeros(1, TICK)
        self.sense, self.command, self.inbox = np.zeros(1, SENSE), np.zeros(1, COMMAND), np.zeros(1, INBOX)
        self.state["arbiter"]["mode"] = Mode.LOCK
        self.dt_s = 1.0 / self.rig.config.loop_rate_hz
        self.rig.open({"dt_s": self.dt_s, "seed": 1, "kinematic_order": list(self.rig.config.kinematic_order),
                       "t0_ns": START_NS})  # fmt: skip
        self.fastest = 0.0

    def says(self, verb: Verb, mode: Mode = Mode.OFF) -> None:
        box = self.inbox[0]
        box["seq"] += 1
        box["owner"], box["verb"], box["mode"] = 1, int(verb), int(mode)
        box["deadline_ns"] = int(self.sense["t_ns"][0]) + 100_000_000

    def flies(self, seconds: float) -> tuple[int, int]:
        self.fastest = 0.0
        for _ in range(round(seconds / self.dt_s)):
            self.sense[:] = 0
            self.rig.read(self.sense)
            step(self.params, self.state, self.sense, self.inbox, self.command, self.row)
            self.rig.write(self.command)
            self.fastest = max(self.fastest, float(np.abs(self.row["nav"]["omega_NC_C_est"]).max()))
        return int(self.row["health"]["arm"][0]), int(self.row["health"]["fault"][0])


@pytest.mark.parametrize("name", rigs())
def test_disarm_off_and_stop_are_left_by_the_operators_word(name):
    hand = Hand(name)
    try:
        assert hand.flies(2.5) == (Arm.ARMED, 0)
        hand.says(Verb.DISARM)
        assert hand.flies(0.3) == (Arm.IDLE, 0)
        assert (hand.command["mode"] == JointMode.OFF).all()
        hand.says(Verb.ARM)
        assert hand.flies(1.2) == (Arm.ARMED, 0)
        hand.says(Verb.MODE, Mode.OFF)
        assert hand.flies(0.5) == (Arm.ARMED, 0)
        hand.says(Verb.MODE, Mode.LOCK)
        assert hand.flies(1.2) == (Arm.ARMED, 0)
        assert hand.fastest < 2.5  # rad/s: caught from where it hung, by the ramp
        hand.inbox["stop_count"] += 1
        assert hand.flies(0.3) == (Arm.SAFE, Code.OPERATOR_STOP)
        hand.says(Verb.ACK)
        assert hand.flies(0.3) == (Arm.IDLE, 0)
        hand.says(Verb.ARM)
        assert hand.flies(1.2) == (Arm.ARMED, 0)
    finally:
        hand.rig.close()
