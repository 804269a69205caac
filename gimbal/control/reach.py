"""How much of an operator's rate the joints can make: none beyond its share of speed, none into its end stop.

Without this a stick held out carries the setpoint past an end stop or through the singularity, and the loops chase it
with every torque they have.
"""

from __future__ import annotations

import math

import numpy as np

from gimbal.control.joint_kinematics import joint_acceleration
from gimbal.faults import Code
from gimbal.kernels.build import kernel
from gimbal.kernels.joints import q_from_joints
from gimbal.kernels.quat import q_rotate

FLOOR = 0.02  # |det J| from which on the rates the singularity asks for are bounded, far beyond any joint's
COUNTS = 0.1  # share of a joint's rate that one of the camera's axes must ask for to be cut for it

REACH_PARAMS = np.dtype(
    [
        ("fastest", "f8", 3),  # rad/s, joints, by axis index
        ("decel", "f8"),  # rad/s²: how hard the way to an end stop is braked
        ("low", "f8", 3),  # rad: where the soft end stops begin, or, of a joint that is ``narrowed``, the singularity
        ("high", "f8", 3),
        ("narrowed", "u1", 3),
        ("continuous", "u1", 3),
        ("singularity_cos", "f8"),
    ],
    align=True,
)


@kernel
def _allowed(p, a, angle, rate):
    """The fastest that joint a may turn this way, rad/s, and whether its stop says so."""
    fastest = p["fastest"][a]
    if p["continuous"][a]:
        return fastest, False
    left = p["high"][a] - angle if rate > 0.0 else angle - p["low"][a]
    most = math.sqrt(2.0 * p["decel"] * max(left, 0.0))
    return min(most, fastest), most < fastest


@kernel
def reachable(p, s, order, nav, rate_C):
    """``rate_C`` less what the joints can't make: ((x, y, z), limit bits). What doesn't move that joint stays.

    Args:
        s: ALLOCATION_STATE with its chain placed (a tick ago). order: axis index by place, base to camera.
        rate_C: rad/s asked for, camera axes.
    """
    if rate_C[0] == 0.0 and rate_C[1] == 0.0 and rate_C[2] == 0.0:
        return (0.0, 0.0, 0.0), 0
    chain, joint = s["chain"], s["joint_accel"]
    q_BC = q_from_joints(order, nav["joint_angle_est"])
    boresight_B = q_rotate(q_BC, (1.0, 0.0, 0.0))
    keep_x = keep_y = keep_z = 1.0
    bits = 0
    for k in range(3):
        joint_acceleration(chain, q_rotate(q_BC, (rate_C[0], 0.0, 0.0)), boresight_B, FLOOR, joint)
        x = joint[k]
        joint_acceleration(chain, q_rotate(q_BC, (0.0, rate_C[1], 0.0)), boresight_B, FLOOR, joint)
        y = joint[k]
        joint_acceleration(chain, q_rotate(q_BC, (0.0, 0.0, rate_C[2])), boresight_B, FLOOR, joint)
        z = joint[k]
        a = order[k]
        total = x + y + z
        most, stopped = _allowed(p, a, nav["joint_angle_est"][a], total)
        if abs(total) <= most:
            continue
        share = most / abs(total)
        counts = COUNTS * abs(total)  # an axis that hardly moves this joint goes on
        sign = 1.0 if total > 0.0 else -1.0
        keep_x = min(keep_x, share) if sign * x > counts else keep_x
        keep_y = min(keep_y, share) if sign * y > counts else keep_y
        keep_z = min(keep_z, share) if sign * z > counts else keep_z
        if stopped and not p["narrowed"][a]:
            bits |= 1 << Code.END_STOP
        elif stopped or abs(chain["margin"]) < p["singularity_cos"]:
            bits |= 1 << Code.SINGULARITY
        else:
            bits |= 1 << Code.RATE_LIMIT
    return (keep_x * rate_C[0], keep_y * rate_C[1], keep_z * rate_C[2]), bits
