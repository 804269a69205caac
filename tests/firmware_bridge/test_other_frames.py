"""Frames of the captured kinds in other forms that makers' tools produce: versions, lengths, formats, talkers; made by
the official libraries where they can make them."""

from __future__ import annotations

import math
import struct

import numpy as np
import pytest

from firmware_bridge.drivers import crsf_codec, mavlink_codec, moteus_codec, nmea_codec, ublox_codec, xsens_codec
from firmware_bridge.emulators.moteus import MoteusEmulator
from firmware_bridge.emulators.physics import FreeAxis
from firmware_bridge.interface import AXIS_FEEDBACK
from firmware_bridge.memory_transport import memory_pair
from tests.contract.bridge_bench import make_bench
from tests.firmware_bridge.flips import flipped

moteus = pytest.importorskip("moteus")
multiplex = pytest.importorskip("moteus.multiplex")
pyubx2 = pytest.importorskip("pyubx2")
pynmea2 = pytest.importorskip("pynmea2")
mavlink = mavlink_codec.load("tests")


def test_moteus_replies_of_any_registers_in_any_resolution_read_as_the_library_reads_them():
    rng = np.random.default_rng(4)
    emulator = MoteusEmulator([FreeAxis(angle_rad=1.9, rate_rad_s=-3.0, voltage_V=23.5, temp_degC=41.0)])
    emulator.power_up(0)
    readable = [
        int(r) for r in moteus.Register if int(r) < 0x10 or 0x100 <= int(r) <= 0x102 or 0x120 <= int(r) <= 0x122
    ]
    controller = moteus.Controller(id=1)
    for _ in range(200):
        chosen = sorted({int(r) for r in rng.choice(readable, 6)})
        wanted = {r: (moteus.INT8, moteus.INT16, moteus.INT32, moteus.F32)[rng.integers(4)] for r in chosen}
        command = controller.make_custom_query(wanted)
        emulator.feed(moteus_codec.text_line(0x8001, bytes(command.data), True), 0)
        reply = b"".join(data for _, data in emulator.out)
        emulator.out.clear()
        theirs = {part.register: part.value for part in multiplex.parse_frame(bytes.fromhex(reply.split()[4].decode()))}
        codec, rows = moteus_codec.MoteusCodec([1], 0.05, math.nan, True), np.zeros(1, AXIS_FEEDBACK)
        codec.feed(reply, rows, lambda axis: 0)
        assert theirs and codec.counters.bad_crc == 0
        for register, value in theirs.items():
            assert codec.registers[0][register] == value


def test_moteus_emulator_takes_every_command_of_the_library():
    emulator = MoteusEmulator([FreeAxis()])
    emulator.power_up(0)
    controller = moteus.Controller(id=1)
    makes = (
        controller.make_position(position=0.1, velocity=0.2, feedforward_torque=0.3, kp_scale=0.4, kd_scale=0.5,
                                 maximum_torque=1.0, stop_position=0.2, watchdog_timeout=0.1, velocity_limit=2.0,
                                 accel_limit=3.0, query=True),
        controller.make_vfoc(theta=0.1, voltage=0.2, query=True), controller.make_current(d_A=0.1, q_A=0.2, query=True),
        controller.make_stay_within(lower_bound=-0.1, upper_bound=0.1, query=True), controller.make_brake(query=True),
        controller.make_recapture_position_velocity(query=True), controller.make_rezero(rezero=0.0, query=True),
        controller.make_require_reindex(query=True), controller.make_stop(query=True),
    )  # fmt: skip
    for k, command in enumerate(makes):
        emulator.feed(moteus_codec.text_line(0x8001, bytes(command.data), True), k)
        answers = [data for _, data in emulator.out]
        emulator.out.clear()
        asks = 0x10 <= command.data[-2] < 0x20 or len(command.data) > 8
        assert len(answers) == 1 + asks and (not asks or answers[1].startswith(b"rcv 100 ")), k
    emulator.feed(moteus_codec.text_line(0x8001, bytes(controller.make_query().data), True), 10)
    assert moteus.parse_registers(bytes.fromhex(emulator.out.pop()[1].split()[2].decode())).response[0] == 0


