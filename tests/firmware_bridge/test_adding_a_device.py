"""docs/adding-a-device.md, followed: a device from outside the package passes the contract of all drivers."""

from __future__ import annotations

import sys

import pytest

from firmware_bridge import registry
from firmware_bridge.errors import OptionError
from tests.contract import test_drivers as contract
from tests.firmware_bridge import text_device

WHERE = "tests.firmware_bridge.text_device:"


@pytest.fixture
def textdevice(monkeypatch):
    monkeypatch.setattr(registry, "DEVICES", dict(registry.DEVICES))
    registry.register("textdevice", registry.Entry("position", WHERE + "TextDevice", WHERE + "TextEmulator", baud=9600))
    monkeypatch.setitem(sys.modules, "tests.golden.textdevice", text_device)
    return "textdevice"


@pytest.mark.parametrize("check", [
    contract.test_golden_bytes, contract.test_opens_identifies_and_gives_rows,
    contract.test_unknown_and_bad_options_are_named, contract.test_silence_is_named,
    contract.test_another_device_on_the_port_is_named, contract.test_unplugging_and_replugging,
    contract.test_garbage_on_the_line_is_counted_and_survived, contract.test_random_bytes_never_raise_in_the_loop,
    contract.test_rate_beyond_the_line_is_refused_with_the_arithmetic,
])  # fmt: skip
def test_contract(textdevice, check):
    check(textdevice)


def test_a_taken_name_is_refused(textdevice):
    with pytest.raises(OptionError, match="registered already"):
        registry.register("moteus", registry.Entry("motor", "x:Y", "x:Z"))


def test_a_misspelt_name_gets_the_nearest():
    with pytest.raises(OptionError, match="Did you mean 'vectornav'"):
        registry.load_driver("vectronav")
