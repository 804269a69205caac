"""What a rig file's devices must be able to do before a loop is closed over them. Raises, before the loop only."""

from __future__ import annotations

from typing import Any

from firmware_bridge import interface
from firmware_bridge.errors import PortError
from firmware_bridge.serial_port import latency_note
from gimbal.config.schema import Rig as RigConfig
from gimbal.errors import UsageError
from gimbal.frames import AXES
from gimbal.rig.line import Line

_MODE = {
    "torque": interface.AxisMode.TORQUE,
    "rate": interface.AxisMode.RATE,
    "angle": interface.AxisMode.ANGLE,
}


def device_defaults(config: RigConfig, kind: str) -> dict[str, Any]:
    """Driver options that follow from the rest of the rig file; used where a device has them and doesn't set them."""
    if kind == "motor":
        return {"watchdog_ms": config.safety.device_watchdog_ms, "max_torque_Nm": config.limits.max_torque_Nm}
    if kind in ("gnss", "beacon"):
        fixes = getattr(config, kind)
        return {"rate_hz": round(fixes.rate_hz), "latency_ms": fixes.delay_ms}
    return {}


def check_roles(config: RigConfig, lines: list[Line]) -> None:
    """One IMU; each axis on one motor line, or one gimbal board. Raises UsageError."""
    imus = [line.name for line in lines if line.kind == "imu"]
    boards = [line.name for line in lines if line.kind == "gimbal"]
    axes = [axis for line in lines if line.kind == "motor" for axis in line.axes]
    if bool(boards) != (config.inner_loop is not None):
        raise UsageError(
            f"rig {config.name!r} can't be run: "
            + (
                f"devices.{boards[0]} closes its own loop, so the rig file needs a section [inner_loop] and [control] "
                'output = "rate" or "angle".'
                if boards
                else "[inner_loop] says that a gimbal board holds the camera, but [devices] has none. Name its driver, "
                "or take the section out."
            )
        )
    on_carrier = any(line.kind == "carrier_imu" for line in lines)
    if on_carrier != (config.carrier_imu is not None):
        raise UsageError(
            f"rig {config.name!r} can't be run: "
            + (
                "devices.carrier_imu is an IMU on the carrier, so the rig file needs a section [carrier_imu] with its "
                "figures, mount_rpy_deg and position_m."
                if on_carrier
                else "it has a section [carrier_imu], but no devices.carrier_imu. Name its driver, or take the "
                "section out."
            )
        )
    if len(imus) == 1 and (len(boards) == 1 and not axes or not boards and sorted(axes) == [0, 1, 2]):
        return
    have = ", ".join(AXES[axis] for axis in axes) or "none"
    raise UsageError(
        f"rig {config.name!r} can't be run: it needs one IMU (has {len(imus)}) and each of roll, pitch and yaw on one "
        f"motor line (has {have}), or one gimbal board in place of motors (has {len(boards)}). Correct [devices] in "
        "the rig file; sim needs none of them."
    )


def accept_drive(config: RigConfig, line: Line, rate_hz: float) -> None:
    """A motor controller or gimbal board: fast enough, of the kind of command asked for, and with a watchdog or the
    risk accepted by name. Raises RateError, OptionError."""
    can = line.driver.capabilities
    can.require_rate(rate_hz, line.driver_name)
    output = config.control.output
    if line.kind == "motor" and _MODE[output] not in can.modes:
        raise interface.OptionError(
            f"it can't be commanded in {output}, which this rig's [control] output asks for. Change that, or use "
            "another controller."
        )
    if not can.has_watchdog and line.driver_name not in config.safety.accept_no_watchdog:
        raise interface.OptionError(
            "it has no watchdog: when the host dies it keeps its last command. If a wired stop covers that, name "
            f"it in the rig file: safety.accept_no_watchdog = [{line.driver_name!r}]."
        )


def accept_line(line: Line) -> None:
    """What the stabilisation loop can't be closed over. Raises PortError, OptionError."""
    note = latency_note(line.path, getattr(line.driver.transport, "latency_ms", None))
    if note:
        raise PortError(note)
    why = line.driver.capabilities.carrier_only
    if line.kind == "imu" and why:
        raise interface.OptionError(
            f"it can't close the stabilisation loop. {why} Use another IMU as devices.imu; "
            "as devices.carrier_imu it serves."
        )
