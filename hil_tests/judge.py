"""From the rows and the plant's truth of one case to its figures, and from those to passed or not. One for both kinds.

Onset is the moment the fault was put in, plus what the case says for the first symptom anyone could see. Safe is the
first moment at which no motor is driven by the host's torque any more, as the plant sees it.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np

from gimbal.faults import Code, limit_names, sentence
from gimbal.metrics import q_mul, rotation_vector
from gimbal.records import Arm
from gimbal.units import DEG

STOPPED_RAD_S = 60.0 * DEG
AFTER_SAFE_NS = 100_000_000


@dataclass(frozen=True)
class Case:
    """One line of the table; times in ms, angles in deg."""

    name: str
    device: str
    script: tuple[tuple[float, str], ...]  # ms after the fault begins, command
    outcome: str  # ride-through, degrade, safe, told
    codes: tuple[str, ...] = ()  # causes or limits that may name it; the first is the usual one
    onset_ms: float = 0.0
    onset_deg: float = 0.0  # above 0: the onset is when the camera has turned by this
    within_deg: float = 180.0  # the camera's turn at detection
    detect_ms: float | None = 50.0  # None: there is nothing to see
    safe_ms: float = 50.0
    excursion_deg: float = 20.0
    flight: str = "lock"  # of [flight]
    window_ms: float = 1000.0
    turning_deg_s: float | None = None  # the camera's own rate while the host commands torque
    realtime: str = "shared"  # shared: in turn on one daemon; own: a daemon of its own; none: lock-step only, and why
    lockstep: str = "shared"  # none: real time only, and why
    why: str = ""


@dataclass
class Seen:
    """What one run of a case showed."""

    t_ns: np.ndarray  # of each row of truth
    truth: np.ndarray  # TRUTH
    driven: np.ndarray  # bool a row: a motor follows the host's last command
    rows: np.ndarray  # TICK
    onset_ns: int
    limits_before: int
    joint_max_rad_s: float
    armed_after: bool = False  # armed once more by itself after it was safe
    log_faults: list[str] = field(default_factory=list)
    log_limits: list[str] = field(default_factory=list)
    stall_ms: float = 0.0  # of a reference thread in the time judged: taken off in real time
    process_gone: bool = False


def outcome_of(seen: Seen) -> str:
    """safe: latched, and no motor follows the host any more. told: latched and said, but a device without a watchdog
    goes on with its last command."""
    health = seen.rows["health"]
    if health["arm"][-1] == Arm.SAFE or seen.process_gone:
        return "told" if seen.driven[-1] else "safe"
    return "degrade" if _reduced(seen) else "ride-through"


def _reduced(seen: Seen) -> int:
    """The limits that came since onset and tell the operator of something lost."""
    limits = seen.rows["health"]["limits"][seen.rows["t_ns"] >= seen.onset_ns]
    ignored = (1 << Code.RATE_LIMIT) | (1 << Code.TORQUE_LIMIT) | (1 << Code.IMU_PREDICTED)
    return int(np.bitwise_or.reduce(limits)) & ~seen.limits_before & ~ignored


def figures(case: Case, seen: Seen) -> dict[str, Any]:
    """The record of hil_results.json but its name, kind and verdict."""
    first_ns = seen.onset_ns
    if case.onset_deg > 0.0:
        seen.onset_ns = _moved_at(seen, case.onset_deg)
    outcome = outcome_of(seen)
    detect_ns, code = _detection(case, seen)
    upto = (seen.t_ns >= first_ns) & (seen.t_ns <= (seen.t_ns[-1] if detect_ns is None else detect_ns))
    safe_ns = _safe_at(seen) if outcome == "safe" else None
    reach = seen.t_ns >= first_ns
    end_ns = seen.t_ns[-1] if safe_ns is None or case.onset_deg > 0.0 else safe_ns + AFTER_SAFE_NS
    during = reach & (seen.t_ns <= end_ns)
    rate = np.abs(seen.truth["joint_rate"]).max(axis=1)
    turning = np.linalg.norm(seen.truth["omega_NC_C"], axis=1)
    driven = reach & seen.driven
    off = lambda ns: None if ns is None else max(0.0, (ns - seen.onset_ns) * 1e-6 - seen.stall_ms)  # noqa: E731
    return {
        "outcome": outcome,
        "limits": limit_names(_reduced(seen)),
        "detect_ms": _round(off(detect_ns)),
        "safe_ms": _round(off(safe_ns)),
        "max_joint_rate_deg_s": round(float(rate[driven].max()) / DEG, 1) if driven.any() else 0.0,
        "turning_deg_s": round(float(turning[driven].max()) / DEG, 1) if driven.any() else 0.0,
        "detect_deg": round(_excursion(seen.truth["q_NC"][upto]), 2),
        "excursion_deg": round(_excursion(seen.truth["q_NC"][during]), 2),
        "rearmed": bool(seen.armed_after),
        "log_has_cause": _log_names(case, seen, outcome),
        "sentence": sentence(code) if code else "",
    }


def _round(value: float | None) -> float | None:
    return None if value is None else round(value, 1)


def _detection(case: Case, seen: Seen) -> tuple[int | None, int]:
    """When and as what the loop first saw it: its fault, a limit of the case, or a lost link."""
    rows = seen.rows[seen.rows["t_ns"] >= seen.onset_ns]
    if seen.process_gone or not len(rows):
        return (int(seen.t_ns[-1]), 0) if not seen.process_gone else (None, 0)
    wanted = sum(1 << Code[name.upper()] for name in case.codes if Code[name.upper()] < 64)
    fault = rows["health"]["fault"]
    hit = (fault != 0) | ((rows["health"]["limits"] & np.uint64(wanted)) != 0)
    linked = rows["sense"]["link_lost"] != seen.rows["sense"]["link_lost"][0]
    at = np.flatnonzero(hit | linked)
    if not at.size:
        return None, 0
    faults = fault[fault != 0]
    if faults.size:
        return int(rows["t_ns"][at[0]]), int(faults[0])
    bits = int(np.bitwise_or.reduce(rows["health"]["limits"])) & wanted
    names = [name for name in case.codes if Code[name.upper()] < 64 and bits >> Code[name.upper()] & 1]
    return int(rows["t_ns"][at[0]]), int(Code[names[0].upper()]) if names else 0


def _safe_at(seen: Seen) -> int:
    """The first moment after onset from which no motor is driven."""
    driven = np.flatnonzero(seen.driven)
    last = int(driven[-1]) if driven.size else -1
    return int(max(seen.t_ns[min(last + 1, len(seen.t_ns) - 1)], seen.onset_ns))


def _moved_at(seen: Seen, deg: float) -> int:
    """The first symptom of a motor that pulls the wrong way is motion."""
    reach = np.flatnonzero(seen.t_ns >= seen.onset_ns)
    moved = np.flatnonzero(_turns_deg(seen.truth["q_NC"][reach]) > deg)
    return int(seen.t_ns[reach[moved[0]]]) if moved.size else seen.onset_ns


def _excursion(q_NC: np.ndarray) -> float:
    """Largest turn of the camera from where it looked at onset, deg."""
    return float(_turns_deg(q_NC).max()) if len(q_NC) else 0.0


def _turns_deg(q_NC: np.ndarray) -> np.ndarray:
    turn = rotation_vector(q_mul(np.broadcast_to(q_NC[0] * [1, -1, -1, -1], q_NC.shape), q_NC))
    return np.linalg.norm(turn, axis=1) / DEG


def _log_names(case: Case, seen: Seen, outcome: str) -> bool:
    """The log holds the cause: the latched fault, or the limit. A ride-through has none to hold."""
    if outcome in ("safe", "told"):
        return seen.process_gone or any(name in case.codes for name in seen.log_faults)
    wanted = [name for name in case.codes if Code[name.upper()] < 64] if outcome == "degrade" else []
    return not wanted or any(name in wanted for name in seen.log_limits)


def complaints(case: Case, result: dict[str, Any], joint_max_deg_s: float, kind: str) -> list[str]:
    """Why the case has not passed; empty when it has."""
    wrong = []
    if result["outcome"] != case.outcome:
        why = f" ({', '.join(result['limits'])})" if result["outcome"] == "degrade" else ""
        wrong.append(f"outcome {result['outcome']}{why}, expected {case.outcome}")
    if result["outcome"] == "safe":
        if result["safe_ms"] is None or result["safe_ms"] > case.safe_ms:
            wrong.append(f"safe after {result['safe_ms']} ms, allowed {case.safe_ms:g}")
    late = result["detect_ms"] is not None and case.detect_ms is not None and result["detect_ms"] > case.detect_ms
    if late and result["outcome"] != "ride-through":
        wrong.append(f"detected after {result['detect_ms']} ms, allowed {case.detect_ms:g}")
    if result["detect_deg"] > case.within_deg:
        wrong.append(f"the camera had turned {result['detect_deg']} deg when seen, allowed {case.within_deg:g}")
    if result["excursion_deg"] > case.excursion_deg:
        wrong.append(f"camera moved {result['excursion_deg']} deg, allowed {case.excursion_deg:g}")
    if result["max_joint_rate_deg_s"] > 1.2 * joint_max_deg_s:
        wrong.append(
            f"joint rate {result['max_joint_rate_deg_s']} deg/s under torque, allowed {1.2 * joint_max_deg_s:g}"
        )
    if case.turning_deg_s is not None and result["turning_deg_s"] > case.turning_deg_s:
        wrong.append(f"the camera turned at {result['turning_deg_s']} deg/s, allowed {case.turning_deg_s:g}")
    if result["rearmed"]:
        wrong.append("it armed again by itself")
    if not result["log_has_cause"]:
        wrong.append(f"the log does not name {' or '.join(case.codes)}")
    if result["outcome"] in ("safe", "told", "degrade") and case.codes and not result["sentence"]:
        wrong.append("no sentence for the operator")
    return wrong


def limits_in(rows: np.ndarray) -> list[str]:
    return limit_names(int(np.bitwise_or.reduce(rows["health"]["limits"]))) if len(rows) else []
