"""Frames of a camera that isn't there: what the simulated rig of a running `gimbal run --emulate` sees, drawn live."""

from __future__ import annotations

import time
from collections.abc import Iterator

import numpy as np

from gimbal.config.schema import Rig
from gimbal.errors import UsageError
from gimbal.metrics import q_mul
from gimbal.vision.frames import Frame

WIDTH_PX = 320
SUB_EXPOSURES = 2
WAIT_S = 0.002


def _turned(q: np.ndarray, omega_C: np.ndarray, seconds: np.ndarray) -> np.ndarray:
    """Attitudes (n, 4) of a camera at q turning at omega_C, after each of ``seconds`` (small turns)."""
    half = 0.5 * seconds[:, None] * omega_C
    out = q_mul(np.broadcast_to(q, (len(half), 4)), np.hstack([np.ones((len(half), 1)), half]))
    return out / np.linalg.norm(out, axis=1, keepdims=True)


def emulated(rig: Rig, seed: int = 1) -> Iterator[Frame]:
    """Frames at the camera's rate until the daemon ends, stamped with the plant's own time.

    Raises:
        UsageError: no daemon of this rig runs with --emulate here.
    """
    from gimbal.daemon.instance import segment
    from gimbal.render import Renderer, wing_axes
    from gimbal.telemetry.ring import RingReader
    from gimbal.telemetry.shm import SharedMemoryError

    try:
        reader = RingReader(segment(rig.name, "truth"))
    except SharedMemoryError as error:
        raise UsageError(
            f"There is no simulated camera to look through: {error} Start `gimbal run {rig.name} --emulate SCENARIO`."
        ) from error
    renderer = Renderer(rig.camera, WIDTH_PX, seed)
    open_s = rig.camera.shutter_deg / 360.0 / rig.camera.frames_s
    offsets = ((np.arange(SUB_EXPOSURES) + 0.5) / SUB_EXPOSURES - 0.5) * open_s
    period_ns = round(1e9 / rig.camera.frames_s)
    nowhere = np.full((SUB_EXPOSURES, 3), np.nan)
    due_ns, lift, velocity, then_ns = 0, np.array([0.0, 0.0, -9.81]), None, 0
    while not reader.closed():
        rows = reader.latest()
        if rows is None or int(rows[0]["t_ns"]) < due_ns:
            time.sleep(WAIT_S)
            continue
        row = rows[0]
        t_ns = int(row["t_ns"])
        due_ns = t_ns + period_ns
        v = row["target_vel_N"].copy()
        if velocity is not None:
            acc = (v - velocity) / max(1e-9 * (t_ns - then_ns), 1e-3)
            lift += 0.2 * (np.clip(acc, -30.0, 30.0) + [0.0, 0.0, -9.81] - lift)
        velocity, then_ns = v, t_ns
        target = row["target_pos_N"] + offsets[:, None] * v if row["has_target"] else nowhere
        camera = row["camera_pos_N"] + offsets[:, None] * row["camera_vel_N"]
        q = _turned(row["q_NC"], row["omega_NC_C"], offsets)
        shot = renderer.frame(q, camera, target, wing_axes(v, lift), t_ns - round(5e8 * open_s), 1e6 * open_s)
        yield Frame(shot.image, shot.t_ns, shot.exposure_us)
