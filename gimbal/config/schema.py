"""What a rig file may say: typed, ranged, the unit in every key, an unknown key is an error.

The sections follow docs/reference_rig.md. The same values feed the simulated plant (as truth) and the controller
(as its model), so a mis-modelled rig is simulated by giving the plant another file.
"""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, model_validator

from firmware_bridge.registry import DEVICES
from gimbal.config.attached import Autopilot, Device, InnerLoop, Radio
from gimbal.config.calibration import Calibration
from gimbal.config.section import Axis, NonNegative, NonNegative3, Positive, Positive3, Section, Vec3
from gimbal.records import CARRIER_MAX

MAX_SECTIONS = 6  # second-order sections in one joint's feedback torque


class Joint(Section):
    continuous: bool = False
    min_deg: Annotated[float, Field(ge=-360, le=0)] = -180.0
    max_deg: Annotated[float, Field(ge=0, le=360)] = 180.0
    stow_deg: Annotated[float, Field(ge=-180, le=180)] = 0.0
    soft_stop_deg: Annotated[float, Field(gt=0, le=30)] = 4.0  # the soft end-stop begins this far before the hard one
    max_rate_deg_s: Annotated[float, Field(gt=0, le=2000)] = 700.0
    direction: Literal[-1, 1] = 1  # sign of the device's angle against ours
    zero_deg: Annotated[float, Field(ge=-360, le=360)] = 0.0  # device reading at our zero

    @model_validator(mode="after")
    def _stows_within_its_travel(self) -> Joint:
        if not self.continuous and not self.min_deg <= self.stow_deg <= self.max_deg:
            raise ValueError(f"stow_deg {self.stow_deg:g} lies outside min_deg {self.min_deg:g} to max_deg "
                             f"{self.max_deg:g}: the joint would be driven into its end-stop")  # fmt: skip
        return self


class Joints(Section):
    roll: Joint
    pitch: Joint
    yaw: Joint


class Body(Section):
    mass_kg: Positive
    inertia_kg_m2: Positive3  # about its own centre of mass, x, y, z of the stage
    com_m: Vec3 = (0.0, 0.0, 0.0)  # centre of mass from the stage's origin
    origin_m: Vec3 = (0.0, 0.0, 0.0)  # stage's origin in the stage before it (yaw stage: in the base)


class Bodies(Section):
    """Keys are the stage that each joint turns; the stage of the innermost joint carries the camera."""

    yaw: Body
    roll: Body
    pitch: Body


class Motors(Section):
    torque_constant_Nm_A: Positive
    phase_resistance_ohm: Positive
    bus_V: Positive
    source_resistance_ohm: NonNegative
    continuous_A: Positive
    peak_A: Positive
    torque_bandwidth_hz: Positive
    torque_noise_Nm_rms: NonNegative


class Thermal(Section):
    winding_J_K: Positive = 40.0
    winding_to_case_K_W: Positive = 2.0
    case_J_K: Positive = 300.0
    case_to_air_K_W: Positive = 1.5
    air_degC: Annotated[float, Field(ge=-60, le=80)] = 20.0
    limit_degC: Annotated[float, Field(gt=30, le=250)] = 110.0


class Friction(Section):
    coulomb_Nm: NonNegative
    breakaway_Nm: NonNegative
    stribeck_rad_s: Positive
    viscous_Nm_s_rad: NonNegative
    bristle_Nm_rad: Positive = 15.0
    bristle_damping_Nm_s_rad: NonNegative = 0.05


class Cable(Section):
    spring_Nm_rad: NonNegative3  # roll, pitch, yaw
    hysteresis_Nm: NonNegative = 0.0
    hysteresis_Nm_rad: Positive = 0.5  # stiffness of the strands until they slide


class Cogging(Section):
    periods_per_rev: tuple[int, int]
    torque_Nm: tuple[NonNegative, NonNegative]


class Structure(Section):
    mode_hz: Positive3  # roll, pitch, yaw: motor to camera
    damping_ratio: Annotated[float, Field(gt=0, lt=1)]
    # part of a joint's inertia on the motor's side of the mode; 0 = the plant's structure is rigid
    motor_inertia_share: Annotated[float, Field(ge=0, le=0.6)] = 0.15


class Encoder(Section):
    bits: Annotated[int, Field(ge=8, le=24)]
    once_per_turn_error_deg: NonNegative
    delay_ms: NonNegative


