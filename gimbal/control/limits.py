"""What may reach a motor: torque limit, joint rate limit and soft end-stops, all in joint torque."""

from __future__ import annotations

import numpy as np

from gimbal.faults import Code
from gimbal.kernels.build import kernel

LIMITS_PARAMS = np.dtype(
    [
        ("max_torque", "f8", 3),
        ("max_rate", "f8", 3),
        ("rate_damping", "f8", 3),  # N m s/rad above the rate limit
        ("stop_min", "f8", 3),
        ("stop_max", "f8", 3),
        ("stop_width", "f8", 3),
        ("stop_damping", "f8", 3),  # N m s/rad inside the soft zone
        ("continuous", "u1", 3),
    ],
    align=True,
)


@kernel
def _end_stop(p, axis, angle, rate, torque):
    """A spring that reaches the full torque at the hard stop, damping while moving outwards, no help outwards.

    All of it is for the last degree: the rate command has ended the motion outwards before (feasible), and a damper on
    the motor's side, late as it is, would ring the structure.
    """
    if p["continuous"][axis]:
        return torque, False
    width = p["stop_width"][axis]
    if width <= 0.0:
        return torque, False
    depth = 0.0
    outwards = 1.0
    if angle > p["stop_max"][axis] - width:
        depth = min((angle - (p["stop_max"][axis] - width)) / width, 1.0)
    elif angle < p["stop_min"][axis] + width:
        depth = min(((p["stop_min"][axis] + width) - angle) / width, 1.0)
        outwards = -1.0
    if depth <= 0.0:
        return torque, False
    steep = depth * depth
    steep *= steep * steep
    push = outwards * torque
    if push > 0.0:
        push *= 1.0 - steep  # the loop's wish to go further out fades
    push -= p["max_torque"][axis] * steep
    speed = outwards * rate
    if speed > 0.0:
        push -= p["stop_damping"][axis] * steep * speed
    return outwards * push, True


@kernel
def limit_torque(p, nav, torque, share, limited, saturated):
    """Limit ``torque`` (3,) into ``limited`` (3,). Returns limit bits.

    Args:
        share: (3,) what is left of the greatest torque (temperature), 0 to 1.
        saturated: (3,) set to 1 where something was cut.
    """
    bits = 0
    for a in range(3):
        x = torque[a]
        rate = nav["joint_rate_est"][a]
        over = abs(rate) - p["max_rate"][a]
        if over > 0.0:
            x -= (1.0 if rate > 0.0 else -1.0) * p["rate_damping"][a] * over
            bits |= 1 << Code.RATE_LIMIT
        x, stopped = _end_stop(p, a, nav["joint_angle_est"][a], rate, x)
        if stopped:
            bits |= 1 << Code.END_STOP
        most = share[a] * p["max_torque"][a]
        x = min(max(x, -most), most)
        cut = abs(x - torque[a]) > 1e-9
        if cut and abs(x) >= most:
            bits |= 1 << Code.TORQUE_LIMIT
        saturated[a] = 1 if cut else 0
        limited[a] = x
    return bits
