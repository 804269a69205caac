"""The log file: bit-exact there and back, readable by the official tools, by halves when cut, and clear errors."""

from __future__ import annotations

import errno
import os
import resource
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from mcap.reader import make_reader
from mcap.stream_reader import StreamReader
from mcap.writer import Writer
from mcap_protobuf.decoder import DecoderFactory

from gimbal.records import TICK
from gimbal.telemetry import log_writer
from gimbal.telemetry.log_format import LOG_FORMAT
from gimbal.telemetry.log_writer import LogError
from gimbal.telemetry.reader import DamagedLog, NotALog, open_log
from tests.telemetry.logs import PARAMS, STATE, params, random_rows, writer


def make_log(path: Path, n: int = 2500, every: int = 1000, seed: int = 1) -> np.ndarray:
    """A log made row by row, as lock-step simulation does; the State's count is the index it stands before."""
    rows, row, state = random_rows(n, seed), np.zeros(1, TICK), np.zeros(1, STATE)
    with writer(path, attachments={"rig.toml": b"name = 'bench'\n"}) as log:
        log.write_state(state)
        for k in range(n):
            row.view(np.uint8)[:] = rows[k : k + 1].view(np.uint8)
            log.append(row)
            if (k + 1) % every == 0:
                state["count"] = k + 1
                log.write_state(state)
    return rows


def test_what_goes_in_comes_out_bit_for_bit(tmp_path):
    rows = make_log(tmp_path / "a.mcap")
    log = open_log(tmp_path / "a.mcap")
    assert log.rows().tobytes() == rows.tobytes()
    assert log.tick_dtype == TICK and log.state_dtype == STATE and log.params.dtype == PARAMS
    assert log.params.tobytes() == params().tobytes()
    assert log.attachments["rig.toml"] == b"name = 'bench'\n"
    assert log.header["config_hash"] == "1234567890123456", "a hash of digits stays text"
    assert log.header["log_format"] == LOG_FORMAT and log.header["cpu"] and log.header["numpy"] == np.__version__
    assert log.gaps == [] and log.recovered == ""


def test_segments_start_at_the_states(tmp_path):
    make_log(tmp_path / "a.mcap")
    segments = list(open_log(tmp_path / "a.mcap").segments())
    at_states = {s.first_index: int(s.state["count"][0]) for s in segments if s.state is not None}
    assert at_states == {0: 0, 1000: 1000, 2000: 2000}
    assert [s.continues for s in segments] == [False] + [True] * (len(segments) - 1)
    (stretch,) = open_log(tmp_path / "a.mcap").stretches()
    assert len(stretch.rows) == 2500 and stretch.state is not None


def test_gaps_split_the_stretches_and_are_listed(tmp_path):
    rows = random_rows(1000)
    with writer(tmp_path / "a.mcap") as log:
        log.write_state(np.zeros(1, STATE), 0)
        log.write_rows(rows[:300], 0)
        log.flush()
        log.write_gap(300, 40)
        log.write_rows(rows[340:500], 340)
        log.write_rows(rows[500:], 500)
        log.write_state(np.zeros(1, STATE), 600)
    log = open_log(tmp_path / "a.mcap")
    stretches = list(log.stretches())
    assert [(s.first_index, len(s.rows), s.state is None) for s in stretches] == [(0, 300, False), (340, 660, True)]
    assert [str(g) for g in log.gaps] == ["40 rows missing from row 300 on"]
    assert stretches[1].rows.tobytes() == rows[340:].tobytes()
    split = [s for s in log.segments() if s.state is not None]
    assert [s.first_index for s in split] == [0, 600]


def test_indices_beyond_32_bits_survive(tmp_path):
    rows = random_rows(20)
    with writer(tmp_path / "a.mcap") as log:
        log.write_rows(rows[:10], 2**32 - 10)
        log.write_rows(rows[10:], 2**32)
    segments = list(open_log(tmp_path / "a.mcap").segments())
    assert sum(len(s.rows) for s in segments) == 20
    assert segments[0].first_index == 2**32 - 10 and all(s.continues for s in segments[1:])


def test_official_readers_see_the_same_values(tmp_path):
    rows = make_log(tmp_path / "a.mcap", n=600)
    with (tmp_path / "a.mcap").open("rb") as file:
        reader = make_reader(file, validate_crcs=True, decoder_factories=[DecoderFactory()])
        summary = reader.get_summary()
        assert summary is not None and summary.statistics is not None
        assert summary.statistics.message_count == 601 and summary.statistics.chunk_count == len(summary.chunk_indexes)
        count = 0
        for schema, channel, message, decoded in reader.iter_decoded_messages(topics=["/tick"]):
            assert channel.topic == "/tick" and schema.name == "gimbal.Tick" and message.sequence == count
            row = rows[count]
            assert decoded.tick == row["tick"] and message.log_time == row["t_ns"]
            got = np.array(decoded.sense.imu_gyro_I).reshape(8, 3)
            assert np.array_equal(got, row["sense"]["imu_gyro_I"], equal_nan=True)
            assert list(decoded.control.saturated) == row["control"]["saturated"].tolist()
            assert decoded.health.limits == row["health"]["limits"]
            count += 1
        assert count == 600
        states = [m for _, _, _, m in reader.iter_decoded_messages(topics=["/state"])]
        assert [s.index for s in states] == [0] and len(states[0].data) == STATE.itemsize
        names = {a.name for a in reader.iter_attachments()}
        assert names == {"header.json", "layouts.json", "params.bin", "rig.toml"}
        assert {m.name: m.metadata for m in reader.iter_metadata()}["gimbal.end"]["reason"] == "closed"
        later = list(reader.iter_messages(topics=["/tick"], starting_at=int(rows["t_ns"][590])))
        assert [m.sequence for _, _, m in later] == list(range(590, 600)), "the index leads to the right messages"


