"""Winding temperature of each motor from the torque it is asked for, and less torque before it gets too hot.

Two nodes, winding and case, heated by I²R: the model of the motor's data sheet (thermal resistances and capacities in
the rig's config). A controller that reports its temperature corrects the winding slowly; without one the model stands.
"""

from __future__ import annotations

import numpy as np

from gimbal.faults import Code
from gimbal.kernels.build import kernel

THERMAL_PARAMS = np.dtype(
    [
        ("heat_W_Nm2", "f8"),  # R / kt²
        ("winding_J_K", "f8"),
        ("winding_case_K_W", "f8"),
        ("case_J_K", "f8"),
        ("case_air_K_W", "f8"),
        ("air_degC", "f8"),
        ("limit_degC", "f8"),
        ("band_K", "f8"),  # torque fades to the least over this many kelvin below the limit
        ("least", "f8"),  # share of the greatest torque whose heat the motor gets rid of for ever
        ("follow_1_s", "f8"),  # of the reported temperature
    ],
    align=True,
)
THERMAL_STATE = np.dtype(
    [("winding_degC", "f8", 3), ("case_degC", "f8", 3), ("share", "f8", 3), ("started", "u1")], align=True
)


@kernel
def derate(p, s, sense, torque, dt_s):
    """One tick: heat by its ``torque`` (3,), N m; fill ``share`` for the next tick. Returns limit bits."""
    bits = 0
    for a in range(3):
        if not s["started"]:
            s["winding_degC"][a] = p["air_degC"]
            s["case_degC"][a] = p["air_degC"]
        winding, case = s["winding_degC"][a], s["case_degC"][a]
        reported = sense["motor_temp_degC"][a]
        heat = p["heat_W_Nm2"] * torque[a] * torque[a]
        if not heat < 1e6:
            heat = 0.0  # a torque that is no number never went out; the model must outlive it
        if sense["joint_valid"][a] and reported != 0.0 and abs(reported) < 500.0:
            winding += p["follow_1_s"] * dt_s * (reported - winding)
        flow = (winding - case) / p["winding_case_K_W"]
        winding += dt_s * (heat - flow) / p["winding_J_K"]
        case += dt_s * (flow - (case - p["air_degC"]) / p["case_air_K_W"]) / p["case_J_K"]
        s["winding_degC"][a] = winding
        s["case_degC"][a] = case
        room = (p["limit_degC"] - winding) / p["band_K"]
        s["share"][a] = min(max(room, p["least"]), 1.0)
        if s["share"][a] < 1.0:
            bits |= 1 << Code.MOTOR_HOT
    s["started"] = 1
    return bits
