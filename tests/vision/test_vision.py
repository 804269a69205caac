"""The eye on rendered frames: pictures as the geometry says, the subject followed within the stated error, JSON out."""

from __future__ import annotations

import argparse
import json
import socket

import numpy as np
import pytest

from gimbal.config.load import load_rig
from gimbal.errors import UsageError
from gimbal.loop.history import HISTORY
from gimbal.metrics import level_attitude, q_mul, rotation_vector
from gimbal.records import TICK, TargetStatus

cv2 = pytest.importorskip("cv2", reason="OpenCV is not installed (extra 'vision')")

from gimbal.render import Renderer, check_render, render_run, shots  # noqa: E402
from gimbal.vision.command import bearing, vision_command  # noqa: E402
from gimbal.vision.eye import BOX_M, Eye, sight_of  # noqa: E402
from gimbal.vision.follow import Follower, Sight  # noqa: E402
from gimbal.vision.frames import Frame, frames  # noqa: E402

CAMERA = load_rig("torque").config.camera
WIDTH = 320
FOCAL = WIDTH * CAMERA.focal_mm / CAMERA.sensor_mm[0]


def fly_by(seconds=2.0, metres=40.0, wobble_deg=1.5):
    """A flyer past a resting camera that follows it badly: HISTORY rows at 1 kHz."""
    n = round(1000 * seconds)
    t = np.arange(n) / 1000
    h = np.zeros(n, HISTORY)
    h["t_ns"] = 1_000_000_000 + np.arange(n) * 1_000_000
    h["target_pos_N"] = np.stack([metres + 3 * np.sin(t), 20.0 * (t - seconds / 2), 6.0 + 2.0 * t], -1)
    wobble = np.radians(wobble_deg) * np.stack([0 * t, np.sin(9 * t), np.sin(7 * t + 1)], -1) * metres
    h["q_true"] = level_attitude(h["target_pos_N"] + wobble, 0.0, 0.0)
    return h


@pytest.fixture(scope="module")
def pictures():
    cv2.setNumThreads(1)
    return list(shots(fly_by(), CAMERA, width_px=WIDTH))


def test_the_horizon_stands_level_where_it_belongs():
    renderer = Renderer(CAMERA, WIDTH)
    up, down = (np.median(renderer.background(np.array([[c, 0, s], [0, 1, 0], [-s, 0, c]])), axis=(0, 1))
                for c, s in ((np.cos(a), np.sin(a)) for a in (0.5, -0.5)))  # fmt: skip
    assert up[0] > up[2] + 20 and down[1] > down[0]  # sky is blue, the valley is not


def test_the_flyer_is_drawn_where_the_truth_says(pictures):
    """Against the same background without it, what differs sits around x, y."""
    shot = pictures[30]
    h = fly_by()
    h["target_pos_N"] = np.nan
    bare = next(shots(h, CAMERA, width_px=WIDTH, start_s=30 / 24)).image
    changed = np.abs(shot.image.astype(int) - bare).sum(axis=2) > 90
    ys, xs = np.nonzero(changed)
    assert changed.sum() > 120
    x, y = shot.x * shot.image.shape[1], shot.y * shot.image.shape[0]
    assert abs(np.median(xs) - x) < 1.2 * FOCAL / 40.0
    assert ys.min() < y < ys.max() < y + 1.4 * FOCAL / 40.0  # the canopy above, the legs below


def test_motion_blurs_along_the_motion():
    still, moving = fly_by(wobble_deg=0.0)[:100], fly_by(wobble_deg=0.0)[:100]
    for h, rate in ((still, 0.0), (moving, 60.0)):
        turn = np.radians(rate) * (np.arange(100) - 10) / 1000
        h["q_true"] = np.stack([np.cos(turn / 2), 0 * turn, 0 * turn, np.sin(turn / 2)], -1)
        h["target_pos_N"] = [40.0, 0.0, 0.0]
    sharp = []
    for h in (still, moving):
        image = next(shots(h, CAMERA, width_px=WIDTH)).image.astype(float)
        sharp.append((np.abs(np.diff(image, axis=1)).mean(), np.abs(np.diff(image, axis=0)).mean()))
    assert sharp[1][0] < 0.75 * sharp[0][0]  # across the picture the detail is gone
    assert sharp[1][1] / sharp[1][0] > 1.2 * sharp[0][1] / sharp[0][0]