@pytest.mark.parametrize("name", ["mavlink_beacon", "mavlink_attitude"])
def test_mavlink_1_is_heard_as_well(name):
    """What an autopilot's telemetry port sends until it is told otherwise: the same rows, from the same numbers."""
    kinds = {
        "mavlink_beacon": lambda k: mavlink.MAVLink_global_position_int_message(
            60_000 + 200 * k, 465_000_000 + 50 * k, 79_000_000, 1_500_000, 5_000, 300, -100, 15, 0),
        "mavlink_attitude": lambda k: mavlink.MAVLink_attitude_message(60_000 + 200 * k, 0.1, -0.2, 1.5, 0.0, 0.0, 0.0),
    }  # fmt: skip
    rows = {}
    for version in (1, 2):
        bench = make_bench(name, {"must_hear": False})
        bench.wire.frozen = True
        bench.open()
        far, bench.driver.transport = memory_pair(bench.clock)
        packer, taken = mavlink.MAVLink(None, 42, 1), []
        for k in range(12):
            bench.clock.now_ns += 200_000_000
            packer.seq = k
            frame = bytes(kinds[name](k).pack(packer, force_mavlink1=version == 1))
            assert frame[0] == (0xFE if version == 1 else 0xFD)
            far.write(b"\xfe\x07" + frame[:9] + frame)  # after a torn one
            n = bench.driver.poll(bench.rows)
            taken += [bench.rows[:n].tobytes()] if n > 0 else []
        rows[version] = taken
    assert len(rows[1]) >= 10 and rows[1] == rows[2]


def test_no_flipped_bit_passes_a_mavlink_1_frame():
    sender = mavlink.MAVLink(None, 42, 1)
    message = mavlink.MAVLink_global_position_int_message(60_000, 465_000_000, 79_000_000, 1_500_000, 5_000, 0, 0, 0, 0)
    frame = bytes(message.pack(sender, force_mavlink1=True))
    framer = mavlink_codec.framer()
    assert framer.feed(frame) == [frame] and mavlink_codec.head(frame) == (33, 0, 42, 1)
    for bad in flipped(frame):
        framer.reset()
        assert framer.feed(bad + bytes(300)) == []


def test_signed_mavlink_2_frames_are_taken():
    sender = mavlink.MAVLink(None, 42, 1)
    sender.signing.sign_outgoing, sender.signing.secret_key, sender.signing.link_id = True, b"k" * 32, 3
    sender.signing.timestamp = 10**12
    frame = bytes(mavlink.MAVLink_attitude_message(60_000, 0.1, -0.2, 1.5, 0.0, 0.0, 0.0).pack(sender))
    assert frame[2] == 1
    framer = mavlink_codec.framer()
    assert framer.feed(frame) == [frame] and mavlink_codec.decode(frame).roll == pytest.approx(0.1)


@pytest.mark.parametrize("fix, flags, mine", [(3, 1, 3), (3, 0x41, 4), (3, 0x81, 5), (2, 1, 2), (4, 1, 3), (3, 0, 0),
                                              (5, 1, 0), (1, 1, 0), (0, 0, 0)])  # fmt: skip
def test_nav_pvt_of_every_kind_of_fix(fix, flags, mine):
    theirs = pyubx2.UBXMessage("NAV", "NAV-PVT", pyubx2.GET, fixType=fix, gnssFixOk=flags & 1, carrSoln=flags >> 6,
                               lat=46.5, lon=7.9, velN=1500, sAcc=120)  # fmt: skip
    pvt = ublox_codec.read_pvt(theirs.serialize()[6:-2])
    assert (pvt.fix, pvt.vel_N[0], pvt.s_acc_m_s) == (mine, 1.5, 0.12)


def test_nav_pvt_of_a_u_blox_7_is_as_long_as_it_is():
    payload = pyubx2.UBXMessage("NAV", "NAV-PVT", pyubx2.GET, fixType=3, gnssFixOk=1, lat=46.5, sAcc=120).serialize()[
        6:-2
    ]
    assert ublox_codec.read_pvt(payload[:84]) == ublox_codec.read_pvt(payload)
    assert ublox_codec.read_pvt(payload[:83]) is None
    assert ublox_codec.read_pvt(payload + bytes(8)) == ublox_codec.read_pvt(payload)  # what a later one may add


def test_relposned_high_precision_parts_and_version_0():
    theirs = pyubx2.UBXMessage("NAV", "NAV-RELPOSNED", pyubx2.GET, version=1, relPosN=-123, relPosE=50, relPosD=7,
                               relPosHPN=-55, relPosHPE=12, relPosHPD=-1, relPosHeading=270.5, accHeading=0.4,
                               relPosValid=1, relPosHeadingValid=1)  # fmt: skip
    payload = theirs.serialize()[6:-2]
    relpos = ublox_codec.read_relposned(payload)
    if abs(relpos.heading_deg - 270.5) > 1e-3:
        pytest.fail(f"heading {relpos.heading_deg}")
    assert relpos.valid and relpos.baseline_N == pytest.approx(
        [struct.unpack_from("<i", payload, 8 + 4 * i)[0] * 1e-2 + struct.unpack_from("<b", payload, 32 + i)[0] * 1e-4
         for i in range(3)])  # fmt: skip
    assert ublox_codec.read_relposned(b"\x00" + payload[1:40]) is None  # M8P: it tells no heading


