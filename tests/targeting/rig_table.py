"""The whole rig on recorded flights: shaking carrier, estimated attitude, beacon and camera, per distance.

``python -m tests.targeting.rig_table [--tracks FILE ...] [--metres 20 40 60] [--no-camera] [--wrong]
[--bandwidths 0.4 0.57 0.8 --plot curve.png]``

A row is speedflight's carrier behind one flight; figures over all flights of a distance are RMS, for p95 and time in
frame the worst too. ``added``: where control wants the camera (its true attitude and the error that control sees)
against the level attitude on the true line of sight, that is the camera's motion less what stabilisation leaves;
``camera``: the true camera against the same; ``shake``: the camera against where control wants it.
``level``: ``added`` where the subject is less than 60 degrees below the horizon.
Rotation vectors, high-passed forward and backward (Butterworth, 4th order), first 5 s and last 1 s left out.
"""

from __future__ import annotations

import argparse
import math
from pathlib import Path

import numpy as np
import pytest

from gimbal.config.load import Loaded, load_rig, load_scenario
from gimbal.config.scenario import Track
from gimbal.loop.lockstep import run_lockstep
from gimbal.metrics import axes_N, level_attitude, q_mul, rotation_vector
from gimbal.rig.plant import PlantRig
from tests.shared_data import shared

RATE_HZ = 1000.0
USE = slice(5000, -1000)
STEEP_DEG = 60.0  # below the horizon: there the level reference itself spins


def above(q_from: np.ndarray, q_to: np.ndarray, corner_hz: float, where: np.ndarray | slice = slice(None)) -> float:
    """RMS (µrad) of the rotation from q_from to q_to (n, 4) above corner_hz, in the rows ``where`` of USE."""
    from scipy.signal import butter, sosfiltfilt

    sos = butter(4, corner_hz, "highpass", fs=RATE_HZ, output="sos")
    x = sosfiltfilt(sos, rotation_vector(q_mul(q_from * [1, -1, -1, -1], q_to)), axis=0)[USE][where]
    return 1e6 * float(np.sqrt(np.mean(np.sum(x * x, axis=1))))


def exp(phi: np.ndarray) -> np.ndarray:
    """Quaternions (n, 4) of rotation vectors (n, 3)."""
    angle = np.linalg.norm(phi, axis=1, keepdims=True)
    return np.hstack([np.cos(angle / 2), 0.5 * np.sinc(angle / (2 * np.pi)) * phi])


class Wrong:
    """A rig whose beacon and boxes are stamped ``late_s`` too late; a share of its boxes is anywhere in the frame."""

    def __init__(self, rig: PlantRig, late_s: float, false_share: float, half: tuple[float, float]) -> None:
        self.rig, self.late_ns, self.share, self.half = rig, round(1e9 * late_s), false_share, half
        self.rng = np.random.default_rng(1)

    def read(self, sense: np.ndarray) -> int:
        status = self.rig.read(sense)
        if sense["beacon_valid"][0]:
            sense["beacon_t_ns"] += self.late_ns
        if sense["bearing_valid"][0]:
            sense["bearing_t_ns"] += self.late_ns
            if self.rng.random() < self.share:
                sense["bearing_xy"] = self.rng.uniform(-1.0, 1.0, 2) * self.half
        return status

    def __getattr__(self, name: str):
        return getattr(self.rig, name)


def fly(
    track: Path, metres: float, *, camera: bool = True, bandwidth_hz: float | None = None, seconds: float = 60.0,
    wrong: bool = False,
):  # fmt: skip
    """One flight: its HISTORY rows and the keys of the run."""
    loaded = load_rig("torque")
    rig = loaded.config
    if bandwidth_hz is not None:
        rig = rig.model_copy(
            update={"targeting": rig.targeting.model_copy(update={"bandwidth_track_hz": bandwidth_hz})}
        )
    search = {"search_deg": 10.0 if camera else 0.0}  # a rig with a camera, as torque_camera has it
    rig = rig.model_copy(update={"targeting": rig.targeting.model_copy(update=search)})
    target = Track(kind="track", file=str(track), distance_m=metres)
    scenario = load_scenario("speedflight_track").config.model_copy(update={"target": target, "box": camera})
    plant = PlantRig(rig, scenario, seconds=seconds)
    if wrong:
        plant = Wrong(plant, 0.06, 0.05, tuple(0.5 * x / rig.camera.focal_mm for x in rig.camera.sensor_mm))
    kept: list[np.ndarray] = []
    result = run_lockstep(plant, Loaded(rig, loaded.text, loaded.path, loaded.hash), seconds, mode="track", keep=kept)
    return kept[0], result


