"""Our rig as a MAVLink gimbal: manager and device in one component, or a device under an autopilot's manager.

A pure protocol machine: bytes and the time in, ``out`` (frames) and ``requests`` (what the daemon shall do) to be taken
away. What it tells of the gimbal is what the view says was measured, never a setpoint. Rates expire.
Sources: mavlink-devguide services/gimbal_v2.md, messages of pymavlink 2.4.50; MAVSDK 4.1.0 sends commands both as
COMMAND_LONG and COMMAND_INT.
"""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from firmware_bridge.angles import Quat, Vec3, body_rates, euler_of, multiply, quat_of, unit, wrap
from firmware_bridge.mavlink_frames import MavlinkFramer, MavlinkPacker, mavlink
from firmware_bridge.mavlink_ownership import NOBODY, Ownership, Peer
from firmware_bridge.mavlink_records import Every, GimbalFacts, GimbalView, Request, north_east_down

RETRACT, NEUTRAL, ROLL_LOCK, PITCH_LOCK, YAW_LOCK, VEHICLE, EARTH = 1, 2, 4, 8, 16, 32, 64
ERROR_NO_MANAGER = 512
ACCEPTED, TEMPORARILY_REJECTED, DENIED, UNSUPPORTED = 0, 1, 2, 3
_STALE_NS = 500_000_000
_PLACE_NS = 3_000_000_000
_POINT_NS = 200_000_000


