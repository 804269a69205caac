"""The physics behind the Rig protocol, in lock-step: ``write`` moves the plant on by one tick."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from gimbal.config.scenario import Scenario
from gimbal.config.schema import Rig
from gimbal.errors import ConfigError
from gimbal.plant import assemble, step
from gimbal.plant.hand import hand_rate
from gimbal.plant.motion import Motion
from gimbal.plant.simulator import Plant
from gimbal.records import COMMAND, SENSE, JointMode
from gimbal.rig.joint_sense import believed, simulated


class PlantRig:
    """A simulated rig.

    Delay: ``read`` hands over the IMU samples up to this very tick, so the newest is 0 ms old (at 1 kHz), and a command
    acts on the torque loop's input ``delay.sample_to_torque_ms`` after its tick: reading, loop and wire together.

    Args:
        rig_config: the rig as it truly is (the controller may believe another).
        seed: used unless open's info names another.
        track: file that overrides the scenario's target.
        seconds: length of the carrier's motion, by default the scenario's.
        delays_ms: delays drawn per tick, in turn, instead of the config's fixed one. SENSE.sent_ns says afterwards
            which it was, as a loop knows when its bytes went out; one later by whole ticks than the soonest makes the
            loop skip as many.
        transit_ms: a sample is there for the first tick so long after its stamp.
        motion: a ready motion instead of the scenario's.
    """

    def __init__(
        self,
        rig_config: Rig,
        scenario: Scenario,
        *,
        seed: int = 1,
        track: str | None = None,
        seconds: float | None = None,
        delays_ms: Sequence[float] | None = None,
        transit_ms: float = 0.0,
        motion: Motion | None = None,
    ) -> None:
        self._config, self._scenario, self._seed, self._track = rig_config, scenario, seed, track
        self._seconds, self._motion = seconds, motion
        delays = [rig_config.delay.sample_to_torque_ms] if delays_ms is None else list(delays_ms)
        self._delays_ns = [round(d * 1e6) for d in delays]
        self._soonest_ns = min(self._delays_ns)
        self._transit_ns, self._under_way = round(transit_ms * 1e6), np.zeros(1, SENSE)
        self._tick = self._sent_ns = 0
        self.plant: Plant | None = None
        sign, zero = believed(rig_config)
        device_sign, device_zero = simulated(rig_config, scenario.errors)
        self._sign, self._offset = sign * device_sign, sign * (device_zero - zero)
        self._as_believed = bool((self._sign > 0).all() and not self._offset.any())
        self._command = np.zeros(1, COMMAND)

    def open(self, info: Mapping[str, Any]) -> None:
        """Make the carrier's motion and the plant.

        Raises:
            ConfigError: the tick is not a whole number of substeps, another joint order is wanted, or a bad track.
        """
        dt_ns = round(float(info["dt_s"]) * 1e9)
        substeps = max(round(dt_ns / assemble.SUBSTEP_NS), 1)
        if dt_ns % substeps:
            raise ConfigError(
                f"The simulated rig can't run at a tick of {info['dt_s']} s: a tick must be a whole number of "
                f"nanosecond substeps near {assemble.SUBSTEP_NS / 1e6} ms. Use a loop_rate_hz that divides 1e9, "
                "for example 500, 1000 or 2000."
            )
        if self._config.inner_loop is not None:
            raise ConfigError(
                f"Rig {self._config.name!r} has [inner_loop]: a gimbal board closes its fast loop, and `gimbal sim` "
                f"has none. Fly it with `gimbal run {self._config.name} --emulate SCENARIO`, which emulates one."
            )
        order = tuple(info.get("kinematic_order", self._config.kinematic_order))
        if order != tuple(self._config.kinematic_order):
            raise ConfigError(
                f"The simulated rig {self._config.name!r} has kinematic_order {list(self._config.kinematic_order)}, "
                f"but the loop was started with {list(order)}. Give both the same rig file."
            )
        self._substeps, self._tick_ns = substeps, dt_ns
        self._tick = self._sent_ns = 0
        self._under_way["imu_n"] = 0
        self.plant = Plant(
            self._config,
            self._scenario,
            seed=int(info.get("seed", self._seed)),
            seconds=self._seconds,
            track=self._track,
            t0_ns=int(info.get("t0_ns", 0)),
            substep_ns=dt_ns // substeps,
            motion=self._motion,
        )
        self._p, self._s, self._t = self.plant.params, self.plant.state, self.plant.tables
        self._write, self._read, self._truth = step.run, step.read, step.truth

    def read(self, sense: np.ndarray) -> int:
        self._read(self._p, self._s, self._t, sense)
        sense["sent_ns"] = self._sent_ns
        if self._transit_ns:
            self._hold_back(sense)
        if not self._as_believed:
            sense["joint_angle"] = self._sign * sense["joint_angle"] + self._offset
            sense["joint_rate"] *= self._sign
            sense["joint_torque_applied"] *= self._sign
        return 0

    def _hold_back(self, sense: np.ndarray) -> None:
        """Samples whose transit isn't over stay for a later tick."""
        here, kept = sense[0], self._under_way[0]
        n, m = int(kept["imu_n"]), int(here["imu_n"])
        for name in ("imu_t_ns", "imu_gyro_I", "imu_accel_I"):
            both = np.concatenate([kept[name][:n], here[name][:m]])
            if name == "imu_t_ns":
                there = int(np.sum(both <= here["t_ns"] - self._transit_ns))
            here[name][:there], kept[name][: n + m - there] = both[:there], both[there:]
        here["imu_n"], kept["imu_n"] = there, n + m - there

    def write(self, command: np.ndarray) -> int:
        delays = self._delays_ns
        delay = delays[0] if len(delays) == 1 else delays[self._tick % len(delays)]
        self._tick += 1
        late_ns, ticks = delay - self._soonest_ns, 1
        if len(delays) > 1:
            self._sent_ns, ticks = late_ns + 1, max(late_ns // self._tick_ns, 1)
        if self._scenario.hand != "none" and not command["mode"].any():
            command = self._by_hand()
        elif not self._as_believed:
            command = self._for_device(command)
        self._write(self._p, self._s, self._t, command, delay, ticks * self._substeps)
        return 0

    def _for_device(self, command: np.ndarray) -> np.ndarray:
        """What the simulated controllers make of a command whose signs and zeros are as the rig file believes."""
        self._command[:] = command
        self._command["joint_torque_cmd"] *= self._sign
        self._command["joint_rate_cmd"] *= self._sign
        self._command["joint_angle_cmd"] = self._sign * (command["joint_angle_cmd"] - self._offset)
        return self._command

    def _by_hand(self) -> np.ndarray:
        s = self._s[0]
        t_s = float(s["t_ns"] - self._p[0]["t0_ns"]) * 1e-9
        self._command["mode"] = JointMode.RATE
        self._command["joint_rate_cmd"] = hand_rate(self._scenario.hand, t_s, s["motor_angle"])
        return self._command

    def safe(self) -> None:
        if self.plant is not None:
            self.plant.brake()

    def close(self) -> None:
        """The plant stays readable: a judge may still ask for its truth."""

    def truth(self) -> dict[str, Any]:
        """q_NC, camera_pos_N and target_pos_N (None without a target) at the plant's time."""
        assert self.plant is not None, "open first"
        return self.plant.truth()

    def truth_into(self, row: np.ndarray) -> None:
        """Fill a one-element TRUTH array of gimbal.plant.state."""
        self._truth(self._p, self._s, self._t, row)
