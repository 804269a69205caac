"""What a scenario file may say: the carrier under the mount, the target ahead of it, and which rig flies.

Every figure of docs/reference_rig.md is a field here with that value as its default, its unit in the key.
"""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, model_validator

from gimbal.config.section import NonNegative, NonNegative3, Positive, Section, Vec3

Sign = Literal[-1, 1]

Band = tuple[Positive, Positive]


class Still(Section):
    """A bench: nothing moves."""

    kind: Literal["still"]
    roll_deg: Annotated[float, Field(ge=-60, le=60)] = 0.0
    pitch_deg: Annotated[float, Field(ge=-60, le=60)] = 0.0
    heading_deg: Annotated[float, Field(ge=-360, le=360)] = 0.0


class Turns(Section):
    """A rig turned over by hand: each axis up and down, four askew, and a slow turn from each to the next."""

    kind: Literal["turns"]
    hold_s: Annotated[float, Field(ge=1, le=60)] = 3.0
    turn_s: Annotated[float, Field(ge=0.5, le=20)] = 2.0


class Speedflight(Section):
    """A chase flyer behind a speed-flyer: harness swing, spirals, buffeting."""

    kind: Literal["speedflight"]
    speed_m_s: Annotated[float, Field(ge=10, le=60)] = 22.0
    roll_swing_hz: Positive = 0.41
    roll_swing_deg: NonNegative = 15.0
    pitch_swing_hz: Positive = 0.53
    pitch_swing_deg: NonNegative = 8.0
    heading_swing_hz: Positive = 0.2
    heading_swing_deg: NonNegative = 6.0
    spiral_s: Annotated[float, Field(ge=1, le=60)] = 8.0
    spiral_bank_deg: Annotated[float, Field(ge=0, le=80)] = 66.0
    spiral_rate_deg_s: NonNegative = 60.0
    spiral_ramp_s: Annotated[float, Field(ge=0.5, le=10)] = 2.0
    spiral_every_s: Positive = 30.0  # 0.5 more than the spiral itself at least
    spiral_first_s: Positive = 10.0
    buffeting_hz: Band = (4.0, 25.0)
    buffeting_deg_s_rms: NonNegative3 = (8.0, 6.0, 4.0)
    vibration_hz: Band = (8.0, 70.0)
    vibration_m_s2_rms: NonNegative3 = (1.5, 1.5, 2.5)

    @model_validator(mode="after")
    def _spirals_fit(self) -> Speedflight:
        if self.spiral_every_s < self.spiral_s + 2 * self.spiral_ramp_s + 0.5:
            raise ValueError("spiral_every_s must leave room for the spiral, its two ramps and half a second")
        return self


class Helicopter(Section):
    """Tones of the rotor on random vibration, after MIL-STD-810H method 514.8; slow attitude; 1.5 g turns."""

    kind: Literal["helicopter"]
    sway_deg: NonNegative = 5.0
    sway_hz: Band = (0.1, 0.5)
    rotation_tones_hz: tuple[Positive, ...] = (5.4, 21.6)
    rotation_tones_deg_s_rms: tuple[NonNegative, ...] = (1.5, 0.6)
    random_hz: Band = (10.0, 300.0)
    random_g2_hz: NonNegative = 0.001
    random_corner_hz: Positive = 100.0  # falls 6 dB an octave above
    tones_hz: tuple[Positive, ...] = (5.4, 21.6, 43.2)
    tones_g_rms: tuple[NonNegative, ...] = (0.05, 0.15, 0.08)
    speed_m_s: Positive = 30.0
    turn_load_g: Annotated[float, Field(ge=1, le=4)] = 1.5
    turn_s: Positive = 10.0
    turn_every_s: Positive = 30.0
    turn_ramp_s: Positive = 3.0
    turn_first_s: Positive = 12.0

    @model_validator(mode="after")
    def _pairs(self) -> Helicopter:
        if len(self.tones_hz) != len(self.tones_g_rms):
            raise ValueError("tones_hz and tones_g_rms must have the same length")
        if len(self.rotation_tones_hz) != len(self.rotation_tones_deg_s_rms):
            raise ValueError("rotation_tones_hz and rotation_tones_deg_s_rms must have the same length")
        if self.turn_every_s < self.turn_s + 2 * self.turn_ramp_s + 0.5:
            raise ValueError("turn_every_s must leave room for the turn and its two ramps")
        return self


class CameraCar(Section):
    """A car with a camera arm on cobbles: ISO 8608 road, quarter car a wheel, arm isolator."""

    kind: Literal["camera_car"]
    speed_km_h: Annotated[float, Field(gt=0, le=200)] = 50.0
    wheelbase_m: Positive = 2.7
    track_m: Positive = 1.5
    road_m3: NonNegative = 1024e-6  # displacement PSD at the reference wave number
    road_ref_cycles_m: Positive = 0.1
    road_slope: Annotated[float, Field(ge=-4, le=0)] = -2.0
    body_kg: Positive = 400.0
    wheel_kg: Positive = 40.0
    spring_kN_m: Positive = 20.0
    tyre_kN_m: Positive = 180.0
    damper_kN_s_m: Positive = 1.5
    isolator_hz: Positive = 3.0
    isolator_ratio: Annotated[float, Field(gt=0, lt=2)] = 0.4
    manoeuvre_g: Annotated[float, Field(ge=0, le=1.2)] = 0.6
    manoeuvre_s: Positive = 3.0
    manoeuvre_every_s: Positive = 10.0


