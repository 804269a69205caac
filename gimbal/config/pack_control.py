"""The control room's part of PARAMS: loops, allocation, limits, what is feasible, motor temperatures."""

from __future__ import annotations

import math
from collections.abc import Iterable

import numpy as np

from gimbal.config.prediction import pack_foresight, pack_motion, pack_shake
from gimbal.config.schema import Fast, Rig, Shaping
from gimbal.control.allocation import NOTCHES
from gimbal.control.disturbance import LINE
from gimbal.frames import AXES, AXIS_INDEX
from gimbal.kernels.filters import lowpass_coefficients, notch_coefficients, shaping_coefficients
from gimbal.units import DEG

SPEED_SHARE = 0.72  # of a joint's greatest rate: what is left is the loops'
STOP_SHARE = 0.3  # of the soft end-stop's width, before the hard stop: as far as the camera's motion takes a joint
BRAKE_SHARE = 0.5  # of the acceleration that a joint's torque can make
BASE_SMOOTH_S, TAKEN_SMOOTH_S = 0.03, 0.01  # low-passes on the base's rate and on what is taken of the rate command
FLOOR = 0.2  # of singularity_cos: |det J| is taken as no smaller
IDENTITY = [1.0, 0.0, 0.0, 0.0, 0.0]


def pack_loops(p: np.void, rig: Rig) -> None:
    c, rate = rig.control, rig.loop_rate_hz
    p["pointing"]["gain"] = c.attitude_gain_1_s
    p["pointing"]["draw_s"] = c.attitude_draw_s
    p["pointing"]["draw_lag_s"] = 0.4 * c.attitude_draw_s
    p["pointing"]["snap"] = 0.2
    p["pointing"]["snap_heading"] = 0.03
    p["pointing"]["draw_most"] = [0.02, 0.02, 0.005]
    p["pointing"]["brake"] = 20.0
    p["pointing"]["dt_s"] = 1.0 / rate
    p["pointing"]["max_rate"] = rig.limits.max_rate_deg_s * DEG
    p["allocation"]["sections"][:] = IDENTITY
    p["allocation"]["fast_sections"][:] = IDENTITY
    p["pid"]["p"] = c.rate_gain_1_s
    p["pid"]["i"] = c.integral_gain_1_s2
    p["pid"]["d"] = c.derivative_gain
    p["pid"]["i_limit"] = 200.0
    p["pid"]["i_error"] = 0.003
    p["pid"]["gyro_lp"] = lowpass_coefficients(c.gyro_lowpass_hz, rate)
    p["pid"]["d_lp"] = lowpass_coefficients(c.derivative_lowpass_hz, rate)
    if c.fast is not None:
        _pack_fast(p, rig, c.fast)
    o = p["observer"]
    o["on"] = c.observer_hz > 0
    delay_s = rig.delay.sample_to_torque_ms * 1e-3 + 1.0 / (2 * math.pi * rig.motors.torque_bandwidth_hz)
    delay_s += math.sqrt(2.0) / (2 * math.pi * rig.imu.bandwidth_hz)  # the gyro's own low-pass
    o["delay_ticks"] = min(round(delay_s * rate), LINE - 1)
    o["lp"] = lowpass_coefficients(c.observer_hz, rate) if c.observer_hz > 0 else IDENTITY


def _pack_fast(p: np.void, rig: Rig, fast: Fast) -> None:
    p["pid"]["fast_p"] = fast.rate_gain_1_s
    p["pid"]["fast_i"] = fast.integral_gain_1_s2
    p["pid"]["fast_attitude"] = fast.attitude_gain_1_s - np.array(rig.control.attitude_gain_1_s)
    h = p["handover"]
    h["on"], h["enter"], h["leave"] = 1, 0.003, 0.008
    h["margin"] = 1.1 * rig.limits.singularity_cos
    h["wait_s"], h["rise_s"], h["fall_s"] = 0.5, 0.5, 0.004
    h["shake"], h["smooth"] = 0.1, 20.0 / rig.loop_rate_hz  # three times what buffeting leaves; a mean over 50 ms
    p["allocation"]["with_fast"] = 1
    _shape(p["allocation"]["fast_sections"], [0, 0, 0], fast.shaping, rig.loop_rate_hz)


