"""The tracker in the tick: beacon fixes and camera bearings of SENSE in, TARGET predicted to the actuation out.

Bounded: a tick processes at most STEPS_A_TICK stored measurements; while a replay goes on, the last finished estimate
serves. A bearing is turned into N with the camera's attitude at the time of its exposure, from a short history.
"""

from __future__ import annotations

import math

from gimbal.kernels.build import kernel
from gimbal.kernels.quat import (
    cross3,
    load3,
    load4,
    norm3,
    q_conj,
    q_log,
    q_mul,
    q_normalize,
    q_rotate,
    scale3,
    store3,
    store4,
    sub3,
)
from gimbal.targeting.track_bearing import turned
from gimbal.targeting.track_history import admit, run
from gimbal.targeting.track_predict import predict
from gimbal.targeting.track_records import (
    CHECKPOINTS,
    POSES,
    TRACKER_PARAMS,
    TRACKER_STATE,
    Status,
    default_params,
    tracker_reset,
)

__all__ = ["TRACKER_PARAMS", "TRACKER_STATE", "Status", "default_params", "track", "tracker_reset"]

STEPS_A_TICK = 8
POSE_S = 0.005  # the camera's attitude is kept this often: 0.4 s in all
FIX, BEARING = 1, 2
PENDING = 6
NONE, TRACKING, COASTING, LOST = 0, 1, 2, 3
FUSED, CAMERA, GNSS, PREDICTED = 1, 2, 3, 4  # TargetSource
MIN_RANGE_M = 0.5
G = 9.80665
SAME_BOXES, SAME_COS = 8, math.cos(math.radians(1.0))


@kernel
def remember_pose(s, nav, q_NC, t):
    """Keep the camera's pose at t (s since the epoch), if the last kept one is POSE_S old."""
    newest = s["pose"][(s["pose_next"] - 1) % POSES]
    if s["pose_n"] > 0 and t < newest["t"] + POSE_S and t >= newest["t"]:
        return
    c = s["pose"][s["pose_next"]]
    c["t"] = t
    for i in range(4):
        c["q_NC"][i] = q_NC[i]
    for i in range(3):
        c["pos_N"][i] = nav["pos_N_est"][i]
    s["pose_next"] = (s["pose_next"] + 1) % POSES
    s["pose_n"] = min(s["pose_n"] + 1, POSES)


@kernel
def _shift_heading(f, angle):
    if f["n"] > 12:
        f["x"][16] += angle


@kernel
def tracker_turned(s, q_turn):
    """The N of control's attitude was turned by q_turn: kept poses, bearings and the heading error turn with it, so
    that the line of sight stays where the camera looks."""
    angle = q_log(q_turn)[2]
    for k in range(s["pose_n"]):
        store4(s["pose"][k]["q_NC"], q_mul(q_turn, load4(s["pose"][k]["q_NC"])))
    for k in range(s["n"]):
        m = s["measurement"][s["order"][k]]
        if m["kind"] == BEARING:
            z = q_rotate(q_turn, (m["z"][0], m["z"][1], m["z"][2]))
            for i in range(3):
                m["z"][i] = z[i]
    for k in range(CHECKPOINTS):
        _shift_heading(s["checkpoint"][k], angle)
    _shift_heading(s["work"], angle)
    _shift_heading(s["served"], angle)
    store3(s["box_x_N"], q_rotate(q_turn, load3(s["box_x_N"])))


