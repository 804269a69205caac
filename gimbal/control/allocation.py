"""From a wanted camera acceleration to joint torques: feedback through notches, known causes fed forward.

Feedback torque is M J^-1 alpha; each joint's flexible mode sits in its own joint, so the notches are per joint.
Feed-forward is computed torque: what the chain needs for the wanted motion on the moving base under the measured
specific force, plus friction and cable. It costs no stability margin, since nothing of it depends on the error.
"""

from __future__ import annotations

import numpy as np

from gimbal.control.friction import FRICTION_PARAMS, FRICTION_STATE, friction_torque
from gimbal.control.joint_kinematics import (
    CHAIN_PARAMS,
    CHAIN_STATE,
    bias_torque,
    joint_acceleration,
    mass_matrix,
    place_chain,
)
from gimbal.kernels.build import kernel
from gimbal.kernels.filters import biquad
from gimbal.kernels.joints import q_from_joints
from gimbal.kernels.quat import load3, q_rotate, sub3

NOTCHES = 4  # second-order sections per joint

ALLOCATION_PARAMS = np.dtype(
    [
        ("chain", CHAIN_PARAMS),
        ("friction", FRICTION_PARAMS),
        ("sections", "f8", (3, NOTCHES, 5)),  # per joint, by axis index
        ("base_lp", "f8", 5),
        ("singularity_cos", "f8"),
        ("with_inertia", "u1"),
        ("with_imbalance", "u1"),
        ("with_los", "u1"),
    ],
    align=True,
)
ALLOCATION_STATE = np.dtype(
    [
        ("chain", CHAIN_STATE),
        ("friction", FRICTION_STATE),
        ("sections", "f8", (3, NOTCHES, 2)),
        ("base_lp", "f8", (3, 2)),
        ("base_rate", "f8", 3),
        ("base_alpha", "f8", 3),
        ("started", "u1"),
        ("joint_accel", "f8", 3),  # by place, scratch
        ("feedback", "f8", 3),  # N m, by axis index, after the notches
        ("feedforward", "f8", 3),
        ("dynamics", "f8", 3),  # the part of feedforward without friction and cable
    ],
    align=True,
)


@kernel
def allocation_reset(s):
    """Clear the notches, so that arming starts from zero torque."""
    for a in range(3):
        for n in range(NOTCHES):
            s["sections"][a, n, 0] = 0.0
            s["sections"][a, n, 1] = 0.0


@kernel
def model_chain(p, s, nav, dt_s):
    """Kinematics and mass matrix at the estimated joint angles; filtered base acceleration."""
    place_chain(p["chain"], s["chain"], nav["joint_angle_est"])
    mass_matrix(p["chain"], s["chain"])
    for k in range(3):
        if not s["started"]:
            s["base_rate"][k] = nav["omega_NB_B_est"][k]
        raw = (nav["omega_NB_B_est"][k] - s["base_rate"][k]) / dt_s
        s["base_rate"][k] = nav["omega_NB_B_est"][k]
        s["base_alpha"][k] = biquad(p["base_lp"], s["base_lp"][k], raw)
    s["started"] = 1


@kernel
def allocate(p, s, nav, demand_C, accel_sp_C, dt_s):
    """Joint torques, by axis index, into ``feedback`` and ``feedforward``.

    Args:
        demand_C: feedback acceleration of the camera, rad/s², camera axes.
        accel_sp_C: acceleration of the setpoint, rad/s², camera axes.
    """
    chain = s["chain"]
    order = p["chain"]["order"]
    q_BC = q_from_joints(order, nav["joint_angle_est"])
    boresight_B = q_rotate(q_BC, (1.0, 0.0, 0.0))
    M = chain["M"]
    joint_acceleration(chain, q_rotate(q_BC, demand_C), boresight_B, p["singularity_cos"], s["joint_accel"])
    for k in range(3):
        a = order[k]
        x = M[k, 0] * s["joint_accel"][0] + M[k, 1] * s["joint_accel"][1] + M[k, 2] * s["joint_accel"][2]
        for n in range(NOTCHES):
            x = biquad(p["sections"][a, n], s["sections"][a, n], x)
        s["feedback"][a] = x

    force_B = q_rotate(q_BC, load3(nav["accel_C_meas"]))
    bias_torque(
        p["chain"],
        chain,
        nav["joint_rate_est"],
        load3(nav["omega_NB_B_est"]),
        load3(s["base_alpha"]),
        force_B,
        p["with_inertia"],
        p["with_imbalance"],
    )
    wanted = (0.0, 0.0, 0.0)
    if p["with_los"]:
        wanted = q_rotate(q_BC, accel_sp_C)
    if p["with_inertia"]:
        wanted = sub3(wanted, load3(chain["alpha_0_B"]))
    joint_acceleration(chain, wanted, boresight_B, p["singularity_cos"], s["joint_accel"])
    for k in range(3):
        a = order[k]
        x = M[k, 0] * s["joint_accel"][0] + M[k, 1] * s["joint_accel"][1] + M[k, 2] * s["joint_accel"][2]
        s["dynamics"][a] = x + chain["bias"][k]
        s["feedforward"][a] = s["dynamics"][a] + friction_torque(
            p["friction"], s["friction"], a, nav["joint_rate_est"][a], nav["joint_angle_est"][a], dt_s
        )
