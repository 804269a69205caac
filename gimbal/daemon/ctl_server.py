"""The daemon's Unix socket: one JSON object a line, one thread a client, so that no slow client delays a STOP."""

from __future__ import annotations

import json
import os
import socket
import struct
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

MAX_CLIENTS = 32
MAX_LINE = 4096
IDLE_S = 60.0  # a client that says nothing for so long gives its place up
HURRY_S = 0.2  # for the one line of a client for whom there is no place
Handler = Callable[[Any, int], dict[str, Any]]


class ControlServer:
    """Serves ``handle(request, owner)`` on ``path``; the owner is the client's session as the kernel tells it."""

    def __init__(self, path: Path, handle: Handler) -> None:
        self.path, self.handle = path, handle
        self._closed = False
        self._slots = threading.BoundedSemaphore(MAX_CLIENTS)
        path.unlink(missing_ok=True)  # left by a daemon that was killed: the rig's lock is ours
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        before = os.umask(0o177)
        try:
            self._socket.bind(str(path))
        finally:
            os.umask(before)
        self._socket.listen(8)
        threading.Thread(target=self._accept, name="ctl", daemon=True).start()

    def _accept(self) -> None:
        while True:
            try:
                client, _ = self._socket.accept()
            except OSError:
                if self._closed:
                    return
                time.sleep(0.01)  # out of descriptors, for example: STOP must work again after it
                continue
            client.settimeout(IDLE_S)
            if not self._slots.acquire(blocking=False):
                threading.Thread(target=self._answer_once, args=(client,), name="ctl hurry", daemon=True).start()
                continue
            threading.Thread(target=self._serve, args=(client,), name="ctl client", daemon=True).start()

    def _answer_once(self, client: socket.socket) -> None:
        """All slots are taken: one line is still read, for it may be a STOP."""
        client.settimeout(HURRY_S)
        try:
            with client:
                line = client.recv(MAX_LINE)
                client.sendall(json.dumps(self._answer(line, _peer(client))).encode() + b"\n")
        except OSError:
            pass

    def _serve(self, client: socket.socket) -> None:
        try:
            with client, client.makefile("rb") as lines:
                owner = _peer(client)
                while line := lines.readline(MAX_LINE):
                    client.sendall(json.dumps(self._answer(line, owner)).encode() + b"\n")
        except OSError:
            pass  # the client is gone: nobody to answer
        finally:
            self._slots.release()

    def _answer(self, line: bytes, owner: int) -> dict[str, Any]:
        try:
            request = json.loads(line)
        except ValueError:
            return {"ok": False, "reason": "the request is no line of JSON"}
        return self.handle(request, owner)

    def close(self) -> None:
        self._closed = True
        self._socket.close()
        self.path.unlink(missing_ok=True)


def _peer(client: socket.socket) -> int:
    """Who commands: the client's session, so that one person's commands from one terminal have one owner; 0 never.

    Sessions begun outside a container read as 0 inside it; the process that ran the command stands for them then.
    """
    data = client.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, struct.calcsize("3i"))
    pid = struct.unpack("3i", data)[0]
    try:
        return os.getsid(pid) or _parent(pid) or pid
    except OSError:
        return pid  # gone already, or of another namespace


def _parent(pid: int) -> int:
    stat = Path(f"/proc/{pid}/stat").read_text(encoding="ascii", errors="replace")
    return int(stat.rsplit(")", 1)[1].split()[1])
