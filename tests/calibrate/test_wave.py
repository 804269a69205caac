"""Waved joints: what was put in comes out within three sigma; bad recordings are refused with the reason."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from gimbal.calibrate.arms import imu_arm
from gimbal.calibrate.joints import delay, joints, mount
from gimbal.calibrate.recording import Recording, held
from gimbal.config.calibration import Calibration
from gimbal.config.load import load_rig
from gimbal.config.pack import pack_params
from gimbal.errors import UsageError
from gimbal.plant.assemble import euler_matrix
from gimbal.records import TICK
from gimbal.units import DEG
from tests.calibrate.recorded import record

STILL = {"kind": "still"}
SECONDS = 25.0


@pytest.fixture(scope="module")
def turned() -> tuple[Recording, np.void]:
    """A turned mount, a gyro off in scale, late encoders, an IMU away from the centre."""
    return record(
        STILL, "wave", SECONDS, mount_rpy_deg=(2.0, -3.0, 5.0), gyro_scale=(0.01, -0.02, 0.015), encoder_late_ms=2.5,
        imu_position_m=(0.05, -0.02, 0.04),
    )  # fmt: skip


@pytest.fixture(scope="module")
def swapped() -> Recording:
    """Two encoders the wrong way round, all zeros off, the base askew."""
    askew = {"kind": "still", "roll_deg": 8.0, "pitch_deg": -5.0}
    found, _ = record(askew, "wave", SECONDS, seed=2, joint_direction=(1, -1, -1), joint_zero_deg=(4.0, -6.0, 10.0))
    return found


def test_mount_and_gyro_matrix(turned: tuple[Recording, np.void]) -> None:
    rec, p = turned
    found = mount(rec).found
    truth = np.linalg.inv(p["gyro_M"])
    R = euler_matrix(found.rpy_deg)
    u, _, v = np.linalg.svd(truth)
    off = R.T @ (u @ v)
    axis = 0.5 * np.array([off[2, 1] - off[1, 2], off[0, 2] - off[2, 0], off[1, 0] - off[0, 1]])
    assert (np.abs(axis) < 3 * np.array(found.rpy_std_deg) * DEG).all()
    assert (np.abs(R @ np.array(found.gyro_matrix) - truth) < 3 * found.gyro_matrix_std).all()
    assert max(found.rpy_std_deg) < 0.1 and found.gyro_matrix_std < 0.002  # and that is worth something


def test_delay(turned: tuple[Recording, np.void]) -> None:
    found = delay(turned[0]).found
    assert abs(found.encoder_late_ms - 2.5) < 3 * found.encoder_late_std_ms
    assert found.encoder_late_std_ms < 0.2


def test_imu_arm_after_mount_and_delay(turned: tuple[Recording, np.void]) -> None:
    rec, p = turned
    known = Calibration(serial="x", rig="torque", mount=mount(rec).found, delay=delay(rec).found)
    found = imu_arm(replace(rec, rig=rec.rig.model_copy(update={"calibrated": known}))).found
    assert (np.abs(np.array(found.m) - p["imu_pos_C"]) < 3 * np.array(found.std_m)).all()
    assert max(found.std_m) < 0.005


def test_the_loop_reads_what_was_found(turned: tuple[Recording, np.void]) -> None:
    rec, p = turned
    known = Calibration(serial="x", rig="torque", mount=mount(rec).found, delay=delay(rec).found)
    packed = pack_params(rec.rig.model_copy(update={"calibrated": known}))
    assert np.abs(packed["imu"]["gyro_CI"][0] @ p["gyro_M"] - np.eye(3)).max() < 0.003
    assert np.abs(pack_params(rec.rig)["imu"]["gyro_CI"][0] @ p["gyro_M"] - np.eye(3)).max() > 0.05
    assert packed["encoders"]["late_ns"][0] == pytest.approx(2.5e6, abs=0.2e6)


def test_directions_and_zeros(swapped: Recording) -> None:
    found = joints(swapped).found
    for name, direction, zero in (("roll", 1, 4.0), ("pitch", -1, -6.0), ("yaw", -1, 10.0)):
        joint = getattr(found, name)
        assert joint.direction == direction
        assert abs(joint.zero_deg - zero) < 3 * joint.zero_std_deg
        assert joint.zero_std_deg < 0.3


def test_a_rig_that_knows_its_joints_sees_the_true_angles(swapped: Recording) -> None:
    """The simulated devices stay as they are; the rig that reads the calibration turns their angles right."""
    known = Calibration(serial="x", rig="torque", joints=joints(swapped).found)
    rig = load_rig("torque").config.model_copy(update={"calibrated": known})
    errors = {"joint_direction": (1, -1, -1), "joint_zero_deg": (4.0, -6.0, 10.0)}
    right, _ = record(STILL, "wave", 6.0, rig=rig, **errors)
    plain, _ = record(STILL, "wave", 6.0)
    wrong, _ = record(STILL, "wave", 6.0, **errors)
    assert np.abs(right.joint - plain.joint).max() < 0.6 * DEG
    assert np.abs(wrong.joint - plain.joint).max() > 20 * DEG


def test_mount_asks_for_the_joints_first(swapped: Recording) -> None:
    with pytest.raises(UsageError, match=r"direction of pitch, yaw.*gimbal calibrate joints"):
        mount(swapped)


def _flip(rec: Recording) -> Recording:
    return replace(rec, gyro=rec.gyro * [1.0, -1.0, 1.0])


def _moving_base(rec: Recording) -> Recording:
    return replace(rec, gyro=rec.gyro + 0.4 * np.sin(2.0 * rec.t)[:, None])


@pytest.mark.parametrize(
    ("words", "harm"),
    [
        ("left-handed", _flip),
        ("The base moved", _moving_base),
        ("roll joint moved over 0 degrees", lambda r: replace(r, joint=r.joint * [0.0, 1.0, 1.0])),
        ("moved in the first second", lambda r: replace(r, joint=r.joint + 0.2 * np.sin(9 * r.joint_t)[:, None])),
        ("at its range", lambda r: replace(r, gyro=np.where(np.abs(r.gyro) > 1.0, 34.9, r.gyro))),
        ("another unit", lambda r: replace(r, gyro=r.gyro / 1.3)),
        ("15 s are needed", lambda r: replace(r, t=r.t[:8000], gyro=r.gyro[:8000])),
    ],
)
def test_bad_recordings_say_why(turned: tuple[Recording, np.void], words: str, harm) -> None:
    with pytest.raises(UsageError, match=words):
        mount(harm(turned[0]))


def test_a_delay_that_no_link_has_is_refused(turned: tuple[Recording, np.void]) -> None:
    with pytest.raises(UsageError, match="no link is so late"):
        delay(replace(turned[0], joint_t=turned[0].joint_t + 0.03))


def test_a_live_recording_begins_with_the_rest() -> None:
    rows = np.zeros(4000, TICK)
    rows["t_ns"] = np.arange(4000) * 1_000_000
    rows["sense"]["joint_angle"][:1000, 0] = np.linspace(1.0, 0.0, 1000)
    assert held(rows[:2000]) is None  # at rest for a second only
    rest = held(rows[:2600])
    assert rest is not None and 1400 < len(rest) < 1600 and not rest["sense"]["joint_angle"].any()
