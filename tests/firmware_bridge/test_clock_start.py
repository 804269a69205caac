"""A start during which bytes wait to be read must not tilt the clock's line for the seconds after it."""

from __future__ import annotations

import random

import pytest

from firmware_bridge.clock_sync import ClockSync

PERIOD_NS, LATENCY_NS = 1_250_000, 500_000


@pytest.mark.parametrize("ppm", [0, 80, -80])
def test_late_first_second_is_forgotten(ppm):
    rng = random.Random(1)
    clock = ClockSync(LATENCY_NS)
    worst = 0
    for k in range(8000):
        true_ns = k * PERIOD_NS
        device_ns = round(true_ns * (1 + ppm * 1e-6))
        late_ns = int(rng.expovariate(1 / 200e3)) + (4_000_000 if k < 800 else 0)
        got = clock.to_host(device_ns, true_ns + LATENCY_NS + late_ns)
        if k > 800 * 4:
            worst = max(worst, abs(got - true_ns))
    assert worst < 20_000  # 4 ms late at the start, 0.02 ms from the fourth second on
