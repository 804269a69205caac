"""Emulators on real ptys in real time: order of states and counts, never wall times."""

from __future__ import annotations

import os
import time

import numpy as np
import pytest

from firmware_bridge import registry
from firmware_bridge.emulators.line import make_line
from firmware_bridge.emulators.physics import FreeAxis, StillImu
from firmware_bridge.emulators.pty_host import Host
from firmware_bridge.interface import AXIS_FEEDBACK, IMU_ROW, AxisMode, BridgeFault, Status
from firmware_bridge.transport import SerialTransport
from tests.contract.bridge_bench import AXIS_OPTIONS
from tests.firmware_bridge.serving import served

pytestmark = pytest.mark.realtime


def until(condition, seconds: float = 10.0) -> bool:
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        if condition():
            return True
        time.sleep(0.001)
    return False


def test_imu_unplugged_and_replugged_under_the_same_name(tmp_path):
    host = Host(tmp_path)
    wire = host.add_pty("imu", registry.load_emulator("vectornav")(StillImu()), lambda: make_line("uart", 921600))
    with served(host):
        driver, rows = registry.create_driver("vectornav"), np.zeros(8, IMU_ROW)
        driver.open(SerialTransport(str(tmp_path / "imu"), 921600))
        taken = []

        def poll() -> int:
            n = driver.poll(rows)
            if n > 0:
                taken.append(rows[:n].copy())
            return n

        assert until(lambda: poll() >= 0 and sum(map(len, taken)) >= 400)
        assert (np.diff(np.concatenate(taken)["device_t_ns"]) > 0).all()
        assert driver.counters.bad_crc == 0 and driver.counters.garbage_bytes == 0
        first = os.readlink(tmp_path / "imu")
        wire.unplug(time.monotonic_ns())
        assert not (tmp_path / "imu").exists()
        assert until(lambda: poll() == Status.LINK_LOST)
        assert driver.reopen() == Status.LINK_LOST
        wire.replug(time.monotonic_ns())
        assert until(lambda: driver.reopen() == Status.OK)
        assert os.path.islink(tmp_path / "imu") and first
        driver.configure()
        taken.clear()
        assert until(lambda: poll() >= 0 and sum(map(len, taken)) >= 100)
        driver.close()
    assert not list(tmp_path.iterdir())  # links are removed


def test_motors_watchdog_stop_and_brake_over_usb_pacing(tmp_path):
    axes = [FreeAxis() for _ in range(3)]
    host = Host(tmp_path)
    host.add_pty("motors", registry.load_emulator("moteus")(axes, AXIS_OPTIONS), lambda: make_line("usb", 0))
    with served(host):
        driver, rows = registry.create_driver("moteus"), np.zeros(3, AXIS_FEEDBACK)
        driver.open(SerialTransport(str(tmp_path / "motors")), {**AXIS_OPTIONS, "watchdog_ms": 200.0})
        driver.arm()

        def cycle(mode: int) -> bool:
            driver.command([mode] * 3, [0.05] * 3, [0.0] * 3, [0.0] * 3)
            time.sleep(0.002)
            return driver.poll(rows) == 3 and bool((rows["mode"] == mode).all())

        assert until(lambda: cycle(AxisMode.TORQUE))
        assert np.allclose(driver.watchdog_applied_s, 0.2, atol=1e-3)
        assert until(lambda: all(axis.drive.mode != AxisMode.TORQUE for axis in axes))  # we have fallen silent
        assert until(lambda: (cycle(AxisMode.TORQUE), bool((rows["fault"] == BridgeFault.WATCHDOG_EXPIRED).all()))[1])
        driver.arm()
        assert until(lambda: cycle(AxisMode.TORQUE))
        assert driver.safe("brake") == 0
        assert until(lambda: all(axis.drive.mode == AxisMode.BRAKE for axis in axes))
        driver.close()


def test_a_frozen_device_is_silence_not_an_error(tmp_path):
    host = Host(tmp_path)
    wire = host.add_pty("imu", registry.load_emulator("vectornav")(StillImu()))
    with served(host):
        driver, rows = registry.create_driver("vectornav"), np.zeros(8, IMU_ROW)
        driver.open(SerialTransport(str(tmp_path / "imu"), 921600))
        assert until(lambda: driver.poll(rows) > 0)
        wire.frozen = True
        time.sleep(0.05)
        while driver.poll(rows) > 0:
            pass
        assert driver.poll(rows) == 0
        wire.frozen = False
        assert until(lambda: driver.poll(rows) > 0)
        driver.close()


def test_lock_step_repeats_to_the_bit():
    from tests.contract.bridge_bench import make_bench

    def run() -> bytes:
        bench = make_bench("moteus")
        bench.wire.faults_out.flip = 0.002
        bench.open()
        bench.driver.arm()
        out = []
        for i in range(300):
            bench.step()
            bench.driver.command([1] * 3, [0.001 * i] * 3, [0.0] * 3, [0.0] * 3)
            out.append(bench.rows.tobytes())
        return b"".join(out)

    assert run() == run()
