"""Margins: against hand-derived loops, python-control, and the shipped tick on the simulated rig."""

from __future__ import annotations

import math

import control as ct
import numpy as np
import pytest

from gimbal.config.load import load_rig, load_scenario
from gimbal.errors import ConfigError
from gimbal.frames import AXES, AXIS_INDEX
from gimbal.tuning.margins import all_margins, bode_plot, check, grid_hz, known_margins, of_loop, refused
from gimbal.tuning.model import (
    Change,
    Controller,
    loop_poles,
    loop_response,
    make_axis,
    mass_matrix,
    response,
    sampled_plant,
)


@pytest.fixture(autouse=True)
def own_cache(tmp_path, monkeypatch):
    """Margins are kept in a folder of the test's own; compiled kernels stay where they are."""
    monkeypatch.setattr("gimbal.kernels.build.cache_root", lambda: tmp_path)


def quiet(rig):
    """A rig without friction, noise and sensor errors: what is left is linear."""
    zero3 = (0.0, 0.0, 0.0)
    return rig.model_copy(
        update={
            "friction": rig.friction.model_copy(
                update=dict.fromkeys(("coulomb_Nm", "breakaway_Nm", "viscous_Nm_s_rad"), 0.0)
            ),
            "cable": rig.cable.model_copy(update={"spring_Nm_rad": zero3, "hysteresis_Nm": 0.0}),
            "cogging": rig.cogging.model_copy(update={"torque_Nm": (0.0, 0.0)}),
            "motors": rig.motors.model_copy(update={"torque_noise_Nm_rms": 0.0}),
            "imu": rig.imu.model_copy(
                update={
                    k: 0.0
                    for k in ("gyro_noise_deg_s_rtHz", "gyro_bias_deg_s", "gyro_in_run_deg_h", "gyro_scale")
                    + ("misalignment_deg", "accel_noise_ug_rtHz", "accel_bias_mg", "accel_bias_mg_K", "accel_scale")
                }
            ),
        }
    )


def with_control(rig, **changes):
    return rig.model_copy(update={"control": rig.control.model_copy(update=changes)})


def test_an_integrator_with_delay_has_the_margins_worked_out_by_hand():
    k, tau = 20.0, 0.01
    w = np.geomspace(0.1, 3000.0, 20000)
    m = of_loop(k * np.exp(-1j * w * tau) / (1j * w), w, True, "roll", "hand")
    assert m.phase_deg == pytest.approx(90.0 - math.degrees(k * tau), abs=0.01)
    assert m.gain_db == pytest.approx(20.0 * math.log10(math.pi / (2.0 * k * tau)), abs=0.01)
    assert m.delay_ms == pytest.approx(1e3 * (math.pi / 2.0 / k - tau), rel=1e-3)
    assert m.crossover_hz == pytest.approx(k / (2.0 * math.pi), rel=1e-3)


def test_a_loop_that_less_gain_makes_unstable_counts_that_way():
    """(s + 1)^2 / s^3 times 2: at -180 degrees at w = 1, where it is 4: stable only above a quarter of 2, a half."""
    w = np.geomspace(0.01, 100.0, 20000)
    s = 1j * w
    m = of_loop(2.0 * (s + 1) ** 2 / s**3, w, True, "roll", "hand")
    assert m.gain_db == pytest.approx(20.0 * math.log10(4.0), abs=0.01)


