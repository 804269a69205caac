"""The loop's order, its ends and its books, on the simulated clock: whatever ends it, the rig is made safe."""

from __future__ import annotations

import os
import uuid

import numpy as np
import pytest

from gimbal.clock import Clock, MonotonicClock, SimulatedClock
from gimbal.loop.board import BINS, Board, percentiles
from gimbal.loop.process import run_loop
from gimbal.records import SENSE, TICK

MS = 1_000_000
STATE = np.dtype([("ticks", "i8")])


class Tape:
    """A rig, a ring and an inbox that write down what happens to them, in order."""

    def __init__(self, *, samples: bool = True) -> None:
        self.events: list[str] = []
        self.rows: list[np.ndarray] = []
        self.tags: list[int] = []
        self.state_requests = 0
        self.samples = samples
        self.fail_in = ""

    def _mark(self, name: str) -> None:
        self.events.append(name)
        if self.fail_in == name:
            raise RuntimeError(name)

    def open(self, info: dict) -> None: ...

    def close(self) -> None: ...

    def read(self, sense: np.ndarray) -> int:
        self._mark("read")
        assert not sense["imu_n"][0], "sense must be zeroed before each read"
        if self.samples:
            sense["imu_n"][0] = 2
            sense["imu_t_ns"][0, 0] = sense["t_ns"][0] - 900_000
            sense["imu_t_ns"][0, 1] = sense["t_ns"][0] - 300_000
        return 0

    def write(self, command: np.ndarray) -> int:
        self._mark("write")
        return 0

    def safe(self) -> None:
        self.events.append("safe")

    def read_into(self, record: np.ndarray) -> bool:
        self._mark("inbox")
        return False

    def publish(self, row: np.ndarray, tag: int = 0) -> None:
        self._mark("publish")
        self.rows.append(row.copy())
        self.tags.append(tag)


class Step:
    def __init__(self, tape: Tape) -> None:
        self.tape = tape

    def __call__(self, params, state, sense, inbox, command, row) -> None:  # type: ignore[no-untyped-def]
        self.tape._mark("step")
        state["ticks"][0] += 1
        row["tick"][0] = state["ticks"][0]
        row["t_ns"][0] = sense["t_ns"][0]


@pytest.fixture
def board():  # type: ignore[no-untyped-def]
    made = Board(f"gimbal-test-{os.getpid()}-{uuid.uuid4().hex[:8]}", create=True)
    yield made
    made.unlink()


def run(tape: Tape, board: Board, ticks: int, clock: Clock | None = None, states: Tape | None = None) -> int:
    state = np.zeros(1, STATE)
    return run_loop(
        tape,
        Step(tape),
        np.zeros(1),
        state,
        clock=clock or SimulatedClock(MS),
        ring=tape,
        states=states or Tape(),
        inbox=tape,
        board=board,
        ticks=ticks,
    )


def test_order_of_a_tick(board: Board) -> None:
    tape = Tape()
    assert run(tape, board, 2) == 2
    once = ["read", "inbox", "step", "write", "publish"]
    assert tape.events == [*once, *once, "safe"]


def test_a_tick_is_told_when_the_command_before_went_out(board: Board) -> None:
    tape, told = Tape(), []
    clock = SimulatedClock(MS)
    tape.read = lambda sense: told.append(int(sense["sent_ns"][0])) or 0  # type: ignore[method-assign]
    late = iter([70_000, 90_000, 400_000, 0])

    def write(command: np.ndarray) -> int:
        clock.woke_ns += next(late)
        return int(len(told) == 3)

    tape.write = write  # type: ignore[method-assign]
    run(tape, board, 4, clock)
    assert told == [0, 70_000, 90_000, 0]  # nothing went out in the third tick


@pytest.mark.parametrize("place", ["read", "inbox", "step", "write", "publish"])
def test_any_failure_ends_in_safe(board: Board, place: str) -> None:
    tape = Tape()
    tape.fail_in = place
    with pytest.raises(RuntimeError, match=place):
        run(tape, board, 5)
    assert tape.events[-1] == "safe"
    assert tape.events.count(place) == 1


def test_stop_flag_ends_it(board: Board) -> None:
    tape = Tape()
    board["stop"] = 1
    assert run(tape, board, 100) == 0
    assert tape.events == ["safe"]


def test_rows_carry_commands_a_line_did_not_take(board: Board) -> None:
    class Full(Tape):
        def write(self, command: np.ndarray) -> int:
            super().write(command)
            return -1 if len(self.rows) in (2, 3) else 0

    tape = Full()
    run(tape, board, 5)
    assert [int(row["timing"]["unsent"][0]) for row in tape.rows] == [0, 0, -1, -1, 0]
    assert board["unsent"] == 2


def test_rows_carry_skips_and_deadlines(board: Board) -> None:
    clock = SimulatedClock(MS)

    class Stalled(Tape):
        def write(self, command: np.ndarray) -> int:
            if len(self.rows) == 4:
                clock.pass_over(3)
            return super().write(command)

    tape = Stalled()
    run(tape, board, 8, clock)
    assert [int(row["timing"]["skipped"][0]) for row in tape.rows] == [0, 0, 0, 0, 0, 3, 0, 0]
    assert board["skipped"] == 3
    t = [int(row["t_ns"][0]) for row in tape.rows]
    assert np.diff(t).tolist() == [MS, MS, MS, MS, 4 * MS, MS, MS]


