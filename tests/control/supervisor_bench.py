"""A supervisor fed by hand, for its tests."""

from __future__ import annotations

import numpy as np

from gimbal.config.load import load_rig
from gimbal.config.pack import pack_params
from gimbal.control.rate_output import OUTPUT_STATE
from gimbal.control.supervisor import SUPERVISOR_STATE, supervise_command, supervise_state
from gimbal.records import COMMAND, CONTROL, HEALTH, MEAS, NAV, SENSE, Arm
from gimbal.targeting.arbiter import ARBITER_STATE

MS = 1_000_000


class Bench:
    """A supervisor fed by hand: everything is well until a test spoils it."""

    def __init__(self, rig="torque"):
        config = load_rig(rig).config
        self.p, self.dt_s = pack_params(config)[0]["supervisor"], 1.0 / config.loop_rate_hz
        self.s = np.zeros(1, SUPERVISOR_STATE)[0]
        self.sense, self.meas, self.nav = (np.zeros(1, d)[0] for d in (SENSE, MEAS, NAV))
        self.arbiter, self.health = (np.zeros(1, d)[0] for d in (ARBITER_STATE, HEALTH))
        self.control, self.push, self.explained = np.zeros(1, CONTROL)[0], np.zeros(3), 0
        self.command = np.zeros(1, COMMAND)[0]
        self.rates = np.zeros(1, OUTPUT_STATE)[0]
        self.torque, self.off = np.array([0.1, 0.2, 0.3]), False
        self.meas["joint_valid"] = self.meas["joint_new"] = 1
        self.nav["valid"] = self.nav["settled"] = 1
        self.sense["t_ns"] = 1000 * MS
        self.limits, self.alive = 0, True

    def tick(self, n=1, **wants):
        for name in ("want_arm", "want_disarm", "want_ack", "want_stop"):
            self.arbiter[name] = wants.get(name[5:], 0)
        for _ in range(n):
            self.sense["t_ns"] += round(1e9 * self.dt_s)
            self.meas["joint_angle_meas"] += 1e-12 * self.alive  # what measures never tells the same twice
            supervise_state(self.p, self.s, self.sense, self.meas, self.nav, self.arbiter, self.dt_s, self.health)
            self.control["torque_lim"] = self.torque
            self.limits = supervise_command(
                self.p, self.s, self.sense, self.meas, self.nav, self.control, self.push, self.explained,
                np.full(3, 3.0), self.off, self.rates, (1.0, 0.0, 0.0, 0.0), self.command,
            )  # fmt: skip
        return self.health["arm"]

    def armed(self):
        self.tick(200)
        assert self.tick(arm=1) == Arm.ARMED
        return self
