"""What a carrier does to the estimator: turns, falls, shocks, outages, gaps, bad samples."""

from __future__ import annotations

import numpy as np
import pytest

from gimbal.estimation import layout
from gimbal.estimation.batch import estimate_attitude
from tests.estimation.simulate import G, Motion, Recording, errors_rad, handheld, record, spiral, wander

IMU = dict(gyro_noise=5e-5, accel_noise=7e-4, gyro_bias=0.0017, accel_bias=0.03)
NO_DELAY = {"gnss_latency_ns": 0, "gnss_latency_std": 0.0}


def estimate(r: Recording, **changes):
    return estimate_attitude(
        r.gyro,
        r.accel,
        r.rate_hz,
        gnss_t=r.gnss_t,
        gnss_vel_N=r.gnss_vel,
        gnss_vel_std=0.1,
        _changes={**NO_DELAY, **changes},
    )


def tilt_deg(r: Recording, q: np.ndarray) -> np.ndarray:
    return np.degrees(errors_rad(q, r.q_NC)[1])


def test_spiral_of_minutes_holds_the_horizon() -> None:
    r = record(spiral(), 180.0, gnss_hz=5.0, mean=False, seed=1, **IMU)
    out = estimate(r)
    tilt = tilt_deg(r, out.q_NC)
    assert tilt[r.t > 20].max() < 0.6
    assert np.sqrt(np.mean(tilt[r.t > 60] ** 2)) < 0.35
    without = tilt_deg(r, estimate_attitude(r.gyro, r.accel, r.rate_hz).q_NC)
    assert np.sqrt(np.mean(without[r.t > 20] ** 2)) > 10.0  # what GNSS is for


@pytest.mark.parametrize("heading0", [0.0, 1.5, 3.0, -2.0])
def test_start_in_a_turn_with_no_heading(heading0: float) -> None:
    r = record(spiral(heading0=heading0), 12.0, gnss_hz=5.0, mean=False, seed=2, **IMU)
    out = estimate(r)
    error, tilt, heading = errors_rad(out.q_NC, r.q_NC)
    assert np.degrees(tilt[r.t > 6]).max() < 2.0
    assert np.degrees(np.abs(heading[r.t > 6])).max() < 4.0
    assert not out.status[5] & layout.HEADING and out.status[-1] & layout.HEADING


def test_heading_is_found_where_the_camera_looks_backward() -> None:
    """No course to help: acceleration alone, the camera 150° off the course."""
    base = wander()
    r = record(
        Motion(base.velocity, lambda t: base.yaw_pitch_roll(t) + [2.6, 0, 0]),
        60.0,
        gnss_hz=5.0,
        mean=False,
        seed=3,
        **IMU,
    )
    out = estimate(r, course_std=0.0)
    heading = np.degrees(np.abs(errors_rad(out.q_NC, r.q_NC)[2]))
    assert heading[r.t > 30].max() < 3.0
    assert np.degrees(out.heading_std[-1]) < 3.0


def fall() -> Motion:
    """6 s straight, 6 s of fall with drag growing to 0.6 g and a slow tumble, then 4 s of opening."""

    def velocity(t: np.ndarray) -> np.ndarray:
        s = np.clip(t - 10.0, 0.0, 6.0)
        after = np.clip(t - 16.0, 0.0, None)
        down = G * s - 0.6 * G * s**3 / (3 * 36.0)
        end = G * 6 - 0.6 * G * 6 / 3
        return np.stack([np.full_like(t, 15.0), 0 * t, down - (end - 5.0) * (1 - np.exp(-after / 0.6))], -1)

    def angles(t: np.ndarray) -> np.ndarray:
        s = np.clip(t - 10.0, 0.0, 8.0)
        return np.stack([0.3 * np.sin(0.5 * s), -0.8 * np.sin(0.4 * s) ** 2, 0.6 * np.sin(0.7 * s)], -1)

    return Motion(velocity, angles)


def test_six_seconds_of_fall() -> None:
    r = record(fall(), 26.0, 200.0, gnss_hz=5.0, mean=False, seed=4, **IMU)
    tilt = tilt_deg(r, estimate(r).q_NC)
    assert tilt[(r.t > 10) & (r.t < 16)].max() < 1.5
    assert tilt[r.t > 16].max() < 2.0


