"""``python -m tests.contract.rig_table [RIG …] [--seconds S] [--update]``: each rig flown over emulated devices.

Prints the rows of docs/devices.md: what the rig tells its devices, loop rate and what its slowest line carries, the
host's own time a cycle, and the rig's jitter (docs/contract.md: rotation of the true camera against a constant attitude
in lock, against the line of sight in track, roll included, RMS above 0.5 Hz). ``--update`` writes the whole table into
that page.
"""

from __future__ import annotations

import argparse
from pathlib import Path

from gimbal.config.load import load_rig
from gimbal.errors import GimbalError
from tests.contract.rig_flight import BridgeError, fly, rigs

NONE = {"total": float("nan")}  # of a flight too short for it
PAGE = Path(__file__).resolve().parents[2] / "docs/devices.md"
BEGIN, END = "<!-- rig table: begin -->\n", "<!-- rig table: end -->\n"
HEAD = (
    "| rig | devices | output | loop (line carries), Hz | host's cycle, µs | jitter lock, track, µrad RMS "
    "| pointing, deg RMS | horizon, deg RMS | faults |\n|---|---|---|---|---|---|---|---|---|\n"
)


def row(rig: str, seconds: float) -> str:
    """One table row."""
    config = load_rig(rig).config
    devices = ", ".join(dict.fromkeys(d.driver for d in config.devices.values() if d.driver != "ublox"))
    try:
        f, lock = fly(rig, seconds), fly(rig, seconds, mode="lock")
    except (GimbalError, BridgeError) as error:
        return f"| `{rig}` | {devices} | refused: {error} | | | | | | |\n"
    jitter = ", ".join(f"{(one['jitter_urad_rms'] or NONE)['total']:.0f}" for one in (lock, f))
    faults = dict.fromkeys([*lock["faults"], *f["faults"]])
    output = f"{config.control.output} of the {'camera' if config.inner_loop else 'joints'}"
    return (
        f"| `{rig}` | {devices} | {output} | {config.loop_rate_hz:g} ({f['budget_hz']:.0f}) | {f['cycle_us']:.0f} "
        f"| {jitter} | {f['pointing_error_deg_rms']:.2f} | {f['horizon_error_deg_rms']:.2f} "
        f"| {', '.join(faults) or 'none'} |\n"
    )


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("rigs", nargs="*", help="names in configs/rigs (default: all)")
    parser.add_argument("--seconds", type=float, default=20.0)
    parser.add_argument("--update", action="store_true", help="write the table into docs/devices.md")
    args = parser.parse_args()
    print(HEAD, end="")
    table = HEAD
    for rig in args.rigs or rigs():
        made = row(rig, args.seconds)
        print(made, end="", flush=True)
        table += made
    if args.update and not args.rigs:
        text = PAGE.read_text(encoding="utf-8")
        before, rest = text.split(BEGIN)
        PAGE.write_text(before + BEGIN + table + END + rest.split(END)[1], encoding="utf-8")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