def test_the_official_stream_reader_validates_every_checksum(tmp_path):
    make_log(tmp_path / "a.mcap", n=300)
    with (tmp_path / "a.mcap").open("rb") as file:
        kinds = [type(r).__name__ for r in StreamReader(file, validate_crcs=True).records]
    assert kinds.count("Message") == 301 and kinds[-1] == "Footer"


@pytest.mark.parametrize("share", [0.999, 0.9, 0.5, 0.2])
def test_a_cut_log_gives_back_all_that_is_whole(tmp_path, share):
    rows = make_log(tmp_path / "a.mcap", n=2560)
    data = (tmp_path / "a.mcap").read_bytes()
    (tmp_path / "cut.mcap").write_bytes(data[: int(len(data) * share)])
    log = open_log(tmp_path / "cut.mcap")
    got = log.rows()
    assert 0 < len(got) <= 2560 and len(got) >= 2560 * share - 2 * log_writer.BLOCK
    assert got.tobytes() == rows[: len(got)].tobytes()
    assert "ends without its last part" in log.recovered and f"{len(got)} rows were recovered" in log.recovered


def test_cut_at_any_byte_never_raises_past_the_head(tmp_path):
    rows = make_log(tmp_path / "a.mcap", n=40)
    data = (tmp_path / "a.mcap").read_bytes()
    path, seen = tmp_path / "cut.mcap", set()
    for size in range(0, len(data), 397):
        path.write_bytes(data[:size])
        try:
            got = open_log(path).rows()
        except (NotALog, DamagedLog) as error:
            assert "Give a .mcap" in str(error) or "cut before anything was logged" in str(error)
            assert 40 not in seen
            continue
        assert got.tobytes() == rows[: len(got)].tobytes()
        seen.add(len(got))
    assert seen == {0, 40}


def test_damage_in_the_middle_costs_one_chunk_and_is_said(tmp_path):
    rows = make_log(tmp_path / "a.mcap", n=2560)
    data = bytearray((tmp_path / "a.mcap").read_bytes())
    data[int(len(data) * 0.47)] ^= 0x40
    (tmp_path / "bad.mcap").write_bytes(data)
    log = open_log(tmp_path / "bad.mcap")
    got = log.rows()
    assert len(got) == 2560 - 256 and len(log.gaps) == 1
    assert "1 damaged chunks" in log.recovered
    gap = log.gaps[0]
    assert got.tobytes() == rows[: gap.first_index].tobytes() + rows[gap.first_index + gap.count :].tobytes()


def test_random_damage_never_gives_wrong_rows(tmp_path):
    """Flip a byte anywhere: rows may be missing, the error may name the damage, but no row is silently another."""
    rows = make_log(tmp_path / "a.mcap", n=600)
    data = (tmp_path / "a.mcap").read_bytes()
    known = {row.tobytes() for row in rows}
    rng = np.random.default_rng(3)
    path = tmp_path / "bad.mcap"
    start = data.index(b"/gap") + 200  # behind the head: its texts have no checksum beyond what parsing sees
    for at in rng.integers(start, len(data), 60):
        bad = bytearray(data)
        bad[at] ^= 1 << int(rng.integers(0, 8))
        path.write_bytes(bad)
        try:
            got = open_log(path).rows()
        except (NotALog, DamagedLog):
            continue
        assert {row.tobytes() for row in got} <= known


def test_files_that_are_no_logs(tmp_path):
    (tmp_path / "text.mcap").write_text("hello, this is not a log at all")
    with pytest.raises(NotALog, match=r"text\.mcap is not a log.*Give"):
        open_log(tmp_path / "text.mcap")
    with pytest.raises(NotALog, match=r"gone\.mcap can't be read: No such file"):
        open_log(tmp_path / "gone.mcap")
    with (tmp_path / "other.mcap").open("wb") as file:
        other = Writer(file)
        other.start("ros2", "rosbag2")
        other.finish()
    with pytest.raises(NotALog, match="profile 'ros2'"):
        open_log(tmp_path / "other.mcap")
    (tmp_path / "empty.mcap").write_bytes(b"")
    with pytest.raises(NotALog):
        open_log(tmp_path / "empty.mcap")
    assert NotALog("").exit_code == DamagedLog("").exit_code == 2


