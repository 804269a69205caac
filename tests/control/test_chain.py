"""The chain model of control against plain Newton-Euler."""

from __future__ import annotations

import numpy as np
import pytest

from gimbal.control.joint_kinematics import (
    CHAIN_PARAMS,
    CHAIN_STATE,
    camera_acceleration,
    chain_torque,
    joint_acceleration,
    mass_matrix,
    place_chain,
)
from tests.oracles.newton_euler import joint_torques

ORDERS = ([2, 0, 1], [2, 1, 0], [0, 1, 2])
REST = (np.zeros(3), np.zeros(3), np.zeros(3))


def chain(order: list[int], angle: np.ndarray, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    p, s = np.zeros(1, CHAIN_PARAMS), np.zeros(1, CHAIN_STATE)
    p["order"] = order
    p["mass"] = rng.uniform(0.5, 3.0, 3)
    p["inertia"] = rng.uniform(0.005, 0.03, (3, 3))
    p["com"] = rng.uniform(-0.02, 0.02, (3, 3))
    p["origin"][0, 1] = rng.uniform(-0.1, 0.1, 3)
    place_chain(p[0], s[0], angle)
    mass_matrix(p[0], s[0])
    return p, s


def oracle(p: np.ndarray, angle: np.ndarray, rate: np.ndarray, accel: np.ndarray, base: tuple) -> tuple:
    r = p[0]
    return joint_torques(r["order"], r["mass"], r["inertia"], r["com"], r["origin"], angle, rate, accel, base)


@pytest.mark.parametrize("order", ORDERS)
def test_mass_matrix_is_newton_eulers(order: list[int]) -> None:
    angle = np.array([0.7, -0.4, 1.9])
    p, s = chain(order, angle)
    for j in range(3):
        unit = np.zeros(3)
        unit[order[j]] = 1.0
        column, _ = oracle(p, angle, np.zeros(3), unit, REST)
        assert np.allclose(s["M"][0][:, j], column, rtol=0, atol=1e-13)


@pytest.mark.parametrize("order", ORDERS)
def test_torque_of_a_known_motion(order: list[int]) -> None:
    """Camera's motion and joints' in, torque out: the oracle starts from the base and gives that camera's motion."""
    rng = np.random.default_rng(3)
    for _ in range(20):
        angle, rate, accel = rng.uniform(-1.2, 1.2, 3), rng.normal(0, 2, 3), rng.normal(0, 20, 3)
        p, s = chain(order, angle)
        p["origin"] = 0.0  # the arms' own acceleration is left out by the model: told apart below
        place_chain(p[0], s[0], angle)
        p["com"][0, :2] = 0.0
        place_chain(p[0], s[0], angle)
        base = (rng.normal(0, 1, 3), rng.normal(0, 10, 3), rng.normal(0, 10, 3))
        want, (w, al, f) = oracle(p, angle, rate, accel, base)
        com = s["com_B"][0, 2]
        at_com = f + np.cross(al, com) + np.cross(w, np.cross(w, com))
        chain_torque(p[0], s[0], rate, accel, tuple(w), tuple(al), tuple(at_com), True, True)
        assert np.allclose(s["torque"][0], want, rtol=0, atol=1e-11)


def test_terms_can_be_left_out() -> None:
    angle = np.array([0.3, 0.2, 0.1])
    p, s = chain([2, 0, 1], angle)
    force = (0.3, -0.2, -9.8)
    chain_torque(p[0], s[0], np.ones(3), np.ones(3), (0.0, 0.0, 0.0), (0.0, 0.0, 0.0), force, False, False)
    assert not s["torque"].any()
    chain_torque(p[0], s[0], np.zeros(3), np.zeros(3), (0.0, 0.0, 0.0), (0.0, 0.0, 0.0), force, False, True)
    still, _ = oracle(p, angle, np.zeros(3), np.zeros(3), (np.zeros(3), np.zeros(3), np.array(force)))
    assert np.allclose(s["torque"][0], still, rtol=0, atol=1e-13)


@pytest.mark.parametrize("order", ORDERS)
def test_joint_acceleration_turns_the_camera_as_asked(order: list[int]) -> None:
    angle = np.array([0.5, -0.3, 0.8])
    p, s = chain(order, angle)
    wanted = (3.0, -2.0, 5.0)
    out, scratch = np.zeros(3), np.zeros(3)
    joint_acceleration(s[0], wanted, (1.0, 0.0, 0.0), 0.2, out)
    assert np.allclose(s["axis_B"][0].T @ out, wanted, atol=1e-12)
    assert np.allclose(camera_acceleration(s[0], s["M"][0] @ out, scratch), wanted, atol=1e-12)


def test_singular_chain_keeps_the_line_of_sight_and_stays_finite() -> None:
    """Roll joint at +-90 degrees: yaw and pitch axes are one. The boresight is still turned, the horizon yields."""
    for degrees in (80.0, 85.0, 89.9, 90.0, 95.0):
        p, s = chain([2, 0, 1], np.radians([degrees, 0.0, 0.0]))
        boresight = np.array([1.0, 0.0, 0.0])
        for wanted in np.eye(3) * 10.0:
            out = np.zeros(3)
            joint_acceleration(s[0], tuple(wanted), tuple(boresight), 0.25, out)
            assert np.isfinite(out).all()
            assert np.abs(out).max() < 150.0
    p, s = chain([2, 0, 1], np.radians([75.0, 0.0, 0.0]))
    out = np.zeros(3)
    joint_acceleration(s[0], (0.0, 4.0, 0.0), (1.0, 0.0, 0.0), 0.25, out)
    assert np.allclose(s["axis_B"][0].T @ out, (0.0, 4.0, 0.0), atol=1e-9)


def test_damping_sets_in_without_a_step() -> None:
    angles = np.radians(90.0 - np.degrees(np.arcsin(0.25)) + np.array([-0.001, 0.001]))
    found = []
    for roll in angles:
        _, s = chain([2, 0, 1], np.array([roll, 0.2, 0.1]))
        out = np.zeros(3)
        joint_acceleration(s[0], (5.0, 5.0, 5.0), (1.0, 0.0, 0.0), 0.25, out)
        found.append(out)
    assert np.abs(found[1] - found[0]).max() < 0.05
