"""Cost of the estimator: the batch against VQF's C++ in turn, and in the tick by kind of tick.

Figures are printed by ``pytest tests/benchmarks/test_estimation.py --benchmark-only -s``; assertions are ratios
measured in one run.
"""

from __future__ import annotations

import time

import numpy as np
import pytest

from gimbal import records
from gimbal.estimation.batch import estimate_attitude
from gimbal.estimation.estimate import ESTIMATION_STATE, estimate, estimate_reset
from gimbal.estimation.profiles import default_params
from gimbal.kernels.build import kernel
from tests.estimation.simulate import handheld, record


@kernel
def ticks(params, state, sense, meas, nav, n):
    """n ticks of one sample each, in one call: no dispatch in the figure."""
    for _ in range(n):
        sense[0]["t_ns"] += 1_000_000
        meas[0]["imu_t_ns"][0] += 1_000_000
        estimate(params[0], state[0], sense[0], meas[0], nav[0])


@kernel
def reset(params, state):
    estimate_reset(params[0], state[0])


@pytest.mark.benchmark_ratio
def test_batch_against_vqf(benchmark) -> None:
    vqf = pytest.importorskip("vqf")
    r = record(handheld(1), 140.0, 285.7, gyro_noise=1e-4, accel_noise=1e-3)
    best = {"ours": np.inf, "VQF": np.inf}
    calls = {
        "ours": lambda: estimate_attitude(r.gyro, r.accel, 285.7),
        "VQF": lambda: vqf.VQF(1 / 285.7).updateBatch(r.gyro, r.accel),
    }
    calls["ours"]()
    for _ in range(7):  # in turn, the least: a stall must not decide
        for name, call in calls.items():
            t = time.perf_counter()
            call()
            best[name] = min(best[name], (time.perf_counter() - t) / len(r.gyro) * 1e9)
    print(f"\nns a sample, 6D batch: ours {best['ours']:.0f}, VQF {best['VQF']:.0f}")
    benchmark.extra_info.update({k: round(v) for k, v in best.items()})
    benchmark.pedantic(calls["ours"], rounds=3)
    assert best["ours"] < 1.25 * best["VQF"]  # the goal is 1.0, measured 0.8; the rest is room for the machine


def test_tick(benchmark) -> None:
    p, s = default_params("flight", 0.001), np.zeros(1, ESTIMATION_STATE)
    sense, meas, nav = np.zeros(1, records.SENSE), np.zeros(1, records.MEAS), np.zeros(1, records.NAV)
    reset(p, s)
    meas["imu_n"], meas["accel_C_meas"][0, 0, 2] = 1, -9.80665
    sense["t_ns"], meas["imu_t_ns"][0, 0] = 10**9, 10**9
    for i in range(3):
        meas["joint_valid"][0, i] = meas["joint_new"][0, i] = 1
    ticks(p, s, sense, meas, nav, 1000)
    one = []
    for _ in range(20000):
        t = time.perf_counter_ns()
        ticks(p, s, sense, meas, nav, 1)
        one.append(time.perf_counter_ns() - t)
    empty = []
    for _ in range(2000):
        t = time.perf_counter_ns()
        ticks(p, s, sense, meas, nav, 0)
        empty.append(time.perf_counter_ns() - t)
    call = np.median(empty)
    share = np.percentile(one, [50, 90, 95, 97.5]) - call
    print(f"\nns a tick, call {call:.0f} taken off: p50 {share[0]:.0f}, p90 {share[1]:.0f}, p95 {share[2]:.0f}, ")
    print(f"p97.5 {share[3]:.0f} (predict and update are 1 tick in 25 each)")
    benchmark.extra_info["p50_ns"] = float(share[0])
    benchmark.pedantic(ticks, args=(p, s, sense, meas, nav, 1000), rounds=5)
