"""Quaternion kernels against scipy's Rotation."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.spatial.transform import Rotation

from gimbal.kernels import quat

RNG = np.random.default_rng(7)


def scipy_of(q) -> Rotation:
    return Rotation.from_quat(np.roll(q, -1))


def random_q() -> tuple:
    q = RNG.normal(size=4)
    return tuple(q / np.linalg.norm(q))


def test_product_and_rotation_agree_with_scipy():
    for _ in range(50):
        a, b, v = random_q(), random_q(), tuple(RNG.normal(size=3))
        both = quat.q_mul(a, b)
        assert np.allclose(scipy_of(both).as_matrix(), (scipy_of(a) * scipy_of(b)).as_matrix(), atol=1e-14)
        assert np.allclose(quat.q_rotate(a, v), scipy_of(a).apply(v), atol=1e-14)
        assert np.allclose(quat.q_unrotate(a, quat.q_rotate(a, v)), v, atol=1e-14)


@pytest.mark.parametrize("angle", [0.0, 1e-9, 1e-5, 1e-3, 0.0099, 0.0101, 0.0199, 0.0201, 0.5, 3.0, 3.14159])
def test_exp_and_log_are_inverse_at_every_size(angle):
    for _ in range(10):
        axis = RNG.normal(size=3)
        phi = angle * axis / np.linalg.norm(axis)
        q = quat.q_exp(tuple(phi))
        assert np.allclose(scipy_of(q).as_rotvec(), phi, rtol=1e-12, atol=1e-15)
        assert np.allclose(quat.q_log(q), phi, rtol=1e-9, atol=1e-15)
        assert np.allclose(quat.q_log(tuple(-np.array(q))), phi, rtol=1e-9, atol=1e-15)  # the same rotation


def test_attitude_from_axes_covers_every_branch():
    for q in [random_q() for _ in range(60)] + [(0.0, 1.0, 0.0, 0.0), (0.0, 0.0, 1.0, 0.0), (0.0, 0.0, 0.0, 1.0)]:
        axes = [tuple(quat.q_rotate(q, e)) for e in ((1.0, 0.0, 0.0), (0.0, 1.0, 0.0), (0.0, 0.0, 1.0))]
        back = np.array(quat.q_from_axes(*axes))
        assert min(np.linalg.norm(back - q), np.linalg.norm(back + q)) < 1e-12


def test_level_attitude_looks_there_with_the_horizon_level():
    for _ in range(30):
        los = RNG.normal(size=3)
        los /= np.linalg.norm(los)
        q = quat.q_level(tuple(los), 0.0)
        assert np.allclose(quat.q_rotate(q, (1.0, 0.0, 0.0)), los, atol=1e-12)
        assert abs(quat.q_rotate(q, (0.0, 1.0, 0.0))[2]) < 1e-12
        assert quat.q_rotate(q, (0.0, 0.0, 1.0))[2] >= -1e-12  # its down axis points down
        banked = quat.q_rotate(quat.q_level(tuple(los), 0.3), (1.0, 0.0, 0.0))
        assert np.allclose(banked, los, atol=1e-12)


def test_straight_down_has_a_level_attitude_too():
    q = quat.q_level((0.0, 0.0, 1.0), 0.0)
    assert np.isfinite(q).all()
    assert np.allclose(quat.q_rotate(q, (1.0, 0.0, 0.0)), (0, 0, 1), atol=1e-12)


def test_integration_of_a_constant_rate_is_exact():
    q, omega = random_q(), (0.3, -1.2, 2.0)
    at_once = quat.q_integrate(q, omega, 1.0)
    stepped = q
    for _ in range(1000):
        stepped = quat.q_integrate(stepped, omega, 0.001)
    assert np.allclose(stepped, at_once, atol=1e-12)
