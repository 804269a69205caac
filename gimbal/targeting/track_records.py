"""The tracker's parameters, state and prediction as records, and how they are filled. Units SI and rad, frame N.

The filter's state, x (17,), is
  0-2    p_s  position in the beacon's own view: its receiver's bias and its hidden delay included, m
  3-5    v    rate of p_s, m/s
  6-8    a    acceleration, m/s²
  9-11   w    Doppler velocity less v, m/s: the position error of a receiver drifts by 0.1 m/s, its Doppler does not
  12-14  b    position bias of the beacon's receiver against the camera's, m
  15     d    how much later than stamped the beacon is, beyond what the camera is, s
  16     h    heading error of the attitude that turns bearings into N, rad: u_measured = Rz(h) u
so a fix measures p_s and v + w and only bearings see b, d and h: the subject is at p_s(t + d) - b. Until the first
bearing the filter is thereby exactly one of the leading twelve states, and only these are computed.
"""

from __future__ import annotations

import enum
import math

import numpy as np

N_X = 17
N_FIXES = 12  # the states that fixes alone move
MEASUREMENTS = 152  # stored: 2 s of 25 Hz fixes and 50 Hz bearings
DENSE, SPARSE = 8, 11  # checkpoints: the newest steps, and one every SPARSE_S
CHECKPOINTS = DENSE + SPARSE
POSES = 80  # camera attitudes kept, one every POSE_S
PACKED = N_X * (N_X + 1) // 2
ALL_STEPS = 1 << 30


class Status(enum.IntEnum):
    """What became of a measurement."""

    ACCEPTED = 0
    GATED = 1  # doesn't fit the track; of a fix its position or its velocity alone, maybe
    LATE = 2  # older than the history
    DUPLICATE = 3  # this source has already given a measurement of that time
    FUTURE = 4  # measured after it arrived
    INVALID = 5  # not finite, or physically impossible
    PENDING = 6  # in the tick only: stored, its replay goes on


class Model(enum.IntEnum):
    AUTO = 0  # velocity frame where fixes carry velocity, else Singer
    VELOCITY_FRAME = 1
    SINGER = 2
    CONSTANT_VELOCITY = 3


MODEL_NAMES = {m.name.lower(): m for m in Model}

FIX, BEARING = 1, 2

MEASUREMENT = np.dtype(
    [
        ("t", "f8"),  # s since the epoch
        ("kind", "i4"),
        ("source", "i4"),
        ("has_vel", "i4"),
        ("decision", "i4"),  # Status
        ("z", "f8", 6),  # fix: position, velocity; bearing: unit vector in N, 0
        ("std", "f8", 3),  # fix: m, m/s, 0; bearing: rad, m at the subject or camera, heading of its attitude rad
        ("camera_N", "f8", 3),
    ],
    align=True,
)

FILTER = np.dtype(
    [
        ("t", "f8"),
        ("x", "f8", N_X),
        ("P", "f8", (N_X, N_X)),
        ("n", "i8"),  # states in use: 0 before the first measurement, N_FIXES, or N_X after the first bearing
        ("frame", "f8"),  # 0..1, how far the velocity is known well enough for the velocity frame
        ("drag", "f8"),  # slow drag over v², 1/m
        ("fix_t", "f8"),  # newest fix used
        ("use_t", "f8"),  # newest measurement used
        ("bearing_t", "f8"),  # newest bearing used
        ("seen_N", "f8", 3),  # the line of sight then
        ("heading_std", "f8"),  # rad, of the attitude of the bearings
        ("bad_fix", "f8"),  # fixes gated in a row
        ("bad_fix_t", "f8"),  # time of the first of them
        ("bad_vel", "f8"),
        ("bad_bearing", "f8"),  # bearings gated in a row
        ("white2", "f8"),  # m², white noise of the positions, learned
        ("last_z", "f8", 9),  # the fix before, for that: position; velocity, or its step and change of step
        ("last_z_t", "f8"),
        ("last_dt", "f8"),
        ("even", "f8"),  # equal intervals in a row
        ("offset", "f8", 3),  # innovation of the gated fixes, to see whether they agree
        ("row", "f8", N_X),  # workspace of an update
        ("gain1", "f8", N_X),
        ("gain2", "f8", N_X),
    ],
    align=True,
)

CHECKPOINT = np.dtype(
    [
        ("valid", "i8"),
        ("t", "f8"),
        ("x", "f8", N_X),
        ("P", "f8", PACKED),
        ("n", "i8"),
        ("aux", "f8", 29),
    ],
    align=True,
)

POSE = np.dtype([("t", "f8"), ("q_NC", "f8", 4), ("pos_N", "f8", 3)], align=True)