def test_another_log_format_names_both(tmp_path, monkeypatch):
    monkeypatch.setattr(log_writer, "LOG_FORMAT", 7)
    make_log(tmp_path / "a.mcap", n=10)
    with pytest.raises(NotALog, match=f"log format 7.*reads log format {LOG_FORMAT}"):
        open_log(tmp_path / "a.mcap")


def test_an_existing_file_is_never_overwritten(tmp_path):
    make_log(tmp_path / "a.mcap", n=10)
    before = (tmp_path / "a.mcap").read_bytes()
    with pytest.raises(LogError, match="File exists"):
        writer(tmp_path / "a.mcap")
    assert (tmp_path / "a.mcap").read_bytes() == before


def test_a_folder_that_is_missing_is_named(tmp_path):
    with pytest.raises(LogError, match=r"no/such/a\.mcap can't be started: No such file"):
        writer(tmp_path / "no/such/a.mcap")


def test_too_little_space_at_start_is_refused_and_leaves_nothing(tmp_path):
    with pytest.raises(LogError, match=r"MB are free on its disk, and at least"):
        writer(tmp_path / "a.mcap", min_free_bytes=1 << 60)
    assert list(tmp_path.iterdir()) == []


def test_wall_clock_is_only_an_offset(tmp_path):
    rows = random_rows(3)
    header = {"mono_ns": 5_000, "wall_ns": 1_800_000_000_000_005_000}
    log = log_writer.LogWriter(tmp_path / "a.mcap", header, params=params(), state_dtype=STATE, min_free_bytes=0)
    log.write_rows(rows, 0)
    log.close()
    with (tmp_path / "a.mcap").open("rb") as file:
        times = [m.log_time for _, _, m in make_reader(file).iter_messages(topics=["/tick"])]
    assert times == (rows["t_ns"] + 1_800_000_000_000_000_000).tolist()


FILL = """
import sys
from pathlib import Path
from tests.telemetry.logs import random_rows, writer, STATE
from gimbal.telemetry.log_writer import LogError
import numpy as np
rows = random_rows(4000)
log = writer(Path(sys.argv[1]), min_free_bytes=int(sys.argv[2]))
log.write_state(np.zeros(1, STATE), 0)
at = 0
try:
    while at < 40000:
        log.write_rows(rows[:250], at)
        log.flush()
        at += 250
except LogError as error:
    log.abandon(str(error))
    print(at, error)
"""


def fill(path: Path, min_free: int = 0, limit: int | None = None) -> tuple[int, str]:
    """Write until it fails, in a process of its own. (rows that were synced, the error)."""

    def lower() -> None:
        if limit is not None:
            resource.setrlimit(resource.RLIMIT_FSIZE, (limit, limit))

    done = subprocess.run(
        [sys.executable, "-c", FILL, str(path), str(min_free)], capture_output=True, text=True, preexec_fn=lower
    )
    assert done.returncode == 0, done.stderr
    count, sentence = done.stdout.split(" ", 1)
    return int(count), sentence


@pytest.mark.parametrize("limit", [3_000_000, 3_000_001, 3_456_789])
def test_a_file_that_can_grow_no_further_keeps_every_synced_row(tmp_path, limit):
    """A quota (RLIMIT_FSIZE): the write that fails is taken back, what was there is read back."""
    synced, sentence = fill(tmp_path / "a.mcap", limit=limit)
    assert os.strerror(errno.EFBIG) in sentence and f"The {synced} rows already recorded are kept" in sentence
    log = open_log(tmp_path / "a.mcap")
    assert len(log.rows()) == synced > 0
    assert log.gaps == []


@pytest.fixture
def small_disk(tmp_path):
    """A tmpfs of 12 MB."""
    folder = tmp_path / "disk"
    folder.mkdir()
    done = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=12m", "tmpfs", str(folder)], capture_output=True)
    if done.returncode != 0:
        pytest.skip("mounting a small tmpfs needs root; the quota test covers the same code")
    yield folder
    subprocess.run(["umount", "-l", str(folder)], check=True)


def test_a_disk_that_fills_up_ends_the_log_whole(small_disk):
    """With room set aside, the file even gets its end, and opens in every reader."""
    synced, sentence = fill(small_disk / "a.mcap", min_free=4 << 20)
    assert "MB are free on its disk" in sentence and "are kept" in sentence
    log = open_log(small_disk / "a.mcap")
    assert len(log.rows()) == synced > 0 and log.recovered == ""
    with (small_disk / "a.mcap").open("rb") as file:
        assert make_reader(file).get_summary() is not None


def test_a_disk_filled_by_others_to_the_last_byte(small_disk):
    synced, sentence = fill(small_disk / "a.mcap")
    assert os.strerror(errno.ENOSPC) in sentence
    assert len(open_log(small_disk / "a.mcap").rows()) == synced > 0


def test_a_disk_full_at_start_is_refused(small_disk):
    with pytest.raises(LogError, match="can't be started: only .* MB are free"):
        writer(small_disk / "a.mcap", min_free_bytes=64 << 20)
    (small_disk / "fill").write_bytes(bytes((12 << 20) - 4096))
    with pytest.raises(LogError, match="No space left"):
        writer(small_disk / "a.mcap")
    assert [p.name for p in small_disk.iterdir()] == ["fill"]
