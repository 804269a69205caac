"""The daemon's child processes: started as modules, told what to do in JSON, never outliving their parent."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import Any

import gimbal
from gimbal.errors import GimbalError

REPO = Path(gimbal.__file__).resolve().parent.parent


class Child:
    """``python -m MODULE SPEC``. The child asks the kernel for a signal when this process dies; its lines on stdout
    are kept in ``lines``, those on stderr in ``errors`` (the last 50)."""

    def __init__(self, module: str, spec: dict[str, Any]) -> None:
        self.module = module
        self.lines: list[str] = []
        self.errors: list[str] = []
        environment = dict(os.environ)
        environment["PYTHONPATH"] = os.pathsep.join(filter(None, [str(REPO), environment.get("PYTHONPATH")]))
        command = [sys.executable, "-m", module, json.dumps(spec | {"parent": os.getpid()})]
        self.process = subprocess.Popen(
            command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE, env=environment
        )
        for stream, kept in ((self.process.stdout, self.lines), (self.process.stderr, self.errors)):
            threading.Thread(target=_keep, args=(stream, kept), daemon=True).start()

    @property
    def pid(self) -> int:
        return self.process.pid

    def running(self) -> bool:
        return self.process.poll() is None

    def wait_for_line(self, line: str, seconds: float, tick: Any = None) -> None:
        """Until the child prints ``line``. ``tick`` is called while waiting.

        Raises:
            GimbalError: the child ended first (its own words), or the time is over.
        """
        end = time.monotonic() + seconds
        while line not in self.lines:
            if not self.running():
                time.sleep(0.05)  # the rest of its words
                raise GimbalError("\n".join(self.errors[-12:]) or f"{self.module} ended without a word")
            if time.monotonic() > end:
                raise GimbalError(f"{self.module} was not ready within {seconds:g} s. Is the machine overloaded?")
            if tick is not None:
                tick()
            time.sleep(0.01)

    def end(self, seconds: float = 2.0, number: int = signal.SIGTERM) -> int:
        """Ask it to end and wait; killed when it doesn't. Returns the exit code."""
        if self.running():
            self.process.send_signal(number)
        return self.join(seconds)

    def join(self, seconds: float) -> int:
        try:
            return self.process.wait(seconds)
        except subprocess.TimeoutExpired:
            self.process.kill()
            return self.process.wait()


def _keep(stream: Any, kept: list[str]) -> None:
    for line in stream:
        kept.append(line.decode(errors="replace").rstrip("\n"))
        del kept[:-50]