def test_shock_of_six_g() -> None:
    r = record(wander(), 40.0, 200.0, gnss_hz=5.0, mean=False, seed=5, **IMU)
    hit = (r.t > 30) & (r.t < 30.08)
    r.accel[hit] += 6 * G * np.sin(np.pi * (r.t[hit] - 30) / 0.08)[:, None] * [0.6, 0.0, -0.8]
    r.accel[(r.t >= 30.08) & (r.t < 30.16)] -= 6 * G * 2 / np.pi * np.array([0.6, 0.0, -0.8])  # and back
    tilt = tilt_deg(r, estimate(r).q_NC)
    assert tilt[r.t > 30].max() < 1.0


def test_outage_of_a_minute_and_return() -> None:
    r = record(wander(), 150.0, gnss_hz=5.0, mean=False, seed=6, **IMU)
    keep = (r.gnss_t < 60) | (r.gnss_t > 120)
    r.gnss_t, r.gnss_vel = r.gnss_t[keep], r.gnss_vel[keep]
    out = estimate(r)
    tilt = tilt_deg(r, out.q_NC)
    assert tilt[(r.t > 60) & (r.t < 120)].max() < 1.5
    assert tilt[r.t > 125].max() < 1.0
    k60, k119, k149 = (int(x * r.rate_hz) for x in (60, 119, 149))
    assert out.tilt_std[k119] > 1.2 * out.tilt_std[k60]  # and it says so
    assert out.tilt_std[k149] < out.tilt_std[k119]


def test_teleporting_fixes_are_rejected() -> None:
    r = record(wander(), 60.0, gnss_hz=5.0, mean=False, seed=7, **IMU)
    clean = tilt_deg(r, estimate(r).q_NC)
    bad = np.arange(100, len(r.gnss_t), 17)
    r.gnss_vel[bad] += [40.0, -30.0, 10.0]
    out = estimate(r)
    assert out.state["fixes_rejected"][0] >= len(bad)
    assert tilt_deg(r, out.q_NC)[r.t > 20].max() < clean[r.t > 20].max() + 0.3


def test_fixes_without_accuracy_are_named_and_counted() -> None:
    r = record(wander(), 10.0, gnss_hz=5.0, mean=False, seed=7, **IMU)
    with pytest.warns(UserWarning, match="no accuracy"):
        out = estimate_attitude(r.gyro, r.accel, r.rate_hz, gnss_t=r.gnss_t, gnss_vel_N=r.gnss_vel, gnss_vel_std=0.0)
    assert out.state["fixes_rejected"][0] == len(r.gnss_t)
    assert np.isfinite(out.q_NC).all()


def test_gap_of_200_ms_is_bridged_and_said() -> None:
    r = record(handheld(1), 30.0, 200.0, seed=8, **IMU)
    k = slice(4000, 4040)
    r.gyro[k], r.accel[k] = np.nan, np.nan
    with pytest.warns(UserWarning, match="40 of 6001 samples"):
        out = estimate_attitude(r.gyro, r.accel, r.rate_hz)
    assert np.isfinite(out.q_NC).all()
    tilt = tilt_deg(r, out.q_NC)
    assert tilt[4045] < 3 * np.degrees(out.tilt_std[4045])  # the motion in it is not known, and that is said
    assert tilt[-1] < 3.0
    assert out.status[4035] & layout.NON_FINITE and out.status[4041] & layout.GAP
    assert out.tilt_std[4060] > 1.5 * out.tilt_std[3990]


def test_every_sample_bad_stays_finite() -> None:
    bad = np.full((300, 3), np.nan)
    with pytest.warns(UserWarning, match="not finite"):
        out = estimate_attitude(bad, bad, 100.0)
    assert (out.q_NC == [1, 0, 0, 0]).all()


def test_clipped_gyro_widens_the_covariance_and_says_so() -> None:
    r = record(handheld(2), 20.0, 200.0, seed=9, **IMU)
    k = slice(2000, 2040)
    r.gyro[k, 0] = 8.0
    out = estimate_attitude(r.gyro, r.accel, r.rate_hz)
    assert out.status[2030] & layout.CLIPPED and not out.status[1990] & layout.CLIPPED
    assert out.tilt_std[2050] > 3 * out.tilt_std[1990]


def test_vibration_at_the_start_does_not_tilt_the_first_estimate() -> None:
    r = record(
        Motion(lambda t: np.zeros((len(t), 3)), lambda t: np.zeros((len(t), 3)) + [0, 0.1, -0.2]), 3.0, 500.0, **IMU
    )
    r.accel += np.sin(2 * np.pi * 47.0 * r.t + 1.5)[:, None] * [3.0, 3.0, 2.0]
    tilt = tilt_deg(r, estimate_attitude(r.gyro, r.accel, r.rate_hz).q_NC)
    assert tilt[0] > 10.0 and tilt[r.t > 0.4].max() < 1.0
