"""What ODrive, VESC, SimpleFOC and Dynamixel have in common: budgets, options, and their rig files."""

from __future__ import annotations

import pytest

from firmware_bridge import registry
from firmware_bridge.errors import OptionError, RateError
from firmware_bridge.interface import AxisMode
from firmware_bridge.memory_transport import memory_pair
from gimbal.config.load import load_rig
from gimbal.rig.acceptance import device_defaults
from tests.contract.bridge_bench import make_bench, opened

TORQUE = AxisMode.TORQUE
NEW = ("odrive", "vesc", "simplefoc", "dynamixel")


@pytest.mark.parametrize("name, options, hz, text", [
    ("odrive", {}, 500, "One request in flight"),
    ("odrive", {"link": "uart"}, 115200 / 550, "55 bytes a cycle"),
    ("vesc", {}, 1e6 / 14 / 135, "14 CAN frames of 135 bits"),
    ("vesc", {"link": "uart"}, 115200 / 870, "87 bytes a cycle"),
    ("simplefoc", {}, 115200 / 840, "84 bytes a cycle"),
    ("simplefoc", {"link": "usb"}, 250, "250 cycles a second"),
    ("dynamixel", {}, 1 / (2070 / 4e6 + 50e-6), "207 bytes a cycle both ways"),
])  # fmt: skip
def test_rate_budget_from_line_speed(name, options, hz, text):
    bench = opened(name, options)
    can = bench.driver.capabilities
    assert can.max_rate_hz == pytest.approx(hz, rel=1e-6)
    with pytest.raises(RateError, match=text):
        can.require_rate(hz * 1.01, name)


@pytest.mark.parametrize("name, baud, hz", [("simplefoc", 460800, 200), ("dynamixel", 4000000, 1000),
                                            ("dynamixel", 3000000, 1000)])  # fmt: skip
def test_the_rigs_rates_fit(name, baud, hz):
    bench = make_bench(name)
    bench.transport.baud = baud
    bench.driver.attach(bench.transport, bench.options)
    bench.driver.capabilities.require_rate(hz, name)


@pytest.mark.parametrize("name, key", [(name, "torque_constant_Nm_A") for name in NEW]
                         + [("vesc", "pole_pairs"), ("simplefoc", "max_current_A")])  # fmt: skip
def test_a_missing_conversion_is_named(name, key):
    bench = make_bench(name)
    options = {k: v for k, v in bench.options.items() if k != key}
    with pytest.raises(OptionError, match=f"needs option '{key}'.*add {key} = VALUE"):
        bench.driver.attach(bench.transport, options)


@pytest.mark.parametrize("name", NEW)
def test_torque_is_limited_on_the_way_out(name):
    bench = opened(name, {"max_torque_Nm": 0.05})
    bench.driver.arm()
    bench.cycle(TORQUE, torque=2.0, ms=40)
    assert all(abs(axis.drive.torque_Nm) == pytest.approx(0.05, abs=1e-3) for axis in bench.physics)


@pytest.mark.parametrize("rig", NEW)
def test_the_rig_file_fits_its_lines_and_names_every_axis_once(rig):
    config = load_rig(rig).config
    axes = []
    for device in config.devices.values():
        if device.driver != rig:
            continue
        driver = registry.create_driver(device.driver)
        _, near = memory_pair()
        near.baud = device.baud
        options = {k: v for k, v in device_defaults(config, "motor").items() if k in driver.OPTIONS}
        driver.attach(near, options | dict(device.options))
        driver.capabilities.require_rate(config.loop_rate_hz, rig)
        assert driver.capabilities.has_watchdog or rig in config.safety.accept_no_watchdog
        axes += [key for key in device.options if key in ("roll_id", "pitch_id", "yaw_id")]
    assert sorted(axes) == ["pitch_id", "roll_id", "yaw_id"]