def _shape(sections: np.ndarray, used: list[int], shaping: Iterable[Shaping], rate_hz: float) -> None:
    """Second-order sections into the first free places of ``sections`` (3, NOTCHES, 5)."""
    for s in shaping:
        a = AXIS_INDEX[s.axis]
        sections[a, used[a]] = shaping_coefficients(s.zero_hz, s.zero_damping, s.pole_hz, s.pole_damping, rate_hz)
        used[a] += 1


def pack_allocation(p: np.void, rig: Rig, order: np.ndarray) -> None:
    c, rate, ff = rig.control, rig.loop_rate_hz, rig.control.feedforward
    chain = p["chain"]
    chain["order"] = order
    for k, axis in enumerate(rig.kinematic_order):
        body = getattr(rig.body, axis)
        chain["mass"][k] = body.mass_kg
        chain["inertia"][k] = body.inertia_kg_m2
        chain["com"][k] = body.com_m
        chain["origin"][k] = body.origin_m
    f = p["friction"]
    f["coulomb"] = rig.friction.coulomb_Nm
    f["breakaway"] = rig.friction.breakaway_Nm
    f["stribeck"] = rig.friction.stribeck_rad_s
    f["viscous"] = rig.friction.viscous_Nm_s_rad
    f["bristle"] = rig.friction.bristle_Nm_rad
    f["bristle_damping"] = rig.friction.bristle_damping_Nm_s_rad
    f["cable"] = rig.cable.spring_Nm_rad
    for a, name in enumerate(AXES):
        joint = getattr(rig.joints, name)
        f["cable_mid"][a] = 0.0 if joint.continuous else 0.5 * (joint.min_deg + joint.max_deg) * DEG
    f["hysteresis"] = rig.cable.hysteresis_Nm
    f["hysteresis_spring"] = rig.cable.hysteresis_Nm_rad
    f["hysteresis_on"] = [s > 0.0 and rig.cable.hysteresis_Nm > 0.0 for s in rig.cable.spring_Nm_rad]
    f["friction_on"] = ff.friction and rig.friction.coulomb_Nm > 0
    f["cable_on"] = ff.cable
    used = [0, 0, 0]
    for notch in c.notches:
        a = AXIS_INDEX[notch.axis]
        p["sections"][a, used[a]] = notch_coefficients(notch.centre_hz, rate, notch.width_hz, notch.depth)
        used[a] += 1
    _shape(p["sections"], used, c.shaping, rate)
    for a in range(3):
        if used[a] < NOTCHES:
            p["sections"][a, used[a]] = lowpass_coefficients(c.torque_lowpass_hz, rate)
    g = p["cogging"]
    g["periods"] = rig.cogging.periods_per_rev
    g["limit"] = [2.0 * x for x in rig.cogging.torque_Nm]
    g["learn_1_s"] = c.cogging_learn_1_s
    g["rate_min"] = 2.0 * DEG
    g["ripple_max"] = 2.0 * math.pi * 7.0
    g["slow"] = 1.0 / rate / 1.0
    g["on"] = ff.cogging
    pack_motion(p["ahead"], rig)
    pack_shake(p["shake"], rig)
    pack_foresight(p["foresight"], rig)
    p["gyro_lag_s"] = math.sqrt(2.0) / (2.0 * math.pi * rig.imu.bandwidth_hz)  # of its second-order low-pass
    p["singularity_cos"] = rig.limits.singularity_cos
    p["faded_cos"] = rig.limits.singularity_cos
    p["whole_cos"] = min(2.0 * rig.limits.singularity_cos, 0.5 * (1.0 + rig.limits.singularity_cos))
    p["most"] = 2.0 * rig.limits.max_torque_Nm
    p["floor_cos"] = FLOOR * rig.limits.singularity_cos
    p["with_inertia"] = ff.inertia
    p["with_imbalance"] = ff.imbalance
    p["with_los"] = ff.line_of_sight


