"""What the procedures work on: the raw samples of a recording, from a log or from the running daemon."""

from __future__ import annotations

import datetime
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from gimbal.config.schema import Rig
from gimbal.errors import UsageError
from gimbal.rig.joint_sense import believed

HELD_S, HELD_RAD = 1.5, 0.01
RECENT = 40  # pieces of 50 ms
WAIT_S = 60.0


@dataclass
class Recording:
    """Raw samples. Times in s from the first tick; gyro, accel, mag in sensor axes; NaN where a device says nothing."""

    rig: Rig  # as it was flown: its signs, zeros and mount are in what was recorded
    t: np.ndarray  # (n,) of the IMU's samples
    gyro: np.ndarray  # (n, 3) rad/s
    accel: np.ndarray  # (n, 3) m/s²
    temp: np.ndarray  # (n,) degC
    joint_t: np.ndarray  # (m,)
    joint: np.ndarray  # (m, 3) rad, roll pitch yaw, unwrapped
    mag_t: np.ndarray
    mag: np.ndarray  # (k, 3) uT
    fix_t: np.ndarray
    fix_vel: np.ndarray  # (f, 3) m/s in N
    nav_t: np.ndarray
    q_NC: np.ndarray  # (r, 4) the estimate of that time
    source: str = ""
    date: str = ""

    @property
    def rate_hz(self) -> float:
        return float((len(self.t) - 1) / (self.t[-1] - self.t[0])) if len(self.t) > 1 else 0.0

    @property
    def seconds(self) -> float:
        return float(self.t[-1] - self.t[0]) if len(self.t) else 0.0

    def device_joint(self, axis: int, angle: float) -> float:
        """The device's own angle for one of ours, by the signs and zeros it was recorded with."""
        sign, zero = believed(self.rig)
        return float(sign[axis] * angle + zero[axis])


def from_rows(rows: np.ndarray, rig: Rig, source: str, date: str) -> Recording:
    """From TICK rows.

    Raises:
        UsageError: no IMU samples in them.
    """
    sense = rows["sense"]
    n = sense["imu_n"].astype(int)
    use = np.arange(sense["imu_t_ns"].shape[1])[None, :] < n[:, None]
    t_ns = sense["imu_t_ns"][use]
    if len(t_ns) < 2:
        raise UsageError(f"{source} has no IMU samples. Record with the IMU connected, and longer than a tick.")
    order = np.flatnonzero(np.diff(t_ns, prepend=t_ns[0] - 1) > 0)
    start = int(t_ns[0])
    temp = np.repeat(np.where(sense["imu_temp_degC"] == 0.0, np.nan, sense["imu_temp_degC"]), n)
    joint_ns = sense["joint_t_ns"].max(axis=1)
    fresh = sense["joint_valid"].all(axis=1) & (np.diff(joint_ns, prepend=0) > 0)
    mag, fix = sense["mag_valid"] > 0, (sense["gnss_valid"] > 0) & (sense["gnss_no_vel"] == 0)
    return Recording(
        rig,
        (t_ns[order] - start) * 1e-9,
        sense["imu_gyro_I"][use][order],
        sense["imu_accel_I"][use][order],
        temp[order],
        (joint_ns[fresh] - start) * 1e-9,
        np.unwrap(sense["joint_angle"][fresh], axis=0),
        (sense["mag_t_ns"][mag] - start) * 1e-9,
        sense["mag_I"][mag],
        (sense["gnss_t_ns"][fix] - start) * 1e-9,
        sense["gnss_vel_N"][fix],
        (rows["t_ns"] - start) * 1e-9,
        rows["nav"]["q_NC_est"],
        source,
        date,
    )


def _utc(wall_ns: int) -> str:
    return datetime.datetime.fromtimestamp(wall_ns * 1e-9, datetime.UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def from_log(path: str | Path, name: str) -> Recording:
    """From a log of rig ``name``.

    Raises:
        UsageError: no log, a log without its config or of another rig, or one without samples.
    """
    from gimbal.telemetry.reader import open_log

    log = open_log(path)
    try:
        rig = Rig.model_validate_json(log.attachments["config.json"])
    except (KeyError, ValueError) as error:
        raise UsageError(
            f"{path} doesn't say which rig it is of ({type(error).__name__}). Record it again with this version."
        ) from error
    if rig.name != name:
        raise UsageError(
            f"{path} is a log of rig {rig.name!r}, not of {name!r}. Name that rig, or give a log of this one."
        )
    wall_ns = log.header.get("wall_ns") or Path(path).stat().st_mtime_ns  # a simulated run has no clock
    return from_rows(log.rows(), rig, Path(path).name, _utc(wall_ns))


def held(rows: np.ndarray) -> np.ndarray | None:
    """The newest HELD_S of these rows if the joints rested all through them, else None."""
    first = int(np.searchsorted(rows["t_ns"], rows["t_ns"][-1] - int(HELD_S * 1e9)))
    at_rest = first > 0 and np.ptp(rows["sense"]["joint_angle"][first:], axis=0).max() < HELD_RAD
    return rows[first:] if at_rest else None


def from_daemon(rig: Rig, seconds: float, say: Callable[[float, Any], None], from_rest: bool = False) -> Recording:
    """From the daemon that runs this rig, from now on, or from when the joints have rested for a while.

    ``say`` is called with the time left and the newest row.

    Raises:
        UsageError: no such daemon, or joints that don't rest; GimbalError: it ended, or rows were lost.
    """
    from gimbal.daemon import instance
    from gimbal.errors import GimbalError
    from gimbal.telemetry.ring import RingReader
    from gimbal.telemetry.shm import SharedMemoryError

    try:
        ring = RingReader(instance.segment(rig.name, "tick"))
    except SharedMemoryError as error:
        raise UsageError(
            f"No daemon runs rig {rig.name!r}. Start `gimbal run {rig.name}` in another window (motors stay off until "
            "armed), or give a recording with --from LOG."
        ) from error
    parts: list[np.ndarray] = []
    end = time.monotonic() + seconds
    give_up = time.monotonic() + WAIT_S
    quiet_since = time.monotonic()
    while (now := time.monotonic()) < end:
        time.sleep(0.05)
        rows = ring.read_new()
        if len(rows):
            parts.append(rows)
            quiet_since = now
        elif now - quiet_since > 2.0:
            raise GimbalError(f"The daemon of rig {rig.name!r} sends nothing any more: it ended. Start it again.")
        if from_rest and parts:
            rest = held(np.concatenate(parts))
            from_rest = rest is None
            parts = parts[-RECENT:] if rest is None else [rest]
            end = now + seconds
            if now > give_up:
                raise UsageError(f"The joints weren't held still in {WAIT_S:g} s. Hold the camera at its marks; again.")
        say(end - now, parts[-1][-1] if parts else None)
    if ring.lost:
        raise GimbalError(f"{ring.lost} rows were lost while recording: the machine is too busy. Record again.")
    return from_rows(np.concatenate(parts), rig, "live", _utc(time.time_ns()))
