"""What the system knows of its serial ports, without opening one: ids, holders, the adapter's latency timer."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

from firmware_bridge.serial_port import holders

BY_ID = "/dev/serial/by-id"
_BARE = ("ttyUSB*", "ttyACM*", "ttyAMA*")
NO_BAUD_MAJORS = (166, 136, 137)  # USB CDC ACM and ptys: the speed asked for is nobody's


@dataclass(frozen=True)
class PortFacts:
    """One port as it is plugged in."""

    path: str  # the name that stays after replugging, where there is one
    device: str  # what it is now, such as /dev/ttyUSB0
    usb: str = ""  # maker, product, serial number as the USB device tells them
    usb_id: str = ""  # vendor:product, hexadecimal
    latency_ms: int | None = None  # FTDI's timer; None: this adapter has none
    held_by: tuple[str, ...] = ()


def list_ports(folder: str = BY_ID, dev: str = "/dev", sys: str = "/sys") -> list[PortFacts]:
    """Every serial port once, those with a stable name first."""
    found: dict[str, str] = {}
    if os.path.isdir(folder):
        for entry in sorted(os.listdir(folder)):
            path = os.path.join(folder, entry)
            found.setdefault(os.path.realpath(path), path)
    for pattern in _BARE:
        for bare in sorted(Path(dev).glob(pattern)):
            found.setdefault(os.path.realpath(bare), str(bare))
    return [facts(path, sys) for path in found.values()]


def facts(path: str, sys: str = "/sys") -> PortFacts:
    """Facts of one port by its path."""
    device = os.path.realpath(path)
    told = _usb(device, sys)
    usb = " ".join(told[key] for key in ("manufacturer", "product", "serial") if told.get(key))
    usb_id = f"{told['idVendor']}:{told['idProduct']}" if told.get("idVendor") and told.get("idProduct") else ""
    # An emulator has its own pty open; whether a host has it too, opening it will tell.
    busy = [] if device.startswith("/dev/pts/") else holders(device)
    who = tuple(f"{pid} {program}".strip() for pid, program in busy if pid != os.getpid())
    return PortFacts(path, device, usb, usb_id, latency_ms(device, sys), who)


def latency_ms(device: str, sys: str = "/sys") -> int | None:
    """FTDI's latency timer as the kernel reads it back, ms; None where the adapter has none."""
    text = _read(Path(sys, "class/tty", os.path.basename(os.path.realpath(device)), "device/latency_timer"))
    return int(text) if text.isdigit() else None


def knows_baud(path: str) -> bool:
    """False for USB CDC and ptys, which carry bytes at their own speed whatever is asked for."""
    try:
        return os.major(os.stat(path).st_rdev) not in NO_BAUD_MAJORS
    except OSError:
        return True


def _usb(device: str, sys: str) -> dict[str, str]:
    """The attributes of the USB device above this tty; empty for others."""
    folder = Path(os.path.realpath(Path(sys, "class/tty", os.path.basename(device), "device")))
    for above in (folder, *list(folder.parents)[:4]):
        if (above / "idVendor").is_file():
            return {k: _read(above / k) for k in ("manufacturer", "product", "serial", "idVendor", "idProduct")}
    return {}


def _read(path: Path) -> str:
    try:
        return path.read_text(errors="replace").strip()
    except OSError:
        return ""
