"""Every record that crosses a stage border, as numpy dtypes. Units are SI and rad; the frame is in the name.

A record is used as a one-element array (``np.zeros(1, SENSE)``): such an array passes into a compiled kernel in
0.2 us, and its fields are read by name in Python and in kernels alike. Suffixes are those of docs/conventions.md:
_meas calibrated, _est filter output, _sp setpoint, _ff feed-forward, _lim limited, _cmd sent, _applied reported.
Time is ``t_ns``: int64 on CLOCK_MONOTONIC, at the sample. No field is NaN.
"""

from __future__ import annotations

import enum

import numpy as np

from gimbal.modes import Mode as Mode

IMU_MAX = 8  # IMU samples a tick can take
CARRIER_MAX = 4  # of the carrier's IMU: every row of a log carries them


class JointMode(enum.IntEnum):
    """COMMAND.mode, per joint."""

    OFF = 0
    TORQUE = 1
    RATE = 2
    ANGLE = 3
    BRAKE = 4


class Arm(enum.IntEnum):
    """The supervisor's state."""

    BOOT = 0
    SELF_TEST = 1
    IDLE = 2
    ARMED = 3
    SAFE = 4  # latched: left only by an operator's ack


class Verb(enum.IntEnum):
    """INBOX.verb: one typed command of an operator."""

    NONE = 0
    ARM = 1
    DISARM = 2
    STOP = 3
    ACK = 4
    MODE = 5
    RATE = 6
    POINT = 7  # vector = position in N, m
    TRIM = 8  # vector = framing offset right, down (rad), zoom unused
    PATH = 9  # vector[0]: 0 end, 1 begin the recording of a move, 2 play it; vector[1] = speed of playing


class TargetStatus(enum.IntEnum):
    NONE = 0
    TRACKING = 1
    COASTING = 2  # predicting without fixes
    LOST = 3


class TargetSource(enum.IntEnum):
    """What TARGET's line of sight rests on."""

    NONE = 0
    FUSED = 1  # beacon and camera
    CAMERA = 2  # bearings alone
    GNSS = 3  # the beacon alone
    PREDICTED = 4  # neither at present


def _record(*fields: tuple) -> np.dtype:
    return np.dtype(list(fields), align=True)


_FIX = (
    ("valid", "u1"),
    ("t_ns", "i8"),
    ("arrival_ns", "i8"),
    ("pos_N", "f8", 3),
    ("vel_N", "f8", 3),
    ("pos_std", "f8"),
    ("vel_std", "f8"),
    ("no_vel", "u1"),  # the receiver gives no velocity: vel_N means nothing
)


def _fix(prefix: str) -> tuple:
    return tuple((f"{prefix}_{f[0]}", *f[1:]) for f in _FIX)


# What the rig hands the loop each tick. Zeroed before each read; a zero field means absent.
SENSE = _record(
    ("t_ns", "i8"),  # the deadline of this tick
    ("imu_n", "i4"),  # samples since the last tick, 0 to 8
    ("imu_status", "u4"),  # bit 0 a sample was clipped, bit 1 samples were lost before these
    ("imu_t_ns", "i8", IMU_MAX),
    ("imu_gyro_I", "f8", (IMU_MAX, 3)),  # rad/s
    ("imu_accel_I", "f8", (IMU_MAX, 3)),  # m/s², specific force; at rest, level: 0, 0, -9.81
    ("joint_valid", "u1", 3),
    ("joint_t_ns", "i8", 3),
    ("joint_angle", "f8", 3),  # rad, index ROLL, PITCH, YAW
    ("joint_rate", "f8", 3),  # rad/s
    ("joint_torque_applied", "f8", 3),  # N m, reported by the controller
    ("motor_temp_degC", "f8", 3),
    ("motor_fault", "u4", 3),  # device code, 0 = none
    ("bus_V", "f8"),
    *_fix("gnss"),  # the rig's own receiver, camera-side antenna
    *_fix("beacon"),  # the subject's
    ("bearing_valid", "u1"),
    ("bearing_t_ns", "i8"),
    ("bearing_arrival_ns", "i8"),
    ("bearing_xy", "f8", 2),  # tangents from the boresight, right and down
    ("bearing_std", "f8"),  # rad, of the whole; 0: not known, the rig file's figures hold
    (
        "link_lost",
        "u4",
    ),  # bit per device: 1 IMU, 2 motors, 4 GNSS, 8 beacon, 16 vision, 32 carrier IMU: port gone or silent
    ("imu_temp_degC", "f8"),  # of the IMU; 0 = it doesn't say
    ("mag_valid", "u1"),
    ("mag_t_ns", "i8"),
    ("mag_I", "f8", 3),  # uT, sensor axes, as the IMU gives it
    ("heading_valid", "u1"),  # of the line between two antennas on the base
    ("heading_t_ns", "i8"),
    ("heading", "f8"),  # rad from true north
    ("heading_std", "f8"),  # rad
    ("heading_soft", "u1"),  # 1: another estimator's word (an autopilot's attitude), which may be wrong for long
    ("wired_stop_open", "u1"),  # the wired stop chain is open (motor power is cut)
    ("carrier_n", "i4"),  # samples of a second IMU, on the carrier before the outermost joint, as imu_*
    ("carrier_status", "u4"),
    ("carrier_t_ns", "i8", CARRIER_MAX),
    ("carrier_gyro_I", "f8", (CARRIER_MAX, 3)),  # in that sensor's own axes
    ("carrier_accel_I", "f8", (CARRIER_MAX, 3)),
    ("sent_ns", "i8"),  # the command before: its bytes were out so long after that tick's deadline; 0 = not known
)

