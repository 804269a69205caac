"""``gimbal doctor``: will this machine and this rig fly? Each line PASS, WARN or FAIL, with the fix.

Nothing is opened and nothing moves. The jitter test runs in a process of its own, with the rights the loop would get.
"""

from __future__ import annotations

import json
import math
import os
import platform
import shutil
import subprocess
import sys
import time
from argparse import Namespace
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from gimbal.errors import GimbalError, UsageError
from gimbal.output import check_writable

PASS, WARN, FAIL = "PASS", "WARN", "FAIL"
LOG_MB_MIN = 20.0  # a minute of log
LEAST_LOG_MIN = 10.0
JITTER_HZ = 1000.0
MOST_S = 3600.0
_CPUFREQ = "/sys/devices/system/cpu"


@dataclass(frozen=True)
class Finding:
    """One line of the report."""

    name: str
    verdict: str
    detail: str
    fix: str = ""


def kernel() -> Iterator[Finding]:
    release = platform.release()
    flavour = Path("/sys/kernel/realtime").exists() or "PREEMPT_RT" in platform.version()
    detail = f"{platform.system()} {release}, {'PREEMPT_RT' if flavour else 'no PREEMPT_RT'}"
    if sys.platform != "linux":
        yield Finding("kernel", FAIL, detail, "the daemon runs on Linux; sim and replay run here")
        return
    yield Finding("kernel", PASS, detail)
    cpus = len(os.sched_getaffinity(0))
    enough = cpus >= 2
    yield Finding("CPUs", PASS if enough else WARN, f"{cpus} for this process",
                  "" if enough else "give the process a second CPU: the loop wants one for itself")  # fmt: skip


def governor() -> Iterator[Finding]:
    found = set()
    for path in Path(_CPUFREQ).glob("cpu[0-9]*/cpufreq/scaling_governor"):
        found.add(_text(path))
    if not found:
        yield Finding("CPU frequency", PASS, "no scaling here")
    elif found == {"performance"}:
        yield Finding("CPU frequency", PASS, "governor performance")
    else:
        yield Finding("CPU frequency", WARN, f"governor {', '.join(sorted(found))}: slow to wake",
                      "sudo cpupower frequency-set -g performance")  # fmt: skip


def timing(seconds: float) -> Iterator[Finding]:
    """Rights and jitter, as a child with the loop's own priority sees them."""
    done = subprocess.run(
        [sys.executable, "-m", "gimbal.doctor", str(seconds)], capture_output=True, text=True, timeout=seconds + 60
    )
    if done.returncode:
        yield Finding("rights", FAIL, done.stderr.strip()[-300:] or "the test process ended by itself", "report this")
        return
    told = json.loads(done.stdout)
    for right in told["rights"]:
        verdict = PASS if right["granted"] or not right["essential"] else WARN
        yield Finding(right["name"], verdict, right["detail"], "" if right["granted"] else right["fix"])
    yield Finding("real time", PASS if told["line"] == "RT: full" else WARN, told["line"].split(". Fix:")[0])
    us = told["wake_us"]
    detail = "wake-up p50 {p50:.0f}, p99 {p99:.0f}, p99.9 {p99_9:.0f}, max {max:.0f} us".format(**us)
    detail += f" over {seconds:g} s at 1 kHz"
    good = us["p99_9"] < 0.5e6 / JITTER_HZ
    fix = "" if good else "see the rights above; end other work on this machine"
    yield Finding("jitter", PASS if good else WARN, detail, fix)
    yield from _beside(seconds)


def _beside(seconds: float) -> Iterator[Finding]:
    if shutil.which("cyclictest") is None:
        return
    from gimbal.bench import cyclictest, quantiles
    from gimbal.loop.realtime import last_cpu

    try:
        q = quantiles(cyclictest(seconds, JITTER_HZ, last_cpu()))
        figures = ", ".join(f"{name} {us:.0f}" for name, us in q.items())
        yield Finding("cyclictest", PASS, f"beside it: {figures} us")
    except GimbalError as error:
        yield Finding("cyclictest", WARN, str(error), "it needs the right to SCHED_FIFO")