@pytest.mark.parametrize("name", ["torque", "torque_fast", "simplefoc"])
def test_python_control_finds_the_same_margins(name):
    rig = load_rig(name).config
    axis = make_axis(rig, "roll")
    controller = Controller(rig, axis)
    A, B, C = sampled_plant(axis)
    loop = -ct.ss(A, B[:, :1], C[:1], [[0.0]], 1.0 / axis.rate_hz) * controller.system()
    w = 2.0 * math.pi * grid_hz(rig)
    ours = of_loop(loop_response(axis, controller, np.exp(1j * w / axis.rate_hz)), w, True, "roll", "level")
    near = w[(w > 6.0) & (w < 0.9 * math.pi * axis.rate_hz)]
    disk, disk_gain, disk_phase = ct.disk_margins(loop, near)
    assert ours.disk == pytest.approx(disk, rel=2e-3)
    assert ours.disk_gain_db == pytest.approx(disk_gain, rel=5e-3)
    assert ours.disk_phase_deg == pytest.approx(disk_phase, rel=5e-3)
    gains, phases, *_ = ct.stability_margins(ct.frd(loop, near, smooth=True), returnall=True)
    assert ours.gain_db == pytest.approx(min(abs(20 * math.log10(g)) for g in gains), abs=0.05)
    assert ours.phase_deg == pytest.approx(min(abs(p) for p in phases), abs=0.1)


@pytest.mark.parametrize("name", ["torque", "torque_fast"])
def test_response_and_state_space_of_the_controller_are_one(name):
    rig = with_control(load_rig(name).config, observer_hz=8.0, derivative_gain=(0.02, 0.02, 0.02))
    z = np.exp(1j * np.geomspace(3e-3, 3.0, 40))
    for a in AXES:
        controller = Controller(rig, make_axis(rig, a))
        ours = controller.response(z)
        assert np.max(np.abs(controller.system()(z) / ours - 1.0)) < 1e-3


def test_mass_matrix_is_the_plants():
    from gimbal.plant.simulator import Plant

    rig = load_rig("torque").config
    rigid = rig.model_copy(update={"structure": rig.structure.model_copy(update={"motor_inertia_share": 0.0})})
    plant = Plant(rigid, load_scenario("bench").config, seconds=1.0)
    for angle in ([0.0, 0.0, 0.0], [0.4, -0.7, 1.1], [-1.0, 1.4, 0.2]):
        plant.place(angle, [0.0, 0.0, 0.0])
        M = np.array(plant.state[0]["M"])
        k = [AXIS_INDEX[a] for a in rig.kinematic_order]
        full = np.triu(M) + np.triu(M, 1).T
        assert mass_matrix(rig, np.array(angle))[np.ix_(k, k)] == pytest.approx(full, rel=1e-9, abs=1e-12)


def test_half_a_tick_of_delay_is_between_none_and_one():
    rig = load_rig("torque").config
    axis = [make_axis(rig, "roll", None, Change(delay_s=d)) for d in (0.0, 0.5e-3, 1e-3)]
    z = np.exp(1j * 2.0 * math.pi * np.array([5.0, 20.0]) / 1000.0)
    r = [response(*sampled_plant(a), z)[:, 0, 0] for a in axis]
    turn = np.angle(r[1] / r[0]), np.angle(r[2] / r[1])
    assert turn[0] == pytest.approx(-2.0 * math.pi * np.array([5.0, 20.0]) * 0.5e-3, rel=0.02)
    assert turn[1] == pytest.approx(turn[0], rel=0.02)


class Shaken:
    """A rig with a multisine added to the torque command; remembers it and the sum."""

    def __init__(self, rig, torque):
        self.rig, self.torque, self.tick = rig, torque, 0
        self.total = np.zeros_like(torque)

    def __getattr__(self, name):
        return getattr(self.rig, name)

    def write(self, command):
        self.total[self.tick] = command["joint_torque_cmd"][0] + self.torque[self.tick]
        command["joint_torque_cmd"][0] = self.total[self.tick]
        self.tick += 1
        return self.rig.write(command)


