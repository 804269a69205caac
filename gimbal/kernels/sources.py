"""Which sources the kernels are made of: names the compile cache and stands in a log's header."""

from __future__ import annotations

import hashlib
from pathlib import Path

PACKAGE = Path(__file__).resolve().parent.parent
SHARED = ("records.py", "modes.py", "frames.py", "faults.py", "units.py")
KERNEL_ROOMS = ("kernels", "sensors", "estimation", "targeting", "control", "plant")
# The rest of these rooms is never compiled.
ALONE = ("loop/pipeline.py", "loop/history.py", "loop/note.py", "tuning/hinges.py")


def source_files() -> list[Path]:
    """Every source that can end up in a kernel, its constants included."""
    rooms = [path for room in KERNEL_ROOMS for path in sorted((PACKAGE / room).glob("*.py"))]
    return [PACKAGE / name for name in (*SHARED, *ALONE)] + rooms


def source_hash() -> str:
    """Hash (12 hex digits) of all of ``source_files``."""
    digest = hashlib.sha256()
    for path in source_files():
        digest.update(path.name.encode() + b"\0" + path.read_bytes())
    return digest.hexdigest()[:12]
