"""The recorder process: drains and closes on SIGTERM, loses at most half a second when killed, says what went wrong."""

from __future__ import annotations

import os
import signal
import subprocess
import threading
import time
import uuid
from pathlib import Path

import numpy as np
import pytest
from mcap.reader import make_reader

from gimbal.records import TICK
from gimbal.telemetry import shm
from gimbal.telemetry.log_writer import LogError
from gimbal.telemetry.reader import open_log
from gimbal.telemetry.recorder import Job, RecorderProcess, RecorderState, log_path
from gimbal.telemetry.ring import RingWriter
from tests.telemetry.logs import STATE, params, random_rows

RATE_HZ = 1000


class Loop:
    """Publishes as the real loop does: 1 kHz rows, the State before a row each second and when it is asked for."""

    def __init__(self, prefix: str, slots: int = 4096) -> None:
        self.ticks = RingWriter(f"{prefix}.tick", TICK, slots)
        self.states = RingWriter(f"{prefix}.state", STATE, 8)
        self.sent = random_rows(1000)
        self.row, self.state = np.zeros(1, TICK), np.zeros(1, STATE)
        self.paused = self._stop = False
        self.asked = 0
        self._thread = threading.Thread(target=self._run, daemon=True)

    def one(self) -> None:
        n = self.ticks.written
        if n % RATE_HZ == 0 or self.ticks.state_requests != self.asked:
            self.asked = self.ticks.state_requests
            self.state["count"] = n
            self.states.publish(self.state, n)
        self.row.view(np.uint8)[:] = self.sent[n % 1000 : n % 1000 + 1].view(np.uint8)
        self.row["tick"], self.row["t_ns"] = n, time.monotonic_ns()
        self.ticks.publish(self.row, n)

    def _run(self) -> None:
        due = time.monotonic()
        while not self._stop:
            if not self.paused:
                self.one()
            due += 1.0 / RATE_HZ
            time.sleep(max(0.0, due - time.monotonic()))

    def start(self) -> None:
        self._thread.start()

    def close(self) -> None:
        self._stop = True
        if self._thread.is_alive():
            self._thread.join()
        self.ticks.close()
        self.states.close()


@pytest.fixture
def prefix():
    unique = f"gimbal-test-{uuid.uuid4().hex[:10]}"
    yield unique
    for left in shm.folder().glob(f"{unique}*"):
        left.unlink()


@pytest.fixture
def loop(prefix):
    made = Loop(prefix)
    yield made
    made.close()


def job(prefix: str, path: Path, **kwargs) -> Job:
    header = {"config_hash": "abc", "cpu": "test"}
    names = {"ticks": f"{prefix}.tick", "states": f"{prefix}.state", "status": f"{prefix}.recorder"}
    defaults = {"params": params(), "attachments": {"rig.toml": b"x = 1\n"}, "min_free_bytes": 0}
    return Job(path=str(path), header=header, **(names | defaults | kwargs))


def until(condition, seconds: float = 20.0) -> bool:
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        if condition():
            return True
        time.sleep(0.01)
    return False


def assert_rows_are_those_sent(loop: Loop, rows: np.ndarray, first: int) -> None:
    index = first + np.arange(len(rows))
    expected = loop.sent.view(np.uint8).reshape(1000, -1)[index % 1000].reshape(-1).view(TICK)  # bytes: padding too
    expected["tick"], expected["t_ns"] = index, rows["t_ns"]
    assert rows.tobytes() == expected.tobytes()


def test_sigterm_drains_and_closes(prefix, loop, tmp_path):
    loop.start()
    recorder = RecorderProcess(job(prefix, tmp_path / "a.mcap"))
    assert recorder.wait_started()["state"] == RecorderState.RECORDING
    assert until(lambda: recorder.status()["rows"] > 400)
    loop.paused = True
    time.sleep(0.01)
    assert recorder.stop() == 0
    log = open_log(tmp_path / "a.mcap")
    rows = log.rows()
    assert len(rows) == loop.ticks.written, "not a row less than was published"
    assert_rows_are_those_sent(loop, rows, 0)
    assert log.recovered == "" and log.gaps == [] and log.attachments["rig.toml"] == b"x = 1\n"
    (stretch,) = log.stretches()
    assert stretch.state is not None and stretch.state["count"][0] == 0
    with (tmp_path / "a.mcap").open("rb") as file:
        assert make_reader(file).get_summary().statistics.message_count > len(rows)