@pytest.mark.parametrize(("name", "observer_hz"), [("torque", 0.0), ("torque_fast", 0.0)])
def test_the_simulated_loop_has_the_models_sensitivity(name, observer_hz):
    """A multisine on the torque, another set of frequencies for each joint, through the shipped tick and the plant."""
    from gimbal.loop.lockstep import run_lockstep
    from gimbal.rig.plant import PlantRig

    rig = quiet(with_control(load_rig(name).config, observer_hz=observer_hz))
    period, settle, periods = 4.0, 8.0, 6  # the mean of six: an encoder's step at random moments is not the loop's
    n = round((settle + periods * period) * rig.loop_rate_hz)
    t = np.arange(n) / rig.loop_rate_hz
    wanted = np.geomspace(1.5, 120.0, 30)
    cycles = np.unique(np.round(wanted * period)).astype(int)
    torque = np.zeros((n, 3))
    for j, c in enumerate(cycles):
        torque[:, j % 3] += 2e-4 * np.cos(2.0 * math.pi * c * t / period + 1.7 * j * j)
    shaken = Shaken(PlantRig(rig, load_scenario("bench").config, seconds=n / rig.loop_rate_hz + 1.0), torque)
    result = run_lockstep(shaken, rig, n / rig.loop_rate_hz)
    assert not result["faults"]
    D, U = (
        np.fft.rfft(x[round(settle * rig.loop_rate_hz) :].reshape(periods, -1, 3).mean(0), axis=0)
        for x in (torque, shaken.total)
    )
    for k, a in enumerate(AXES):
        axis = make_axis(rig, a)
        mine = cycles[k::3]
        z = np.exp(2j * math.pi * mine / period / rig.loop_rate_hz)
        S = 1.0 / (1.0 + loop_response(axis, Controller(rig, axis), z))
        error = np.abs(U[mine, k] / D[mine, k] - S)
        # the mode, of Q 17, lies a little elsewhere in the plant's 8 kHz steps, the joints' modes touch each other, and
        # the encoder, on the motor, moves by a torque that the tick, for once, knows nothing of
        assert np.max(error) < 0.085, (a, mine / period, np.abs(S), error)


def test_shipped_rigs_keep_their_margins():
    for name in ("torque", "torque_fast", "odrive", "vesc", "dynamixel"):
        assert refused(all_margins(load_rig(name).config)) == [], name


def test_a_rig_whose_devices_close_the_fast_loops_has_no_margins_of_ours():
    for name in ("simplefoc", "sbgc", "storm32", "mavlink"):
        assert check(load_rig(name).config) == []


def test_a_rig_with_twice_the_gain_is_refused_with_figures_and_a_plot(tmp_path):
    rig = with_control(load_rig("torque").config, rate_gain_1_s=(140.0, 140.0, 140.0))
    with pytest.raises(ConfigError, match=r"refused.*yaw +level.*accept_low_margins") as caught:
        check(rig)
    assert (tmp_path / "margins" / "bode-torque.png").stat().st_size > 10_000
    assert "bode-torque.png" in str(caught.value)
    assert len(check(with_control(rig, accept_low_margins=True))) >= 18


def test_a_mode_below_the_bandwidth_is_named():
    rig = load_rig("torque").config
    soft = rig.model_copy(update={"structure": rig.structure.model_copy(update={"mode_hz": (6.0, 70.0, 48.0)})})
    with pytest.raises(ConfigError, match="flexible mode of roll lies within"):
        check(soft)


def test_an_isolated_check_agrees_and_is_remembered(monkeypatch):
    rig = load_rig("torque").config
    first = known_margins(rig, isolated=True)
    assert first == all_margins(rig)
    monkeypatch.setattr("gimbal.tuning.margins._isolated", None)  # a second time nothing is computed
    assert known_margins(rig, isolated=True) == first


def test_unstable_is_seen_by_the_poles():
    rig = with_control(load_rig("torque").config, rate_gain_1_s=(900.0, 60.0, 60.0))
    axis = make_axis(rig, "roll")
    assert np.abs(loop_poles(axis, Controller(rig, axis))).max() > 1.0
    assert any(not m.stable and m.axis == "roll" for m in refused(all_margins(rig)))


def test_a_bode_plot_is_a_picture(tmp_path):
    path = tmp_path / "new" / "bode.png"
    bode_plot(load_rig("torque").config, path)
    assert path.read_bytes().startswith(b"\x89PNG")
