"""Real devices, or emulators on ptys, behind the Rig protocol: drivers in, SENSE; COMMAND, drivers out.

Roles come from the rig file's ``devices``: the one IMU, one or more motor lines, and the receivers named ``gnss``
(the rig's own) and ``beacon`` (the subject's). Units and signs change here and nowhere else: the device's angle and
ours differ by ``joints.*.direction`` and ``zero_deg``, latitude and longitude become N about the first own fix.
"""

from __future__ import annotations

import math
import select
import time
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from firmware_bridge import interface, registry
from firmware_bridge.errors import PortError
from firmware_bridge.serial_port import latency_note
from firmware_bridge.transport import open_transport
from gimbal.config.schema import Rig as RigConfig
from gimbal.errors import UsageError
from gimbal.records import IMU_MAX
from gimbal.rig.line import Line
from gimbal.rig.local_frame import LocalFrame

AXES = ("roll", "pitch", "yaw")
_ROLE = {"imu": "IMU", "motor": "motor controllers", "gnss": "rig's GNSS", "beacon": "beacon receiver",
         "bearing": "vision"}  # fmt: skip
_SILENT_FIX_NS = 3_000_000_000  # a receiver is lost after this long without a fix
_LINK_LOST = int(interface.Status.LINK_LOST)


def device_defaults(config: RigConfig, kind: str) -> dict[str, Any]:
    """Driver options that follow from the rest of the rig file; used where a device has them and doesn't set them."""
    if kind == "motor":
        return {"watchdog_ms": config.safety.device_watchdog_ms, "max_torque_Nm": config.limits.max_torque_Nm}
    if kind in ("gnss", "beacon"):
        fixes = getattr(config, kind)
        return {"rate_hz": round(fixes.rate_hz), "latency_ms": fixes.delay_ms}
    return {}