def test_a_killed_recorder_loses_at_most_half_a_second(prefix, loop, tmp_path):
    loop.start()
    recorder = RecorderProcess(job(prefix, tmp_path / "a.mcap"))
    assert until(lambda: recorder.status()["rows"] > 700)
    time.sleep(0.2)  # somewhere between two flushes
    os.kill(recorder.pid, signal.SIGKILL)
    written, killed_ns = loop.ticks.written, time.monotonic_ns()
    recorder.stop()
    log = open_log(tmp_path / "a.mcap")
    rows = log.rows()
    assert_rows_are_those_sent(loop, rows, 0)
    assert written - len(rows) <= RATE_HZ // 2
    assert killed_ns - int(rows["t_ns"][-1]) <= 500_000_000
    assert "ends without its last part" in log.recovered
    before = loop.ticks.written
    assert until(lambda: loop.ticks.written > before + 10), "the loop goes on"


def test_it_ends_by_itself_when_the_loop_ends(prefix, loop, tmp_path):
    recorder = RecorderProcess(job(prefix, tmp_path / "a.mcap"))
    for _ in range(50):
        loop.one()
    assert recorder.wait_started()["state"] == RecorderState.RECORDING
    loop.close()
    assert until(lambda: recorder._child.poll() is not None)
    assert recorder.stop() == 0
    assert len(open_log(tmp_path / "a.mcap").rows()) == 50


def test_it_waits_for_a_loop_that_is_still_compiling(prefix, tmp_path):
    recorder = RecorderProcess(job(prefix, tmp_path / "a.mcap"))
    time.sleep(0.3)
    assert recorder.status()["state"] == RecorderState.STARTING
    loop = Loop(prefix)
    loop.one()
    assert recorder.wait_started()["state"] == RecorderState.RECORDING
    loop.close()
    assert recorder.stop() == 0
    assert len(open_log(tmp_path / "a.mcap").rows()) == 1


def test_rows_lost_are_noted_and_a_state_is_asked_for(prefix, tmp_path):
    """The recorder is stopped (SIGSTOP) while the small ring is lapped; the log says what is missing, and the next
    stretch begins at a State."""
    loop = Loop(prefix, slots=64)
    recorder = RecorderProcess(job(prefix, tmp_path / "a.mcap"))
    loop.one()
    assert until(lambda: recorder.status()["rows"] == 1)
    asked = loop.ticks.state_requests
    os.kill(recorder.pid, signal.SIGSTOP)
    for _ in range(500):
        loop.one()
    os.kill(recorder.pid, signal.SIGCONT)
    assert until(lambda: loop.ticks.state_requests > asked), "the gap makes it ask for a State"
    assert until(lambda: recorder.status()["gaps"] == 1)
    lost = recorder.status()["lost"]
    for _ in range(20):
        loop.one()
    assert until(lambda: recorder.status()["rows"] == loop.ticks.written - lost)
    loop.close()
    assert recorder.stop() == 0
    log = open_log(tmp_path / "a.mcap")
    segments = list(log.segments())
    assert [str(g) for g in log.gaps] == [f"{lost} rows missing from row 1 on"] and lost > 400
    assert sum(len(s.rows) for s in segments) == 521 - lost
    restart = [s for s in segments if s.state is not None][-1]
    assert restart.first_index == int(restart.state["count"][0]) == 501


