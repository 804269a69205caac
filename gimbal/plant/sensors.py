"""What the sensors make of the plant's state: IMU, joint encoders, GNSS receivers, camera boxes."""

from __future__ import annotations

import math

from gimbal.kernels.build import kernel
from gimbal.kernels.filters import biquad, biquad_settle
from gimbal.kernels.quat import add3, cross3, load3, load4, norm3, q_axis, q_mul, q_rotate, q_unrotate, store3, sub3
from gimbal.plant.noise import normal3, uniform
from gimbal.plant.spline import position_velocity
from gimbal.records import JointMode


@kernel
def imu_input(p, s):
    """(rate, specific force) at the IMU in C, noiseless; ``accelerate`` must have run."""
    w = load3(s["omega_NC_C"])
    r = load3(p["imu_pos_C"])
    f = add3(load3(s["force_C"]), add3(cross3(load3(s["alpha0_C"]), r), cross3(w, cross3(w, r))))
    return w, f


@kernel
def settle_imu(p, s):
    w, f = imu_input(p, s)
    for k in range(3):
        biquad_settle(p["imu_lp"], s["lp"][k], w[k])
        biquad_settle(p["imu_lp"], s["lp"][k + 3], f[k])


@kernel
def _reading(x, limit, lsb):
    """Clipped and quantised reading, and whether it was clipped."""
    clipped = x > limit or x < -limit
    x = min(max(x, -limit), limit)
    if lsb > 0.0:
        x = lsb * math.floor(x / lsb + 0.5)
    return x, clipped


@kernel
def imu_step(p, s):
    """Filter the IMU's input over one substep; store a sample when one is due."""
    w, f = imu_input(p, s)
    g0 = biquad(p["imu_lp"], s["lp"][0], w[0])
    g1 = biquad(p["imu_lp"], s["lp"][1], w[1])
    g2 = biquad(p["imu_lp"], s["lp"][2], w[2])
    a0 = biquad(p["imu_lp"], s["lp"][3], f[0])
    a1 = biquad(p["imu_lp"], s["lp"][4], f[1])
    a2 = biquad(p["imu_lp"], s["lp"][5], f[2])
    if s["t_ns"] < s["imu_next_ns"]:
        return
    s["imu_next_ns"] += p["imu_period_ns"]
    if s["imu_next_ns"] <= s["t_ns"]:
        s["imu_next_ns"] = s["t_ns"] + p["imu_period_ns"]
    imu_sample(p, s, (g0, g1, g2), (a0, a1, a2))


@kernel
def warm_up(p, s):
    """K by which the IMU is warmer than at the start."""
    return p["imu_warmup_K"] * (1.0 - math.exp(-float(s["t_ns"] - p["t0_ns"]) * 1e-9 / p["imu_warmup_s"]))


@kernel
def imu_sample(p, s, w, f):
    """Errors of the sensor on a filtered rate and specific force; the sample goes into the ring."""
    dt = float(p["imu_period_ns"]) * 1e-9
    decay = dt / p["gyro_walk_tau_s"]
    kick = p["gyro_walk_std"] * math.sqrt(2.0 * decay)
    warm = warm_up(p, s)
    ng = normal3(s["rng_imu"])
    na = normal3(s["rng_imu"])
    nw = normal3(s["rng_imu"])
    i = s["imu_tail"] % s["imu_t_ns"].size
    any_clip = False
    for k in range(3):
        walk = s["gyro_walk"][k] * (1.0 - decay) + kick * nw[k]
        s["gyro_walk"][k] = walk
        M = p["gyro_M"]
        x = M[k, 0] * w[0] + M[k, 1] * w[1] + M[k, 2] * w[2] + p["gyro_bias"][k] + walk + p["gyro_noise"] * ng[k]
        x += p["gyro_bias_K"][k] * warm
        x, clipped = _reading(x, p["gyro_range"], p["gyro_lsb"])
        any_clip = any_clip or clipped
        s["imu_gyro"][i, k] = x
        M = p["accel_M"]
        x = M[k, 0] * f[0] + M[k, 1] * f[1] + M[k, 2] * f[2]
        x += p["accel_bias"][k] + p["accel_bias_K"][k] * warm + p["accel_noise"] * na[k]
        x, clipped = _reading(x, p["accel_range"], p["accel_lsb"])
        any_clip = any_clip or clipped
        s["imu_accel"][i, k] = x
    s["imu_t_ns"][i] = s["t_ns"]
    s["imu_clipped"][i] = 1 if any_clip else 0
    s["imu_tail"] += 1
    if s["imu_tail"] - s["imu_head"] > s["imu_t_ns"].size:
        s["imu_head"] = s["imu_tail"] - s["imu_t_ns"].size