class HardwareRig:
    """Drivers from ``config.devices``, on the ports named there or in ``ports``.

    Args:
        config: a validated rig.
        ports: device name -> path, before the rig file's.
        connect: makes a transport of a path and a baud; lock-step runs give lines in memory.
        clock: ns, the transports' own.

    Raises (on ``open`` only): UsageError when the rig file's devices can't make a rig; BridgeError when a port is
    absent, busy or not permitted, when nothing or another device answers, or when a line is too slow.
    """

    def __init__(
        self,
        config: RigConfig,
        ports: Mapping[str, str] | None = None,
        connect: Callable[[str, int], Any] = open_transport,
        clock: Callable[[], int] = time.monotonic_ns,
    ) -> None:
        self.config, self.connect, self.clock = config, connect, clock
        self.ports = dict(ports or {})
        self.lines: list[Line] = []
        self.identities: dict[str, str] = {}
        self.frame = LocalFrame()
        self._armed = False
        self._sense: np.ndarray | None = None
        self._poller = select.poll()
        self._by_fd: dict[int, Line] = {}
        self._imu_rows = np.zeros(IMU_MAX, interface.IMU_ROW)
        self._fix_rows = np.zeros(8, interface.FIX_ROW)
        self._bearing_rows = np.zeros(8, interface.BEARING_ROW)
        self._feedback: dict[str, np.ndarray] = {}
        joints = [getattr(config.joints, axis) for axis in AXES]
        self._direction = [float(joint.direction) for joint in joints]
        self._zero = [math.radians(joint.zero_deg) for joint in joints]

    # Opening: before the loop, may take a second, raises.

    def open(self, info: Mapping[str, Any]) -> None:
        self.lines = self._plan()
        try:
            for line in self.lines:
                self._open_line(line, 1.0 / info["dt_s"])
        except BaseException:
            self.safe()
            self.close()
            raise
        now = self.clock()
        for line in self.lines:
            line.last_row_ns = now
            self._watch(line)

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
            if kind in ("gimbal", "radio"):
                what = "closes its own loop, gimbal boards" if kind == "gimbal" else "is an operator's radio, radios"
                raise UsageError(
                    f"rig {self.config.name!r}: devices.{name} ({device.driver}) {what} can't be flown by this version "
                    "yet. Take the section out, and use motor controllers such as rig 'torque' has."
                )
            lines.append(Line(name, device.driver, kind, self.ports.get(name) or device.port))
        self._need(lines)
        return lines

    def _need(self, lines: list[Line]) -> None:
        imus = [line.name for line in lines if line.kind == "imu"]
        axes = [axis for line in lines if line.kind == "motor" for axis in self._axes_of(line)]
        if len(imus) != 1 or sorted(axes) != [0, 1, 2]:
            have = ", ".join(AXES[axis] for axis in axes) or "none"
            raise UsageError(
                f"rig {self.config.name!r} can't be run: it needs one IMU (has {len(imus)}) and each of roll, pitch "
                f"and yaw on one motor line (has {have}). Correct [devices] in the rig file; sim needs none of them."
            )

    def _axes_of(self, line: Line) -> list[int]:
        options = self.config.devices[line.name].options
        line.axes = [i for i, axis in enumerate(AXES) if f"{axis}_id" in options] or [0, 1, 2]
        return line.axes

    def _open_line(self, line: Line, rate_hz: float) -> None:
        device = self.config.devices[line.name]
        known = type(line.driver).OPTIONS
        options: dict[str, Any] = dict(device.options)
        for key, value in device_defaults(self.config, line.kind).items():
            if key in known:
                options.setdefault(key, value)
        try:
            identity = line.driver.open(self.connect(line.path, device.baud), options)
            if line.kind == "motor":
                self._accept_motors(line, rate_hz)
            if line.kind in ("motor", "imu"):
                _accept_line(line)
        except interface.BridgeError as error:
            raise type(error)(f"{_ROLE[line.kind]} ({line.name}, {line.driver_name}): {error}") from None
        self.identities[line.name] = str(identity)
        if line.kind == "motor":
            self._feedback[line.name] = np.zeros(len(line.axes), interface.AXIS_FEEDBACK)

    def _accept_motors(self, line: Line, rate_hz: float) -> None:
        can = line.driver.capabilities
        can.require_rate(rate_hz, line.driver_name)
        if interface.AxisMode.TORQUE not in can.modes:
            raise interface.OptionError(
                "it can't be commanded in torque, which this rig's controller needs. Use another controller."
            )
        if not can.has_watchdog and line.driver_name not in self.config.safety.accept_no_watchdog:
            raise interface.OptionError(
                "it has no watchdog: when the host dies it keeps its last command. If a wired stop covers that, name "
                f"it in the rig file: safety.accept_no_watchdog = [{line.driver_name!r}]."
            )

    def discard_stale(self) -> None:
        """Throw away what has piled up since ``open``, just before the loop: its first tick reads the present."""
        for line in self.lines:
            line.driver.transport.discard_input()

    # In the loop: nothing raises, nothing blocks.

    def read(self, sense: np.ndarray) -> int:
        """Fill ``sense`` from whatever has arrived; returns the bits of the lines now lost.

        What an earlier read of the same tick has filled stays: IMU samples are appended, the rest is overwritten.
        """
        if sense is not self._sense:
            self._bind(sense)
        now = self.clock()
        for descriptor, _ in self._poller.poll(0):
            line = self._by_fd.get(descriptor)
            if line is not None and line.worker is None:
                self._take(line, now)
        lost = 0
        for line in self.lines:
            if line.troubled and line.usable(now):
                self._take(line, now)
            if line.lost_since_ns or (line.receives_fixes and now - line.last_row_ns > _SILENT_FIX_NS):
                lost |= line.bit
        self._link_lost[0] = lost
        return lost

    prefetch = read  # the loop calls it in the spin before the deadline: what has come by then is parsed already

    def _take(self, line: Line, now: int) -> None:
        """Poll one line's driver into SENSE."""
        if line.kind == "imu":
            count = self._read_imu(line)
        elif line.kind == "motor":
            count = self._read_motors(line)
        elif line.kind == "bearing":
            count = self._read_bearing(line)
        else:
            count = self._read_fix(line)
        if count > 0:
            line.last_row_ns = now
            line.reopened_ns = 0
            # More may wait in the driver without a byte on the line; a line without descriptor is asked each tick.
            line.troubled = count == IMU_MAX or line.watched < 0
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
        self._link_lost = sense["link_lost"]
        self._imu_n, self._imu_status = sense["imu_n"], sense["imu_status"]
        names = ("imu_t_ns", "imu_gyro_I", "imu_accel_I")
        rows = ("t_ns", "gyro_rad_s", "accel_m_s2")
        self._imu_fields = [(sense[to][0], self._imu_rows[of]) for to, of in zip(names, rows)]
        self._imu_bits = self._imu_rows["status"]
        self._valid, self._joint_t = sense["joint_valid"][0], sense["joint_t_ns"][0]
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
        for to, of in self._imu_fields:
            to[have : have + count] = of[:count]
        status = 0
        for bits in self._imu_bits[:count].tolist():
            status |= bits
        if status:
            self._imu_status[0] |= status & 3  # clipped, lost before
        return count

    def _read_motors(self, line: Line) -> int:
        rows = self._feedback[line.name]
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

    def _read_fix(self, line: Line) -> int:
        sense = self._sense
        assert sense is not None
        count = line.driver.poll(self._fix_rows)
        if count <= 0:
            return count
        fix = self._fix_rows[count - 1]  # two in one tick only after a stall: the newest counts
        if fix["fix"] < 3:
            return count
        place = float(fix["lat_deg"]), float(fix["lon_deg"]), float(fix["height_m"])
        if not self.frame.ready:
            if line.kind != "gnss":
                return count  # N does not exist before the rig's own first fix
            self.frame.set_origin(*place)
        prefix = line.kind
        sense[f"{prefix}_valid"][0] = 1
        sense[f"{prefix}_t_ns"][0] = fix["t_ns"]
        sense[f"{prefix}_arrival_ns"][0] = fix["arrival_ns"]
        sense[f"{prefix}_pos_N"][0] = self.frame.position_N(*place)
        sense[f"{prefix}_vel_N"][0] = fix["vel_N"]
        sense[f"{prefix}_pos_std"][0] = fix["pos_std_m"]
        sense[f"{prefix}_vel_std"][0] = fix["vel_std_m_s"]
        sense[f"{prefix}_no_vel"][0] = 0 if fix["has_vel"] else 1
        return count

    def _read_bearing(self, line: Line) -> int:
        """A place in the picture becomes tangents from the boresight, by the lens and the sensor of the rig file."""
        sense, camera = self._sense, self.config.camera
        assert sense is not None
        count = line.driver.poll(self._bearing_rows)
        if count <= 0:
            return count
        row = self._bearing_rows[count - 1]
        if not row["tracking"] or row["confidence"] <= 0.0:
            return count
        wide, high = camera.sensor_mm[0] / camera.focal_mm, camera.sensor_mm[1] / camera.focal_mm
        sense["bearing_valid"][0] = 1
        sense["bearing_t_ns"][0] = row["t_ns"]
        sense["bearing_arrival_ns"][0] = row["arrival_ns"]
        sense["bearing_xy"][0, 0] = (row["xy_image"][0] - 0.5) * wide
        sense["bearing_xy"][0, 1] = (row["xy_image"][1] - 0.5) * high
        sense["bearing_std"][0] = (
            row["std_image"] * wide if row["std_image"] > 0 else math.radians(camera.box_angle_deg)
        )
        return count

    def write(self, command: np.ndarray) -> int:
        """Send ``command`` to every motor line; 0 = good, else the first line's negative status."""
        modes = command["mode"][0].tolist()
        torques = command["joint_torque_cmd"][0].tolist()
        rates = command["joint_rate_cmd"][0].tolist()
        angles = command["joint_angle_cmd"][0].tolist()
        active = any(modes)
        status = 0
        for line in self.lines:
            if line.kind != "motor":
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
            if line.kind != "motor":
                continue
            for action in (self.config.safety.safe_action, "off"):
                try:
                    if line.driver.safe(action) == 0:
                        break
                except Exception:
                    continue  # the last line of defence: the next action, then the next line
        self._armed = False

    def close(self) -> None:
        for line in self.lines:
            try:
                line.driver.close()
            except Exception:  # a port that won't close must not keep the next one open
                continue


def _accept_line(line: Line) -> None:
    """What the stabilisation loop can't be closed over. Raises PortError, OptionError."""
    note = latency_note(line.path, getattr(line.driver.transport, "latency_ms", None))
    if note:
        raise PortError(note)
    why = line.driver.capabilities.carrier_only
    if line.kind == "imu" and why:
        raise interface.OptionError(f"it can't close the stabilisation loop. {why} Use another IMU as devices.imu.")
