"""The rig and scenario files against the reference figures, written out here once more."""

from __future__ import annotations

import re
import tomllib

import pytest

from gimbal.config.scenario import Scenario
from tests.plant.helpers import ROOT, rig_config

RIG = {
    "kinematic_order": ("yaw", "roll", "pitch"),
    "body.yaw.mass_kg": 0.9,
    "body.yaw.inertia_kg_m2": (0.010, 0.010, 0.008),
    "body.yaw.com_m": (0, 0, 0.030),
    "body.roll.mass_kg": 0.8,
    "body.roll.inertia_kg_m2": (0.006, 0.010, 0.010),
    "body.roll.origin_m": (0, 0, 0.100),
    "body.pitch.mass_kg": 3.2,
    "body.pitch.inertia_kg_m2": (0.014, 0.020, 0.018),
    "body.pitch.com_m": (0.0010, 0.0005, 0.0012),
    "joints.yaw.continuous": True,
    "joints.roll.min_deg": -86,
    "joints.roll.max_deg": 86,
    "joints.pitch.min_deg": -126,
    "joints.pitch.max_deg": 126,
    "motors.torque_constant_Nm_A": 0.20,
    "motors.phase_resistance_ohm": 0.9,
    "motors.bus_V": 24,
    "motors.source_resistance_ohm": 0.1,
    "motors.continuous_A": 6,
    "motors.peak_A": 15,
    "motors.torque_bandwidth_hz": 300,
    "motors.torque_noise_Nm_rms": 0.001,
    "thermal.winding_J_K": 40,
    "thermal.winding_to_case_K_W": 2.0,
    "thermal.case_J_K": 300,
    "thermal.case_to_air_K_W": 1.5,
    "thermal.limit_degC": 110,
    "friction.coulomb_Nm": 0.020,
    "friction.breakaway_Nm": 0.026,
    "friction.stribeck_rad_s": 0.05,
    "friction.viscous_Nm_s_rad": 0.004,
    "friction.bristle_Nm_rad": 15,
    "friction.bristle_damping_Nm_s_rad": 0.05,
    "cable.spring_Nm_rad": (0.05, 0.05, 0.0),
    "cable.hysteresis_Nm": 0.01,
    "cogging.periods_per_rev": (42, 84),
    "cogging.torque_Nm": (0.006, 0.003),
    "structure.mode_hz": (55, 70, 48),
    "structure.damping_ratio": 0.03,
    "encoder.bits": 14,
    "encoder.once_per_turn_error_deg": 0.05,
    "encoder.delay_ms": 0.3,
    "imu.rate_hz": 1000,
    "imu.gyro_noise_deg_s_rtHz": 0.0028,
    "imu.gyro_bias_deg_s": 0.1,
    "imu.gyro_in_run_deg_h": 5,
    "imu.gyro_scale": 0.003,
    "imu.misalignment_deg": 0.2,
    "imu.gyro_range_deg_s": 2000,
    "imu.bandwidth_hz": 256,
    "imu.accel_noise_ug_rtHz": 70,
    "imu.accel_bias_mg": 3,
    "imu.accel_bias_mg_K": 0.1,
    "imu.accel_scale": 0.003,
    "imu.accel_range_g": 16,
    "gnss.rate_hz": 5,
    "gnss.delay_ms": 150,
    "gnss.lost": 0,
    "beacon.delay_ms": 200,
    "beacon.lost": 0.02,
    **{f"{r}.{k}": v for r in ("gnss", "beacon") for k, v in {"pos_walk_m": 1.0, "pos_walk_tau_s": 60}.items()},
    **{f"{r}.{k}": v for r in ("gnss", "beacon") for k, v in {"pos_white_m": 0.15, "vel_m_s": 0.08}.items()},
    "camera.focal_mm": 50,
    "camera.sensor_mm": (24.9, 14.0),
    "camera.width_px": 4096,
    "camera.frames_s": 24,
    "camera.shutter_deg": 180,
    "camera.box_rate_hz": 30,
    "camera.box_delay_ms": 80,
    "camera.box_angle_deg": 0.08,
    "camera.box_size_m": 0.25,
    "camera.box_detected": 0.9,
}
LINK = {"torque": (1000, 2.0), "torque_fast": (2000, 0.8)}