@kernel
def pose_at(s, nav, q_NC, nav_t, t):
    """(found, q_NC, pos_N) of the camera at t (s since the epoch), between kept poses and the present one."""
    q1, p1, t1 = q_NC, load3(nav["pos_N_est"]), nav_t
    q, pos = q1, p1
    for k in range(s["pose_n"]):
        c = s["pose"][(s["pose_next"] - 1 - k) % POSES]
        q0, p0, t0 = load4(c["q_NC"]), load3(c["pos_N"]), c["t"]
        if t0 <= t:
            w = min(max((t - t0) / (t1 - t0), 0.0), 1.0) if t1 > t0 else 0.0
            sign = 1.0 if q0[0] * q1[0] + q0[1] * q1[1] + q0[2] * q1[2] + q0[3] * q1[3] >= 0.0 else -1.0
            u = 1.0 - w
            w4 = w * sign
            q = q_normalize(
                (u * q0[0] + w4 * q1[0], u * q0[1] + w4 * q1[1], u * q0[2] + w4 * q1[2], u * q0[3] + w4 * q1[3])
            )
            pos = (u * p0[0] + w * p1[0], u * p0[1] + w * p1[1], u * p0[2] + w * p1[2])
            return True, q, pos
        q1, p1, t1 = q0, p0, t0
    return False, q, pos


@kernel
def fix_waits(s, sense):
    """Has SENSE a beacon fix not seen before? It then waits in ``incoming``."""
    if sense["beacon_valid"] == 0 or sense["beacon_arrival_ns"] == s["fix_seen_ns"]:
        return False
    s["fix_seen_ns"] = sense["beacon_arrival_ns"]
    m = s["incoming"]
    m["kind"] = FIX
    m["t"] = (sense["beacon_t_ns"] - s["epoch_ns"]) * 1e-9
    m["has_vel"] = 1 if sense["beacon_no_vel"] == 0 else 0
    for i in range(3):
        m["z"][i] = sense["beacon_pos_N"][i]
        m["z"][3 + i] = sense["beacon_vel_N"][i]
        m["camera_N"][i] = 0.0
    m["std"][0] = sense["beacon_pos_std"] if sense["beacon_pos_std"] > 0.0 else 3.0
    m["std"][1] = max(sense["beacon_vel_std"], 0.0)
    return True


@kernel
def box_hangs(s, q_NC, xy):
    """Has the box stood at one place of the picture, to the last digit, while the camera turned? What finds it hangs:
    nobody is followed that exactly, and the camera would be led away from the subject by where it once was."""
    x_N = q_rotate(q_NC, (1.0, 0.0, 0.0))
    if xy[0] != s["box_xy"][0] or xy[1] != s["box_xy"][1] or s["box_n"] == 0:
        s["box_xy"][0], s["box_xy"][1], s["box_n"] = xy[0], xy[1], 0
        store3(s["box_x_N"], x_N)
    s["box_n"] += 1
    x0_N = s["box_x_N"]
    return s["box_n"] > SAME_BOXES and x_N[0] * x0_N[0] + x_N[1] * x0_N[1] + x_N[2] * x0_N[2] < SAME_COS


@kernel
def bearing_waits(p, s, sense, nav, q_NC, nav_t):
    """Has SENSE a bearing not seen before? It waits in ``incoming``, turned with the attitude at its exposure."""
    if sense["bearing_valid"] == 0 or sense["bearing_arrival_ns"] == s["bearing_seen_ns"]:
        return False
    s["bearing_seen_ns"] = sense["bearing_arrival_ns"]
    if box_hangs(s, q_NC, sense["bearing_xy"]):
        return False
    m = s["incoming"]
    m["kind"] = BEARING
    m["has_vel"] = 1
    m["t"] = (sense["bearing_t_ns"] - s["epoch_ns"]) * 1e-9
    found, q, camera_N = pose_at(s, nav, q_NC, nav_t, m["t"])
    x, y = sense["bearing_xy"][0], sense["bearing_xy"][1]
    los_N = q_rotate(q, scale3((1.0, x, y), 1.0 / math.sqrt(1.0 + x * x + y * y)))
    for i in range(3):
        m["z"][i] = los_N[i]
        m["z"][3 + i] = nav["vel_N_est"][i]
        m["camera_N"][i] = camera_N[i]
    apart = q_log(q_mul(load4(nav["q_NC_est"]), q_conj(q_NC)))
    tilt2 = nav["tilt_std"] ** 2 + 0.5 * (apart[0] ** 2 + apart[1] ** 2)
    stated = sense["bearing_std"]  # of the whole box; where nothing is stated the rig file's angle and size hold
    angle, size = (stated, 0.0) if stated > 0.0 else (p["box_angle_rad"], p["box_size_m"])
    m["std"][0], m["std"][1] = math.sqrt(angle**2 + tilt2), math.sqrt(p["rig_pos_std_m"] ** 2 + size**2)
    m["std"][2] = math.sqrt(nav["heading_std"] ** 2 + apart[2] ** 2)
    if nav["heading_valid"] == 0 or not found:
        m["t"] = -1e9  # no attitude kept for its time: too late to be of use
    return True


