"""How the contract's bench is set up for a motor driver that differs from three torque-mode axes at 1 kHz.

axes: how many on one line. period_ms: of a cycle, after the line's budget. options: of driver and emulator. fault: what
the driver reports for a device fault of code 38, where the device has no codes. recover_ms: how long the device takes
to be itself again after a fault.
"""

from __future__ import annotations

from dataclasses import dataclass, field

IDS = {"roll_id": 1, "pitch_id": 2, "yaw_id": 3}


@dataclass(frozen=True)
class Setup:
    axes: int = 3
    period_ms: float = 1.0
    options: dict[str, object] = field(default_factory=lambda: dict(IDS))
    fault: int = 38
    recover_ms: int = 0


KT: dict[str, object] = {"torque_constant_Nm_A": 0.2}
SETUPS = {
    "odrive": Setup(1, 2.0, {"roll_id": 0, **KT}),
    "vesc": Setup(3, 2.0, {**IDS, **KT, "pole_pairs": 7, "can_baud": 1000000}, recover_ms=300),
    "dynamixel": Setup(3, 1.0, {**IDS, **KT}, recover_ms=400),
    "simplefoc": Setup(1, 10.0, {"roll_id": 0, **KT, "max_current_A": 10.0, "accept_no_watchdog": True}, 0x10001),
}


def setup_of(name: str) -> Setup:
    return SETUPS.get(name, Setup())
