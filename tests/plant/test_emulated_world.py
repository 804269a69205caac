"""The plant as emulated devices meet it."""

from __future__ import annotations

import pytest

from gimbal.config.load import load_rig, load_scenario
from gimbal.emulated_world import PlantReceiver, World
from gimbal.plant.simulator import Plant

MS = 1_000_000
EPOCH = 200 * MS


@pytest.mark.parametrize("name", ["gnss", "beacon"])
@pytest.mark.parametrize("began_ms", [0, 3, 45.774, 199.2])
def test_a_receiver_tells_what_is_measured_at_its_own_epochs(name, began_ms):
    """Whenever the plant began: a fix that waited for the epoch would be older than the receiver's latency says."""
    plant = Plant(load_rig("torque").config, load_scenario("speedflight").config, t0_ns=int(began_ms * MS))
    receiver = PlantReceiver(World(plant, MS, lambda row: None), name)
    told = [(k * EPOCH, receiver.fix(k * EPOCH)) for k in range(1, 26)]
    ages = [t - fix.t_ns for t, fix in told[2:] if fix is not None]  # the beacon loses some
    assert len(ages) > 15 and 0 <= min(ages) and max(ages) < MS
