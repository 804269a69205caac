"""One daemon a rig: its lock, its socket and the names of its shared memory, all found from the rig's name.

The folder is ``GIMBAL_RUNTIME_DIR``, else systemd's ``RUNTIME_DIRECTORY``, else ``XDG_RUNTIME_DIR``/gimbal, else
/tmp/gimbal-UID. It belongs to the user and to nobody else (0700).
"""

from __future__ import annotations

import errno
import fcntl
import hashlib
import os
import re
import socket
import stat
from pathlib import Path

from gimbal.errors import GimbalError, UsageError

SOCKET_PATH_BYTES = 100  # the kernel allows 107
SERVICE_FOLDER = Path("/run/gimbal")  # the service unit's RuntimeDirectory


def _candidates() -> list[Path]:
    found = []
    for variable, tail in (("GIMBAL_RUNTIME_DIR", ""), ("RUNTIME_DIRECTORY", ""), ("XDG_RUNTIME_DIR", "gimbal")):
        if os.environ.get(variable):
            found.append(Path(os.environ[variable]) / tail)
    return [*found, Path(f"/tmp/gimbal-{os.getuid()}")]


def runtime_dir() -> Path:
    """The folder for lock and socket, made if needed.

    Raises:
        GimbalError: it can't be made, or belongs to someone else.
    """
    folder = _candidates()[0]
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        facts = os.lstat(folder)
    except OSError as error:
        raise GimbalError(
            f"The runtime folder {folder} can't be made ({error.strerror}). Name another in the environment variable "
            "GIMBAL_RUNTIME_DIR, the same one for `gimbal run` and `gimbal ctl`."
        ) from error
    if not stat.S_ISDIR(facts.st_mode) or facts.st_uid != os.getuid() or facts.st_mode & 0o022:
        raise GimbalError(
            f"The runtime folder {folder} belongs to another user or others may write in it, so commands could be "
            "forged. Remove it, or name another in the environment variable GIMBAL_RUNTIME_DIR."
        )
    return folder


def safe_name(rig_name: str) -> str:
    """The rig's name as a file name: unchanged where it can be, else cleaned and told apart by a hash."""
    clean = re.sub(r"[^A-Za-z0-9_-]", "_", rig_name)[:40] or "rig"
    return clean if clean == rig_name else f"{clean}-{hashlib.sha256(rig_name.encode()).hexdigest()[:6]}"


def segment(rig_name: str, part: str) -> str:
    """Name of one of the daemon's shared-memory segments: part is "tick", "state", "inbox", "truth" or "board"."""
    return f"gimbal-{os.getuid()}-{safe_name(rig_name)}.{part}"


def socket_path(rig_name: str) -> Path:
    """Where the rig's daemon listens. Raises GimbalError where the path is longer than a socket's may be."""
    path = runtime_dir() / f"{safe_name(rig_name)}.sock"
    if len(os.fsencode(path)) > SOCKET_PATH_BYTES:
        raise GimbalError(
            f"The control socket's path {path} is longer than the {SOCKET_PATH_BYTES} bytes a socket's may have. "
            "Name a shorter folder in the environment variable GIMBAL_RUNTIME_DIR."
        )
    return path


def segment_of_socket(path: Path, part: str) -> str:
    """The same, found from the daemon's socket."""
    return f"gimbal-{path.stat().st_uid}-{path.stem}.{part}"


class RigLock:
    """Held for as long as the daemon lives; the kernel releases it however the daemon ends."""

    def __init__(self, rig_name: str) -> None:
        """Raises GimbalError naming the process that runs the rig already."""
        self.path = runtime_dir() / f"{safe_name(rig_name)}.lock"
        self._fd = os.open(self.path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(self._fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            pid = os.read(self._fd, 32).decode(errors="replace").strip() or "unknown"
            os.close(self._fd)
            raise GimbalError(
                f"Rig {rig_name!r} is already run by process {pid}: two daemons would fight over the motors. Work with "
                f"that one through `gimbal ctl`, or end it first with `kill {pid}`."
            ) from None
        os.ftruncate(self._fd, 0)
        os.pwrite(self._fd, f"{os.getpid()}\n".encode(), 0)

    def release(self) -> None:
        if self._fd >= 0:
            os.close(self._fd)  # the file stays: removing it could split the lock between two daemons
            self._fd = -1


def find_socket(rig_name: str | None) -> Path:
    """The socket of the rig's daemon, or of the only one running when no rig is named.

    Where ``GIMBAL_RUNTIME_DIR`` is set nowhere else is looked: who sets it keeps its daemons apart from the others.

    Raises:
        UsageError: none, or several to choose from.
    """
    folders = _candidates()[:1] if os.environ.get("GIMBAL_RUNTIME_DIR") else [*_candidates(), SERVICE_FOLDER]
    if rig_name is not None:
        for folder in folders:
            path = folder / f"{safe_name(rig_name)}.sock"
            if path.exists() and not _left_behind(path):
                return path
        raise UsageError(
            f"No daemon runs rig {rig_name!r} (no socket in {', '.join(map(str, folders))}). Start it with "
            f"`gimbal run {rig_name}`; a service's commands need its user."
        )
    found = sorted({path for folder in folders for path in _sockets(folder) if not _left_behind(path)})
    if len(found) == 1:
        return found[0]
    if not found:
        raise UsageError("No daemon is running: start one with `gimbal run RIG`. A service's commands need its user.")
    names = ", ".join(path.stem for path in found)
    raise UsageError(f"Several daemons have a socket here: {names}. Say which with --rig NAME.")


def _sockets(folder: Path) -> list[Path]:
    try:
        return list(folder.glob("*.sock"))
    except OSError:
        return []


def _left_behind(path: Path) -> bool:
    """Nobody listens there any more: a daemon that was killed can't remove its socket."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as probe:
        probe.setblocking(False)  # a daemon that stands still may have its backlog full
        return probe.connect_ex(str(path)) in (errno.ECONNREFUSED, errno.ENOENT)
