"""Name -> driver and emulator, imported only when asked for. One line a device."""

from __future__ import annotations

import functools
import importlib
import importlib.metadata
from dataclasses import dataclass
from typing import Any

from firmware_bridge.errors import OptionError
from firmware_bridge.options import did_you_mean


@dataclass(frozen=True)
class Entry:
    """kind: "motor", "gimbal", "imu", "position", "attitude", "bearing", "radio". driver, emulator: "module:Class".
    line: the pacing, "usb", "uart", "uart8e2" or "free" (UDP)."""

    kind: str
    driver: str
    emulator: str
    line: str = "uart"
    baud: int = 115200  # the usual one; USB devices ignore it
    golden: str = ""  # module of its golden bytes; left out: tests.golden.NAME

    @property
    def in_loop(self) -> bool:
        """The stabilisation loop opens and reads it; a radio is the operator's."""
        return self.kind != "radio"


_D, _E = "firmware_bridge.drivers.", "firmware_bridge.emulators."

DEVICES: dict[str, Entry] = {
    "moteus": Entry("motor", _D + "moteus:Moteus", _E + "moteus:MoteusEmulator", "usb", 921600),
    "sbgc": Entry("gimbal", _D + "sbgc:Sbgc", _E + "sbgc:SbgcEmulator", "uart", 115200),
    "storm32": Entry("gimbal", _D + "storm32:Storm32", _E + "storm32:Storm32Emulator", "uart", 115200),
    "mavlink_gimbal": Entry(
        "gimbal", _D + "mavlink_gimbal:MavlinkGimbalDevice", _E + "mavlink_gimbal:MavlinkGimbalEmulator", "uart", 115200
    ),
    "odrive": Entry("motor", _D + "odrive:Odrive", _E + "odrive:OdriveEmulator", "usb", 115200),
    "dynamixel": Entry("motor", _D + "dynamixel:Dynamixel", _E + "dynamixel:DynamixelEmulator", "uart", 4000000),
    "simplefoc": Entry("motor", _D + "simplefoc:Simplefoc", _E + "simplefoc:SimplefocEmulator", "uart", 115200),
    "vesc": Entry("motor", _D + "vesc:Vesc", _E + "vesc:VescEmulator", "usb", 115200),
    "vectornav": Entry("imu", _D + "vectornav:VectorNav", _E + "vectornav:VectorNavEmulator", "uart", 921600),
    "xsens": Entry("imu", _D + "xsens:Xsens", _E + "xsens:XsensEmulator", "uart", 921600),
    "mip": Entry("imu", _D + "mip:Mip", _E + "mip:MipEmulator", "uart", 921600),
    "witmotion": Entry("imu", _D + "witmotion:WitMotion", _E + "witmotion:WitMotionEmulator"),
    "bno08x_rvc": Entry("imu", _D + "bno08x_rvc:Bno08xRvc", _E + "bno08x_rvc:Bno08xRvcEmulator"),
    "nmea": Entry("position", _D + "nmea:Nmea", _E + "nmea:NmeaEmulator", "uart", 38400),
    "flarm": Entry("position", _D + "flarm:Flarm", _E + "flarm:FlarmEmulator", "uart", 19200),
    "fanet": Entry("position", _D + "fanet:Fanet", _E + "fanet:FanetEmulator"),
    "mavlink_beacon": Entry(
        "position", _D + "mavlink_beacon:MavlinkBeacon", _E + "mavlink_beacon:MavlinkBeaconEmulator", "uart", 57600
    ),
    "mavlink_attitude": Entry(
        "attitude",
        _D + "mavlink_attitude:MavlinkAttitude",
        _E + "mavlink_attitude:MavlinkAttitudeEmulator",
        "uart",
        57600,
    ),
    "vision_json": Entry(
        "bearing", _D + "vision_json:VisionJson", _E + "vision_json:VisionJsonEmulator", "free", 10**8
    ),
    "vision_mavlink": Entry(
        "bearing", _D + "vision_mavlink:VisionMavlink", _E + "vision_mavlink:VisionMavlinkEmulator", "free", 10**8
    ),
    "sbus": Entry("radio", _D + "sbus:Sbus", _E + "sbus:SbusEmulator", "uart8e2", 100000),
    "crsf": Entry("radio", _D + "crsf:Crsf", _E + "crsf:CrsfEmulator", "uart", 420000),
    "ublox": Entry("position", _D + "ublox:Ublox", _E + "ublox:UbloxEmulator", "uart", 115200),
}


@functools.cache
def _take_installed() -> None:
    """Devices that installed packages bring, as entry points of the group ``firmware_bridge.devices``."""
    for point in importlib.metadata.entry_points(group="firmware_bridge.devices"):
        register(point.name, point.load())


def names(kind: str | None = None) -> list[str]:
    """Registered devices, all or of one kind."""
    _take_installed()
    return sorted(name for name, entry in DEVICES.items() if kind in (None, entry.kind))


def entry(name: str) -> Entry:
    """The registry line. Raises OptionError naming the nearest known device."""
    if name not in DEVICES:
        _take_installed()
    found = DEVICES.get(name)
    if found is None:
        known = names()
        raise OptionError(
            f"no driver is called {name!r}.{did_you_mean(name, known)} Known: {', '.join(known)}. "
            "docs/adding-a-device.md shows how to add one."
        )
    return found


def load_driver(name: str) -> type:
    """The driver's class. Raises OptionError."""
    return _load(entry(name).driver)


def load_emulator(name: str) -> type:
    """The emulator's class. Raises OptionError."""
    return _load(entry(name).emulator)


def create_driver(name: str) -> Any:
    """A new, unopened driver: MotorDriver, ImuDriver or PositionDriver by ``entry(name).kind``."""
    return load_driver(name)()


def register(name: str, line: Entry) -> None:
    """Add a device that is not part of this package. A taken name raises OptionError."""
    if name in DEVICES and DEVICES[name] != line:
        raise OptionError(
            f"a driver called {name!r} is registered already ({DEVICES[name].driver}): choose another name."
        )
    DEVICES[name] = line


def _load(where: str) -> type:
    module, _, cls = where.partition(":")
    return getattr(importlib.import_module(module), cls)
