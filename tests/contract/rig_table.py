"""``python -m tests.contract.rig_table [RIG …] [--seconds S]``: each rig flown over emulated devices, as table rows.

The rows of docs/devices.md: loop rate, what answered, and the rig's own jitter (docs/contract.md: rotation of the true
camera against the line of sight, roll included, RMS above 0.5 Hz).
"""

from __future__ import annotations

import argparse

from gimbal.config.load import load_rig
from gimbal.errors import GimbalError
from tests.contract.rig_flight import fly, rigs


def row(rig: str, seconds: float) -> str:
    """One table row."""
    config = load_rig(rig).config
    devices = ", ".join(dict.fromkeys(d.driver for d in config.devices.values() if d.driver != "ublox"))
    f = fly(rig, seconds)
    jitter = f["jitter_urad_rms"]["total"] if f["jitter_urad_rms"] else float("nan")
    faults = ", ".join(f["faults"]) or "none"
    return (
        f"| `{rig}` | {devices} | {config.loop_rate_hz:g} | {jitter:.0f} | {f['pointing_error_deg_rms']:.2f} "
        f"| {f['horizon_error_deg_rms']:.2f} | {faults} |"
    )


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("rigs", nargs="*", help="names in configs/rigs (default: all)")
    parser.add_argument("--seconds", type=float, default=20.0)
    args = parser.parse_args()
    print("| rig | devices | loop, Hz | jitter, µrad RMS | pointing, deg RMS | horizon, deg RMS | faults |")
    print("|---|---|---|---|---|---|---|")
    for rig in args.rigs or rigs():
        try:
            print(row(rig, args.seconds), flush=True)
        except (GimbalError, RuntimeError) as error:
            print(f"| `{rig}` | not flown: {error} |", flush=True)
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
