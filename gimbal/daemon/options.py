"""``gimbal run``'s arguments: everything that can be known to be wrong before a process is started."""

from __future__ import annotations

import math
import os
import sys
import tempfile
from argparse import Namespace
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from gimbal.config.load import Loaded, load_rig, load_scenario
from gimbal.errors import GimbalError, UsageError
from gimbal.records import Mode

MODES = [mode.name.lower() for mode in Mode]
LOG_ROOM_MB = 50
MAX_EMULATED_S = 3600.0  # its motion is made before the start and held in memory


@dataclass
class Options:
    """``gimbal run``'s arguments, checked."""

    rig: Loaded
    scenario: Loaded | None
    track: Path | None
    seed: int
    arm: bool
    mode: str
    seconds: float | None
    log: Path | None
    ports: dict[str, str] = field(default_factory=dict)
    json: Path | None = None


def check_options(args: Namespace) -> Options:
    """Everything that can be known to be wrong before a process is started.

    Raises:
        UsageError, ConfigError: bad arguments or files. GimbalError: the log folder can't be used.
    """
    if sys.platform != "linux":
        raise UsageError(f"The daemon runs on Linux; this is {sys.platform}. `gimbal sim` and replay run here.")
    rig = load_rig(args.rig)
    scenario = load_scenario(args.emulate) if args.emulate else None
    track = Path(args.track) if args.track else None
    if track is not None and scenario is None:
        raise UsageError("--track names the path of the emulated target: it needs --emulate SCENARIO.")
    if track is not None and not track.is_file():
        raise UsageError(f"There is no track file {track}. Give a FlySight CSV or an npz of fixes.")
    mode = args.mode or (scenario.config.mode if scenario else "lock")
    if mode not in MODES:
        raise UsageError(f"--mode {mode!r} is not known: use one of {', '.join(MODES)}.")
    ports = check_ports(args.port or [], rig.config.devices)
    seed = 1 if args.seed is None else args.seed
    if seed < 0:
        raise UsageError(f"--seed {seed} is no seed: give 0 or more.")
    options = Options(
        rig, scenario, track, seed, bool(args.arm), mode, check_seconds(args.seconds, scenario is not None),
        check_log(args.log), ports, check_json(args.json),
    )  # fmt: skip
    if scenario is None:  # last: a mistake in what was given is said before what wasn't given
        check_all_named(rig.config, ports)
    return options


def check_seconds(seconds: float | None, emulated: bool = False) -> float | None:
    if seconds is None:
        return None
    if not math.isfinite(seconds) or seconds <= 0:
        raise UsageError(f"--seconds {seconds:g} is no length of time: give a positive number, or leave it out.")
    if emulated and seconds > MAX_EMULATED_S:
        raise UsageError(f"--seconds {seconds:g} with --emulate: a carrier's motion is made for at most "
                         f"{MAX_EMULATED_S:g} s. Fly a shorter time.")  # fmt: skip
    return float(seconds)


def check_ports(given: list[str], devices: dict[str, Any]) -> dict[str, str]:
    ports = {}
    for entry in given:
        name, equals, path = entry.partition("=")
        if not equals or not path:
            raise UsageError(f"--port {entry!r} is not NAME=PATH. Example: --port imu=/dev/serial/by-id/usb-FTDI_…")
        if name not in devices:
            raise UsageError(f"--port names {name!r}; this rig's devices are {', '.join(sorted(devices)) or 'none'}.")
        ports[name] = path
    return ports


def check_all_named(config: Any, ports: dict[str, str]) -> None:
    """Without emulators each device needs a port, from the rig file or the command line. Raises UsageError."""
    missing = [name for name, device in config.devices.items() if not (ports.get(name) or device.port)]
    if missing:
        raise UsageError(
            f"Rig {config.name!r}: no port is named for {', '.join(missing)}. Give each a `port` in the rig file or "
            f"--port {missing[0]}=/dev/serial/by-id/… (`gimbal devices` lists who answers where), or fly on emulators "
            "with --emulate SCENARIO."
        )


def check_log(log: str | None) -> Path | None:
    """The log folder, made if needed, found writable and with room."""
    if not log:
        return None
    folder = Path(log)
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.NamedTemporaryFile(dir=folder) as probe:
            probe.write(bytes(4096))
            probe.flush()
        facts = os.statvfs(folder)
    except OSError as error:
        raise GimbalError(
            f"The log folder {folder} can't be written ({error.strerror}). Free room there or change its permissions, "
            "name another with --log, or leave --log out to fly without a log."
        ) from error
    room_MB = facts.f_bavail * facts.f_frsize / 1e6
    if room_MB < LOG_ROOM_MB:
        raise GimbalError(
            f"The log folder {folder} has {room_MB:.0f} MB left; a minute of log takes about 20, and {LOG_ROOM_MB} are "
            "asked for at the start. Free some room, or name another folder with --log."
        )
    return folder


def check_json(path: str | None) -> Path | None:
    """The summary's file, found writable before the run."""
    if not path:
        return None
    try:
        with Path(path).open("a"):
            pass
    except OSError as error:
        raise UsageError(f"--json {path} can't be written ({error.strerror}). Name a file that can.") from error
    return Path(path)
