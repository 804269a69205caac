"""The plant as an object: a rig's physics on a scenario's carrier. The loop's rig and the emulators sit on it."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from gimbal import records
from gimbal.config.scenario import Scenario
from gimbal.config.schema import Rig
from gimbal.plant import assemble, base_motion, step
from gimbal.plant.motion import Motion
from gimbal.plant.sensors import warm_up
from gimbal.plant.state import TRUTH


class Plant:
    """Physics of a rig on a carrier, from t0_ns on.

    Args:
        rig: the rig as it truly is.
        scenario: carrier and target.
        seconds: how long the carrier's motion is made for; afterwards the mount stands still.
        track: file that overrides the scenario's target.
        command_delay_s: from set_joint_command to the torque loop's input.
        substep_ns: integration step.
    """

    def __init__(
        self,
        rig: Rig,
        scenario: Scenario,
        *,
        seed: int = 1,
        seconds: float | None = None,
        track: str | None = None,
        t0_ns: int = 0,
        command_delay_s: float = 0.0,
        substep_ns: int = assemble.SUBSTEP_NS,
        motion: Motion | None = None,
    ) -> None:
        self.rig, self.scenario = rig, scenario
        self.params = assemble.params(rig, seed, t0_ns, substep_ns, scenario.errors)
        p = self.params[0]
        if motion is None:
            motion = base_motion.make(scenario, seed, scenario.seconds if seconds is None else seconds, track)
        self.tables = assemble.add_tables(p, motion)
        if scenario.box and rig.camera.box_rate_hz > 0.0:
            p["box_period_ns"] = round(1e9 / rig.camera.box_rate_hz)
        self.state = assemble.state(p, seed, t0_ns)
        self._command = np.zeros(1, records.COMMAND)
        # evaluate the base alone, put the joints where the camera is level and still, then start
        start = self.state.copy()
        step.run(self.params, start, self.tables, self._command, -1, 0)
        angle, rate = np.zeros(3), np.zeros(3)  # a hand holds the camera at its marks
        if scenario.hand == "none":
            angle, rate = assemble.level_joints(p, start[0]["q_NB"], start[0]["omega_NB_B"])
        self.place(angle, rate)
        self._row = np.zeros(1, TRUTH)
        self._sense = np.zeros(1, records.SENSE)
        self._delay_ns = round(command_delay_s * 1e9)
        self._carry_s = 0.0
        self._h_s = float(p["h_s"])

    def place(self, joint_angle: Sequence[float] | np.ndarray, joint_rate: Sequence[float] | np.ndarray) -> None:
        """Set the joints (rad, rad/s; roll, pitch, yaw) and settle the sensors: only before the first advance."""
        s = self.state[0]
        s["angle"] = s["motor_angle"] = joint_angle
        s["rate"] = s["motor_rate"] = joint_rate
        step.run(self.params, self.state, self.tables, self._command, -1, 0)

    @property
    def t_ns(self) -> int:
        return int(self.state[0]["t_ns"])

    def advance(self, dt_s: float) -> int:
        """Move on by dt_s in whole substeps (the rest is kept for the next call). Returns the plant's time, ns."""
        self._carry_s += dt_s
        n = math.floor(self._carry_s / self._h_s + 1e-6)
        if n > 0:
            self._carry_s -= n * self._h_s
            step.run(self.params, self.state, self.tables, self._command, -1, n)
        return int(self.state[0]["t_ns"])

    def set_joint_command(
        self, axis: int, mode: int, torque: float = 0.0, rate: float = 0.0, angle: float = 0.0
    ) -> None:
        """Command one joint (JointMode; N m, rad/s, rad); the others keep theirs."""
        c = self._command[0]
        c["mode"][axis] = mode
        c["joint_torque_cmd"][axis] = torque
        c["joint_rate_cmd"][axis] = rate
        c["joint_angle_cmd"][axis] = angle
        step.enqueue(self.params, self.state, self._command, self._delay_ns)

    def brake(self) -> None:
        """Short every motor's phases at once, dropping what is on its way."""
        s = self.state[0]
        s["pend_head"] = s["pend_tail"]
        s["mode"] = records.JointMode.BRAKE
        s["cmd_torque"] = 0.0
        self._command["mode"] = records.JointMode.BRAKE
        self._command["joint_torque_cmd"] = 0.0

    def joint_state(self, axis: int) -> dict[str, Any]:
        """What axis's controller knows now: t_ns, angle, rate, torque, temperature, bus voltage, fault, mode."""
        r = self._sense[0]
        step.read_joints(self.params, self.state, self._sense)
        return {
            "t_ns": int(r["joint_t_ns"][axis]),
            "angle": float(r["joint_angle"][axis]),
            "rate": float(r["joint_rate"][axis]),
            "torque": float(r["joint_torque_applied"][axis]),
            "temp_degC": float(r["motor_temp_degC"][axis]),
            "bus_V": float(r["bus_V"]),
            "fault": int(r["motor_fault"][axis]),
            "mode": int(self.state[0]["mode"][axis]),
        }

    def imu_samples(self) -> list[tuple[int, np.ndarray, np.ndarray, bool]]:
        """IMU samples since the last call, oldest first: t_ns, gyro (3,) rad/s, accel (3,) m/s², clipped."""
        s = self.state[0]
        samples = []
        size = s["imu_t_ns"].size
        for j in range(int(s["imu_head"]), int(s["imu_tail"])):
            i = j % size
            samples.append(
                (int(s["imu_t_ns"][i]), s["imu_gyro"][i].copy(), s["imu_accel"][i].copy(), bool(s["imu_clipped"][i]))
            )
        s["imu_head"] = s["imu_tail"]
        return samples

    def carrier_samples(self) -> list[tuple[int, np.ndarray, np.ndarray, bool]]:
        """The same of the IMU on the carrier; none where the rig has none."""
        r = self.state[0]["carrier"]
        size = r["t_ns"].size
        held = [j % size for j in range(int(r["head"]), int(r["tail"]))]
        r["head"] = r["tail"]
        return [(int(r["t_ns"][i]), r["gyro"][i].copy(), r["accel"][i].copy(), False) for i in held]

    def imu_surroundings(self) -> tuple[float, np.ndarray]:
        """The IMU's temperature (degC) and its newest magnetometer sample (3,), uT, zeros without one."""
        p, s = self.params[0], self.state[0]
        return float(p["air_degC"] + warm_up(p, s)), s["mag"]

    def gnss_fix(self, arrived: bool = True) -> dict[str, Any] | None:
        """The oldest fix not taken yet: t_ns, arrival_ns, pos_N, vel_N, pos_std, vel_std. None: nothing new.

        Args:
            arrived: only one whose latency has passed; False: as soon as it is measured (the caller delays it).
        """
        return self._fix("gnss", arrived)

    def beacon_fix(self, arrived: bool = True) -> dict[str, Any] | None:
        """The same of the target's beacon, lost packets left out."""
        return self._fix("beacon", arrived)

    def _fix(self, name: str, arrived: bool) -> dict[str, Any] | None:
        s, c = self.state[0], self.params[0][name]
        r = s[name]
        if r["head"] == r["tail"]:
            return None
        i = int(r["head"]) % r["t_ns"].size
        if arrived and r["arrival_ns"][i] > s["t_ns"]:
            return None
        r["head"] += 1
        return {
            "t_ns": int(r["t_ns"][i]),
            "arrival_ns": int(r["arrival_ns"][i]),
            "pos_N": r["pos_N"][i].copy(),
            "vel_N": r["vel_N"][i].copy(),
            "pos_std": math.hypot(c["walk_std_m"], c["white_m"]),
            "vel_std": float(c["vel_std_m_s"]),
            "heading": float(r["heading"][i]) if c["heading_std"] > 0.0 else math.nan,
        }

    def truth(self) -> dict[str, Any]:
        """q_NC (4,), camera_pos_N (3,), target_pos_N (3,) or None, now."""
        self.truth_into(self._row)
        r = self._row[0]
        return {
            "q_NC": r["q_NC"].copy(),
            "camera_pos_N": r["camera_pos_N"].copy(),
            "target_pos_N": r["target_pos_N"].copy() if r["has_target"] else None,
        }

    def truth_into(self, row: np.ndarray) -> None:
        """Fill a one-element TRUTH array (gimbal.plant.state)."""
        step.truth(self.params, self.state, self.tables, row)
