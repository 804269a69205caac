"""``--arm`` waits for the start-up and for nothing else."""

from __future__ import annotations

import numpy as np
import pytest

from gimbal.daemon.arm_wish import LINK_TICKS, ArmWish
from gimbal.faults import Blocker, Code
from gimbal.records import TICK, Arm, Verb


def rows(n: int = 1, *, arm: int = Arm.SELF_TEST, blockers: tuple[int, ...] = (), now: int = 0, verb: int = 0):
    made = np.zeros(n, TICK)
    made["health"]["arm"], made["health"]["fault_now"], made["inbox"]["verb"] = arm, now, verb
    made["health"]["blockers"] = sum(1 << b for b in blockers)
    return made


def test_it_waits_for_what_is_not_there_yet():
    wish = ArmWish()
    start = (Blocker.SELF_TEST, Blocker.IMU, Blocker.JOINTS, Blocker.ESTIMATOR, Blocker.FAULT)
    wish.see(rows(2000, blockers=start, now=Code.IMU_SILENT))
    wish.see(rows(100, blockers=start, now=Code.ESTIMATOR_FAILED))
    wish.see(rows(1, arm=Arm.IDLE, blockers=(Blocker.FAULT,), now=Code.LOOP_STALLED))  # the machine was busy
    wish.see(rows(100, arm=Arm.IDLE))
    assert wish.state == Arm.IDLE and not wish.dropped and not wish.armed
    wish.see(rows(1, arm=Arm.ARMED))
    assert wish.armed


@pytest.mark.parametrize(
    ("seen", "says"),
    [
        (rows(blockers=(Blocker.SELF_TEST, Blocker.WIRED_STOP), now=Code.WIRED_STOP), "wired stop"),
        (rows(blockers=(Blocker.SELF_TEST, Blocker.FAULT), now=Code.WIRED_STOP), "wired stop"),  # by its voltage
        (rows(blockers=(Blocker.MOVING,)), "turning"),
        (rows(blockers=(Blocker.FAULT,), now=Code.MOTOR_FAULT), "motor controller reports a fault"),
        (rows(blockers=(Blocker.FAULT,), now=Code.MOTOR_LINK_LOST), "port is gone"),
        (rows(arm=Arm.IDLE, verb=Verb.DISARM), "disarm"),
        (rows(arm=Arm.SAFE, blockers=(Blocker.LATCHED,)), "safe state"),
    ],
    ids=["wired", "supply", "moving", "motor fault", "link", "disarm", "safe"],
)
def test_it_is_dropped_and_stays_dropped(seen, says):
    wish = ArmWish()
    wish.see(rows(50, blockers=(Blocker.SELF_TEST,)))
    wish.see(seen)
    wish.see(rows(1000, arm=Arm.IDLE))  # somebody mended it: the motors don't arm by themselves
    assert says in wish.dropped


def test_devices_switched_off_and_on_again_end_it():
    wish = ArmWish()
    wish.see(rows(50, blockers=(Blocker.SELF_TEST,)))
    gone = dict(blockers=(Blocker.SELF_TEST, Blocker.JOINTS, Blocker.FAULT), now=Code.MOTOR_SILENT)
    wish.see(rows(LINK_TICKS, **gone))
    assert not wish.dropped
    wish.see(rows(1, **gone))
    assert "joint" in wish.dropped
