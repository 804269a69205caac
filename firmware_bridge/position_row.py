"""The end that all beacon and NMEA drivers share: gate, delay, FIX_ROW."""

from __future__ import annotations

import math
from typing import ClassVar

from firmware_bridge.beacon import BeaconGate, DelayMeter, Place, Verdict
from firmware_bridge.interface import Option, PositionDriver, Status
from firmware_bridge.row_driver import RowDriver

GATE_OPTIONS: dict[str, Option] = {
    "max_speed_m_s": Option(float, 200.0, "a fix that needs more speed than this since the last is not given on",
                            1.0, 3000.0),
    "must_hear": Option(bool, True, "refuse to start in silence; false: the beacon may be switched on later"),
}  # fmt: skip


class GatedPosition(RowDriver, PositionDriver):
    """``gate`` and ``delay`` may be looked at; ``delay.mean_ns`` is the estimate of the beacon's delay."""

    MAX_ACCEL_M_S2: ClassVar[float] = math.inf

    def start_gate(self) -> None:
        """Call in ``setup``."""
        self.gate = BeaconGate(self.options["max_speed_m_s"], max_accel_m_s2=self.MAX_ACCEL_M_S2)
        self.delay = DelayMeter()

    def configure(self) -> None:
        self.forget()
        self.gate.reset()
        self.delay.reset()

    def give(self, t_ns: int, arrival_ns: int, tow_ms: int, place: tuple[float, float, float],
             vel_N: tuple[float, float, float], has_vel: bool, pos_std_m: float, vel_std_m_s: float, fix: int,
             source: int) -> None:  # fmt: skip
        """Queue the row if it can be true. place: degrees, degrees, metres above the ellipsoid."""
        lat, lon, height = place
        numbers = lat + lon + height + vel_N[0] + vel_N[1] + vel_N[2] + pos_std_m + vel_std_m_s
        fast = max(map(abs, vel_N)) > self.options["max_speed_m_s"]
        if not math.isfinite(numbers) or abs(lat) > 90 or abs(lon) > 180 or not -1000 < height < 60_000 or fast:
            self.counters.bad_values += 1
            return
        verdict = self.gate.check(Place(t_ns, lat, lon, height), vel_N if has_vel else None)
        if verdict == Verdict.REPEATED:
            self.counters.duplicates += 1
            return
        if verdict != Verdict.GOOD:
            self.counters.bad_values += 1
            if verdict == Verdict.TWO_SENDERS:
                self.notice(Status.TWO_SENDERS)
            return
        self.delay.add(arrival_ns - t_ns)
        self.queue((t_ns, arrival_ns, tow_ms, lat, lon, height, vel_N, pos_std_m, vel_std_m_s, int(has_vel), fix,
                    source))  # fmt: skip
