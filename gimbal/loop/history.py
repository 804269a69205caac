"""What the metrics and plots keep of every tick of a lock-step run."""

from __future__ import annotations

import numpy as np

HISTORY = np.dtype(
    [
        ("t_ns", "i8"),
        ("q_true", "f8", 4),
        ("camera_pos_N", "f8", 3),
        ("target_pos_N", "f8", 3),
        ("q_sp", "f8", 4),
        ("q_est", "f8", 4),
        ("attitude_err_C", "f8", 3),  # from the attitude that control holds against to the setpoint
        ("torque", "f8", 3),
        ("joint_angle", "f8", 3),
        ("motor_temp_degC", "f8", 3),
        ("q_NB", "f8", 4),
        ("fast_share", "f8"),
        ("limits", "u8"),
        ("arm", "i4"),
    ]
)