class Inertial(Section):
    """An IMU's figures after calibration, 1 sigma, and its place."""

    rate_hz: Annotated[float, Field(gt=0, le=8000)]
    gyro_noise_deg_s_rtHz: NonNegative
    gyro_bias_deg_s: NonNegative  # switch-on, 1 sigma
    gyro_in_run_deg_h: NonNegative
    gyro_scale: NonNegative
    misalignment_deg: NonNegative
    gyro_range_deg_s: Positive
    bandwidth_hz: Positive
    accel_noise_ug_rtHz: NonNegative
    accel_bias_mg: NonNegative
    accel_scale: NonNegative
    accel_range_g: Positive
    accel_misalignment_deg: NonNegative = 0.0  # of the accelerometer's axes against the gyro's
    mount_rpy_deg: Vec3 = (0.0, 0.0, 0.0)  # q_CI (on the carrier q_BI) as intrinsic Z-Y-X angles
    position_m: Vec3 = (0.0, 0.0, 0.0)  # in C, from the camera stage's origin (in B, from the outermost bearing)


class Imu(Inertial):
    accel_bias_mg_K: NonNegative
    mag_rate_hz: NonNegative = 0.0  # 0 = no magnetometer


class CarrierImu(Inertial):
    """A second IMU, on the carrier before the outermost joint: ``devices.carrier_imu``."""

    rate_hz: Annotated[float, Field(ge=20, le=2000)]
    joint_std_deg: Annotated[float, Field(gt=0, le=5)] = 0.2  # of the way through the joints, an axis, 1 sigma


class Delay(Section):
    sample_to_torque_ms: Annotated[float, Field(gt=0, le=50)]


class Fixes(Section):
    """A GNSS receiver as the loop sees it."""

    rate_hz: Positive
    delay_ms: NonNegative
    lost: Annotated[float, Field(ge=0, lt=1)] = 0.0
    pos_walk_m: NonNegative  # Gauss-Markov, 1 sigma
    pos_walk_tau_s: Positive
    pos_white_m: NonNegative
    vel_m_s: NonNegative
    antenna_m: Vec3 = (0.0, 0.0, 0.0)  # in B, from the yaw bearing
    heading_std_deg: NonNegative = 0.0  # of a second antenna's heading, 0 = there is none
    baseline_deg: Annotated[float, Field(ge=-360, le=360)] = 0.0  # first to second antenna, in B, from x to y


class Camera(Section):
    focal_mm: Positive
    sensor_mm: tuple[Positive, Positive]
    width_px: Annotated[int, Field(gt=0)]
    frames_s: Positive
    shutter_deg: Annotated[float, Field(gt=0, le=360)]
    box_rate_hz: NonNegative = 30.0
    box_delay_ms: NonNegative = 80.0
    box_angle_deg: NonNegative = 0.08
    box_size_m: NonNegative = 0.25
    box_detected: Annotated[float, Field(ge=0, le=1)] = 0.9


class Notch(Section):
    axis: Axis
    centre_hz: Positive
    width_hz: Positive
    depth: Annotated[float, Field(ge=0, lt=1)] = 0.1


class Shaping(Section):
    """A second-order section (s²/z² + 2 d s/z + 1) / (s²/p² + 2 e s/p + 1) in one joint's feedback torque."""

    axis: Axis
    zero_hz: Positive
    zero_damping: NonNegative
    pole_hz: Positive
    pole_damping: Positive


class Feedforward(Section):
    """Each term can be switched off to see its worth."""

    imbalance: bool = True
    friction: bool = True
    cable: bool = True
    inertia: bool = True  # computed torque: gyroscopic and cross-axis terms, base acceleration
    line_of_sight: bool = True  # rate and acceleration of the setpoint
    cogging: bool = True  # learned
    prediction: bool = True  # causes as they will be when the torque acts, not as they were measured
    foresight: bool = True  # by filters learned in flight
    compliance: bool = True  # the structure's, learned in flight


class PlainPid(Section):
    """Gains of the plain PID that the full controller is compared with: `gimbal sim --controller pid`."""

    attitude_gain_1_s: Positive3
    rate_gain_1_s: Positive3
    integral_gain_1_s2: NonNegative3
    derivative_gain: NonNegative3
    derivative_lowpass_hz: Positive = 60.0
    gyro_lowpass_hz: Positive = 200.0
    torque_lowpass_hz: Positive = 250.0
    notches: tuple[Notch, ...] = ()


class Fast(Section):
    """Loops that take the feedback over while the camera is near its setpoint and nothing is limited.

    One gain for all axes: a joint's loop is then the same at every pose, with nothing of its neighbours' in it.
    """

    attitude_gain_1_s: Positive
    rate_gain_1_s: Positive
    integral_gain_1_s2: NonNegative
    shaping: tuple[Shaping, ...] = ()


