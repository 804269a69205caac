"""Samples of the u-blox receiver description; values as pynmea2 1.19.0 reads them."""

from __future__ import annotations

from firmware_bridge.drivers import nmea_codec as codec

GGA = b"$GPGGA,092725.00,4717.11399,N,00833.91590,E,1,08,1.01,499.6,M,48.0,M,,*5B"
RMC = b"$GPRMC,083559.00,A,4717.11437,N,00833.91522,E,0.004,77.52,091202,,,A*57"


def gga() -> tuple:
    g = codec.read_gga(codec.read(GGA) or [])
    assert g is not None
    return round(g.lat_deg, 8), round(g.lon_deg, 8), round(g.height_m, 3), g.has_separation, g.hdop, g.fix


def rmc() -> tuple:
    r = codec.read_rmc(codec.read(RMC) or [])
    assert r is not None and r.date is not None and r.vel_N is not None
    return r.date.isoformat(), round(r.vel_N[0], 6), round(r.vel_N[1], 6), r.valid


CASES = {
    "GGA": (gga, (47.28523317, 8.565265, 547.6, True, 1.01, 3)),
    "RMC": (rmc, ("2002-12-09", 0.000445, 0.002009, True)),
    "time": (lambda: codec.time_of_day_ms("092725.00"), 34_045_000),
    "a Monday's time of week": (
        lambda: codec.tow_ms(30_959_000, codec.read_rmc(codec.read(RMC) or []).date, 13), 117_372_000),  # type: ignore
    "again": (lambda: codec.sentence(GGA[1:-3].decode()), GGA + b"\r\n"),
    "wrong check": (lambda: codec.read(GGA[:-1] + b"C"), None),
}  # fmt: skip
