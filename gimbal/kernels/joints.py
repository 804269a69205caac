"""Attitude of the camera in the base from the joint angles, for any kinematic order."""

from __future__ import annotations

from gimbal.kernels.build import kernel
from gimbal.kernels.quat import q_axis, q_mul


@kernel
def q_from_joints(order, angle):
    """q_BC of the three-joint chain.

    Args:
        order: (3,) axis indices, outer (base) to inner (camera).
        angle: (3,) joint angles, rad, by axis index.
    """
    q0 = q_axis(order[0], angle[order[0]])
    q1 = q_axis(order[1], angle[order[1]])
    q2 = q_axis(order[2], angle[order[2]])
    return q_mul(q_mul(q0, q1), q2)
