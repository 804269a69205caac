"""A tracking frame made by hand from 3s1d/fanet-stm32 protocol.txt, and the module's commands from its source."""

from __future__ import annotations

from firmware_bridge.drivers import fanet_codec as codec

LINE = "#FNF 11,ABCD,1,0,1,C,436143F51206209B5A56C014"


def heard() -> codec.Heard:
    h = codec.read_heard(LINE)
    assert h is not None
    return h


def tracking() -> tuple:
    t = codec.read_tracking(heard().payload)
    assert t is not None
    return (round(t.lat_deg, 4), round(t.lon_deg, 4), t.altitude_m, round(t.speed_m_s * 3.6, 1), round(t.climb_m_s, 1),
            round(t.heading_rad * 57.29578), t.aircraft, t.online)  # fmt: skip


CASES = {
    "address": (lambda: heard().address, "11:ABCD"),
    "tracking": (tracking, (47.3769, 8.5417, 3200.0, 45.0, -4.2, 270, 1, True)),
    "again": (lambda: codec.write_heard(heard()), LINE),
    "a digit too few": (lambda: codec.read_heard(LINE[:-1]), None),
    "version": (lambda: codec.VERSION, b"#DGV\n"),
}
