"""``gimbal run --arm``: one wish to arm, kept while the start-up takes its time, and dropped for anything else.

Somebody who closes the wired stop, plugs a motor in again or says disarm meanwhile doesn't count on motors that arm by
themselves: what isn't a part of starting up ends the wish.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from gimbal import faults
from gimbal.faults import Blocker, Code
from gimbal.records import Arm, Verb

LINK_TICKS = 250  # joints or IMU heard before and gone for as long: unplugged or switched off, not a late reading
# What ends by itself when the start has ended: nothing known yet, or a machine that was busy.
STARTING = (
    Code.NONE, Code.IMU_SILENT, Code.MOTOR_SILENT, Code.MOTOR_LATE, Code.ESTIMATOR_FAILED, Code.IMU_LATE,
    Code.LOOP_STALLED,
)  # fmt: skip
_DEVICES = 1 << Blocker.IMU | 1 << Blocker.JOINTS
_FINAL = 1 << Blocker.WIRED_STOP | 1 << Blocker.MOVING | 1 << Blocker.LATCHED


class ArmWish:
    """Fed with every TICK row until it is granted or ``dropped`` says why not; ``armed`` by whoever it was."""

    def __init__(self) -> None:
        self.state, self.dropped, self.armed = Arm.BOOT, "", False
        self._heard, self._gone = False, 0

    def see(self, rows: np.ndarray) -> None:
        """Judge rows in order."""
        if self.armed or self.dropped:
            return
        for row in rows:
            self.state = Arm(int(row["health"]["arm"]))
            self.armed = self.armed or self.state == Arm.ARMED
            if not self.dropped and not self.armed:
                self.dropped = self._reason(row)

    def _reason(self, row: Any) -> str:
        health = row["health"]
        bits, now = int(health["blockers"]), int(health["fault_now"])
        if self.state == Arm.SAFE:
            return "the gimbal is in its safe state: " + faults.sentence(int(health["fault"]))
        if int(row["inbox"]["verb"]) == Verb.DISARM:
            return "another client said disarm"
        if bits & _FINAL:
            return "; ".join(faults.blocker_sentences(bits & _FINAL))
        if now not in STARTING:
            return faults.sentence(now)
        self._gone = self._gone + 1 if self._heard and bits & _DEVICES else 0
        self._heard = self._heard or not bits & _DEVICES
        if self._gone > LINK_TICKS:
            return "a device was heard and is gone: " + "; ".join(faults.blocker_sentences(bits & _DEVICES))
        return ""
