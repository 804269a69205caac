"""The loop: wait, read, step, write, publish. It drives anything with the Rig protocol and knows none by name.

The deadlines are absolute, an overrun skips whole periods, and whatever ends the loop ends in ``rig.safe()``. In the
loop itself there is no log call, no lock, no allocation that grows and no exception handler: one ``try`` holds it all.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Protocol

import numpy as np

from gimbal.clock import Clock
from gimbal.loop.board import Board, Histogram
from gimbal.records import COMMAND, INBOX, SENSE, TICK

SNAPSHOT_TICKS_S = 1.0  # the whole State goes into the log this often, s
REHEARSAL_NS = 60_000  # no rehearsal of the tick with less time than this to its deadline
# and no look at the lines with less than the longest took lately, within these
SHORTEST_LOOK_NS, LONGEST_LOOK_NS, SHRINK_LOOK_NS = 30_000, 150_000, 1_000
_NEVER = 1 << 62


class Rig(Protocol):
    def open(self, info: dict[str, Any]) -> None: ...

    def read(self, sense: np.ndarray) -> int: ...

    def write(self, command: np.ndarray) -> int: ...

    def safe(self) -> None: ...

    def close(self) -> None: ...


class Publisher(Protocol):
    """``telemetry.ring.RingWriter`` or anything like it."""

    def publish(self, row: np.ndarray, tag: int = 0) -> None: ...

    @property
    def state_requests(self) -> int: ...


class Inbox(Protocol):
    """``telemetry.inbox.InboxReader`` or anything like it."""

    def read_into(self, record: np.ndarray) -> bool: ...


Step = Callable[[np.ndarray, np.ndarray, np.ndarray, np.ndarray, np.ndarray, np.ndarray], Any]


class Scratch:
    """The records of one loop, allocated once, with the plain views that the loop writes through."""

    def __init__(self) -> None:
        self.sense = np.zeros(1, SENSE)
        self.inbox = np.zeros(1, INBOX)
        self.command = np.zeros(1, COMMAND)
        self.row = np.zeros(1, TICK)
        self.sense_bytes = self.sense.view(np.uint8).data
        self.sense_zero = bytes(SENSE.itemsize)
        # memoryviews: an element of one costs a third of numpy's
        self.sense_t = self.sense["t_ns"].data
        self.sense_sent = self.sense["sent_ns"].data
        self.imu_n = self.sense["imu_n"].data
        self.imu_t = self.sense["imu_t_ns"][0].data
        timing = self.row["timing"]
        self.wake = timing["wake_ns"].data
        self.read = timing["read_ns"].data
        self.step = timing["step_ns"].data
        self.written = timing["written_ns"].data
        self.skipped = timing["skipped"].data
        self.unsent = timing["unsent"].data


def run_loop(
    rig: Rig,
    step: Step,
    params: np.ndarray,
    state: np.ndarray,
    *,
    clock: Clock,
    ring: Publisher,
    states: Publisher,
    inbox: Inbox,
    board: Board,
    ticks: int | None = None,
) -> int:
    """Run until ``board["stop"]`` is set or ``ticks`` are done; returns the number of ticks. The rig is open already
    and is safe when this returns or raises.

    Each second, after every skipped period, and when a reader asks for it, the State *before* the step is published
    on ``states`` with the index of the row it belongs to as its tag: from there a replay can start.
    """
    try:
        return _loop(rig, step, params, state, clock, ring, states, inbox, board, _NEVER if ticks is None else ticks)
    finally:
        rig.safe()


def _loop(  # one function on purpose: it is the hot path, read top to bottom
    rig: Rig,
    step: Step,
    params: np.ndarray,
    state: np.ndarray,
    clock: Clock,
    ring: Publisher,
    states: Publisher,
    inbox: Inbox,
    board: Board,
    ticks: int,
) -> int:
    s = Scratch()
    sense, command, inbox_record, row = s.sense, s.command, s.inbox, s.row
    sense_bytes, sense_zero, sense_t, imu_n, imu_t = s.sense_bytes, s.sense_zero, s.sense_t, s.imu_n, s.imu_t
    wake, work, latency, written = (Histogram(board.record[name]) for name in ("wake", "work", "latency", "written"))
    counted = ("stop", "ticks", "skipped", "unsent", "overruns")
    stop, done, skips, unsent, overruns = (board.record[name].data for name in counted)
    now_ns, period, sense_sent, took = clock.now_ns, clock.period_ns, s.sense_sent, 0
    snapshot_every = max(1, round(SNAPSHOT_TICKS_S * 1e9 / period))
    requests = states_due = 0
    # Before the deadline, where there is time: what has arrived is parsed, and the tick rehearsed on copies, so that
    # code and caches are warm when it counts (46 us instead of 62 for read, step, write and publish on a busy machine).
    prefetch = getattr(rig, "prefetch", None) if getattr(clock, "spin_ns", 0) else None
    look_ns = LONGEST_LOOK_NS
    in_step = prefetch is not None and getattr(rig, "imu_in_step", False)
    replies = getattr(rig, "replies", None) if hasattr(clock, "creep") else None
    state_now, state_copy = state.view(np.uint8).data, state.copy()
    rehearsal = state_copy, sense, inbox_record.copy(), command.copy(), row.copy()
    rehearsal_bytes = state_copy.view(np.uint8).data
    tick = 0
    while tick < ticks and not stop[0]:
        if prefetch is not None:
            clock.doze()  # type: ignore[attr-defined]
            sense_bytes[:] = sense_zero
            sense_t[0] = ahead = clock.deadline_ns + period
            prefetch(sense)
            if ahead - now_ns() > REHEARSAL_NS:
                rehearsal_bytes[:] = state_now
                step(params, *rehearsal)
            clock.adapt()  # type: ignore[attr-defined]
            look_ns = max(look_ns - SHRINK_LOOK_NS, SHORTEST_LOOK_NS)
            while ahead - (began := now_ns()) > look_ns:
                prefetch(sense)
                look_ns = min(max(look_ns, now_ns() - began), LONGEST_LOOK_NS)
            in_time = imu_n[0]
            deadline = clock.wait()
        else:
            deadline = clock.wait()
            sense_bytes[:] = sense_zero
        woke = clock.woke_ns
        skipped = clock.skipped

        sense_t[0], sense_sent[0] = deadline, took
        rig.read(sense)
        if replies is not None and replies.waver:
            clock.creep()  # type: ignore[attr-defined]
        elif in_step and not (
            replies is not None and replies.owns_phase
        ):  # even commands are worth more than freshness
            clock.follow(imu_n[0] > in_time)  # type: ignore[attr-defined]
        inbox.read_into(inbox_record)
        read = now_ns()

        if tick >= states_due or skipped or ring.state_requests != requests:
            requests = ring.state_requests
            states_due = tick + snapshot_every
            states.publish(state, tick)

        step(params, state, sense, inbox_record, command, row)
        stepped = now_ns()

        status = rig.write(command)
        sent = now_ns()

        s.wake[0] = woke - deadline
        s.read[0] = read - deadline
        s.step[0] = stepped - deadline
        s.written[0] = sent - deadline
        s.skipped[0] = skipped
        s.unsent[0] = status
        took = 0 if status else sent - deadline
        ring.publish(row, tick)

        tick += 1
        done[0] = tick
        wake.add(woke - deadline)
        written.add(sent - deadline)
        if imu_n[0]:
            latency.add(sent - imu_t[imu_n[0] - 1])
        if skipped:
            skips[0] += skipped
        if status:
            unsent[0] += 1
        end = now_ns()
        work.add(end - woke)
        if end - deadline > period:
            overruns[0] += 1
    return tick
