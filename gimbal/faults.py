"""Every limit and fault the loop can report. Limits (< 100) reduce and fly on; faults (>= 100) latch the safe state.

The tick writes numbers; people read ``TEXT``: what happened, the likely cause, the next step, the config key.
"""

from __future__ import annotations

import enum
from typing import Any, NamedTuple


class Code(enum.IntEnum):
    NONE = 0
    # limits: HEALTH.limits has bit `code` set while it acts
    TORQUE_LIMIT = 1
    RATE_LIMIT = 2
    END_STOP = 3
    SINGULARITY = 4
    IMU_PREDICTED = 5
    IMU_CLIPPED = 6
    HEADING_UNKNOWN = 7
    TARGET_COASTING = 8
    TARGET_LOST = 9
    COMMAND_EXPIRED = 10
    ESTIMATOR_FALLBACK = 11
    GNSS_LOST = 12
    MOTOR_HOT = 13
    IMU_HOLD = 14
    ARM_RAMP = 15
    BEACON_SILENT = 16
    CAMERA_BLIND = 17
    STICK = 18
    NO_MOVE = 19
    SUPPLY_LOW = 20
    LOOP_OVERRUN = 21
    FEEDFORWARD_OFF = 22
    # faults
    OPERATOR_STOP = 100
    IMU_SILENT = 101
    IMU_FROZEN = 102
    MOTOR_SILENT = 103
    MOTOR_FAULT = 104
    ESTIMATOR_FAILED = 105
    RUNAWAY = 106
    IMU_LINK_LOST = 107
    MOTOR_LINK_LOST = 108
    OVERSPEED = 109
    WIRED_STOP = 110
    MOTOR_OVERHEAT = 111
    CONTROL_FAILED = 112
    IMU_LATE = 113
    MOTOR_FROZEN = 114
    LOOP_STALLED = 115
    FOLLOWING_ERROR = 116
    IMU_DISAGREES = 117
    MOTOR_LATE = 118


class Blocker(enum.IntEnum):
    """Why the gimbal won't arm: HEALTH.blockers has bit `code` set."""

    SELF_TEST = 0
    IMU = 1
    JOINTS = 2
    ESTIMATOR = 3
    LATCHED = 4
    WIRED_STOP = 5
    MOVING = 6
    FAULT = 7


class Text(NamedTuple):
    what: str
    cause: str
    next_step: str
    key: str = ""


