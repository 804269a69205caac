"""Files that a command leaves behind: checked to be writable before the run, not after it."""

from __future__ import annotations

import json
import os
import tempfile
from pathlib import Path
from typing import Any

from gimbal.errors import UsageError


def check_writable(path: str | None, what: str) -> None:
    """Refuse a path that can't be written, before any work is done.

    Raises:
        UsageError: the folder is missing or not writable, or the path is a folder.
    """
    if not path:
        return
    file = Path(path)
    folder = file.parent
    if file.is_dir():
        raise UsageError(f"{what} {file} is a folder. Name a file in it.")
    if not folder.is_dir():
        raise UsageError(
            f"{what} {file} can't be written: there is no folder {folder}. Make it, or name another place."
        )
    try:
        if file.exists():
            with file.open("ab"):
                pass
        else:
            handle, probe = tempfile.mkstemp(dir=folder)
            os.close(handle)
            os.unlink(probe)
    except OSError as error:
        raise UsageError(
            f"{what} {file} can't be written: {error.strerror}. Free the disk, change its permissions, "
            "or name another place."
        ) from error


def write_json(path: str | None, data: dict[str, Any]) -> None:
    """One flat JSON object, keys in order, or nothing without a path."""
    if path:
        Path(path).write_text(json.dumps(data, indent=1) + "\n", encoding="utf-8")