class TrainRoof(Section):
    """On the roof of a train: bogie modes, rail joints, wind gusts on the camera."""

    kind: Literal["train_roof"]
    speed_m_s: Positive = 30.0
    roll_hz: Positive = 0.8
    roll_deg: NonNegative = 0.6
    yaw_hz: Positive = 1.1
    yaw_deg: NonNegative = 0.3
    lateral_hz: Positive = 1.2
    lateral_m_s2_rms: NonNegative = 0.3
    vertical_hz: Positive = 1.5
    vertical_m_s2_rms: NonNegative = 0.4
    broadband_hz: Band = (5.0, 80.0)
    broadband_m_s2_rms: NonNegative = 0.6
    rail_m: Positive = 25.0
    joint_ms: Positive = 12.0
    joint_m_s2: NonNegative = 3.0
    wind_Nm: NonNegative = 0.32
    wind_turbulence: NonNegative = 0.10
    wind_hz: Positive = 5.0


class CliffJump(Section):
    """A ride to the edge, the launch, six seconds of fall, the canopy's opening and the swing under it."""

    kind: Literal["cliff_jump"]
    ride_s: Positive = 6.0
    ride_rotation_hz: Band = (2.0, 15.0)
    ride_deg_s_rms: NonNegative = 10.0
    ride_hz: Band = (1.5, 6.0)
    ride_m_s2_rms: NonNegative = 4.0
    engine_hz: tuple[Positive, Positive] = (60.0, 120.0)
    engine_m_s2_rms: tuple[NonNegative, NonNegative] = (2.0, 1.0)
    ride_speed_m_s: Positive = 12.0
    ramp_g: NonNegative = 4.0
    ramp_ms: Positive = 80.0
    fall_s: Positive = 6.0
    tumble_deg_s: NonNegative = 40.0
    terminal_m_s: Positive = 55.0
    opening_g: Positive = 6.0
    opening_s: Positive = 0.8
    swing_deg: NonNegative = 40.0
    swing_hz: Positive = 1.1
    swing_halving_s: Positive = 2.0
    canopy_m_s: Positive = 12.0


class Flyer(Section):
    """The built-in speed-flyer: point mass with lift and drag, banking and swooping."""

    kind: Literal["flyer"]
    distance_m: Annotated[float, Field(ge=20, le=60)] = 40.0
    speed_m_s: tuple[Positive, Positive] = (15.0, 36.0)
    lift_s2_m2: tuple[Positive, Positive] = (0.0012, 0.003)
    drag_s2_m2: tuple[Positive, Positive] = (0.0004, 0.001)
    bank_deg: NonNegative = 30.0  # Ornstein-Uhlenbeck, 1 sigma
    bank_tau_s: Positive = 2.6
    bank_max_deg: Annotated[float, Field(gt=0, le=80)] = 75.0
    swoop_s: tuple[Positive, Positive] = (7.0, 15.0)
    swoop_bank_deg: tuple[Positive, Positive] = (60.0, 75.0)
    swoop_sink_m_s: tuple[Positive, Positive] = (15.0, 28.0)
    roll_out_g: Positive = 2.0


class Track(Section):
    """A recorded flight: FlySight CSV or npz with t, pos, vel. An empty file means: named by --track."""

    kind: Literal["track"]
    file: str = ""
    start_s: NonNegative = 0.0  # into the recording
    distance_m: Annotated[float, Field(ge=20, le=60)] = 40.0


class Point(Section):
    """A place that does not move, from the mount's start, in N."""

    kind: Literal["point"]
    pos_N_m: Vec3 = (40.0, 0.0, 0.0)


class Nobody(Section):
    kind: Literal["none"]


Carrier = Annotated[
    Still | Turns | Speedflight | Helicopter | CameraCar | TrainRoof | CliffJump,
    Field(discriminator="kind"),
]
Target = Annotated[Flyer | Track | Point | Nobody, Field(discriminator="kind")]


class Errors(Section):
    """What the simulated devices are, where the rig file says otherwise: for calibration to find.

    What is None is as the rig file says; the rest comes on top of the seed's own errors. Sensor axes, roll pitch yaw.
    """

    gyro_bias_deg_s: Vec3 = (0.0, 0.0, 0.0)
    gyro_bias_deg_s_K: Vec3 = (0.0, 0.0, 0.0)  # per K of the sensor's own warm-up
    gyro_scale: Vec3 = (0.0, 0.0, 0.0)
    accel_bias_mg: Vec3 = (0.0, 0.0, 0.0)
    accel_scale: Vec3 = (0.0, 0.0, 0.0)
    warm_up_s: Positive = 300.0  # time constant
    mount_rpy_deg: Vec3 | None = None
    imu_position_m: Vec3 | None = None
    antenna_m: Vec3 | None = None
    joint_zero_deg: Vec3 | None = None
    joint_direction: tuple[Sign, Sign, Sign] | None = None
    encoder_late_ms: Annotated[float, Field(ge=0, le=10)] = 0.0  # readings are older than their stamps
    mag_hard_uT: Vec3 = (0.0, 0.0, 0.0)
    mag_soft: tuple[Vec3, Vec3, Vec3] = ((1.0, 0.0, 0.0), (0.0, 1.0, 0.0), (0.0, 0.0, 1.0))


class Scenario(Section):
    name: str
    rig: str = "torque"
    seconds: Annotated[float, Field(gt=0, le=7200, allow_inf_nan=False)] = 60.0
    mode: Literal["off", "lock", "rate", "track", "stow", "follow", "point", "home"] = "lock"
    carrier: Carrier
    target: Target = Nobody(kind="none")
    box: bool = False  # the camera's own detector reports bearings
    hand: Literal["none", "hold", "wave"] = "none"  # what a hand does to the joints while the motors are off
    errors: Errors = Errors()
