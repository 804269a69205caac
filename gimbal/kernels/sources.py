"""Which sources the kernels are made of: names the compile cache and stands in a log's header."""

from __future__ import annotations

import hashlib
from pathlib import Path

PACKAGE = Path(__file__).resolve().parent.parent
KERNEL_ROOMS = ("kernels", "sensors", "estimation", "targeting", "control", "loop", "plant")


def source_hash() -> str:
    """Hash (12 hex digits) of every source file that can be compiled into a kernel."""
    digest = hashlib.sha256()
    files = [PACKAGE / "records.py", PACKAGE / "frames.py", PACKAGE / "faults.py"]
    for room in KERNEL_ROOMS:
        files += sorted((PACKAGE / room).glob("*.py"))
    for path in files:
        if path.exists():
            digest.update(path.name.encode() + b"\0" + path.read_bytes())
    return digest.hexdigest()[:12]
