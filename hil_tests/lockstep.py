"""The lock-step twin of every case: one flight a scenario, forked for each fault."""

from __future__ import annotations

import functools
import tempfile
from pathlib import Path
from typing import Any

import numpy as np

from gimbal.faults import Code
from gimbal.records import Arm
from gimbal.telemetry.log_writer import LogWriter
from gimbal.telemetry.reader import open_log
from gimbal.units import DEG
from hil_tests.flight import Flight, in_a_fork
from hil_tests.judge import Case, Seen, complaints, driven_by_host, figures, limits_in

FLIGHTS = {  # scenario, mode, seconds to where the cases start
    "lock": ("speedflight", "lock", 3.0),
    "bench": ("bench", "lock", 3.0),
    "track": ("speedflight_track", "track", 16.0),
}
HEALED_MS = 300.0  # flown on with everything well again: nothing may arm by itself


@functools.cache
def flight(name: str) -> Flight:
    """A flight armed and settled, the start of every case of that name. Never flown on itself."""
    scenario, mode, seconds = FLIGHTS[name]
    made = Flight(scenario, mode)
    made.run(seconds)
    assert made.settled(), f"the flight {name!r} did not arm"
    return made


def run(case: Case) -> dict[str, Any]:
    """One case: its record of hil_results.json, with ``complaints``."""
    start = flight(case.flight)
    return in_a_fork(lambda: _fly(case, start))


def _fly(case: Case, f: Flight) -> dict[str, Any]:
    f.keep = True
    limits = 0
    for _ in range(100):  # what limits act without the fault
        f.tick()
        limits |= int(f.row["health"]["limits"][0])
    state = f.state.copy()
    first = len(f.rows)
    injected_ns = f.t_ns + f.rig.dt_ns
    script = list(case.script)
    ticks, healed = round(case.window_ms), round(HEALED_MS)
    for at in range(ticks):
        while script and at >= script[0][0]:
            f.obey(script.pop(0)[1])
        if len(f.rows) - first >= ticks:
            break
        f.tick()
    judged = len(f.rows)
    armed_after = _heal(f, healed)
    rows = np.concatenate(f.rows[first:judged])
    truth = np.stack(f.truth[first:judged])
    log_faults, log_limits = _logged(f, state, first)
    seen = Seen(
        truth["t_ns"], truth, driven_by_host(np.stack(f.modes[first:judged])), rows,
        injected_ns + int(case.onset_ms * 1e6), limits, 0.0, armed_after, log_faults, log_limits,
        process_gone=any(command.startswith("host stop 1000") for _, command in case.script),
    )  # fmt: skip
    result = figures(case, seen)
    joints = f.config.joints
    limit = min(getattr(joints, axis).max_rate_deg_s for axis in ("roll", "pitch", "yaw"))
    wrong = complaints(case, result, limit, "lockstep")
    return {"case": case.name, "kind": "lockstep", "passed": not wrong, **result, "complaints": wrong}


def _heal(f: Flight, ticks: int) -> bool:
    """Everything well again: True if it was safe and armed by itself."""
    was_safe = int(f.row["health"]["arm"][0]) == Arm.SAFE
    f.obey("heal")
    f.rate_C, f.busy = None, 0.0
    armed = False
    for _ in range(ticks):
        f.tick()
        armed = armed or int(f.row["health"]["arm"][0]) == Arm.ARMED
    return was_safe and armed


def _logged(f: Flight, state: np.ndarray, first: int) -> tuple[list[str], list[str]]:
    """Faults and limits as a log of these rows holds them."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "case.mcap"
        writer = LogWriter(path, {"rig": f.config.name}, params=f.params, state_dtype=state.dtype)
        writer.write_state(state)
        for row in f.rows[first:]:
            writer.write(row, state)
        writer.close()
        rows = open_log(path).rows()
    fault = rows["health"]["fault"]
    changes = np.flatnonzero(np.diff(fault, prepend=0))
    return [Code(int(v)).name.lower() for v in fault[changes] if v], limits_in(rows)


__all__ = ["DEG", "flight", "run"]
