"""Rights are tried, reported with a fix, and never refused: as root, and as a user who may nothing."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

from gimbal.clock import MonotonicClock, SimulatedClock
from gimbal.loop import realtime

REPO = Path(__file__).resolve().parents[2]
MS = 1_000_000

ACQUIRE = """
import os, sys, json, gc
{before}
from gimbal.loop import realtime
report = realtime.acquire()
print(json.dumps(report.as_dict() | {{"policy": os.sched_getscheduler(0), "affinity": sorted(os.sched_getaffinity(0)),
    "gc": gc.isenabled(), "frozen": gc.get_freeze_count()}}))
"""


def acquired(before: str = "") -> dict:
    command = [sys.executable, "-c", ACQUIRE.format(before=before)]
    done = subprocess.run(command, cwd=REPO, capture_output=True, text=True, timeout=30)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def test_asks_and_reports() -> None:
    report = acquired()
    assert not report["gc"] and report["frozen"] > 0
    assert report["affinity"] == [max(os.sched_getaffinity(0))]
    granted = {right["name"]: right["granted"] for right in report["rights"]}
    assert granted["timer slack"] and granted["CPU affinity"]
    assert report["fifo"] == granted["SCHED_FIFO"]
    if report["fifo"]:
        assert report["policy"] == os.SCHED_FIFO | os.SCHED_RESET_ON_FORK
    assert (report["line"] == "RT: full") == all(r["granted"] for r in report["rights"] if r["essential"])


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can become nobody")
def test_nobody_runs_degraded_and_is_told_the_fix() -> None:
    limits = "import resource; resource.setrlimit(resource.RLIMIT_MEMLOCK, (0, 0)); import gimbal.loop.realtime"
    report = acquired(limits + "; os.setgid(65534); os.setuid(65534)")
    assert not report["fifo"] and not report["spin"]
    assert report["line"].startswith("RT: degraded: SCHED_FIFO (operation not permitted). Fix: ")
    assert "rtprio 95" in report["line"] and "memlock unlimited" in report["line"]
    granted = {right["name"]: right["granted"] for right in report["rights"]}
    assert not granted["nice"] and granted["timer slack"] and granted["CPU affinity"]


def test_children_do_not_inherit_fifo() -> None:
    script = ACQUIRE.format(before="") + "\nif os.fork() == 0: print(os.sched_getscheduler(0)); os._exit(0)\nos.wait()"
    # unbuffered: a child that leaves by _exit prints nothing else
    done = subprocess.run([sys.executable, "-u", "-c", script], cwd=REPO, capture_output=True, text=True, timeout=30)
    assert done.stdout.splitlines()[-1] == str(os.SCHED_OTHER), done.stderr


def test_orphan_leaves_at_once() -> None:
    script = "from gimbal.loop import realtime; realtime.die_with_parent(1); print('alive')"
    done = subprocess.run([sys.executable, "-c", script], cwd=REPO, capture_output=True, text=True, timeout=30)
    assert "alive" not in done.stdout and "parent process is gone" in done.stderr


def test_one_cpu_does_not_spin() -> None:
    report = acquired("os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})")
    assert not report["spin"]
    assert "a second CPU" in report["line"]


def test_release_gives_back() -> None:
    import gc

    report = realtime.Report()
    realtime.hold_latency(report)
    realtime.freeze_garbage()
    realtime.release(report)
    assert gc.isenabled() and gc.get_freeze_count() == 0 and report.held == []


def test_deadlines_are_absolute_and_skips_whole_periods() -> None:
    clock = MonotonicClock(2 * MS)
    clock.start()
    first = clock.wait()
    assert clock.woke_ns >= first
    deadlines = [first]
    time.sleep(0.0111)  # five periods and a bit pass
    late = clock.wait()
    assert clock.skipped >= 4  # more on a stalled machine
    assert late - first == (clock.skipped + 1) * 2 * MS
    assert 0 <= clock.woke_ns - late < 2 * MS  # the newest deadline, not a burst of old ones
    for _ in range(20):
        deadlines.append(clock.wait())
    assert all((t - first) % (2 * MS) == 0 for t in deadlines)  # the phase is kept


def test_spinning_clock_never_wakes_before_the_deadline() -> None:
    clock = MonotonicClock(MS, spin_ns=120_000)
    clock.start()
    for _ in range(50):
        deadline = clock.wait()
        assert clock.woke_ns >= deadline


def test_work_before_the_deadline_moves_the_wake_up() -> None:
    clock = MonotonicClock(2 * MS, spin_ns=200_000)
    clock.start()
    for _ in range(40):  # work that takes longer than the lead
        clock.doze()
        time.sleep(0.0003)
        clock.adapt()
        clock.wait()
    assert 300_000 < clock.spin_ns <= 0.45 * 2 * MS
    grown = clock.spin_ns
    for _ in range(20):
        clock.doze()
        clock.adapt()
        clock.wait()
    assert clock.spin_ns < grown + 20_000 * 10  # shrinks slowly; a stalled machine may have raised it again


@pytest.mark.parametrize("device_ppm", [-60.0, 0.0, 60.0])
@pytest.mark.parametrize("begin", [0.05, 0.95])
@pytest.mark.parametrize("loop_hz", [100, 400, 1000, 2000])
def test_phase_lock_keeps_samples_young_and_in_time(device_ppm: float, begin: float, loop_hz: int) -> None:
    """A device on its own crystal, its samples' way to us jittering by 30 us: the loop's deadlines settle where they
    have just come, whatever the phase at first, and follow."""
    rng = np.random.default_rng(1)
    period, look_ns, ticks = 1_000_000_000 // loop_hz, 90_000, 45_000
    clock, device = MonotonicClock(period), period * (1 + device_ppm * 1e-6)
    began = clock.deadline_ns
    ages, late = np.zeros(ticks), np.zeros(ticks, bool)
    deadlines = np.zeros(ticks, np.int64)
    for i in range(ticks):
        clock.deadline_ns += period
        deadlines[i] = clock.deadline_ns
        since = deadlines[i] - began + begin * period - rng.uniform(0.0, 30e3)  # of the device's arrivals
        ages[i] = since % device
        late[i] = ages[i] < look_ns
        clock.follow(bool(late[i]))
    assert late[30_000:].mean() < 0.02
    assert np.percentile(ages[30_000:], 99) < look_ns + 50e3 + 0.06 * period  # of up to a period without a lock
    assert abs(np.diff(deadlines) - period).max() <= 500e-6 * period  # no jerk in the period


def test_deadlines_creep_by_500_ppm() -> None:
    clock = MonotonicClock(MS)
    clock.start()
    before = clock.deadline_ns
    clock.creep()
    assert clock.deadline_ns - before == 500


@pytest.mark.parametrize(("period", "spin"), [(0, 0), (-1, 0), (1000, 1000), (1000, -1)])
def test_impossible_periods_are_refused(period: int, spin: int) -> None:
    with pytest.raises(ValueError, match="period_ns"):
        MonotonicClock(period, spin)


def test_simulated_clock_skips_on_request() -> None:
    clock = SimulatedClock(MS, t0_ns=5)
    assert [clock.wait(), clock.wait()] == [5 + MS, 5 + 2 * MS]
    clock.pass_over(4)
    assert clock.wait() == 5 + 7 * MS and clock.skipped == 4
    assert clock.wait() == 5 + 8 * MS and clock.skipped == 0
