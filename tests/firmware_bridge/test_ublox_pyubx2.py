"""pyubx2 (BSD-3) configures our u-blox emulator and reads what it sends; our codec and pyubx2 agree on both."""

from __future__ import annotations

import math
import time

import pytest

from firmware_bridge.drivers import ublox_codec as ubx
from firmware_bridge.emulators.line import UartLine
from firmware_bridge.emulators.physics import Fix, StraightFlight
from firmware_bridge.emulators.pty_host import Host, SimClock
from firmware_bridge.emulators.ublox import UbloxEmulator
from firmware_bridge.transport import SerialTransport
from tests.firmware_bridge.serving import served

pyubx2 = pytest.importorskip("pyubx2")
START = Fix(46.5, 7.9, 1500.0, (20.0, -5.0, 1.5), 1.2, 0.11, 3, 0.5)


class _Pipe:
    """What pyubx2 wants of a stream."""

    def __init__(self, data: bytes) -> None:
        self.data = data

    def read(self, n: int) -> bytes:
        taken, self.data = self.data[:n], self.data[n:]
        return taken

    def readline(self) -> bytes:
        end = self.data.find(b"\n") + 1
        return self.read(end or len(self.data))


def parsed(data: bytes) -> list:
    reader = pyubx2.UBXReader(_Pipe(data), protfilter=7, quitonerror=2, validate=1)
    return [message for _, message in reader]


@pytest.fixture
def line():
    clock, host = SimClock(), Host()
    wire, transport = host.add_memory("gnss", UbloxEmulator(StraightFlight(START)), clock, lambda: UartLine(115200))

    def talk(data: bytes, seconds: float) -> list:
        transport.write(data)
        got = b""
        for _ in range(int(seconds * 100)):
            clock.now_ns += 10_000_000
            host.service(clock())
            got += transport.read()
        return parsed(got)

    return talk


def test_factory_state_is_nmea(line):
    identities = {message.identity for message in line(b"", 3.0)}
    assert identities == {"GNGGA", "GNRMC"}


def test_version_poll(line):
    answers = [
        m for m in line(pyubx2.UBXMessage("MON", "MON-VER", pyubx2.POLL).serialize(), 0.5) if m.identity == "MON-VER"
    ]
    assert len(answers) == 1
    assert b"PROTVER=27.31" in answers[0].extension_02 and answers[0].swVersion.startswith(b"EXT CORE")


def test_configured_by_pyubx2_and_read_by_pyubx2(line):
    keys = [("CFG_RATE_MEAS", 100), ("CFG_MSGOUT_UBX_NAV_PVT_UART1", 1), ("CFG_UART1OUTPROT_NMEA", 0),
            ("CFG_MSGOUT_UBX_NAV_RELPOSNED_UART1", 1)]  # fmt: skip
    messages = line(pyubx2.UBXMessage.config_set(1, 0, keys).serialize(), 2.0)
    assert [m for m in messages if m.identity == "ACK-ACK" and (m.clsID, m.msgID) == (6, 0x8A)]
    fixes = [m for m in messages if m.identity == "NAV-PVT"]
    assert 18 <= len(fixes) <= 21 and {b.iTOW - a.iTOW for a, b in zip(fixes, fixes[1:])} == {100}
    last = fixes[-1]
    assert (last.fixType, last.gnssFixOk, last.numSV) == (3, 1, 18)
    assert (last.velN, last.velE, last.velD) == (20000, -5000, 1500)
    assert last.lat == pytest.approx(46.5, abs=1e-3) and last.hAcc == 1200 and last.sAcc == 110
    headings = [m for m in messages if m.identity == "NAV-RELPOSNED"]
    assert headings[-1].relPosHeading == pytest.approx(math.degrees(0.5), abs=1e-4)
    assert headings[-1].relPosHeadingValid == 1 and headings[-1].carrSoln == 2


def test_settings_read_back_and_refused(line):
    polled = line(pyubx2.UBXMessage.config_poll(0, 0, ["CFG_RATE_MEAS"]).serialize(), 0.5)
    assert [m.CFG_RATE_MEAS for m in polled if m.identity == "CFG-VALGET"] == [1000]
    refused = line(pyubx2.UBXMessage.config_set(1, 0, [("CFG_RATE_MEAS", 20)]).serialize(), 0.5)  # 50 Hz
    assert [m.identity for m in refused if m.identity.startswith("ACK")] == ["ACK-NAK"]


def test_our_codec_agrees_with_pyubx2():
    made = ubx.valset({"rate_ms": 200, "pvt_uart1": 1, "nmea_uart1": 0, "dynamic_model": 8})
    message = pyubx2.UBXReader.parse(made, msgmode=pyubx2.SET)
    assert (message.CFG_RATE_MEAS, message.CFG_MSGOUT_UBX_NAV_PVT_UART1) == (200, 1)
    assert (message.CFG_UART1OUTPROT_NMEA, message.CFG_NAVSPG_DYNMODEL) == (0, 8)
    values = {"iTOW": 5000, "lat": -33.9, "lon": 151.2, "height": -12345, "velN": -1500, "velE": 2500, "velD": -300}
    quality = {"hAcc": 900, "sAcc": 50, "fixType": 3, "gnssFixOk": 1, "carrSoln": 2, "numSV": 21}
    theirs = pyubx2.UBXMessage("NAV", "NAV-PVT", pyubx2.GET, **values, **quality)
    pvt = ubx.read_pvt(theirs.serialize()[6:-2])
    assert pvt.lat_deg == pytest.approx(-33.9) and pvt.lon_deg == pytest.approx(151.2)
    assert (pvt.tow_ms, pvt.vel_N, pvt.h_acc_m, pvt.s_acc_m_s, pvt.fix, pvt.satellites) == (
        5000, (-1.5, 2.5, -0.3), 0.9, 0.05, 5, 21)  # fmt: skip


@pytest.mark.realtime
def test_over_a_pty_in_real_time(tmp_path):
    host = Host(tmp_path)
    host.add_pty(
        "gnss", UbloxEmulator(StraightFlight(START), {"passive": True, "rate_hz": 20}), lambda: UartLine(57600)
    )
    with served(host):
        port, got, end = SerialTransport(str(tmp_path / "gnss"), 57600), b"", time.monotonic() + 1.0
        while time.monotonic() < end:
            port.wait(0.05)
            got += port.read()
        port.close()
    whole = got[got.find(b"\xb5b") :]
    whole = whole[: len(whole) // 100 * 100]
    assert len([m for m in parsed(whole) if m.identity == "NAV-PVT"]) >= 5
