"""What the supervisor watches beyond single values: lateness, repetition, supply, and motion against the command.

Each judge is a few lines over its own counters in WATCH_STATE. docs/safety.md has the table with the reasons.
"""

from __future__ import annotations

import math

import numpy as np

from gimbal.faults import Code
from gimbal.kernels.build import kernel

SHOWN_NS = 1_000_000_000  # an overrun of the loop is shown this long
CUT_TICKS = 2  # a supply below the stop voltage for this long is a cut, not one odd reading
LEAK = 5  # one part of so many: a loop that loses more of its time than that shakes the structure
AFTER_LOSS = 2  # times the ticks of a base that jumped, for a second after lost ticks
EXCUSED = 5  # times the ticks of motion against the push, where push and motion are known not to agree
RAMPING = 3.0
LEAST_TORQUE = 0.3  # share of the torque left when the supply sags
AGAIN_NS = 100_000_000  # ticks lost twice within it: the loops' gain follows the gaps, and for as long forgets them
PRESENT = 4  # ticks without a motor's reading that one with it makes up for: fewer than a fifth are none
BASE_LINE = 8  # ticks of the base's rate kept, at most

WATCH_PARAMS = np.dtype(
    [
        ("dt_ns", "i8"),
        ("stall_ns", "i8"),  # a loop that stood still this long has lost the rig; many short ones may add up to it
        ("gap_ns", "i8"),  # a torque held for longer turns the loops' gain against them: they get less
        ("imu_late_ns", "i8"),  # a sample older than this on arrival, or none for as long, is late
        ("imu_late_max", "i4"),  # ticks of lateness, less the good ones
        ("frozen_ticks", "i4"),
        ("frozen_sent", "f8"),  # N m, rad/s or rad the command must have moved while a motor told the same all along
        ("frozen_asked", "f8"),  # a board: rad/s it was asked for all along
        ("together", "u1"),  # a board: its joints freeze together, and any of the camera's axes may be what moves
        ("joint_late_ns", "i8"),  # as for the IMU, of the joints' readings, where loops are closed over them
        ("joint_late_max", "i4"),
        ("joint_gaps_max", "i4"),  # ticks without a reading, less those made up for, where torque is sent each tick
        ("bus_sag_V", "f8"),
        ("bus_cut_V", "f8"),
        ("follow_err", "f8"),  # rad: farther from the setpoint for follow_ticks, with nothing to explain it
        ("follow_ticks", "i4"),
        ("against_accel", "f8"),  # rad/s²: a push that counts
        ("against_share", "f8"),  # of the push, that the camera accelerates the other way
        ("against_rate", "f8"),  # rad/s off the rate asked for
        ("against_ticks", "i4"),
        ("excused_ticks", "i4"),  # what a lost tick, a stop or the singularity did to the motion is over by then
        ("smooth", "f8"),  # of the low-pass on push and acceleration
        ("turned_rate", "f8"),  # rad/s asked, and as much the other way: for longer than a device's lag makes it,
        ("turned_ticks", "i4"),
        ("base_ticks", "i4"),  # the base's rate is compared with what it was so long ago,
        ("base_jump", "f8"),  # rad/s: a greater change is none of a base's, where it stays
        ("jump_ticks", "i4"),  # longer than the structure, ringing, holds the motors to one side
    ],
    align=True,
)
WATCH_STATE = np.dtype(
    [
        ("t_ns", "i8"),
        ("gap_s", "f8"),  # since the tick before
        ("overrun_ns", "i8"),  # left of SHOWN_NS
        ("lost_ns", "i8"),  # time lost, less LEAK of the time that passes
        ("gap_ns", "i8"),  # the longest of the gaps that come again and again, forgotten within AGAIN_NS
        ("imu_late", "i4"),
        ("joint_late", "i4"),
        ("joint_gaps", "i4", 3),
        ("repeats", "i4", 3),
        ("told", "f8", (3, 3)),  # angle, rate, torque of each joint, last
        ("sent_lo", "f8", 3),
        ("sent_hi", "f8", 3),
        ("sent", "f8", 3),  # torque, rate or angle of the tick before
        ("bus_seen", "u1"),
        ("bus_low", "i4"),
        ("share", "f8"),  # of the torque limits that is left
        ("sagging", "u1"),
        ("follow", "i4"),
        ("against", "i4"),
        ("indulged", "u1"),  # push and motion were not compared as strictly in the tick before
        ("unread_s", "f8", 3),  # since each joint's newest reading came
        ("turned", "i4"),
        ("excused", "i4"),  # ticks left
        ("omega", "f8", 3),
        ("accel", "f8", 3),
        ("push", "f8", 3),
        ("base", "f8", (BASE_LINE, 3)),
        ("base_seen", "i4"),  # rows of it filled since the last excuse
        ("jumped", "i4"),
    ],
    align=True,
)


