"""The modes, apart from the records: the command line's help lists them without loading numpy."""

from __future__ import annotations

import enum


class Mode(enum.IntEnum):
    """What the operator asked for."""

    OFF = 0
    LOCK = 1  # axis held in the world
    RATE = 2  # operator's rates, about the camera's axes
    TRACK = 3  # follow the target
    STOW = 4  # joints to their stow angles
    FOLLOW = 5  # follows the base's heading, through windows
    POINT = 6  # a place in N
    PATH = 7  # a recorded move
    HOME = 8  # joints to zero