def clock() -> Iterator[Finding]:
    ptp = sorted(str(path) for path in Path("/dev").glob("ptp*"))
    synced = ""
    if shutil.which("timedatectl"):
        told = subprocess.run(["timedatectl", "show", "-p", "NTPSynchronized"], capture_output=True, text=True)
        synced = told.stdout.strip().partition("=")[2]
    detail = {"yes": "synchronised", "no": "not synchronised"}.get(synced, "synchronisation unknown here")
    detail += f", PTP clocks: {', '.join(ptp) or 'none'}"
    fix = "" if synced == "yes" else "run chrony or ptp4l, for logs that agree with others; flight needs neither"
    yield Finding("clock", PASS if synced == "yes" else WARN, detail, fix)


def room(folder: Path) -> Iterator[Finding]:
    place = folder
    while not place.exists() and place != place.parent:
        place = place.parent
    facts = os.statvfs(place)
    minutes = facts.f_bavail * facts.f_frsize / 1e6 / LOG_MB_MIN
    detail = f"{minutes:.0f} min of log in {folder}"
    if not os.access(place, os.W_OK):
        yield Finding("disk", WARN, f"{place} can't be written by this user", f"sudo chown $USER {place}, or --log DIR")
    elif minutes < LEAST_LOG_MIN:
        yield Finding("disk", FAIL if minutes < 2.5 else WARN, detail, "free some room, or fly with --log elsewhere")
    else:
        yield Finding("disk", PASS, detail)


def ports(config: Any, given: dict[str, str]) -> Iterator[Finding]:
    from firmware_bridge.port_facts import facts, list_ports

    plugged = list_ports()
    if config is None:
        for port in plugged:
            yield _port(port.path, port)
        if not plugged:
            yield Finding("ports", WARN, "no USB serial device is plugged in", "plug one in; `gimbal devices` asks who")
        return
    for name, device in config.devices.items():
        path = given.get(name) or device.port
        if not path:
            yield Finding(f"port {name}", WARN, "the rig file names none", f"--port {name}=/dev/serial/by-id/…")
        elif not os.path.exists(path):
            here = ", ".join(port.path for port in plugged) or "none"
            yield Finding(f"port {name}", FAIL, f"{path} is not there; plugged in: {here}", "check cable and power")
        else:
            yield _port(f"{name} {path}", facts(path))


def _port(name: str, port: Any) -> Finding:
    if port.held_by:
        return Finding(f"port {name}", FAIL, f"held by {', '.join(port.held_by)}", f"kill {port.held_by[0].split()[0]}")
    if not os.access(port.device, os.R_OK | os.W_OK):
        return Finding(f"port {name}", FAIL, "no permission", "sudo usermod -aG dialout $USER, then log in again")
    if port.latency_ms is not None and port.latency_ms > 1:
        return Finding(f"port {name}", FAIL, f"FTDI latency timer {port.latency_ms} ms",
                       "install packaging/70-gimbal.rules, then plug it in again")  # fmt: skip
    return Finding(f"port {name}", PASS, port.usb or port.device)


def rig_file(name: str) -> tuple[Any, list[Finding]]:
    """The config (None where it can't be read) and what is to be said of it."""
    from gimbal.config.load import load_rig

    try:
        config = load_rig(name).config
    except GimbalError as error:
        return None, [Finding("rig file", FAIL, str(error), "correct it")]
    found = [Finding("rig file", PASS, f"{config.name}: {len(config.devices)} devices, {config.loop_rate_hz:g} Hz")]
    device_Nm = config.motors.peak_A * config.motors.torque_constant_Nm_A
    if config.limits.max_torque_Nm > device_Nm * 1.001:
        found.append(Finding("torque limit", WARN, f"{config.limits.max_torque_Nm:g} N m asked, peak current gives "
                             f"{device_Nm:g}", "lower limits.max_torque_Nm"))  # fmt: skip
    found += _lines(config)
    return config, found


def _lines(config: Any) -> list[Finding]:
    """Loop rate and watchdog against what each motor line can do, as far as that is known without opening it."""
    from firmware_bridge import registry

    found = []
    for name, device in config.devices.items():
        if registry.entry(device.driver).kind != "motor":
            continue
        known = type(registry.create_driver(device.driver)).OPTIONS
        has_watchdog = "watchdog_ms" in known
        accepted = device.driver in config.safety.accept_no_watchdog
        if has_watchdog:
            found.append(Finding(f"watchdog {name}", PASS, f"{config.safety.device_watchdog_ms:g} ms in the device"))
        else:
            found.append(Finding(f"watchdog {name}", WARN if accepted else FAIL, "the device's is not set by the host",
                                 "" if accepted else "a wired stop, and safety.accept_no_watchdog"))  # fmt: skip
    return found


