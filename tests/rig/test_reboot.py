"""A controller that reboots in flight, on real ptys: its axis is seen to be gone, nothing moves by itself, and at rest
it is configured anew."""

from __future__ import annotations

import threading
import time

import numpy as np
import pytest

from firmware_bridge.emulators.gimbal_physics import FreeGimbal
from firmware_bridge.emulators.physics import FreeAxis, StillImu
from firmware_bridge.emulators.pty_host import Host
from firmware_bridge.registry import entry, load_emulator
from gimbal.config.load import load_rig
from gimbal.frames import AXES
from gimbal.records import COMMAND, SENSE, JointMode
from gimbal.rig.acceptance import device_defaults
from gimbal.rig.hardware import HardwareRig

TAKES = {"torque": JointMode.TORQUE, "rate": JointMode.RATE, "angle": JointMode.ANGLE}


class Served:
    """A rig's IMU and drives on ptys, served by a thread; no receivers."""

    def __init__(self, name: str, folder) -> None:
        config = load_rig(name).config
        devices = {k: d for k, d in config.devices.items() if entry(d.driver).kind in ("imu", "motor", "gimbal")}
        self.config = config.model_copy(update={"devices": devices})
        self.axes, self.gimbal = [FreeAxis(), FreeAxis(), FreeAxis()], FreeGimbal()
        self.host, self.drives = Host(folder), []
        for device_name, device in devices.items():
            kind = entry(device.driver).kind
            options = device_defaults(config, kind) | dict(device.options)
            used = [a for i, a in enumerate(self.axes) if f"{AXES[i]}_id" in options] or self.axes
            physics = {"imu": StillImu(), "motor": used, "gimbal": self.gimbal}[kind]
            self.host.add_pty(device_name, load_emulator(device.driver)(physics, options))
            if kind != "imu":
                self.drives.append(device_name)
        self._over, self._reboot = threading.Event(), False
        self._thread = threading.Thread(target=self._serve, daemon=True)
        self._thread.start()
        self.rig = HardwareRig(self.config, {name: str(folder / name) for name in devices})
        self.rig.open({"dt_s": 1.0 / config.loop_rate_hz})
        self.sense, self.command = np.zeros(1, SENSE), np.zeros(1, COMMAND)
        self.valid_ns = np.zeros(3, np.int64)
        self.faulty = np.zeros(3, bool)

    def _serve(self) -> None:
        while not self._over.is_set():
            self.host.run(lambda: self._over.is_set() or self._reboot, 0.001)
            if self._reboot:  # between two services: the port stays (it has power of its own)
                self._reboot, now = False, time.monotonic_ns()
                for name in self.drives:
                    self.host.wires[name].emulator.reboot(now)

    def reboot(self) -> None:
        self._reboot = True

    def run(self, seconds: float, until=None) -> bool:
        """Tick for so long, or until ``until()``."""
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            self.sense.view(np.uint8)[:] = 0
            self.rig.read(self.sense)
            self.rig.write(self.command)
            valid = self.sense["joint_valid"][0] != 0
            self.valid_ns[valid] = time.monotonic_ns()
            self.faulty[valid] = self.sense["motor_fault"][0][valid] != 0
            if until is not None and until():
                return True
            time.sleep(1.0 / self.config.loop_rate_hz)
        return False

    def drive(self, mode: JointMode) -> None:
        self.command["mode"] = mode
        self.command["joint_torque_cmd"] = 0.02 if mode == JointMode.TORQUE else 0.0
        self.command["joint_rate_cmd"] = 0.2 if mode == JointMode.RATE else 0.0
        self.command["camera_rate_cmd_C"] = 0.2 if mode == JointMode.RATE else 0.0
        self.command["carrier"]["q_NC_est"] = self.command["q_NC_cmd"] = (1.0, 0.0, 0.0, 0.0)

    def close(self) -> None:
        self.rig.safe()
        self.rig.close()
        self._over.set()
        self._thread.join()
        self.host.close()


@pytest.mark.parametrize("name", ["torque", "odrive", "simplefoc", "dynamixel", "vesc", "sbgc", "storm32", "mavlink"])
def test_a_rebooted_drive_comes_back_configured_and_still(name, tmp_path):
    served = Served(name, tmp_path)
    try:
        fresh = lambda: (time.monotonic_ns() - served.valid_ns < 50_000_000).all()  # noqa: E731
        assert served.run(10.0, fresh)
        served.drive(TAKES[served.config.control.output])
        served.run(0.6)
        served.reboot()
        served.run(0.6)
        served.drive(JointMode.BRAKE)  # what the supervisor makes of a fault or of silence
        served.run(0.2)
        served.drive(JointMode.OFF)
        assert served.run(20.0, lambda: fresh() and not served.faulty.any()), "not configured anew"
        served.run(0.3)
        assert served.gimbal.commands is None or all(c.kind == 0 for c in served.gimbal.commands)
        assert all(axis.drive.mode in (0, 4) or axis.drive.max_torque_Nm == 0 for axis in served.axes)
        # The operator's word, and it obeys again.
        served.drive(TAKES[served.config.control.output])
        if served.config.inner_loop is None:
            assert served.run(10.0, lambda: any(axis.drive.mode in (1, 2, 3) for axis in served.axes))
        else:
            assert served.run(10.0, lambda: served.gimbal.commands is not None)
    finally:
        served.close()