@kernel
def take_in(p, s, sense, nav, q_NC, nav_t):
    """Store this tick's new measurements."""
    for kind in range(FIX, BEARING + 1):
        waits = fix_waits(s, sense) if kind == FIX else bearing_waits(p, s, sense, nav, q_NC, nav_t)
        if waits:
            arrival = sense["beacon_arrival_ns"] if kind == FIX else sense["bearing_arrival_ns"]
            status = admit(p, s, (arrival - s["epoch_ns"]) * 1e-9)
            s["fix_status"] = status
            if status != PENDING:
                s["count"][status] += 1


@kernel
def line_of_sight(s, target, d, vel, acc):
    """Direction, rate and acceleration of the line of sight along d (m), in the N of control's attitude."""
    f = s["served"]
    r = norm3(d)
    target["range_m"] = r
    if r <= MIN_RANGE_M:  # nearer than that there is no line of sight to speak of: the last one stays
        return
    c, sn = (math.cos(f["x"][16]), math.sin(f["x"][16])) if f["n"] > 12 else (1.0, 0.0)
    u = scale3(d, 1.0 / r)
    w = scale3(cross3(u, vel), 1.0 / r)
    closing = 2.0 * (u[0] * vel[0] + u[1] * vel[1] + u[2] * vel[2]) / r
    a = scale3(cross3(u, acc), 1.0 / r)
    a = (a[0] - closing * w[0], a[1] - closing * w[1], a[2] - closing * w[2])
    store3(target["los_N"], turned(u, c, sn))
    store3(target["los_rate_N"], turned(w, c, sn))
    store3(target["los_acc_N"], turned(a, c, sn))


@kernel
def doubt(p, s, nav, target):
    """pos_std and los_std: what the estimate, the biases and the attitude leave open."""
    o = s["out"]
    f = s["served"]
    C = o["cov_N"]
    u = load3(target["los_N"])
    r = max(target["range_m"], MIN_RANGE_M)
    trace, along, largest = 0.0, 0.0, 0.0
    for i in range(3):
        trace += C[i, i]
        largest = max(largest, C[i, i])
        for j in range(3):
            along += u[i] * C[i, j] * u[j]
    across = max(trace - along, 0.0)
    level2 = u[0] * u[0] + u[1] * u[1]
    if f["n"] > 12:  # the camera has seen what beacon, rig and attitude are off by: what it left is in the covariance
        T = o["half"]
        turn = level2 * f["P"][16, 16] + 2.0 * (u[0] * T[1, 16] - u[1] * T[0, 16]) / r
        heading2 = max(turn, 0.0)
    else:
        across += p["bias_h_m"] ** 2 * (1.0 + u[2] * u[2]) + p["bias_v_m"] ** 2 * (1.0 - u[2] * u[2])
        largest += p["bias_v_m"] ** 2
        heading2 = level2 * nav["heading_std"] ** 2
    target["pos_std"] = math.sqrt(max(largest, 0.0))
    across += 2.0 * p["rig_pos_std_m"] ** 2
    target["los_std"] = math.sqrt(0.5 * (across / (r * r) + heading2) + nav["tilt_std"] ** 2)


