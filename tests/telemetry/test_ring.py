"""The ring: no torn row ever, lost rows are counted, owners may be killed, readers may vanish."""

from __future__ import annotations

import multiprocessing
import os
import signal
import subprocess
import sys
import time
import uuid

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gimbal.records import TICK
from gimbal.telemetry import shm
from gimbal.telemetry.ring import RingReader, RingWriter

WORDS = np.dtype([("value", "u8", 253)])  # as large as a TICK row; every word is the same in a whole row
STRESS_READS = int(os.environ.get("GIMBAL_STRESS_READS", "1000000"))
PATIENCE_S = 60.0  # for copies that the writer overtakes, on a machine whose CPUs are taken


@pytest.fixture
def name():
    unique = f"gimbal-test-{uuid.uuid4().hex[:10]}"
    yield unique
    for left in shm.folder().glob(f"{unique}*"):
        left.unlink()


def number(n: int) -> np.ndarray:
    row = np.zeros(1, WORDS)
    row["value"] = n
    return row


def test_rows_arrive_bit_for_bit_with_index_and_tag(name):
    rng = np.random.default_rng(1)
    writer = RingWriter(name, TICK, 8)
    reader = RingReader(name)
    sent = []
    for n in range(6):
        row = rng.integers(0, 256, TICK.itemsize, dtype=np.uint8).view(TICK)
        sent.append(row.tobytes())
        writer.publish(row, tag=100 + n)
    got = reader.read_new()
    assert [got[k : k + 1].tobytes() for k in range(6)] == sent
    assert got.dtype == TICK and reader.first == 0 and reader.lost == 0
    assert reader.tags.tolist() == [100, 101, 102, 103, 104, 105]
    assert len(reader.read_new()) == 0
    writer.close()


def test_a_change_of_the_published_array_is_seen_without_a_new_binding(name):
    writer, row = RingWriter(name, WORDS, 4), number(1)
    reader = RingReader(name)
    writer.publish(row)
    row["value"] = 2
    writer.publish(row)
    assert reader.read_new()["value"][:, 0].tolist() == [1, 2]
    writer.close()


@given(capacity=st.integers(2, 40), steps=st.lists(st.tuples(st.integers(0, 50), st.integers(1, 50)), max_size=30))
@settings(max_examples=60, deadline=None)
def test_read_plus_lost_is_everything_written(capacity, steps):
    """Any interleaving of bursts and partial reads: rows come in order, and each is read or counted as lost."""
    name = f"gimbal-test-{uuid.uuid4().hex[:10]}"
    writer = RingWriter(name, WORDS, capacity)
    try:
        reader = RingReader(name)
        written = read = 0
        last = -1
        for burst, take in steps:
            for _ in range(burst):
                writer.publish(number(written))
                written += 1
            rows = reader.read_new(take)
            values = rows["value"][:, 0].astype(int).tolist()
            assert values == list(range(reader.first, reader.first + len(values)))
            assert all(v > last for v in values)
            last = values[-1] if values else last
            read += len(values)
            assert read + reader.lost == reader.next_index
            assert sum(count for _, count in reader.gaps) == reader.lost
        while len(rows := reader.read_new()):
            read += len(rows)
        assert read + reader.lost == written
    finally:
        writer.close()


def _write_forever(name: str, ready, stop) -> None:
    writer = RingWriter(name, WORDS, 64)
    row = np.zeros(1, WORDS)
    n = 0
    while not stop.is_set():
        for _ in range(2000):
            row["value"] = n
            writer.publish(row, tag=n)
            n += 1
        ready.set()
    writer.close()


def _start_writer(name: str):
    context = multiprocessing.get_context("spawn")
    ready, stop = context.Event(), context.Event()
    process = context.Process(target=_write_forever, args=(name, ready, stop), daemon=True)
    process.start()
    assert ready.wait(30)
    return process, stop


def test_no_row_is_torn_while_the_writer_runs_at_full_speed(name):
    """Two processes. The reader goes back to the oldest row each time, the one the writer is about to overwrite, so
    that every copy races with it; it reads on until enough copies did. GIMBAL_STRESS_READS sets how many rows are read
    at least."""
    process, stop = _start_writer(name)
    reader = RingReader(name)
    reads = torn = overtaken = 0
    give_up = time.monotonic() + PATIENCE_S
    while (reads < STRESS_READS or overtaken <= 100 and time.monotonic() < give_up) and process.is_alive():
        reader.next_index = max(0, reader.head - reader.capacity + 1)
        lost = reader.lost
        rows = reader.read_new()
        overtaken += reader.lost > lost
        if len(rows):
            value = rows["value"]
            torn += int(np.count_nonzero(value != value[:, :1]))
            torn += int(np.count_nonzero(value[:, 0] != np.arange(reader.first, reader.first + len(rows))))
            torn += int(np.count_nonzero(value[:, 0] != reader.tags))
        latest = reader.latest()
        if latest is not None:
            torn += int(np.any(latest["value"] != reader.first))
        reads += len(rows) + 1
    stop.set()
    process.join(30)
    assert torn == 0
    assert reads >= STRESS_READS
    assert overtaken > 100, "the writer hardly ever overtook the reader in mid-copy: the test proved nothing"


