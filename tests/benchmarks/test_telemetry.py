"""What telemetry costs. Figures: ``python -m pytest tests/benchmarks/test_telemetry.py --benchmark-only``."""

from __future__ import annotations

import uuid
from pathlib import Path

import numpy as np
import pytest

from gimbal.records import INBOX, TICK, Verb
from gimbal.replay.replay import replay
from gimbal.telemetry import shm
from gimbal.telemetry.inbox import InboxReader, InboxWriter
from gimbal.telemetry.log_format import RowCodec
from gimbal.telemetry.reader import open_log
from gimbal.telemetry.ring import RingReader, RingWriter
from tests.telemetry.logs import STATE, random_rows, writer

BATCH = 250  # rows of a recorder's flush


@pytest.fixture
def name():
    unique = f"gimbal-test-{uuid.uuid4().hex[:10]}"
    yield unique
    for left in shm.folder().glob(f"{unique}*"):
        left.unlink()


def smooth_rows(n: int) -> np.ndarray:
    """Rows that compress as real ones do: floats that wander with noise in their last bits, fixes mostly absent."""
    rng = np.random.default_rng(4)
    rows = np.zeros(n, TICK)
    t = np.arange(n)[:, None] / 1000
    for room in ("nav", "target", "setpoint", "control", "command"):
        for field in TICK[room].names:
            view = rows[room][field]
            if view.dtype.kind == "f":
                columns = view.reshape(n, -1).shape[1]
                wave = np.sin(t * rng.uniform(0.1, 5, columns)) + rng.normal(0, 1e-3, (n, columns))
                rows[room][field] = wave.reshape(view.shape)
    rows["tick"], rows["t_ns"] = np.arange(n), np.arange(n) * 1_000_000
    for field in ("imu_gyro_I", "imu_accel_I"):
        rows["sense"][field][:, 0] = rng.normal(size=(n, 3))
    return rows


def test_publish_a_row(benchmark, name):
    ring, row = RingWriter(name, TICK, 4096), np.zeros(1, TICK)
    benchmark(ring.publish, row, 7)
    ring.close()


def test_publish_a_state_of_100_kb(benchmark, name):
    dtype = np.dtype([("data", "f8", 12_500)])
    ring, state = RingWriter(name, dtype, 8), np.zeros(1, dtype)
    benchmark(ring.publish, state, 7)
    ring.close()


def test_read_the_latest_row(benchmark, name):
    ring = RingWriter(name, TICK, 4096)
    ring.publish(np.zeros(1, TICK))
    reader = RingReader(name)
    assert benchmark(reader.latest) is not None
    ring.close()


def test_read_250_new_rows(benchmark, name):
    ring, row = RingWriter(name, TICK, 4096), np.zeros(1, TICK)
    for _ in range(1000):
        ring.publish(row)
    reader = RingReader(name)

    def read() -> int:
        reader.next_index -= BATCH
        return len(reader.read_new())

    assert benchmark(read) == BATCH
    ring.close()


@pytest.mark.parametrize("waiting", [False, True], ids=["empty", "command"])
def test_inbox_read(benchmark, name, waiting):
    inbox, record = InboxWriter(name), np.zeros(1, INBOX)
    reader = InboxReader(name)
    send = (lambda: (inbox.send(Verb.ACK, owner=1, deadline_ns=1), None)[1]) if waiting else (lambda: None)
    benchmark.pedantic(reader.read_into, args=(record,), setup=send, rounds=2000)
    inbox.close()


def test_encode_250_rows(benchmark):
    codec, rows, k = RowCodec(TICK, "Tick", 1), smooth_rows(BATCH), np.arange(BATCH)
    assert benchmark(codec.encode, rows, k, k, k).shape == (BATCH, codec.stride)


def test_decode_250_rows(benchmark):
    codec, rows, k = RowCodec(TICK, "Tick", 1), smooth_rows(BATCH), np.arange(BATCH)
    data = codec.encode(rows, k, k, k).tobytes()
    assert benchmark(lambda: codec.decode(data)[0]).tobytes() == rows.tobytes()


def test_write_1000_rows_to_a_log(benchmark, tmp_path: Path):
    """Encoded, compressed, indexed, written and synced four times, as the recorder does each second."""
    rows, state, log = smooth_rows(1000), np.zeros(1, STATE), writer(tmp_path / "a.mcap")
    at = [0]

    def second() -> None:
        log.write_state(state, at[0])
        for k in range(0, 1000, BATCH):
            log.write_rows(rows[k : k + BATCH], at[0] + k)
            log.flush()
        at[0] += 1000

    benchmark.pedantic(second, rounds=20, warmup_rounds=1)
    log.close()
    benchmark.extra_info["bytes_per_row"] = (tmp_path / "a.mcap").stat().st_size / at[0]


def test_append_1000_rows_in_lock_step(benchmark, tmp_path: Path):
    row, state, log = smooth_rows(1), np.zeros(1, STATE), writer(tmp_path / "a.mcap")

    def run() -> None:
        for _ in range(1000):
            log.write(row, state)

    benchmark.pedantic(run, rounds=20, warmup_rounds=1)
    log.close()


def test_read_2500_rows_back(benchmark, tmp_path: Path):
    log = writer(tmp_path / "a.mcap")
    log.write_rows(random_rows(2500), 0)
    log.close()
    assert benchmark(lambda: sum(len(s.rows) for s in open_log(tmp_path / "a.mcap").segments())) == 2500


def test_replay_2000_ticks_of_the_shipped_step(benchmark, tmp_path: Path):
    """Real time would be 2 s; without the step itself a replay is reading, slicing and comparing."""
    pytest.importorskip("gimbal.loop.pipeline")
    from gimbal.config.load import load_rig, load_scenario
    from gimbal.loop.lockstep import run_lockstep
    from gimbal.rig.plant import PlantRig

    scenario = load_scenario("speedflight")
    rig = PlantRig(load_rig(scenario.config.rig).config, scenario.config)
    run_lockstep(rig, scenario, 2.0, mode="track", log=tmp_path / "a.mcap")
    result = benchmark.pedantic(replay, args=(tmp_path / "a.mcap",), rounds=5, warmup_rounds=1)
    assert result.identical