TEXT: dict[int, Text] = {
    Code.NONE: Text("no fault", "", ""),
    Code.TORQUE_LIMIT: Text(
        "A motor is at its torque limit.",
        "Payload out of balance, wind, or a hard manoeuvre.",
        "Balance the camera; see max_torque_Nm.",
        "limits.max_torque_Nm",
    ),
    Code.RATE_LIMIT: Text(
        "The setpoint is at its rate limit.",
        "The target or the operator asks for more.",
        "Raise max_rate_deg_s if the motors allow it.",
        "limits.max_rate_deg_s",
    ),
    Code.END_STOP: Text(
        "A joint is in its soft end-stop.",
        "The carrier turned past the joint's travel.",
        "Turn the carrier, or recentre with mode stow.",
        "joints.*.soft_stop_deg",
    ),
    Code.SINGULARITY: Text(
        "The roll joint is near 90 degrees: one direction of the camera can't be moved.",
        "Steep bank with a level horizon.",
        "Wait, or look along the carrier.",
        "limits.singularity_cos",
    ),
    Code.IMU_PREDICTED: Text(
        "IMU samples are late: the attitude is predicted.",
        "USB stall or a slow line.",
        "Check the cable and the latency timer.",
        "safety.imu_predict_ms",
    ),
    Code.IMU_CLIPPED: Text(
        "The IMU is at the end of its range.",
        "A shock, or a loose mount.",
        "Check the mount.",
        "imu.gyro_range_deg_s",
    ),
    Code.HEADING_UNKNOWN: Text(
        "North isn't known yet: tracking by position waits.",
        "No GNSS velocity, or no manoeuvre so far.",
        "Move off with a clear sky, or frame by hand.",
        "estimation.profile",
    ),
    Code.TARGET_COASTING: Text(
        "No fix of the target: its path is predicted.", "Radio gap.", "Check the beacon link.", "targeting.coast_s"
    ),
    Code.TARGET_LOST: Text(
        "The target is lost: the picture is held.",
        "No fix for too long.",
        "Frame by hand (mode rate) or wait for the beacon.",
        "targeting.lost_s",
    ),
    Code.COMMAND_EXPIRED: Text(
        "The operator's rate expired: the camera is held.",
        "The stick or its link went quiet.",
        "Send again.",
        "safety.rate_command_expiry_ms",
    ),
    Code.ESTIMATOR_FALLBACK: Text(
        "The attitude filter was judged unfit: a simpler one serves.",
        "Inconsistent measurements.",
        "Land and look at the innovations in the log.",
    ),
    Code.GNSS_LOST: Text(
        "No GNSS velocity: the horizon may drift in turns.", "Antenna or receiver.", "Check the receiver."
    ),
    Code.MOTOR_HOT: Text(
        "A motor is warm: its torque is reduced.", "Long load.", "Balance, or rest.", "thermal.limit_degC"
    ),
    Code.IMU_HOLD: Text(
        "No IMU sample: the joints are held on their encoders.",
        "The IMU stalled.",
        "Check its cable.",
        "safety.imu_hold_ms",
    ),
    Code.BEACON_SILENT: Text(
        "The beacon is silent: the camera alone holds the subject.", "Radio range, antenna, battery.", "Stay in view."
    ),
    Code.CAMERA_BLIND: Text(
        "The camera doesn't see the subject: the beacon alone leads.",
        "Out of frame, hidden, or the vision process ended.",
        "Look at its confidence; restart `gimbal vision`.",
    ),
    Code.STICK: Text("The stick has taken over.", "An operator.", "Release it: the mode before goes on by itself."),
    Code.NO_MOVE: Text(
        "There is no recorded move to play.", "", "`gimbal ctl path record`, move, `gimbal ctl path stop`."
    ),
    Code.ARM_RAMP: Text("Torque is ramping up after arming.", "", "", "limits.arm_ramp_s"),
    Code.SUPPLY_LOW: Text(
        "The motors' supply is low: torque is reduced.",
        "An empty battery, or a long thin cable.",
        "Change the battery.",
        "motors.bus_V",
    ),
    Code.LOOP_OVERRUN: Text(
        "The loop lost ticks within the last second.",
        "Another process, or the host of a virtual machine.",
        "See `gimbal doctor` for rights and load.",
    ),
    Code.FEEDFORWARD_OFF: Text(
        "A feed-forward is switched off: it pushed the wrong way, or shook the structure.",
        "A sign in the rig's body, friction or cable figures, a joint's direction, or a softer structure than told.",
        "Check centre of mass, joint directions and order, and the modes; disarm and arm to try again.",
        "control.feedforward",
    ),
    Code.OPERATOR_STOP: Text("STOP was pressed.", "An operator.", "`gimbal ctl ack`, then `gimbal ctl arm`."),
    Code.IMU_SILENT: Text(
        "No IMU sample for too long.",
        "Cable, power, or the IMU's output was reconfigured.",
        "Check the cable and power, `gimbal ctl ack`, then arm.",
        "safety.imu_safe_ms",
    ),
    Code.IMU_FROZEN: Text(
        "The IMU repeats one value.", "Its sensor core hangs.", "Power-cycle the IMU, `gimbal ctl ack`, then arm."
    ),
    Code.MOTOR_SILENT: Text(
        "A motor controller stopped answering.",
        "Cable, power, id, or the bus.",
        "Check the bus, `gimbal ctl ack`, then arm.",
        "safety.motor_safe_ms",
    ),
    Code.MOTOR_FAULT: Text(
        "A motor controller reports a fault.",
        "See motor_fault in the log for the device's own code.",
        "Clear the cause, `gimbal ctl ack`, then arm.",
    ),
    Code.ESTIMATOR_FAILED: Text(
        "The attitude filter failed and no fall-back is left.",
        "Bad IMU data.",
        "Land; look at the log.",
    ),
    Code.RUNAWAY: Text(
        "The camera accelerates against what is commanded.",
        "A motor's sign, order or phase wires.",
        "Power off, check direction in [joints.*], `gimbal ctl ack`, then arm.",
        "joints.*.direction",
    ),
    Code.IMU_LINK_LOST: Text(
        "The IMU's port is gone.",
        "Unplugged.",
        "Plug it in, `gimbal ctl ack`, then arm.",
        "devices.imu.port",
    ),
    Code.MOTOR_LINK_LOST: Text(
        "The motors' port is gone.",
        "Unplugged.",
        "Plug it in, `gimbal ctl ack`, then arm.",
        "devices.motors.port",
    ),
    Code.OVERSPEED: Text(
        "A joint turns faster than allowed.",
        "Hit, slipped, or a wrong gain.",
        "Look for damage, `gimbal ctl ack`, then arm.",
        "safety.runaway_rate_deg_s",
    ),
    Code.WIRED_STOP: Text(
        "The wired stop chain is open: motor power is cut.",
        "The emergency stop was pressed.",
        "Release it, `gimbal ctl ack`, then arm.",
    ),
    Code.MOTOR_OVERHEAT: Text(
        "A motor is above its temperature limit.",
        "Long overload.",
        "Let it cool, `gimbal ctl ack`, then arm.",
        "thermal.limit_degC",
    ),
    Code.CONTROL_FAILED: Text(
        "The controller's output was no number.",
        "A defect, or input beyond all reason.",
        "Keep the log and report it; `gimbal ctl ack`, then arm.",
    ),
    Code.IMU_LATE: Text(
        "The IMU's samples come late or with gaps, again and again.",
        "Bit errors on its line, a slow adapter, or a wrong rate.",
        "Check cable, baud and latency timer (`gimbal doctor`), `gimbal ctl ack`, then arm.",
        "safety.imu_predict_ms",
    ),
    Code.MOTOR_FROZEN: Text(
        "A motor controller tells the same values again and again.",
        "Its firmware hangs.",
        "Power-cycle it, `gimbal ctl ack`, then arm.",
    ),
    Code.LOOP_STALLED: Text(
        "The control loop stood still.",
        "The process or the machine was stopped or starved.",
        "See `gimbal doctor`, `gimbal ctl ack`, then arm.",
        "safety.imu_safe_ms",
    ),
    Code.FOLLOWING_ERROR: Text(
        "The camera doesn't follow its setpoint.",
        "A motor without torque, a blocked joint, or a gyro that lies.",
        "Turn the joints by hand, `gimbal ctl ack`, then arm.",
    ),
    Code.IMU_DISAGREES: Text(
        "Gyro and encoders disagree: no carrier starts turning that fast.",
        "A gyro or an encoder that jumps, a carrier IMU mounted askew, or a blow on the mount.",
        "Check both sensors' cables and mounts, `gimbal ctl ack`, then arm.",
    ),
    Code.MOTOR_LATE: Text(
        "A motor controller's readings come late or with gaps, again and again.",
        "Its line is too slow or disturbed, or the controller is busy.",
        "Check its cable, baud and latency timer, or lower loop_rate_hz; `gimbal ctl ack`, then arm.",
        "loop_rate_hz",
    ),
}