# What predict gives; x and half are its own workspace, so that it leaves the state untouched.
PREDICTION = np.dtype(
    [
        ("pos_N", "f8", 3),
        ("vel_N", "f8", 3),
        ("acc_N", "f8", 3),
        ("cov_N", "f8", (9, 9)),
        ("age_s", "f8"),
        ("status", "i8"),
        ("late_s", "f8"),  # state d
        ("late_std_s", "f8"),
        ("x", "f8", N_X),
        ("half", "f8", (9, N_X)),
    ],
    align=True,
)

TRACKER_STATE = np.dtype(
    [
        ("epoch_ns", "i8"),  # t = 0 of the filter: in the tick
        ("epoch_s", "f8"),  # and in a program of one's own
        ("has_epoch", "i8"),
        ("n", "i8"),  # stored measurements
        ("cursor", "i8"),  # the next one to process
        ("free", "i8", MEASUREMENTS),  # slots, a stack
        ("order", "i8", MEASUREMENTS),  # slots in order of measurement time
        ("measurement", MEASUREMENT, MEASUREMENTS),
        ("work", FILTER),  # replaying
        ("served", FILTER),  # last finished
        ("sparse_t", "f8"),
        ("checkpoint", CHECKPOINT, CHECKPOINTS),
        ("pose", POSE, POSES),
        ("pose_next", "i8"),
        ("pose_n", "i8"),
        ("fix_seen_ns", "i8"),  # newest beacon fix taken from SENSE
        ("bearing_seen_ns", "i8"),
        ("camera_acc", "f8", 3),
        ("nav_t", "f8"),
        ("dt_s", "f8"),
        ("fix_status", "i8"),
        ("last_slot", "i8"),  # of the newest measurement
        ("count", "i8", 8),  # measurements by Status
        ("box_xy", "f8", 2),  # the box's place in the picture, the boxes in a row that told it, and where the camera
        ("box_n", "i8"),  # looked when the first of them did
        ("box_x_N", "f8", 3),
        ("incoming", MEASUREMENT),  # workspace
        ("out", PREDICTION),
    ],
    align=True,
)

