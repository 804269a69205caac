"""Late and out-of-order measurements: kept in order of measurement time, replayed from the newest checkpoint before.

A filter state is stored before every step (the newest DENSE of them) and every SPARSE_S; a measurement that belongs
between others rewinds the working filter to the newest checkpoint older than itself and lets it run again over what
is stored. The work can be spread over ticks: the last finished estimate serves meanwhile.
"""

from __future__ import annotations

import math

from gimbal.kernels.build import kernel
from gimbal.targeting.track_records import DENSE, MEASUREMENTS, SPARSE
from gimbal.targeting.track_update import take

SPARSE_S = 0.2
SAME_S = 1e-6  # one source has one measurement of a moment
ACCEPTED, GATED, LATE, DUPLICATE, FUTURE, INVALID, PENDING = 0, 1, 2, 3, 4, 5, 6
BEARING = 2
NEVER = -1e300


@kernel
def copy_filter(src, dst):
    """dst = src, all but the workspace."""
    n = src["n"]
    for i in range(n):
        dst["x"][i] = src["x"][i]
        for j in range(n):
            dst["P"][i, j] = src["P"][i, j]
    for i in range(3):
        dst["offset"][i] = src["offset"][i]
        dst["seen_N"][i] = src["seen_N"][i]
    for i in range(9):
        dst["last_z"][i] = src["last_z"][i]
    dst["white2"], dst["last_z_t"] = src["white2"], src["last_z_t"]
    dst["last_dt"], dst["even"] = src["last_dt"], src["even"]
    dst["t"], dst["n"], dst["frame"], dst["drag"] = src["t"], src["n"], src["frame"], src["drag"]
    dst["fix_t"], dst["use_t"] = src["fix_t"], src["use_t"]
    dst["bad_fix"], dst["bad_fix_t"], dst["bad_vel"] = src["bad_fix"], src["bad_fix_t"], src["bad_vel"]
    dst["bad_bearing"], dst["bearing_t"], dst["heading_std"] = src["bad_bearing"], src["bearing_t"], src["heading_std"]


@kernel
def store_checkpoint(f, c):
    c["valid"], c["t"], c["n"] = 1, f["t"], f["n"]
    k = 0
    for i in range(f["n"]):
        c["x"][i] = f["x"][i]
        for j in range(i + 1):
            c["P"][k] = f["P"][i, j]
            k += 1
    a = c["aux"]
    a[0], a[1], a[2], a[3] = f["frame"], f["drag"], f["fix_t"], f["use_t"]
    a[4], a[5], a[6], a[7] = f["bad_fix"], f["bad_fix_t"], f["bad_vel"], f["bad_bearing"]
    a[8], a[9], a[10], a[11] = f["white2"], f["last_z_t"], f["last_dt"], f["even"]
    for i in range(3):
        a[12 + i] = f["offset"][i]
        a[26 + i] = f["seen_N"][i]
    for i in range(9):
        a[15 + i] = f["last_z"][i]
    a[24], a[25] = f["bearing_t"], f["heading_std"]


@kernel
def load_checkpoint(c, f):
    f["t"], f["n"] = c["t"], c["n"]
    k = 0
    for i in range(f["n"]):
        f["x"][i] = c["x"][i]
        for j in range(i + 1):
            f["P"][i, j] = c["P"][k]
            f["P"][j, i] = c["P"][k]
            k += 1
    a = c["aux"]
    f["frame"], f["drag"], f["fix_t"], f["use_t"] = a[0], a[1], a[2], a[3]
    f["bad_fix"], f["bad_fix_t"], f["bad_vel"], f["bad_bearing"] = a[4], a[5], a[6], a[7]
    f["white2"], f["last_z_t"], f["last_dt"], f["even"] = a[8], a[9], a[10], a[11]
    for i in range(3):
        f["offset"][i] = a[12 + i]
        f["seen_N"][i] = a[26 + i]
    for i in range(9):
        f["last_z"][i] = a[15 + i]
    f["bearing_t"], f["heading_std"] = a[24], a[25]


@kernel
def slot_to_overwrite(s, first, last):
    """Among checkpoints first..last-1 a void one, else the oldest."""
    best = first
    for i in range(first, last):
        c = s["checkpoint"][i]
        if c["valid"] == 0:
            return i
        if c["t"] < s["checkpoint"][best]["t"]:
            best = i
    return best


@kernel
def checkpoint(s):
    """Keep the working filter as it is before its next step: among the newest, and one every SPARSE_S."""
    f = s["work"]
    for sparse in range(2):
        if sparse == 0 or not f["t"] < s["sparse_t"] + SPARSE_S:
            i = slot_to_overwrite(s, sparse * DENSE, DENSE + sparse * SPARSE)
            store_checkpoint(f, s["checkpoint"][i])
            if sparse == 1:
                s["sparse_t"] = f["t"]


@kernel
def checkpoint_before(s, t):
    """Index of the newest checkpoint strictly older than t, or -1."""
    best, best_t = -1, NEVER * 2.0
    for i in range(DENSE + SPARSE):
        c = s["checkpoint"][i]
        if c["valid"] != 0 and c["t"] < t and (best < 0 or c["t"] > best_t):
            best, best_t = i, c["t"]
    return best


