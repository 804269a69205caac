"""Opening a serial port well: exclusive, raw, low latency, and an error that says who, why and what to do."""

from __future__ import annotations

import errno
import fcntl
import glob
import grp
import os
import stat
import termios

import serial

from firmware_bridge.errors import PortError

# What pyserial raises of a port that is gone or refuses: termios.error is no OSError.
SERIAL_ERRORS = (serial.SerialException, OSError, ValueError, termios.error)


def open_serial_fd(path: str, baud: int) -> tuple[serial.Serial, bool]:
    """The open port, non-blocking and locked, and whether the low-latency flag took. Raises PortError."""
    check_path(path)
    try:
        port = serial.Serial(path, baud, timeout=0, write_timeout=0, exclusive=True)
        os.set_blocking(port.fileno(), False)
    except SERIAL_ERRORS as error:
        raise _explained(path, baud, error) from None
    try:
        fcntl.ioctl(port.fileno(), termios.TIOCEXCL)  # programs that don't ask for the flock are kept out by this
    except OSError:
        pass  # not a tty that knows it: the flock stands
    try:
        port.set_low_latency_mode(True)
        low = True
    except (*SERIAL_ERRORS, NotImplementedError, AttributeError):
        low = False  # ptys, CDC and CP210x have no such knob
    return port, low


def latency_note(path: str, latency_ms: int | None) -> str:
    """What to do when an FTDI adapter still gathers bytes for longer than 1 ms; empty when it doesn't."""
    if latency_ms is None or latency_ms <= 1:
        return ""
    return (
        f"the adapter at {path} holds bytes back for {latency_ms} ms (FTDI's latency timer), and the kernel did not "
        "take 1. Install packaging/70-gimbal.rules (docs/devices.md), or as root write 1 to "
        f"/sys/class/tty/{os.path.basename(os.path.realpath(path))}/device/latency_timer, then plug it in again."
    )


def check_path(path: str) -> None:
    """Raise PortError when the path is absent or not a character device."""
    if not path:
        raise PortError(
            "no port is named for this device: give `port` in the rig file, or --port NAME=PATH; "
            "`gimbal devices` lists what is plugged in."
        )
    try:
        mode = os.stat(path).st_mode
    except FileNotFoundError:
        here = sorted(glob.glob("/dev/serial/by-id/*"))
        listed = "Plugged in now: " + ", ".join(here) if here else "No USB serial device is plugged in now"
        raise PortError(
            f"port {path} is not there. {listed}. Check cable and power, and name ports by "
            "/dev/serial/by-id/…, which stays the same after replugging."
        ) from None
    except (PermissionError, NotADirectoryError, OSError) as error:
        raise PortError(f"port {path} can't be looked at: {error.strerror}. Check the path.") from None
    if not stat.S_ISCHR(mode):
        raise PortError(f"{path} is no serial port but a file or folder. Name a device, such as /dev/serial/by-id/….")


def _explained(path: str, baud: int, error: Exception) -> PortError:
    code = error.args[0] if isinstance(error, termios.error) and error.args else getattr(error, "errno", None)
    text = str(error)
    if code in (errno.EACCES, errno.EPERM):
        return PortError(
            f"port {path} may not be opened: it belongs to group {_group(path)!r}, and you are not in it. "
            f"Run `sudo usermod -aG {_group(path)} $USER` and log in again, or install the udev rule of "
            "docs/devices.md."
        )
    if code in (errno.EBUSY, errno.EAGAIN) or "lock" in text.lower():
        return PortError(f"port {path} is busy: {_holders(path)} Close that program, or name another port.")
    if isinstance(error, ValueError) or code == errno.EINVAL:
        return PortError(f"port {path} can't run at {baud} baud ({text}). Set a baud the adapter knows.")
    return PortError(f"port {path} can't be opened: {text}. Unplug it and plug it in again; `dmesg` may say more.")


def _group(path: str) -> str:
    gid = os.stat(path).st_gid
    try:
        return grp.getgrgid(gid).gr_name
    except KeyError:
        return str(gid)


def holders(path: str) -> list[tuple[int, str]]:
    """(pid, program) of every process seen to hold the device open; those of other users show only to root."""
    try:
        wanted = os.stat(path).st_rdev
    except OSError:
        return []
    found = []
    for link in glob.glob("/proc/[0-9]*/fd/*"):
        try:
            if os.stat(link).st_rdev == wanted and wanted:
                found.append(int(link.split("/")[2]))
        except (OSError, ValueError):
            continue
    return [(pid, _program(pid)) for pid in sorted(set(found))]


def _program(pid: int) -> str:
    try:
        with open(f"/proc/{pid}/cmdline", "rb") as file:
            words = file.read().split(b"\0")
        return b" ".join(words[:4]).decode(errors="replace").strip() or "?"
    except OSError:
        return "?"


def _holders(path: str) -> str:
    # Whoever has only looked at the port through /proc is not listed: a holder has it open.
    named = [f"process {pid} ({program})" for pid, program in holders(path)]
    return f"held by {' and '.join(named)}." if named else "held by another user's process (run as root to see which)."
