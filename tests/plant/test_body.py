"""The chain against MuJoCo, an independent implementation: accelerations, sensors and whole motions."""

from __future__ import annotations

import mujoco
import numpy as np
import pytest

from tests.plant.helpers import PERFECT_SENSORS, QUIET, accelerations, base_at, plant, shaken
from tests.plant.mujoco_body import INDEX, drive, model, place

ORDERS = [("yaw", "roll", "pitch"), ("yaw", "pitch", "roll"), ("roll", "pitch", "yaw")]


def stage(mass, inertia, com, origin):
    return {"mass_kg": mass, "inertia_kg_m2": inertia, "com_m": com, "origin_m": origin}


BODY = {  # offsets everywhere, so that every lever arm counts
    "body": {
        "yaw": stage(0.9, [0.012, 0.011, 0.009], [0.01, -0.02, 0.03], [0.05, 0.02, 0.04]),
        "roll": stage(0.8, [0.010, 0.012, 0.011], [-0.03, 0.01, 0.02], [0.01, 0.03, 0.1]),
        "pitch": stage(3.2, [0.014, 0.020, 0.018], [0.012, 0.015, -0.01], [0.02, -0.04, 0.01]),
    }
}


def random_state(p, rng):
    s = p.state[0]
    q = rng.normal(size=4)
    s["q_NB"] = q / np.linalg.norm(q)
    for name, scale in (("omega_NB_B", 3), ("alpha_NB_B", 50), ("vel_N", 10), ("acc_N", 20), ("angle", 1), ("rate", 4)):
        s[name] = scale * rng.normal(size=3)
    s["motor_angle"] = s["angle"] + 0.01 * rng.normal(size=3)
    s["motor_rate"] = s["rate"] + rng.normal(size=3)
    return s


@pytest.mark.parametrize("order", ORDERS)
def test_joint_accelerations_and_camera_sensors_equal_mujocos(order):
    p = plant({**QUIET, **BODY, "kinematic_order": order})
    m = model(p.rig)
    d = mujoco.MjData(m)
    rng = np.random.default_rng(5)
    chain = [INDEX[a] for a in order]
    for _ in range(20):
        s = random_state(p, rng)
        u, ext = rng.normal(size=3), rng.normal(size=3)
        accelerations(p.params, p.state, u, ext)
        place(m, d, s["q_NB"], s["omega_NB_B"], s["pos_N"], s["vel_N"])
        d.qpos[7:], d.qvel[6:] = s["angle"][chain], s["rate"][chain]
        mujoco.mj_step1(m, d)
        drive(m, d, s["acc_N"], s["alpha_NB_B"], (u + ext)[chain])
        mujoco.mj_forward(m, d)
        assert d.qacc[6:] == pytest.approx(s["accel"][chain], rel=1e-9, abs=1e-8)
        assert d.sensordata[:3] == pytest.approx(s["force_C"], rel=1e-9, abs=1e-8)
        assert d.sensordata[3:] == pytest.approx(s["omega_NC_C"], rel=1e-12, abs=1e-12)


@pytest.mark.parametrize("order", ORDERS)
def test_flexible_joints_equal_mujoco_with_separate_rotors(order):
    p = plant({**QUIET, **BODY, "kinematic_order": order, "structure.motor_inertia_share": 0.15})
    pp = p.params[0]
    assert pp["flexible"]
    m = model(p.rig, pp["motor_inertia"])
    d = mujoco.MjData(m)
    rng = np.random.default_rng(6)
    stages = [m.joint(a).dofadr[0] for a in ("roll", "pitch", "yaw")]
    rotors = [m.joint("m_" + a).dofadr[0] for a in ("roll", "pitch", "yaw")]
    for _ in range(20):
        s = random_state(p, rng)
        u, ext = rng.normal(size=3), rng.normal(size=3)
        accelerations(p.params, p.state, u, ext)
        place(m, d, s["q_NB"], s["omega_NB_B"], s["pos_N"], s["vel_N"])
        torque = np.zeros(m.nv)
        elastic = pp["flex_Nm_rad"] * (s["motor_angle"] - s["angle"])
        elastic += pp["flex_Nm_s_rad"] * (s["motor_rate"] - s["rate"])
        for k in range(3):
            d.qpos[stages[k] + 1], d.qvel[stages[k]] = s["angle"][k], s["rate"][k]
            d.qpos[rotors[k] + 1], d.qvel[rotors[k]] = s["motor_angle"][k], s["motor_rate"][k]
            torque[stages[k]], torque[rotors[k]] = elastic[k] + ext[k], u[k] - elastic[k]
        mujoco.mj_step1(m, d)
        drive(m, d, s["acc_N"], s["alpha_NB_B"], torque[6:])
        mujoco.mj_forward(m, d)
        assert d.qacc[stages] == pytest.approx(s["accel"], rel=1e-8, abs=1e-6)
        assert d.qacc[rotors] == pytest.approx(s["motor_accel"], rel=1e-8, abs=1e-6)
        assert d.sensordata[:3] == pytest.approx(s["force_C"], rel=1e-8, abs=1e-7)


