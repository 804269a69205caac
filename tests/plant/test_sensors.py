"""What the sensors add: noise densities, biases, quantisation, delay, bandwidth; receivers and camera boxes."""

from __future__ import annotations

import math

import numpy as np
import pytest
from scipy import signal

from gimbal.plant.simulator import Plant
from gimbal.records import JointMode
from gimbal.units import DEG, G0
from tests.plant.helpers import PERFECT_SENSORS, QUIET, plant, rig_config, scenario, shaken

HELD = {**QUIET, "body.pitch.com_m": [0, 0, 0], "body.yaw.com_m": [0, 0, 0]}


def imu_record(p, seconds):
    gyro, accel, t = [], [], []
    for _ in range(round(seconds / 0.02)):
        p.advance(0.02)
        for stamp, g, a, clipped in p.imu_samples():
            assert not clipped
            t.append(stamp)
            gyro.append(g)
            accel.append(a)
    return np.array(t), np.array(gyro), np.array(accel)


def test_imus_noise_densities_and_rate():
    t, gyro, accel = imu_record(plant(HELD), 60.0)
    assert np.diff(t) == pytest.approx(1e6, abs=0)
    f, psd = signal.welch(gyro, 1000, nperseg=4096, axis=0)
    mid = (f > 5) & (f < 400)
    assert np.sqrt(psd[mid].mean(axis=0)) / DEG == pytest.approx(0.0028, rel=0.03)
    f, psd = signal.welch(accel, 1000, nperseg=4096, axis=0)
    assert np.sqrt(psd[mid].mean(axis=0)) / G0 * 1e6 == pytest.approx(70.0, rel=0.03)
    # integrated, the gyro's noise is 11 urad RMS an axis above 0.5 Hz
    high = signal.butter(4, 0.5, "high", fs=1000, output="sos")
    angle = signal.sosfiltfilt(high, np.cumsum(gyro - gyro.mean(axis=0), axis=0) * 1e-3, axis=0)
    assert angle[5000:-1000].std(axis=0).mean() * 1e6 == pytest.approx(11.0, rel=0.15)


def test_errors_drawn_at_switch_on_have_their_sigma():
    rig = rig_config()
    from gimbal.plant.assemble import params

    draws = [params(rig, seed, 0)[0] for seed in range(300)]
    bias = np.concatenate([d["gyro_bias"] for d in draws]) / DEG
    assert bias.std() == pytest.approx(0.1, rel=0.08) and abs(bias.mean()) < 0.02
    assert np.concatenate([d["accel_bias"] for d in draws]).std() / G0 * 1e3 == pytest.approx(3.0, rel=0.08)
    assert np.concatenate([d["accel_bias_K"] for d in draws]).std() / G0 * 1e3 == pytest.approx(0.1, rel=0.08)
    for name in ("gyro_M", "accel_M"):
        m = np.array([d[name] for d in draws])
        assert (m[:, [0, 1, 2], [0, 1, 2]] - 1).std() == pytest.approx(0.003, rel=0.1)
        tilt = 0.2 if name == "gyro_M" else 0.0  # the reference rig lists misalignment at the gyro alone
        assert m[:, 0, 1].std() / DEG == pytest.approx(tilt, rel=0.1)


def test_gyros_in_run_bias_wanders_by_its_sigma():
    quiet = {**PERFECT_SENSORS, **HELD, "imu.gyro_in_run_deg_h": 5.0, "imu.rate_hz": 100.0}
    p = plant(quiet, substep_ns=1_000_000)
    p.params[0]["gyro_walk_tau_s"] = 2.0  # faster, to see many independent values
    walk = []
    for _ in range(800):
        p.advance(1.0)
        walk.append(p.state[0]["gyro_walk"].copy())
    assert np.std(walk) / DEG * 3600 == pytest.approx(5.0, rel=0.12)


def test_readings_are_quantised_and_clipped():
    p = plant({**PERFECT_SENSORS, **HELD, "imu.gyro_range_deg_s": 50.0})
    _, gyro, accel = imu_record(p, 0.1)
    lsb = p.params[0]["accel_lsb"]
    assert lsb / G0 == pytest.approx(1 / 8192)
    assert np.abs(accel / lsb - np.round(accel / lsb)).max() < 1e-6
    p.place([0, 0, 0], [0, 0, 2.0])
    p.set_joint_command(2, JointMode.TORQUE)
    p.advance(0.02)
    *_, (_, g, _, clipped) = p.imu_samples()
    assert clipped and g[2] == pytest.approx(50 * DEG)


