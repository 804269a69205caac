"""``gimbal devices``: the serial ports by their lasting names and who answers on each, without moving anything.

``gimbal devices probe PORT`` looks at one port and tells what its device can do.
"""

from __future__ import annotations

import json
import sys
from argparse import Namespace
from dataclasses import asdict
from typing import Any

from firmware_bridge import identify, registry
from firmware_bridge.errors import BridgeError, OptionError
from firmware_bridge.port_facts import BY_ID, PortFacts, facts, list_ports
from gimbal.errors import GimbalError, UsageError
from gimbal.output import check_writable


def _say(text: str) -> None:
    """What is being done, on a terminal only: a silent port takes some ten seconds."""
    if sys.stderr.isatty():
        print(f"\r\033[K  {text}", end="", file=sys.stderr, flush=True)


def _clear() -> None:
    if sys.stderr.isatty():
        print("\r\033[K", end="", file=sys.stderr, flush=True)


def describe(answer: identify.Answer | None) -> dict[str, Any]:
    """One flat JSON object of what answered; ``driver`` is None when nobody did."""
    if answer is None:
        return {"driver": None}
    known = answer.identity
    out: dict[str, Any] = {
        "driver": answer.driver, "kind": answer.kind, "baud": answer.baud, "model": known.model,
        "firmware": known.firmware, "serial": known.serial, "heard_only": answer.heard_only,
        "ids": [answer.options[f"{axis}_id"] for axis in ("roll", "pitch", "yaw") if f"{axis}_id" in answer.options],
    }  # fmt: skip
    can = answer.capabilities
    if can is not None:
        out["modes"] = sorted(mode.name.lower() for mode in can.modes)
        out["watchdog"] = can.has_watchdog
        out["max_rate_hz"] = round(can.max_rate_hz, 1)
        out["budget"] = can.budget
        out["carrier_only"] = can.carrier_only
    return out


def examine(port: PortFacts, ask: bool = True, baud: int | None = None, only: str = "",
            ids: tuple[int, ...] = (1, 2, 3)) -> dict[str, Any]:  # fmt: skip
    """Facts and answer of one port; ``problem`` says in a paragraph why it could not be asked, else it is empty."""
    found = asdict(port) | {"held_by": list(port.held_by), "problem": "", "answer": {"driver": None}}
    if not ask:
        return found
    if port.held_by:
        found["problem"] = f"held by process {' and '.join(port.held_by)}: not asked"
        return found
    try:
        found["answer"] = describe(identify.identify(port.path, baud, ids, only, _say))
    except OptionError as error:
        raise UsageError(str(error)) from error
    except BridgeError as error:
        found["problem"] = str(error)
    finally:
        _clear()
    return found


def sentence(found: dict[str, Any]) -> str:
    """What a person reads about one port."""
    answer = found["answer"]
    if found["problem"]:
        return found["problem"]
    if answer["driver"] is None:
        return "nothing answers that this program knows"
    words = [answer["driver"], answer["model"], answer["firmware"], answer["serial"]]
    ids = f"  ids {', '.join(map(str, answer['ids']))}" if answer["ids"] else ""
    return " ".join(word for word in words if word) + f"  ({answer['kind']}, {answer['baud']} baud)" + ids


def _print_port(found: dict[str, Any], long: bool) -> None:
    device = f"  -> {found['device']}" if found["device"] != found["path"] else ""
    print(f"{found['path']}{device}")
    if found["usb"] or found["usb_id"]:
        print(f"  usb       {found['usb']} {found['usb_id']}".rstrip())
    if found["latency_ms"] is not None:
        note = "" if found["latency_ms"] <= 1 else ": too slow for the loop; packaging/70-gimbal.rules sets 1"
        print(f"  latency   {found['latency_ms']} ms{note}")
    print(f"  answers   {sentence(found)}")
    answer = found["answer"]
    if long and "modes" in answer:
        watchdog = {"motor": ", watchdog" if answer["watchdog"] else ", NO watchdog"}.get(answer["kind"], "")
        print(f"  can       {', '.join(answer['modes']) or 'rows'}{watchdog}")
        print(f"  rate      {answer['max_rate_hz']:g} Hz at most. {answer['budget']}")
        if answer["carrier_only"]:
            print(f"  note      {answer['carrier_only']}")


def _ids(text: str | None) -> tuple[int, ...]:
    try:
        return tuple(int(word) for word in text.split(",")) if text else (1, 2, 3)
    except ValueError as error:
        raise UsageError(f"--ids {text!r} are no ids: give whole numbers with commas, such as 1,2,3.") from error


def devices_command(args: Namespace) -> int:
    """Entry of ``gimbal devices``. 0: asked; 1: ``probe`` found nobody, or the port can't be opened."""
    if (args.what == "probe") != bool(args.port):
        raise UsageError("`gimbal devices` lists all ports; `gimbal devices probe PORT` looks at one.")
    if args.driver and args.driver not in registry.names():
        raise UsageError(f"--driver {args.driver!r} is not known. Known: {', '.join(registry.names())}.")
    if args.json != "-":
        check_writable(args.json, "--json")
    ports = [facts(args.port)] if args.port else list_ports()
    found = [examine(port, not args.quiet, args.baud, args.driver or "", _ids(args.ids)) for port in ports]
    if args.json == "-":
        print(json.dumps({"ports": found}, indent=1))
    else:
        if args.json:
            with open(args.json, "w", encoding="utf-8") as file:
                file.write(json.dumps({"ports": found}, indent=1) + "\n")
        for one in found:
            _print_port(one, bool(args.port))
        if not found:
            print(f"No serial port is plugged in ({BY_ID} is empty or absent). Check cable and power; on a machine "
                  "without USB ports pass the device through.")  # fmt: skip
    if args.port and not args.quiet:
        if found[0]["problem"]:
            raise GimbalError(found[0]["problem"])
        return int(found[0]["answer"]["driver"] is None)
    return 0