@dataclass
class MavlinkGimbal:
    """See the module's text. role "both": manager and device; "device": obeys GIMBAL_DEVICE_SET_ATTITUDE of the
    component ``manager`` and manages nothing."""

    system: int = 1
    component: int = 154
    role: str = "both"
    manager: int = 1
    facts: GimbalFacts = field(default_factory=GimbalFacts)
    status_hz: float = 20.0
    rate_expiry_s: float = 0.25

    def __post_init__(self) -> None:
        self.out: deque[bytes] = deque()
        self.requests: deque[Request] = deque(maxlen=64)
        self.ownership = Ownership()
        self.flags = ROLL_LOCK | PITCH_LOCK
        self.autopilot: Any = None  # the newest AUTOPILOT_STATE_FOR_GIMBAL_DEVICE, for the estimator
        self.framer = MavlinkFramer()
        self._packer = MavlinkPacker(self.system, self.component)
        self._start_ns: int | None = None
        self._moving: Request | None = None  # a rate that will expire
        self._roi: tuple[float, float, float] | None = None
        self._roi_owner: Peer = NOBODY
        self._place: tuple[float, float, float] | None = None  # of the vehicle, by its autopilot
        self._home_m: float | None = None  # sea level to home
        self._place_ns = 0
        self._manager_ns = -_PLACE_NS
        self._beat, self._managed = Every(1_000_000_000), Every(200_000_000)
        self._attitude, self._point = Every(int(1e9 / min(50.0, max(10.0, self.status_hz)))), Every(_POINT_NS)
        self._handlers = {
            "COMMAND_LONG": self._command_long, "COMMAND_INT": self._command_int,
            "GIMBAL_MANAGER_SET_ATTITUDE": self._set_attitude, "GIMBAL_MANAGER_SET_PITCHYAW": self._set_pitchyaw,
            "GIMBAL_MANAGER_SET_MANUAL_CONTROL": self._manual, "GIMBAL_DEVICE_SET_ATTITUDE": self._device_set,
            "AUTOPILOT_STATE_FOR_GIMBAL_DEVICE": self._autopilot_state, "GLOBAL_POSITION_INT": self._vehicle_place,
        }  # fmt: skip
        self._commands = {
            mavlink.MAV_CMD_REQUEST_MESSAGE: self._request_message,
            mavlink.MAV_CMD_SET_MESSAGE_INTERVAL: self._message_interval,
            mavlink.MAV_CMD_DO_GIMBAL_MANAGER_CONFIGURE: self._configure,
            mavlink.MAV_CMD_DO_GIMBAL_MANAGER_PITCHYAW: self._pitchyaw,
            mavlink.MAV_CMD_DO_SET_ROI_LOCATION: self._roi_location,
            mavlink.MAV_CMD_DO_SET_ROI_NONE: self._roi_none,
        }

    # In and out.

    def feed(self, data: bytes, now_ns: int, view: GimbalView | None) -> None:
        """Take bytes of the line; answers are in ``out``, what shall be done in ``requests``."""
        for message in self.framer.messages(data):
            handler = self._handlers.get(message.get_type())
            sender = (message.get_srcSystem(), message.get_srcComponent())
            if handler is not None and sender != (self.system, self.component):
                handler(message, sender, now_ns, view)

    def service(self, now_ns: int, view: GimbalView | None) -> None:
        """Whatever falls due: heartbeat, status, attitude, an expired rate, a place looked at. Call at 50 Hz."""
        if self._start_ns is None:
            self._start_ns = now_ns
        if view is not None and now_ns - view.t_ns > _STALE_NS:
            view = None
        if self._moving is not None and now_ns - self._moving.t_ns > 1e9 * self.rate_expiry_s:
            owner, self._moving = self._moving.owner, None
            self.requests.append(Request(owner, "rate", now_ns))
        if self._roi is not None and self._point.due(now_ns):
            self._look_at_place(now_ns, view)
        if self._beat.due(now_ns):
            state = mavlink.MAV_STATE_CRITICAL if view is None else (
                mavlink.MAV_STATE_ACTIVE if view.armed else mavlink.MAV_STATE_STANDBY)  # fmt: skip
            self._say(mavlink.MAVLink_heartbeat_message(mavlink.MAV_TYPE_GIMBAL, mavlink.MAV_AUTOPILOT_INVALID, 0, 0,
                                                        state, 3))  # fmt: skip
        if self.role == "both" and self._managed.due(now_ns):
            self._manager_status(now_ns)
        if view is not None and self._attitude.due(now_ns):
            self._attitude_status(now_ns, view)

    def _say(self, message: Any) -> None:
        self.out.append(self._packer.pack(message))

    def _ms(self, t_ns: int) -> int:
        return max(0, t_ns - (self._start_ns or 0)) // 1_000_000 & 0xFFFFFFFF

    # What it tells.

    def _manager_status(self, now_ns: int) -> None:
        p, s = self.ownership.primary, self.ownership.secondary
        self._say(mavlink.MAVLink_gimbal_manager_status_message(self._ms(now_ns), self.flags, self.component, *p, *s))

    def _manager_information(self, now_ns: int) -> None:
        f = self.facts
        self._say(
            mavlink.MAVLink_gimbal_manager_information_message(
                self._ms(now_ns), f.capabilities, self.component, *f.roll_limits, *f.pitch_limits, *f.yaw_limits
            )
        )

    def _device_information(self, now_ns: int) -> None:
        f = self.facts
        version = sum(n << 8 * i for i, n in enumerate(f.firmware))
        names = [text.encode("ascii", "replace")[:32] for text in (f.vendor, f.model, "")]
        self._say(mavlink.MAVLink_gimbal_device_information_message(
            self._ms(now_ns), *names, version, 0, f.uid, f.capabilities & 0xFFFF, 0, *f.roll_limits, *f.pitch_limits,
            *f.yaw_limits))  # fmt: skip

    def _attitude_status(self, now_ns: int, view: GimbalView) -> None:
        earth = bool(self.flags & YAW_LOCK) and view.heading_valid
        q = view.q_NC if earth else multiply(_about_down(-view.heading_rad), view.q_NC)
        flags = self.flags & ~(VEHICLE | EARTH) | (EARTH if earth else VEHICLE)
        failure = view.failure
        if self.role == "device" and now_ns - self._manager_ns > _PLACE_NS:
            failure |= ERROR_NO_MANAGER
        delta = (wrap(view.heading_rad), view.heading_rate_rad_s) if view.heading_valid else (math.nan, math.nan)
        self._say(mavlink.MAVLink_gimbal_device_attitude_status_message(
            0, 0, self._ms(view.t_ns), flags, list(q), *view.rate_C, failure, *delta))  # fmt: skip

    # What it is told: messages.

    def _for_us(self, message: Any) -> bool:
        return message.target_system in (0, self.system) and message.target_component in (0, self.component)

    def _is_our_gimbal(self, device: float) -> bool:
        return not math.isfinite(device) or device in (0, self.component)

    def _may(self, message: Any, sender: Peer, now_ns: int) -> bool:
        return (self.role == "both" and self._for_us(message) and self._is_our_gimbal(message.gimbal_device_id)
                and self.ownership.may(sender, now_ns))  # fmt: skip

    def _set_attitude(self, message: Any, sender: Peer, now_ns: int, view: GimbalView | None) -> None:
        if self._may(message, sender, now_ns):
            rates = (message.angular_velocity_x, message.angular_velocity_y, message.angular_velocity_z)
            self._move(sender, now_ns, view, int(message.flags), message.q, rates)

    def _device_set(self, message: Any, sender: Peer, now_ns: int, view: GimbalView | None) -> None:
        if self.role == "device" and self._for_us(message) and sender == (self.system, self.manager):
            self._manager_ns = now_ns
            rates = (message.angular_velocity_x, message.angular_velocity_y, message.angular_velocity_z)
            self._move(sender, now_ns, view, int(message.flags), message.q, rates)

    def _set_pitchyaw(self, message: Any, sender: Peer, now_ns: int, view: GimbalView | None) -> None:
        if self._may(message, sender, now_ns):
            self._move_pitchyaw(sender, now_ns, view, int(message.flags), message.pitch, message.yaw,
                                message.pitch_rate, message.yaw_rate)  # fmt: skip

    def _manual(self, message: Any, sender: Peer, now_ns: int, view: GimbalView | None) -> None:
        if not self._may(message, sender, now_ns):
            return
        f, most = self.facts, self.facts.max_rate_rad_s
        angles = [_of_stick(stick, low, high) for stick, (low, high) in
                  ((message.pitch, f.pitch_limits), (message.yaw, f.yaw_limits))]  # fmt: skip
        rates = [_of_stick(stick, -most, most) for stick in (message.pitch_rate, message.yaw_rate)]
        self._move_pitchyaw(sender, now_ns, view, int(message.flags), *angles, *rates)

    def _autopilot_state(self, message: Any, sender: Peer, now_ns: int, view: GimbalView | None) -> None:
        if self._for_us(message) and sender[0] == self.system:
            self.autopilot = message

    def _vehicle_place(self, message: Any, sender: Peer, now_ns: int, view: GimbalView | None) -> None:
        if sender[0] == self.system:
            self._place = (message.lat * 1e-7, message.lon * 1e-7, message.alt * 1e-3)
            self._home_m = 1e-3 * (message.alt - message.relative_alt)
            self._place_ns = now_ns

    # Motion.

    def _take_flags(self, flags: int) -> bool:
        """Remember them; True when yaw is in the earth's frame."""
        self.flags = flags & (RETRACT | NEUTRAL | YAW_LOCK) | ROLL_LOCK | PITCH_LOCK
        earth = bool(flags & EARTH) or (bool(flags & YAW_LOCK) and not flags & VEHICLE)
        self.flags |= YAW_LOCK if earth else 0
        return earth

    def _ask(self, sender: Peer, verb: str, now_ns: int, **what: Any) -> None:
        request = Request(sender[0] << 8 | sender[1], verb, now_ns, **what)
        self._moving = request if verb == "rate" and any(request.rate_C) else None
        self.requests.append(request)

    def _move(
        self, sender: Peer, now_ns: int, view: GimbalView | None, flags: int, q: Sequence[float], rates: Sequence[float]
    ) -> bool:
        """Retract, neutral, attitude or rates of roll, pitch, yaw; False when there is nothing in it to do."""
        if flags & (RETRACT | NEUTRAL):
            self._roi = None
            self._take_flags(flags)
            self._ask(sender, "retract" if flags & RETRACT else "neutral", now_ns)
            return True
        wanted = unit(q)
        if wanted is not None:
            self._roi = None
            earth = self._take_flags(flags)
            limited = quat_of(self._limited(euler_of(wanted), earth))
            self._ask(sender, "attitude", now_ns, q=limited, yaw_frame="earth" if earth else "vehicle")
            return True
        if all(math.isnan(w) for w in rates) or any(math.isinf(w) for w in rates) or view is None:
            return False
        self._roi = None
        earth = self._take_flags(flags)
        most = self.facts.max_rate_rad_s
        turned = [0.0 if math.isnan(w) else max(-most, min(most, w)) for w in rates]
        if not earth and any(turned):
            turned[2] += view.heading_rate_rad_s
        self._ask(sender, "rate", now_ns, rate_C=body_rates(euler_of(view.q_NC), turned))
        return True

    def _limited(self, euler: Vec3, earth: bool) -> Vec3:
        f = self.facts
        roll = max(f.roll_limits[0], min(f.roll_limits[1], euler[0]))
        pitch = max(f.pitch_limits[0], min(f.pitch_limits[1], euler[1]))
        yaw = euler[2] if earth or f.infinite_yaw else max(f.yaw_limits[0], min(f.yaw_limits[1], euler[2]))
        return roll, pitch, yaw

    def _move_pitchyaw(
        self,
        sender: Peer,
        now_ns: int,
        view: GimbalView | None,
        flags: int,
        pitch: float,
        yaw: float,
        pitch_rate: float,
        yaw_rate: float,
    ) -> bool:
        """rad and rad/s, NaN: not given. An angle that is not given stays as it is."""
        angles = (pitch, yaw)
        if all(not math.isfinite(a) for a in angles):
            return self._move(sender, now_ns, view, flags, (math.nan,) * 4, (math.nan, pitch_rate, yaw_rate))
        if not all(math.isfinite(a) for a in angles):
            if view is None:
                return False
            earth = bool(flags & EARTH) or (bool(flags & YAW_LOCK) and not flags & VEHICLE)
            _, now_pitch, now_yaw = euler_of(view.q_NC)
            pitch = pitch if math.isfinite(pitch) else now_pitch
            yaw = yaw if math.isfinite(yaw) else now_yaw - (0.0 if earth else view.heading_rad)
        return self._move(sender, now_ns, view, flags, quat_of((0.0, pitch, yaw)), (math.nan,) * 3)

    # What it is told: commands.

    def _command_long(self, message: Any, sender: Peer, now_ns: int, view: GimbalView | None) -> None:
        if self._for_us(message):
            p = [getattr(message, f"param{i}") for i in range(1, 8)]
            self._command(message, p, (p[4], p[5], p[6], mavlink.MAV_FRAME_GLOBAL), sender, now_ns, view)

    def _command_int(self, message: Any, sender: Peer, now_ns: int, view: GimbalView | None) -> None:
        if self._for_us(message):
            p = [getattr(message, f"param{i}") for i in range(1, 5)] + [float(message.x), float(message.y), message.z]
            place = (message.x * 1e-7, message.y * 1e-7, message.z, message.frame)
            self._command(message, p, place, sender, now_ns, view)

    def _command(
        self,
        message: Any,
        p: list[float],
        place: tuple[float, float, float, int],
        sender: Peer,
        now_ns: int,
        view: GimbalView | None,
    ) -> None:
        handler = self._commands.get(message.command)
        if handler is None:
            if message.target_component != self.component:
                return  # for everybody: not ours to refuse
            result = UNSUPPORTED
        else:
            result = handler(p, place, sender, now_ns, view)
        self._say(mavlink.MAVLink_command_ack_message(message.command, result, 0, 0, *sender))
        # A message that was asked for follows its acknowledgement.
        if message.command == mavlink.MAV_CMD_REQUEST_MESSAGE and result == ACCEPTED:
            self._tell(int(p[0]), now_ns, view)

    def _tell(self, number: int, now_ns: int, view: GimbalView | None) -> None:
        if number == 280:
            self._manager_information(now_ns)
        elif number == 281:
            self._manager_status(now_ns)
        elif number == 283:
            self._device_information(now_ns)
        elif number == 285 and view is not None:
            self._attitude_status(now_ns, view)

    def _request_message(self, p: list[float], place: Any, sender: Peer, now_ns: int, view: Any) -> int:
        return ACCEPTED if p[0] in ((280, 281, 283, 285) if self.role == "both" else (283, 285)) else UNSUPPORTED

    def _message_interval(self, p: list[float], place: Any, sender: Peer, now_ns: int, view: Any) -> int:
        """Only the attitude's, and only within 10 to 50 Hz."""
        if p[0] != 285 or not math.isfinite(p[1]):
            return UNSUPPORTED if p[0] != 285 else DENIED
        hz = self.status_hz if p[1] == 0 else 1e6 / p[1] if p[1] > 0 else 0.0
        if not 10.0 <= hz <= 50.001:
            return DENIED
        self._attitude = Every(int(1e9 / hz), now_ns)
        return ACCEPTED

    def _configure(self, p: list[float], place: Any, sender: Peer, now_ns: int, view: Any) -> int:
        if self.role != "both":
            return UNSUPPORTED
        if not self._is_our_gimbal(p[6]) or not self.ownership.configure(sender, (p[0], p[1]), (p[2], p[3])):
            return DENIED
        if self._moving is not None:
            owner = (self._moving.owner >> 8, self._moving.owner & 255)
            if owner not in (self.ownership.primary, self.ownership.secondary):
                self._ask(owner, "rate", now_ns)  # whoever gave control up leaves nothing turning
        self._manager_status(now_ns)
        return ACCEPTED

    def _pitchyaw(self, p: list[float], place: Any, sender: Peer, now_ns: int, view: GimbalView | None) -> int:
        refused = self._refused(p[6], sender, now_ns)
        if refused:
            return refused
        flags = int(p[4]) if math.isfinite(p[4]) and 0 <= p[4] < 1 << 16 else 0
        radians = [math.radians(x) for x in p[:4]]
        return ACCEPTED if self._move_pitchyaw(sender, now_ns, view, flags, *radians) else DENIED

    def _refused(self, device: float, sender: Peer, now_ns: int) -> int:
        if self.role != "both":
            return UNSUPPORTED
        if not self._is_our_gimbal(device) or not self.ownership.may(sender, now_ns):
            return DENIED
        return 0

    def _roi_location(
        self, p: list[float], place: tuple[float, float, float, int], sender: Peer, now_ns: int, view: GimbalView | None
    ) -> int:
        refused = self._refused(p[0], sender, now_ns)
        if refused:
            return refused
        latitude, longitude, height, frame = place
        if not (abs(latitude) <= 90 and abs(longitude) <= 180 and math.isfinite(height)):
            return DENIED
        if frame in (mavlink.MAV_FRAME_GLOBAL_RELATIVE_ALT, mavlink.MAV_FRAME_GLOBAL_RELATIVE_ALT_INT):
            if self._home_m is None:
                return TEMPORARILY_REJECTED
            height += self._home_m
        elif frame not in (mavlink.MAV_FRAME_GLOBAL, mavlink.MAV_FRAME_GLOBAL_INT):
            return DENIED
        if self._camera_place(now_ns, view) is None:
            return TEMPORARILY_REJECTED
        self._roi, self._roi_owner = (latitude, longitude, height), sender
        self._take_flags(YAW_LOCK)
        self._point = Every(_POINT_NS, now_ns + _POINT_NS)
        self._look_at_place(now_ns, view)
        return ACCEPTED

    def _roi_none(self, p: list[float], place: Any, sender: Peer, now_ns: int, view: Any) -> int:
        refused = self._refused(p[0], sender, now_ns)
        if not refused and self._roi is not None:
            self._roi = None
            self._ask(sender, "rate", now_ns)  # holds what it looks at
        return refused

    def _camera_place(self, now_ns: int, view: GimbalView | None) -> tuple[float, float, float] | None:
        if view is not None and view.place is not None:
            return view.place
        return self._place if self._place is not None and now_ns - self._place_ns < _PLACE_NS else None

    def _look_at_place(self, now_ns: int, view: GimbalView | None) -> None:
        here = self._camera_place(now_ns, view)
        if here is not None and self._roi is not None:
            self._ask(self._roi_owner, "point", now_ns, to_N=north_east_down(here, self._roi))


def _about_down(angle: float) -> Quat:
    return math.cos(angle / 2), 0.0, 0.0, math.sin(angle / 2)


def _of_stick(stick: float, low: float, high: float) -> float:
    """-1 … 1 to the range, 0 to 0 where that is inside; NaN stays."""
    if not -1.0 <= stick <= 1.0:
        return math.nan
    return stick * (high if stick > 0 else -low)