@kernel
def source_of(p, s, t_act):
    """What the line of sight rests on now: SOURCE_*."""
    f = s["served"]
    camera = f["n"] > 12 and t_act - f["bearing_t"] < p["bearing_fresh_s"]
    beacon = t_act - f["fix_t"] < p["coast_s"]
    if camera:
        return FUSED if beacon else CAMERA
    return GNSS if beacon else PREDICTED


@kernel
def write_target(p, s, nav, q_NC, nav_t, t_act, t_act_ns, target):
    """TARGET from the served estimate: subject, line of sight and its rate from where the camera will then be."""
    o = s["out"]
    age = t_act - s["served"]["use_t"]
    predict(p, s["served"], t_act - max(0.0, age - p["lost_s"]), o, 3)
    pos, vel, acc = load3(o["pos_N"]), load3(o["vel_N"]), load3(o["acc_N"])
    store3(target["pos_N"], pos)
    store3(target["vel_N"], vel)
    store3(target["acc_N"], acc)
    camera_vel = load3(nav["vel_N_est"])
    ahead = t_act - nav_t
    camera = load3(nav["pos_N_est"])
    camera = (camera[0] + ahead * camera_vel[0], camera[1] + ahead * camera_vel[1], camera[2] + ahead * camera_vel[2])
    force = q_rotate(q_NC, load3(nav["accel_C_meas"]))
    for i in range(3):  # vibration is no path
        a = force[i] + (G if i == 2 else 0.0)
        s["camera_acc"][i] += p["camera_acc_hz"] * s["dt_s"] * (a - s["camera_acc"][i])
    line_of_sight(s, target, sub3(pos, camera), sub3(vel, camera_vel), sub3(acc, load3(s["camera_acc"])))
    doubt(p, s, nav, target)
    target["t_ns"] = t_act_ns
    target["age_s"] = age
    target["beacon_late_s"], target["beacon_late_std_s"] = o["late_s"], o["late_std_s"]
    target["source"] = source_of(p, s, t_act)
    target["seen"] = 1 if s["served"]["n"] > 12 else 0
    target["status"] = LOST if age > p["lost_s"] else (COASTING if age > p["coast_s"] else TRACKING)


@kernel
def track(p, s, sense, nav, q_NC, t_act_ns, target):
    """One tick of the tracker.

    Args:
        p, s: records TRACKER_PARAMS, TRACKER_STATE (the state is changed).
        sense, nav: records SENSE, NAV of this tick.
        q_NC: the attitude that control holds against: bearings are turned with it and the line of sight is given in
            its N, so that what it is wrong by cancels in the picture.
        t_act_ns: the moment the command will act, on the clock of SENSE.
        target: record TARGET, written. ``los_rate_N`` is the angular velocity of the line of sight, u x du/dt.
    """
    if s["has_epoch"] == 0:
        s["has_epoch"] = 1
        s["epoch_ns"] = sense["t_ns"]
    nav_ns = nav["t_ns"] if nav["t_ns"] != 0 else sense["t_ns"]
    nav_t = (nav_ns - s["epoch_ns"]) * 1e-9
    s["dt_s"] = min(max(nav_t - s["nav_t"], 0.0), 0.01)
    s["nav_t"] = nav_t
    take_in(p, s, sense, nav, q_NC, nav_t)
    if nav["heading_valid"] != 0:
        remember_pose(s, nav, q_NC, nav_t)
    if run(p, s, STEPS_A_TICK) > 0 and s["fix_status"] == PENDING:
        decision = s["measurement"][s["last_slot"]]["decision"]
        if decision != PENDING:
            s["fix_status"] = decision
            s["count"][decision] += 1
    target["fix_status"] = s["fix_status"]
    if s["served"]["n"] == 0:
        target["status"] = NONE
        return
    write_target(p, s, nav, q_NC, nav_t, (t_act_ns - s["epoch_ns"]) * 1e-9, t_act_ns, target)
