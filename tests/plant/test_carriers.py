"""Each carrier's figures, measured on the plant's own base motion, from both sides."""

from __future__ import annotations

import math

import numpy as np
import pytest
from scipy import signal
from scipy.special import kv

from gimbal.config.scenario import Scenario, Speedflight, TrainRoof
from gimbal.plant.assemble import add_tables, params, state
from gimbal.plant.base_motion import make
from gimbal.plant.carriers import speedflight, train_roof
from gimbal.plant.motion import times
from gimbal.plant.spline import position_velocity
from gimbal.units import DEG, G0
from tests.plant.helpers import base_at, rig_config

SECONDS = 60.0
RATE = 2000.0  # twice the table's, so that what the spline does between its samples is seen too
_CACHE: dict[tuple, dict] = {}


def run(kind: str, seed: int = 1, target: str = "flyer", seconds: float = SECONDS) -> dict:
    """Base and target over time as the plant sees them."""
    key = (kind, seed, target, seconds)
    if key in _CACHE:
        return _CACHE[key]
    scene = Scenario.model_validate({"name": kind, "carrier": {"kind": kind}, "target": {"kind": target}})
    p = params(rig_config(), seed, 0)
    tables = add_tables(p[0], make(scene, seed, seconds))
    s = state(p[0], seed, 0)
    n = int(seconds * RATE)
    names = ("q_NB", "omega_NB_B", "alpha_NB_B", "pos_N", "vel_N", "acc_N")
    out: dict[str, np.ndarray] = {name: np.zeros((n, s[0][name].size)) for name in names}
    for i in range(n):
        s[0]["t_ns"] = round(i * 1e9 / RATE)
        base_at(p, s, tables)
        for name in names:
            out[name][i] = s[0][name]
    out["t"] = np.arange(n) / RATE
    w, v = out["q_NB"][:, :1], -out["q_NB"][:, 1:]
    force = out["acc_N"] - np.array([0.0, 0.0, G0])
    c = 2.0 * np.cross(v, force)
    out["force_B"] = force + w * c + np.cross(v, c)
    if p[0]["target"]["rows"] > 0:
        out["target"] = np.array([position_velocity(p[0]["target"], tables, x, 0)[0] for x in out["t"][::40]])
    out["tables"], out["params"] = tables, p
    _CACHE[key] = out
    return out


def band_rms(x: np.ndarray, low: float, high: float) -> float:
    """RMS of the part of x between two frequencies."""
    f, psd = signal.welch(x, RATE, nperseg=int(4 * RATE))
    keep = (f >= low) & (f <= high)
    return math.sqrt(float(psd[keep].sum() * (f[1] - f[0])))