def follow(pictures, std_px, seed, hide=(), shift=0.0):
    """Errors (n, 2), stated std, confidence, tracking over frames, with a prediction off by a slow std_px."""
    rng = np.random.default_rng(seed)
    follower, off, out, before = Follower(), rng.normal(size=2) * std_px, [], np.zeros(2)
    for k, shot in enumerate(pictures):
        height, width = shot.image.shape[:2]
        off = 0.9 * off + 0.43 * std_px * rng.normal(size=2)
        image = cv2.GaussianBlur(shot.image, (0, 0), 40) if k in hide else shot.image
        at = np.array([shot.x * width, shot.y * height]) + off
        sight = Sight(*at, std_px, BOX_M / 42.0 * FOCAL, tuple(at - before))
        before = at
        found = follower.step(image, sight)
        error = found.x - shot.x * width, found.y - shot.y * height
        out.append((*error, found.std, found.confidence, found.tracking))
    return np.array(out, float)


@pytest.mark.parametrize("seed", [1, 2])
def test_follows_the_flyer_within_its_stated_error(pictures, seed):
    rows = follow(pictures, 7.0, seed)
    assert rows[:, 4].mean() > 0.95
    error, std = rows[:, :2], rows[:, 2:3]
    assert np.abs(error / std).max() < 4.0 and np.sqrt(np.mean((error / std) ** 2)) < 1.5
    assert np.sqrt(np.mean(error**2)) < 0.35 * FOCAL / 42.0  # a third of a metre


def test_a_hidden_subject_is_told_and_found_again(pictures):
    rows = follow(pictures, 4.0, 3, hide=range(12, 24))
    assert rows[14:24, 4].mean() < 0.3
    assert rows[34:, 4].mean() > 0.9 and np.abs(rows[34:, :2]).mean() < 0.6 * FOCAL / 42.0


def believed(h, k, off_deg=0.0, std_deg=2.5):
    """A TICK row whose line of sight is off_deg beside the truth, its rate right: the beacon's bias."""
    row = np.zeros(1, TICK)
    target, nav = row["target"], row["nav"]
    los, later = (h["target_pos_N"][i] - h["camera_pos_N"][i] for i in (k, k + 10))
    u, next_u = los / np.linalg.norm(los), later / np.linalg.norm(later)
    turn = rotation_vector(q_mul(h["q_true"][k : k + 1] * [1, -1, -1, -1], h["q_true"][k + 1 : k + 2]))[0]
    target["status"], nav["heading_valid"], target["t_ns"], nav["t_ns"] = 1, 1, h["t_ns"][k], h["t_ns"][k]
    side = np.cross(u, [0.0, 0.0, -1.0])
    target["los_N"] = u + np.radians(off_deg) * side / np.linalg.norm(side)
    target["los_rate_N"], target["range_m"] = np.cross(u, (next_u - u) / 0.010), np.linalg.norm(los)
    target["los_std"], nav["omega_NC_C_est"] = np.radians(std_deg), turn / 0.001
    row["setpoint"]["q_NC_sp"] = h["q_true"][k]
    return row[0]


@pytest.mark.parametrize("off_deg", [-4.0, 4.0])
def test_ground_that_stays_behind_is_not_the_subject(pictures, off_deg):
    """Begun on ground, 4 degrees beside the flyer: refused before a bearing of it is sent, the flyer found instead."""
    h, eye, rows = fly_by(), Eye(CAMERA), []
    for k, shot in enumerate(pictures[:44]):
        frame = Frame(shot.image, shot.t_ns, shot.exposure_us)
        row = believed(h, round((shot.t_ns + 500 * shot.exposure_us - 1e9) / 1e6), off_deg if k < 20 else 0.0)
        height, width = shot.image.shape[:2]
        if k == 0:
            beside = off_deg / 4.0 * 2.8 / 42.0 * FOCAL
            eye.follower.begin(shot.image, shot.x * width + beside, shot.y * height + 12.0, BOX_M / 42.0 * FOCAL)
        found = eye.step(frame, row)
        rows.append((found.tracking, np.hypot(found.x - shot.x * width, found.y - shot.y * height) / FOCAL * 42.0))
    tracking, metres = np.array(rows).T
    assert eye.refused >= 1
    assert metres[tracking > 0].max() < 1.0
    assert tracking[30:].mean() > 0.8


def test_a_heading_that_is_found_anew_is_no_reason_to_let_go(pictures):
    h, eye, kept = fly_by(), Eye(CAMERA), []
    for k, shot in enumerate(pictures[:40]):
        row = believed(h, round((shot.t_ns + 500 * shot.exposure_us - 1e9) / 1e6)).copy()
        if k >= 20:  # north is 2 degrees elsewhere, for attitude and line of sight alike
            a = np.radians(1.0)
            row["setpoint"]["q_NC_sp"] = q_mul(np.array([np.cos(a), 0, 0, np.sin(a)]), row["setpoint"]["q_NC_sp"])
            c, s = np.cos(2 * a), np.sin(2 * a)
            for name in ("los_N", "los_rate_N"):
                row["target"][name] = np.array([[c, -s, 0], [s, c, 0], [0, 0, 1]]) @ row["target"][name]
        kept.append(eye.step(Frame(shot.image, shot.t_ns, shot.exposure_us), row).tracking)
    assert eye.refused == 0 and np.mean(kept[8:]) > 0.95


