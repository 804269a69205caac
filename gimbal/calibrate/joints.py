"""From the waved joints: encoder directions and zeros, the IMU's mount and the gyro's matrix, the links' delay."""

from __future__ import annotations

import math

import numpy as np

from gimbal.calibrate import wave
from gimbal.calibrate.recording import Recording
from gimbal.calibrate.result import Panel, Result, mean_temp, triple, words
from gimbal.config import calibration
from gimbal.errors import UsageError
from gimbal.frames import AXES
from gimbal.rig.joint_sense import believed
from gimbal.units import DEG

MARK_DEG = 0.2  # one sigma of holding a camera at its marks
MARKS_OFF_DEG = 2.0  # marks and gyro may differ by this
ZERO_OFF_DEG = 0.3  # of the middle joint, before the mount can be believed


def _panel(found: wave.Wave) -> Panel:
    return Panel("Encoders' rate less the gyro's, camera axes", found.t, found.residual / DEG, ("x", "y", "z"),
                 y_label="deg/s")  # fmt: skip


def _facts(rec: Recording, found: wave.Wave) -> dict:
    rms = float(np.sqrt(np.mean(found.residual**2))) / DEG
    return {
        "date": rec.date,
        "source": rec.source,
        "temperature_degC": mean_temp(rec.temp),
        "figures": {"seconds": round(rec.seconds, 1), "residual_deg_s_rms": round(rms, 5)},
    }


def _once(rec: Recording) -> float:
    """One sigma (rad) of an encoder's once-per-turn error at some angle."""
    return rec.rig.encoder.once_per_turn_error_deg * DEG / math.sqrt(2.0)


def joints(rec: Recording) -> Result:
    """Direction and zero of each joint, as the device reads.

    Raises:
        UsageError: as wave.fit, or the camera wasn't at its marks.
    """
    found = wave.fit(rec)
    middle = wave.chain_order(rec)[1]
    off = (found.zero - found.marks[middle]) / DEG
    if abs(off) > MARKS_OFF_DEG:
        raise UsageError(
            f"By the gyro the {AXES[middle]} joint's zero lies {off:+.1f} degrees from where the camera was held "
            "at the beginning. Hold it at its marks, level with the base, and record again."
        )
    sign, _ = believed(rec.rig)
    zero = np.where(np.arange(3) == middle, found.zero, found.marks)
    std = np.hypot(np.where(np.arange(3) == middle, found.zero_std / DEG, MARK_DEG), _once(rec) / DEG)
    each = {
        name: calibration.Joint(
            direction=1 if found.signs[k] * sign[k] > 0 else -1,
            zero_deg=round(rec.device_joint(k, float(zero[k])) / DEG, 4),
            zero_std_deg=round(float(std[k]), 4),
        )
        for k, name in enumerate(AXES)
    }
    lines = [
        f"{name:5s}    direction {joint.direction:+d}, zero at {joint.zero_deg:+.2f} deg of the device, 1 sigma "
        f"{joint.zero_std_deg:.2f}" + (" (by the gyro)" if AXES[middle] == name else " (by the marks)")
        for name, joint in each.items()
    ]
    facts = _facts(rec, found)
    facts["figures"]["marks_off_deg"] = round(off, 3)
    return Result("joints", calibration.Joints(**facts | each), lines, [_panel(found)])


def mount(rec: Recording) -> Result:
    """The IMU's attitude in the camera and the gyro's scale and cross-axis, with the joints as they are configured.

    Raises:
        UsageError: as wave.fit, or the joints must be calibrated first.
    """
    found = wave.fit(rec)
    middle = wave.chain_order(rec)[1]
    wrong = [AXES[k] for k in range(3) if found.signs[k] < 0]
    if wrong or abs(found.zero) > 3.0 * found.zero_std + ZERO_OFF_DEG * DEG:
        why = f"the direction of {', '.join(wrong)}" if wrong else f"the zero of {AXES[middle]}"
        raise UsageError(
            f"The joints aren't calibrated: {why} is wrong, and the mount is measured against the joints' axes. Run "
            "`gimbal calibrate joints` on this recording, name its file in the rig, and record again."
        )
    u, scale, v = np.linalg.svd(found.matrix)
    R, S = u @ v, v.T @ np.diag(scale) @ v
    if np.abs(S - np.eye(3)).max() > 0.1:
        raise UsageError(
            f"The gyro's scale would be off by {100 * np.abs(S - np.eye(3)).max():.0f} %. It is read in another unit, "
            "or an encoder counts several turns as one. Correct the driver's options and record again."
        )
    rpy = (math.atan2(R[2, 1], R[2, 2]), -math.asin(R[2, 0]), math.atan2(R[1, 0], R[0, 0]))
    s = found.matrix_std
    rpy_std = [math.hypot(0.5 * math.hypot(s[i, j], s[j, i]), _once(rec)) for i, j in ((1, 2), (0, 2), (0, 1))]
    matrix_std = math.hypot(float(s.max()), _once(rec))
    section = calibration.Mount(
        **_facts(rec, found),
        rpy_deg=triple([a / DEG for a in rpy], 5),
        rpy_std_deg=triple([a / DEG for a in rpy_std], 5),
        gyro_matrix=(triple(S[0]), triple(S[1]), triple(S[2])),
        gyro_matrix_std=round(matrix_std, 7),
    )
    lines = [
        f"mount    roll pitch yaw {words(section.rpy_deg)} deg, 1 sigma {words(section.rpy_std_deg)}",
        f"gyro     scale {words(np.diag(S), 5)}, 1 sigma {matrix_std:.5f}",
    ]
    return Result("mount", section, lines, [_panel(found)])


def delay(rec: Recording) -> Result:
    """How much older than their stamps the joint readings are, against the IMU's.

    Raises:
        UsageError: as wave.fit, or a delay that no link has.
    """
    found = wave.fit(rec)
    lag_s = math.sqrt(2.0) / (2.0 * math.pi * rec.rig.imu.bandwidth_hz)  # of the gyro's own low-pass
    before = rec.rig.calibrated.delay.encoder_late_ms if rec.rig.calibrated and rec.rig.calibrated.delay else 0.0
    late_ms = 1e3 * (found.late_s + lag_s)
    if abs(late_ms) > 20.0:
        raise UsageError(
            f"Encoders and gyro lie {late_ms:+.1f} ms apart: no link is so late. A driver stamps wrongly, or the clock "
            "of a device isn't followed; look at `gimbal devices probe` for both and record again."
        )
    std = 1e3 * max(found.late_std, 6e-5)
    section = calibration.Delay(
        **_facts(rec, found), encoder_late_ms=round(late_ms, 4), encoder_late_std_ms=round(std, 4)
    )
    lines = [
        f"delay    joint readings are {late_ms:+.3f} ms older than stamped, 1 sigma {std:.3f} (was {before:+.3f})",
        f"         in it {1e3 * lag_s:.2f} ms that the gyro's own {rec.rig.imu.bandwidth_hz:g} Hz low-pass takes",
    ]
    return Result("delay", section, lines, [_panel(found)])
