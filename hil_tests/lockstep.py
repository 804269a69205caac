"""The lock-step twin of every case: one flight a scenario, forked for each fault."""

from __future__ import annotations

import functools
import tempfile
from pathlib import Path
from typing import Any

import numpy as np

from gimbal.emulate import MOTION_S
from gimbal.faults import Code
from gimbal.records import Arm
from gimbal.telemetry.log_writer import LogWriter
from gimbal.telemetry.reader import open_log
from gimbal.units import DEG
from hil_tests.flight import Flight, in_a_fork
from hil_tests.judge import Case, Seen, complaints, figures, limits_in
from hil_tests.table import flights

BEFORE_S = 0.1  # flown first: what limits act without the fault
TILT_S = 15.0  # in which the tilt is known and the rig armed
CALM_S = 1.0  # flown on after that
HEALED_MS = 300.0  # flown on with everything well again: nothing may arm by itself


@functools.cache
def flight(name: str) -> Flight:
    """A flight armed and settled, the start of every case of that name. Never flown on itself."""
    spec = flights()[name]
    # A carrier's flight is drawn as a whole: one of another length is another from its first second. Where the moment
    # counts, it is as long as the emulators'.
    made = Flight(spec, seconds=MOTION_S if spec.timed else 60.0)
    flown, armed = 0.0, 0.0
    while flown < max(spec.seconds, min(armed + CALM_S, TILT_S)):
        made.run(0.1)
        flown += 0.1
        if not made.settled():
            armed = flown
    assert made.settled(), f"the flight {name!r} did not arm"
    made.begin()
    return made


def run(case: Case) -> dict[str, Any]:
    """One case: its record of hil_results.json, with ``complaints``."""
    try:
        start = flight(case.flight)
        return in_a_fork(lambda: _fly(case, start))
    except (RuntimeError, AssertionError) as error:
        nothing = {"outcome": "none", "detect_ms": None, "safe_ms": None, "max_joint_rate_deg_s": 0.0,
                   "excursion_deg": 0.0, "rearmed": False, "log_has_cause": False, "sentence": ""}  # fmt: skip
        return {"case": case.name, "kind": "lockstep", "passed": False, **nothing, "complaints": [str(error)[:600]]}


def _fly(case: Case, f: Flight) -> dict[str, Any]:
    f.keep = True
    limits = 0
    for _ in range(round(BEFORE_S / f.dt_s)):
        f.tick()
        limits |= int(f.row["health"]["limits"][0])
    state = f.state.copy()
    first, first_true = len(f.rows), len(f.truth)
    injected_ns = f.rig.clock()
    end_ns = injected_ns + round(1e6 * case.window_ms)
    script = list(case.script)
    while f.rig.clock() < end_ns:
        while script and f.rig.clock() - injected_ns >= 1e6 * script[0][0]:
            f.obey(script.pop(0)[1])
        if f.rig.clock() < end_ns:  # not where the loop stood still to the end
            f.tick()
    judged, judged_true = len(f.rows), len(f.truth)
    armed_after = _heal(f, round(1e-3 * HEALED_MS / f.dt_s))
    rows = np.concatenate(f.rows[first:judged] or [f.row])
    truth = np.concatenate(f.truth[first_true:judged_true])
    log_faults, log_limits = _logged(f, state, first)
    seen = Seen(
        truth["t_ns"], truth, truth["driven"].any(axis=1), rows,
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
