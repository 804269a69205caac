"""From a wanted camera acceleration to joint torques: shaped feedback, known causes fed forward.

Feedback torque is M J^-1 alpha; each joint's flexible mode sits in its own joint, so the shaping filters are per
joint. Feed-forward is computed torque at the moment it will act: what the chain needs for the wanted motion while the
base moves as predicted, under the measured specific force, plus friction, cable and cogging. None of it depends on
the error, so it costs no stability margin.
"""

from __future__ import annotations

import numpy as np

from gimbal.control.base_shake import SHAKE_PARAMS, SHAKE_STATE, shake, turning
from gimbal.control.cogging import COGGING_PARAMS, COGGING_STATE, cogging_torque, learn_cogging
from gimbal.control.compliance import compliance_reset, learn_compliance
from gimbal.control.foresight import FORESIGHT_PARAMS, FORESIGHT_STATE, foresee
from gimbal.control.friction import FRICTION_PARAMS, FRICTION_STATE, friction_torque
from gimbal.control.joint_kinematics import (
    CHAIN_PARAMS,
    CHAIN_STATE,
    chain_torque,
    joint_motion,
    mass_matrix,
    place_chain,
)
from gimbal.control.motion_ahead import AHEAD_PARAMS, AHEAD_STATE, OLDEST_S, look_ahead, remember_through
from gimbal.control.sign_check import SIGN_STATE, check_sign, sign_reset
from gimbal.kernels.build import kernel
from gimbal.kernels.filters import biquad
from gimbal.kernels.quat import add3, dot3, load3, load4, q_rotate, scale3, store3, sub3

IMU_LATE_NS = 3_000_000  # older samples teach nothing
APART = 0.65  # |det J|: nearer to the singularity the stretch of one joint looks like another's
SEEN = 4  # of the gyro's rates
NOTCHES = 6  # second-order sections per joint

ALLOCATION_PARAMS = np.dtype(
    [
        ("chain", CHAIN_PARAMS),
        ("friction", FRICTION_PARAMS),
        ("cogging", COGGING_PARAMS),
        ("ahead", AHEAD_PARAMS),
        ("shake", SHAKE_PARAMS),
        ("foresight", FORESIGHT_PARAMS),
        ("sections", "f8", (3, NOTCHES, 5)),  # per joint, by axis index
        ("fast_sections", "f8", (3, NOTCHES, 5)),
        ("with_fast", "u1"),
        ("gyro_lag_s", "f8"),
        ("singularity_cos", "f8"),  # |det J| under which it is reported,
        ("whole_cos", "f8"),  # under which less is fed forward of a base acceleration that isn't foreseen,
        ("faded_cos", "f8"),  # and nothing under this,
        ("floor_cos", "f8"),  # and under which the outer joint is asked for no more
        ("most", "f8"),  # N m into the shaping: its slow sections would remember what no motor makes
        ("with_inertia", "u1"),
        ("with_imbalance", "u1"),
        ("with_los", "u1"),
    ],
    align=True,
)
ALLOCATION_STATE = np.dtype(
    [
        ("chain", CHAIN_STATE),
        ("friction", FRICTION_STATE),
        ("cogging", COGGING_STATE),
        ("ahead", AHEAD_STATE),
        ("shake", SHAKE_STATE),
        ("foresight", FORESIGHT_STATE),
        ("sections", "f8", (3, NOTCHES, 2)),
        ("fast_sections", "f8", (3, NOTCHES, 2)),
        ("fast", "f8", 3),  # N m, by axis index, the fast loops' feedback
        ("joint_accel", "f8", 3),  # by place, scratch
        ("seen_rate", "f8", (SEEN, 3)),  # rad/s, the camera's, newest first,
        ("seen_ns", "i8", SEEN),  # and when the samples were taken
        ("whole", "u1"),  # armed with full authority, and no torque was cut
        ("doubted", "u1"),  # what is foreseen of the base's acceleration
        ("faded", "f8"),  # share of the base's acceleration and of friction that isn't fed forward: it rings
        ("camera_rate", "f8", 3),  # joint rates that the camera's measured rotation makes, by axis index
        ("rate", "f8", 3),  # joint rates and accelerations when the torque acts, by axis index
        ("accel", "f8", 3),
        ("feedback", "f8", 3),  # N m, by axis index, after the shaping
        ("feedforward", "f8", 3),
        ("dynamics", "f8", 3),  # the part of feedforward without friction, cable and cogging
        ("drag", "f8", 3),  # and that of friction and cable
        ("sign", SIGN_STATE),
    ],
    align=True,
)


