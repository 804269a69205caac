"""The IMU on the carrier: what it makes of the base's motion, before the outermost joint."""

from __future__ import annotations

import math

from gimbal.kernels.build import kernel
from gimbal.kernels.filters import biquad, biquad_settle
from gimbal.kernels.mat import mat3_vec
from gimbal.kernels.quat import add3, cross3, load3, load4, q_unrotate
from gimbal.plant.noise import normal3

WALK_TAU_S = 100.0


@kernel
def _input(p, s):
    """(rate, specific force) at the sensor in B, noiseless."""
    w, a = load3(s["omega_NB_B"]), load3(s["acc_N"])
    r = load3(p["carrier"]["pos_B"])
    f = q_unrotate(load4(s["q_NB"]), (a[0], a[1], a[2] - p["gravity_m_s2"]))
    return w, add3(f, add3(cross3(load3(s["alpha_NB_B"]), r), cross3(w, cross3(w, r))))


@kernel
def settle_carrier(p, s):
    w, f = _input(p, s)
    for k in range(3):
        biquad_settle(p["carrier"]["lp"], s["carrier"]["lp"][k], w[k])
        biquad_settle(p["carrier"]["lp"], s["carrier"]["lp"][k + 3], f[k])


@kernel
def carrier_step(p, s):
    """Filter the input over one substep; store a sample when one is due."""
    c, r = p["carrier"], s["carrier"]
    if c["period_ns"] == 0:
        return
    w, f = _input(p, s)
    w = (biquad(c["lp"], r["lp"][0], w[0]), biquad(c["lp"], r["lp"][1], w[1]), biquad(c["lp"], r["lp"][2], w[2]))
    f = (biquad(c["lp"], r["lp"][3], f[0]), biquad(c["lp"], r["lp"][4], f[1]), biquad(c["lp"], r["lp"][5], f[2]))
    if s["t_ns"] < r["next_ns"]:
        return
    r["next_ns"] += c["period_ns"]
    if r["next_ns"] <= s["t_ns"]:
        r["next_ns"] = s["t_ns"] + c["period_ns"]
    decay = float(c["period_ns"]) * 1e-9 / WALK_TAU_S
    kick = c["walk_std"] * math.sqrt(2.0 * decay)
    noise_g, noise_a, noise_w = normal3(r["rng"]), normal3(r["rng"]), normal3(r["rng"])
    gyro, accel = mat3_vec(c["gyro_M"], w), mat3_vec(c["accel_M"], f)
    i = r["tail"] % r["t_ns"].size
    for k in range(3):
        r["walk"][k] += kick * noise_w[k] - decay * r["walk"][k]
        x = gyro[k] + c["gyro_bias"][k] + r["walk"][k] + c["gyro_noise"] * noise_g[k]
        r["gyro"][i, k] = min(max(x, -c["gyro_range"]), c["gyro_range"])
        x = accel[k] + c["accel_bias"][k] + c["accel_noise"] * noise_a[k]
        r["accel"][i, k] = min(max(x, -c["accel_range"]), c["accel_range"])
    r["t_ns"][i] = s["t_ns"]
    r["tail"] += 1
    if r["tail"] - r["head"] > r["t_ns"].size:
        r["head"] = r["tail"] - r["t_ns"].size


@kernel
def read_carrier(s, sense):
    """Its samples since the last call, into SENSE; what is more than SENSE takes is lost."""
    r = s["carrier"]
    n = r["tail"] - r["head"]
    if n > sense["carrier_t_ns"].size:
        r["head"] = r["tail"] - sense["carrier_t_ns"].size
        n = sense["carrier_t_ns"].size
        sense["carrier_status"] |= 2
    for j in range(n):
        i = (r["head"] + j) % r["t_ns"].size
        sense["carrier_t_ns"][j] = r["t_ns"][i]
        for k in range(3):
            sense["carrier_gyro_I"][j, k] = r["gyro"][i, k]
            sense["carrier_accel_I"][j, k] = r["accel"][i, k]
    sense["carrier_n"] = n
    r["head"] = r["tail"]
