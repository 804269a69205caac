"""The base of every emulator: bytes in, time in, bytes out, nothing else."""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping
from typing import Any

from firmware_bridge.emulators.physics import AxisDrive

NEVER = 1 << 62


class Emulator:
    """A device on its line.

    ``physics`` is a list of AxisPhysics in the order of the ids in ``options`` (motors), an ImuPhysics or a FixPhysics.
    ``options`` are the driver's of the same device (what the rig file says); an emulator reads what concerns it.
    ``out`` holds (t_ns, bytes) that the device has begun to send; the line paces them.
    """

    def __init__(self, physics: Any, options: Mapping[str, object] | None = None) -> None:
        self.physics = physics
        self.options = dict(options or {})
        self.out: deque[tuple[int, bytes]] = deque()

    def feed(self, data: bytes, now_ns: int) -> None:
        """Bytes that have arrived at the device at now_ns."""
        raise NotImplementedError

    def next_ns(self) -> int:
        """When the device next does something of its own accord; NEVER when it only answers."""
        return NEVER

    def service(self, now_ns: int) -> None:
        """Do what falls due at now_ns, which is the time next_ns() gave."""

    def power_up(self, now_ns: int) -> None:
        """Power has just come on, for the first time or again: settings are the stored ones."""

    def power_down(self, now_ns: int) -> None:
        """Power or the cable is gone; a motor controller's watchdog is still alive if it has power of its own."""

    def reboot(self, now_ns: int) -> None:
        """Power goes and comes, or a brown-out: power stages are off, what was not stored is lost."""
        self.power_down(now_ns)
        self.power_up(now_ns)
        for axis in self.physics if isinstance(self.physics, list) else ():
            axis.set_command(AxisDrive(0), now_ns)

    def send(self, data: bytes, t_ns: int) -> None:
        self.out.append((t_ns, data))


def axis_ids(options: Mapping[str, object]) -> list[int]:
    """roll_id, pitch_id, yaw_id, those given."""
    return [int(str(options[key])) for key in ("roll_id", "pitch_id", "yaw_id") if options.get(key) is not None]