@kernel
def allocation_reset(s):
    """Clear the shaping filters, so that arming starts from zero torque, and trust every feed-forward."""
    sign_reset(s["sign"])
    compliance_reset(s["ahead"]["compliance"])
    for a in range(3):
        for n in range(NOTCHES):
            for i in range(2):
                s["sections"][a, n, i] = 0.0
                s["fast_sections"][a, n, i] = 0.0


@kernel
def _joint_motion(p, s, q_BC, vector_C, out):
    """Joint rates (or accelerations), by axis index into ``out``, that turn the camera at vector_C."""
    joint_motion(s["chain"], q_rotate(q_BC, vector_C), p["floor_cos"], s["joint_accel"])
    for k in range(3):
        out[p["chain"]["order"][k]] = s["joint_accel"][k]


@kernel
def _follow_camera(p, s, rate_C):
    """What the camera's own rotation makes of the joints, and of the stages about the joints' axes."""
    chain, ahead, order = s["chain"], s["ahead"], p["chain"]["order"]
    q_BC = load4(chain["q_B"][2])
    rate_B = q_rotate(q_BC, rate_C)
    for k in range(3):
        ahead["camera_turn"][order[k]] = dot3(load3(chain["axis_B"][k]), rate_B)
    ahead["across"] = dot3(load3(chain["axis_B"][0]), load3(chain["axis_B"][2]))
    _joint_motion(p, s, q_BC, rate_C, s["camera_rate"])


@kernel
def _rate_then(p, s, meas, now_ns, rate_C, dt_s):
    """The camera's rate when the readings of the joints changed, half a tick before them: between the gyro's samples,
    or as it went on after the newest. Where these two are not of one time, the camera's own turning passes for the
    base's."""
    rates, times, ahead = s["seen_rate"], s["seen_ns"], s["ahead"]
    if meas["imu_n"] > 0 or times[0] == 0:
        for i in range(SEEN - 1, 0, -1):
            times[i] = times[i - 1]
            for c in range(3):
                rates[i, c] = rates[i - 1, c]
        times[0] = now_ns - meas["imu_age_ns"]
        store3(rates[0], rate_C)
    age_s = (ahead["age"][0] + ahead["age"][1] + ahead["age"][2]) / 3.0
    then = 1e-9 * (now_ns - times[0]) + p["gyro_lag_s"] - age_s - 0.5 * dt_s  # after the newest sample
    i = 0
    while i < SEEN - 2 and then < -1e-9 * (times[0] - times[i + 1]):
        i += 1
    between = 1e-9 * (times[i] - times[i + 1])
    if not 0.0 < between < OLDEST_S or now_ns - times[0] > 1e9 * OLDEST_S:
        return rate_C
    share = min(max((then + 1e-9 * (times[0] - times[i])) / between, -1.0), 1.0)
    new, old = load3(rates[i]), load3(rates[i + 1])
    return add3(new, scale3(sub3(new, old), share))


@kernel
def model_chain(p, s, meas, nav, dt_s):
    """The joints' motion when the torque will act, kinematics and mass matrix there."""
    chain, ahead, order = s["chain"], s["ahead"], p["chain"]["order"]
    rate_C = load3(nav["omega_NC_C_est"])
    if p["ahead"]["fresh"] and not nav["carried"]:
        rate_C = _rate_then(p, s, meas, nav["t_ns"], rate_C, dt_s)
    if p["ahead"]["fresh"]:  # by the pose of the tick before; a rate as old would pass for motion of the base
        _follow_camera(p, s, rate_C)
    look_ahead(p["ahead"], ahead, order, meas, s["camera_rate"], dt_s)
    if p["ahead"]["fresh"] and ahead["seen"].all():
        shake(p["shake"], s["shake"], order, ahead, rate_C, s["doubted"], dt_s)
        good = s["whole"] and meas["joint_new"].all() and meas["imu_age_ns"] < IMU_LATE_NS and meas["imu_status"] == 0
        good = good and chain["margin"] > APART
        learn_compliance(p["ahead"]["compliance"], ahead, order, s["shake"], s["camera_rate"], good, dt_s)
    place_chain(p["chain"], chain, ahead["angle"])
    mass_matrix(p["chain"], chain)
    if not p["ahead"]["fresh"]:
        _follow_camera(p, s, rate_C)


