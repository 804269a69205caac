"""The running rig as a MAVLink gimbal: ``python -m gimbal.telemetry.publishers.mavlink --rig NAME --endpoint E``.

A process of its own. What it tells comes from the TICK ring, what it is told goes to the daemon by its control socket,
as any other client's commands do. It may die without the picture moving: a rate it asked for expires in the loop.
"""

from __future__ import annotations

import argparse
import math
import re
import signal
import sys
import time
from collections.abc import Callable, Sequence
from typing import Any

from firmware_bridge.angles import Quat, euler_of, multiply, quat_of, rotate
from firmware_bridge.errors import PortError
from firmware_bridge.mavlink_gimbal import MavlinkGimbal
from firmware_bridge.mavlink_records import GimbalFacts, GimbalView, Request
from firmware_bridge.transport import SerialTransport, Transport, UdpTransport
from gimbal.ctl import MAX_RATE_DEG_S, Client
from gimbal.daemon import instance
from gimbal.errors import GimbalError, UsageError
from gimbal.records import Arm, Mode
from gimbal.telemetry.ring import RingReader
from gimbal.telemetry.shm import SharedMemoryError
from gimbal.units import DEG

FAR_M = 1e6  # a direction is asked for as a place this far away
FOLLOW_S = 0.1  # a yaw against the carrier's heading is asked for anew this often
CYCLE_S = 0.005
_EARTH_M = 6378137.0

_MOTOR, _COMMS = 32, 128  # GIMBAL_DEVICE_ERROR_FLAGS


def view_of(row: Any, origin: tuple[float, float, float] | None) -> GimbalView:
    """What one TICK row measured. ``origin``: latitude, longitude deg and height m of N's zero, where known."""
    nav, health = row["nav"], row["health"]
    w, x, y, z = nav["q_NC_est"].tolist()
    rate_x, rate_y, rate_z = nav["omega_NC_C_est"].tolist()
    q_NB = nav["q_NB_est"].tolist()
    yaw_rate = rotate(q_NB, nav["omega_NB_B_est"].tolist())[2]
    failure = 0
    if row["sense"]["motor_fault"].any():
        failure |= _MOTOR
    if row["sense"]["link_lost"]:
        failure |= _COMMS
    place = None
    if origin is not None:
        north, east, down = nav["pos_N_est"].tolist()
        place = (
            origin[0] + math.degrees(north / _EARTH_M),
            origin[1] + math.degrees(east / (_EARTH_M * math.cos(math.radians(origin[0])))),
            origin[2] - down,
        )
    return GimbalView(
        int(row["t_ns"]), (w, x, y, z), (rate_x, rate_y, rate_z), euler_of(q_NB)[2], yaw_rate,
        bool(nav["heading_valid"]), int(health["arm"]) == Arm.ARMED, failure, place)  # fmt: skip


def level_rates(q_NC: Sequence[float], rate_C: Sequence[float]) -> tuple[float, float, float]:
    """What the loop's mode rate takes: it keeps the horizon by itself, so roll is the bank's own rate, without the part
    that a turn about the vertical has along a camera that looks up or down."""
    x, y, z = rate_C
    roll, pitch, _ = euler_of(q_NC)
    turn = (y * math.sin(roll) + z * math.cos(roll)) / max(math.cos(pitch), 0.05)
    return x + turn * math.sin(pitch), y, z