def euler(q: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    w, x, y, z = q.T
    return (
        np.arctan2(2 * (w * x + y * z), 1 - 2 * (x * x + y * y)),
        np.arcsin(np.clip(2 * (w * y - z * x), -1, 1)),
        np.unwrap(np.arctan2(2 * (w * z + x * y), 1 - 2 * (y * y + z * z))),
    )


@pytest.mark.parametrize("kind", ["speedflight", "helicopter", "camera_car", "train_roof", "cliff_jump"])
def test_rates_and_accelerations_are_the_motions_own_derivatives(kind):
    """GNSS velocity, specific force and attitude agree: each is integrated and compared with the other."""
    m = run(kind)
    dt = 1.0 / RATE
    walked = np.cumsum(0.5 * (m["vel_N"][1:] + m["vel_N"][:-1]), axis=0) * dt
    assert np.abs(walked - (m["pos_N"][1:] - m["pos_N"][0])).max() < 0.02
    gained = np.cumsum(0.5 * (m["acc_N"][1:] + m["acc_N"][:-1]), axis=0) * dt
    assert np.abs(gained - (m["vel_N"][1:] - m["vel_N"][0])).max() < 0.02
    q = m["q_NB"]
    back = np.column_stack([q[:, 0], -q[:, 1:]])
    a, b = back[:-1], q[1:]
    turned = a[:, :1] * b[:, 1:] + b[:, :1] * a[:, 1:] + np.cross(a[:, 1:], b[:, 1:])
    turned *= 2.0 * np.sign(np.sum(q[:-1] * q[1:], axis=1))[:, None]
    mean = 0.5 * (m["omega_NB_B"][1:] + m["omega_NB_B"][:-1]) * dt
    assert np.abs(turned - mean).max() < 2e-6


def test_speedflight_swings_spirals_and_buffets():
    m = run("speedflight")
    t, w, f = m["t"], m["omega_NB_B"], m["force_B"]
    for k, (rate, force) in enumerate([(8, 1.5), (6, 1.5), (4, 2.5)]):
        assert band_rms(w[:, k], 3.5, 27) / DEG == pytest.approx(rate, rel=0.08)
        assert band_rms(f[:, k], 7.5, 72) == pytest.approx(force, rel=0.08)
    inside = (t > 13.5) & (t < 18.5)
    speed = np.hypot(m["vel_N"][:, 0], m["vel_N"][:, 1])
    slow = signal.sosfiltfilt(signal.butter(4, 2.0, fs=RATE, output="sos"), m["acc_N"], axis=0)
    load = np.linalg.norm(slow - np.array([0, 0, G0]), axis=1) / G0
    assert speed[inside].mean() == pytest.approx(22.0, rel=0.03)
    assert load[inside].mean() == pytest.approx(2.5, abs=0.1)
    course = np.unwrap(np.arctan2(m["vel_N"][:, 1], m["vel_N"][:, 0]))
    assert (course[t > 18.5][0] - course[t > 13.5][0]) / 5.0 / DEG == pytest.approx(60.0, rel=0.02)
    roll, pitch, _ = euler(m["q_NB"])
    mean_bank = roll[(t > 13.5) & (t < 13.5 + 2 / 0.41)].mean() / DEG  # two periods of the swing
    assert mean_bank == pytest.approx(66.0, abs=2.5)
    quiet = (t > 2) & (t < 8)
    assert 10.0 < np.abs(roll[quiet]).max() / DEG
    # the opposite spiral half a minute later
    assert course[t > 48.5][0] - course[t > 43.5][0] == pytest.approx(-300 * DEG, rel=0.02)


def test_speedflights_swing_has_the_stated_amplitudes():
    calm = Speedflight(kind="speedflight", buffeting_deg_s_rms=(0, 0, 0), vibration_m_s2_rms=(0, 0, 0))
    t = times(SECONDS)
    roll, pitch, yaw = euler(speedflight(calm, np.random.default_rng(1), t).q_local)
    for angle, hz, deg in ((roll, 0.41, 15.0), (pitch, 0.53, 8.0), (yaw, 0.2, 6.0)):
        assert np.abs(angle).max() / DEG == pytest.approx(deg, rel=0.001)
        crossings = np.sum((angle[:-1] < 0) & (angle[1:] >= 0))
        assert crossings == pytest.approx(hz * SECONDS, abs=1)


@pytest.mark.parametrize("seed", [1, 2, 3, 5, 10, 17, 23])
def test_chase_keeps_the_flyer_at_20_to_60_m(seed):
    m = run("speedflight", seed)
    d = np.linalg.norm(m["target"] - m["pos_N"][::40], axis=1)
    assert 20.0 < d.min() and d.max() < 60.0
    v = np.linalg.norm(np.gradient(m["target"], 0.02, axis=0), axis=1)
    assert 15.0 <= v.min() and v.max() <= 36.0


def test_helicopters_tones_random_and_turns():
    m = run("helicopter")
    w, f = m["omega_NB_B"], m["force_B"] / G0
    for k in range(3):
        assert band_rms(w[:, k], 5.0, 5.8) / DEG == pytest.approx(1.5, rel=0.05)
        assert band_rms(w[:, k], 21.0, 22.2) / DEG == pytest.approx(0.6, rel=0.05)
        freq, psd = signal.welch(f[:, k], RATE, nperseg=int(RATE))
        for low, high, level in ((50, 95, 1e-3), (190, 210, 0.25e-3), (270, 290, 1e-3 * (100 / 280) ** 2)):
            assert psd[(freq > low) & (freq < high)].mean() == pytest.approx(level, rel=0.12)
        assert psd[(freq > 330) & (freq < 600)].max() < 2e-5
        for hz, rms in ((5.4, 0.05), (21.6, 0.15), (43.2, 0.08)):
            around = 1e-3 * 1.0 if hz > 10 else 0.0
            expected = math.sqrt(rms**2 + around)  # a band of 1 Hz of the random part with it
            assert band_rms(f[:, k], hz - 0.5, hz + 0.5) == pytest.approx(expected, rel=0.08)
    t = m["t"]
    slow = signal.sosfiltfilt(signal.butter(4, 1.0, fs=RATE, output="sos"), m["acc_N"], axis=0)
    load = np.linalg.norm(slow - np.array([0, 0, G0]), axis=1) / G0
    turn = (t > 15.5) & (t < 24.5)
    assert load[turn].mean() == pytest.approx(1.5, abs=0.03)
    roll, pitch, _ = euler(m["q_NB"])
    straight = t < 11.5
    both = np.concatenate([roll[straight | (t > 29) & (t < 41)], pitch[straight]]) / DEG
    assert 1.8 < np.sqrt((both**2).mean()) < 6.0  # ±5° as a sine would have: 3.5° RMS over a long time


def test_cars_heave_and_rotation_follow_the_road():
    """Against the response integrated over the road's spectrum, and the shape of ISO 8608 through the quarter car."""
    m = run("camera_car")
    f = np.linspace(0.16, 39, 4000)
    s = 2j * np.pi * f
    v = 50 / 3.6
    road = 1024e-6 * (f / v / 0.1) ** -2 / v
    k, kt, c, mb, mw = 20e3, 180e3, 1.5e3, 400, 40
    top = (c * s + k) * kt / ((mb * s**2 + c * s + k) * (mw * s**2 + c * s + k + kt) - (c * s + k) ** 2)
    w = 2 * np.pi * 3.0
    arm = (0.8 * w * s + w * w) / (s**2 + 0.8 * w * s + w * w)
    x = 2 * np.pi * f / v * 1.5
    share = 0.5 * (1 + x * kv(1, x)) * 0.5 * (1 + np.cos(2 * np.pi * f * 2.7 / v))
    density = road * np.abs(top * arm * s**2) ** 2 * share
    expected = math.sqrt(np.trapezoid(density[f > 0.5], f[f > 0.5]))
    assert band_rms(m["acc_N"][:, 2], 0.5, 45) == pytest.approx(expected, rel=0.12)
    assert 0.5 < expected < 4.0
    for axis, span in ((0, 1.5), (1, 2.7)):
        part = 1 - x * kv(1, x) if axis == 0 else 1 - np.cos(2 * np.pi * f * 2.7 / v)
        other = 1 + np.cos(2 * np.pi * f * 2.7 / v) if axis == 0 else 1 + x * kv(1, x)
        spectrum = road * np.abs(top * arm * s) ** 2 * part * other / span**2
        rate = math.sqrt(np.trapezoid(spectrum[f > 0.5], f[f > 0.5]))
        assert band_rms(m["omega_NB_B"][:, axis], 0.5, 45) == pytest.approx(rate, rel=0.12)
    flat = np.linalg.norm(m["acc_N"][:, :2], axis=1) / G0
    assert flat.max() == pytest.approx(0.6, rel=0.02)


def test_trains_modes_joints_and_wind():
    m = run("train_roof")
    roll, _, yaw = euler(m["q_NB"])
    assert np.abs(roll).max() / DEG == pytest.approx(0.6, rel=0.01)
    assert np.abs(yaw).max() / DEG == pytest.approx(0.3, rel=0.01)
    for axis, hz, rms in ((1, 1.2, 0.3), (2, 1.5, 0.4)):  # narrow bands: the mean power of eight trains
        power = []
        for seed in range(8):
            shift = train_roof(TrainRoof(kind="train_roof"), np.random.default_rng(seed), times(SECONDS)).shift_B
            f = np.fft.rfftfreq(shift.shape[0], 1e-3)
            x = np.fft.rfft(shift[:, axis]) * (2 * np.pi * f) ** 2 / shift.shape[0]
            power.append(2 * np.sum(np.abs(x[(f > 0.85 * hz) & (f < 1.15 * hz)]) ** 2))
        assert math.sqrt(np.mean(power)) == pytest.approx(rms, rel=0.15)
    assert band_rms(m["force_B"][:, 0], 4, 85) == pytest.approx(0.6, rel=0.06)
    assert m["vel_N"][:, 0].mean() == pytest.approx(30.0, rel=0.001)
    # rail joints: the average over all of them leaves the half sine
    period = 25.0 / 30.0
    blows = [m["acc_N"][np.searchsorted(m["t"], i * period) :][:200, 2] for i in range(1, 70)]
    mean = np.mean(blows, axis=0)
    assert mean.min() == pytest.approx(-3.0, abs=0.4)
    assert mean[:24].mean() == pytest.approx(-3.0 * 2 / math.pi, abs=0.35)
    p, tables = m["params"], m["tables"]
    wind = np.array([position_velocity(p[0]["wind"], tables, x, 0)[0] for x in np.arange(0.5, 59.5, 0.02)])
    for k in (1, 2):
        assert wind[:, k].mean() == pytest.approx(0.32, rel=0.03)
        assert wind[:, k].std() == pytest.approx(0.032, rel=0.15)
    assert np.abs(wind[:, 0]).max() == 0.0


def test_cliff_jump_from_ride_to_canopy():
    m = run("cliff_jump")
    t = m["t"]
    force = np.linalg.norm(m["force_B"], axis=1) / G0
    ride = t < 5.5
    for k in range(3):
        w, f = m["omega_NB_B"][ride, k], m["force_B"][ride, k]
        high = signal.sosfiltfilt(signal.butter(4, 1.2, "high", fs=RATE, output="sos"), w)
        assert high.std() / DEG == pytest.approx(10.0, rel=0.2)
        assert band_rms(f, 55, 65) == pytest.approx(2.0, rel=0.1)
        assert band_rms(f, 115, 125) == pytest.approx(1.0, rel=0.1)
        assert band_rms(m["acc_N"][ride, k], 1.0, 7) == pytest.approx(4.0, rel=0.25)
    ramp = (t > 6.0) & (t < 6.08)
    assert m["acc_N"][ramp, 2].min() / G0 == pytest.approx(-4.0 + 0.5, abs=0.1)  # half the weight is still carried
    fall = (t > 6.2) & (t < 11.8)
    assert force[fall][0] < 0.1
    assert force[fall][-1] == pytest.approx(0.6, abs=0.1)
    speed = np.linalg.norm(m["vel_N"], axis=1)
    assert force[fall] == pytest.approx((speed[fall] / 55.0) ** 2, abs=0.02)
    along = np.sum((m["acc_N"] - [0, 0, G0]) * m["vel_N"], axis=1)[fall]
    assert (along < 0).all()  # drag is against the velocity
    assert np.linalg.norm(m["omega_NB_B"][fall], axis=1).max() / DEG == pytest.approx(40.0, rel=0.02)
    opening = (t > 12.0) & (t < 12.8)
    assert force[opening].max() == pytest.approx(6.0, abs=0.5)
    assert force[t > 12.9].max() < 2.5
    _, pitch, _ = euler(m["q_NB"])
    for start, level in ((12.5, 40.0), (14.5, 20.0), (16.5, 10.0)):
        swing = np.abs(pitch[(t > start) & (t < start + 0.95)]).max() / DEG
        assert 0.72 * level < swing <= level


def test_same_seed_same_bytes_other_seed_other_motion():
    scene = Scenario.model_validate({"name": "x", "carrier": {"kind": "train_roof"}, "target": {"kind": "flyer"}})
    a, b, c = make(scene, 1, 3.0), make(scene, 1, 3.0), make(scene, 2, 3.0)
    assert a.q_NB.tobytes() == b.q_NB.tobytes() and a.pos_N.tobytes() == b.pos_N.tobytes()
    assert a.target_N is not None and b.target_N is not None and a.target_N.tobytes() == b.target_N.tobytes()
    assert a.pos_N.tobytes() != c.pos_N.tobytes()