class Control(Section):
    # what the devices are told; rates or angles are the camera's where a board (inner_loop) holds it against the earth
    output: Literal["torque", "rate", "angle"] = "torque"
    feed_rate_hz: Positive = 4.0  # with output rate or angle: the base's motion is fed forward up to here
    attitude_gain_1_s: Positive3  # rad/s asked per rad of error, about camera axes
    rate_gain_1_s: Positive3  # rad/s² per rad/s
    integral_gain_1_s2: NonNegative3  # rad/s² per rad of integrated rate error
    derivative_gain: NonNegative3  # rad/s² per rad/s² of measured acceleration, filtered
    derivative_lowpass_hz: Positive = 60.0
    gyro_lowpass_hz: Positive = 200.0
    torque_lowpass_hz: Positive = 250.0
    notches: tuple[Notch, ...] = ()
    shaping: tuple[Shaping, ...] = ()
    attitude_draw_s: Annotated[float, Field(ge=0.2, le=60)] = 5.0  # how slowly the estimate's corrections get in
    base_motion_hz: Positive = 15.0  # where the base's angular acceleration ends, for its prediction
    cogging_learn_1_s: NonNegative = 0.5
    observer_hz: NonNegative = 0.0  # corner of the disturbance observer, 0 = off
    feedforward: Feedforward = Feedforward()
    fast: Fast | None = None  # None: the gains above act alone
    pid: PlainPid | None = None  # None: the plain PID has the gains above
    accept_low_margins: bool = False  # fly loops under 6 dB, 35 degrees or over Ms 2.0

    @model_validator(mode="after")
    def _fast_loops_make_torque(self) -> Control:
        if self.fast is not None and (self.output != "torque" or self.observer_hz > 0.0):
            raise ValueError('[control.fast] needs output = "torque" and observer_hz = 0: leave one of them out')
        return self


class Limits(Section):
    max_torque_Nm: Positive
    max_rate_deg_s: Annotated[float, Field(gt=0, le=1000)] = 180.0  # of the setpoint
    max_accel_deg_s2: Positive = 1200.0
    max_jerk_deg_s3: Positive = 20000.0
    singularity_cos: Annotated[float, Field(gt=0, lt=0.9)] = 0.25
    arm_ramp_s: Annotated[float, Field(gt=0, le=10)] = 0.5


class Estimation(Section):
    profile: Literal["flight", "vehicle", "handheld"] = "flight"
    gravity_m_s2: Annotated[float, Field(ge=9.7, le=9.9)] = 9.80665
    declination_deg: Annotated[float, Field(ge=-180, le=180)] = 0.0  # magnetic north from true north, east positive


class Targeting(Section):
    model: Literal["auto", "velocity_frame", "singer", "constant_velocity"] = "auto"
    framing_right_deg: Annotated[float, Field(ge=-45, le=45)] = 0.0  # subject this far right of the centre
    framing_down_deg: Annotated[float, Field(ge=-45, le=45)] = 0.0
    bandwidth_hand_hz: Annotated[float, Field(gt=0, le=20)] = 2.5  # how hard the setpoint pursues the operator
    bandwidth_track_hz: Annotated[float, Field(gt=0, le=20)] = 0.57  # and a goal made of fixes and boxes, 20 m away
    lead_room: Annotated[float, Field(ge=0, le=0.45)] = (
        0.0  # share of the picture's width ahead of the subject; 1/6: thirds
    )
    lead_s: Positive = 1.5  # how softly the lead changes sides
    horizon_bank: Annotated[float, Field(ge=0, le=1)] = 0.0  # share of the mount's bank the picture takes on; 0: level
    horizon_bank_s: Positive = 0.4
    slew_deg_s: Annotated[float, Field(gt=0, le=180)] = 60.0  # on the way to a point, or to where a path begins
    search_deg: Annotated[float, Field(ge=0, le=15)] = 0.0  # the camera sweeps so far for a subject not seen; 0: never
    follow_window_deg: tuple[NonNegative, NonNegative] = (3.0, 180.0)  # heading, tilt; 180: that one isn't followed
    follow_s: Positive = 0.5
    stick_deg_s: NonNegative = 1.0  # a rate beyond takes over from track, follow, point and path
    stick_expo: Annotated[float, Field(ge=0, le=1)] = 0.0
    subject_m: Positive = 6.0  # for the advised focal length
    subject_fill: Annotated[float, Field(gt=0, le=1)] = 0.4  # of the picture's height
    zoom_mm: tuple[Positive, Positive] | None = None  # of the lens; none: it has one focal length
    coast_s: Positive = 3.0
    lost_s: Positive = 8.0