@pytest.mark.parametrize("talker", ["GP", "GN", "GL", "GA", "GB", "BD", "GQ", "GI"])
@pytest.mark.parametrize("digits", [1, 2, 5, 8])
def test_nmea_of_every_talker_and_precision(talker, digits):
    minutes = f"{47.123456789 % 1 * 60:0{3 + digits}.{digits}f}"
    body = f"{talker}GGA,092725.00,47{minutes},N,00833.9,W,2,12,,499.6,M,,M,2.0,0120"
    line = nmea_codec.sentence(body)
    for ending in (b"\r\n", b"\n", b"\r"):
        framer = nmea_codec.NmeaFramer()
        found = framer.feed(
            b"\\g:1-2-73874,n:157036*17\\" + line[:-2].lower().replace(b"$", b"")[:0] + line[:-2] + ending
        )
        gga = nmea_codec.read_gga(found[0])
        theirs = pynmea2.parse(line.decode().strip())
        assert (gga.lat_deg, gga.lon_deg) == pytest.approx((theirs.latitude, theirs.longitude), abs=1e-9)
        assert gga.fix == 3 and not gga.has_separation and gga.hdop == 99.9


@pytest.mark.parametrize("tail", ["A", "A,V", ",,,A", ",,,D,V"])
def test_rmc_of_every_version(tail):
    """2.0 to 4.1: with and without variation, mode and status."""
    line = nmea_codec.sentence(f"GNRMC,083559.00,A,4717.11437,N,00833.91522,E,12.5,77.52,091202,{tail}")
    rmc = nmea_codec.read_rmc(nmea_codec.read(line.strip()))
    assert rmc.valid and rmc.date.isoformat() == "2002-12-09"
    assert math.hypot(*rmc.vel_N) == pytest.approx(12.5 * 1852 / 3600)


def test_a_check_in_small_letters_is_one():
    line = nmea_codec.sentence("GPGGA,092725.00,4717.11399,N,00833.91590,E,1,08,1.01,499.6,M,48.0,M,,").strip()
    assert line.endswith(b"*5B") and nmea_codec.read(line[:-2] + b"5b") == nmea_codec.read(line)


@pytest.mark.parametrize("kind, packed", [
    (0, lambda v: struct.pack(">3f", *v)), (3, lambda v: struct.pack(">3d", *v)),
    (1, lambda v: struct.pack(">3i", *(round(x * 2**20) for x in v))),
    (2, lambda v: b"".join((raw := round(x * 2**32).to_bytes(6, "big", signed=True))[2:] + raw[:2] for x in v)),
])  # fmt: skip
@pytest.mark.parametrize("frame_bits", [0, 4, 8])  # east-north-up, north-east-down, north-west-up
def test_xsens_numbers_in_every_format(kind, packed, frame_bits):
    values = (1.25, -9.80665, 0.003)
    got = xsens_codec.vector(xsens_codec.ACCEL | frame_bits | kind, packed(values))
    assert got == pytest.approx(values, abs=1e-6)
    for other in {0, 1, 2, 3} - {kind}:
        if len(packed(values)) != {0: 12, 1: 12, 2: 18, 3: 24}[other]:
            assert xsens_codec.vector(xsens_codec.ACCEL | other, packed(values)) is None


def test_crsf_of_the_wiki_of_edgetx_and_longer_ones():
    frame = bytes.fromhex("c81816e0031ff8c0073ef0810f7ce0031ff8c0073ef0810f7cad")  # crsf-wg: all channels in the middle
    assert crsf_codec.frame_valid(frame) and crsf_codec.read_channels(frame) == [992] * 16
    bench = make_bench("crsf", {"must_hear": False})
    bench.wire.frozen = True
    bench.open()
    far, bench.driver.transport = memory_pair(bench.clock)
    for sent in (frame, b"\xee" + frame[1:], crsf_codec.frame(0x16, frame[3:25] + b"\1")):  # and with an armed byte
        far.write(sent)
        bench.clock.now_ns += 4_000_000
        assert bench.driver.poll(bench.rows) == 1 and abs(bench.rows[0]["channel"]).max() == 0.0
