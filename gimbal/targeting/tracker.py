"""The tracker in the tick: beacon fixes and camera bearings of SENSE in, TARGET predicted to the actuation out.

Bounded: a tick processes at most STEPS_A_TICK stored measurements; while a replay goes on, the last finished estimate
serves. A bearing is turned into N with the camera's attitude at the time of its exposure, from a short history.
"""

from __future__ import annotations

import math

from gimbal.kernels.build import kernel
from gimbal.kernels.quat import cross3, load3, load4, norm3, q_normalize, q_rotate, scale3, store3, sub3
from gimbal.targeting.track_history import admit, run
from gimbal.targeting.track_predict import predict
from gimbal.targeting.track_records import (
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
MIN_RANGE_M = 0.5


@kernel
def remember_pose(s, nav, t):
    """Keep the camera's pose at t (s since the epoch), if the last kept one is POSE_S old."""
    newest = s["pose"][(s["pose_next"] - 1) % POSES]
    if s["pose_n"] > 0 and t < newest["t"] + POSE_S and t >= newest["t"]:
        return
    c = s["pose"][s["pose_next"]]
    c["t"] = t
    for i in range(4):
        c["q_NC"][i] = nav["q_NC_est"][i]
    for i in range(3):
        c["pos_N"][i] = nav["pos_N_est"][i]
    s["pose_next"] = (s["pose_next"] + 1) % POSES
    s["pose_n"] = min(s["pose_n"] + 1, POSES)


@kernel
def pose_at(s, nav, nav_t, t):
    """(found, q_NC, pos_N) of the camera at t (s since the epoch), between kept poses and the present one."""
    q1, p1, t1 = load4(nav["q_NC_est"]), load3(nav["pos_N_est"]), nav_t
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
def bearing_waits(p, s, sense, nav, nav_t):
    """Has SENSE a bearing not seen before? It waits in ``incoming``, turned with the attitude at its exposure."""
    if sense["bearing_valid"] == 0 or sense["bearing_arrival_ns"] == s["bearing_seen_ns"]:
        return False
    s["bearing_seen_ns"] = sense["bearing_arrival_ns"]
    m = s["incoming"]
    m["kind"] = BEARING
    m["has_vel"] = 0
    m["t"] = (sense["bearing_t_ns"] - s["epoch_ns"]) * 1e-9
    found, q_NC, camera_N = pose_at(s, nav, nav_t, m["t"])
    x, y = sense["bearing_xy"][0], sense["bearing_xy"][1]
    los_N = q_rotate(q_NC, scale3((1.0, x, y), 1.0 / math.sqrt(1.0 + x * x + y * y)))
    for i in range(3):
        m["z"][i] = los_N[i]
        m["z"][3 + i] = 0.0
        m["camera_N"][i] = camera_N[i]
    m["std"][0], m["std"][1] = sense["bearing_std"], p["rig_pos_std_m"]
    if nav["valid"] == 0 or not found:
        m["t"] = -1e9  # no attitude kept for its time: too late to be of use
    return True


@kernel
def take_in(p, s, sense, nav, nav_t):
    """Store this tick's new measurements."""
    for kind in range(FIX, BEARING + 1):
        waits = fix_waits(s, sense) if kind == FIX else bearing_waits(p, s, sense, nav, nav_t)
        if waits:
            arrival = sense["beacon_arrival_ns"] if kind == FIX else sense["bearing_arrival_ns"]
            status = admit(p, s, (arrival - s["epoch_ns"]) * 1e-9)
            s["fix_status"] = status
            if status != PENDING:
                s["count"][status] += 1


@kernel
def write_target(p, s, nav, nav_t, t_act, t_act_ns, target):
    """TARGET from the served estimate: subject, line of sight and its rate from where the camera will then be."""
    o = s["out"]
    age = t_act - s["served"]["use_t"]
    predict(p, s["served"], t_act - max(0.0, age - p["lost_s"]), o, 3)
    pos, vel = load3(o["pos_N"]), load3(o["vel_N"])
    store3(target["pos_N"], pos)
    store3(target["vel_N"], vel)
    store3(target["acc_N"], load3(o["acc_N"]))
    camera_vel = load3(nav["vel_N_est"])
    ahead = t_act - nav_t
    camera = load3(nav["pos_N_est"])
    camera = (camera[0] + ahead * camera_vel[0], camera[1] + ahead * camera_vel[1], camera[2] + ahead * camera_vel[2])
    d = sub3(pos, camera)
    r = norm3(d)
    target["range_m"] = r
    if r > MIN_RANGE_M:  # nearer than that there is no line of sight to speak of: the last one stays
        u = scale3(d, 1.0 / r)
        store3(target["los_N"], u)
        store3(target["los_rate_N"], scale3(cross3(u, sub3(vel, camera_vel)), 1.0 / r))
    u = load3(target["los_N"])
    C = o["cov_N"]
    trace, along, largest = 0.0, 0.0, 0.0
    for i in range(3):
        trace += C[i, i]
        largest = max(largest, C[i, i])
        for j in range(3):
            along += u[i] * C[i, j] * u[j]
    across = 0.5 * max(trace - along, 0.0) + p["rig_pos_std_m"] ** 2
    attitude = 0.5 * (nav["tilt_std"] ** 2 + nav["heading_std"] ** 2)
    target["pos_std"] = math.sqrt(max(largest, 0.0))
    target["los_std"] = math.sqrt(across / max(r * r, MIN_RANGE_M**2) + attitude)
    target["t_ns"] = t_act_ns
    target["age_s"] = age
    target["status"] = LOST if age > p["lost_s"] else (COASTING if age > p["coast_s"] else TRACKING)


@kernel
def track(p, s, sense, nav, t_act_ns, target):
    """One tick of the tracker.

    Args:
        p, s: records TRACKER_PARAMS, TRACKER_STATE (the state is changed).
        sense, nav: records SENSE, NAV of this tick.
        t_act_ns: the moment the command will act, on the clock of SENSE.
        target: record TARGET, written. ``los_rate_N`` is the angular velocity of the line of sight, u x du/dt.
    """
    if s["has_epoch"] == 0:
        s["has_epoch"] = 1
        s["epoch_ns"] = sense["t_ns"]
    nav_ns = nav["t_ns"] if nav["t_ns"] != 0 else sense["t_ns"]
    nav_t = (nav_ns - s["epoch_ns"]) * 1e-9
    take_in(p, s, sense, nav, nav_t)
    if nav["valid"] != 0:
        remember_pose(s, nav, nav_t)
    if run(p, s, STEPS_A_TICK) > 0 and s["fix_status"] == PENDING:
        decision = s["measurement"][s["last_slot"]]["decision"]
        if decision != PENDING:
            s["fix_status"] = decision
            s["count"][decision] += 1
    target["fix_status"] = s["fix_status"]
    if s["served"]["n"] == 0:
        target["status"] = NONE
        return
    write_target(p, s, nav, nav_t, (t_act_ns - s["epoch_ns"]) * 1e-9, t_act_ns, target)