@pytest.mark.parametrize("order", ORDERS[:2])
@pytest.mark.parametrize("forced", [False, True])
def test_motion_on_a_shaking_base_follows_mujoco(order, forced):
    """Two seconds at 8 kHz, both semi-implicit Euler; MuJoCo's base is carried along exactly."""
    changes = {**QUIET, **PERFECT_SENSORS, "kinematic_order": order, "motors.torque_bandwidth_hz": 1e9}
    changes |= {f"joints.{a}.continuous": True for a in ("roll", "pitch", "yaw")}
    p = plant(changes, shaken(2.5), seconds=2.5)
    m = model(p.rig)
    d = mujoco.MjData(m)
    s = p.state[0]
    chain = [INDEX[a] for a in order]
    d.qpos[7:], d.qvel[6:] = s["angle"][chain], s["rate"][chain]
    worst = 0.0
    torque = np.zeros(3)
    for i in range(4000 * 2):
        place(m, d, s["q_NB"], s["omega_NB_B"], s["pos_N"], s["vel_N"])
        mujoco.mj_step1(m, d)
        drive(m, d, s["acc_N"], s["alpha_NB_B"], torque[chain])
        mujoco.mj_step2(m, d)
        p.advance(0.000125)
        worst = max(worst, float(np.abs(d.qpos[7:] - s["angle"][chain]).max()))
        torque = s["torque"].copy()
        if forced and i % 4 == 0:
            wanted = 0.05 * np.array([np.sin(i * 0.002), np.cos(i * 0.003), np.sin(i * 0.001)])
            for k in range(3):
                p.set_joint_command(k, 1, torque=wanted[k])
    assert np.abs(s["angle"]).max() > 0.05
    assert worst < 2e-7
    if forced:
        assert np.abs(s["torque"]).max() > 0.01


def test_base_table_is_its_own_derivative():
    """Attitude, rate and acceleration of the base against differences of the attitude and position."""
    p = plant(motion=shaken(3.0), seconds=3.0)
    s = p.state[0]
    h = 20_000

    def at(t_ns):
        s["t_ns"] = t_ns
        base_at(p.params, p.state, p.tables)
        return {k: s[k].copy() for k in ("q_NB", "omega_NB_B", "alpha_NB_B", "pos_N", "vel_N", "acc_N")}

    for t in (600_000_123, 1_234_567_000):
        a, b, c = at(t - h), at(t), at(t + h)
        dt = 2e-9 * h
        assert (c["pos_N"] - a["pos_N"]) / dt == pytest.approx(b["vel_N"], abs=1e-6)
        assert (c["vel_N"] - a["vel_N"]) / dt == pytest.approx(b["acc_N"], abs=1e-5)
        assert (c["omega_NB_B"] - a["omega_NB_B"]) / dt == pytest.approx(b["alpha_NB_B"], abs=1e-5)
        w, v = b["q_NB"][0], b["q_NB"][1:]
        dq = (c["q_NB"] - a["q_NB"]) / dt
        rate = 2.0 * (w * dq[1:] - dq[0] * v - np.cross(v, dq[1:]))
        assert rate == pytest.approx(b["omega_NB_B"], abs=1e-6)


def test_free_chain_keeps_its_energy_and_momentum():
    """No torque, no gravity, base still: kinetic energy stays; about a fixed yaw axis so does the momentum."""
    p = plant({**QUIET, **PERFECT_SENSORS, **{f"joints.{a}.continuous": True for a in ("roll", "pitch", "yaw")}})
    p.params[0]["gravity_m_s2"] = 0.0
    p.place([0.3, -0.4, 0.2], [1.0, -2.0, 1.5])

    def energy_and_momentum():
        s = p.state[0]
        M = s["M"] + np.triu(s["M"], 1).T
        rate = s["rate"][[2, 0, 1]]
        return 0.5 * rate @ M @ rate, (M @ rate)[0]

    e0, h0 = energy_and_momentum()
    for _ in range(20):
        p.advance(0.1)
        e, h = energy_and_momentum()
        assert e == pytest.approx(e0, rel=2e-3)
        assert h == pytest.approx(h0, rel=2e-3)
    assert np.abs(p.state[0]["angle"]).max() > 1.0
