"""Foresight of the specific force: tones found by themselves, noise left alone, nothing broken by what is no number."""

from __future__ import annotations

import math

import numpy as np
import pytest
from scipy.signal import sosfilt

from gimbal.config.load import load_rig
from gimbal.config.pack import pack_params
from gimbal.config.prediction import _force_felt
from gimbal.control.foresight import FORESIGHT_STATE, foresee
from gimbal.kernels.build import kernel
from gimbal.worth import without

LEAD_S = 0.003 + 0.00053 + 0.00088  # half a tick and the link, torque loop, IMU low-pass
SECONDS = 24.0


@kernel
def fly(p, s, force, out):
    for i in range(force.shape[0]):
        here = (force[i, 0], force[i, 1], force[i, 2])
        f = foresee(p, s, here, here)
        for k in range(3):
            out[i, k] = f[k]


def flown(rig_name: str, force_at, noise: float = 0.0, changes=()):
    """(forecasts, what they should be, State): force_at(t) in m/s² about gravity, on every axis, with white noise.

    What they should be is the force as felt, its sections' lag foreseen too.
    """
    config = without(load_rig(rig_name).config, changes)
    p = pack_params(config)[0]["allocation"]["foresight"]
    s, rate = np.zeros(1, FORESIGHT_STATE), config.loop_rate_hz
    t = np.arange(int(SECONDS * rate)) / rate
    read = -9.81 + force_at(t)[:, None] * np.ones(3)
    read = read + noise * np.random.default_rng(1).normal(size=read.shape)
    out = np.zeros_like(read)
    fly(p, s[0], read, out)
    felt, lag = _force_felt(config)
    lead = config.delay.sample_to_torque_ms * 1e-3 + 0.5 / rate + LEAD_S - 0.003 + lag
    want = sosfilt(np.insert(felt, 3, 1.0, axis=1), force_at(t + lead))
    return out, -9.81 + want[:, None] * np.ones(3), s[0], read


def test_what_is_felt_is_what_torque_can_do_without_shaking_the_structure() -> None:
    rig = load_rig("torque").config
    felt, lag = _force_felt(rig)
    low, high = sorted(rig.structure.mode_hz)[0], max(rig.structure.mode_hz)
    for hz, least, most in ((1.0, 0.99, 1.01), (5.4, 0.97, 1.03), (low, 0.0, 0.125), (high, 0.0, 0.125)):
        z = np.exp(-2j * math.pi * hz / rig.loop_rate_hz)
        gain = np.prod([(b0 + b1 * z + b2 * z * z) / (1.0 + a1 * z + a2 * z * z) for b0, b1, b2, a1, a2 in felt])
        assert least <= abs(gain) <= most
        if hz < low:
            assert -np.angle(gain) / (2.0 * math.pi * hz) == pytest.approx(lag, rel=0.05)


def tones(t):
    return 0.7 * np.sin(2 * math.pi * 5.4 * t) + 2.1 * np.sin(2 * math.pi * 21.6 * t + 1.0) + np.sin(270.0 * t)


@pytest.mark.parametrize("rig", ["torque", "torque_fast"])
def test_tones_nobody_named_are_foreseen(rig: str) -> None:
    out, want, s, read = flown(rig, tones, noise=0.05)
    last = slice(-len(out) // 4, None)
    late = np.std(read[last] - want[last])
    assert np.std(out[last] - want[last]) < 0.25 * late
    assert np.allclose(s["share"], 1.0)


@pytest.mark.parametrize("rig", ["torque", "torque_fast"])
def test_a_slow_tone_is_foreseen_as_it_will_be(rig: str) -> None:
    """Against the force itself: far below the modes torque follows all of it."""
    out, _, _, read = flown(rig, slow := lambda t: 2.0 * np.sin(2 * math.pi * 5.4 * t), noise=0.01)
    config = load_rig(rig).config
    t = np.arange(len(out)) / config.loop_rate_hz
    want = -9.81 + slow(t + config.delay.sample_to_torque_ms * 1e-3 + 0.5 / config.loop_rate_hz + LEAD_S - 0.003)
    last = slice(-len(out) // 4, None)
    assert np.std(out[last, 0] - want[last]) < 0.25 * np.std(read[last, 0] - want[last])


def test_noise_is_left_as_it_is_slow() -> None:
    """Where nothing can be foreseen, what the loops see is fed on no worse than as measured."""
    out, want, s, read = flown("torque", lambda t: 3.0 * (t > 12.0), noise=0.5)
    slow = np.ones(200) / 200
    step = np.convolve(out[:, 0] - read[:, 0], slow, "valid")
    assert np.abs(step[14_000:]).max() < 0.15  # the level is kept: gravity and turns pass
    sections = pack_params(load_rig("torque").config)[0]["allocation"]["foresight"]["weight"]
    sos = np.insert(sections, 3, 1.0, axis=1)
    seen = [sosfilt(sos, x - want, axis=0)[-10_000:] for x in (out, read)]
    fed_on, measured = (math.sqrt(np.mean(x**2)) for x in seen)
    assert fed_on <= 1.02 * measured


def test_one_axis_learns_from_nothing_but_itself() -> None:
    p = pack_params(load_rig("torque").config)[0]["allocation"]["foresight"]
    t = np.arange(20_000) * 1e-3
    force = np.zeros((len(t), 3))
    force[:, 1] = 2.0 * np.sin(2 * math.pi * 17.0 * t)
    s, out = np.zeros(1, FORESIGHT_STATE), np.zeros_like(force)
    fly(p, s[0], force, out)
    assert s[0]["share"][1] == 1.0
    assert not out[:, 0].any() and not out[:, 2].any()


def test_switched_off_and_without_prediction_it_is_the_measurement() -> None:
    for term in ("foresight", "prediction", "imbalance"):
        out, _, _, read = flown("torque", tones, changes=(term,))
        assert np.array_equal(out, read)


def test_what_is_no_number_leaves_no_trace() -> None:
    p = pack_params(load_rig("torque").config)[0]["allocation"]["foresight"]
    t = np.arange(20_000) * 1e-3
    force = np.repeat(tones(t)[:, None], 3, axis=1)
    force[9_000:9_005] = np.nan
    force[9_500] = 1e300
    s, out = np.zeros(1, FORESIGHT_STATE), np.zeros_like(force)
    fly(p, s[0], force, out)
    assert np.isfinite(out[9_501:]).all()
    assert np.abs(out[9_501:]).max() < 10.0