def daemons(rig: str | None) -> Iterator[Finding]:
    from gimbal.ctl import Client
    from gimbal.daemon import instance

    try:
        path = instance.find_socket(rig)
        status = Client(path).request({"verb": "status"})["status"]
    except GimbalError as error:
        several = "Several" in str(error)
        yield Finding("daemon", WARN if several else PASS, str(error) if several else "none is running")
        return
    yield Finding("daemon", WARN, f"rig {status['rig']} is run by process {status['pid']}, state {status['state']}",
                  f"`gimbal ctl` talks to it; a second one is refused; end it with kill {status['pid']}")  # fmt: skip


def _text(path: Path) -> str:
    try:
        return path.read_text().strip()
    except OSError:
        return "unknown"


def examine(rig: str | None, seconds: float, log: str, given: dict[str, str],
            say: Callable[[Finding], None]) -> list[Finding]:  # fmt: skip
    """Every finding in order, each told to ``say`` at once: the jitter test takes its time."""
    found: list[Finding] = []

    def tell(findings: Any) -> None:
        for finding in findings:
            found.append(finding)
            say(finding)

    tell(kernel())
    if sys.platform != "linux":
        return found
    tell(governor())
    tell(timing(seconds))
    tell(clock())
    tell(room(Path(log)))
    config = None
    if rig is not None:
        config, findings = rig_file(rig)
        tell(findings)
    if rig is None or config is not None:
        tell(ports(config, given))
    tell(daemons(config.name if config is not None else None))
    return found


def line(finding: Finding) -> str:
    fix = f"\n      fix: {finding.fix}" if finding.fix and finding.verdict != PASS else ""
    return f"{finding.verdict}  {finding.name}: {finding.detail}{fix}"


def _given(rig: str | None, entries: list[str]) -> dict[str, str]:
    """--port of the rig's devices. Raises UsageError."""
    from gimbal.config.load import load_rig
    from gimbal.daemon.options import check_ports

    if entries and rig is None:
        raise UsageError(
            f"--port {entries[0]!r} names a device of a rig: name the rig too, `gimbal doctor RIG --port …`."
        )
    try:
        devices: dict[str, Any] = dict(load_rig(rig).config.devices) if rig else {}
    except GimbalError:
        devices = {entry.partition("=")[0]: None for entry in entries}  # the rig file gets a finding of its own
    return check_ports(entries, devices)


def doctor_command(args: Namespace) -> int:
    """``gimbal doctor [RIG]``: 0 when nothing fails, 1 when something does."""
    check_writable(None if args.json in (None, "-") else args.json, "--json")
    if not (math.isfinite(args.seconds) and 0.0 < args.seconds <= MOST_S):
        raise UsageError(f"--seconds {args.seconds:g} is no length of the test: give more than 0, and {MOST_S:g} "
                         "at most. Leave it out for 10.")  # fmt: skip
    given = _given(args.rig, args.port or [])
    quiet = args.json == "-"
    say = (lambda finding: None) if quiet else (lambda finding: print(line(finding), flush=True))
    found = examine(args.rig, args.seconds, args.log, given, say)
    failed = sum(finding.verdict == FAIL for finding in found)
    warned = sum(finding.verdict == WARN for finding in found)
    out = {"failed": failed, "warned": warned, "findings": [asdict(finding) for finding in found]}
    if quiet:
        print(json.dumps(out, indent=1))
    else:
        print(f"{failed} failed, {warned} to look at")
        if args.json:
            Path(args.json).write_text(json.dumps(out, indent=1) + "\n")
    return 1 if failed else 0


def _jitter(seconds: float) -> dict[str, Any]:
    """In a process of its own: the loop's rights and its wake-ups at 1 kHz without work, us."""
    from gimbal.clock import MonotonicClock, spin_lead_ns
    from gimbal.loop import realtime

    report = realtime.acquire()
    period_ns = round(1e9 / JITTER_HZ)
    clock_ = MonotonicClock(period_ns, spin_lead_ns(period_ns, prefetch=False) if report.spin else 0)
    late = []
    clock_.start()
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        deadline = clock_.wait()
        late.append((clock_.woke_ns - deadline) / 1e3)
    late.sort()
    pick = lambda share: late[min(len(late) - 1, int(share * len(late)))]  # noqa: E731
    us = {"p50": pick(0.5), "p99": pick(0.99), "p99_9": pick(0.999), "max": late[-1]}
    return report.as_dict() | {"wake_us": us}


if __name__ == "__main__":
    print(json.dumps(_jitter(float(sys.argv[1]))))
