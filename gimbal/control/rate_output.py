"""What devices with loops of their own are told: joint rates or angles, or the camera's rate or attitude.

A motor controller that closes its own rate loop is told the joint rates that give the camera the wanted rotation while
its base moves as predicted: the base's part is measured and fed forward (motion_ahead), so it closes no loop here. A
gimbal board holds the camera against the earth itself: it is told the camera's rate, or the setpoint.
"""

from __future__ import annotations

import math

import numpy as np

from gimbal.control.joint_kinematics import joint_acceleration
from gimbal.faults import Code
from gimbal.kernels.build import kernel
from gimbal.kernels.filters import biquad
from gimbal.kernels.quat import load3, load4, q_rotate, scale3, store3, store4
from gimbal.records import JointMode

TORQUE, JOINT_RATE, JOINT_ANGLE, CAMERA_RATE, CAMERA_ANGLE = range(5)
AT_STOP = 0.035  # rad before a board's end stop, where it can't hold the camera any more,
OUTWARDS = 0.035  # rad/s: while it is asked to turn that joint outwards faster than this
LEASH = 0.35  # rad: a commanded joint angle is never further than this from the measured one

OUTPUT_PARAMS = np.dtype(
    [
        ("kind", "i4"),
        ("max_rate", "f8", 3),  # rad/s, joints
        ("max_accel", "f8", 3),  # rad/s², joints: how fast a commanded rate may change
        ("stop_min", "f8", 3),
        ("stop_max", "f8", 3),
        ("continuous", "u1", 3),
        ("feed_lp", "f8", 5),  # second-order section: base motion that is fed forward
        ("camera_rate", "f8"),  # rad/s and rad/s² about each of the camera's axes
        ("camera_accel", "f8"),
    ],
    align=True,
)
OUTPUT_STATE = np.dtype(
    [
        ("rate", "f8", 3),  # commanded, by axis index; of the camera's axes for boards
        ("angle", "f8", 3),
        ("feed_lp", "f8", (3, 2)),
        ("started", "u1"),
        ("scratch", "f8", 3),
    ],
    align=True,
)


@kernel
def output_reset(s):
    """At rest: the next command ramps up from standing still, where the joints are."""
    s["started"] = 0
    for a in range(3):
        s["rate"][a] = 0.0


@kernel
def _toward_stop(p, a, angle, want):
    """No faster outwards than can still be stopped before the end: sqrt(2 a d)."""
    if p["continuous"][a]:
        return want
    left = p["stop_max"][a] - angle if want > 0.0 else angle - p["stop_min"][a]
    most = math.sqrt(p["max_accel"][a] * max(left, 0.0))  # half of the deceleration that would do
    return min(max(want, -most), most)


@kernel
def _slew(now, want, most):
    return now + min(max(want - now, -most), most)


@kernel
def _joint_rates(p, s, chain, ahead, order, nav, control, floor, gain, dt_s):
    q_BC = load4(chain["q_B"][2])
    rate_B = q_rotate(q_BC, load3(control["rate_cmd_C"]))
    joint_acceleration(chain, rate_B, q_rotate(q_BC, (1.0, 0.0, 0.0)), floor, s["scratch"])
    bits = 0
    for k in range(3):
        a = order[k]
        feed = biquad(p["feed_lp"], s["feed_lp"][a], ahead["rate"][a])
        asked = gain * (s["scratch"][k] + feed)
        want = min(max(asked, -p["max_rate"][a]), p["max_rate"][a])
        if want != asked:
            bits |= 1 << Code.RATE_LIMIT
        free = want
        want = _toward_stop(p, a, nav["joint_angle_est"][a], free)
        if want != free:
            bits |= 1 << Code.END_STOP
        s["rate"][a] = _slew(s["rate"][a], want, p["max_accel"][a] * dt_s)
        control["saturated"][a] = 1 if abs(s["rate"][a] - asked) > 1e-9 else 0
        here = nav["joint_angle_est"][a]
        if not s["started"]:
            s["angle"][a] = here
        s["angle"][a] = min(max(s["angle"][a] + s["rate"][a] * dt_s, here - LEASH), here + LEASH)
        if not p["continuous"][a]:
            s["angle"][a] = min(max(s["angle"][a], p["stop_min"][a]), p["stop_max"][a])
    s["started"] = 1
    return bits