# name -> (default, unit and meaning). One table, so that the record and the documentation can't drift apart.
PARAMETERS: dict[str, tuple[float, str]] = {
    "model": (0.0, "Model"),
    "history_s": (2.0, "s, measurements older than the newest by more are refused"),
    "coast_s": (3.0, "s without a measurement until COASTING"),
    "lost_s": (8.0, "s without a measurement until LOST: the next fix begins a new track"),
    "future_s": (0.002, "s a stamp may lie after its arrival"),
    "max_pos_m": (1.0e5, "m from the origin: beyond, a local level frame has no meaning"),
    "max_speed_m_s": (250.0, "m/s, no falling or flying body with a parachute is faster"),
    # motion
    "sigma_t": (5.1, "m/s², Singer acceleration along the velocity"),
    "sigma_n": (8.5, "m/s², across it"),
    "sigma_t_per_s": (0.08, "1/s, times the speed: added to that along the velocity, where drag acts"),
    "full_speed_m_s": (24.0, "m/s, below it a wing's forces, and with them these two, shrink with the square"),
    "lively_m_s2": (8.0, "m/s², they grow with the acceleration: a wing that manoeuvres goes on changing"),
    "tau_singer_s": (9.7, "s, correlation of the acceleration"),
    "tau_drag_s": (5.1, "s, along-track force returns to the slow drag"),
    "tau_turn_s": (6.6, "s, side force returns to zero"),
    "tau_lift_s": (19.0, "s, lift returns to trim"),
    "tau_slow_drag_s": (13.0, "s, of the slow drag itself"),
    "gain_turn": (1.1, "share of the velocity frame's turning that the force follows"),
    "gain_square": (0.56, "share of the force's growth with v²"),
    "steep": (0.2, "share of level in the speed, below it (falling) the velocity frame fades"),
    "low_speed_m_s": (4.0, "m/s, below it the velocity frame fades into Singer"),
    # measurements
    "fix_pos_std_m": (0.05, "m, white noise of a fix with velocity, before it is learned"),
    "plain_white": (1.1, "1/s, of the learned white noise of fixes without velocity, growing with their interval"),
    "white_n": (40.0, "fixes over which it is learned"),
    "white_min_m": (0.02, "m, its least"),
    "white_max_m": (1.0, "m, its most"),
    "gate_pos_m": (0.5, "m, added to the noise in the gate: a receiver wanders more than it is noisy"),
    "gate_vel_m_s": (0.5, "m/s, likewise"),
    "fix_vel_std_m_s": (0.185, "m/s"),
    "vel_crowd": (0.4, "power of (0.2 s / interval) by which that variance grows with the rate"),
    "vel_late_s": (0.003, "s, Doppler velocity behind the position of the same fix"),
    "vel_blur_s": (0.001, "s, doubt of that lateness: noise of a velocity per m/s² of acceleration"),
    "drift_m_s": (0.034, "m/s, Doppler velocity against the rate of the position, 1 sigma"),
    "drift_tau_s": (58.0, "s"),
    "plain_share": (0.3, "of the reported accuracy: most that the white noise of a fix without velocity may be"),
    "tau_plain_s": (1.0, "s, Singer's correlation in the mean, where the velocity frame can't be used"),
    "trust_speed": (15.0, "velocity frame fades where the velocity's error exceeds the speed over this"),
    "rig_pos_std_m": (0.15, "m, noise of the rig's own position; its slow error is in the bias"),
    "box_angle_rad": (0.0014, "rad, a box's noise where its source doesn't state it,"),
    "box_size_m": (0.25, "m, and on top of it the jitter of its centre on the subject"),
    "bearing_floor_rad": (0.0005, "rad"),
    # biases
    "bias_h_m": (1.2, "m, beacon against rig, horizontal, 1 sigma"),
    "bias_v_m": (2.0, "m, vertical"),
    "bias_tau_s": (300.0, "s"),
    "delay_std_s": (0.03, "s, beacon's hidden delay against the camera's, 1 sigma"),
    "delay_walk_s": (0.0005, "s per root s"),
    "heading_tau_s": (20.0, "s, heading error of the bearings' attitude"),
    "delay_common_std_s": (0.01, "s, what both may have in common: never observable, widens the covariance"),
    # gates
    "gate_pos": (100.0, "normalised squared innovation, 3 degrees of freedom"),
    "gate_vel": (300.0, "3 degrees of freedom"),
    "wander_nis": (2.0, "squared position error beyond this many expected is the receiver's wander"),
    "gate_bearing": (20.0, "2 degrees of freedom"),
    "bias_most": (5.0, "prior standard deviations: a bias beyond is a wrong lock, and all biases begin anew"),
    "bearings_bad": (60.0, "bearings gated in a row, after which the biases begin anew"),
    "camera_acc_hz": (15.0, "rad/s, corner under which the camera's acceleration is its path's"),
    "camera_range_m": (40.0, "m, range assumed where bearings come before the first fix"),
    "bearing_fresh_s": (0.5, "s without a bearing until the camera counts as blind"),
    "reacquire_s": (0.5, "s that gated fixes must agree before the track jumps to them,"),
    "reacquire_seen_s": (5.0, "s, where the camera goes on seeing the subject elsewhere"),
    "slip_m_s": (5.0, "m/s, a Doppler velocity that the positions contradict by more is never believed"),
    "agree_m": (4.0, "m, gated fixes agree within this"),
}

TRACKER_PARAMS = np.dtype([(name, "f8") for name in PARAMETERS], align=True)


def default_params(
    *, model: str = "auto", history_s: float = 2.0, coast_s: float = 3.0, lost_s: float = 8.0, **changes: float
) -> np.ndarray:
    """One-element TRACKER_PARAMS array.

    Raises:
        ValueError: unknown model, history not in 0.1 to 10 s, or an unknown parameter, named.
    """
    if model not in MODEL_NAMES:
        raise ValueError(f"model is {model!r}; allowed are {', '.join(MODEL_NAMES)}: name one of them")
    if not 0.1 <= history_s <= 10.0:
        raise ValueError(f"history_s is {history_s}; allowed is 0.1 to 10 s: 2 s covers any radio link we know")
    values = {name: default for name, (default, _) in PARAMETERS.items()}
    values |= {"model": float(MODEL_NAMES[model]), "history_s": history_s, "coast_s": coast_s, "lost_s": lost_s}
    for name, value in changes.items():
        if name not in values:
            raise ValueError(f"unknown tracker parameter {name!r}; known: {', '.join(values)}")
        values[name] = float(value)
    params = np.zeros(1, TRACKER_PARAMS)
    for name, value in values.items():
        params[name] = value
    return params


def tracker_reset(params: np.ndarray, state: np.ndarray) -> None:
    """Empty the tracker: no track, no history. ``state`` is a one-element TRACKER_STATE array."""
    s = state[0] if isinstance(state, np.ndarray) and state.shape else state
    for name in TRACKER_STATE.names or ():
        s[name] = np.zeros((), TRACKER_STATE)[name]
    s["free"] = np.arange(MEASUREMENTS)
    for name in ("work", "served"):
        for field in ("t", "fix_t", "use_t", "bearing_t"):
            s[name][field] = -math.inf
    s["sparse_t"] = -math.inf
    s["last_slot"] = -1
