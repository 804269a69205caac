"""The plant's compiled entries: run (substeps), read, read_joints and truth.

A substep integrates with the accelerations found at its start (semi-implicit Euler: rates first, then angles with
the new rates), then evaluates base, chain, torques and sensors at its end. So a sample stamped t is the state at t,
and a command that becomes effective at t acts on the motion after t.
"""

from __future__ import annotations

from gimbal.kernels.build import kernel
from gimbal.plant.body import accelerate, chain, evaluate_base
from gimbal.plant.carrier_imu import carrier_step, read_carrier, settle_carrier
from gimbal.plant.motor import apply_commands, load_torque, motor_torques, temperatures
from gimbal.plant.sensors import (
    encoder_reading,
    encoder_step,
    fill_truth,
    imu_step,
    settle_encoders,
    settle_imu,
    slow_sensors,
    take_fix,
    warm_up,
)
from gimbal.plant.spline import dot6, place, weights

SLOW = 8  # substeps (1 ms) between looks at temperatures, receivers and the camera's boxes


@kernel
def _wind(p, s, tab):
    table = p["wind"]
    if table["rows"] == 0:
        return (0.0, 0.0, 0.0)
    i, f, _ = place(table, float(s["t_ns"] - p["t0_ns"]) * 1e-9)
    w = weights(f)
    at = table["at"] + (i - 2) * 3
    return (dot6(tab, at, 3, w), dot6(tab, at + 1, 3, w), dot6(tab, at + 2, 3, w))


@kernel
def _queue(p, s, command, delay_ns):
    """Put a COMMAND on its way; it is effective delay_ns from now, never before the one ahead of it."""
    size = s["pend_ns"].size
    if s["pend_tail"] - s["pend_head"] >= size:
        s["pend_head"] += 1
    at = s["t_ns"] + delay_ns
    if s["pend_tail"] > s["pend_head"]:
        at = max(at, s["pend_ns"][(s["pend_tail"] - 1) % size])
    i = s["pend_tail"] % size
    s["pend_ns"][i] = at
    for k in range(3):
        s["pend_mode"][i, k] = command["mode"][k]
        s["pend_torque"][i, k] = command["joint_torque_cmd"][k]
        s["pend_rate"][i, k] = command["joint_rate_cmd"][k]
        s["pend_angle"][i, k] = command["joint_angle_cmd"][k]
    s["pend_tail"] += 1


@kernel
def _integrate(p, s):
    """Rates with the old accelerations, angles with the new rates."""
    h = p["h_s"]
    for k in range(3):
        s["rate"][k] += h * s["accel"][k]
        s["angle"][k] += h * s["rate"][k]
        s["motor_rate"][k] += h * s["motor_accel"][k]
        s["motor_angle"][k] += h * s["motor_rate"][k]
    s["t_ns"] += p["h_ns"]
    s["step"] += 1


@kernel
def run(params, state, tables, command, delay_ns, n):
    """The one heavy entry, so that it is compiled once.

    Args:
        params, state: one-element records; tables: flat spline coefficients.
        command: one-element COMMAND, queued for delay_ns from now; not looked at when delay_ns < 0.
        n: substeps to advance; 0 evaluates the state where it is and settles the sensors on it.
    """
    p = params[0]
    s = state[0]
    if delay_ns >= 0:
        _queue(p, s, command[0], delay_ns)
    for _ in range(max(n, 1)):
        if n > 0:
            _integrate(p, s)
            motor_torques(p, s, apply_commands(p, s))
        evaluate_base(p, s, tables)
        chain(p, s)
        for k in range(3):
            load_torque(p, s, k)
        u = (s["torque"][0] + s["load"][0], s["torque"][1] + s["load"][1], s["torque"][2] + s["load"][2])
        accelerate(p, s, u, _wind(p, s, tables))
        if n == 0:
            settle_imu(p, s)
            settle_carrier(p, s)
            settle_encoders(s)
        imu_step(p, s)
        carrier_step(p, s)
        encoder_step(p, s)
        if s["step"] % SLOW == 0:
            if n > 0:
                temperatures(p, s, p["h_s"] * SLOW)
            slow_sensors(p, s, tables)


@kernel
def enqueue(params, state, command, delay_ns):
    """Put a COMMAND (one-element array) on its way without advancing."""
    _queue(params[0], state[0], command[0], delay_ns)


@kernel
def truth(params, state, tables, row):
    """Fill a TRUTH record (one-element array)."""
    fill_truth(params[0], state[0], tables, row[0])