def pack_limits(p: np.void, rig: Rig) -> None:
    torque = min(rig.limits.max_torque_Nm, rig.motors.peak_A * rig.motors.torque_constant_Nm_A)
    p["max_torque"] = torque
    for a, name in enumerate(AXES):
        joint = getattr(rig.joints, name)
        p["continuous"][a] = joint.continuous
        p["max_rate"][a] = joint.max_rate_deg_s * DEG
        p["rate_damping"][a] = 0.5
        p["stop_min"][a] = joint.min_deg * DEG
        p["stop_max"][a] = joint.max_deg * DEG
        p["stop_width"][a] = joint.soft_stop_deg * DEG
        p["stop_damping"][a] = 0.6


def pack_reach(p: np.void, rig: Rig) -> None:
    p["decel"] = 0.25 * rig.limits.max_accel_deg_s2 * DEG
    p["singularity_cos"] = rig.limits.singularity_cos
    for a, name in enumerate(AXES):
        joint = getattr(rig.joints, name)
        p["continuous"][a] = joint.continuous
        p["fastest"][a] = 0.6 * joint.max_rate_deg_s * DEG  # the rest is for the base's motion
        p["low"][a] = (joint.min_deg + joint.soft_stop_deg) * DEG
        p["high"][a] = (joint.max_deg - joint.soft_stop_deg) * DEG
    if rig.inner_loop is not None:  # a board's own loops spin the outer joint where the singularity is near
        a, most = AXIS_INDEX[rig.kinematic_order[1]], math.acos(rig.limits.singularity_cos)
        p["narrowed"][a] = p["high"][a] > most or p["low"][a] < -most
        p["low"][a], p["high"][a] = max(p["low"][a], -most), min(p["high"][a], most)


def pack_feasible(p: np.void, rig: Rig, order: np.ndarray) -> None:
    for a, name in enumerate(AXES):
        joint = getattr(rig.joints, name)
        p["continuous"][a] = joint.continuous
        p["max_rate"][a] = SPEED_SHARE * joint.max_rate_deg_s * DEG
        p["stop_min"][a] = (joint.min_deg + STOP_SHARE * joint.soft_stop_deg) * DEG
        p["stop_max"][a] = (joint.max_deg - STOP_SHARE * joint.soft_stop_deg) * DEG
        p["brake"][a] = BRAKE_SHARE * rig.limits.max_torque_Nm / carried(rig, a)
    p["gain"] = rig.control.attitude_gain_1_s
    p["floor"] = FLOOR * rig.limits.singularity_cos
    p["slew"] = 2.0 * p["brake"][order[0]] / rig.loop_rate_hz
    p["slow"] = min(1.0 / (BASE_SMOOTH_S * rig.loop_rate_hz), 1.0)
    p["smooth"] = min(1.0 / (TAKEN_SMOOTH_S * rig.loop_rate_hz), 1.0)
    p["near"], p["within"] = rig.limits.singularity_cos, 0.6 * rig.limits.singularity_cos


def carried(rig: Rig, a: int) -> float:
    """Inertia (kg m²) of the stages that joint a turns, about its axis at the zero pose."""
    order = rig.kinematic_order
    return float(sum(getattr(rig.body, stage).inertia_kg_m2[a] for stage in order[order.index(AXES[a]) :]))


def pack_thermal(p: np.void, rig: Rig) -> None:
    m, t = rig.motors, rig.thermal
    p["heat_W_Nm2"] = m.phase_resistance_ohm / m.torque_constant_Nm_A**2
    p["winding_J_K"], p["winding_case_K_W"] = t.winding_J_K, t.winding_to_case_K_W
    p["case_J_K"], p["case_air_K_W"] = t.case_J_K, t.case_to_air_K_W
    p["air_degC"], p["limit_degC"], p["band_K"] = t.air_degC, t.limit_degC - 3.0, 15.0
    lasting_W = 0.5 * (t.limit_degC - t.air_degC) / (t.winding_to_case_K_W + t.case_to_air_K_W)
    p["least"] = min(math.sqrt(lasting_W / p["heat_W_Nm2"]) / rig.limits.max_torque_Nm, 1.0)
    p["follow_1_s"] = 0.5
