"""Ending a process of the daemon from outside it, and being sure that it is gone."""

from __future__ import annotations

import contextlib
import os
import signal
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from gimbal.loop.board import Board, Phase

ASK_S = 0.5  # SIGTERM: the loop makes its rig safe and leaves, where it runs at all
KILL_S = 0.3
_POLL_S = 0.005


def _state(pid: int) -> str:
    """The letter that the kernel gives its state: T stopped, Z dead but not yet waited for; X where there is none."""
    try:
        stat = Path(f"/proc/{pid}/stat").read_text(encoding="ascii", errors="replace")
    except OSError:
        return "X"
    return stat.rsplit(")", 1)[1].split()[0]


def is_gone(pid: int) -> bool:
    """Whether the process runs no more."""
    return _state(pid) in "ZX"


def is_ours(pid: int) -> bool:
    """Whether the number still belongs to a process of this program."""
    try:
        return pid > 0 and b"gimbal" in Path(f"/proc/{pid}/cmdline").read_bytes()
    except OSError:
        return False


def _gone_after(pid: int, number: int, seconds: float, safe: Callable[[], bool] = lambda: False) -> bool:
    with contextlib.suppress(ProcessLookupError):
        os.kill(pid, number)
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        if is_gone(pid) or safe():
            return True
        time.sleep(_POLL_S)
    return is_gone(pid)


def end_loop(board: Board) -> str:
    """End the loop's process: SIGTERM, then SIGKILL; a stopped process takes no other.

    Returns "ended" (it left by itself: its rig is safe), "killed" (only the devices' watchdogs stop them) or "alive".
    """
    pid = board["pid"]
    if _state(pid) not in "Tt" and _gone_after(pid, signal.SIGTERM, ASK_S, lambda: board["phase"] == Phase.ENDED):
        return "ended"
    return "killed" if _gone_after(pid, signal.SIGKILL, KILL_S) else "alive"


def without_watchdog(config: Any) -> list[str]:
    """The rig's devices that move joints and whose watchdog isn't set by the host: they keep their last command."""
    from firmware_bridge import registry

    names = []
    for name, device in config.devices.items():
        if registry.entry(device.driver).kind not in ("motor", "gimbal"):
            continue
        if "watchdog_ms" not in type(registry.create_driver(device.driver)).OPTIONS:
            names.append(name)
    return names


def after_a_kill(config: Any) -> str:
    """What stops the motors once the loop is killed, and what the operator must do."""
    names = without_watchdog(config)
    if names:
        return f"{', '.join(names)} has no watchdog set by the host and may keep its last command: CUT THE WIRED STOP"
    return "the devices' own watchdogs stop the motors"
