"""Cost of one axis's cycle in the ODrive, VESC, SimpleFOC and Dynamixel drivers: all of command(), all of poll().

``python -m pytest tests/benchmarks/test_motor_cycles.py --benchmark-only -s`` prints µs of CPU an axis.
"""

from __future__ import annotations

import time
from collections.abc import Callable

import numpy as np
import pytest

from firmware_bridge.memory_transport import memory_pair
from tests.contract.bridge_bench import Bench, make_bench

NAMES = ("odrive", "vesc", "simplefoc", "dynamixel")


def armed(name: str) -> Bench:
    bench = make_bench(name)
    bench.open()
    bench.driver.arm()
    bench.cycle(1, torque=0.1, ms=60)
    return bench


def cpu_us(call: Callable[[], int], axes: int) -> str:
    """CPU time of a call and axis: on a busy machine the least of 60 runs is what the code needs."""
    spent = []
    for _ in range(60):
        start = time.thread_time()
        for _ in range(200):
            call()
        spent.append((time.thread_time() - start) / 200 / axes * 1e6)
    return f"{min(spent):.1f} us of CPU an axis, median {sorted(spent)[30]:.1f}"


def answers(bench: Bench, cycles: int = 8) -> list[bytes]:
    """What the device sends in cycles of torque commands, as it is read."""
    chunks: list[bytes] = []
    read = bench.transport.read_into

    def keep(buffer: memoryview) -> int:
        n = read(buffer)
        if n > 0:
            chunks.append(bytes(buffer[:n]))
        return n

    bench.transport.read_into = keep  # type: ignore[method-assign]
    bench.cycle(1, torque=0.1, ms=cycles)
    bench.transport.read_into = read  # type: ignore[method-assign]
    return chunks


@pytest.mark.parametrize("name", NAMES)
def test_command(benchmark, name):
    bench = armed(name)
    _, near = memory_pair(bench.clock)
    near._send = len  # type: ignore[method-assign]  # a line that takes all
    bench.driver.transport = near
    n = bench.n
    torques, zeros, modes = [0.1, -0.2, 0.3][:n], [0.0] * n, [1] * n
    bench.driver.options["watchdog_ms"] = 1e6

    def command() -> int:
        return bench.driver.command(modes, torques, zeros, zeros)

    benchmark(command)
    print(f"{name}: command {cpu_us(command, n)}")


@pytest.mark.parametrize("name", NAMES)
def test_parse(benchmark, name):
    bench = armed(name)
    data = max(answers(bench), key=len)
    rows = np.zeros_like(bench.rows)
    codec, feed = bench.driver.codec, bench.driver._feed
    asked = getattr(codec, "asked", None)

    def parse() -> int:
        if name == "odrive":
            codec.pending = ("feedback", 0)
        elif asked is not None:
            asked[0] = True
        return feed(data, rows)

    assert parse() in (0, bench.n)
    benchmark(parse)
    print(f"{name}: parse {cpu_us(parse, bench.n)} ({len(data)} bytes)")


@pytest.mark.parametrize("name", NAMES)
def test_whole_cycle(benchmark, name):
    """Command and parse of the cycles as they follow each other, with what is asked only now and then; CPU time."""
    bench = armed(name)
    n = bench.n
    torques, zeros, modes = [0.1] * n, [0.0] * n, [1] * n
    chunks, spent = answers(bench, 64), []
    rows = np.zeros_like(bench.rows)
    _, near = memory_pair(bench.clock)
    near._send = len  # type: ignore[method-assign]
    driver = bench.driver
    driver.transport, driver.options["watchdog_ms"] = near, 1e6
    asked = getattr(driver.codec, "asked", None)

    def cycles() -> None:
        start = time.thread_time()
        for data in chunks:
            if name == "odrive":
                driver.codec.pending = ("feedback" if data.count(b" ") else "iq", 0)
            elif asked is not None:
                asked[0] = True
            driver._feed(data, rows)
            driver.command(modes, torques, zeros, zeros)
        spent.append((time.thread_time() - start) / len(chunks) / n)

    benchmark.pedantic(cycles, rounds=200)
    spent.sort()
    print(
        f"{name}: command and parse {spent[len(spent) // 2] * 1e6:.1f} us an axis and cycle, least {spent[0] * 1e6:.1f}"
    )


@pytest.mark.parametrize("name", NAMES)
def test_emulator_keeps_up(name):
    """One cycle of the emulator, physics of three free axes included, against the cycle's own time."""
    bench = armed(name)
    bench.cycle(1, torque=0.0, ms=20)
    start = time.perf_counter()
    bench.cycle(1, torque=0.0, ms=200)
    spent = (time.perf_counter() - start) / 200
    print(f"{name}: {spent * 1e6:.0f} us a cycle of {bench.setup.period_ms:g} ms, driver, emulator and free axes")
