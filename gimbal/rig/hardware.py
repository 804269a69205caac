"""Real devices, or emulators on ptys, behind the Rig protocol: drivers in, SENSE; COMMAND, drivers out.

Roles come from the rig file's ``devices``: the camera's IMU, one named ``carrier_imu`` on the carrier, one or more
motor lines, and the receivers named ``gnss`` (the rig's own) and ``beacon`` (the subject's). Units and signs change
here and nowhere else: the device's angle and ours differ by ``joints.*.direction`` and ``zero_deg``, latitude and
longitude become N about the first own fix.
"""

from __future__ import annotations

import select
import time
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from firmware_bridge import interface, registry
from firmware_bridge.transport import open_transport
from gimbal.config.schema import Rig as RigConfig
from gimbal.errors import UsageError
from gimbal.frames import AXES
from gimbal.records import CARRIER_MAX, IMU_MAX, JointMode
from gimbal.rig.acceptance import accept_drive, accept_line, check_roles, device_defaults
from gimbal.rig.autopilot import ATTITUDES, Autopilot
from gimbal.rig.board import REPORTS, Board
from gimbal.rig.joint_sense import believed
from gimbal.rig.line import Line
from gimbal.rig.local_frame import LocalFrame
from gimbal.rig.mender import AtOnce, Mender
from gimbal.rig.phase import Replies, in_step
from gimbal.rig.receivers import FIXES, Receivers
from gimbal.rig.wired_stop import WiredStop

_ROLE = {"imu": "IMU", "motor": "motor controllers", "gnss": "rig's GNSS", "beacon": "beacon receiver",
         "bearing": "vision", "carrier_imu": "carrier's IMU", "attitude": "autopilot",
         "gimbal": "gimbal board"}  # fmt: skip
_SILENT_FIX_NS = 3_000_000_000  # a receiver is lost after this long without a fix
_CARRIER_DRAIN = 4 * IMU_MAX  # samples of the carrier's IMU taken from its driver a tick
# Rows of one look at a line: with so many more may wait in the driver. Motor controllers' newest are in one look.
_MOST = {"imu": IMU_MAX, "carrier_imu": _CARRIER_DRAIN, "gnss": FIXES, "beacon": FIXES, "bearing": FIXES,
         "attitude": ATTITUDES, "gimbal": REPORTS}  # fmt: skip
_LINK_LOST = int(interface.Status.LINK_LOST)


