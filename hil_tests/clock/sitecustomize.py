"""A process started with this folder on its path has a wall clock off by what the file GIMBAL_TEST_CLOCK holds, s.

The machine's own clock is everybody's: it is not stepped for a test.
"""

import os
import time

_true_ns, _file = time.time_ns, os.environ.get("GIMBAL_TEST_CLOCK", "")


def _time_ns() -> int:
    try:
        with open(_file) as file:
            return _true_ns() + int(1e9 * float(file.read() or 0.0))
    except (OSError, ValueError):
        return _true_ns()


time.time_ns = _time_ns
time.time = lambda: 1e-9 * _time_ns()
