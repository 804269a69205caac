"""The subject's beacon: whose it is, two under one identity, late and repeated fixes, the delay."""

from __future__ import annotations

import math

import numpy as np
import pytest

from firmware_bridge.beacon import BeaconGate, Place, Verdict
from firmware_bridge.drivers import fanet_codec, mavlink_codec, nmea_codec
from firmware_bridge.emulators import nmea as nmea_text
from firmware_bridge.errors import NoAnswer, OptionError, WrongDevice
from firmware_bridge.interface import Status, operator_text
from firmware_bridge.memory_transport import memory_pair
from tests.contract.bridge_bench import make_bench

S = 1_000_000_000


def opened(name: str, **options):
    bench = make_bench(name, {**make_bench(name).options, **options})
    bench.open()
    return bench


def truth(bench, rows) -> np.ndarray:
    """Metres between each row and where the subject was at its time."""
    out = []
    for row in rows:
        fix = bench.physics.fix(int(row["t_ns"]))
        a = Place(0, fix.lat_deg, fix.lon_deg, fix.height_m)
        out.append(math.hypot(*Place(0, row["lat_deg"], row["lon_deg"], row["height_m"]).offset_N(a)))
    return np.array(out)


@pytest.mark.parametrize("name, metres", [("nmea", 0.3), ("mavlink_beacon", 0.3), ("flarm", 3.0), ("fanet", 3.0)])
def test_a_row_is_where_the_subject_was_at_its_time(name, metres):
    bench = opened(name)
    rows = bench.collect(2000)
    assert len(rows) >= 6 and truth(bench, rows).max() < metres
    delay = (rows["arrival_ns"] - rows["t_ns"])[-1]
    assert bench.driver.delay.mean_ns == pytest.approx(delay, rel=0.3) and delay > 50_000_000


@pytest.mark.parametrize("name", ["flarm", "fanet", "mavlink_beacon"])
def test_others_are_not_the_subject(name):
    bench = opened(name)
    rows = bench.collect(1500)
    assert len(rows) >= 4 and len(set(rows["source"].tolist())) == 1
    assert bench.driver.counters.other_identity >= 4 and bench.driver.others
    assert truth(bench, rows).max() < 5


@pytest.mark.parametrize("name", ["flarm", "fanet"])
@pytest.mark.parametrize("bad", ["", "XYZ", "11:ABCDE"])
def test_shared_air_needs_an_identity(name, bad):
    bench = make_bench(name)
    with pytest.raises(OptionError, match="'id'"):
        bench.driver.attach(bench.transport, {"id": bad})


def test_the_wrong_mavlink_system_and_two_to_choose_from():
    bench = make_bench("mavlink_beacon", {"system_id": 9})
    bench.options["system_id"] = 77
    with pytest.raises(NoAnswer, match=r"system 77.*\[9, 10\]"):
        bench.open()
    bench.options["system_id"] = 0
    with pytest.raises(WrongDevice, match=r"systems \[9, 10\].*system_id"):
        bench.open()
    alone = make_bench("mavlink_beacon", {"system_id": 9, "stranger": False})
    alone.options["system_id"] = 0
    assert alone.open().model == "system 9" and (alone.collect(1000)["source"] == 9).all()


@pytest.mark.parametrize("name", ["flarm", "fanet", "mavlink_beacon"])
def test_two_beacons_under_one_identity_are_named(name):
    bench = opened(name, twin=True)
    rows, statuses = [], set()
    for _ in range(2500):
        n = bench.step()
        if n > 0:
            rows.append(bench.rows[:n].copy())
        statuses.add(min(n, 0))
    # The twin comes with, or a second after, the subject: with rows in the same poll it is the next status.
    assert Status.TWO_SENDERS in statuses and bench.driver.gate.two_senders
    assert "identity" in operator_text(Status.TWO_SENDERS)
    assert np.ptp(truth(bench, np.concatenate(rows))) < 5  # one track, the one that came first