@kernel
def _against_stop(p, s, chain, ahead, order, nav, control, floor, gain):
    """Is a board's joint at its end stop, and would the command or the base's motion have it go further?"""
    q_BC = load4(chain["q_B"][2])
    rate_B = scale3(q_rotate(q_BC, load3(control["rate_cmd_C"])), gain)
    joint_acceleration(chain, rate_B, q_rotate(q_BC, (1.0, 0.0, 0.0)), floor, s["scratch"])
    against = False
    for k in range(3):
        a = order[k]
        if p["continuous"][a]:
            continue
        here, rate = nav["joint_angle_est"][a], s["scratch"][k] + ahead["rate"][a]
        against |= here > p["stop_max"][a] - AT_STOP and rate > OUTWARDS
        against |= here < p["stop_min"][a] + AT_STOP and rate < -OUTWARDS
    return against


@kernel
def rate_output(p, s, chain, ahead, order, nav, control, floor, gain, dt_s):
    """Commanded rates (and angles) for this tick into the state; returns limit bits.

    Args:
        chain, ahead: CHAIN_STATE placed and AHEAD_STATE filled for this tick.
        control: CONTROL with rate_cmd_C; ``saturated`` is written.
        floor: |det J| below which the boresight's roll yields.
        gain: 0 to 1, authority after arming.
    """
    if p["kind"] <= JOINT_ANGLE:
        return _joint_rates(p, s, chain, ahead, order, nav, control, floor, gain, dt_s)
    bits = 1 << Code.END_STOP if _against_stop(p, s, chain, ahead, order, nav, control, floor, gain) else 0
    for i in range(3):
        asked = gain * control["rate_cmd_C"][i]
        want = min(max(asked, -p["camera_rate"]), p["camera_rate"])
        if want != asked:
            bits |= 1 << Code.RATE_LIMIT
        s["rate"][i] = _slew(s["rate"][i], want, p["camera_accel"] * dt_s)
        control["saturated"][i] = 1 if abs(s["rate"][i] - asked) > 1e-9 else 0
    return bits


@kernel
def output_command(p, s, off, q_NC_sp, command):
    """COMMAND of an armed rig; False when a value is no number or beyond its limit: nothing of it may be sent."""
    kind = p["kind"]
    if not abs(q_NC_sp[3]) < 1.01:
        return False
    mode = JointMode.RATE if kind == JOINT_RATE or kind == CAMERA_RATE else JointMode.ANGLE
    for a in range(3):
        most = p["max_rate"][a] if kind <= JOINT_ANGLE else p["camera_rate"]
        if not (abs(s["rate"][a]) <= most * 1.001 and abs(s["angle"][a]) < 1e4 and abs(q_NC_sp[a]) < 1.01):
            return False
        command["mode"][a] = JointMode.OFF if off else mode
        command["joint_torque_cmd"][a] = 0.0
        x = 0.0 if off else s["rate"][a]
        command["joint_rate_cmd"][a] = x if kind <= JOINT_ANGLE else 0.0
        command["joint_angle_cmd"][a] = s["angle"][a] if kind == JOINT_ANGLE else 0.0
        command["camera_rate_cmd_C"][a] = x if kind > JOINT_ANGLE else 0.0
    store4(command["q_NC_cmd"], q_NC_sp if kind == CAMERA_ANGLE else (0.0, 0.0, 0.0, 0.0))
    return True


@kernel
def hold_output(p, nav, hold_angle, command):
    """No IMU for a moment: joints pulled to where they were, on their encoders; a board holds by itself."""
    for a in range(3):
        pull = min(max(5.0 * (hold_angle[a] - nav["joint_angle_est"][a]), -0.5), 0.5)
        command["joint_rate_cmd"][a] = pull if p["kind"] <= JOINT_ANGLE else 0.0
        command["joint_angle_cmd"][a] = hold_angle[a] if p["kind"] == JOINT_ANGLE else 0.0
        command["camera_rate_cmd_C"][a] = 0.0


@kernel
def tell_carrier(nav, q_NC, carrier):
    """What a board may know of its mount and of the camera (CARRIER): the estimate of this tick."""
    carrier["t_ns"] = nav["t_ns"]
    carrier["valid"] = nav["valid"]
    carrier["heading_valid"] = nav["heading_valid"]
    store4(carrier["q_NC_est"], q_NC)
    q_NB = load4(nav["q_NB_est"])
    store4(carrier["q_NB_est"], q_NB)
    store3(carrier["omega_NB_B_est"], load3(nav["omega_NB_B_est"]))
    store3(carrier["vel_N_est"], load3(nav["vel_N_est"]))
    force_N = q_rotate(q_NC, load3(nav["accel_C_meas"]))
    conj = (q_NB[0], -q_NB[1], -q_NB[2], -q_NB[3])
    store3(carrier["force_B"], q_rotate(conj, force_N))
