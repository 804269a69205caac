"""The gimbal's chain in MuJoCo: free base with prescribed motion, three stages, with or without separate rotors."""

from __future__ import annotations

import mujoco
import numpy as np

from gimbal.config.schema import Rig

AXIS = {"roll": "1 0 0", "pitch": "0 1 0", "yaw": "0 0 1"}
INDEX = {"roll": 0, "pitch": 1, "yaw": 2}


def model(rig: Rig, motor_inertia: np.ndarray | None = None) -> mujoco.MjModel:
    """z is down, as in frame N. A rotor is a sphere of inertia on its own hinge beside the stage."""
    inner, close = "", ""
    for name in rig.kinematic_order:
        b = getattr(rig.body, name)
        inertia = np.array(b.inertia_kg_m2)
        origin = " ".join(map(str, b.origin_m))
        if motor_inertia is not None:
            j = motor_inertia[INDEX[name]]
            inertia = inertia - j
            inner += (
                f'<body pos="{origin}"><joint name="m_{name}" type="hinge" axis="{AXIS[name]}"/>'
                f'<inertial pos="0 0 0" mass="1e-12" diaginertia="{j} {j} {j}"/></body>'
            )
        inner += (
            f'<body name="{name}" pos="{origin}"><joint name="{name}" type="hinge" axis="{AXIS[name]}"/>'
            f'<inertial pos="{" ".join(map(str, b.com_m))}" mass="{b.mass_kg}" '
            f'diaginertia="{" ".join(map(str, inertia))}"/>'
        )
        close += "</body>"
    xml = f"""<mujoco><compiler angle="radian" boundmass="0" boundinertia="0"/>
      <option gravity="0 0 {rig.estimation.gravity_m_s2}" timestep="0.000125" integrator="Euler">
      <flag contact="disable" constraint="disable"/></option>
      <worldbody><body name="base"><freejoint/><inertial pos="0 0 0" mass="5" diaginertia="0.1 0.1 0.1"/>
      {inner}<site name="camera"/>{close}</body></worldbody>
      <sensor><accelerometer site="camera"/><gyro site="camera"/></sensor></mujoco>"""
    return mujoco.MjModel.from_xml_string(xml)


def place(m: mujoco.MjModel, d: mujoco.MjData, q_NB, omega_B, pos_N, vel_N) -> None:
    d.qpos[:3], d.qpos[3:7] = pos_N, q_NB
    d.qvel[:3], d.qvel[3:6] = vel_N, omega_B


def drive(m: mujoco.MjModel, d: mujoco.MjData, acc_N: np.ndarray, alpha_B: np.ndarray, torque: np.ndarray) -> None:
    """Set qacc and the base's wrench so that the base accelerates as told; mj_step1 must have run.

    The joints' block of M is solved with the base's acceleration given, then the base rows say the wrench.
    """
    M = np.zeros((m.nv, m.nv))
    mujoco.mj_fullM(m, d, M)
    base = np.concatenate([acc_N, alpha_B])
    qacc = np.concatenate([base, np.linalg.solve(M[6:, 6:], torque - d.qfrc_bias[6:] - M[6:, :6] @ base)])
    d.qfrc_applied[6:] = torque
    d.qfrc_applied[:6] = (M @ qacc + d.qfrc_bias)[:6]
