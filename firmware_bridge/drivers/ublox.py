"""u-blox receivers from generation 9 (UBX protocol 27) on: own position, or the subject's through a radio modem."""

from __future__ import annotations

import math
from typing import ClassVar

import numpy as np

from firmware_bridge.clock_sync import TowSync
from firmware_bridge.drivers import ublox_codec as ubx
from firmware_bridge.errors import DeviceRefused, NoAnswer, WrongDevice
from firmware_bridge.framing import BinaryFramer, line_time_s
from firmware_bridge.interface import HEADING_ROW, Capabilities, Identity, Option, PositionDriver
from firmware_bridge.row_driver import RowDriver

_BAUDS = (115200, 38400, 9600, 460800, 230400, 921600)
_PVT_BYTES, _RELPOS_BYTES = 100, 72


class Ublox(RowDriver, PositionDriver):
    """``tow_sync`` may be shared by two receivers: GPS time is one, so the better line then dates the other's fixes."""

    NAME = "ublox"
    OPTIONS: ClassVar = {
        "rate_hz": Option(int, 5, "fixes a second", 1, 25),
        "passive": Option(bool, False, "only listen: the receiver is set up elsewhere (radio modem)"),
        "latency_ms": Option(float, 60.0, "least delay from measurement to the first byte", 0.0, 2000.0),
        "heading": Option(bool, False, "ask for the heading of a second antenna (NAV-RELPOSNED)"),
        "dynamic_model": Option(str, "airborne", "motion the receiver's filter expects",
                                choices=("portable", "automotive", "airborne")),
        "source_id": Option(int, 0, "identity written into each fix", 0, 2**53),
    }  # fmt: skip

    def setup(self) -> None:
        self.start(BinaryFramer(ubx.SYNC, ubx.frame_length, ubx.frame_valid, ubx.MAX_FRAME), depth=32)
        line_s = line_time_s(_PVT_BYTES, self.transport.baud)
        self.tow_sync = TowSync(int(1e6 * self.options["latency_ms"] + 1e9 * line_s))
        self.heading = np.zeros(1, HEADING_ROW)
        self.last_pvt: ubx.Pvt | None = None
        self._version = b""
        self._acknowledged: list[bool] = []

    @property
    def capabilities(self) -> Capabilities:
        n = _PVT_BYTES + (_RELPOS_BYTES if self.options["heading"] else 0)
        rate = 1 / line_time_s(n, self.transport.baud)
        text = f"{n} bytes a fix, 10 bits each, at {self.transport.baud:.0f} baud; the receiver: 25 Hz."
        return Capabilities(max_rate_hz=min(25.0, rate), budget=text)

    # Before the loop.

    def identify(self, timeout_s: float = 1.0) -> Identity:
        if self.options["passive"]:
            return self._overhear(min(timeout_s, 0.5))
        wanted = int(self.transport.baud)
        for baud in (wanted, *(b for b in _BAUDS if b != wanted)):
            self.set_line(baud)
            if self._ask_version(timeout_s / 4):
                if baud != wanted:
                    self.transport.write(ubx.valset({"baud_uart1": wanted}))
                    self.listen(0.1, lambda: False)
                    self.set_line(wanted)
                return self._identity()
            if self.transport.lost:
                break
        self.set_line(wanted)
        self._raise_stranger(f"at {wanted} baud or the other usual ones")
        raise AssertionError

    def _overhear(self, timeout_s: float) -> Identity:
        # The other end may be switched on later: silence is no error here, a stranger is.
        self.listen(timeout_s, lambda: self.last_pvt is not None)
        if self.last_pvt is None and self.framer.garbage_bytes > 200:
            self._raise_stranger("while listening")
        return Identity("ublox", "passive")

    def _raise_stranger(self, when: str) -> None:
        name = self.transport.name
        if self.framer.garbage_bytes > 200:
            raise WrongDevice(f"what sends on {name} is no u-blox speaking UBX ({when}). Check which device this port "
                              "is (`gimbal devices`); a receiver that sends only NMEA needs nmea.")  # fmt: skip
        raise NoAnswer(f"no u-blox answers on {name}, {when}. Check power and that TX and RX cross; behind a radio "
                       "modem that only receives, set the option passive = true.")  # fmt: skip

    def _ask_version(self, timeout_s: float) -> bool:
        self._version = b""
        self.transport.write(ubx.frame(ubx.MON_VER))
        return self.listen(timeout_s, lambda: bool(self._version))

    def _identity(self) -> Identity:
        texts = [self._version[i : i + 30].split(b"\0")[0].decode("ascii", "replace")
                 for i in (0, *range(40, len(self._version), 30))]  # fmt: skip
        known = dict(text.split("=", 1) for text in texts if "=" in text)
        protocol = known.get("PROTVER", "0")
        if protocol.replace(".", "").isdigit() and 0 < float(protocol) < 27:
            raise WrongDevice(f"the u-blox on {self.transport.name} speaks protocol {protocol}; this driver needs 27 "
                              "or newer (generation 9). Update its firmware, or set it up and use passive = true."
                              )  # fmt: skip
        return Identity("ublox", known.get("MOD", ""), known.get("FWVER", texts[0]), f"protocol {protocol}")

    def configure(self) -> None:
        self.forget()
        self.tow_sync.reset()
        if self.options["passive"]:
            return
        self.capabilities.require_rate(self.options["rate_hz"], "ublox")
        heading = int(self.options["heading"])
        model = {"portable": 0, "automotive": 4, "airborne": 8}[self.options["dynamic_model"]]
        common = {"rate_ms": round(1000 / self.options["rate_hz"]), "dynamic_model": model}
        self._set({**common, "nmea_uart1": 0, "pvt_uart1": 1})
        if heading:
            self._set({"relposned_uart1": 1})
        # The same on the USB port; a module without one says no, and that is fine.
        self.transport.write(ubx.valset({"nmea_usb": 0, "pvt_usb": 1, "relposned_usb": heading}))
        self.listen(0.2, lambda: bool(self._acknowledged))
        self._acknowledged.clear()

    def _set(self, values: dict[str, int]) -> None:
        for _ in range(3):
            self._acknowledged.clear()
            self.transport.write(ubx.valset(values))
            if self.listen(0.4, lambda: bool(self._acknowledged)):
                if self._acknowledged[-1]:
                    return
                raise DeviceRefused(f"the u-blox on {self.transport.name} refuses {', '.join(values)}. Lower rate_hz "
                                    "or leave out what this model can't do (heading needs two antennas).")  # fmt: skip
        raise NoAnswer(
            f"the u-blox on {self.transport.name} doesn't acknowledge its settings. Check the TX wire to it."
        )

    # In the loop.

    def take(self, frame: bytes, arrival_ns: int) -> None:
        message, payload = frame[2:4], frame[6:-2]
        if message == ubx.NAV_PVT:
            self._take_pvt(ubx.read_pvt(payload), arrival_ns)
        elif message == ubx.NAV_RELPOSNED:
            self._take_heading(ubx.read_relposned(payload), arrival_ns)
        elif message == ubx.MON_VER:
            self._version = payload
        elif message in (ubx.ACK_ACK, ubx.ACK_NAK):
            if payload == ubx.CFG_VALSET:
                self._acknowledged = [*self._acknowledged[-7:], message == ubx.ACK_ACK]
            self.counters.device_errors += message == ubx.ACK_NAK
        else:
            self.counters.unknown_frames += 1

    def _take_pvt(self, pvt: ubx.Pvt | None, arrival_ns: int) -> None:
        if pvt is None or abs(pvt.lat_deg) > 90 or abs(pvt.lon_deg) > 180 or max(map(abs, pvt.vel_N)) > 1000:
            self.counters.bad_values += 1
            return
        if self.last_pvt is not None and pvt.tow_ms == self.last_pvt.tow_ms:
            self.counters.duplicates += 1
            return
        self.last_pvt = pvt
        t_ns = self.tow_sync.to_host(pvt.tow_ms, arrival_ns)
        self.queue((t_ns, arrival_ns, pvt.tow_ms, pvt.lat_deg, pvt.lon_deg, pvt.height_m, pvt.vel_N,
                    pvt.h_acc_m, pvt.s_acc_m_s, 1, pvt.fix, self.options["source_id"]))  # fmt: skip

    def _take_heading(self, relpos: ubx.RelPos | None, arrival_ns: int) -> None:
        if relpos is None:
            self.counters.bad_values += 1
            return
        t_ns = self.tow_sync.to_host(relpos.tow_ms, arrival_ns)
        heading, std = math.radians(relpos.heading_deg), math.radians(relpos.heading_std_deg)
        self.heading[0] = (relpos.valid, t_ns, relpos.tow_ms, heading, std, relpos.baseline_N)
