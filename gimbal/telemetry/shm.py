"""Named shared memory with one owner: made whole, taken over when its owner was killed, removed when it closes.

Layout: page 0 the owner's words, page 1 the readers' words, then a JSON description, then the data. Files in /dev/shm
rather than multiprocessing.shared_memory: its resource tracker unlinks a segment when a *reader* ends (Python < 3.13).
An flock on the file says the owner lives; the kernel drops it however the owner ends, so a segment whose lock is free
is stale. A process that owns a segment must not fork without exec (the child would hold the lock): use spawn.
"""

from __future__ import annotations

import fcntl
import json
import mmap
import os
import re
import tempfile
from pathlib import Path
from typing import Any

from gimbal.errors import GimbalError

MAGIC = int.from_bytes(b"GIMBSHM1", "little")
PAGE = mmap.PAGESIZE
W_MAGIC, W_CLOSED, W_PID, W_BORN, W_TEXT = range(5)  # owner's words (u64) that every segment has
FIRST_WORD = 16  # words from here on are the segment kind's own (a cache line of their own)


class SharedMemoryError(GimbalError):
    """A segment can't be made or attached: the message says which and what to do."""


class SegmentBusy(SharedMemoryError):
    """Another living process owns the segment."""


class SegmentMissing(SharedMemoryError):
    """Nobody publishes under this name."""


def folder() -> Path:
    """Where segments live: /dev/shm on Linux, else the temporary folder."""
    shm = Path("/dev/shm")
    return shm if shm.is_dir() else Path(tempfile.gettempdir())


def segment_path(name: str) -> Path:
    """The file of a segment. Raises SharedMemoryError for a name that is no plain file name."""
    if not re.fullmatch(r"[A-Za-z0-9_.-]{1,100}", name):
        raise SharedMemoryError(
            f"'{name}' can't name a shared-memory segment: use 1 to 100 letters, digits, dots, dashes or underscores."
        )
    return folder() / name


def process_birth(pid: int) -> int:
    """Start time of a process in clock ticks since boot, 0 where it is gone or /proc doesn't tell."""
    try:
        text = Path(f"/proc/{pid}/stat").read_text()
        return int(text[text.rindex(")") + 2 :].split()[19])
    except (OSError, ValueError, IndexError):
        return 0


class Segment:
    """The owner's side. ``words`` and ``requests`` are u64 views of page 0 and 1, ``data`` the bytes behind them."""

    def __init__(self, name: str, description: dict[str, Any], data_bytes: int) -> None:
        """Makes the segment, replacing one whose owner is dead.

        Raises:
            SegmentBusy: a living process owns it.
            SharedMemoryError: no room or no permission.
        """
        self.name = name
        self.path = segment_path(name)
        text = json.dumps(description).encode()
        start = _data_offset(len(text))
        try:
            self._fd = self._make(start + data_bytes)
        except OSError as error:
            raise SharedMemoryError(
                f"The shared-memory segment {self.path} ({(start + data_bytes) / 1e6:.1f} MB) can't be made: "
                f"{error.strerror or error}. Free space in {folder()} or let this user write there, then start again."
            ) from error
        self._map = mmap.mmap(self._fd, start + data_bytes)
        view = memoryview(self._map)
        self.words = view[:PAGE].cast("Q")
        self.requests = view[PAGE : 2 * PAGE].cast("Q")
        view[2 * PAGE : 2 * PAGE + len(text)] = text
        self.data = view[start:]
        self.words[W_PID] = os.getpid()
        self.words[W_BORN] = process_birth(os.getpid())
        self.words[W_TEXT] = len(text)
        self.words[W_MAGIC] = MAGIC
        os.replace(self._new, self.path)  # now, and whole, others see it

    def _make(self, size: int) -> int:
        self._new = self.path.with_name(self.path.name + ".new")
        fd = os.open(self._new, os.O_RDWR | os.O_CREAT, 0o600)
        try:
            if not _lock(fd) or _has_owner(self.path):
                raise SegmentBusy(
                    f"The shared-memory segment {self.path} is in use by process {_owner_pid(self.path) or 'unknown'}: "
                    "a gimbal daemon already runs on this rig. Stop that one first, or talk to it with 'gimbal ctl'."
                )
            os.ftruncate(fd, 0)
            os.posix_fallocate(fd, 0, size)  # no room is an error here, not a SIGBUS in the loop
        except BaseException:
            os.close(fd)
            raise
        return fd

    def close(self) -> None:
        """Tells the readers and removes the name; safe to call twice. Readers keep what they have mapped."""
        if self._fd < 0:
            return
        self.words[W_CLOSED] = 1
        try:
            if os.stat(self.path).st_ino == os.fstat(self._fd).st_ino:
                os.unlink(self.path)
        except OSError:
            pass  # removed by hand: as wanted
        os.close(self._fd)
        self._fd = -1


class Attached:
    """A reader's side: everything mapped read-only, except ``requests`` when asked to be writable."""

    def __init__(self, name: str, *, requests_writable: bool = False) -> None:
        """Raises SegmentMissing where nobody publishes, SharedMemoryError where it is something else."""
        self.name = name
        self.path = segment_path(name)
        try:
            fd = os.open(self.path, os.O_RDWR if requests_writable else os.O_RDONLY)
        except OSError as error:
            raise SegmentMissing(
                f"Nothing is published as {self.path}: {error.strerror}. Start this rig's daemon first ('gimbal run')."
            ) from error
        try:
            if os.fstat(fd).st_size < 2 * PAGE:
                raise SharedMemoryError(f"{self.path} is not a segment of this program: remove the file.")
            self._map = mmap.mmap(fd, 0, prot=mmap.PROT_READ)
            view = memoryview(self._map)
            self.words = view[:PAGE].cast("Q")
            if self.words[W_MAGIC] != MAGIC:
                raise SharedMemoryError(f"{self.path} is of another program or version: stop its owner or remove it.")
            self.requests = view[PAGE : 2 * PAGE].cast("Q")
            if requests_writable:
                self._request_map = mmap.mmap(fd, PAGE, offset=PAGE)
                self.requests = memoryview(self._request_map).cast("Q")
            size = self.words[W_TEXT]
            self.description = json.loads(bytes(view[2 * PAGE : 2 * PAGE + size]))
            self.data = view[_data_offset(size) :]
        finally:
            os.close(fd)

    def closed(self) -> bool:
        """True when the owner closed it or is dead: nothing new will come."""
        return bool(self.words[W_CLOSED]) or not self.owner_alive()

    def owner_alive(self) -> bool:
        """True while the process that made the segment runs (pid and start time agree)."""
        pid, born = self.words[W_PID], self.words[W_BORN]
        if born:
            return process_birth(pid) == born
        try:
            os.kill(pid, 0)
        except ProcessLookupError:
            return False
        except PermissionError:
            return True
        return True


def _data_offset(text_bytes: int) -> int:
    return 2 * PAGE + -(-text_bytes // PAGE) * PAGE


def _lock(fd: int) -> bool:
    try:
        fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def _has_owner(path: Path) -> bool:
    try:
        fd = os.open(path, os.O_RDONLY)
    except FileNotFoundError:
        return False
    try:
        return not _lock(fd)
    finally:
        os.close(fd)


def _owner_pid(path: Path) -> int:
    try:
        with path.open("rb") as file:
            return int.from_bytes(file.read(8 * (W_PID + 1))[8 * W_PID :], "little")
    except OSError:
        return 0