def figures(h: np.ndarray, result: dict) -> dict[str, float]:
    los = h["target_pos_N"] - h["camera_pos_N"]
    ref = level_attitude(los, 0.0, 0.0)
    out = {"p95": result["pointing_error_deg_p95"], "frame": result["time_in_frame"], "faults": len(result["faults"])}
    out["rms"] = result["pointing_error_deg_rms"]
    boresight = np.sum(axes_N(h["q_true"])[0] * los, axis=1) / np.linalg.norm(los, axis=1)
    out["frame10"] = float(np.mean(boresight[USE] > math.cos(math.radians(10.0))))
    asked = q_mul(h["q_true"], exp(h["attitude_err_C"]))
    low = los[USE][:, 2] < math.sin(math.radians(STEEP_DEG)) * np.linalg.norm(los[USE], axis=1)
    out["level2"] = above(ref, asked, 2, low)
    for corner in (2, 10):
        out[f"added{corner}"] = above(ref, asked, corner)
        out[f"camera{corner}"] = above(ref, h["q_true"], corner)
        out[f"shake{corner}"] = above(asked, h["q_true"], corner)
    return out


def total(rows: list[dict[str, float]]) -> dict[str, float]:
    return {k: float(np.sqrt(np.mean([r[k] ** 2 for r in rows]))) for k in rows[0]}


def line(label: str, r: dict[str, float]) -> str:
    parts = f"{100 * r['frame10']:6.1f} % {r['rms']:6.2f} {r['p95']:6.2f}"
    parts += "".join(f" {r[f'{k}2']:7.0f} {r[f'{k}10']:6.1f}" for k in ("added", "camera", "shake"))
    parts += f" {r['level2']:7.0f}"
    return f"{label:28s} {parts}" + ("  FAULT" if r["faults"] else "")


def draw(path: str, curve: dict[float, list[tuple[float, dict[str, float]]]]) -> None:
    """The trade: how hard the setpoint pursues against what of the measurements' noise it passes on."""
    import matplotlib

    matplotlib.use("Agg")
    import matplotlib.pyplot as plt

    figure, (left, right) = plt.subplots(1, 2, figsize=(10, 4.2))
    for metres, points in curve.items():
        p95 = [r["p95"] for _, r in points]
        left.plot(p95, [r["added2"] for _, r in points], "o-", label=f"{metres:g} m")
        right.plot(p95, [r["added10"] for _, r in points], "o-", label=f"{metres:g} m")
        for (bandwidth, r), x in zip(points, p95, strict=True):
            left.annotate(f"{bandwidth:g} Hz", (x, r["added2"]), fontsize=7)
    for axes, corner, goal in ((left, 2, 300), (right, 10, 20)):
        axes.axhline(goal, color="grey", lw=0.8, ls="--")
        axes.set(xlabel="pointing error, 95th percentile, deg", ylabel=f"added motion above {corner} Hz, µrad RMS")
        axes.legend()
    figure.tight_layout()
    figure.savefig(path, dpi=110)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--tracks", nargs="*", help="default: the canopy flights of the shared recordings")
    parser.add_argument("--metres", nargs="*", type=float, default=[20.0, 40.0, 60.0])
    parser.add_argument("--no-camera", action="store_true", help="beacon alone")
    parser.add_argument("--wrong", action="store_true", help="both delays 60 ms longer than stamped, 5 %% false boxes")
    parser.add_argument("--bandwidths", nargs="*", type=float, default=[None], help="of the setpoint, Hz")
    parser.add_argument("--plot", help="draw the trade-off over the bandwidths")
    parser.add_argument("--brief", action="store_true", help="only the totals")
    args = parser.parse_args()
    if args.tracks is None:
        try:
            args.tracks = sorted(str(p) for p in shared("data/tracks").glob("*_canopy.npz"))
        except pytest.skip.Exception as absent:
            parser.error(f"{absent}: name recordings with --tracks FILE ...")
    print(f"{'':28s} {'10 deg':>8s} {'rms':>6s} {'p95':>6s}" + "".join(
        f" {k + '>2':>7s} {'>10':>6s}" for k in ("added", "camera", "shake")) + "  level>2")  # fmt: skip
    curve: dict[float, list[tuple[float, dict[str, float]]]] = {}
    for metres in args.metres:
        for bandwidth in args.bandwidths:
            rows = []
            for track in args.tracks:
                h, result = fly(Path(track), metres, camera=not args.no_camera, bandwidth_hz=bandwidth,
                                wrong=args.wrong)  # fmt: skip
                rows.append(figures(h, result))
                if not args.brief:
                    print(line(f"{metres:g} m {Path(track).stem[-22:]}", rows[-1]), flush=True)
            label = f"{metres:g} m, all" + (f", {bandwidth:g} Hz" if bandwidth else "")
            print(line(label, total(rows)), flush=True)
            worst = max(r["p95"] for r in rows), min(r["frame10"] for r in rows)
            print(f"{'':28s} worst p95 {worst[0]:.2f}, worst in frame {100 * worst[1]:.1f} %", flush=True)
            curve.setdefault(metres, []).append((bandwidth or 0.0, total(rows)))
    if args.plot:
        draw(args.plot, curve)


if __name__ == "__main__":
    main()
