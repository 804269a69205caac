"""Where compiled kernels are kept, and the one decorator that makes a function a kernel.

numba's own cache notices an edit of the function's file, not of a callee in another file: a stale caller would
silently run old code. So the cache directory is named by a hash of every source that can end up in a kernel.
Importing this module sets ``NUMBA_CACHE_DIR``; it must therefore come before the first import of numba.
"""

from __future__ import annotations

import hashlib
import os
import sys
import tempfile
from pathlib import Path
from typing import Any

PACKAGE = Path(__file__).resolve().parent.parent
KERNEL_ROOMS = ("kernels", "sensors", "estimation", "targeting", "control", "loop", "plant")
KEEP_CACHES = 4  # older ones are removed when a new one is made


class CacheUnwritable(RuntimeError):
    """The folder for compiled kernels can't be written."""


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


def cache_root() -> Path:
    """``GIMBAL_CACHE_DIR``, else systemd's ``CACHE_DIRECTORY``, else the user's cache folder."""
    for variable in ("GIMBAL_CACHE_DIR", "CACHE_DIRECTORY"):
        if os.environ.get(variable):
            return Path(os.environ[variable])
    base = os.environ.get("XDG_CACHE_HOME") or os.path.join(os.path.expanduser("~"), ".cache")
    return Path(base) / "gimbal-host"


def configure_cache() -> Path:
    """Point numba at this version's cache folder, made if needed.

    Raises:
        CacheUnwritable: the folder can't be made or written; the message says what to do.
    """
    root = cache_root()
    folder = root / f"kernels-{source_hash()}"
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=folder):
            pass
    except OSError as error:
        raise CacheUnwritable(
            f"The folder for compiled kernels, {folder}, can't be written ({error.strerror or error}). Without it every "
            "start would compile for seconds. Make it writable, or name another folder in the environment "
            "variable GIMBAL_CACHE_DIR and start again."
        ) from error
    os.environ["NUMBA_CACHE_DIR"] = str(folder)
    _forget_old(root, folder)
    return folder


def _forget_old(root: Path, keep: Path) -> None:
    caches = sorted(root.glob("kernels-*"), key=lambda p: p.stat().st_mtime if p.exists() else 0.0, reverse=True)
    for old in [c for c in caches if c != keep][KEEP_CACHES - 1 :]:
        for file in sorted(old.rglob("*"), reverse=True):
            try:
                file.rmdir() if file.is_dir() else file.unlink()
            except OSError:
                pass  # another process may be using or removing it: next start tries again
        try:
            old.rmdir()
        except OSError:
            pass


def is_warm(folder: Path | None = None) -> bool:
    """True if this version's kernels have been compiled before on this machine."""
    folder = folder or Path(os.environ["NUMBA_CACHE_DIR"])
    return any(folder.rglob("pipeline.step*.nbi"))


CACHE_DIR = configure_cache()

if "numba" in sys.modules:
    import numba

    numba.config.CACHE_DIR = str(CACHE_DIR)
import numba  # noqa: E402


def kernel(function: Any) -> Any:
    """Compile ``function``: cached on disk, without the GIL, IEEE arithmetic in the written order (never fastmath:
    it changes bits), and division by zero giving inf instead of an exception the tick could not handle."""
    return numba.njit(cache=True, nogil=True, error_model="numpy")(function)
