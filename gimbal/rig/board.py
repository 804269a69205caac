"""A gimbal board with its own inner loop behind the Rig protocol: its rows into SENSE, COMMAND and the carrier to it.

A board's heading starts anywhere and drifts, and its level is its own. So an attitude is never sent as it is: it is
turned into the board's frame by what lies between its own attitude and ours, followed slowly.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from firmware_bridge.angles import conjugate, multiply, quat_of, unit
from firmware_bridge.gimbal_interface import GIMBAL_ROW, CarrierState, GimbalHas, GimbalMode
from firmware_bridge.interface import BridgeFault
from gimbal.records import JointMode
from gimbal.rig.line import Line

REPORTS = 4  # rows of one look
_STOPS, _STOP_EVERY_S = 20, 0.02
_FOLLOW_S = 3.0  # how slowly the rotation between the two frames is followed
_MODE = {JointMode.RATE: GimbalMode.RATE, JointMode.ANGLE: GimbalMode.ATTITUDE}


class Board:
    """One gimbal board's place in the rig. ``direction`` and ``zero`` are the joints', by axis."""

    def __init__(self, line: Line, direction: list[float], zero: list[float], dt_s: float, feed: bool) -> None:
        self.line, self.feed, self._dt_s = line, feed, dt_s
        self._direction, self._zero = direction, zero
        self._rows = np.zeros(REPORTS, GIMBAL_ROW)
        self._q: tuple[float, float, float, float] | None = None  # camera in the board's frame, its newest
        self._t_ns = 0
        self._rate = (0.0, 0.0, 0.0)
        self._between: tuple[float, float, float, float] | None = None  # N -> the board's frame
        self._armed, self._stopped = False, int(JointMode.OFF)
        self._stops = self._wait = 0

    def read(self, sense: np.ndarray) -> int:
        """Poll the driver into a one-element SENSE array; its count or status."""
        count = int(self.line.driver.poll(self._rows))
        if count <= 0:
            return count
        row = self._rows[count - 1]
        euler, has = row["euler_rad"].tolist(), int(row["has"])
        self._q, self._t_ns = quat_of(euler), int(row["t_ns"])
        self._rate = tuple(row["rate_C"].tolist()) if has & GimbalHas.RATE else (0.0, 0.0, 0.0)
        if has & GimbalHas.JOINT:
            angles = [s * (x - z) for s, x, z in zip(self._direction, row["joint_rad"].tolist(), self._zero)]
        else:
            angles = as_if_level(self._q)
        sense["joint_valid"][0] = 1
        sense["joint_t_ns"][0] = int(row["joint_t_ns"]) or self._t_ns  # an old one is told from a new by its time
        sense["joint_angle"][0] = angles
        sense["motor_temp_degC"][0] = row["temp_degC"]
        sense["bus_V"][0] = row["voltage_V"]
        fault = int(row["fault"])
        if not fault and self._armed and row["mode"] < 0:
            fault = int(BridgeFault.NOT_READY)
        sense["motor_fault"][0] = fault
        return count

    def write(self, command: np.ndarray) -> int:
        """Send a one-element COMMAND array; 0 = good, else the driver's negative status."""
        c, driver = command[0], self.line.driver
        mode = int(c["mode"][0])
        if self.feed and c["carrier"]["valid"]:
            self._tell(c["carrier"])
        if mode not in _MODE:
            self._between = None
            return self._stop(mode)
        if not self._armed:
            self._armed = True
            status = int(driver.arm())
            if status < 0:
                return status
        q = self._to_board(c) if mode == JointMode.ANGLE else (1.0, 0.0, 0.0, 0.0)
        if q is None:
            return int(driver.command(GimbalMode.RATE))
        return int(driver.command(_MODE[JointMode(mode)], rate_C=c["camera_rate_cmd_C"].tolist(), q=q))

    def _stop(self, mode: int) -> int:
        """Off or braked: said anew until it has gone out often enough, for a frame can be lost and a port be gone."""
        if self._armed or mode != self._stopped:
            self._stops, self._wait = _STOPS, 0
        self._armed, self._stopped = False, mode
        self._wait -= 1
        if not self._stops or self._wait >= 0:
            return 0
        self._wait = round(_STOP_EVERY_S / self._dt_s)
        status = int(self.line.driver.safe("brake" if mode == JointMode.BRAKE else "off"))
        self._stops -= status == 0
        return status

    def _to_board(self, c: Any) -> tuple[float, float, float, float] | None:
        """The commanded attitude in the board's frame; None while the board has told none."""
        q_NC = unit(c["carrier"]["q_NC_est"].tolist())
        if self._q is None or q_NC is None:
            return None
        age_s = 0.5 * max(-0.05, min(0.1, 1e-9 * (int(c["carrier"]["t_ns"]) - self._t_ns)))
        turn = unit((1.0, *(age_s * w for w in self._rate)))  # the row brought to the estimate's moment
        now = multiply(multiply(self._q, turn or (1.0, 0.0, 0.0, 0.0)), conjugate(q_NC))
        self._between = now if self._between is None else _toward(self._between, now, self._dt_s / _FOLLOW_S)
        return multiply(self._between, c["q_NC_cmd"].tolist())

    def _tell(self, carrier: Any) -> None:
        q = carrier["q_NB_est"].tolist()
        level = not int(self._rows[0]["has"]) & GimbalHas.JOINT
        if level:  # without encoders the mount's tilt is not known: its heading and velocity are
            yaw = math.atan2(2.0 * (q[1] * q[2] + q[0] * q[3]), 1.0 - 2.0 * (q[2] * q[2] + q[3] * q[3]))
            q = list(quat_of((0.0, 0.0, yaw)))
        state = CarrierState(
            int(carrier["t_ns"]), tuple(q), tuple(carrier["omega_NB_B_est"].tolist()),
            tuple(carrier["vel_N_est"].tolist()), tuple(carrier["force_B"].tolist()),
            attitude_delay_s=2.0 * self._dt_s, velocity_delay_s=2.0 * self._dt_s,
            heading_valid=bool(carrier["heading_valid"]), vel_valid=bool(carrier["heading_valid"]),
        )  # fmt: skip
        self.line.driver.feed_carrier(state)


def as_if_level(q: tuple[float, float, float, float]) -> list[float]:
    """Joint angles of a mount that is level and heads where the camera does, for boards that tell no encoders."""
    w, x, y, z = q
    down = (2.0 * (x * z - w * y), 2.0 * (y * z + w * x), 1.0 - 2.0 * (x * x + y * y))  # earth's down, camera axes
    return [math.asin(max(-1.0, min(1.0, down[1]))), math.atan2(-down[0], down[2]), 0.0]


def _toward(a: Any, b: Any, share: float) -> tuple[float, float, float, float]:
    """From quaternion a a small share of the way to b."""
    sign = 1.0 if sum(x * y for x, y in zip(a, b)) >= 0.0 else -1.0
    mixed = unit([x + share * (sign * y - x) for x, y in zip(a, b)])
    return mixed or b