class HardwareRig:
    """Drivers from ``config.devices``, on the ports named there or in ``ports``.

    Args:
        config: a validated rig.
        ports: device name -> path, before the rig file's.
        connect: makes a transport of a path and a baud; lock-step runs give lines in memory.
        clock: ns, the transports' own.
        mend: who does the slow work on ports; None: a thread on the machine's own clock, else at once.

    Raises (on ``open`` only): UsageError when the rig file's devices can't make a rig; BridgeError when a port is
    absent, busy or not permitted, when nothing or another device answers, or when a line is too slow.
    """

    def __init__(
        self,
        config: RigConfig,
        ports: Mapping[str, str] | None = None,
        connect: Callable[[str, int], Any] = open_transport,
        clock: Callable[[], int] = time.monotonic_ns,
        mend: AtOnce | None = None,
    ) -> None:
        self.config, self.connect, self.clock = config, connect, clock
        self.ports = dict(ports or {})
        self.lines: list[Line] = []
        self.imu_in_step = False  # the loop's phase can be locked to the IMU's samples
        self.replies = Replies()
        self._looked_ns = self._looks_ns = 0  # the look before this one, and this one
        self._driven: list[int] = []  # axes whose motor controllers' line carries in frames
        self.identities: dict[str, str] = {}
        self.frame = LocalFrame()
        self._armed = self._driving = False
        self._sense: np.ndarray | None = None
        self._poller = select.poll()
        self._by_fd: dict[int, Line] = {}
        self._imu_rows = np.zeros(IMU_MAX, interface.IMU_ROW)
        self._receivers = Receivers(config.camera, self.frame)
        self._autopilot = Autopilot(config)
        self._board: Board | None = None
        self._feedback: dict[str, np.ndarray] = {}
        direction, zero = believed(config)
        self._direction, self._zero = direction.tolist(), zero.tolist()
        self._mend: AtOnce = mend or AtOnce()
        self._wired_stop: WiredStop | None = None

    # Opening: before the loop, may take a second, raises.

    def open(self, info: Mapping[str, Any]) -> None:
        self.lines = self._plan()
        threaded = self.clock is time.monotonic_ns
        if threaded:
            self._mend = Mender()
        try:
            for line in self.lines:
                self._open_line(line, 1.0 / info["dt_s"])
                if line.name == self.config.safety.wired_stop_device:
                    contact = self.config.safety.wired_stop_line
                    self._wired_stop = WiredStop(line.name, line.driver.transport, contact, threaded)
            if self.config.safety.wired_stop_device and self._wired_stop is None:
                raise UsageError(
                    f"safety.wired_stop_device names {self.config.safety.wired_stop_device!r}, which the loop doesn't "
                    f"open: nobody would read the contact. Name one of {', '.join(x.name for x in self.lines)}."
                )
        except BaseException:
            self.safe()
            self.close()
            raise
        now = self.clock()
        for line in self.lines:
            line.last_row_ns = now
            self._watch(line)
            link = line.driver.options.get("link") or registry.entry(line.driver_name).line
            if line.kind == "motor" and link in ("usb", "fdcanusb"):  # in frames; what a UART carries has none
                self._driven += line.axes
            if line.kind == "imu":
                self.imu_in_step = in_step(float(line.driver.options.get("rate_hz") or 0.0), 1.0 / info["dt_s"])

    def _plan(self) -> list[Line]:
        unknown = sorted(set(self.ports) - set(self.config.devices))
        if unknown:
            raise UsageError(
                f"--port names {unknown[0]!r}, but rig {self.config.name!r} has no such device; it has "
                f"{', '.join(sorted(self.config.devices)) or 'none'}. Use one of these names."
            )
        lines = []
        for name, device in self.config.devices.items():
            kind = registry.entry(device.driver).kind
            if kind == "position":
                if name not in ("gnss", "beacon"):
                    raise UsageError(
                        f"rig {self.config.name!r}: devices.{name} is a position receiver, so it must be called 'gnss' "
                        "(the rig's own) or 'beacon' (the subject's). Rename the section."
                    )
                kind = name
            if kind == "imu" and name == "carrier_imu":
                kind = name
            if not registry.entry(device.driver).in_loop:
                continue  # the operator's: gimbal/rig/radio.py
            told = device_defaults(self.config, kind) | dict(device.options)
            line = Line(name, device.driver, kind, self.ports.get(name) or device.port, float(told.get("rate_hz", 0)))
            if kind == "motor":
                line.axes = [i for i, axis in enumerate(AXES) if f"{axis}_id" in device.options] or [0, 1, 2]
            lines.append(line)
        check_roles(self.config, lines)
        return lines

    def _open_line(self, line: Line, rate_hz: float) -> None:
        device = self.config.devices[line.name]
        known = type(line.driver).OPTIONS
        options: dict[str, Any] = dict(device.options)
        for key, value in device_defaults(self.config, line.kind).items():
            if key in known:
                options.setdefault(key, value)
        try:
            identity = line.driver.open(self.connect(line.path, device.baud), options)
            if line.kind in ("motor", "gimbal"):
                accept_drive(self.config, line, rate_hz)
            if line.kind in ("motor", "gimbal", "imu"):
                accept_line(line)
        except interface.BridgeError as error:
            raise type(error)(f"{_ROLE[line.kind]} ({line.name}, {line.driver_name}): {error}") from None
        self.identities[line.name] = str(identity)
        if line.kind == "motor":
            self._feedback[line.name] = np.zeros(len(line.axes), interface.AXIS_FEEDBACK)
        elif line.kind == "gimbal":
            loop = self.config.inner_loop
            self._board = Board(
                line, self._direction, self._zero, 1.0 / rate_hz, loop is not None and loop.carrier_feed
            )

    def discard_stale(self) -> None:
        """Throw away what has piled up since ``open``, just before the loop: its first tick reads the present."""
        now = self.clock()
        for line in self.lines:
            line.driver.transport.discard_input()
            line.last_row_ns = now  # what was said meanwhile has been thrown away

    # In the loop: nothing raises, nothing blocks.

    def read(self, sense: np.ndarray) -> int:
        """Fill ``sense`` from whatever has arrived; returns the bits of the lines now lost.

        What an earlier read of the same tick has filled stays: IMU samples are appended, the rest is overwritten.
        """
        if sense is not self._sense:
            self._bind(sense)
        now = self.clock()
        self._looked_ns, self._looks_ns = self._looks_ns, now
        for descriptor, _ in self._poller.poll(0):
            line = self._by_fd.get(descriptor)
            if line is not None and not line.mending:
                self._take(line, now)
        lost = 0
        for line in self.lines:
            if now - line.last_row_ns > line.quiet_ns or (line.drives and line.restarted):
                line.troubled = True
            if (line.troubled or line.asks) and line.usable(now, self._mend, not self._driving):
                self._take(line, now)
            if line.lost_since_ns or (line.receives_fixes and now - line.last_row_ns > _SILENT_FIX_NS):
                lost |= line.bit
        self._link_lost[0] = lost
        if self._wired_stop is not None:
            self._wired_stop_open[0] = self._wired_stop.open
        return lost

    prefetch = read  # the loop calls it in the spin before the deadline: what has come by then is parsed already

    def _take(self, line: Line, now: int) -> None:
        """Poll one line's driver into SENSE."""
        assert self._sense is not None
        if line.kind == "imu":
            count = self._read_imu(line)
        elif line.kind == "motor":
            count = self._read_motors(line)
        elif line.kind == "gimbal" and self._board is not None:
            count = self._board.read(self._sense)
        elif line.kind == "carrier_imu":
            count = self._read_carrier(line)
        elif line.kind == "attitude":
            count = self._autopilot.read(line, self._sense)
        elif line.kind == "bearing":
            count = self._receivers.read_bearing(line, self._sense)
        else:
            count = self._receivers.read_fix(line, self._sense)
        if count > 0:
            line.last_row_ns = now
            line.reopened_ns = 0
            # More may wait in the driver without a byte on the line; a line without descriptor is asked each tick.
            filled = int(self._imu_n[0]) if line.kind == "imu" else count
            line.troubled = filled >= _MOST.get(line.kind, filled + 1) or line.watched < 0
        elif count == _LINK_LOST:
            line.hang_up(now)
        self._watch(line)

    def _watch(self, line: Line) -> None:
        """Have the line's descriptor among the polled ones exactly while it is open."""
        descriptor = line.descriptor()
        if descriptor == line.watched:
            return
        if line.watched >= 0:
            self._poller.unregister(line.watched)
            self._by_fd.pop(line.watched, None)
        if descriptor >= 0:
            self._poller.register(descriptor, select.POLLIN)
            self._by_fd[descriptor] = line
        line.watched = descriptor
        line.troubled = line.troubled or descriptor < 0

    def _bind(self, sense: np.ndarray) -> None:
        """Plain views of the fields written every tick: taking them anew costs 5 us a tick."""
        self._sense = sense
        self._link_lost, self._wired_stop_open = sense["link_lost"], sense["wired_stop_open"]
        self._imu_n, self._imu_status = sense["imu_n"], sense["imu_status"]
        names = ("imu_t_ns", "imu_gyro_I", "imu_accel_I")
        rows = ("t_ns", "gyro_rad_s", "accel_m_s2")
        self._imu_fields = [(sense[to][0], self._imu_rows[of]) for to, of in zip(names, rows)]
        self._imu_bits = self._imu_rows["status"]
        self._valid, self._joint_t = sense["joint_valid"][0].data, sense["joint_t_ns"][0]
        self._angle, self._rate, self._torque = (
            sense[name][0] for name in ("joint_angle", "joint_rate", "joint_torque_applied")
        )
        self._temp, self._fault, self._bus = sense["motor_temp_degC"][0], sense["motor_fault"][0], sense["bus_V"]

    def _read_imu(self, line: Line) -> int:
        have = int(self._imu_n[0])
        rows = self._imu_rows if have == 0 else self._imu_rows[: IMU_MAX - have]
        count = line.driver.poll(rows)
        if count <= 0:
            return count
        self._imu_n[0] = have + count
        if getattr(line.driver, "around", None) is not None:
            self._read_around(line.driver)
        for to, of in self._imu_fields:
            to[have : have + count] = of[:count]
        status = 0
        for bits in self._imu_bits[:count].tolist():
            status |= bits
        if status:
            self._imu_status[0] |= status & 3  # clipped, lost before
        return count

    def _read_carrier(self, line: Line) -> int:
        """All that waits: an IMU that is faster than SENSE takes must not age in its driver."""
        total = 0
        while total < _CARRIER_DRAIN:
            count = int(line.driver.poll(self._imu_rows))
            if count <= 0:
                return total or count
            self._keep_newest(self._imu_rows[:count])
            total += count
            if count < IMU_MAX:
                break
        return total

    def _keep_newest(self, rows: np.ndarray) -> None:
        """Samples of the carrier's IMU behind those SENSE has of this tick; the oldest of too many are lost."""
        sense = self._sense
        assert sense is not None
        have, new = int(sense["carrier_n"][0]), rows[-CARRIER_MAX:]
        kept = min(have, CARRIER_MAX - len(new))
        n = kept + len(new)
        for to, of in (("carrier_t_ns", "t_ns"), ("carrier_gyro_I", "gyro_rad_s"), ("carrier_accel_I", "accel_m_s2")):
            field = sense[to][0]
            field[:kept] = field[have - kept : have].copy()
            field[kept:n] = new[of]
        lost = 2 if have + len(rows) > n else 0
        sense["carrier_status"][0] |= int(np.bitwise_or.reduce(rows["status"])) & 3 | lost
        sense["carrier_n"][0] = n

    def _read_around(self, driver: Any) -> None:
        sense = self._sense
        assert sense is not None
        (t_ns, temp, field), driver.around = driver.around, None
        sense["imu_temp_degC"][0] = temp
        if any(field):
            sense["mag_valid"][0] = 1
            sense["mag_t_ns"][0] = t_ns
            sense["mag_I"][0] = field

    def _read_motors(self, line: Line) -> int:
        rows = self._feedback[line.name]
        line.driver.looked_ns = self._looked_ns
        count = line.driver.poll(rows)
        if count <= 0:
            return count
        for axis, row in zip(line.axes, rows.tolist()):
            valid, t_ns, angle, rate, torque, _, voltage, temp, fault, _ = row
            if not valid:
                continue
            sign = self._direction[axis]
            self._valid[axis] = 1
            self._joint_t[axis] = t_ns
            self._angle[axis] = sign * (angle - self._zero[axis])
            self._rate[axis] = sign * rate
            self._torque[axis] = sign * torque
            self._temp[axis] = temp
            self._fault[axis] = fault
            self._bus[0] = voltage
        return count

    def write(self, command: np.ndarray) -> int:
        """Send ``command`` to the board or to every motor line; 0 = good, else the first negative status."""
        if self._driven and self._sense is not None:
            self.replies.tick(self._valid, self._driven)
        modes = command["mode"][0].tolist()
        self._driving = any(mode not in (JointMode.OFF, JointMode.BRAKE) for mode in modes)
        if self._board is not None:
            return 0 if self._board.line.mending else min(self._board.write(command), 0)
        torques = command["joint_torque_cmd"][0].tolist()
        rates = command["joint_rate_cmd"][0].tolist()
        angles = command["joint_angle_cmd"][0].tolist()
        active = self._driving or (self._armed and any(modes))  # a brake alone wakes no controller
        status = 0
        for line in self.lines:
            if line.kind != "motor" or line.mending:
                continue
            if active != self._armed:  # a controller whose watchdog expired needs a stop before it obeys again
                line.driver.arm() if active else line.driver.disarm()
            axes, signs = line.axes, self._direction
            result = line.driver.command(
                [modes[axis] for axis in axes],
                [signs[axis] * torques[axis] for axis in axes],
                [signs[axis] * rates[axis] for axis in axes],
                [signs[axis] * angles[axis] + self._zero[axis] for axis in axes],
            )
            status = status or min(result, 0)
        self._armed = active
        return status

    def safe(self) -> None:
        """Stop every axis. Never raises; may be called twice and on lost lines."""
        for line in self.lines:
            if line.kind not in ("motor", "gimbal"):
                continue
            for action in (self.config.safety.safe_action, "off"):
                try:
                    if line.driver.safe(action) == 0:
                        break
                except Exception:
                    continue  # the last line of defence: the next action, then the next line
        self._armed = False

    def close(self) -> None:
        self._mend.close()
        if self._wired_stop is not None:
            self._wired_stop.close()
        for line in self.lines:
            try:
                line.driver.close()
            except Exception:  # a port that won't close must not keep the next one open
                continue