class Carrier:
    """Requests of the MAVLink side carried to the daemon. ``send`` takes a request of the control socket."""

    def __init__(self, send: Callable[[dict[str, Any]], Any]) -> None:
        self._send = send
        self._follow: Request | None = None
        self._follow_s = 0.0
        self._mode = Mode.OFF

    def carry_out(self, request: Request, row: Any) -> None:
        """Do one request; ``row`` is the newest TICK row."""
        self._follow = request if request.verb == "attitude" and request.yaw_frame == "vehicle" else None
        self._follow_s = time.monotonic()
        if request.verb == "rate":
            rates = level_rates(row["nav"]["q_NC_est"].tolist(), request.rate_C)
            degrees = [max(-MAX_RATE_DEG_S, min(MAX_RATE_DEG_S, w / DEG)) for w in rates]
            if self._mode != Mode.RATE:  # else the loop takes it for a stick: over for a while, and not below its least
                self._mode = Mode.RATE
                self._send({"verb": "mode", "mode": "rate"})
            self._send({"verb": "rate", "rate_deg_s": degrees})
        elif request.verb == "attitude":
            self._look_along(self._towards(request, row), row)
        elif request.verb == "point":
            self._look_at([a + b for a, b in zip(row["nav"]["pos_N_est"].tolist(), request.to_N)])
        else:
            self._mode = Mode.HOME if request.verb == "neutral" else Mode.STOW
            self._send({"verb": "mode", "mode": self._mode.name.lower()})

    def keep_following(self, row: Any) -> None:
        """A yaw against the carrier's heading turns with it."""
        if self._follow is not None and time.monotonic() - self._follow_s >= FOLLOW_S:
            self._follow_s = time.monotonic()
            self._look_along(self._towards(self._follow, row), row)

    @staticmethod
    def _towards(request: Request, row: Any) -> Quat:
        if request.yaw_frame == "earth":
            return request.q
        heading = euler_of(row["nav"]["q_NB_est"].tolist())[2]
        return multiply(quat_of((0.0, 0.0, heading)), request.q)

    def _look_along(self, q_NC: Quat, row: Any) -> None:
        """The loop knows places, so a direction becomes one far away; the horizon stays level, whatever the roll."""
        boresight = rotate(q_NC, (1.0, 0.0, 0.0))
        self._look_at([p + FAR_M * b for p, b in zip(row["nav"]["pos_N_est"].tolist(), boresight)])

    def _look_at(self, place_N: Sequence[float]) -> None:
        self._send({"verb": "point", "point_N_m": list(place_N)})
        if self._mode != Mode.POINT:
            self._mode = Mode.POINT
            self._send({"verb": "mode", "mode": "point"})


def open_endpoint(text: str) -> Transport:
    """udpin:HOST:PORT waits for a peer, udpout:HOST:PORT speaks first, serial:PATH:BAUD.

    Raises:
        UsageError: another form. PortError: the port is absent, busy or not permitted.
    """
    kind, _, rest = text.partition(":")
    where, _, number = rest.rpartition(":")
    if kind not in ("udpin", "udpout", "serial") or not where or not re.fullmatch(r"\d{1,8}", number):
        raise UsageError(
            f"--endpoint {text!r} is no endpoint: write udpin:127.0.0.1:14550 to wait for a ground station, "
            "udpout:HOST:PORT to speak to one, or serial:/dev/serial/by-id/NAME:BAUD."
        )
    if kind == "serial":
        return SerialTransport(where, int(number))
    if not 0 < int(number) < 65536:
        raise UsageError(f"--endpoint {text!r}: port {number} is outside 1 to 65535.")
    address = (where, int(number))
    return UdpTransport(address) if kind == "udpin" else UdpTransport(("0.0.0.0", 0), address)


class Publisher:
    """Ring to MAVLink, MAVLink to the control socket."""

    def __init__(self, rig: str, transport: Transport, machine: MavlinkGimbal,
                 origin: tuple[float, float, float] | None) -> None:  # fmt: skip
        """Raises GimbalError where no daemon runs this rig."""
        self.rig, self.transport, self.machine, self.origin = rig, transport, machine, origin
        path = instance.find_socket(rig)
        self._path = path
        self._client = Client(path)
        self._carrier = Carrier(self._send)
        self.refused = 0
        try:
            self._ring = RingReader(instance.segment_of_socket(path, "tick"))
        except SharedMemoryError as error:
            raise GimbalError(str(error)) from None

    def _send(self, request: dict[str, Any]) -> None:
        answer = self._client.request(request)
        if not answer["ok"]:
            self.refused += 1
            print(f"refused: {answer['reason']}", file=sys.stderr, flush=True)

    def cycle(self) -> bool:
        """One round; False when the daemon has ended."""
        self.transport.wait(CYCLE_S)
        now = time.monotonic_ns()
        latest = self._ring.latest()
        row = None if latest is None else latest[0]
        view = None if row is None else view_of(row, self.origin)
        while data := self.transport.read():
            self.machine.feed(data, now, view)
        self.machine.service(now, view)
        while self.machine.out:
            self.transport.write(self.machine.out.popleft())
        # Of several rates that came at once only the newest counts.
        while self.machine.requests:
            request = self.machine.requests.popleft()
            overtaken = request.verb == "rate" and self.machine.requests and self.machine.requests[0].verb == "rate"
            if row is not None and not overtaken:
                self._carrier.carry_out(request, row)
        if row is not None:
            self._carrier.keep_following(row)
        if self.transport.lost:
            self.transport.reopen()
        return not self._ring.closed()

    def close(self) -> None:
        self._client.close()
        self.transport.close()


