"""How the contract's bench is set up for a motor driver that differs from three torque-mode axes at 1 kHz.

axes: how many on one line. period_ms: of a cycle, after the line's budget. options: of driver and emulator. fault: what
the driver reports for a device fault of code 38, where the device has no codes. recover_ms: how long the device takes
to be itself again after a fault.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

IDS = {"roll_id": 1, "pitch_id": 2, "yaw_id": 3}


def _moteus_set_up(emulator: Any, axis: int, options: Mapping[str, Any]) -> bool:
    """Watchdog and limit travel with each command."""
    return math.isclose(list(emulator.servos.values())[axis].command[0x27], options["watchdog_ms"] * 1e-3, rel_tol=0.01)


def _odrive_set_up(emulator: Any, axis: int, options: Mapping[str, Any]) -> bool:
    device = emulator.axes[options["roll_id"]]
    on = device.watchdog_on and math.isclose(device.watchdog_timeout_s, options["watchdog_ms"] * 1e-3, rel_tol=0.01)
    return on and device.input_mode == 1


def _vesc_set_up(emulator: Any, axis: int, options: Mapping[str, Any]) -> bool:
    return list(emulator.motors.values())[axis].timeout_ms == options["watchdog_ms"]


def _dynamixel_set_up(emulator: Any, axis: int, options: Mapping[str, Any]) -> bool:
    """Bus watchdog, and the operating mode of torque: current."""
    servo = list(emulator.servos.values())[axis]
    return servo.get(98, 1) == int(options["watchdog_ms"] / 20) and servo.get(11, 1) == 0


def _simplefoc_set_up(emulator: Any, axis: int, options: Mapping[str, Any]) -> bool:
    """There is no watchdog; its current limit and its kind of torque."""
    motor = list(emulator.motors.values())[axis]
    return motor.limits["C"] == options["max_current_A"] and motor.torque_type == 2


@dataclass(frozen=True)
class Setup:
    axes: int = 3
    period_ms: float = 1.0
    options: dict[str, object] = field(default_factory=lambda: dict(IDS))
    fault: int = 38
    recover_ms: int = 0
    set_up: Callable[[Any, int, Mapping[str, Any]], bool] = _moteus_set_up


KT: dict[str, object] = {"torque_constant_Nm_A": 0.2}
SETUPS = {
    "odrive": Setup(1, 2.0, {"roll_id": 0, **KT}, set_up=_odrive_set_up),
    "vesc": Setup(3, 2.0, {**IDS, **KT, "pole_pairs": 7, "can_baud": 1000000}, recover_ms=300, set_up=_vesc_set_up),
    "dynamixel": Setup(3, 1.0, {**IDS, **KT}, recover_ms=400, set_up=_dynamixel_set_up),
    "simplefoc": Setup(
        1,
        10.0,
        {"roll_id": 0, **KT, "max_current_A": 10.0, "accept_no_watchdog": True},
        0x10001,
        set_up=_simplefoc_set_up,
    ),
}


def setup_of(name: str) -> Setup:
    return SETUPS.get(name, Setup())