CARRIERS = {
    "speedflight": "speed_m_s=22 roll_swing_hz=0.41 roll_swing_deg=15 pitch_swing_hz=0.53 pitch_swing_deg=8 "
    "heading_swing_hz=0.2 heading_swing_deg=6 spiral_s=8 spiral_bank_deg=66 spiral_rate_deg_s=60 spiral_ramp_s=2 "
    "spiral_every_s=30 buffeting_hz=4,25 buffeting_deg_s_rms=8,6,4 vibration_hz=8,70 vibration_m_s2_rms=1.5,1.5,2.5",
    "helicopter": "sway_deg=5 sway_hz=0.1,0.5 rotation_tones_hz=5.4,21.6 rotation_tones_deg_s_rms=1.5,0.6 "
    "random_hz=10,300 random_g2_hz=0.001 random_corner_hz=100 tones_hz=5.4,21.6,43.2 tones_g_rms=0.05,0.15,0.08 "
    "turn_load_g=1.5 turn_s=10",
    "camera_car": "speed_km_h=50 wheelbase_m=2.7 track_m=1.5 road_m3=0.001024 road_ref_cycles_m=0.1 road_slope=-2 "
    "body_kg=400 wheel_kg=40 spring_kN_m=20 tyre_kN_m=180 damper_kN_s_m=1.5 isolator_hz=3 isolator_ratio=0.4 "
    "manoeuvre_g=0.6",
    "train_roof": "speed_m_s=30 roll_hz=0.8 roll_deg=0.6 yaw_hz=1.1 yaw_deg=0.3 lateral_hz=1.2 lateral_m_s2_rms=0.3 "
    "vertical_hz=1.5 vertical_m_s2_rms=0.4 broadband_hz=5,80 broadband_m_s2_rms=0.6 rail_m=25 joint_ms=12 "
    "joint_m_s2=3 wind_Nm=0.32 wind_turbulence=0.1 wind_hz=5",
    "cliff_jump": "ride_s=6 ride_rotation_hz=2,15 ride_deg_s_rms=10 ride_hz=1.5,6 ride_m_s2_rms=4 engine_hz=60,120 "
    "engine_m_s2_rms=2,1 ramp_g=4 ramp_ms=80 fall_s=6 tumble_deg_s=40 terminal_m_s=55 opening_g=6 opening_s=0.8 "
    "swing_deg=40 swing_hz=1.1 swing_halving_s=2",
}
FLYER = "speed_m_s=15,36 lift_s2_m2=0.0012,0.003 drag_s2_m2=0.0004,0.001 bank_deg=30 bank_tau_s=2.6 bank_max_deg=75 " \
    "swoop_s=7,15 swoop_bank_deg=60,75 swoop_sink_m_s=15,28 roll_out_g=2"  # fmt: skip


def scene(name: str) -> Scenario:
    with open(ROOT / f"configs/scenarios/{name}.toml", "rb") as f:
        return Scenario.model_validate(tomllib.load(f))


def expect(section, figures: str) -> None:
    for pair in figures.split():
        key, text = pair.split("=")
        values = [float(x) for x in text.split(",")]
        have = getattr(section, key)
        assert list(have) == values if isinstance(have, tuple) else have == values[0], key


@pytest.mark.parametrize("name", LINK)
def test_rig_files_carry_the_reference_values(name):
    rig = rig_config(name=name)
    for dotted, value in RIG.items():
        have = rig
        for key in dotted.split("."):
            have = getattr(have, key)
        assert have == value, dotted
    assert (rig.loop_rate_hz, rig.delay.sample_to_torque_ms) == LINK[name]


@pytest.mark.parametrize("name", CARRIERS)
def test_scenario_files_carry_the_reference_values_and_spell_them_out(name):
    s = scene(name)
    assert (s.carrier.kind, s.seconds, s.rig, s.mode) == (name, 60.0, "torque", "lock")
    expect(s.carrier, CARRIERS[name])
    assert set(type(s.carrier).model_fields) == s.carrier.model_fields_set  # no figure hides in a default
    assert 20 <= s.target.distance_m <= 60
    expect(s.target, FLYER)


def test_every_scenario_file_is_valid():
    for path in (ROOT / "configs/scenarios").glob("*.toml"):
        assert scene(path.stem).name == path.stem


def test_document_names_every_figure():
    """Each number of the tables here stands in docs/reference_rig.md too."""
    numbers = set(re.findall(r"\d+(?:\.\d+)?", (ROOT / "docs/reference_rig.md").read_text()))
    wanted = " ".join(CARRIERS.values()) + " " + FLYER
    scaled = {"0.001024": "1024", "0.1": "10"}  # printed as 1024e-6 and, for the turbulence, as 10 %
    for text in re.findall(r"=([\d.,-]+)", wanted):
        for value in text.split(","):
            value = value.lstrip("-")
            assert value in numbers or scaled.get(value) in numbers, value
    for dotted, value in RIG.items():
        for x in value if isinstance(value, tuple) else (value,):
            if isinstance(x, (int, float)) and not isinstance(x, bool) and x:
                forms = {f"{abs(x) * k:.6g}" for k in (1, 1e3, 100)} | {f"{abs(x):.3f}", f"{abs(x):.2f}", f"{x:.1f}"}
                assert forms & numbers, dotted
