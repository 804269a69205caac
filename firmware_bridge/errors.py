"""What ``open`` and ``identify`` raise. Each message is one paragraph: what, where, the cause, what to do next."""

from __future__ import annotations


class BridgeError(Exception):
    """Anything that keeps a device from being used."""


class PortError(BridgeError):
    """The port can't be opened: absent, busy, not permitted."""


class NoAnswer(BridgeError):
    """Nothing, or nothing understandable, came back in time."""


class WrongDevice(BridgeError):
    """Something answered, but not this device."""


class DeviceRefused(BridgeError):
    """The right device answered, and refused a setting or read back another."""


class OptionError(BridgeError):
    """A driver's option, name or value is not allowed."""


class RateError(BridgeError):
    """The line can't carry the rate asked for."""