class Safety(Section):
    imu_predict_ms: Annotated[float, Field(gt=0, le=20)] = 3.0
    imu_hold_ms: Annotated[float, Field(gt=0, le=100)] = 20.0
    imu_safe_ms: Annotated[float, Field(gt=0, le=250)] = 50.0
    motor_safe_ms: Annotated[float, Field(gt=0, le=250)] = 50.0
    device_watchdog_ms: Annotated[float, Field(ge=20, le=100)] = 50.0
    rate_command_expiry_ms: Annotated[float, Field(gt=0, le=250)] = 250.0
    runaway_rate_deg_s: Annotated[float, Field(gt=0, le=3000)] = 900.0
    safe_action: Literal["brake", "off"] = "brake"
    accept_rough_tilt: bool = False  # arm before the tilt is known to a degree: the horizon comes right in flight
    accept_no_watchdog: tuple[str, ...] = ()  # drivers without a device watchdog whose risk is accepted by name
    wired_stop_device: str = ""  # its port carries the wired stop's contact; empty: sensed by the bus voltage alone
    wired_stop_line: Literal["cts", "dsr"] = "cts"  # asserted while the chain is closed

    @model_validator(mode="after")
    def _steps_in_order(self) -> Safety:
        if not self.imu_predict_ms < self.imu_hold_ms < self.imu_safe_ms:
            raise ValueError("imu_predict_ms, imu_hold_ms and imu_safe_ms must grow in this order: first the estimate "
                             "is carried on, then the joints are held, then the rig is made safe")  # fmt: skip
        return self


class Rig(Section):
    name: str
    loop_rate_hz: Annotated[float, Field(ge=50, le=4000)]
    kinematic_order: tuple[Axis, Axis, Axis] = ("yaw", "roll", "pitch")
    joints: Joints
    body: Bodies
    motors: Motors
    thermal: Thermal = Thermal()
    friction: Friction
    cable: Cable
    cogging: Cogging
    structure: Structure
    encoder: Encoder
    imu: Imu
    delay: Delay
    gnss: Fixes
    beacon: Fixes
    camera: Camera
    control: Control
    limits: Limits
    estimation: Estimation = Estimation()
    targeting: Targeting = Targeting()
    safety: Safety = Safety()
    autopilot: Autopilot = Autopilot()
    carrier_imu: CarrierImu | None = None
    inner_loop: InnerLoop | None = None
    radio: Radio = Radio()
    devices: dict[str, Device] = {}
    calibration: str = ""  # serial: configs/calibration/<serial>.toml, or a path; empty: none
    calibrated: Calibration | None = None  # that file's content, filled in when the rig is loaded

    @model_validator(mode="after")
    def _order_names_each_axis(self) -> Rig:
        if sorted(self.kinematic_order) != ["pitch", "roll", "yaw"]:
            raise ValueError("kinematic_order must name yaw, roll and pitch once each, outer (base) to inner (camera)")
        return self

    @model_validator(mode="after")
    def _wired_stop_has_a_port(self) -> Rig:
        name = self.safety.wired_stop_device
        opened = [n for n, d in self.devices.items() if d.driver not in DEVICES or DEVICES[d.driver].in_loop]
        if name and name not in opened:
            why = " whose port the loop opens" if name in self.devices else ""
            raise ValueError(f"safety.wired_stop_device names {name!r}, which is none of [devices]{why}: "
                             f"{', '.join(sorted(opened)) or 'there are none'}")  # fmt: skip
        return self

    @model_validator(mode="after")
    def _board_takes_no_torque(self) -> Rig:
        if self.inner_loop is not None and self.control.output == "torque":
            raise ValueError('a rig with [inner_loop] needs [control] output = "rate" or "angle", not torque')
        return self

    @model_validator(mode="after")
    def _carrier_imu_fits_the_tick(self) -> Rig:
        most_hz = CARRIER_MAX * self.loop_rate_hz
        if self.carrier_imu is not None and self.carrier_imu.rate_hz > most_hz:
            raise ValueError(
                f"carrier_imu.rate_hz is {self.carrier_imu.rate_hz:g}, but a tick takes {CARRIER_MAX} of its samples: "
                f"at loop_rate_hz = {self.loop_rate_hz:g} at most {most_hz:g}. Have the device send fewer"
            )
        return self

    @model_validator(mode="after")
    def _filters_fit(self) -> Rig:
        lowpass = self.control.torque_lowpass_hz < 0.5 * self.loop_rate_hz
        filters = [*(n.axis for n in self.control.notches), *(s.axis for s in self.control.shaping)]
        fast = [s.axis for s in self.control.fast.shaping] if self.control.fast else []
        for axis in ("roll", "pitch", "yaw"):
            count = max(filters.count(axis) + lowpass, fast.count(axis))
            if count > MAX_SECTIONS:
                raise ValueError(
                    f"control: {axis} has {count} notches, shaping sections and torque low-pass; a joint has room for "
                    f"{MAX_SECTIONS}: leave some out"
                )
        return self
