"""``python -m tests.contract.device_cycles [DRIVER …]``: the host's own time a cycle or row of each driver, in us.

Motor controllers: all of poll() and command() of one cycle, all axes of the line. Boards: a row and a command. Others:
a row. Against the emulator on a line in memory, whose own time is left out; median, and the axes of the line.
"""

from __future__ import annotations

import sys
import time

import numpy as np

from firmware_bridge import registry
from firmware_bridge.gimbal_interface import GimbalMode
from tests.contract.bridge_bench import make_bench

CYCLES = 1500


def cycle_us(name: str) -> tuple[float, int]:
    """(median us, axes; 1 where there are none)."""
    kind = registry.entry(name).kind
    bench = make_bench(name, {"accept_no_watchdog": True} if kind == "gimbal" else {})
    bench.open()
    driver, n = bench.driver, bench.n if kind == "motor" else 1
    if kind in ("motor", "gimbal"):
        driver.arm()
    torques, zeros, modes = [0.05] * n, [0.0] * n, [1] * n
    spent = []
    for _ in range(CYCLES * (1 if kind in ("motor", "gimbal", "imu") else 10)):
        bench.clock.now_ns += int((bench.setup.period_ms if kind == "motor" else 1) * 1_000_000) * bench.sensor.slow
        bench.host.service(bench.clock())
        start = time.perf_counter_ns()
        rows = driver.poll(bench.rows)
        if kind == "motor":
            driver.command(modes, torques, zeros, zeros)
        elif rows > 0 and kind == "gimbal":
            driver.command(GimbalMode.RATE, rate_C=(0.01, 0.02, 0.03))
        if rows > 0 or kind == "motor":
            spent.append((time.perf_counter_ns() - start) * 1e-3 / (1 if kind == "motor" else rows))
    return float(np.median(spent)), n


def main() -> None:
    for name in sys.argv[1:] or registry.names():
        us, axes = cycle_us(name)
        print(f"{name:18s} {us:6.1f} us" + (f", {axes} axes" if axes > 1 else ""), flush=True)


if __name__ == "__main__":
    main()