# One operator command, read once a tick from shared memory.
INBOX = _record(
    ("seq", "u8"),  # 0 = no new command
    ("owner", "u4"),  # who sent it
    ("verb", "i4"),  # Verb
    ("mode", "i4"),  # Mode, with MODE
    ("vector", "f8", 3),  # RATE: roll, pitch, yaw rad/s about the camera's axes
    ("deadline_ns", "i8"),  # not acted on later than this; a rate expires then
    ("stop_count", "u8"),  # grows by one with each STOP from any client: never lost behind the queue
)

# Sensors -> estimation, control: calibrated, in camera axes and our joint sense.
MEAS = _record(
    ("imu_n", "i4"),
    ("imu_status", "u4"),  # as SENSE, plus bit 2 constant, bits 3, 4: non-finite, future ones dropped
    ("imu_t_ns", "i8", IMU_MAX),
    ("imu_dt_s", "f8", IMU_MAX),  # time since the sample before
    ("gyro_C_meas", "f8", (IMU_MAX, 3)),
    ("accel_C_meas", "f8", (IMU_MAX, 3)),
    ("imu_age_ns", "i8"),  # of the newest sample, at SENSE.t_ns
    ("joint_valid", "u1", 3),
    ("joint_new", "u1", 3),
    ("joint_t_ns", "i8", 3),
    ("joint_age_ns", "i8", 3),
    ("joint_angle_meas", "f8", 3),
    ("joint_rate_meas", "f8", 3),
    ("joint_torque_applied", "f8", 3),
    ("mag_valid", "u1"),
    ("mag_C_meas", "f8", 3),  # uT
    ("carrier_n", "i4"),
    ("carrier_status", "u4"),  # as imu_status
    ("carrier_t_ns", "i8", CARRIER_MAX),
    ("carrier_gyro_B_meas", "f8", (CARRIER_MAX, 3)),
    ("carrier_accel_B_meas", "f8", (CARRIER_MAX, 3)),
    ("carrier_age_ns", "i8"),
)

# Estimation -> everyone.
NAV = _record(
    ("t_ns", "i8"),  # the estimate is for this moment
    ("valid", "u1"),  # attitude fit to fly on
    ("settled", "u1"),  # since the start the tilt has been known as well as the first seconds can make it
    ("heading_valid", "u1"),  # heading tied to north well enough to point at a place
    ("status", "u4"),  # bits of estimation.attitude
    ("q_NC_est", "f8", 4),
    ("smoothing_N", "f8", 3),  # rad: exp(smoothing_N) q_NC_est is the attitude without the steps of its corrections
    ("omega_NC_C_est", "f8", 3),  # rad/s, bias removed, newest sample
    ("accel_C_meas", "f8", 3),  # m/s², specific force, bias removed, newest sample
    ("vel_N_est", "f8", 3),
    ("pos_N_est", "f8", 3),
    ("gyro_bias", "f8", 3),
    ("accel_bias", "f8", 3),
    ("tilt_std", "f8"),  # rad
    ("heading_std", "f8"),  # rad
    ("heading_step", "f8"),  # rad: heading was found in this tick, N turned by this about down; setpoints turn along
    ("joint_angle_est", "f8", 3),
    ("joint_rate_est", "f8", 3),
    ("q_NB_est", "f8", 4),
    ("omega_NB_B_est", "f8", 3),
    ("carried", "u1"),  # the camera IMU is silent: attitude and rate are the carrier's, through the joints
    ("carrier_valid", "u1"),  # a second IMU, on the carrier, has its part in the attitude
    ("carrier_off_N", "f8", 3),  # rad, from the camera IMU's attitude to what the carrier's makes of it, low-passed
    ("carrier_rate_off", "f8"),  # rad/s, of the base: camera gyro less joints against the carrier's gyro, low-passed
)