BLOCKER_TEXT: dict[int, str] = {
    Blocker.SELF_TEST: "the self-test hasn't finished",
    Blocker.IMU: "the IMU isn't giving fresh samples",
    Blocker.JOINTS: "a joint's angle isn't arriving",
    Blocker.ESTIMATOR: "the attitude isn't known well enough yet (in flight it takes GNSS and some seconds)",
    Blocker.LATCHED: "a fault is latched: `gimbal ctl ack` first",
    Blocker.WIRED_STOP: "the wired stop chain is open",
    Blocker.MOVING: "a joint is turning too fast",
    Blocker.FAULT: "a fault holds",
}


def sentence(code: int) -> str:
    """One line for the operator: what, cause, next step."""
    text = TEXT.get(code)
    if text is None:
        return f"fault {code}: unknown to this version"
    parts = [
        text.what,
        f"Cause: {text.cause}" if text.cause else "",
        f"Next: {text.next_step}" if text.next_step else "",
    ]
    return " ".join(p for p in parts if p)


def limit_names(bits: int) -> list[str]:
    """Names of the limits set in HEALTH.limits."""
    return [c.name.lower() for c in Code if 0 < c < 64 and int(bits) >> c & 1]


def blocker_sentences(bits: int, fault_now: int = 0) -> list[str]:
    """Why it won't arm, from HEALTH.blockers; with HEALTH.fault_now also which fault holds."""
    said = {b: BLOCKER_TEXT[b] for b in Blocker if int(bits) >> b & 1}
    if Blocker.FAULT in said and fault_now:
        said[Blocker.FAULT] = f"a fault holds: {sentence(fault_now)}".rstrip(".")
    return list(said.values())


def fault_now_of(row: Any) -> int:
    """HEALTH.fault_now of a TICK row; 0 from a log that is older than the field."""
    health = row["health"]
    return int(health["fault_now"]) if "fault_now" in health.dtype.names else 0
