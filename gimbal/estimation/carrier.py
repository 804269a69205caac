"""A second IMU on the carrier, before the outermost joint: a filter of its own, brought to the camera by the joints.

Each filter rests on its own IMU, the receivers serve both; so neither can pull the other along when it fails. What NAV
tells is the camera's attitude, moved towards the carrier's by their variances (Y. Bar-Shalom, "On the track-to-track
correlation problem", IEEE TAC 26(2), 1981, without the correlation: the accelerometers' biases, which rule, share
nothing). Where the camera's samples stay away the carrier and the joints give attitude and rate; where the carrier's
do, or an encoder's, its share fades out. Neither makes a step.
"""

from __future__ import annotations

import math

import numpy as np

from gimbal.estimation.attitude import clear_integrals
from gimbal.estimation.estimate import aid, directions, estimate_reset
from gimbal.estimation.joints import PREDICT_S, chain
from gimbal.estimation.layout import (
    APART,
    CARRIED,
    CLIPPED,
    COARSE,
    ESTIMATION_PARAMS,
    ESTIMATION_STATE,
    GAP,
    HEADING,
    K_D,
    TH,
    N,
    V,
)
from gimbal.estimation.mm_heading import tie_heading
from gimbal.estimation.mm_line import headings
from gimbal.estimation.step import sample, work
from gimbal.kernels.build import kernel
from gimbal.kernels.quat import (
    add3,
    cross3,
    load3,
    load4,
    norm3,
    q_axis,
    q_conj,
    q_exp,
    q_log,
    q_mul,
    q_normalize,
    q_rotate,
    q_unrotate,
    scale3,
    store3,
    store4,
    sub3,
)

TAKEOVER_NS = 20_000_000  # the camera's samples away for so long: until then its own prediction is the better one
FADE_S = 3.0  # over which the carrier's part comes, goes, and is put right
SMOOTH_S = 0.3  # of the difference: joints shake and encoders step
RATE_SMOOTH_S = 0.3  # longer than a sensor that hangs takes to be found stuck
VEL_STD = 0.3  # m/s: what the arm between the IMUs makes of joint rates
GATE = 25.0  # difference² over its variance: beyond it for APART_S one of the two is wrong, nobody knows which
APART_S = 2.0
CLEAR_S = 1.0  # after a rate at its range or a gap: until then the gyros are not compared
ROUGH_STD = math.radians(3.0)  # rad: while one's tilt is known no better, it has no part
NORTH_S = 5.0  # each finds north by itself, and better tilt with it; one that hasn't so long after the other is told

CARRIER_PARAMS = np.dtype(
    [
        ("on", "u1"),
        ("filter", ESTIMATION_PARAMS),  # antenna_B: from this IMU
        ("stale_s", "f8"),  # without a sample for so long it has failed
        ("joint_std", "f8"),  # rad an axis, of the way through the joints
    ],
    align=True,
)
CARRIER_STATE = np.dtype(
    [
        ("filter", ESTIMATION_STATE),
        ("turn", "f8"),  # rad about down from its N to the camera's, while one has no north
        ("off", "f8", 3),  # rad in N, from the camera's attitude to what the carrier makes of it, low-passed
        ("seen", "u1"),
        ("share", "f8"),  # 0..1, of its part that acts
        ("carried", "u1"),  # the camera's attitude is the carrier's
        ("left", "f8", 3),  # rad in N, then: from the carrier's to what NAV tells, bled off
        ("apart_s", "f8"),
        ("north_s", "f8"),  # for so long one has had north and the other not
        ("rate_off", "f8", 3),  # rad/s in B, low-passed
        ("clear_s", "f8"),  # for so long neither gyro was at its range nor samples missing
    ],
    align=True,
)


@kernel
def carrier_reset(p, s):
    """Forget everything."""
    estimate_reset(p["filter"], s["filter"])
    s["turn"] = 0.0
    s["seen"] = 0
    s["share"] = 0.0
    s["carried"] = 0
    s["apart_s"] = 0.0
    s["north_s"] = 0.0
    for i in range(3):
        s["off"][i] = 0.0
        s["left"][i] = 0.0
        s["rate_off"][i] = 0.0
    s["clear_s"] = 0.0