def facts_of(rig: str) -> GimbalFacts:
    """Limits from the rig's file, found by its name; where there is none, wide ones."""
    from gimbal.config.load import load_rig

    try:
        config = load_rig(rig).config
    except GimbalError:
        return GimbalFacts(model=rig[:32])
    joints = config.joints
    yaw = (joints.yaw.min_deg * DEG, joints.yaw.max_deg * DEG)
    return GimbalFacts(
        model=config.name[:32],
        pitch_limits=(max(-90.0, joints.pitch.min_deg) * DEG, min(90.0, joints.pitch.max_deg) * DEG),
        roll_limits=(joints.roll.min_deg * DEG, joints.roll.max_deg * DEG), yaw_limits=yaw,
        infinite_yaw=joints.yaw.continuous, max_rate_rad_s=config.limits.max_rate_deg_s * DEG)  # fmt: skip


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m gimbal.telemetry.publishers.mavlink",
        description="Shows the running rig as a MAVLink gimbal to an autopilot, a ground station or MAVSDK.",
        epilog="example: python -m gimbal.telemetry.publishers.mavlink --rig torque --endpoint udpin:127.0.0.1:14550",
    )
    parser.add_argument("--rig", required=True, help="name of the rig whose daemon runs")
    parser.add_argument("--endpoint", required=True, help="udpin:HOST:PORT, udpout:HOST:PORT or serial:PATH:BAUD")
    parser.add_argument("--system", type=int, default=1, help="MAVLink system, the vehicle's (1)")
    parser.add_argument("--component", type=int, default=154, help="MAVLink component of the gimbal (154)")
    parser.add_argument("--role", choices=("both", "device"), default="both",
                        help="manager and device, or a device of the autopilot's manager")  # fmt: skip
    parser.add_argument("--status-hz", type=float, default=20.0, help="attitude messages a second, 10 to 50 (20)")
    parser.add_argument("--origin", help="LAT,LON,HEIGHT of the rig's own origin; left out: places are looked at from "
                                         "where the autopilot says the vehicle is")  # fmt: skip
    parser.add_argument("--seconds", type=float, default=math.inf, help="end after this long")
    return parser


def _origin(text: str | None) -> tuple[float, float, float] | None:
    if text is None:
        return None
    try:
        lat, lon, height = (float(word) for word in text.split(","))
    except ValueError:
        raise UsageError(f"--origin {text!r} must be LAT,LON,HEIGHT, such as 47.05,8.31,440.") from None
    return lat, lon, height


def main(arguments: Sequence[str] | None = None) -> int:
    args = _parser().parse_args(arguments)
    if not 10.0 <= args.status_hz <= 50.0 or not 1 <= args.system <= 255 or not 1 <= args.component <= 255:
        print("--status-hz must lie within 10 to 50, --system and --component within 1 to 255.", file=sys.stderr)
        return 2
    ended: list[int] = []
    for name in (signal.SIGINT, signal.SIGTERM):
        signal.signal(name, lambda number, frame: ended.append(number))
    try:
        origin, transport = _origin(args.origin), open_endpoint(args.endpoint)
        machine = MavlinkGimbal(args.system, args.component, args.role, facts=facts_of(args.rig),
                                status_hz=args.status_hz)  # fmt: skip
        publisher = Publisher(args.rig, transport, machine, origin)
    except (GimbalError, PortError) as error:
        print(error, file=sys.stderr)
        return 2
    print(f"MAVLink gimbal {args.system}/{args.component} on {args.endpoint}", flush=True)
    end = time.monotonic() + args.seconds
    try:
        while not ended and time.monotonic() < end:
            if not publisher.cycle():
                print("the daemon has ended", file=sys.stderr)
                return 1
    except GimbalError as error:
        print(error, file=sys.stderr)
        return 1
    finally:
        publisher.close()
    return 0


if __name__ == "__main__":
    sys.exit(main())
