"""The convention page as code: frame letters, axis indices, signs. docs/conventions.md says why.

N local level earth (x north, y east, z down) · H heading · B base (x forward, y right, z down) · C camera body
(x along boresight, y right, z down) · I IMU sensor axes · O optical (x right, y down, z forward).
"""

from __future__ import annotations

ROLL, PITCH, YAW = 0, 1, 2
AXES = ("roll", "pitch", "yaw")
AXIS_INDEX = {name: i for i, name in enumerate(AXES)}

# A vector v_C = (z_O, x_O, y_O): row i of C_FROM_O picks the optical component of camera axis i.
C_FROM_O = ((0.0, 0.0, 1.0), (1.0, 0.0, 0.0), (0.0, 1.0, 0.0))

# Specific force of a body at rest, level: (0, 0, -g); gravity in N is (0, 0, +g).
DOWN_N = (0.0, 0.0, 1.0)
STANDARD_GRAVITY_M_S2 = 9.80665