def test_imu_at_its_lever_arm_on_a_shaking_base():
    """Specific force from positions alone: the IMU's path is differenced twice."""
    arm = (0.08, -0.05, 0.03)
    changes = {**PERFECT_SENSORS, **HELD, "imu.position_m": arm, "imu.bandwidth_hz": 3999.9}
    p = plant(changes, shaken(4.0), seconds=4.0)
    from gimbal.plant.state import TRUTH

    row, path, attitude, force = np.zeros(1, TRUTH), [], [], []
    for _ in range(8000):
        p.advance(125e-6)
        p.truth_into(row)
        w, v = row[0]["q_NC"][0], row[0]["q_NC"][1:]
        c = 2 * np.cross(v, arm)
        path.append(row[0]["camera_pos_N"] + arm + w * c + np.cross(v, c))
        attitude.append(row[0]["q_NC"].copy())
        samples = p.imu_samples()
        force.append(samples[-1][2] if samples else np.full(3, np.nan))
    x = np.array(path)
    acc = (x[4:] - 2 * x[2:-2] + x[:-4]) / (2 * 125e-6) ** 2 - [0, 0, G0]
    q = np.array(attitude)[2:-2]
    c = 2 * np.cross(-q[:, 1:], acc)
    body = acc + q[:, :1] * c + np.cross(-q[:, 1:], c)
    have = ~np.isnan(np.array(force)[2:-2, 0])
    assert have.sum() > 900
    assert np.abs(np.array(force)[2:-2][have] - body[have]).max() < 0.02


def test_imu_bandwidth_gives_the_delay_of_its_filter():
    """A 20 Hz motion is seen late by the second-order low-pass: sqrt(2) / (2 pi 256 Hz) = 0.88 ms."""
    from gimbal.plant.motion import Motion, times
    from gimbal.plant.shaping import q_euler

    t = times(2.0)
    yaw = 0.01 * np.sin(2 * np.pi * 20 * t)
    p = plant({**PERFECT_SENSORS, **HELD}, Motion(q_euler(0 * t, 0 * t, yaw), np.zeros((t.size, 3))), seconds=2.0)
    for k in range(3):
        p.params[0]["bristle"] = 0.0
        p.set_joint_command(k, JointMode.ANGLE)
    p.params[0]["gyro_lsb"] = 0.0
    stamps, gyro, true = [], [], []
    for _ in range(1500):
        p.advance(0.001)
        stamp, g, *_ = p.imu_samples()[-1]
        stamps.append(stamp * 1e-9)
        gyro.append(g[2])
        true.append(p.state[0]["omega_NC_C"][2])
    stamps = np.array(stamps)[500:]
    turn = np.exp(-2j * np.pi * 20 * stamps)
    late = np.angle(np.sum(np.array(true)[500:] * turn) / np.sum(np.array(gyro)[500:] * turn)) / (2 * np.pi * 20)
    assert late == pytest.approx(math.sqrt(2) / (2 * math.pi * 256), rel=0.1)


def test_encoder_is_coarse_periodic_and_late():
    p = plant({**HELD, "imu.rate_hz": 100.0})
    p.place([0, 0, 0], [0, 0, 1.0])
    readings, true, stamps = [], [], []
    for _ in range(6000):
        p.advance(0.001)
        j = p.joint_state(2)
        readings.append(j["angle"])
        stamps.append(j["t_ns"])
        assert p.t_ns - j["t_ns"] == 300_000
        true.append(p.state[0]["motor_angle"][2] - 0.0003 * p.state[0]["motor_rate"][2])
    steps = np.array(readings) / (2 * math.pi / 2**14)
    assert np.abs(steps - np.round(steps)).max() < 1e-6
    error = np.array(readings) - np.array(true)
    turn = np.exp(-1j * np.array(true))
    assert 2 * abs(np.mean(error * turn)) / DEG == pytest.approx(0.05, rel=0.06)
    assert np.abs(error).max() < 0.05 * DEG + 1.1 * math.pi / 2**14
    assert p.joint_state(2)["rate"] == pytest.approx(p.state[0]["motor_rate"][2], abs=0.05)


