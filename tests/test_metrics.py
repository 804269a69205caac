"""The picture's figures on motions whose answer is known by hand."""

from __future__ import annotations

import numpy as np
import pytest

from gimbal.metrics import axes_N, level_attitude, picture_metrics, q_mul, turn_vector

RATE = 500.0
N = int(30 * RATE)
T = np.arange(N) / RATE
HALF = (0.244, 0.139)


def about(axis: int, angle: np.ndarray) -> np.ndarray:
    q = np.zeros((len(angle), 4))
    q[:, 0], q[:, 1 + axis] = np.cos(angle / 2), np.sin(angle / 2)
    return q


def figures(q, mode="lock", target=None, q_est=None):
    still = np.tile([1.0, 0, 0, 0], (N, 1))
    return picture_metrics(q, still, q if q_est is None else q_est, np.zeros((N, 3)), target, RATE, mode, (0, 0), HALF)


@pytest.mark.parametrize("axis,name", [(0, "roll"), (1, "pitch"), (2, "yaw")])
def test_a_sine_has_its_rms(axis, name):
    out = figures(about(axis, 1e-4 * np.sqrt(2) * np.sin(2 * np.pi * 5 * T)))["jitter_urad_rms"]
    assert out[name] == pytest.approx(100.0, rel=0.01)
    assert out["total"] == pytest.approx(100.0, rel=0.01)
    assert all(v < 0.1 for k, v in out.items() if k not in (name, "total"))


def test_slow_drift_is_not_jitter():
    assert figures(about(2, 1e-3 * np.sin(2 * np.pi * 0.05 * T)))["jitter_urad_rms"]["total"] < 1.0


def test_the_heading_of_the_reference_does_not_matter():
    shake = 1e-4 * np.sqrt(2) * np.sin(2 * np.pi * 8 * T)
    turned = q_mul(about(2, np.full(N, 3.1)), about(1, shake))
    assert figures(turned)["jitter_urad_rms"]["pitch"] == pytest.approx(100.0, rel=0.01)


def test_track_measures_against_the_true_line_of_sight():
    angle = 0.3 * np.sin(0.5 * T)
    target = 40 * np.stack([np.cos(angle), np.sin(angle), np.full(N, 0.1)], -1)
    q_ref = level_attitude(target, 0.0, 0.0)
    out = figures(q_ref, "track", target)
    assert out["jitter_urad_rms"]["total"] < 1e-3
    assert out["pointing_error_deg_rms"] < 1e-9 and out["time_in_frame"] == 1.0
    away = q_mul(q_ref, about(2, np.full(N, np.radians(1.0))))
    out = figures(away, "track", target)
    assert out["pointing_error_deg_p95"] == pytest.approx(1.0, abs=1e-6)
    assert out["jitter_urad_rms"]["total"] < 1e-3  # a constant offset is not jitter
    behind = q_mul(q_ref, about(2, np.full(N, 3.0)))
    assert figures(behind, "track", target)["time_in_frame"] == 0.0


def test_level_attitude_puts_the_target_at_the_framing_point():
    d = np.array([[30.0, 5.0, 4.0]])
    q = level_attitude(d, 0.05, -0.03)
    x, y, z = axes_N(q)
    v = d / np.linalg.norm(d)
    assert np.sum(v * y) / np.sum(v * x) == pytest.approx(np.tan(0.05), rel=1e-3)
    assert np.sum(v * z) / np.sum(v * x) == pytest.approx(np.tan(-0.03), rel=1e-3)


def test_horizon_and_tilt():
    roll = np.radians(2.0)
    out = figures(about(0, np.full(N, roll)), q_est=np.tile([1.0, 0, 0, 0], (N, 1)))
    assert out["horizon_error_deg_rms"] == pytest.approx(2.0, abs=1e-9)
    assert out["attitude_tilt_error_deg_rms"] == pytest.approx(2.0, abs=1e-9)


def test_a_run_too_short_has_no_figures():
    n = int(6 * RATE)
    q = np.tile([1.0, 0, 0, 0], (n, 1))
    out = picture_metrics(q, q, q, np.zeros((n, 3)), None, RATE, "lock", (0, 0), HALF)
    assert out["jitter_urad_rms"] is None


def test_a_turn_past_half_a_circle_has_no_jump():
    """From rest to nearly a whole turn, whatever signs the quaternions come with."""
    axis = np.array([0.36, 0.48, 0.8])
    angle = np.linspace(0.0, 1.9, 250) * np.pi
    q = np.concatenate([np.cos(angle / 2)[:, None], np.sin(angle / 2)[:, None] * axis], 1)
    q *= np.where(np.arange(250) % 3 == 1, -1.0, 1.0)[:, None]
    assert np.allclose(turn_vector(q), angle[:, None] * axis, atol=1e-9)
