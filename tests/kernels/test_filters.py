"""Biquads against scipy.signal."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import signal

from gimbal.kernels.filters import biquad, biquad_settle, lowpass_coefficients, notch_coefficients

RATE = 1000.0


def response(c, f):
    _, h = signal.freqz(c[:3], [1.0, *c[3:]], worN=[f], fs=RATE)
    return abs(h[0])


def test_biquad_filters_as_scipy_does():
    c = np.array(lowpass_coefficients(40.0, RATE))
    x = np.random.default_rng(1).normal(size=500)
    s = np.zeros(2)
    y = [biquad(c, s, v) for v in x]
    assert np.allclose(y, signal.lfilter(c[:3], [1.0, *c[3:]], x), atol=1e-12)


def test_settling_makes_no_bump():
    c, s = np.array(lowpass_coefficients(10.0, RATE)), np.zeros(2)
    biquad_settle(c, s, 3.0)
    assert all(abs(biquad(c, s, 3.0) - 3.0) < 1e-12 for _ in range(100))


@pytest.mark.parametrize("corner", [5.0, 60.0, 200.0])
def test_lowpass_is_3_dB_down_at_its_corner(corner):
    c = lowpass_coefficients(corner, RATE)
    assert response(c, corner) == pytest.approx(np.sqrt(0.5), rel=1e-9)
    assert response(c, 0.01) == pytest.approx(1.0, abs=1e-6)


@pytest.mark.parametrize("depth", [0.0, 0.1, 0.5])
def test_notch_leaves_its_depth_at_the_centre_and_nothing_else(depth):
    c = notch_coefficients(55.0, RATE, 12.0, depth)
    assert response(c, 55.0) == pytest.approx(depth, abs=1e-9)
    assert response(c, 2.0) == pytest.approx(1.0, abs=0.002)
    assert response(c, 400.0) == pytest.approx(1.0, abs=0.01)


def test_corners_beyond_half_the_rate_are_the_identity():
    assert lowpass_coefficients(600.0, RATE) == [1.0, 0.0, 0.0, 0.0, 0.0]
    assert notch_coefficients(0.0, RATE, 5.0) == [1.0, 0.0, 0.0, 0.0, 0.0]