def fixes(p, name, seconds, arrived=True):
    out = []
    for _ in range(round(seconds / 0.01)):
        p.advance(0.01)
        take = p.gnss_fix if name == "gnss" else p.beacon_fix
        fix = take(arrived)
        while fix is not None:
            assert p.t_ns >= fix["arrival_ns"] or not arrived
            out.append(fix)
            fix = take(arrived)
    return out


@pytest.mark.parametrize("name, delay, lost", [("gnss", 0.150, 0.0), ("beacon", 0.200, 0.02)])
def test_receivers_rate_latency_loss_and_noise(name, delay, lost):
    scene = scenario(target={"kind": "point", "pos_N_m": [40, 5, -3]})
    p = Plant(rig_config(), scene, seconds=1.0, seed=3, substep_ns=1_000_000)
    got = fixes(p, name, 1500.0)
    n = 1500 * 5
    share = 1 - len(got) / n
    assert share == pytest.approx(lost, abs=0.006 if lost else 0.0005)
    assert all(f["arrival_ns"] - f["t_ns"] == round(delay * 1e9) for f in got)
    pos = np.array([f["pos_N"] for f in got]) - (np.array([40, 5, -3]) if name == "beacon" else 0.0)
    vel = np.array([f["vel_N"] for f in got])
    assert vel.std(axis=0) == pytest.approx(0.08, rel=0.05)
    assert pos.std(axis=0).mean() == pytest.approx(math.hypot(1.0, 0.15), rel=0.35)  # 25 correlation times
    near = np.diff(pos, axis=0).std(axis=0).mean()
    walk = math.sqrt(2 * (1 - math.exp(-0.2 / 60.0)))
    assert near == pytest.approx(math.hypot(0.15 * math.sqrt(2), walk), rel=0.05)


def test_receivers_errors_are_independent():
    p = Plant(rig_config(), scenario(target={"kind": "point", "pos_N_m": [0, 0, 0]}), seconds=1.0, substep_ns=1_000_000)
    p.params[0]["gnss"]["walk_tau_s"] = p.params[0]["beacon"]["walk_tau_s"] = 0.5
    own, other = {}, {}
    for _ in range(40_000):
        p.advance(0.01)
        for fix, store in ((p.gnss_fix(), own), (p.beacon_fix(), other)):
            if fix is not None:
                store[fix["t_ns"]] = fix["pos_N"]
    both = [(own[t], other[t]) for t in own if t in other]
    a, b = np.array(both).transpose(1, 0, 2)
    assert abs(np.corrcoef(a.ravel(), b.ravel())[0, 1]) < 0.06


def test_boxes_bear_on_the_target_only_inside_the_frame():
    half = math.atan(0.5 * 24.9 / 50.0)
    sense_boxes = {}
    for offset in (0.0, 0.8 * half, 1.1 * half):
        y = 40 * math.tan(offset)
        scene = scenario(target={"kind": "point", "pos_N_m": [40.0, y, 0.1]}, box=True)
        changes = {**HELD, "friction": {**rig_config().friction.model_dump()}}
        p = Plant(rig_config(changes), scene, seconds=1.0)
        from gimbal.plant import step
        from gimbal.records import SENSE

        sense, seen = np.zeros(1, SENSE), []
        for _ in range(30_000):
            p.advance(0.001)
            sense[:] = np.zeros(1, SENSE)
            step.read(p.params, p.state, p.tables, sense)
            if sense[0]["bearing_valid"]:
                assert sense[0]["bearing_arrival_ns"] - sense[0]["bearing_t_ns"] == 80_000_000
                seen.append((*sense[0]["bearing_xy"], sense[0]["bearing_std"]))
        sense_boxes[offset] = np.array(seen)
    assert len(sense_boxes[1.1 * half]) == 0
    centre, side = sense_boxes[0.0], sense_boxes[0.8 * half]
    assert len(centre) == pytest.approx(0.9 * 30 * 30, rel=0.04)
    std = math.hypot(0.08 * DEG, 0.25 / 40)
    assert centre[:, 2] == pytest.approx(std, rel=0.01)
    assert centre[:, :2].std(axis=0) == pytest.approx(std, rel=0.1)
    assert side[:, 0].mean() == pytest.approx(math.tan(0.8 * half), abs=4 * std / math.sqrt(len(side)) + 2e-4)
