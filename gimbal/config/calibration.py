"""What a calibration file says: machine-written by ``gimbal calibrate``, one section a procedure, one file a sensor.

A rig names it by its key ``calibration``. Its values stand in for those of the rig file in whatever the loop reads;
the simulated plant goes on being what the rig file and its scenario say.
"""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field

Real = Annotated[float, Field(allow_inf_nan=False)]
Std = Annotated[float, Field(ge=0, allow_inf_nan=False)]
Vec3 = tuple[Real, Real, Real]
Std3 = tuple[Std, Std, Std]
Matrix3 = tuple[Vec3, Vec3, Vec3]


class Found(BaseModel):
    """One sigma of a value is the key with ``std`` in it; ``figures``: what the procedure judged itself by."""

    model_config = ConfigDict(extra="forbid", frozen=True)
    date: str  # of the recording, UTC
    source: str = ""  # the log, or "live"
    temperature_degC: Real | None = None  # of the IMU, mean; absent where the device doesn't say
    figures: dict[str, float] = {}


class Gyro(Found):
    """Bias in sensor axes at reference_degC and its curve: bias + K1 (T - ref) + K2 (T - ref)²."""

    bias_deg_s: Vec3
    bias_std_deg_s: Std3
    reference_degC: Real = 0.0
    bias_deg_s_K: Vec3 = (0.0, 0.0, 0.0)
    bias_std_deg_s_K: Std3 = (0.0, 0.0, 0.0)
    bias_deg_s_K2: Vec3 = (0.0, 0.0, 0.0)


class Accelerometer(Found):
    """force = scale (reading - bias), sensor axes."""

    bias_m_s2: Vec3
    bias_std_m_s2: Std3
    scale: Vec3
    scale_std: Std3


class Mount(Found):
    """Sensor to camera axes as intrinsic Z-Y-X angles, and the gyro's own scale and cross-axis (rate = M reading)."""

    rpy_deg: Vec3
    rpy_std_deg: Std3
    gyro_matrix: Matrix3
    gyro_matrix_std: Std


class Joint(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)
    direction: Literal[-1, 1]
    zero_deg: Real
    zero_std_deg: Std


class Joints(Found):
    roll: Joint
    pitch: Joint
    yaw: Joint


class Magnetometer(Found):
    """field = soft (reading - hard), sensor axes; its norm is field_uT."""

    hard_uT: Vec3
    hard_std_uT: Std3
    soft: Matrix3
    soft_std: Std
    field_uT: Real


class Arm(Found):
    """A place in m: of the IMU in the camera stage, or of the antenna in the base."""

    m: Vec3
    std_m: Std3


class Delay(Found):
    """Joint readings are older than their stamps say, against the IMU's."""

    encoder_late_ms: Real
    encoder_late_std_ms: Std


class Noise(Found):
    """Densities and bias instabilities, worst axis, by Allan deviation."""

    gyro_noise_deg_s_rtHz: Std
    gyro_instability_deg_h: Std
    accel_noise_ug_rtHz: Std
    accel_instability_ug: Std


class Calibration(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)
    serial: str
    rig: str  # name of the rig it was made on
    gyro: Gyro | None = None
    accelerometer: Accelerometer | None = None
    mount: Mount | None = None
    joints: Joints | None = None
    magnetometer: Magnetometer | None = None
    imu_arm: Arm | None = None
    antenna: Arm | None = None
    delay: Delay | None = None
    noise: Noise | None = None
