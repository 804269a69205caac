"""Writes calibration files: one section at a time, the others kept as they were."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

from gimbal.calibrate.result import Result
from gimbal.config.calibration import Calibration
from gimbal.config.load import parse
from gimbal.errors import UsageError

HEAD = "# Written by `gimbal calibrate`; a rig uses it by its key calibration. docs/calibration.md says what is what.\n"


def _value(value: Any) -> str:
    if isinstance(value, str):
        return '"' + value.replace("\\", "\\\\").replace('"', '\\"') + '"'
    if isinstance(value, (tuple, list)):
        return "[" + ", ".join(_value(v) for v in value) + "]"
    if isinstance(value, dict):
        return "{ " + ", ".join(f"{k} = {_value(v)}" for k, v in value.items()) + " }"
    return repr(value)


def to_toml(calibration: Calibration) -> str:
    """The file's text."""
    data = calibration.model_dump(exclude_none=True)
    lines = [HEAD, f"serial = {_value(data.pop('serial'))}", f"rig = {_value(data.pop('rig'))}"]
    for section, values in data.items():
        lines += ["", f"[{section}]"]
        lines += [f"{key} = {_value(value)}" for key, value in values.items() if value != {}]
    return "\n".join(lines) + "\n"


def save(path: Path, serial: str, rig: str, results: list[Result]) -> None:
    """Put the results' sections into the file, which is made if it isn't there; it is replaced at once or not at all.

    Raises:
        UsageError: the file is another rig's or sensor's, or can't be written.
    """
    if path.is_file():
        old = parse(Calibration, path).config
        if old.rig != rig or old.serial != serial:
            raise UsageError(
                f"{path} is the calibration of serial {old.serial!r} on rig {old.rig!r}, not of {serial!r} on {rig!r}. "
                "Name another with --serial, or move that file away."
            )
    else:
        old = Calibration(serial=serial, rig=rig)
    new = old.model_copy(update={r.section: r.found for r in results})
    part = path.with_suffix(".part")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        part.write_text(to_toml(new), encoding="utf-8")
        os.replace(part, path)
    except OSError as error:
        raise UsageError(
            f"{path} can't be written ({error.strerror}). Name a folder with --dir that can be."
        ) from error