def test_joining_late_starts_at_what_the_ring_still_has(prefix, loop, tmp_path):
    for _ in range(5000):
        loop.one()
    recorder = RecorderProcess(job(prefix, tmp_path / "a.mcap"))
    assert recorder.wait_started()["state"] == RecorderState.RECORDING
    loop.one()
    loop.close()
    assert recorder.stop() == 0
    log = open_log(tmp_path / "a.mcap")
    segments = list(log.segments())
    assert segments[-1].state is not None, "the State it asked for on joining"
    assert segments[-1].first_index == int(segments[-1].state["count"][0]) == 5000
    assert log.gaps[0].first_index == 0


def test_a_folder_that_is_missing_is_said_in_the_status(prefix, loop, tmp_path):
    loop.one()
    recorder = RecorderProcess(job(prefix, tmp_path / "no" / "a.mcap"))
    status = recorder.wait_started()
    assert status["state"] == RecorderState.STOPPED and "can't be started: No such file" in status["message"]
    assert recorder.stop() == 1


def test_a_disk_that_fills_up_stops_recording_with_a_sentence(prefix, loop, tmp_path):
    folder = tmp_path / "disk"
    folder.mkdir()
    if subprocess.run(["mount", "-t", "tmpfs", "-o", "size=6m", "tmpfs", str(folder)], capture_output=True).returncode:
        pytest.skip("mounting a small tmpfs needs root; the writer's quota test covers the same code")
    try:
        recorder = RecorderProcess(job(prefix, folder / "a.mcap", min_free_bytes=2 << 20))
        loop.start()
        assert until(lambda: recorder.status()["state"] == RecorderState.STOPPED, 30)
        status = recorder.status()
        assert "MB are free on its disk" in status["message"] and "rows already recorded are kept" in status["message"]
        before = loop.ticks.written
        assert until(lambda: loop.ticks.written > before + 10), "the loop goes on"
        assert recorder.stop() == 1
        log = open_log(folder / "a.mcap")
        rows = log.rows()
        assert len(rows) == status["rows"] > 0 and log.recovered == ""
        assert_rows_are_those_sent(loop, rows, 0)
    finally:
        subprocess.run(["umount", "-l", str(folder)], check=True)


def test_its_memory_stays_small(prefix, loop, tmp_path):
    loop.start()
    recorder = RecorderProcess(job(prefix, tmp_path / "a.mcap"))
    assert until(lambda: recorder.status()["rows"] > 1500)
    fields = dict(
        line.split(":", 1) for line in Path(f"/proc/{recorder.pid}/status").read_text().splitlines() if ":" in line
    )
    own_mb = int(fields["RssAnon"].split()[0]) / 1000
    assert own_mb < 60
    assert recorder.stop() == 0


def test_log_names_are_new_each_time_and_folders_are_made(tmp_path):
    first = log_path(tmp_path / "logs", "bench", wall_s=0)
    assert first == tmp_path / "logs" / "bench-19700101T000000Z.mcap"
    first.touch()
    assert log_path(tmp_path / "logs", "bench", wall_s=0).name == "bench-19700101T000000Z-2.mcap"
    (tmp_path / "file").touch()
    with pytest.raises(LogError, match="log folder .*file.* can't be used"):
        log_path(tmp_path / "file", "bench")


def test_a_second_recorder_is_refused_and_a_killed_one_replaced(prefix, loop, tmp_path):
    loop.one()
    first = RecorderProcess(job(prefix, tmp_path / "a.mcap"))
    assert first.wait_started()["state"] == RecorderState.RECORDING
    second = RecorderProcess(job(prefix, tmp_path / "b.mcap"))
    refused = second.wait_started()
    assert refused["state"] == RecorderState.STOPPED and f"in use by process {first.pid}" in refused["message"]
    os.kill(first.pid, signal.SIGKILL)
    first.stop()
    third = RecorderProcess(job(prefix, tmp_path / "c.mcap"))
    assert third.wait_started()["state"] == RecorderState.RECORDING
    assert third.stop() == 0
    assert len(open_log(tmp_path / "c.mcap").rows()) == 1
    assert second.stop() == 1 and not (tmp_path / "b.mcap").exists()
