"""Firmware too old and two devices of one id: what a driver refuses, and what it tells the operator to do."""

from __future__ import annotations

import re

import pytest

from firmware_bridge.errors import DeviceRefused, WrongDevice
from tests.contract.bridge_bench import make_bench


@pytest.mark.parametrize("name, options, text", [
    ("odrive", {"firmware": "0.4.12"}, "firmware v?0.4.12.*Update"),
    ("vesc", {"firmware": 4}, "firmware 4.06.*Update"),
    ("dynamixel", {"fast_sync": False}, "fast sync read.*firmware 45.*Update"),
    ("sbgc", {"firmware": 2400}, r"2\.40.*2\.60.*Update"),
    ("storm32", {"firmware": "v2.60"}, r"v2\.60.*2\.69a.*Update"),
    ("ublox", {"protocol": "18.00"}, "protocol 18.00.*needs 27.*Update"),
])  # fmt: skip
def test_firmware_too_old_is_named_with_what_is_needed(name, options, text):
    with pytest.raises((WrongDevice, DeviceRefused)) as refusal:
        make_bench(name, options).open()
    message = str(refusal.value)
    for word in text.split(".*"):
        assert re.search(word, message), (word, message)


@pytest.mark.parametrize("name, options", [
    ("dynamixel", {"twin_id": 2}), ("vesc", {"twin_id": 3}), ("mavlink_gimbal", {"twins": True}),
])  # fmt: skip
def test_two_devices_of_one_id_are_named(name, options):
    with pytest.raises(WrongDevice, match=r"two .*(id|answer as).*Unplug one"):
        make_bench(name, options).open()


@pytest.mark.parametrize("name", ["dynamixel", "vesc", "mavlink_gimbal"])
def test_a_noisy_line_is_not_taken_for_two_devices(name):
    for seed in range(5):
        bench = make_bench(name)
        bench.wire.faults_out.__init__(seed=seed, drop=0.05, duplicate=0.1, flip=0.0005)
        bench.open()