@kernel
def _feedback(p, s, q_BC, demand_C, sections, memory, out):
    """Joint torques of an acceleration of the camera, shaped, by axis index into ``out``."""
    M, order = s["chain"]["M"], p["chain"]["order"]
    joint_motion(s["chain"], q_rotate(q_BC, demand_C), p["floor_cos"], s["joint_accel"])
    for k in range(3):
        a = order[k]
        x = M[k, 0] * s["joint_accel"][0] + M[k, 1] * s["joint_accel"][1] + M[k, 2] * s["joint_accel"][2]
        if abs(x) > p["most"]:  # what is no number stays none
            x = p["most"] if x > 0.0 else -p["most"]
        for n in range(NOTCHES):
            x = biquad(sections[a, n], memory[a, n], x)
        out[a] = x


@kernel
def allocate(p, s, demand_C, fast_C, share, rate_sp_C, accel_sp_C, force_C, dt_s):
    """Joint torques, by axis index, into ``feedback`` and ``feedforward``.

    Args:
        demand_C: feedback acceleration of the camera, rad/s², camera axes. fast_C: the fast loops'.
        share: of the fast loops, 0 to 1.
        rate_sp_C, accel_sp_C: rate and acceleration of the setpoint, rad/s and rad/s², camera axes.
        force_C: specific force at the camera stage's origin, m/s², camera axes.
    """
    chain, ahead = s["chain"], s["ahead"]
    order = p["chain"]["order"]
    q_BC = load4(chain["q_B"][2])
    _feedback(p, s, q_BC, demand_C, p["sections"], s["sections"], s["feedback"])
    if p["with_fast"]:
        _feedback(p, s, q_BC, fast_C, p["fast_sections"], s["fast_sections"], s["fast"])
        for a in range(3):
            s["feedback"][a] += share * (s["fast"][a] - s["feedback"][a])

    _joint_motion(p, s, q_BC, rate_sp_C, s["rate"])
    alpha_C = accel_sp_C if p["with_los"] else (0.0, 0.0, 0.0)
    _joint_motion(p, s, q_BC, alpha_C, s["accel"])
    for a in range(3):
        s["rate"][a] += ahead["rate"][a]
    a0, a1, a2 = load3(chain["axis_B"][0]), load3(chain["axis_B"][1]), load3(chain["axis_B"][2])
    own = turning(a0, a1, a2, s["rate"][order[0]], s["rate"][order[1]], s["rate"][order[2]])
    # through the singularity without a jump; what isn't foreseen carries more noise, and fades out before
    margin, floor, room = chain["margin"], p["floor_cos"], p["whole_cos"] - p["faded_cos"]
    near = min(max((margin - p["faded_cos"]) / max(room, 1e-3), 0.0), 1.0)
    near += s["shake"]["trust"] * (min(margin / max(floor, 1e-3), 1.0) - near)
    base_B = scale3(add3(load3(s["shake"]["alpha_B"]), own), near * (s["faded"] - 1.0))
    joint_motion(chain, base_B, p["floor_cos"], s["joint_accel"])
    for k in range(3):
        s["accel"][order[k]] += s["joint_accel"][k]
    chain_torque(
        p["chain"],
        chain,
        s["rate"],
        s["accel"],
        q_rotate(q_BC, rate_sp_C),
        q_rotate(q_BC, alpha_C),
        q_rotate(q_BC, foresee(p["foresight"], s["foresight"], force_C, force_C)),
        p["with_inertia"],
        p["with_imbalance"],
    )
    for k in range(3):
        a = order[k]
        s["dynamics"][a] = chain["torque"][k]
        s["drag"][a] = friction_torque(p["friction"], s["friction"], a, s["rate"][a], ahead["angle"][a], dt_s)
        faded = s["sign"]["faded"]
        total = (1.0 - faded[a, 0]) * s["dynamics"][a] + (1.0 - faded[a, 1]) * (1.0 - s["faded"]) * s["drag"][a]
        s["feedforward"][a] = total + cogging_torque(p["cogging"], s["cogging"], a, ahead["angle"][a])


@kernel
def learn(p, s, dt_s):
    """Move what feedback does again and again over to the feed-forward; only while armed with full authority.

    Returns whether a feed-forward is off because its sign is wrong.
    """
    for a in range(3):
        learn_cogging(p["cogging"], s["cogging"], a, s["rate"][a], s["feedback"][a], dt_s)
    return check_sign(s["sign"], s["feedback"], s["dynamics"], s["drag"], dt_s)


@kernel
def remember_torque(s, torque):
    """What of this tick's joint torque (3,), after limits, goes through the structure: all but friction and so on."""
    for a in range(3):
        s["joint_accel"][a] = torque[a] - (s["feedforward"][a] - s["dynamics"][a])
    remember_through(s["ahead"], s["joint_accel"])