def test_state_before_the_step_at_start_each_second_after_gaps_and_on_request(board: Board) -> None:
    clock, states = SimulatedClock(MS), Tape()

    class Eventful(Tape):
        def write(self, command: np.ndarray) -> int:
            if len(self.rows) == 1500:
                clock.pass_over(1)
            if len(self.rows) == 1600:
                self.state_requests += 1
            return super().write(command)

    run(Eventful(), board, 2700, clock, states)
    assert states.tags == [0, 1000, 1501, 1601, 2601]
    assert [int(snapshot["ticks"][0]) for snapshot in states.rows] == states.tags  # as many steps as rows before it


def test_sense_to_command_counts_from_the_newest_sample(board: Board) -> None:
    run(Tape(), board, 50)
    assert board.percentiles("latency") == {"p50": 300.0, "p99": 300.0, "p99_9": 300.0, "max": 300.0}
    board.record["latency"]["bins"][:] = 0
    run(Tape(samples=False), board, 50)
    assert board.percentiles("latency") is None


def test_percentiles_of_a_known_histogram(board: Board) -> None:
    record = board.record["wake"][0]
    record["bins"][10] = 989
    record["bins"][100] = 10
    record["bins"][BINS] = 1
    record["max_ns"] = 31_000_000
    assert percentiles(record) == {"p50": 10.5, "p99": 100.5, "p99_9": 100.5, "max": 31000.0}


def test_work_before_the_deadline_touches_copies_only(board: Board) -> None:
    """With a spin tail: bytes are read early and again, the tick is rehearsed; state and rows count real ticks only."""
    deadlines: list[int] = []

    class Early(Tape):
        def prefetch(self, sense: np.ndarray) -> int:
            self._mark("prefetch")
            deadlines.append(int(sense["t_ns"][0]))
            return 0

        def read(self, sense: np.ndarray) -> int:
            assert self.events[-1] != "write" and sense["t_ns"][0] >= deadlines[-1]
            return super().read(sense)

    tape = Early()
    run(tape, board, 100, MonotonicClock(10 * MS, spin_ns=3 * MS))
    assert tape.events.count("read") == 100 <= tape.events.count("prefetch")
    assert [deadlines.count(t) > 0 for t in (int(row["t_ns"][0]) for row in tape.rows)] == [True] * 100
    rehearsals = tape.events.count("step") - 100
    assert 0 < rehearsals <= 100  # left out where a stall ate the time for it
    assert [int(row["tick"][0]) for row in tape.rows] == list(range(1, 101))
    first = tape.events[: tape.events.index("publish")]
    assert first[0] == "prefetch" and first[-4:] == ["read", "inbox", "step", "write"]


@pytest.mark.parametrize("in_step", [True, False])
def test_the_phase_follows_samples_that_come_after_the_last_look(board: Board, in_step: bool) -> None:
    told: list[bool] = []

    class Late(Tape):
        imu_in_step = in_step

        def prefetch(self, sense: np.ndarray) -> int:
            sense["imu_n"] = 0 if len(self.rows) % 2 else 2  # each other tick's come before it
            return 0

        def read(self, sense: np.ndarray) -> int:
            sense["imu_n"] = 2
            sense["imu_t_ns"] = sense["t_ns"] - 900_000
            return 0

    class Following(MonotonicClock):
        def follow(self, late: bool) -> None:
            told.append(late)

    run(Late(), board, 20, Following(10 * MS, spin_ns=3 * MS))
    assert told == ([False, True] * 10 if in_step else [])


class Wavering:
    """Replies that come unevenly in the ticks ``while_in``; after them the phase is theirs."""

    def __init__(self, tape: Tape, while_in: range) -> None:
        self.tape, self.while_in = tape, while_in

    @property
    def waver(self) -> bool:
        return len(self.tape.rows) in self.while_in

    @property
    def owns_phase(self) -> bool:
        return len(self.tape.rows) >= self.while_in.stop


@pytest.mark.parametrize("moves", [True, False])
def test_the_loop_moves_off_while_replies_waver_and_stays_where_that_ended(board: Board, moves: bool) -> None:
    done: list[str] = []

    class Uneven(Tape):
        imu_in_step = True

        def prefetch(self, sense: np.ndarray) -> int:
            return 0

    class Moving(MonotonicClock):
        def follow(self, late: bool) -> None:
            done.append("follow")

        def creep(self) -> None:
            super().creep()
            done.append("creep")

    tape = Uneven()
    tape.replies = Wavering(tape, range(5, 12) if moves else range(30, 31))  # type: ignore[attr-defined]
    run(tape, board, 20, Moving(10 * MS, spin_ns=3 * MS))
    assert done == (["follow"] * 5 + ["creep"] * 7 if moves else ["follow"] * 20)


def test_records_fit_the_shared_page() -> None:
    assert SENSE.itemsize % 8 == 0 and TICK.itemsize % 8 == 0
