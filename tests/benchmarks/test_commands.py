"""Start-up and memory as a user meets them: ``--help``, ``sim``, the daemon from cold and warm, the daemon's memory.

Processor time, not wall time, and as ratios to a bare interpreter timed in turn; the seconds are printed
(``pytest tests/benchmarks/test_commands.py --benchmark-only -s``). The cold start is for ``make bench`` alone: it
compiles everything.
"""

from __future__ import annotations

import json
import resource
import signal
import subprocess
import sys
from pathlib import Path

from hil_tests.harness import Daemon, Place, children, command_of

ROUNDS = 7


def cpu_of(command: list[str], env: dict[str, str] | None = None) -> float:
    """User and system seconds of a command and of what it waited for."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    subprocess.run(command, check=True, capture_output=True, env=env)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


def test_help(benchmark):
    """300 ms is the goal: some 20 times a bare interpreter."""
    bare, ours = [sys.executable, "-S", "-c", "pass"], [sys.executable, "-m", "gimbal", "--help"]
    times = [(cpu_of(bare), cpu_of(ours)) for _ in range(ROUNDS)]
    least = {"bare interpreter": min(t[0] for t in times), "--help": min(t[1] for t in times)}
    print("\n" + ", ".join(f"{name} {1e3 * s:.0f} ms" for name, s in least.items()))
    benchmark.extra_info.update(least)
    benchmark.pedantic(cpu_of, args=(ours,), rounds=3)
    assert least["--help"] < 20.0 * least["bare interpreter"]


def start_and_end(cache: Path | None = None) -> tuple[float, float]:
    """Processor seconds of the loop's process until its loop runs, and the MB that all of the daemon holds then."""
    place = Place()
    if cache is not None:
        place.variables["GIMBAL_CACHE_DIR"] = str(cache)
    try:
        summary = place.folder / "summary.json"
        daemon = Daemon(place, "--json", str(summary))
        daemon.await_state("idle")
        emulators = {child for child in children(daemon.process.pid) if "gimbal.emulate" in command_of(child)}
        family = {daemon.process.pid, *children(daemon.process.pid)} - emulators
        memory = sum(proportional_mb(pid) for pid in family)
        assert daemon.end(signal.SIGINT) == 0, daemon.text()
        return json.loads(summary.read_text())["start_cpu_s"], memory
    finally:
        place.remove()


def proportional_mb(pid: int) -> float:
    """Memory of a process, what it shares counted by its share."""
    for line in Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines():
        if line.startswith("Pss:"):
            return int(line.split()[1]) / 1024.0
    return 0.0


def test_warm_start_and_memory(benchmark):
    """Goals: 1 s, 400 MB without the emulators."""
    numba = min(cpu_of([sys.executable, "-c", "import numba, pydantic"]) for _ in range(3))
    start_and_end()
    found = [start_and_end() for _ in range(3)]
    seconds, memory = min(f[0] for f in found), max(f[1] for f in found)
    print(f"\nwarm start {seconds:.2f} s of CPU ({numba:.2f} of it importing numba and pydantic), {memory:.0f} MB")
    benchmark.extra_info.update({"cpu_s": seconds, "imports_s": numba, "memory_MB": memory})
    benchmark.pedantic(start_and_end, rounds=1)
    assert seconds < 4.0 * numba
    assert memory < 400.0


def test_cold_start(benchmark, tmp_path):
    """Nothing compiled; the goal is 8 s."""
    seconds, _ = benchmark.pedantic(start_and_end, args=(tmp_path,), rounds=1)
    print(f"\ncold start {seconds:.1f} s of CPU")
    benchmark.extra_info["cpu_s"] = seconds
    assert any(tmp_path.rglob("*.nbc")), "nothing was compiled: the start was not a cold one"