@kernel
def encoder_reading(p, s, angle, k):
    """The magnetic encoder's reading of an angle: once-per-turn error, then quantised.

    The error's sine is that of the stage's angle, mrad beside the motor's: 1e-6 rad of difference.
    """
    error = s["sine"][k] * p["encoder_cos"][k] + s["cosine"][k] * p["encoder_sin"][k]
    angle += p["encoder_error"] * error
    return p["encoder_step"] * math.floor(angle / p["encoder_step"] + 0.5)


@kernel
def settle_encoders(s):
    """History as if the joints had been where they are."""
    for k in range(3):
        s["pll_angle"][k] = s["motor_angle"][k]
        s["pll_rate"][k] = s["motor_rate"][k]
        for i in range(s["enc_angle"].shape[0]):
            s["enc_angle"][i, k] = s["motor_angle"][k]
            s["enc_rate"][i, k] = s["motor_rate"][k]
            s["enc_torque"][i, k] = s["torque"][k]


@kernel
def encoder_step(p, s):
    """Record the joints of this substep; the device's rate comes from a tracking loop on its readings."""
    h = p["h_s"]
    i = s["step"] % s["enc_angle"].shape[0]
    for k in range(3):
        predicted = s["pll_angle"][k] + h * s["pll_rate"][k]
        error = encoder_reading(p, s, s["motor_angle"][k], k) - predicted
        s["pll_angle"][k] = predicted + h * p["pll_p"] * error
        s["pll_rate"][k] += h * p["pll_i"] * error
        s["enc_angle"][i, k] = s["motor_angle"][k]
        s["enc_rate"][i, k] = s["pll_rate"][k]
        s["enc_torque"][i, k] = s["torque"][k]


@kernel
def attitude(p, s):
    """q_NC of the camera stage."""
    q = load4(s["q_NB"])
    for l in range(3):
        k = p["order"][l]
        q = q_mul(q, q_axis(k, s["angle"][k]))
    return q


@kernel
def camera_position(p, s):
    """Position and velocity in N of the camera stage's origin."""
    q = load4(s["q_NB"])
    w = load3(s["omega_NB_B"])
    pos = load3(s["pos_N"])
    vel = load3(s["vel_N"])
    for l in range(3):
        k = p["order"][l]
        r = load3(p["origin_m"][l])
        pos = add3(pos, q_rotate(q, r))
        vel = add3(vel, q_rotate(q, cross3(w, r)))
        turn = q_axis(k, s["angle"][k])
        q = q_mul(q, turn)
        w = q_unrotate(turn, w)
        w = (
            w[0] + (s["rate"][0] if k == 0 else 0.0),
            w[1] + (s["rate"][1] if k == 1 else 0.0),
            w[2] + (s["rate"][2] if k == 2 else 0.0),
        )
    return pos, vel


@kernel
def receiver(c, r, t_ns, pos, vel):
    """One GNSS receiver: makes a fix when one is due (or loses it on the way)."""
    if t_ns < r["next_ns"]:
        return
    r["next_ns"] += c["period_ns"]
    if r["next_ns"] <= t_ns:
        r["next_ns"] = t_ns + c["period_ns"]
    decay = math.exp(-float(c["period_ns"]) * 1e-9 / c["walk_tau_s"])
    kick = c["walk_std_m"] * math.sqrt(1.0 - decay * decay)
    nw = normal3(r["rng"])
    np_ = normal3(r["rng"])
    nv = normal3(r["rng"])
    lost = uniform(r["rng"]) <= c["lost"]
    i = r["tail"] % r["t_ns"].size
    for k in range(3):
        r["walk"][k] = r["walk"][k] * decay + kick * nw[k]
        r["pos_N"][i, k] = pos[k] + r["walk"][k] + c["white_m"] * np_[k]
        r["vel_N"][i, k] = vel[k] + c["vel_std_m_s"] * nv[k]
    if lost:
        return
    r["t_ns"][i] = t_ns
    r["arrival_ns"][i] = t_ns + c["delay_ns"]
    r["tail"] += 1
    if r["tail"] - r["head"] > r["t_ns"].size:
        r["head"] = r["tail"] - r["t_ns"].size


@kernel
def camera_box(p, s, target_pos):
    """The detector's box as a bearing, when one is due and the target is in the frame."""
    if p["box_period_ns"] == 0 or s["t_ns"] < s["box_next_ns"]:
        return
    s["box_next_ns"] += p["box_period_ns"]
    pos, _ = camera_position(p, s)
    offset = sub3(target_pos, pos)
    v = q_unrotate(attitude(p, s), offset)
    n = normal3(s["rng_box"])
    seen = uniform(s["rng_box"]) <= p["box_detected"]
    if v[0] <= 0.0 or not seen:
        return
    right = v[1] / v[0]
    down = v[2] / v[0]
    if abs(right) > p["half_width"][0] or abs(down) > p["half_width"][1]:
        return
    size = p["box_size_m"] / norm3(offset)
    std = math.sqrt(p["box_std_rad"] * p["box_std_rad"] + size * size)
    i = s["box_tail"] % s["box_t_ns"].size
    s["box_xy"][i, 0] = right + std * (1.0 + right * right) * n[0]
    s["box_xy"][i, 1] = down + std * (1.0 + down * down) * n[1]
    s["box_std"][i] = std
    s["box_t_ns"][i] = s["t_ns"]
    s["box_tail"] += 1
    if s["box_tail"] - s["box_head"] > s["box_t_ns"].size:
        s["box_head"] = s["box_tail"] - s["box_t_ns"].size


