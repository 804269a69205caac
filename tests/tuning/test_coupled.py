"""The coupled loops: single axes where they are aligned, one determinant where they aren't."""

from __future__ import annotations

import numpy as np
import pytest

from gimbal.config.load import load_rig
from gimbal.frames import AXES
from gimbal.tuning.coupled import axes_in_camera, grid, modes, nearness, parts, plant_response
from gimbal.tuning.model import Change, Controller, loop_response, make_axis, mass_matrix


@pytest.mark.parametrize("blend", [0.0, 0.5, 1.0])
def test_at_the_zero_pose_it_is_the_single_axes(blend):
    rig, at = load_rig("torque").config, np.zeros(3)
    f = grid(rig)
    L = parts(rig, f).response(rig, at, blend) @ plant_response(rig, at, Change(), f)
    z = np.exp(2j * np.pi * f / rig.loop_rate_hz)
    for k, name in enumerate(AXES):
        axis = make_axis(rig, name)
        one = loop_response(axis, Controller(rig, axis).at(blend), z)
        assert np.abs((L[:, k, k] - one) / (1.0 + one)).max() < 5e-3
    good, peak, _ = nearness(L)
    assert good and 1.8 < peak < 2.3


def test_rotors_on_stiff_springs_are_the_rigid_chain():
    rig, at = load_rig("torque").config, np.radians([50.0, -20.0, 10.0])
    stage, rotor, w, _ = modes(rig, at, Change(mode=1e3))
    rigid = w < 1.0
    assert rigid.sum() == 3
    assert stage[:, rigid] @ rotor[:, rigid].T == pytest.approx(np.linalg.inv(mass_matrix(rig, at)), rel=1e-4)
    J = axes_in_camera(rig, at)
    assert np.linalg.norm(J, axis=0) == pytest.approx(1.0) and abs(np.linalg.det(J)) == pytest.approx(np.cos(at[0]))


def test_far_too_much_gain_is_unstable_at_a_pose():
    rig, at = load_rig("torque").config, np.radians([60.0, 0.0, 0.0])
    f = grid(rig)
    L = parts(rig, f).response(rig, at, 0.0) @ plant_response(rig, at, Change(), f)
    assert nearness(L)[0]
    assert not nearness(6.0 * L)[0]