@kernel
def _joints(p, s, sense):
    """Joint readings as old as the encoder's delay, between the substeps around it."""
    size = s["enc_angle"].shape[0]
    back = float(p["encoder_delay_ns"]) / float(p["h_ns"])
    i = int(back)
    f = back - float(i)
    new = (s["step"] - i) % size
    old = (s["step"] - i - 1) % size
    for k in range(3):
        sense["joint_valid"][k] = 1
        sense["joint_t_ns"][k] = s["t_ns"] - p["encoder_stamp_ns"]
        angle = s["enc_angle"][new, k] * (1.0 - f) + s["enc_angle"][old, k] * f
        sense["joint_angle"][k] = encoder_reading(p, s, angle, k)
        sense["joint_rate"][k] = s["enc_rate"][new, k] * (1.0 - f) + s["enc_rate"][old, k] * f
        sense["joint_torque_applied"][k] = s["enc_torque"][new, k] * (1.0 - f) + s["enc_torque"][old, k] * f
        sense["motor_temp_degC"][k] = s["winding_degC"][k]
        sense["motor_fault"][k] = s["fault"][k]
    sense["bus_V"] = s["bus_V"]


@kernel
def read_joints(params, state, sense):
    """Only the joint part of SENSE."""
    _joints(params[0], state[0], sense[0])


@kernel
def _fix_std(c):
    walk = c["walk_std_m"]
    return (walk * walk + c["white_m"] * c["white_m"]) ** 0.5


@kernel
def read(params, state, tables, sense):
    """Fill a zeroed SENSE record (one-element array) with what has arrived by now."""
    p = params[0]
    s = state[0]
    r = sense[0]
    t = s["t_ns"]
    r["t_ns"] = t
    n = s["imu_tail"] - s["imu_head"]
    if n > r["imu_t_ns"].size:
        s["imu_head"] = s["imu_tail"] - r["imu_t_ns"].size
        n = r["imu_t_ns"].size
        r["imu_status"] |= 2
    for j in range(n):
        i = (s["imu_head"] + j) % s["imu_t_ns"].size
        r["imu_t_ns"][j] = s["imu_t_ns"][i]
        if s["imu_clipped"][i]:
            r["imu_status"] |= 1
        for k in range(3):
            r["imu_gyro_I"][j, k] = s["imu_gyro"][i, k]
            r["imu_accel_I"][j, k] = s["imu_accel"][i, k]
    r["imu_n"] = n
    read_carrier(s, r)
    r["imu_temp_degC"] = p["air_degC"] + warm_up(p, s)
    if s["mag_t_ns"] > 0:
        r["mag_valid"] = 1
        r["mag_t_ns"] = s["mag_t_ns"]
        for k in range(3):
            r["mag_I"][k] = s["mag"][k]
        s["mag_t_ns"] = 0
    s["imu_head"] = s["imu_tail"]
    _joints(p, s, r)
    i = take_fix(s["gnss"], t)
    if i >= 0:
        f = s["gnss"]
        r["gnss_valid"] = 1
        r["gnss_t_ns"] = f["t_ns"][i]
        r["gnss_arrival_ns"] = f["arrival_ns"][i]
        for k in range(3):
            r["gnss_pos_N"][k] = f["pos_N"][i, k]
            r["gnss_vel_N"][k] = f["vel_N"][i, k]
        r["gnss_pos_std"] = _fix_std(p["gnss"])
        r["gnss_vel_std"] = p["gnss"]["vel_std_m_s"]
        if p["gnss"]["heading_std"] > 0.0:
            r["heading_valid"] = 1
            r["heading_t_ns"] = f["t_ns"][i]
            r["heading"] = f["heading"][i]
            r["heading_std"] = p["gnss"]["heading_std"]
    i = take_fix(s["beacon"], t)
    if i >= 0:
        f = s["beacon"]
        r["beacon_valid"] = 1
        r["beacon_t_ns"] = f["t_ns"][i]
        r["beacon_arrival_ns"] = f["arrival_ns"][i]
        for k in range(3):
            r["beacon_pos_N"][k] = f["pos_N"][i, k]
            r["beacon_vel_N"][k] = f["vel_N"][i, k]
        r["beacon_pos_std"] = _fix_std(p["beacon"])
        r["beacon_vel_std"] = p["beacon"]["vel_std_m_s"]
    if s["box_head"] != s["box_tail"]:
        i = s["box_head"] % s["box_t_ns"].size
        if s["box_t_ns"][i] + p["box_delay_ns"] <= t:
            s["box_head"] += 1
            r["bearing_valid"] = 1
            r["bearing_t_ns"] = s["box_t_ns"][i]
            r["bearing_arrival_ns"] = s["box_t_ns"][i] + p["box_delay_ns"]
            r["bearing_xy"][0] = s["box_xy"][i, 0]
            r["bearing_xy"][1] = s["box_xy"][i, 1]
            r["bearing_std"] = s["box_std"][i]
