"""Bad input of estimate_attitude: named, or said."""

from __future__ import annotations

import warnings

import numpy as np
import pytest

from gimbal.estimation.batch import estimate_attitude
from gimbal.estimation.profiles import default_params

GYRO = np.random.default_rng(0).normal(size=(400, 3)) * 0.01
ACCEL = GYRO + [0, 0, -9.81]
FIX = dict(gnss_t=[0.5, 1.5], gnss_vel_N=np.zeros((2, 3)))


@pytest.mark.parametrize(
    "name, call",
    [
        ("gyro", lambda: estimate_attitude(GYRO[:, :2], ACCEL, 100)),
        ("gyro", lambda: estimate_attitude(np.zeros((0, 3)), np.zeros((0, 3)), 100)),
        ("gyro", lambda: estimate_attitude(GYRO[0], ACCEL, 100)),
        ("gyro", lambda: estimate_attitude([["a", "b", "c"]], ACCEL, 100)),
        ("accel", lambda: estimate_attitude(GYRO, ACCEL[:-1], 100)),
        ("mag", lambda: estimate_attitude(GYRO, ACCEL, 100, mag=np.zeros((400, 4)))),
        ("rate_hz", lambda: estimate_attitude(GYRO, ACCEL, 0)),
        ("rate_hz", lambda: estimate_attitude(GYRO, ACCEL, -5.0)),
        ("rate_hz", lambda: estimate_attitude(GYRO, ACCEL, float("nan"))),
        ("gravity_m_s2", lambda: estimate_attitude(GYRO, ACCEL, 100, gravity_m_s2=-9.8)),
        ("profile", lambda: estimate_attitude(GYRO, ACCEL, 100, profile="boat")),
        ("gnss_t", lambda: estimate_attitude(GYRO, ACCEL, 100, gnss_t=[1.0, 0.5], gnss_vel_N=np.zeros((2, 3)))),
        ("gnss_t", lambda: estimate_attitude(GYRO, ACCEL, 100, gnss_t=[np.nan, 1.0], gnss_vel_N=np.zeros((2, 3)))),
        ("gnss_t", lambda: estimate_attitude(GYRO, ACCEL, 100, gnss_vel_N=np.zeros((2, 3)))),
        ("gnss_vel_N", lambda: estimate_attitude(GYRO, ACCEL, 100, gnss_t=[1.0])),
        ("gnss_vel_N", lambda: estimate_attitude(GYRO, ACCEL, 100, gnss_t=[1.0], gnss_vel_N=np.zeros((2, 3)))),
        ("gnss_vel_std", lambda: estimate_attitude(GYRO, ACCEL, 100, gnss_vel_std=[1.0, 2.0, 3.0], **FIX)),
    ],
)
def test_error_names_the_argument(name: str, call) -> None:
    with pytest.raises(ValueError, match=f"^{name} "):
        call()


@pytest.mark.parametrize(
    "words, gyro, accel",
    [
        ("accel looks like g", GYRO, ACCEL / 9.80665),
        ("gyro looks like °/s", np.degrees(GYRO * 100), ACCEL),
        ("gravity was taken out", GYRO, GYRO),
        ("gyro never changes", np.zeros_like(GYRO), ACCEL),
        ("accel never changes", GYRO, ACCEL * 0 + [0, 0, -9.81]),
        ("3 of 400 samples are not finite", np.where(np.arange(400)[:, None] % 150 == 7, np.inf, GYRO), ACCEL),
    ],
)
def test_odd_input_is_said(words: str, gyro: np.ndarray, accel: np.ndarray) -> None:
    with pytest.warns(UserWarning, match=words):
        out = estimate_attitude(gyro, accel, 100.0)
    assert any(words in note for note in out.notes)
    assert np.isfinite(out.q_NC).all()


def test_plain_input_is_not_remarked_upon() -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        out = estimate_attitude(GYRO.tolist(), ACCEL.astype(np.float32), 100, mag=np.tile([20.0, 0, 45], (400, 1)))
        estimate_attitude(GYRO[:1], ACCEL[:1], 100)
        estimate_attitude(GYRO, ACCEL, 100, gnss_t=[], gnss_vel_N=np.zeros((0, 3)))
    assert out.notes == ()
    assert out.q_NC.shape == (400, 4) and out.gyro_bias.shape == (400, 3)
    assert out.tilt_std.shape == out.heading_std.shape == out.status.shape == (400,)


def test_gravity_and_unknown_parameters() -> None:
    assert default_params("flight", 0.001, gravity=9.78)["gravity"][0] == 9.78
    with pytest.raises(ValueError, match="grvity"):
        default_params("flight", 0.001, grvity=9.78)
