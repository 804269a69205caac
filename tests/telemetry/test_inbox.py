"""The inbox: at most one command a tick, in order; STOP at once; a full queue is refused with a reason."""

from __future__ import annotations

import multiprocessing
import uuid

import numpy as np
import pytest

from gimbal.records import INBOX, Mode, Verb
from gimbal.telemetry import shm
from gimbal.telemetry.inbox import CAPACITY, InboxReader, InboxWriter


@pytest.fixture
def pair():
    name = f"gimbal-test-{uuid.uuid4().hex[:10]}"
    writer = InboxWriter(name)
    yield writer, InboxReader(name)
    writer.close()
    assert not list(shm.folder().glob(f"{name}*"))


def test_one_command_a_read_in_order_then_zeros(pair):
    writer, reader = pair
    first = writer.send(Verb.MODE, owner=7, deadline_ns=10**12, mode=Mode.TRACK)
    second = writer.send(Verb.RATE, owner=8, deadline_ns=5, vector=(0.1, -0.2, 0.3))
    assert first.accepted and second.accepted and (first.seq, second.seq) == (1, 2)
    record = np.zeros(1, INBOX)
    assert reader.read_into(record)
    assert record[0].item()[:4] == (1, 7, Verb.MODE, Mode.TRACK) and record["deadline_ns"][0] == 10**12
    assert reader.read_into(record)
    assert record["seq"][0] == 2 and record["vector"][0].tolist() == [0.1, -0.2, 0.3] and record["mode"][0] == 0
    assert not reader.read_into(record)
    assert not record.view(np.uint8).any()


def test_stop_overtakes_and_drops_what_waits(pair):
    writer, reader = pair
    record = np.zeros(1, INBOX)
    writer.send(Verb.MODE, owner=1, deadline_ns=1, mode=Mode.TRACK)
    writer.send(Verb.ARM, owner=1, deadline_ns=1)
    assert writer.send(Verb.STOP, owner=2, deadline_ns=0).accepted
    assert not reader.read_into(record), "an ARM sent before a STOP must not act after it"
    assert record["stop_count"][0] == 1
    after = writer.send(Verb.ACK, owner=2, deadline_ns=1)
    assert reader.read_into(record) and record["seq"][0] == after.seq == 3
    assert record["stop_count"][0] == 1
    assert writer.stop() == 2
    assert not reader.read_into(record) and record["stop_count"][0] == 2


def test_full_queue_is_refused_and_stop_still_works(pair):
    writer, reader = pair
    for _ in range(CAPACITY):
        assert writer.send(Verb.ACK, owner=1, deadline_ns=1).accepted
    refused = writer.send(Verb.ACK, owner=1, deadline_ns=1)
    assert not refused.accepted and refused.seq == 0 and "the loop takes none" in refused.refused
    record = np.zeros(1, INBOX)
    assert reader.read_into(record) and record["seq"][0] == 1
    assert writer.send(Verb.ACK, owner=1, deadline_ns=1).accepted, "one place is free again"
    writer.stop()
    assert writer.waiting() == 0
    assert writer.send(Verb.ARM, owner=1, deadline_ns=1).accepted
    assert reader.read_into(record) and record["verb"][0] == Verb.ARM


@pytest.mark.parametrize("vector", [(float("nan"), 0, 0), (0, float("inf"), 0), (1, 2)])
def test_a_vector_that_is_no_vector_is_refused(pair, vector):
    writer, reader = pair
    assert "three finite numbers" in writer.send(Verb.RATE, owner=1, deadline_ns=1, vector=vector).refused
    assert not reader.read_into(np.zeros(1, INBOX))


def test_wrong_record_and_no_daemon_are_clear(pair):
    _, reader = pair
    with pytest.raises(TypeError, match="one-element INBOX"):
        reader.read_into(np.zeros(2, INBOX))
    with pytest.raises(shm.SegmentMissing, match="gimbal run"):
        InboxReader("gimbal-test-nobody")


def _take(name: str, count: int, out) -> None:
    reader, record = InboxReader(name), np.zeros(1, INBOX)
    got = []
    while len(got) < count:
        if reader.read_into(record):
            vector = record["vector"][0]
            got.append((int(record["seq"][0]), bool((vector == record["deadline_ns"][0]).all())))
    out.put(got)


def test_two_processes_pass_every_command_whole_and_in_order():
    name = f"gimbal-test-{uuid.uuid4().hex[:10]}"
    writer = InboxWriter(name)
    context = multiprocessing.get_context("spawn")
    out = context.Queue()
    process = context.Process(target=_take, args=(name, 20000, out), daemon=True)
    process.start()
    sent = 0
    while sent < 20000 and process.is_alive():
        n = sent + 1
        sent += writer.send(Verb.RATE, owner=1, deadline_ns=n, vector=(n, n, n)).accepted
    got = out.get(timeout=30)
    process.join(30)
    writer.close()
    assert got == [(n, True) for n in range(1, 20001)]
