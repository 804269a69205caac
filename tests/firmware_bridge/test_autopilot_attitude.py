"""The autopilot's attitude: whose it is, when it was, and a rig that finds north from it over the wire."""

from __future__ import annotations

import math

import numpy as np
import pytest

from firmware_bridge.angles import euler_of
from firmware_bridge.errors import WrongDevice
from gimbal.config.schema import Autopilot as AutopilotConfig
from gimbal.config.schema import Device
from gimbal.loop.lockstep import run_lockstep
from gimbal.metrics import axes_N
from tests.contract.bridge_bench import make_bench
from tests.contract.rig_flight import MemoryRig


@pytest.mark.parametrize("quaternion", [False, True])
def test_either_form_gives_the_attitude_of_its_moment(quaternion):
    """A gimbal of the same system sends attitudes too: they are left alone."""
    bench = make_bench("mavlink_attitude", {"quaternion": quaternion, "latency_ms": 30.0, "clock_ppm": 60.0})
    bench.open()
    rows = bench.collect(2000)
    assert len(rows) > 40 and bench.driver.counters.unknown_frames > 40
    for row in rows[10:]:
        roll, pitch, yaw = euler_of(row["q_NA"].tolist())
        true = bench.physics.attitude(int(row["t_ns"])).euler_rad
        assert abs(roll - true[0]) < 1e-4 and abs(pitch - true[1]) < 1e-4
        assert abs(math.remainder(yaw - true[2], 2 * math.pi)) < 0.1 * 3e-3  # dated to 3 ms


def test_two_systems_are_named_and_one_can_be_chosen():
    bench = make_bench("mavlink_attitude", {"stranger": True})
    with pytest.raises(WrongDevice, match=r"systems \[1, 2\] are heard"):
        bench.open()
    bench = make_bench("mavlink_attitude", {"stranger": True, "system_id": 1})
    bench.open()
    assert (bench.collect(500)["source"] == 1).all() and bench.driver.counters.other_identity > 5


@pytest.mark.parametrize("mount", [0.0, 120.0])
def test_a_rig_on_a_bench_finds_north_from_its_autopilot(mount):
    """Over the wire and through the loop; the emulated one sits along the base, or is said not to."""
    rig = MemoryRig("torque", "bench", 3.0)
    devices = dict(rig.config.devices) | {"autopilot": Device(driver="mavlink_attitude", baud=115200)}
    told = AutopilotConfig(mount_rpy_deg=(0.0, 0.0, mount))
    rig.config = rig.config.model_copy(update={"devices": devices, "autopilot": told})
    keep: list[np.ndarray] = []
    run_lockstep(rig, rig.config, 3.0, mode="lock", keep=keep)
    x = [axes_N(keep[0][name])[0][-1] for name in ("q_est", "q_true")]
    error = math.atan2(x[0][1], x[0][0]) - math.atan2(x[1][1], x[1][0])
    assert abs(math.remainder(error + math.radians(mount), 2 * math.pi)) < math.radians(7.0)
