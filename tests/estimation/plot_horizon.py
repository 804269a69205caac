"""Draw the horizon of a real flight: reference, VQF and ours, roll and pitch and the tilt error.

    python -m tests.estimation.plot_horizon RECORDING.npz OUT.png [FROM_S TO_S]

The recording has t, gyr, acc, ref_quat, gnss_t, gnss_vel and fs, as the shared flights.
"""

from __future__ import annotations

import sys

import matplotlib

matplotlib.use("Agg")
import matplotlib.pyplot as plt
import numpy as np

from gimbal.estimation.batch import estimate_attitude


def down(q: np.ndarray) -> np.ndarray:
    """Third row of the rotation matrix: the direction of down in the body."""
    w, x, y, z = q.T
    return np.stack([2 * (x * z - w * y), 2 * (y * z + w * x), 1 - 2 * (x * x + y * y)], 1)


def vqf_ned(gyro: np.ndarray, accel: np.ndarray, rate_hz: float) -> np.ndarray | None:
    try:
        import vqf
    except ImportError:
        return None
    w, x, y, z = vqf.VQF(1 / rate_hz).updateBatch(gyro, accel)["quat6D"].T
    h = np.sqrt(0.5)  # ENU to NED: half a turn about north-east
    return np.stack([-h * (x + y), h * (w + z), h * (w - z), h * (x - y) * -1], 1)


def main(recording: str, out: str, start: float = 0.0, stop: float = np.inf) -> None:
    z = np.load(recording)
    gyro, accel = (np.ascontiguousarray(z[k], float) for k in ("gyr", "acc"))
    t, fs = z["t"] - z["t"][0], float(z["fs"])
    good = np.isfinite(z["gnss_vel"]).all(1) & (z["gnss_t"] >= 0)
    gnss_t, vel = z["gnss_t"][good] - z["t"][0], z["gnss_vel"][good]
    lines = {"reference": z["ref_quat"].astype(float), "VQF (6D)": vqf_ned(gyro, accel, fs)}
    lines["ours with GNSS velocity"] = estimate_attitude(gyro, accel, fs, gnss_t=gnss_t, gnss_vel_N=vel).q_NC
    lines["ours without GNSS"] = estimate_attitude(gyro, accel, fs, profile="flight").q_NC
    show = (t >= start) & (t <= stop)
    figure, axes = plt.subplots(3, 1, figsize=(12, 9), sharex=True, constrained_layout=True)
    ref = down(lines["reference"])
    for (name, q), colour in zip(lines.items(), ("black", "tab:orange", "tab:blue", "tab:green")):
        if q is None:
            continue
        d = down(q)
        roll, pitch = np.degrees(np.arctan2(d[:, 1], d[:, 2])), np.degrees(-np.arcsin(np.clip(d[:, 0], -1, 1)))
        width = 2.2 if name == "reference" else 1.0
        axes[0].plot(t[show], roll[show], color=colour, lw=width, label=name)
        axes[1].plot(t[show], pitch[show], color=colour, lw=width)
        if name != "reference":
            error = np.degrees(np.arccos(np.clip((d * ref).sum(1), -1, 1)))
            axes[2].plot(t[show], error[show], color=colour, lw=1.0)
            print(
                f"{name:26s} tilt error RMS {np.sqrt(np.mean(error[show] ** 2)):.2f}°, largest {error[show].max():.1f}°"
            )
    for axis, label in zip(axes, ("roll, °", "pitch, °", "tilt error, °")):
        axis.set_ylabel(label)
        axis.grid(alpha=0.3)
    axes[0].legend(ncols=4, loc="upper right")
    axes[2].set_yscale("log")
    axes[2].set_ylim(0.05, 90)
    axes[2].set_xlabel("time, s")
    figure.savefig(out, dpi=100)


if __name__ == "__main__":
    if len(sys.argv) not in (3, 5):
        sys.exit(__doc__)
    main(sys.argv[1], sys.argv[2], *map(float, sys.argv[3:]))
