"""Where the camera must look to show the subject at the framing point, horizon level, and how fast that turns."""

from __future__ import annotations

import math

from gimbal.kernels.build import kernel
from gimbal.kernels.quat import add3, cross3, norm3, q_axis, q_level, q_mul, q_rotate, q_unrotate, scale3

STEP_S = 0.005


@kernel
def boresight_for(line_of_sight_N, right, down):
    """Direction of the boresight that puts line_of_sight_N `right` and `down` (rad) of the picture's centre.

    Two fixed-point steps: the offset is applied in the level camera's own axes, which turn a little with it.
    """
    r = math.tan(right)
    d = math.tan(down)
    aim = scale3(line_of_sight_N, math.sqrt(1.0 + r * r + d * d))  # = x + r y + d z
    x = line_of_sight_N
    for _ in range(2):
        q = q_level(x, 0.0)
        x = add3(aim, scale3(q_rotate(q, (0.0, r, d)), -1.0))
        x = scale3(x, 1.0 / max(norm3(x), 1e-9))
    return x


@kernel
def level_rate_N(line_of_sight_N, los_rate_N):
    """Rate (rad/s, in N) of the level camera frame on a line of sight that turns at los_rate_N.

    The level frame pans about down and tilts about its own y axis; near straight up or down the pan rate
    is held at what a direction 3 degrees off would need, since level has no meaning there.
    """
    x = line_of_sight_N
    d = cross3(los_rate_N, x)  # time derivative of the unit vector
    h2 = max(x[0] * x[0] + x[1] * x[1], 2.7e-3)
    pan = (x[0] * d[1] - x[1] * d[0]) / h2
    h = math.sqrt(h2)
    tilt = -d[2] / h
    return (-tilt * x[1] / h, tilt * x[0] / h, pan)


@kernel
def level_goal(line_of_sight_N, los_rate_N, los_acc_N, right, down):
    """Attitude q_NC, rate and acceleration in C of a level camera framing line_of_sight_N at the offset (right, down).

    The acceleration is the level frame's own, by the difference of its rate over STEP_S of the line of sight's motion.
    """
    x = boresight_for(line_of_sight_N, right, down)
    q = q_level(x, 0.0)
    rate_N = level_rate_N(x, los_rate_N)
    next_x = add3(x, scale3(cross3(los_rate_N, x), STEP_S))
    next_x = scale3(next_x, 1.0 / max(norm3(next_x), 1e-9))
    next_N = level_rate_N(next_x, add3(los_rate_N, scale3(los_acc_N, STEP_S)))
    accel_N = scale3(add3(next_N, scale3(rate_N, -1.0)), 1.0 / STEP_S)
    return q, q_unrotate(q, rate_N), q_unrotate(q, accel_N)


@kernel
def banked(q, rate_C, bank, bank_rate):
    """A level attitude and its rate, leaned to the right by ``bank`` (rad) about the boresight."""
    lean = q_axis(0, bank)
    w = q_unrotate(lean, rate_C)
    return q_mul(q, lean), (w[0] + bank_rate, w[1], w[2])
