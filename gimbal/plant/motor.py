"""Motor side of a joint: controller, current limits and supply, friction, cable, cogging, end stops, temperature.

Friction is the LuGre model (C. Canudas de Wit, H. Olsson, K. J. Åström, P. Lischinsky, IEEE TAC 40(3), 1995, doi
10.1109/9.376053); its bristle takes an implicit Euler step, which is stable at any speed and step.
"""

from __future__ import annotations

import math

from gimbal.kernels.build import kernel
from gimbal.plant.noise import normal3

OFF, TORQUE, RATE, ANGLE, BRAKE = 0, 1, 2, 3, 4
FAULT_OVER_TEMPERATURE = 1

# A device's own loops: a rate PI and an angle P, as crossover in rad/s (assumed, a common servo tuning).
_RATE_LOOP = 2.0 * math.pi * 15.0
_RATE_INTEGRAL = 2.0 * math.pi * 2.0
_ANGLE_LOOP = 2.0 * math.pi * 2.5


@kernel
def apply_commands(p, s):
    """Take in the commands that became effective in the substep that ends now, each for its share of the substep.

    Returns the mean torque command of the substep (axis tuple).
    """
    t = s["t_ns"]
    h = p["h_ns"]
    a0, a1, a2 = s["cmd_torque"][0], s["cmd_torque"][1], s["cmd_torque"][2]
    while s["pend_head"] != s["pend_tail"]:
        i = s["pend_head"] % s["pend_ns"].size
        if s["pend_ns"][i] >= t:
            break
        share = min(float(t - s["pend_ns"][i]) / float(h), 1.0)
        a0 += (s["pend_torque"][i, 0] - s["cmd_torque"][0]) * share
        a1 += (s["pend_torque"][i, 1] - s["cmd_torque"][1]) * share
        a2 += (s["pend_torque"][i, 2] - s["cmd_torque"][2]) * share
        for k in range(3):
            if s["mode"][k] != s["pend_mode"][i, k]:
                s["rate_integral"][k] = 0.0
            s["mode"][k] = s["pend_mode"][i, k]
            s["cmd_torque"][k] = s["pend_torque"][i, k]
            s["cmd_rate"][k] = s["pend_rate"][i, k]
            s["cmd_angle"][k] = s["pend_angle"][i, k]
        s["pend_head"] += 1
    return (a0, a1, a2)


@kernel
def _device_loop(p, s, k, h):
    """Torque asked for by the device's own rate or angle loop."""
    rate_cmd = s["cmd_rate"][k]
    if s["mode"][k] == ANGLE:
        rate_cmd += _ANGLE_LOOP * (s["cmd_angle"][k] - s["motor_angle"][k])
    rate_cmd = min(max(rate_cmd, -p["max_rate"][k]), p["max_rate"][k])
    error = rate_cmd - s["motor_rate"][k]
    peak = p["kt_Nm_A"] * p["peak_A"]
    gain = p["joint_inertia"][k] * _RATE_LOOP
    integral = s["rate_integral"][k] + gain * _RATE_INTEGRAL * error * h
    s["rate_integral"][k] = min(max(integral, -peak), peak)
    return gain * error + s["rate_integral"][k]


@kernel
def motor_torques(p, s, mean_torque):
    """Advance the torque loops by one substep: sets torque, heat and bus voltage."""
    h = p["h_s"]
    kt = p["kt_Nm_A"]
    peak = kt * p["peak_A"]
    noise = (0.0, 0.0, 0.0)
    if p["torque_noise_Nm"] > 0.0:
        noise = normal3(s["rng_motor"])
    power = 0.0
    for k in range(3):
        mode = s["mode"][k]
        if s["fault"][k] != 0:
            mode = OFF
        rate = s["motor_rate"][k]
        if mode == OFF:
            torque = 0.0
        elif mode == BRAKE:
            torque = -kt * kt / p["resistance_ohm"] * rate
        else:
            wanted = mean_torque[k] if mode == TORQUE else _device_loop(p, s, k, h)
            wanted = min(max(wanted, -peak), peak) + p["torque_noise_Nm"] * noise[k]
            torque = s["torque"][k] + (1.0 - p["torque_pole"]) * (wanted - s["torque"][k])
            back_emf = kt * rate
            torque = min(torque, kt * (s["bus_V"] - back_emf) / p["resistance_ohm"])
            torque = max(torque, -kt * (s["bus_V"] + back_emf) / p["resistance_ohm"])
        s["torque"][k] = torque
        current = torque / kt
        joule = p["resistance_ohm"] * current * current
        s["heat_J"][k] += joule * h
        if mode != BRAKE:
            power += joule + torque * rate
    # supply: a source with a resistance; braking power flows back into it
    s["bus_V"] = max(p["bus_V"] - p["source_ohm"] * power / s["bus_V"], 0.25 * p["bus_V"])