@kernel
def rewind(s, best, t):
    """Working filter back to checkpoint best, the newest before t; those not older than t are void."""
    load_checkpoint(s["checkpoint"][best], s["work"])
    t_back = s["work"]["t"]
    s["sparse_t"] = NEVER
    for i in range(DENSE + SPARSE):
        c = s["checkpoint"][i]
        if c["valid"] != 0 and c["t"] >= t:
            c["valid"] = 0
        elif i >= DENSE and c["valid"] != 0:
            s["sparse_t"] = max(s["sparse_t"], c["t"])
    k = s["cursor"]
    while k > 0 and s["measurement"][s["order"][k - 1]]["t"] > t_back:
        k -= 1
    s["cursor"] = k


@kernel
def forget(p, s, t):
    """Drop processed measurements older than the history before t; if still full, the oldest."""
    order = s["order"]
    k = 0
    while k < s["cursor"] and s["measurement"][order[k]]["t"] < t - p["history_s"]:
        k += 1
    if k == 0 and s["n"] == MEASUREMENTS:
        k = 1
        s["cursor"] = max(s["cursor"], 1)
    if k == 0:
        return
    n = s["n"]
    for i in range(k):
        s["free"][MEASUREMENTS - n + i] = order[i]
    for i in range(k, n):
        order[i - k] = order[i]
    s["n"] = n - k
    s["cursor"] -= k


@kernel
def is_sound(p, m):
    """Are the numbers of measurement m finite and physically possible?"""
    z = m["z"]
    std = m["std"]
    fix = m["kind"] != BEARING
    ok = math.isfinite(m["t"]) and std[0] > 0.0 and std[1] >= 0.0 and math.isfinite(std[0] + std[1] + std[2])
    size, speed2 = 0.0, 0.0
    for i in range(3):
        ok = ok and math.isfinite(z[i] + z[3 + i] + m["camera_N"][i])
        size += z[i] * z[i]
        speed2 += z[3 + i] * z[3 + i]
    if fix:
        return ok and size < p["max_pos_m"] ** 2 and speed2 < p["max_speed_m_s"] ** 2
    return ok and abs(size - 1.0) < 0.02


@kernel
def admit(p, s, arrival):
    """Store the measurement that waits in ``s["incoming"]``, which arrived at ``arrival`` (s since the epoch).

    Returns its Status: PENDING if it is now at its place in the history, waiting to be processed.
    """
    new = s["incoming"]
    t = new["t"]
    if not is_sound(p, new) or not math.isfinite(arrival):
        return INVALID
    if t > arrival + p["future_s"]:
        return FUTURE
    order = s["order"]
    n = s["n"]
    k = n  # place after all that are not newer
    while k > 0 and s["measurement"][order[k - 1]]["t"] > t:
        k -= 1
    for i in range(max(0, k - 4), min(n, k + 4)):
        m = s["measurement"][order[i]]
        if abs(m["t"] - t) < SAME_S and m["source"] == new["source"] and m["kind"] == new["kind"]:
            return DUPLICATE
    if n > 0 and t < s["measurement"][order[n - 1]]["t"] - p["history_s"]:
        return LATE
    if k < s["cursor"] or t < s["work"]["t"]:
        best = checkpoint_before(s, t)
        if best < 0:
            return LATE
        rewind(s, best, t)
    insert(p, s, k)
    return PENDING


@kernel
def insert(p, s, k):
    """Put ``s["incoming"]`` at place k of the order, after dropping what the history no longer needs."""
    new = s["incoming"]
    n = s["n"]
    if n == MEASUREMENTS or (n > 0 and s["measurement"][s["order"][0]]["t"] < new["t"] - p["history_s"] - 0.5):
        forget(p, s, new["t"])
        k = max(0, k - n + s["n"])
        n = s["n"]
    slot = s["free"][MEASUREMENTS - n - 1]
    for i in range(n, k, -1):
        s["order"][i] = s["order"][i - 1]
    s["order"][k] = slot
    s["n"] = n + 1
    s["last_slot"] = slot
    m = s["measurement"][slot]
    m["t"], m["kind"], m["source"], m["has_vel"] = new["t"], new["kind"], new["source"], new["has_vel"]
    m["decision"] = PENDING
    for i in range(6):
        m["z"][i] = new["z"][i]
    for i in range(3):
        m["camera_N"][i] = new["camera_N"][i]
        m["std"][i] = new["std"][i]


@kernel
def run(p, s, steps):
    """Process at most ``steps`` stored measurements; at the end of them the estimate is served. Returns steps done."""
    f = s["work"]
    done = 0
    while s["cursor"] < s["n"] and done < steps:
        m = s["measurement"][s["order"][s["cursor"]]]
        if m["t"] > f["t"] or f["n"] == 0:
            checkpoint(s)
        m["decision"] = take(p, f, m)
        s["cursor"] += 1
        done += 1
    if done > 0 and s["cursor"] == s["n"]:
        copy_filter(f, s["served"])
    return done
