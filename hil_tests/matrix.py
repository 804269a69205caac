"""``python -m hil_tests.matrix``: the fault matrix with progress, hil_results.json and docs/fault-matrix.md."""

from __future__ import annotations

import argparse
import json
import platform
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from hil_tests import lockstep, realtime
from hil_tests.judge import Case
from hil_tests.table import cases

DOC = Path(__file__).resolve().parents[1] / "docs" / "fault-matrix.md"
KEYS = ("case", "kind", "outcome", "passed", "detect_ms", "safe_ms", "max_joint_rate_deg_s", "excursion_deg", "rearmed",
        "log_has_cause", "sentence")  # fmt: skip
KEPT = "## Endurance"  # the rest of the page is written by hand
BAR = 30


def run_all(kinds: list[str], wanted: list[Case], say: Callable[[str], None]) -> list[dict[str, Any]]:
    """Every case of the kinds asked for; ``say`` gets a line each."""
    results: list[dict[str, Any]] = []
    jobs = [(kind, case) for kind in kinds for case in wanted if getattr(case, kind) != "none"]
    session = realtime.Session()
    began = time.monotonic()
    try:
        for at, (kind, case) in enumerate(jobs):
            results.append(lockstep.run(case) if kind == "lockstep" else session.run(case))
            say(_line(results[-1], at + 1, len(jobs), time.monotonic() - began))
    finally:
        session.close()
    return results


def _line(r: dict[str, Any], done: int, of: int, seconds: float) -> str:
    filled = BAR * done // of
    bar = "#" * filled + "." * (BAR - filled)
    left = seconds / done * (of - done)
    mark = "ok  " if r["passed"] else "FAIL"
    why = "" if r["passed"] else " | " + "; ".join(r["complaints"])
    return f"[{bar}] {done}/{of}, {left:.0f} s left  {mark} {r['kind']:8s} {r['case']}: {_cells(r)}{why}"


def _cells(r: dict[str, Any]) -> str:
    ms = lambda v: "-" if v is None else f"{v:g} ms"  # noqa: E731
    return (f"{r['outcome']}, seen {ms(r['detect_ms'])}, safe {ms(r['safe_ms'])}, "
            f"{r['max_joint_rate_deg_s']:g} deg/s, {r['excursion_deg']:g} deg")  # fmt: skip


def document(results: list[dict[str, Any]]) -> str:
    """docs/fault-matrix.md of these results."""
    by_case: dict[str, dict[str, dict[str, Any]]] = {}
    for r in results:
        by_case.setdefault(r["case"], {})[r["kind"]] = r
    kinds = [kind for kind in ("lockstep", "realtime") if any(kind in found for found in by_case.values())]
    lines = [
        "# Fault matrix",
        "",
        "Written by `make hil` from `hil_tests/faults.toml`: what is done to which device, and what came of it. Times",
        "in ms from the onset (the first symptom anyone could see) to detection and to the moment no motor follows",
        "the host's torque any more, as the plant sees it; the largest joint rate in deg/s while the host commands",
        "torque; the camera's turn in deg. Lock-step times are exact, in ticks of 1 ms. In real time the host's own",
        "stalls, seen by a reference thread, are taken off.",
        "",
        f"Machine: {platform.machine()}, {platform.system()}.",
        "",
    ]
    for kind in kinds:
        rows = [found[kind] for found in by_case.values() if kind in found]
        good = sum(r["passed"] for r in rows)
        lines += [
            f"## {'Lock-step' if kind == 'lockstep' else 'Real time'}: {good} of {len(rows)} passed",
            "",
            "| case | outcome | seen | safe | rate | turn | passed | the operator reads |",
            "|---|---|---|---|---|---|---|---|",
        ]
        for r in rows:
            number = lambda v: "" if v is None else f"{v:g}"  # noqa: E731
            said = r["sentence"].split(" Cause:")[0]
            verdict = "yes" if r["passed"] else "**no**: " + "; ".join(r["complaints"])
            lines.append(
                f"| {r['case']} | {r['outcome']} | {number(r['detect_ms'])} | {number(r['safe_ms'])} | "
                f"{r['max_joint_rate_deg_s']:g} | {r['excursion_deg']:g} | {verdict} | {said} |"
            )
        lines.append("")
    return "\n".join(lines)


def main(argv: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m hil_tests.matrix", description=__doc__)
    parser.add_argument("--kind", choices=("lockstep", "realtime", "both"), default="both")
    parser.add_argument("--case", action="append", default=[], metavar="WORD", help="only cases whose name has it")
    parser.add_argument("--out", default="hil_results.json", metavar="FILE")
    parser.add_argument("--doc", default=None, metavar="FILE", help=f"write the table (make hil: {DOC.name} in docs)")
    args = parser.parse_args(argv)
    kinds = ["lockstep", "realtime"] if args.kind == "both" else [args.kind]
    wanted = [case for case in cases() if not args.case or any(word in case.name for word in args.case)]
    results = run_all(kinds, wanted, lambda text: print(text, flush=True))
    Path(args.out).write_text(json.dumps([{key: r[key] for key in KEYS} for r in results], indent=1) + "\n")
    if args.doc:
        page = Path(args.doc)
        _, kept, endurance = (page.read_text() if page.exists() else "").partition(KEPT)
        page.write_text(document(results) + ("\n" + kept + endurance if kept else ""))
    failed = [r for r in results if not r["passed"]]
    print(f"{len(results) - len(failed)} of {len(results)} passed; {args.out} written")
    for r in failed:
        print(f"  {r['kind']} {r['case']}: {'; '.join(r['complaints'])}")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