@kernel
def carrier(p, s, p_cam, cam, sense, meas, nav):
    """One tick, after ``estimate``: the carrier's filter, and NAV from both.

    Args:
        p, s: records of CARRIER_PARAMS and CARRIER_STATE.
        p_cam, cam: ESTIMATION_PARAMS and ESTIMATION_STATE of the camera's filter; its state is changed only where it
            takes up again after the carrier stood in, and where the carrier's filter found north first.
    """
    if not p["on"]:
        return
    base = s["filter"]
    _run(p["filter"], base, sense, meas)
    joints = True
    for i in range(3):
        joints = joints and meas["joint_valid"][i] and meas["joint_age_ns"][i] < PREDICT_S * 1e9
    age_s = (nav["t_ns"] - base["t_ns"]) * 1e-9
    settled = base["started"] and not base["status"] & COARSE
    alive = joints and settled and age_s < p["stale_s"]
    w_B = load3(base["omega"])
    q_BC, w_joints, antenna_B = chain(p_cam, nav["joint_angle_est"], nav["joint_rate_est"])
    q_NB = q_mul(load4(base["q"]), q_exp(scale3(w_B, max(age_s, 0.0))))
    there = q_mul(q_NB, q_BC)
    present = cam["started"] and meas["imu_age_ns"] < TAKEOVER_NS
    dt = p_cam["dt"]
    if s["carried"] and present:
        _take_up(p, s, cam, nav, there)
    both = alive and present and not cam["status"] & COARSE
    if both:
        _compare(p, s, cam, nav, there, dt)
    odd = (cam["status"] | base["status"]) & (CLIPPED | GAP)
    s["clear_s"] = 0.0 if odd else s["clear_s"] + dt
    _rate_off(s, nav, w_B, both and s["clear_s"] > CLEAR_S, dt)
    part = 1.0 if both and s["apart_s"] < APART_S and max(_tilt_var(cam), _tilt_var(base)) < ROUGH_STD**2 else 0.0
    s["share"] += (part - s["share"]) * dt / FADE_S
    tilt_weight, heading_weight = _weights(p, s, cam)
    off = s["off"]
    step = (tilt_weight * off[0], tilt_weight * off[1], heading_weight * off[2])
    q = q_normalize(q_mul(q_exp(step), load4(nav["q_NC_est"])))
    if alive and not present:
        q = _stand_in(p, s, p_cam, nav, q, q_mul(q_axis(2, s["turn"]), there), q_BC, w_joints, antenna_B, dt)
    else:
        s["carried"] = 0
        left = 1.0 - tilt_weight
        base_var = _tilt_var(base) + p["joint_std"] ** 2
        nav["tilt_std"] = math.sqrt(left * left * _tilt_var(cam) + tilt_weight * tilt_weight * base_var)
    store4(nav["q_NC_est"], q)
    store4(nav["q_NB_est"], q_normalize(q_mul(q, q_conj(q_BC))))
    nav["carried"] = s["carried"]
    nav["carrier_valid"] = 1 if alive else 0
    nav["status"] |= (CARRIED if s["carried"] else 0) | (APART if s["apart_s"] >= APART_S else 0)
    store3(nav["carrier_off_N"], load3(off))


@kernel
def _run(p, s, sense, meas):
    """The filter of the carrier's IMU."""
    for k in range(meas["carrier_n"]):
        gyro, accel = load3(meas["carrier_gyro_B_meas"][k]), load3(meas["carrier_accel_B_meas"][k])
        sample(p, s, gyro, accel, meas["carrier_t_ns"][k])
    aid(s, sense)
    epoch_ns = s["epoch_ns"]
    work(p, s)
    headings(p, s, epoch_ns)
    directions(p, s, load4(s["q"]), load3(p["antenna_B"]))


@kernel
def _tilt_var(s):
    return 0.5 * (s["P"][TH, TH] + s["P"][TH + 1, TH + 1])


@kernel
def _heading_var(s):
    return s["P"][TH + 2, TH + 2] + s["heading_var"]


@kernel
def _weights(p, s, cam):
    """Parts of the difference, tilt and heading, that go into NAV."""
    base, joint_var = s["filter"], p["joint_std"] ** 2
    if not s["seen"]:
        return 0.0, 0.0
    tilt, heading = _tilt_var(cam), _heading_var(cam)
    north = cam["status"] & HEADING and base["status"] & HEADING
    tilt_weight = s["share"] * tilt / (tilt + _tilt_var(base) + joint_var)
    return tilt_weight, s["share"] * heading / (heading + _heading_var(base) + joint_var) if north else 0.0


