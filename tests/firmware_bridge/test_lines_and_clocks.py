"""Pacing of emulated lines, fault injection, and device clocks brought to the host's."""

from __future__ import annotations

import random

import numpy as np
import pytest

from firmware_bridge.clock_sync import ClockSync, TowSync
from firmware_bridge.emulators.line import Faults, UartLine, UsbLine

MS = 1_000_000


def test_uart_takes_ten_bits_a_byte():
    line = UartLine(921600)
    start, byte_ns = line.schedule(0, 48)
    assert start == 0 and byte_ns * 48 == pytest.approx(520_833, rel=1e-4)
    assert line.schedule(100_000, 48)[0] == pytest.approx(520_833, rel=1e-4)  # waits for the line
    assert line.schedule(10 * MS, 1)[0] == 10 * MS


def test_usb_crosses_at_the_next_frame_and_holds_19_packets():
    line = UsbLine(phase_ns=250_000)
    assert line.schedule(1 * MS, 100)[0] == 1_250_000
    assert line.schedule(1_249_999, 100)[0] == 1_250_000
    assert line.schedule(1_250_000, 1000)[0] == 2_250_000
    assert line.schedule(1_260_000, 1000)[0] == 3_250_000  # 2000 bytes do not fit one frame


def test_faults_repeat_with_their_seed_and_do_what_they_say():
    def run(seed):
        faults = Faults(seed, drop=0.1, flip=0.01, truncate=0.05, duplicate=0.1, garbage=0.1, delay=0.1)
        return [faults.apply(i * MS, b"0123456789abcdef") for i in range(500)]

    assert run(3) == run(3) != run(4)
    out = run(3)
    assert 20 < sum(not frames for frames in out) < 100
    assert 20 < sum(len(frames) == 2 for frames in out) < 100
    assert any(t > i * MS for i, frames in enumerate(out) for t, _ in frames)
    assert Faults().apply(5, b"same") == [(5, b"same")]


def test_a_stalled_line_lets_all_go_at_once():
    faults = Faults(stalled_until_ns=100)
    assert [faults.apply(t, b"x")[0][0] for t in (10, 50, 150)] == [100, 100, 150]


@pytest.mark.parametrize("ppm", [-100, 0, 100])
def test_device_clock_with_drift_and_jitter(ppm):
    rng, sync = random.Random(1), ClockSync(latency_ns=500_000)
    errors = []
    for i in range(16_000):
        true_ns = i * 1_250_000 + 5_000_000_000
        device_ns = int(i * 1_250_000 * (1 + ppm * 1e-6)) + 77
        arrival = true_ns + 500_000 + int(rng.expovariate(1 / 300_000)) + (20 * MS if rng.random() < 0.002 else 0)
        errors.append(sync.to_host(device_ns, arrival) - true_ns)
    late = np.abs(errors[8000:])
    assert late.max() < 60_000 and np.mean(late) < 30_000  # ns, while arrivals scatter by hundreds of us
    assert sync.restarts == 0


def test_a_sample_is_never_dated_after_its_arrival_and_a_reboot_starts_anew():
    sync = ClockSync()
    for i in range(1000):
        arrival = 10**9 + i * MS + (i * 7919) % 400_000
        assert sync.to_host(i * MS, arrival) <= arrival
    assert sync.restarts == 0
    t = sync.to_host(0, 3 * 10**9)  # the device restarted
    assert sync.restarts == 1 and t == 3 * 10**9


def test_time_of_week_least_delay_wins_and_wraps():
    sync, rng = TowSync(latency_ns=60 * MS), random.Random(2)
    errors = []
    for i in range(300):
        true_ns = 4 * 10**9 + i * 200 * MS
        tow = (604_799_000 - 10_000 + i * 200) % TowSync.WEEK_MS
        errors.append(sync.to_host(tow, true_ns + 60 * MS + int(rng.expovariate(1 / 20e6))) - true_ns)
    assert all(e >= -1 for e in errors)
    assert max(errors[20:50]) < 10 * MS  # before the week's end, once some fixes have come
    assert max(errors[150:]) < 10 * MS  # and after it


def test_one_early_arrival_does_not_hold_for_ever():
    sync = TowSync(creep=50e-6)
    sync.to_host(0, 0)
    for i in range(1, 3000):
        t = sync.to_host(i * 200, i * 200 * MS + 10 * MS)
    assert t == pytest.approx(2999 * 200 * MS + 10 * MS, abs=1 * MS)