@kernel
def friction_torque(p, s, k, rate, h):
    """LuGre friction on joint k's motor side at this rate, against the motion; advances the bristle by h."""
    x = rate / p["stribeck_rad_s"]
    level = p["coulomb_Nm"]
    if x * x < 36.0:
        level += (p["breakaway_Nm"] - p["coulomb_Nm"]) * math.exp(-x * x)
    before = s["bristle"][k]
    if level > 0.0:
        after = (before + h * rate) / (1.0 + h * p["bristle"] * abs(rate) / level)
    else:
        after = 0.0
    s["bristle"][k] = after
    bristle = p["bristle"] * after + p["bristle_damping"] * (after - before) / h if level > 0.0 else 0.0
    return bristle + p["viscous"] * rate


@kernel
def _cogging(p, k, angle):
    if p["cog_Nm"][0] == 0.0 and p["cog_Nm"][1] == 0.0:
        return 0.0
    x = p["cog_periods"][0] * angle + p["cog_phase"][k, 0]
    sn = math.sin(x)
    if p["cog_periods"][1] == 2.0 * p["cog_periods"][0]:  # the usual pair: the double angle is cheaper
        c = math.cos(x)
        second = 2.0 * sn * c * p["cog_cos"][k] + (1.0 - 2.0 * sn * sn) * p["cog_sin"][k]
    else:
        second = math.sin(p["cog_periods"][1] * angle + p["cog_phase"][k, 1])
    return p["cog_Nm"][0] * sn + p["cog_Nm"][1] * second


@kernel
def load_torque(p, s, k):
    """Every torque on joint k's motor side but the motor's own; sets friction and load."""
    h = p["h_s"]
    angle = s["motor_angle"][k]
    rate = s["motor_rate"][k]
    friction = -friction_torque(p, s, k, rate, h)
    total = friction
    if p["cable_Nm_rad"][k] > 0.0:
        total -= p["cable_Nm_rad"][k] * (angle - p["cable_mid"][k])
        # strands that slip over each other: a spring that slides at the hysteresis torque
        slip = s["hysteresis"][k] + p["hysteresis_Nm_rad"] * rate * h
        slip = min(max(slip, -p["hysteresis_Nm"]), p["hysteresis_Nm"])
        s["hysteresis"][k] = slip
        total -= slip
    total += _cogging(p, k, angle)
    if p["has_stop"][k]:
        if angle > p["stop_max"][k]:
            push = p["stop_Nm_rad"] * (angle - p["stop_max"][k]) + p["stop_Nm_s_rad"] * rate
            total -= max(push, 0.0)
        elif angle < p["stop_min"][k]:
            push = p["stop_Nm_rad"] * (angle - p["stop_min"][k]) + p["stop_Nm_s_rad"] * rate
            total -= min(push, 0.0)
    s["friction"][k] = friction
    s["load"][k] = total
    return total


@kernel
def temperatures(p, s, dt):
    """Two-node thermal model of each motor over dt, from the heat since the last call."""
    for k in range(3):
        winding = s["winding_degC"][k]
        case = s["case_degC"][k]
        flow = (winding - case) / p["winding_case_K_W"]
        out = (case - p["air_degC"]) / p["case_air_K_W"]
        s["winding_degC"][k] = winding + (s["heat_J"][k] - flow * dt) / p["winding_J_K"]
        s["case_degC"][k] = case + (flow - out) * dt / p["case_J_K"]
        s["heat_J"][k] = 0.0
        if s["winding_degC"][k] > p["limit_degC"]:
            s["fault"][k] |= FAULT_OVER_TEMPERATURE
        elif s["mode"][k] == OFF and s["winding_degC"][k] < p["limit_degC"] - 20.0:
            s["fault"][k] = 0