def test_two_nmea_senders_on_one_channel_are_named():
    bench = opened("nmea")
    bench.collect(600)
    far, near = memory_pair(bench.clock)
    bench.driver.transport = near
    statuses = []
    for _ in range(10):
        bench.clock.now_ns += 200_000_000
        t = bench.clock.now_ns - 100_000_000
        for degrees in (0.0, 0.2):
            fix = bench.physics.fix(t)
            fix.lat_deg += degrees
            now = nmea_text.utc(t, 345_600_000)
            far.write(nmea_text.line(nmea_text.rmc("GN", fix, now)) + nmea_text.line(nmea_text.gga("GN", fix, now)))
            statuses.append(bench.driver.poll(bench.rows))
    assert statuses.count(1) >= 8 and Status.TWO_SENDERS in statuses


def test_relayed_and_repeated_frames_give_one_row():
    bench = opened("fanet", relay=True)
    rows = bench.collect(1500)
    assert (np.diff(rows["t_ns"]) > 4 * S).all() and bench.driver.counters.duplicates >= 5
    for name in ("nmea", "mavlink_beacon"):
        bench = opened(name)
        bench.wire.faults_out.duplicate = 1.0
        rows = bench.collect(2000)
        assert len(rows) >= 8 and (np.diff(rows["t_ns"]) > 150_000_000).all()
        assert bench.driver.counters.duplicates >= 8


def test_a_late_fix_is_not_given_after_a_newer_one():
    bench = opened("mavlink_beacon", stranger=False)
    bench.wire.faults_out.delay, bench.wire.faults_out.delay_ns = 0.3, 900_000_000
    rows = bench.collect(8000)
    assert len(rows) > 15 and (np.diff(rows["t_ns"]) > 0).all()
    assert truth(bench, rows[5:]).max() < 1  # by then one has come without delay
    delays = rows["arrival_ns"] - rows["t_ns"]
    assert delays.max() > 300_000_000 and bench.driver.delay.least_ns < 150_000_000


