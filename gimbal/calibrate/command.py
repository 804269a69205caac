"""``gimbal calibrate``: says what to do, records or reads a log, judges it, draws what is left, writes the file."""

from __future__ import annotations

import re
import sys
from argparse import Namespace
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

from gimbal.calibrate.recording import Recording, from_daemon, from_log
from gimbal.calibrate.result import Result, draw
from gimbal.config.load import CONFIGS, load_rig
from gimbal.config.schema import Rig
from gimbal.errors import UsageError
from gimbal.output import check_writable, write_json


class Procedure(NamedTuple):
    seconds: float
    do: str  # what the operator does
    solve: Callable[[Recording], Result]
    from_rest: bool = False  # the recording begins once the joints are held still


def _procedures() -> dict[str, Procedure]:
    from gimbal.calibrate import accelerometer, arms, gyro, joints, magnetometer, noise

    rest = "Motors off, the rig on firm ground; don't touch it. Switched on cold, it shows the curve over temperature."
    wave = (
        "Motors off, the base at rest. Hold the camera at its marks (level with the base, looking along its forward "
        "axis) for 3 s; then turn all three joints to and fro by hand, also two at a time, by 30 degrees or more."
    )
    return {
        "gyro": Procedure(120.0, rest, gyro.gyro),
        "noise": Procedure(900.0, rest, noise.noise),
        "accelerometer": Procedure(
            60.0,
            "Put the rig in seven positions or more, 3 s each without moving: each axis up and down, then askew.",
            accelerometer.accelerometer,
        ),
        "magnetometer": Procedure(
            60.0,
            "Motors off, far from iron. Turn the whole rig slowly so that each side faces down and north once.",
            magnetometer.magnetometer,
        ),
        "joints": Procedure(40.0, wave, joints.joints, True),
        "mount": Procedure(40.0, wave, joints.mount, True),
        "delay": Procedure(40.0, wave, joints.delay, True),
        "imu_arm": Procedure(40.0, wave, arms.imu_arm, True),
        "antenna": Procedure(
            90.0, "Fly or drive turns, with rocking, for a minute and a half after the heading is found.", arms.antenna
        ),
    }


def _serial(args: Namespace, rig: Rig) -> str:
    serial = args.serial or Path(rig.calibration).stem or rig.name
    if not re.fullmatch(r"[A-Za-z0-9._-]{1,64}", serial):
        raise UsageError(f"--serial {serial!r} can't be a file's name: use letters, digits, '.', '_' and '-'.")
    return serial


def _countdown(left_s: float, row: Any) -> None:
    if sys.stderr.isatty():
        angles = "" if row is None else "  ".join(f"{57.2958 * a:+6.1f}" for a in row["sense"]["joint_angle"])
        print(f"\r  {max(left_s, 0.0):5.0f} s left   joints {angles} deg ", end="", file=sys.stderr)


def calibrate_command(args: Namespace) -> int:
    """Run one procedure. 0: its section was written; 2: the recording was refused, with the reason."""
    if args.seconds is not None and not 1.0 <= args.seconds <= 86400.0:
        raise UsageError(f"--seconds {args.seconds:g} isn't a recording: give 1 to 86400.")
    check_writable(args.json, "--json")
    rig = load_rig(args.rig).config
    serial = _serial(args, rig)
    folder = Path(args.dir) if args.dir else CONFIGS / "calibration"
    procedure = _procedures()[args.what]
    print(f"{args.what}: {procedure.do}")
    if args.source:
        recording = from_log(args.source, rig.name)
    else:
        recording = from_daemon(rig, args.seconds or procedure.seconds, _countdown, procedure.from_rest)
        if sys.stderr.isatty():
            print(file=sys.stderr)
    result = procedure.solve(recording)
    print(f"from {recording.source}, {recording.seconds:.0f} s, IMU at {recording.rate_hz:.0f} Hz")
    for line in result.lines:
        print(f"  {line}")
    path = folder / f"{serial}.toml"
    if not args.dry_run:
        from gimbal.calibrate.file import save

        save(path, serial, rig.name, [result])
        print(f"  written  {path}, section [{result.section}]")
    picture = Path(args.plot) if args.plot else path.with_name(f"{serial}-{result.section}.png")
    if args.plot or not args.dry_run:
        try:
            draw(picture, f"{args.what} of {serial}, {recording.date}", result.panels)
        except OSError as error:
            raise UsageError(f"--plot {picture} can't be written ({error.strerror}). Name another place.") from error
        print(f"  plot     {picture}")
    found = {"what": args.what, "rig": rig.name, "serial": serial, "section": result.section,
             "seconds": recording.seconds, "imu_rate_hz": recording.rate_hz, "says": result.lines,
             "file": None if args.dry_run else str(path)}  # fmt: skip
    write_json(args.json, found | {"found": result.found.model_dump(mode="json")})
    if not args.dry_run and rig.calibrated is None:
        print(f'  to use   calibration = "{path if args.dir else serial}" at the top of the rig file')
    return 0