def test_a_rendered_video_is_read_with_its_exposure_times(tmp_path):
    h = fly_by(0.4)
    path = str(tmp_path / "pass.avi")
    assert render_run(path, h, CAMERA) == 10
    read = list(frames(path, latency_ms=0.0, exposure_us=1.0))
    assert len(read) == 10
    assert read[1].t_ns - read[0].t_ns == pytest.approx(1e9 / 24, abs=2)
    assert read[0].exposure_us == pytest.approx(1e6 / 48, abs=1)


def test_the_command_sends_what_the_driver_reads(tmp_path):
    from firmware_bridge.drivers.vision_json_codec import JsonFramer, read

    path = str(tmp_path / "pass.avi")
    render_run(path, fly_by(0.5), CAMERA)
    port = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    port.bind(("127.0.0.1", 0))
    port.settimeout(5.0)
    to = f"udp://127.0.0.1:{port.getsockname()[1]}"
    args = argparse.Namespace(source=path, rig="torque", to=to, box=[0.5, 0.5, 0.06], latency_ms=0.0, exposure_us=1.0,
                              json=str(tmp_path / "vision.json"))  # fmt: skip
    assert vision_command(args) == 0
    assert json.loads((tmp_path / "vision.json").read_text())["frames"] >= 11
    framer = JsonFramer()
    rows = [read(found) for _ in range(11) for found in framer.feed(port.recv(2048))]
    port.close()
    assert [row.seq for row in rows] == list(range(11))
    assert rows[1].t_ns - rows[0].t_ns == pytest.approx(1e9 / 24, abs=2)
    assert all(0.0 <= row.x <= 1.0 and row.std > 0.0 for row in rows)


def test_where_to_look_comes_from_the_row():
    row = np.zeros(1, TICK)
    target, nav = row["target"], row["nav"]
    assert sight_of(row[0], 0, CAMERA, WIDTH, 180) is None
    target["status"], nav["heading_valid"] = TargetStatus.TRACKING, 1
    target["los_N"], target["range_m"], target["los_std"] = (np.cos(0.1), np.sin(0.1), 0.0), 20.0, 0.01
    row["setpoint"]["q_NC_sp"] = (1.0, 0.0, 0.0, 0.0)
    sight = sight_of(row[0], 0, CAMERA, WIDTH, 180)
    assert sight.x == pytest.approx(WIDTH / 2 + FOCAL * np.tan(0.1)) and sight.y == pytest.approx(90)
    assert sight.std == pytest.approx(0.01 * FOCAL)
    nav["omega_NC_C_est"] = (0.0, 0.0, 1.0)  # 20 ms before the row the camera looked 20 mrad further left
    assert sight_of(row[0], -20_000_000, CAMERA, WIDTH, 180).x == pytest.approx(
        WIDTH / 2 + FOCAL * np.tan(0.12), rel=1e-3
    )
    target["los_N"] = (-1.0, 0.0, 0.0)
    assert sight_of(row[0], 0, CAMERA, WIDTH, 180) is None


def test_a_subject_out_of_the_picture_is_sent_inside_it():
    frame = Frame(np.zeros((180, WIDTH, 3), np.uint8), 5, 100.0)
    from gimbal.vision.follow import NOWHERE

    sent = json.loads(bearing(frame, NOWHERE._replace(x=-50.0, y=9000.0), 3))
    assert (sent["x"], sent["y"], sent["tracking"]) == (0.0, 1.0, False)


def test_bad_sources_are_refused_clearly(tmp_path, monkeypatch):
    with pytest.raises(UsageError, match="no video"):
        next(frames(str(tmp_path / "none.mp4"), latency_ms=0.0, exposure_us=1.0))
    (tmp_path / "text.mp4").write_text("hello")
    with pytest.raises(UsageError, match="can't be opened"):
        next(frames(str(tmp_path / "text.mp4"), latency_ms=0.0, exposure_us=1.0))
    with pytest.raises(UsageError, match="ends in .mp4"):
        check_render("out.gif")
    import builtins

    real = builtins.__import__

    def without(name, *rest):
        if name == "cv2":
            raise ImportError("No module named 'cv2'")
        return real(name, *rest)

    monkeypatch.setattr(builtins, "__import__", without)
    with pytest.raises(UsageError, match=r"gimbal-host\[vision\]"):
        check_render("out.mp4")