@kernel
def _overrun(p, w, now_ns):
    gap_ns = now_ns - w["t_ns"] if w["t_ns"] != 0 else p["dt_ns"]
    w["t_ns"] = now_ns
    w["gap_s"] = 1e-9 * gap_ns
    lost = 2 * gap_ns > 3 * p["dt_ns"]
    again = lost and w["overrun_ns"] - gap_ns > SHOWN_NS - AGAIN_NS
    w["gap_ns"] -= w["gap_ns"] * min(gap_ns, AGAIN_NS) // AGAIN_NS
    w["gap_ns"] = max(w["gap_ns"], gap_ns) if again else w["gap_ns"]
    w["overrun_ns"] = SHOWN_NS if lost else max(w["overrun_ns"] - gap_ns, 0)
    w["lost_ns"] = max(w["lost_ns"] + gap_ns - p["dt_ns"] - gap_ns // LEAK, 0)
    return gap_ns > p["stall_ns"] or w["lost_ns"] > p["stall_ns"]


@kernel
def steady(p, w):
    """Share of the loops' gain, 0 to 1, that holds with ticks lost again and again: a torque that is held for a gap
    turns the camera by the gap times the gain, and more than that at once is a push from side to side."""
    return min(1.0, p["gap_ns"] / max(w["gap_ns"], p["gap_ns"]))


@kernel
def _imu_late(p, w, meas):
    """Ticks with a gap count one, ticks with an old sample two, good ones take one away: a single gap shorter than the
    limit passes, lateness that stays doesn't."""
    if meas["imu_age_ns"] > p["imu_late_ns"]:
        w["imu_late"] += 2 if meas["imu_n"] > 0 else 1
        w["imu_late"] = min(w["imu_late"], 2 * p["imu_late_max"])  # no longer to forget than it took
    elif w["imu_late"] > 0:
        w["imu_late"] -= 1
    return w["imu_late"] > p["imu_late_max"]


@kernel
def _joint_late(p, w, meas):
    """Rates sent to joints carry the base's motion, found from their readings: with old ones the loop shakes itself.
    A late tick counts two, a good one takes one away, so half of the readings are too few. In torque the loop is closed
    over the gyro: age does no harm, only a line that lets hardly anything through does."""
    missed = False
    for a in range(3):
        new = meas["joint_new"][a] != 0
        missed = missed or not new
        gaps = max(w["joint_gaps"][a] - PRESENT, 0) if new else w["joint_gaps"][a] + 1
        w["joint_gaps"][a] = min(gaps, 2 * p["joint_gaps_max"])
        if w["joint_gaps"][a] > p["joint_gaps_max"]:
            return True
    if p["joint_late_max"] == 0:
        return False
    oldest = max(meas["joint_age_ns"][0], meas["joint_age_ns"][1], meas["joint_age_ns"][2])
    if missed or oldest > p["joint_late_ns"]:
        w["joint_late"] = min(w["joint_late"] + 2, 2 * p["joint_late_max"])
    else:
        w["joint_late"] = max(w["joint_late"] - 1, 0)
    return w["joint_late"] > p["joint_late_max"]


@kernel
def _frozen(p, w, meas):
    """A controller that tells the same to the last bit while its command is being moved doesn't measure any more."""
    still, moved = 0, False
    for a in range(3):
        if not meas["joint_new"][a]:
            continue
        told = w["told"][a]
        x, v, t = meas["joint_angle_meas"][a], meas["joint_rate_meas"][a], meas["joint_torque_applied"][a]
        if x == told[0] and v == told[1] and t == told[2]:
            sent, first = w["sent"][a], w["repeats"][a] == 0
            w["sent_lo"][a] = sent if first else min(w["sent_lo"][a], sent)
            w["sent_hi"][a] = sent if first else max(w["sent_hi"][a], sent)
            w["repeats"][a] += 1
        else:
            for b in range(3):  # one of a board's joints may tell the same for long: it stands still
                if b == a or p["together"]:
                    w["repeats"][b] = 0
            told[0] = x
            told[1] = v
            told[2] = t
        if w["repeats"][a] >= p["frozen_ticks"]:
            still += 1
            moved = moved or w["sent_hi"][a] - w["sent_lo"][a] > p["frozen_sent"]
            moved = moved or p["together"] and max(w["sent_lo"][a], -w["sent_hi"][a]) > p["frozen_asked"]
            if moved and not p["together"]:
                return True
    return moved and still == 3


@kernel
def _supply(p, w, sense):
    """The supply: what is left of the torque limits. True: it has been cut."""
    if sense["joint_valid"][0] or sense["joint_valid"][1] or sense["joint_valid"][2]:
        volts = sense["bus_V"]
        if volts >= p["bus_sag_V"]:
            w["bus_seen"] = 1
        w["bus_low"] = w["bus_low"] + 1 if w["bus_seen"] and volts < p["bus_cut_V"] else 0
        w["sagging"] = 1 if w["bus_seen"] and volts < p["bus_sag_V"] else 0
        room = (volts - p["bus_cut_V"]) / (p["bus_sag_V"] - p["bus_cut_V"])
        w["share"] = max(LEAST_TORQUE, room) if w["sagging"] else 1.0
    elif w["share"] == 0.0:
        w["share"] = 1.0
    return w["bus_low"] >= CUT_TICKS


@kernel
def watch_inputs(p, w, sense, meas):
    """Judge the inputs of this tick, armed or not. Returns a fault code or 0, the wired stop first."""
    stalled = _overrun(p, w, sense["t_ns"])
    late = _imu_late(p, w, meas)
    slow = _joint_late(p, w, meas)
    frozen = _frozen(p, w, meas)
    if _supply(p, w, sense):
        return Code.WIRED_STOP.value
    if stalled:
        return Code.LOOP_STALLED.value
    if late:
        return Code.IMU_LATE.value
    if slow:
        return Code.MOTOR_LATE.value
    if frozen:
        return Code.MOTOR_FROZEN.value
    return 0


@kernel
def watch_rest(w, omega_C):
    """Not armed: nothing is pushed, nothing is followed."""
    w["follow"] = 0
    w["against"] = 0
    w["turned"] = 0
    w["base_seen"] = 0
    w["jumped"] = 0
    for i in range(3):
        w["repeats"][i] = 0
        w["omega"][i] = omega_C[i]
        w["accel"][i] = 0.0
        w["push"][i] = 0.0
        w["sent"][i] = 0.0
        w["unread_s"][i] = 0.0


@kernel
def watch_excuse(p, w, excused):
    """True while something explains a distance from the setpoint, or why what is asked is not what acts, and for a
    while after; lost ticks are such a thing."""
    if excused or w["overrun_ns"] == SHOWN_NS:
        w["excused"] = p["excused_ticks"]
    elif w["excused"] > 0:
        w["excused"] -= 1
    return w["excused"] > 0


@kernel
def watch_follow(p, w, control, ramping, excused):
    """FOLLOWING_ERROR where the camera stays far from its setpoint, or 0. While the ramp gives little authority, far is
    RAMPING times as far."""
    err2 = 0.0
    for i in range(3):
        err2 += control["attitude_err_C"][i] * control["attitude_err_C"][i]
    far = p["follow_err"] * (RAMPING if ramping else 1.0)
    w["follow"] = w["follow"] + 1 if err2 > far * far and not excused else 0
    return Code.FOLLOWING_ERROR.value if w["follow"] >= p["follow_ticks"] else 0


@kernel
def watch_turning(p, w, asked, turning, excused):
    """RUNAWAY where a device with a loop of its own turns the other way than it is asked, or 0.

    Args:
        asked, turning: (3,) rad/s: of the joints, or of the camera where a board is asked for that.
    """
    wrong = False
    for a in range(3):
        least = min(abs(asked[a]), abs(turning[a]))
        wrong = wrong or (asked[a] * turning[a] < 0.0 and least > p["turned_rate"])
    w["turned"] = w["turned"] + 1 if wrong else max(w["turned"] - 1, 0)
    return Code.RUNAWAY.value if w["turned"] >= p["turned_ticks"] * (EXCUSED if excused else 1) else 0


@kernel
def watch_silence(w, meas):
    """For how long, s, the motor unread for longest is. Readings that are old but keep coming are no silence."""
    for i in range(3):
        w["unread_s"][i] = 0.0 if meas["joint_new"][i] else w["unread_s"][i] + w["gap_s"]
    return w["unread_s"].max()


@kernel
def watch_motion(p, w, omega_C, control, push_C, excused):
    """RUNAWAY where the camera moves against the push it gets, or 0.

    A motor that pulls the wrong way makes the camera accelerate against the push while the push tries to mend its
    rate, and more so each tick; a disturbance does so for a few ms only. Both are smoothed alike, so that structure
    and noise do not count.

    Args:
        omega_C: rad/s. control: CONTROL.
        push_C: rad/s², the acceleration that the loops' part of the limited torque should make.
        excused: what is asked is not what acts (after a gap of the IMU: what is seen is not when it happened).
    """
    push2 = along = slip = 0.0
    for i in range(3):
        accel = (omega_C[i] - w["omega"][i]) / w["gap_s"]
        w["omega"][i] = omega_C[i]
        w["accel"][i] += p["smooth"] * (accel - w["accel"][i])
        w["push"][i] += p["smooth"] * (push_C[i] - w["push"][i])
        push2 += w["push"][i] * w["push"][i]
        along += w["accel"][i] * w["push"][i]
        slip += control["rate_err_C"][i] * w["push"][i]
    against = push2 > p["against_accel"] * p["against_accel"] and along < -p["against_share"] * push2
    against = against and slip > p["against_rate"] * math.sqrt(push2)
    if w["indulged"] and not excused:  # at most half the limit of it counts on: the rest must be seen
        w["against"] = min(w["against"], p["against_ticks"] // 2)
    w["indulged"] = 1 if excused else 0
    w["against"] = w["against"] + 1 if against else max(w["against"] - 1, 0)
    return Code.RUNAWAY.value if w["against"] >= p["against_ticks"] * (EXCUSED if excused else 1) else 0


@kernel
def watch_base(p, w, omega_B, excused):
    """IMU_DISAGREES where gyro and encoders together have the base start turning in an instant: one of them lies.

    Args:
        omega_B: rad/s, the base's rate: the camera's by the gyro less the joints'.
        excused: an end stop or the singularity jolts the motors, on which the encoders sit, or the two were not read
            at one time.
    """
    if excused:
        w["base_seen"] = 0
    ticks = p["base_ticks"]
    row = w["base"][w["base_seen"] % ticks]
    change2 = 0.0
    for i in range(3):
        change2 += (omega_B[i] - row[i]) ** 2
    jumped = w["base_seen"] >= ticks and change2 > p["base_jump"] * p["base_jump"]
    if not jumped:  # a jump is measured against the rate before it
        for i in range(3):
            row[i] = omega_B[i]
        w["base_seen"] = ticks + (w["base_seen"] + 1) % ticks if w["base_seen"] >= ticks else w["base_seen"] + 1
    w["jumped"] = w["jumped"] + 1 if jumped else 0
    # After lost ticks the structure may ring, and the encoders sit on the motors.
    most = p["jump_ticks"] * (AFTER_LOSS if w["overrun_ns"] > 0 else 1)
    return Code.IMU_DISAGREES.value if w["jumped"] >= most else 0