# Targeting -> control and everyone.
TARGET = _record(
    ("status", "i4"),  # TargetStatus
    ("fix_status", "i4"),  # tracker Status of the newest measurement
    ("t_ns", "i8"),  # the prediction is for this moment
    ("age_s", "f8"),  # of the newest accepted fix
    ("pos_N", "f8", 3),
    ("vel_N", "f8", 3),
    ("acc_N", "f8", 3),
    ("pos_std", "f8"),  # m, largest axis
    ("range_m", "f8"),
    ("los_N", "f8", 3),  # unit vector camera -> target
    ("los_rate_N", "f8", 3),  # rad/s, perpendicular to the line of sight
    ("los_std", "f8"),  # rad
    ("los_acc_N", "f8", 3),  # rad/s²
    ("source", "i4"),  # TargetSource
    ("seen", "u1"),  # the camera has had the subject on this track
    ("zoom_mm", "f8"),  # advised focal length, 0 = none
    ("focus_m", "f8"),  # advised focus distance, 0 = none
    ("beacon_late_s", "f8"),  # how much later than stamped the beacon is, beyond what the camera is: estimated
    ("beacon_late_std_s", "f8"),
)

GOAL = _record(
    ("mode", "i4"),  # Mode in force (after fall-backs)
    ("owner", "u4"),  # who is in control
    ("reason", "i4"),  # fault or limit code why the mode is not the one asked for
    ("joint_space", "u1"),  # 1: joint_goal counts, 0: q_NC_goal
    ("q_NC_goal", "f8", 4),
    ("rate_goal_C", "f8", 3),
    ("accel_goal_C", "f8", 3),
    ("joint_goal", "f8", 3),
)

SETPOINT = _record(
    ("q_NC_sp", "f8", 4),
    ("rate_sp_C", "f8", 3),
    ("accel_sp_C", "f8", 3),
)

# Of this tick's estimate, for gimbal boards that stabilise themselves and can use their mount's motion.
CARRIER = _record(
    ("t_ns", "i8"),
    ("valid", "u1"),
    ("heading_valid", "u1"),
    ("q_NC_est", "f8", 4),
    ("q_NB_est", "f8", 4),
    ("omega_NB_B_est", "f8", 3),
    ("vel_N_est", "f8", 3),
    ("force_B", "f8", 3),  # m/s², specific force
)

COMMAND = _record(
    ("mode", "i4", 3),  # JointMode
    ("joint_torque_cmd", "f8", 3),  # N m
    ("joint_rate_cmd", "f8", 3),  # rad/s
    ("joint_angle_cmd", "f8", 3),  # rad
    ("camera_rate_cmd_C", "f8", 3),  # rad/s about the camera's axes, against N: for boards, in place of joint rates
    ("q_NC_cmd", "f8", 4),  # zero, or the attitude a board shall hold, in place of joint angles
    ("carrier", CARRIER),  # for boards; zero otherwise
)

# Control's internals, for tuning and for the supervisor.
CONTROL = _record(
    ("attitude_err_C", "f8", 3),  # rotation vector from estimate to setpoint
    ("rate_cmd_C", "f8", 3),  # what the rate loop is asked for
    ("rate_err_C", "f8", 3),
    ("p", "f8", 3),
    ("i", "f8", 3),
    ("d", "f8", 3),
    ("ff", "f8", 3),  # N m at the joints
    ("disturbance_est", "f8", 3),  # N m at the joints
    ("saturated", "u1", 3),
    ("torque_lim", "f8", 3),
    ("singularity_margin", "f8"),
    ("fast_share", "f8"),  # 0..1, of the fast loops in the feedback
)

HEALTH = _record(
    ("arm", "i4"),  # Arm
    ("fault", "i4"),  # the latched fault, 0 = none
    ("limits", "u8"),  # bit per limit code below 64 now acting
    ("blockers", "u8"),  # bit per reason that forbids arming
    ("imu_age_ns", "i8"),
    ("joint_age_ns", "i8", 3),
    ("ramp", "f8"),  # 0..1, authority after arming
    ("last_seq", "u8"),  # newest command acted on
    ("commands_refused", "u4"),
    ("fault_now", "i4"),  # the fault that holds in this tick, latched or not; 0 = none
)

# Filled by the process, never by the step: the only part of a row that differs between two equal runs.
TIMING = _record(
    ("wake_ns", "i8"),  # wake-up after the deadline
    ("read_ns", "i8"),
    ("step_ns", "i8"),
    ("written_ns", "i8"),  # deadline to motor bytes written
    ("skipped", "u4"),  # whole periods passed over before this tick
    ("unsent", "i4"),  # what rig.write answered: 0 = every motor line took its bytes, else a negative status
)

TICK = _record(
    ("tick", "u8"),
    ("t_ns", "i8"),
    ("sense", SENSE),
    ("inbox", INBOX),
    ("nav", NAV),
    ("target", TARGET),
    ("goal", GOAL),
    ("setpoint", SETPOINT),
    ("control", CONTROL),
    ("command", COMMAND),
    ("health", HEALTH),
    ("timing", TIMING),
)