@kernel
def _compare(p, s, cam, nav, there, dt):
    """Low-pass the difference, judge it, and give north to the filter that has none."""
    base, off = s["filter"], s["off"]
    if nav["heading_step"] != 0.0:
        store3(off, q_rotate(q_axis(2, nav["heading_step"]), load3(off)))
    apart = q_mul(there, q_conj(load4(nav["q_NC_est"])))
    about_down = 2.0 * math.atan2(apart[3], apart[0])
    about_down -= 2.0 * math.pi * math.floor((about_down + math.pi) / (2.0 * math.pi))
    joint_var = p["joint_std"] ** 2
    tilt_var = _tilt_var(cam) + _tilt_var(base) + joint_var
    here, other = cam["status"] & HEADING, base["status"] & HEADING
    s["turn"] = 0.0
    if not (here and other):
        apart = q_mul(q_axis(2, -about_down), apart)
        s["turn"] = -about_down
    s["north_s"] = s["north_s"] + dt if (here != 0) != (other != 0) else 0.0
    if s["north_s"] < NORTH_S:
        pass
    elif other:
        tie_heading(cam, about_down, _heading_var(base) + tilt_var)
    else:
        tie_heading(base, -about_down, _heading_var(cam) + tilt_var)
    d = q_log(q_normalize(apart))
    k = dt / SMOOTH_S if s["seen"] else 1.0
    for i in range(3):
        off[i] += k * (d[i] - off[i])
    s["seen"] = 1
    nis = (off[0] * off[0] + off[1] * off[1]) / tilt_var
    if here and other:
        nis = max(nis, off[2] * off[2] / (_heading_var(cam) + _heading_var(base) + joint_var))
    far = not nis < GATE
    s["apart_s"] = min(s["apart_s"] + dt, 2.0 * APART_S) if far else max(s["apart_s"] - dt, 0.0)


@kernel
def _rate_off(s, nav, w_B, both, dt):
    """The base's rate by the camera's gyro and the joints against the carrier's own gyro."""
    off = s["rate_off"]
    for i in range(3):
        difference = nav["omega_NB_B_est"][i] - w_B[i] if both else 0.0
        off[i] += dt / RATE_SMOOTH_S * (difference - off[i])
    nav["carrier_rate_off"] = norm3(load3(off))


@kernel
def _stand_in(p, s, p_cam, nav, q_last, there, q_BC, w_joints, antenna_B, dt):
    """NAV from the carrier and the joints; returns q_NC. q_last: what NAV would tell without it."""
    base = s["filter"]
    w_B, f_B = load3(base["omega"]), load3(base["force"])
    if not s["carried"]:
        store3(s["left"], q_log(q_normalize(q_mul(q_last, q_conj(there)))) if nav["valid"] else (0.0, 0.0, 0.0))
    s["carried"] = 1
    left = scale3(load3(s["left"]), 1.0 - dt / FADE_S)
    store3(s["left"], left)
    q = q_normalize(q_mul(q_exp(left), there))
    store3(nav["omega_NC_C_est"], add3(q_unrotate(q_BC, w_B), w_joints))
    store3(nav["omega_NB_B_est"], w_B)
    store3(nav["accel_C_meas"], q_unrotate(q_BC, f_B))
    q_NB = q_mul(q, q_conj(q_BC))
    arm_B = sub3(load3(p["filter"]["antenna_B"]), antenna_B)
    turn = q_axis(2, s["turn"])
    store3(nav["vel_N_est"], add3(q_rotate(turn, load3(base["x"][V:])), q_rotate(q_NB, cross3(w_B, arm_B))))
    store3(nav["pos_N_est"], add3(load3(base["pos"]), q_rotate(q_NB, arm_B)))
    nav["valid"] = 1
    nav["tilt_std"] = math.sqrt(_tilt_var(base) + p["joint_std"] ** 2)
    nav["heading_std"] = math.sqrt(_heading_var(base) + p["joint_std"] ** 2)
    return q


@kernel
def _take_up(p, s, cam, nav, there):
    """The camera's samples are back: its filter goes on from where the carrier has brought its attitude."""
    base, P, joint_var = s["filter"], cam["P"], p["joint_std"] ** 2
    turn = q_axis(2, s["turn"])
    left = load3(s["left"])
    now = q_normalize(q_mul(q_exp(left), q_mul(turn, there)))
    store4(nav["q_NC_est"], now)
    age_s = (nav["t_ns"] - cam["t_ns"]) * 1e-9
    q = q_normalize(q_mul(now, q_exp(scale3(load3(cam["omega"]), -age_s))))
    store4(cam["q"], q)
    store4(cam["cf_q"], q)
    store4(cam["q_out"], q)
    vel = q_rotate(turn, load3(base["x"][V:]))
    for i in range(3):
        cam["cf_turn"][i] = 0.0
        cam["off"][i] = 0.0
        cam["x"][V + i] = vel[i]
        cam["pos"][i] = base["pos"][i]
        cam["epoch_d"][i] = cam["track"][K_D + i]
        for j in range(N):
            P[TH + i, j] = 0.0
            P[j, TH + i] = 0.0
            P[V + i, j] = 0.0
            P[j, V + i] = 0.0
    for i in range(3):
        P[TH + i, TH + i] = base["P"][TH + i, TH + i] + joint_var
        P[V + i, V + i] = base["P"][V + i, V + i] + VEL_STD**2
        s["off"][i] = -left[i]
    cam["ring_n"] = 0
    cam["fix_pending"] = 0
    cam["line_pending"] = 0
    cam["align_ns"] = 0
    cam["phase"] = 0
    cam["status"] &= ~COARSE
    clear_integrals(cam)
    s["share"] = 0.0
