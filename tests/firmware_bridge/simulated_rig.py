"""A simulated gimbal behind the MAVLink face: what the daemon does with requests and measurements, in a few lines."""

from __future__ import annotations

import math

from firmware_bridge.angles import euler_of, euler_rates, quat_of
from firmware_bridge.emulators.gimbal_physics import ANGLE, SPEED, AngleCommand, FreeGimbal
from firmware_bridge.mavlink_gimbal import MavlinkGimbal
from firmware_bridge.mavlink_records import GimbalView, Request

HERE = (47.0, 8.0, 480.0)


class SimulatedRig:
    """The carrier's heading turns at ``turning`` rad/s; ``truth`` is the camera's attitude."""

    def __init__(self, heading: float = 0.0, turning: float = 0.0, **machine) -> None:
        self.gimbal = FreeGimbal()
        self.machine = MavlinkGimbal(**machine)
        self.heading0, self.turning, self.start_ns = heading, turning, None
        self.done: list[Request] = []
        self._follow: Request | None = None
        self.place: tuple[float, float, float] | None = HERE

    def heading(self, now_ns: int) -> float:
        self.start_ns = now_ns if self.start_ns is None else self.start_ns
        return self.heading0 + self.turning * (now_ns - self.start_ns) * 1e-9

    def truth(self, now_ns: int) -> tuple[float, float, float]:
        return self.gimbal.state(now_ns).euler_rad

    def view(self, now_ns: int) -> GimbalView:
        state = self.gimbal.state(now_ns)
        return GimbalView(now_ns, quat_of(state.euler_rad), state.rate_C, self.heading(now_ns), self.turning,
                          place=self.place)  # fmt: skip

    def step(self, now_ns: int, data: bytes = b"") -> list[bytes]:
        """Bytes in, time on, requests carried out; the frames that go out."""
        self.machine.feed(data, now_ns, self.view(now_ns))
        self.machine.service(now_ns, self.view(now_ns))
        while self.machine.requests:
            request = self.machine.requests.popleft()
            self.done.append(request)
            self._follow = None
            self._carry_out(request, now_ns)
        if self._follow is not None:
            self._carry_out(self._follow, now_ns)
        out = list(self.machine.out)
        self.machine.out.clear()
        return out

    def _carry_out(self, request: Request, now_ns: int) -> None:
        if request.verb == "rate":
            rates = euler_rates(self.truth(now_ns), request.rate_C)
            return self.gimbal.drive(tuple(AngleCommand(SPEED, w) for w in rates), now_ns)
        if request.verb == "point":
            north, east, down = request.to_N
            angles = (0.0, math.atan2(-down, math.hypot(north, east)), math.atan2(east, north))
        elif request.verb == "attitude":
            roll, pitch, yaw = euler_of(request.q)
            if request.yaw_frame == "vehicle":
                yaw += self.heading(now_ns)
                self._follow = request
            angles = (roll, pitch, yaw)
        else:
            angles = (0.0, 0.0 if request.verb == "neutral" else -1.0, self.heading(now_ns))
        self.gimbal.drive(tuple(AngleCommand(ANGLE, 0.0, a) for a in angles), now_ns)
