"""The same estimator over arrays: ``gimbal.estimate_attitude``."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from gimbal.estimation.attitude import inject
from gimbal.estimation.layout import BG, COARSE, ESTIMATION_STATE, X_VEL_STD
from gimbal.estimation.mm_gnss import take_fix
from gimbal.estimation.mm_heading import mag_sample, use_field
from gimbal.estimation.profiles import BATCH_LATENCY, default_params
from gimbal.estimation.step import sample, work
from gimbal.kernels.build import kernel
from gimbal.kernels.quat import load4, q_rotate, store3


@dataclass(frozen=True)
class Attitude:
    """Result of :func:`estimate_attitude`, one row per IMU sample."""

    q_NC: np.ndarray  # (n, 4) Hamilton, scalar first, C-vectors to N
    gyro_bias: np.ndarray  # (n, 3) rad/s
    tilt_std: np.ndarray  # (n,) rad
    heading_std: np.ndarray  # (n,) rad
    status: np.ndarray  # (n,) uint32, bits of gimbal.estimation.layout
    notes: tuple[str, ...] = ()  # what was odd about the input


@kernel
def run(params, state, gyro, accel, mag, dt, fix_k, fix_ns, fixes, out_q, out_bg, out_std, out_status):
    """All samples through the step. mag and fixes may be empty arrays; fix_k is the first row that knows the fix."""
    p = params[0]
    s = state[0]
    j = 0
    for k in range(gyro.shape[0]):
        g = (gyro[k, 0], gyro[k, 1], gyro[k, 2])
        a = (accel[k, 0], accel[k, 1], accel[k, 2])
        sample(p, s, g, a, int(k * dt * 1e9 + 0.5))
        while j < fix_k.shape[0] and fix_k[j] <= k:
            store3(s["nose_N"], q_rotate(load4(s["q"]), (1.0, 0.0, 0.0)))
            take_fix(s, fix_ns[j], fixes[j])
            j += 1
        if mag.shape[0] > 0:
            mag_sample(s, (mag[k, 0], mag[k, 1], mag[k, 2]))
        epoch = s["epoch_ns"]
        work(p, s)
        if mag.shape[0] > 0 and s["epoch_ns"] != epoch and not s["status"] & COARSE:
            use_field(p, s)
            inject(p, s)
        for i in range(4):
            out_q[k, i] = s["q"][i]
        for i in range(3):
            out_bg[k, i] = s["x"][BG + i]
        out_std[k, 0] = math.sqrt(0.5 * (s["P"][0, 0] + s["P"][1, 1]))
        out_std[k, 1] = math.sqrt(s["P"][2, 2] + s["heading_var"])
        out_status[k] = s["status"]


def estimate_attitude(
    gyro,
    accel,
    rate_hz,
    *,
    mag=None,
    gnss_t=None,
    gnss_vel_N=None,
    gnss_vel_std=None,
    profile=None,
    gravity_m_s2=9.80665,
    _changes=None,
):
    gyro = np.ascontiguousarray(gyro, float)
    accel = np.ascontiguousarray(accel, float)
    n = len(gyro)
    prof = profile or ("handheld" if gnss_t is None else "flight")
    p = default_params(
        prof,
        1.0 / rate_hz,
        gravity=gravity_m_s2,
        **{**(BATCH_LATENCY if gnss_t is not None else {}), **(_changes or {})},
    )
    s = np.zeros(1, ESTIMATION_STATE)
    if gnss_t is None:
        gnss_t = np.zeros(0)
        gnss_vel_N = np.zeros((0, 3))
    gnss_t = np.asarray(gnss_t, float)
    std = (
        np.full(len(gnss_t), 0.39) if gnss_vel_std is None else np.broadcast_to(gnss_vel_std, len(gnss_t)).astype(float)
    )
    fix_k = np.ceil(np.round(gnss_t * rate_hz, 6)).astype(np.int64)
    m = np.zeros((0, 3)) if mag is None else np.ascontiguousarray(mag, float)
    out_q = np.empty((n, 4))
    out_bg = np.empty((n, 3))
    out_std = np.empty((n, 2))
    out_s = np.zeros(n, np.uint32)
    fixes = np.zeros((len(gnss_t), 8))
    fixes[:, :3] = gnss_vel_N
    fixes[:, X_VEL_STD] = std
    run(
        p,
        s,
        gyro,
        accel,
        m,
        1.0 / rate_hz,
        fix_k,
        np.round(gnss_t * 1e9).astype(np.int64),
        fixes,
        out_q,
        out_bg,
        out_std,
        out_s,
    )
    r = Attitude(out_q, out_bg, out_std[:, 0], out_std[:, 1], out_s)
    object.__setattr__(r, "s", s)
    return r