def test_a_slow_reader_loses_rows_and_knows_which(name):
    writer = RingWriter(name, WORDS, 16)
    reader = RingReader(name)
    for n in range(10):
        writer.publish(number(n))
    assert len(reader.read_new()) == 10 and reader.lost == 0
    for n in range(10, 110):
        writer.publish(number(n))
    rows = reader.read_new()
    assert reader.lost == 100 - len(rows) > 0
    assert reader.gaps == [[10, reader.lost]]
    assert rows["value"][0, 0] == 10 + reader.lost and rows["value"][-1, 0] == 109
    writer.close()


def test_oldest_start_reads_what_is_still_there(name):
    writer = RingWriter(name, WORDS, 64)
    for n in range(1000):
        writer.publish(number(n))
    rows = RingReader(name, start="oldest").read_new()
    assert rows["value"][-1, 0] == 999 and 48 <= len(rows) <= 63
    writer.close()


def test_readers_cannot_write(name):
    writer = RingWriter(name, WORDS, 4)
    reader = RingReader(name)
    with pytest.raises(TypeError):
        reader._words[0] = 1
    with pytest.raises(TypeError):
        reader.request_state()
    asking = RingReader(name, may_request=True)
    asking.request_state()
    asking.request_state()
    assert writer.state_requests == 2
    writer.close()


def test_a_second_writer_is_refused_with_the_owners_pid(name):
    process, stop = _start_writer(name)
    with pytest.raises(shm.SegmentBusy, match=f"process {process.pid}.*Stop that one first"):
        RingWriter(name, WORDS, 8)
    stop.set()
    process.join(30)
    assert not shm.segment_path(name).exists()


def test_the_segment_of_a_killed_owner_is_taken_over(name):
    process, _ = _start_writer(name)
    reader = RingReader(name)
    assert not reader.closed()
    os.kill(process.pid, signal.SIGKILL)
    process.join(30)
    assert shm.segment_path(name).exists(), "a killed owner can't remove its segment"
    assert reader.closed(), "its readers know"
    assert reader.latest() is not None, "and keep what they mapped"
    writer = RingWriter(name, WORDS, 8)
    writer.publish(number(7))
    assert RingReader(name, start="oldest").read_new()["value"][0, 0] == 7
    writer.close()
    assert not list(shm.folder().glob(f"{name}*"))


def start_reader(name: str, then: str) -> subprocess.Popen:
    """A reader in a process of its own, attached when this returns."""
    code = f"from gimbal.telemetry.ring import RingReader; r = RingReader({name!r}); print(1, flush=True)\n{then}"
    child = subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE)
    assert child.stdout is not None and child.stdout.readline() == b"1\n"
    return child


def test_a_reader_killed_or_gone_changes_nothing(name):
    writer = RingWriter(name, WORDS, 8)
    child = start_reader(name, "import time; time.sleep(60)")
    child.kill()
    child.wait()
    child.stdout.close()
    for n in range(50):
        writer.publish(number(n))
    assert RingReader(name, start="oldest").read_new()["value"][-1, 0] == 49
    assert shm.segment_path(name).exists()
    writer.close()


def test_clean_close_ends_the_readers(name):
    writer = RingWriter(name, WORDS, 8)
    reader = RingReader(name)
    writer.publish(number(3))
    writer.close()
    writer.close()
    assert reader.closed() and reader.read_new()["value"][0, 0] == 3
    with pytest.raises(shm.SegmentMissing, match="gimbal run"):
        RingReader(name)


def test_bad_use_has_clear_errors(name):
    with pytest.raises(shm.SharedMemoryError, match="letters, digits"):
        RingWriter("../evil", WORDS, 8)
    writer = RingWriter(name, WORDS, 8)
    with pytest.raises(TypeError, match="one-element array"):
        writer.publish(np.zeros(2, WORDS))
    with pytest.raises(TypeError, match="one-element array"):
        writer.publish(np.zeros(1, TICK))
    writer.close()
    shm.segment_path(name).write_bytes(b"x" * 3 * shm.PAGE)
    with pytest.raises(shm.SharedMemoryError, match="another program"):
        RingReader(name)


def test_a_full_shared_memory_is_an_error_at_start_not_a_bus_error(name):
    free = os.statvfs(shm.folder())
    too_much = free.f_bavail * free.f_frsize + (1 << 30)
    with pytest.raises(shm.SharedMemoryError, match="can't be made"):
        shm.Segment(name, {}, too_much)


def test_time_is_not_spent_waiting_for_a_stopped_reader(name):
    """A reader stopped in the middle of its work (SIGSTOP) costs the writer nothing: it laps it."""
    writer = RingWriter(name, WORDS, 8)
    child = start_reader(name, "while 1: r.read_new()")
    time.sleep(0.01)
    child.send_signal(signal.SIGSTOP)
    for n in range(1000):
        writer.publish(number(n))
    assert writer.written == 1000
    child.kill()
    child.wait()
    child.stdout.close()
    writer.close()