def test_the_gate_takes_a_new_track_after_an_outage_only():
    gate = BeaconGate(100.0)
    here, there = (46.5, 7.9, 1000.0), (46.6, 7.9, 1000.0)  # 11 km
    assert gate.check(Place(0, *here)) == Verdict.GOOD
    assert gate.check(Place(S, *there)) == Verdict.IMPOSSIBLE
    assert gate.check(Place(S, *here)) == Verdict.GOOD
    assert gate.check(Place(S, *here)) == Verdict.REPEATED
    assert gate.check(Place(S // 2, *here)) == Verdict.REPEATED
    verdicts = [gate.check(Place(t * S, *there)) for t in (2, 3, 4)]
    assert verdicts[-1] == Verdict.TWO_SENDERS and gate.two_senders
    assert gate.check(Place(20 * S, *there)) == Verdict.GOOD and not gate.two_senders


def test_a_single_outlier_is_no_second_sender():
    gate = BeaconGate(100.0)
    for i in range(60):
        gate.check(Place(i * S, 46.5, 7.9, 1000.0))
        if i % 5 == 0:  # each at another place
            assert gate.check(Place(i * S + 1, 40.0 + i * 0.3, 7.9, 1000.0)) == Verdict.IMPOSSIBLE
    assert not gate.two_senders


def test_one_flipped_bit_of_a_fanet_line_moves_no_further_than_the_gates():
    """No checksum: what passes is near where the subject can be, and no faster than max_speed_m_s."""
    line = b"#FNF 11,ABCD,1,0,1,B,D02142BC9D05DC915ADCF2\n"
    assert fanet_codec.read_heard(line.decode().strip()) is not None
    passed = 0
    for bit in range(8 * len(line)):
        bench = opened("fanet")
        far, near = memory_pair(bench.clock)
        bench.driver.transport = near
        heard = fanet_codec.read_heard(line.decode().strip())
        first = fanet_codec.read_tracking(heard.payload)
        far.write(line)
        assert bench.driver.poll(bench.rows) == 1
        bench.clock.now_ns += 5 * S
        bad = bytearray(line)
        bad[bit // 8] ^= 1 << bit % 8
        far.write(bytes(bad))
        if bench.driver.poll(bench.rows) == 1:
            passed += 1
            row = bench.rows[0]
            before = Place(0, first.lat_deg, first.lon_deg, first.altitude_m)
            moved = Place(0, row["lat_deg"], row["lon_deg"], row["height_m"]).offset_N(before)
            assert math.hypot(*moved) <= 60 * 5 + 50 and np.abs(row["vel_N"]).max() <= 60
    assert 0 < passed < 8 * len(line) // 3


def test_no_flipped_bit_passes_a_mavlink_or_nmea_frame():
    for name in ("mavlink_beacon", "nmea"):
        bench = opened(name)
        sent = b""
        for _ in range(300):
            bench.clock.now_ns += 1_000_000
            bench.host.service(bench.clock())
            sent += bench.transport.read()
        if name == "mavlink_beacon":
            frame = next(f for f in bench.driver.framer.feed(sent) if mavlink_codec.message_id(f) == 33)
        else:
            frame = sent[sent.find(b"$GNGGA") :].split(b"\n")[0] + b"\n"
        for bit in range(8 * len(frame)):
            bad = bytearray(frame)
            bad[bit // 8] ^= 1 << bit % 8
            bench.driver.framer.reset()
            found = bench.driver.framer.feed(bytes(bad) + b"\n")
            # A hex digit's case, a line end or the dollar's own absence say nothing else than before.
            assert not found or bad.upper()[:-2] == frame.upper()[:-2] or bit // 8 >= len(frame) - 2


@pytest.mark.parametrize("garbage", [b"\xff" * 120, b"$GPGGA,1,2" * 40, b"\x00*7F", b"$" * 200, b"x" * 5000])
def test_nmea_finds_the_first_sentence_after_garbage_without_a_lines_end(garbage):
    good = nmea_codec.sentence("GPGGA,092725.00,4717.11399,N,00833.91590,E,1,08,1.01,499.6,M,48.0,M,,")
    for cut in (1, 40, len(garbage) + 10):
        framer, data = nmea_codec.NmeaFramer(), garbage + good
        found = [words for at in range(0, len(data), cut) for words in framer.feed(data[at : at + cut])]
        assert len(found) == 1 and found[0][0] == "GPGGA" and framer.garbage_bytes == len(garbage)


@pytest.mark.parametrize("false", [(5.0, 47.0), (0.1, 47.3), (-3.0, 47.3), (9.0, 47.2)])
@pytest.mark.parametrize("after", [0, 6])
def test_one_false_fix_costs_two_good_ones_not_ten_seconds(false, after):
    """A damaged sentence that passed its sum, with a time (s) and latitude of its own, at the start and in flight."""
    gate, good = BeaconGate(200.0), []
    for k in range(after):
        assert gate.check(Place(k * 200_000_000, 47.0 + k * 1e-5, 8.0, 500.0)) == Verdict.GOOD
    gate.check(Place(int((after * 0.2 + false[0]) * 1e9), false[1], 8.0, 500.0))
    for k in range(after, after + 8):
        good.append(gate.check(Place(k * 200_000_000 + 7, 47.0 + k * 1e-5, 8.0, 500.0)) == Verdict.GOOD)
    assert all(good[2:]) and sum(good) >= 6


def test_a_second_sender_does_not_disprove_the_first():
    gate = BeaconGate(200.0)
    gate.check(Place(0, 47.0, 8.0, 500.0))
    for k in range(1, 40):  # the second sends three times as often
        assert gate.check(Place(k * 1_000_000_000, 47.0, 8.0, 500.0)) == Verdict.GOOD
        for j in (250, 500, 750):
            assert gate.check(Place(k * 1_000_000_000 + j * 1_000_000, 47.2, 8.0, 500.0)) != Verdict.GOOD