@kernel
def mag_step(p, s):
    """A sample of the magnetometer, which sits in the IMU, when one is due."""
    if p["mag_period_ns"] == 0 or s["t_ns"] < s["mag_next_ns"]:
        return
    s["mag_next_ns"] += p["mag_period_ns"]
    b = q_unrotate(attitude(p, s), load3(p["mag_N"]))
    n = normal3(s["rng_mag"])
    M = p["mag_M"]
    for k in range(3):
        x = M[k, 0] * b[0] + M[k, 1] * b[1] + M[k, 2] * b[2]
        s["mag"][k] = x + p["mag_hard"][k] + p["mag_noise"] * n[k]
    s["mag_t_ns"] = s["t_ns"]


@kernel
def second_antenna(c, r, rng, q_NB):
    """Heading of the base line in the fix just made."""
    i = (r["tail"] - 1) % r["t_ns"].size
    line = q_rotate(q_NB, load3(c["baseline_B"]))
    n = normal3(rng)
    r["heading"][i] = math.atan2(line[1], line[0]) + c["heading_std"] * n[0]


@kernel
def slow_sensors(p, s, tab):
    """GNSS, beacon and boxes at the state's time; called every SLOW substeps, stamped with that time."""
    t = s["t_ns"]
    mag_step(p, s)
    if t >= s["gnss"]["next_ns"]:
        q = load4(s["q_NB"])
        arm = load3(p["gnss"]["antenna_B"])
        pos = add3(load3(s["pos_N"]), q_rotate(q, arm))
        vel = add3(load3(s["vel_N"]), q_rotate(q, cross3(load3(s["omega_NB_B"]), arm)))
        before = s["gnss"]["tail"]
        receiver(p["gnss"], s["gnss"], t, pos, vel)
        if p["gnss"]["heading_std"] > 0.0 and s["gnss"]["tail"] > before:
            second_antenna(p["gnss"], s["gnss"], s["rng_mag"], q)
    if p["target"]["rows"] > 0:
        boxes = p["box_period_ns"] > 0 and t >= s["box_next_ns"]
        if boxes or t >= s["beacon"]["next_ns"]:
            pos, vel = position_velocity(p["target"], tab, float(t - p["t0_ns"]) * 1e-9, 0)
            receiver(p["beacon"], s["beacon"], t, pos, vel)
            camera_box(p, s, pos)


@kernel
def take_fix(r, t_ns):
    """Index of the newest fix that has arrived and was not taken yet, or -1; older ones stay for the next call."""
    if r["head"] == r["tail"]:
        return -1
    i = r["head"] % r["t_ns"].size
    if r["arrival_ns"][i] > t_ns:
        return -1
    r["head"] += 1
    return i


@kernel
def fill_truth(p, s, tab, row):
    """Write the truth of this moment into a TRUTH record."""
    q = attitude(p, s)
    pos, vel = camera_position(p, s)
    row["t_ns"] = s["t_ns"]
    for k in range(4):
        row["q_NC"][k] = q[k]
        row["q_NB"][k] = s["q_NB"][k]
    store3(row["camera_pos_N"], pos)
    store3(row["camera_vel_N"], vel)
    row["has_target"] = 0
    if p["target"]["rows"] > 0:
        row["has_target"] = 1
        tp, tv = position_velocity(p["target"], tab, float(s["t_ns"] - p["t0_ns"]) * 1e-9, 0)
        store3(row["target_pos_N"], tp)
        store3(row["target_vel_N"], tv)
    for k in range(3):
        row["omega_NC_C"][k] = s["omega_NC_C"][k]
        row["force_C"][k] = s["force_C"][k]
        row["omega_NB_B"][k] = s["omega_NB_B"][k]
        row["base_pos_N"][k] = s["pos_N"][k]
        row["base_vel_N"][k] = s["vel_N"][k]
        row["base_acc_N"][k] = s["acc_N"][k]
        row["joint_angle"][k] = s["angle"][k]
        row["joint_rate"][k] = s["rate"][k]
        row["driven"][k] = s["mode"][k] == JointMode.TORQUE
        row["motor_angle"][k] = s["motor_angle"][k]
        row["motor_rate"][k] = s["motor_rate"][k]
        row["motor_torque"][k] = s["torque"][k]
        row["friction_torque"][k] = s["friction"][k]
        row["load_torque"][k] = s["load"][k]
        row["winding_degC"][k] = s["winding_degC"][k]
    row["bus_V"] = s["bus_V"]
