"""The real-time process, started by ``gimbal run``: compile, open the rig, ask for rights, loop, end safe.

``python -m gimbal.run_realtime SPEC`` with SPEC a JSON object: rig (path), name, ports, mode, folder,
parent (pid). It talks to its parent through the board only; the parent's death reaches it as SIGTERM. With the
other half, gimbal/run.py, this is the composition root: the only place that names a concrete rig.
"""

from __future__ import annotations

import json
import os
import signal
import sys
import threading
import time
import traceback
from pathlib import Path
from typing import Any

from gimbal.daemon import instance
from gimbal.errors import GimbalError
from gimbal.loop import realtime
from gimbal.loop.board import Board, Phase

RING_S = 4.0  # the TICK ring holds this long: a reader may stall for as much without losing a row
STATE_SLOTS = 8
SWITCH_S = 1e-4  # the loop waits for no other thread of its process longer than this


def main() -> None:
    spec = json.loads(sys.argv[1])
    realtime.leave_endings_to_parent()
    realtime.die_with_parent(spec["parent"])
    board = Board(instance.segment(spec["name"], "board"))
    signal.signal(signal.SIGTERM, lambda *_: board.__setitem__("stop", 1))
    board["pid"] = os.getpid()
    try:
        _run(spec, board)
        board["phase"] = Phase.ENDED
    except Exception as error:
        board["exit_code"] = getattr(error, "exit_code", 1)
        board.message = _explain(error)
        board["phase"] = Phase.FAILED
        raise SystemExit(board["exit_code"]) from None


def _explain(error: Exception) -> str:
    from firmware_bridge.errors import BridgeError

    if isinstance(error, (GimbalError, BridgeError)):
        return str(error)
    trace = traceback.format_exc(limit=-4)
    return f"The real-time process failed and made the rig safe: a defect of the program. Please report this:\n{trace}"


def _run(spec: dict[str, Any], board: Board) -> None:
    board["phase"] = Phase.COMPILING
    params, state, step = _compiled(spec, board)
    from gimbal.clock import MonotonicClock, spin_lead_ns
    from gimbal.config.load import load_rig
    from gimbal.daemon.params_file import save_params
    from gimbal.loop.process import run_loop
    from gimbal.records import TICK
    from gimbal.rig.hardware import HardwareRig
    from gimbal.telemetry.inbox import InboxReader
    from gimbal.telemetry.ring import RingWriter

    config = load_rig(spec["rig"]).config
    save_params(spec["folder"], params)
    period_ns = round(1e9 / config.loop_rate_hz)
    rig = HardwareRig(config, spec["ports"])
    _wait_for_go(board)
    if board["stop"]:
        return
    board["phase"] = Phase.OPENING
    sys.setswitchinterval(SWITCH_S)
    rows = max(64, round(RING_S * config.loop_rate_hz))
    ring = RingWriter(instance.segment(spec["name"], "tick"), TICK, rows, {"rig": config.name})
    states = RingWriter(instance.segment(spec["name"], "state"), state.dtype, STATE_SLOTS, {"rig": config.name})
    try:
        rig.open({"dt_s": period_ns * 1e-9, "seed": 0, "kinematic_order": list(config.kinematic_order), "t0_ns": 0})
        inbox = InboxReader(instance.segment(spec["name"], "inbox"))
        report = realtime.acquire()
        board.report = json.dumps(report.as_dict() | {"devices": rig.identities})
        clock = MonotonicClock(period_ns, spin_lead_ns(period_ns, prefetch=True) if report.spin else 0)
        board["start_cpu_ns"] = time.process_time_ns()
        rig.discard_stale()
        board["phase"] = Phase.RUNNING
        clock.start()
        run_loop(rig, step, params, state, clock=clock, ring=ring, states=states, inbox=inbox, board=board)
    finally:
        rig.safe()
        rig.close()
        ring.close()
        states.close()


def _compiled(spec: dict[str, Any], board: Board) -> tuple[Any, Any, Any]:
    """Parameters, start state and the compiled step, called once on copies so that nothing is compiled in the loop."""
    done = threading.Event()
    counter = threading.Thread(target=_count_kernels, args=(board, done), daemon=True)
    counter.start()
    try:
        import numpy as np

        from gimbal.config.load import load_rig
        from gimbal.config.pack import pack_params
        from gimbal.loop.pipeline import new_state, step
        from gimbal.records import COMMAND, INBOX, SENSE, TICK, Mode
        from gimbal.tuning import margins

        config = load_rig(spec["rig"]).config
        margins.check(config, isolated=True)
        params = pack_params(config)
        state = new_state(params)
        state["arbiter"]["mode"] = Mode[spec["mode"].upper()]
        step(params, state.copy(), np.zeros(1, SENSE), np.zeros(1, INBOX), np.zeros(1, COMMAND), np.zeros(1, TICK))
    finally:
        done.set()
        counter.join()
    return params, state, step


def _count_kernels(board: Board, done: threading.Event) -> None:
    """Shows progress on the board: kernels in the cache folder so far."""
    while not done.wait(0.2):
        folder = os.environ.get("NUMBA_CACHE_DIR")
        if folder:
            board["compiled"] = sum(1 for _ in Path(folder).rglob("*.nbc"))


def _wait_for_go(board: Board) -> None:
    """The ports exist once the parent says so: it starts the emulators while this process compiles."""
    while not board["go"] and not board["stop"]:
        time.sleep(0.005)


if __name__ == "__main__":
    main()
